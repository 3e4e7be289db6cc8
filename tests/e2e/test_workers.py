"""Several workers: what belongs to another one is passed on by mail, from the first moment to the last."""
import ctypes
import os
import signal
import socket

import pytest

import visitor
from noise import Noise
from processes import wait_for
from test_lifecycle import no_new_visitor, page
from test_metrics import metrics
from test_sandbox import server_of

WORKERS = 4
SYS_PIDFD_GETFD = 438
SO_DETACH_REUSEPORT_BPF = 68


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


def udp_socket_of(ingress):
    """One of the group's sockets, out of the supervisor's hands: its descriptor here is the same socket."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(ingress.pid)
    try:
        for name in os.listdir(f"/proc/{ingress.pid}/fd"):
            if not os.readlink(f"/proc/{ingress.pid}/fd/{name}").startswith("socket:"):
                continue
            fd = libc.syscall(SYS_PIDFD_GETFD, process, int(name), 0)
            if fd < 0:
                pytest.skip(f"NOT TESTED: no look into a child's sockets here: {os.strerror(ctypes.get_errno())}")
            sock = socket.socket(fileno=fd)
            if sock.type == socket.SOCK_DGRAM and sock.getsockname()[1] == ingress.udp_port:
                return sock
            sock.close()
    finally:
        os.close(process)
    raise AssertionError("no socket with the UDP port")


def test_datagrams_find_their_worker_steered_or_not(world, website, authority):
    """The kernel gives them to the right one; where it does not, whoever gets them passes them on."""
    world.ingress.config["admin"] = {"socket": "admin.sock"}
    world.start()

    def passed_on():
        """By one page; initiations, which nothing steers, come when the node starts and not after."""
        before = metrics(world)["funnel_datagrams_foreign_total"]
        assert page(world, authority) == website.page
        return metrics(world)["funnel_datagrams_foreign_total"] - before

    assert [passed_on() for _ in range(3)] == [0, 0, 0]
    with udp_socket_of(world.ingress) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
    for _ in range(12):  # one time in four the hash finds the right one; a node that starts anew has a new port
        mark = world.home.mark()
        world.home.stop()
        world.home.start()
        world.home.wait_sessions(mark)
        if passed_on() > 0:
            break
    else:
        pytest.fail("12 ports in a row went to the right worker by chance")
