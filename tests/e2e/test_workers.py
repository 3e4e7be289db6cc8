"""Several workers: what belongs to another one is passed on by mail, from the first moment to the last."""
import os
import signal

import pytest

import visitor
from noise import Noise
from processes import wait_for
from test_lifecycle import no_new_visitor, page
from test_metrics import metrics
from test_sandbox import server_of

WORKERS = 4


@pytest.fixture
def world(site_world):
    site_world.ingress.config["workers"] = WORKERS
    return site_world


def test_server_starts_under_noise(world, website, authority):
    """Datagrams wait in the sockets while a dead server is replaced: the first worker passes them to others at once."""
    ingress = world.start().ingress
    with Noise(ingress.udp_port):
        for _ in range(3):
            mark = ingress.mark()
            os.kill(server_of(ingress), signal.SIGKILL)
            ingress.wait_log(r" server .*event=ready", 20, mark)
    assert ingress.log().count(" event=start pid=") == 1 + 3, "it died of nothing but our signal"
    wait_for("the page is served again", lambda: page(world, authority) == website.page, 30)


def test_orders_arrive_under_noise(world, website, authority):
    """A mailbox full of strangers' datagrams has room for reloads and for visitors."""
    world.start()
    with Noise(world.ingress.udp_port) as noise:
        for _ in range(20):
            world.ingress.reload()
            wait_for("a visitor is served", lambda: page(world, authority) == website.page)  # noise costs datagrams
        assert noise.thread.is_alive(), "the noise lasted"
    assert world.ingress.log().count(" event=start pid=") == 1


# Which worker accepts a visitor is the kernel's choice, and one time in four it is the node's own.
@pytest.mark.parametrize("round", range(3))
def test_visitor_in_the_mail_is_drained(world, website, authority, round):
    """Its worker and its node's are both empty while it is on its way: that is not the end yet."""
    world.ingress.config["drain"] = {"timeout": "20s"}
    world.ingress.config["admin"] = {"socket": "admin.sock"}
    world.start()
    with visitor.connect(world.ingress.port) as sock:
        wait_for("it is accepted", lambda: metrics(world)["funnel_hellos_pending"] == 1)
        world.ingress.signal(signal.SIGTERM)
        wait_for("new visitors are refused", lambda: no_new_visitor(world))
        with visitor.context(authority).wrap_socket(sock, server_hostname="site.test") as tls:
            tls.sendall(visitor.request("site.test"))
            assert visitor.read_all(tls).endswith(website.page)
    assert world.ingress.wait(10) == 0
