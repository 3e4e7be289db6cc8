"""Starting, draining, and coming back: of the ingress, of the node."""
import os
import signal
import time

import pytest

import visitor
from processes import wait_for
from world import Ingress, service


@pytest.fixture
def world(site_world):
    site_world.add_raw_node()
    return site_world


def no_new_visitor(world):
    """Refused, or let go without a word: nobody new is served."""
    try:
        with visitor.connect(world.ingress.port, timeout=2) as sock:
            sock.sendall(visitor.client_hello("site.test"))
            return sock.recv(1) == b""
    except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
        return True


def page(world, authority, port=None):
    """The page, or None when it cannot be had now."""
    try:
        return visitor.fetch(port or world.ingress.port, "site.test", authority, timeout=5).body
    except OSError:
        return None


def test_sigterm_drains(world):
    """New visitors are refused; a live stream finishes in its own time; then the exit is clean."""
    world.ingress.config["drain"] = {"timeout": "60s"}
    world.start()
    client, served = world.raw_pair()
    world.ingress.signal(signal.SIGTERM)
    wait_for("new visitors are refused", lambda: no_new_visitor(world))
    for i in range(20):
        client.sendall(b"%02d" % i)
        assert visitor.read_exactly(served, 2) == b"%02d" % i
        served.sendall(b"ok")
        assert visitor.read_exactly(client, 2) == b"ok"
    assert world.ingress.running()
    client.close()
    served.close()
    assert world.ingress.wait(10) == 0
    assert world.ingress.access(reason="ok", target="raw.test:2222")["bytes_up"] == 40


def test_drain_has_an_end(world):
    world.ingress.config["drain"] = {"timeout": "1s"}
    world.start()
    client, served = world.raw_pair()
    began = time.monotonic()
    world.ingress.signal(signal.SIGTERM)
    assert world.ingress.wait(10) == 0
    assert time.monotonic() - began >= 1
    with client, served:
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass


def test_second_sigterm_ends_at_once(world):
    world.ingress.config["drain"] = {"timeout": "60s"}
    world.start()
    client, served = world.raw_pair()
    world.ingress.signal(signal.SIGTERM)
    wait_for("new visitors are refused", lambda: no_new_visitor(world))
    world.ingress.signal(signal.SIGTERM)
    world.ingress.wait(5)
    client.close()
    served.close()


def test_drain_delay_goes_on_accepting(world, website, authority):
    """DNS and anycast need a moment to withdraw; visitors of that moment are served."""
    world.ingress.config["drain"] = {"delay": "3s", "timeout": "5s"}
    world.start()
    world.ingress.signal(signal.SIGTERM)
    assert page(world, authority) == website.page
    assert world.ingress.wait(15) == 0


def test_sigterm_without_streams_is_quick(world):
    world.start()
    began = time.monotonic()
    assert world.ingress.stop() == 0
    assert all(node.stop() == 0 for node in world.nodes)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_ingress_restarts(world, website, authority, end):
    """The node finds its way back by itself."""
    world.start()
    assert page(world, authority) == website.page
    getattr(world.ingress, end)()
    world.ingress.start()
    wait_for("the page is served again", lambda: page(world, authority) == website.page, 30)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_node_restarts(world, website, authority, end):
    world.start()
    assert page(world, authority) == website.page
    getattr(world.home, end)()
    mark = world.home.mark()
    world.home.start()
    world.home.wait_sessions(since=mark)
    wait_for("the page is served again", lambda: page(world, authority) == website.page, 20)


def test_nodes_are_called_after_a_restart(world, website, authority):
    """They name no endpoint, and would notice the silence only after two keepalives, 50 s: the ingress knows where they
    were."""
    world.start()
    for node in world.nodes:
        wait_for("it is written down", lambda: f"{node.name} " in endpoints(world), timeout=20)
    assert world.ingress.stop() == 0
    mark = world.ingress.mark()
    world.ingress.start()
    world.ingress.wait_log(r" session event=up", timeout=5, since=mark)
    assert page(world, authority) == website.page


def test_nodes_that_left_are_not_written_down(world, website):
    world.start()
    for node in world.nodes:
        wait_for("it is written down", lambda: f"{node.name} " in endpoints(world), timeout=20)
    gone = world.ingress.rows.pop()["id"]
    late = world.add_node("late", [service("late.test", website.https_forward)])
    mark = world.ingress.mark()
    world.ingress.write_feed()
    world.ingress.wait_log("event=applied", since=mark)
    late.start()
    wait_for("the file is written anew", lambda: "late 127.0.0.1:" in endpoints(world), timeout=30)
    assert f"{gone} " not in endpoints(world)
    assert endpoints(world).endswith(f"end={len(world.ingress.rows)}\n")


def endpoints(world):
    file = world.ingress.directory / "state" / "endpoints"
    return file.read_text() if file.exists() else ""


def test_node_restart_ends_its_streams(world):
    """A node that lost its memory answers old segments with a reset; a visitor must not wait for ever."""
    world.start()
    client, served = world.raw_pair()
    served.sendall(b"!")
    assert client.recv(1) == b"!"  # an offer that is still to be answered would be made again
    rawnode = world.nodes[-1]
    rawnode.kill()
    mark = rawnode.mark()
    rawnode.start()
    rawnode.wait_sessions(since=mark)
    with client, served:
        client.settimeout(30)
        try:
            client.sendall(b"are you there?") # the reset may be here already: a session begins with a sign of life
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass


def test_node_starts_before_the_ingress(world, website, authority):
    for node in world.nodes:
        node.start()
    world.ingress.start()
    wait_for("the page is served", lambda: page(world, authority) == website.page, 30)


def test_supervisor_replaces_a_dead_server(world, website, authority):
    world.start()
    server = next(pid for pid in world.ingress.descendants() if pid != world.ingress.pid)
    os.kill(server, signal.SIGKILL)
    wait_for("the page is served again", lambda: page(world, authority) == website.page, 30)
    assert world.ingress.running() and server not in world.ingress.descendants()


def test_one_node_two_ingresses(world, tmp_path, website, authority):
    second = Ingress(tmp_path / "second", "ams1")
    world.extra.append(second)
    world.home.connects_to(second)
    second.rows.append(world.home.row())
    second.start()
    world.start()
    for ingress in (world.ingress, second):
        assert page(world, authority, ingress.port) == website.page
    second.stop()
    assert page(world, authority) == website.page


def test_idle_stream_ends(world):
    world.ingress.config["stream"] = {"idle_timeout": "1s"}
    world.start()
    client, served = world.raw_pair()
    with client, served:
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
    assert world.ingress.access(target="raw.test:2222")["reason"] == "idle_timeout"


def test_ingress_works_through_ipv6_only(make_world, website, authority):
    """Visitors and tunnel both over IPv6."""
    world = make_world()
    world.ingress.config["wireguard"]["listen"] = [f"[::1]:{world.ingress.udp_port}"]
    world.home = world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")])
    world.home.config["listen"] = ["[::1]:0"]
    world.home.config["ingresses"][0]["endpoint"] = f"[::1]:{world.ingress.udp_port}"
    world.start()
    assert visitor.fetch(world.ingress.port, "site.test", authority, host="::1").body == website.page


def test_more_visitors_allowed_than_open_files(world):
    """An operator learns at the start that the machine stands in the way of limits.connections."""
    world.ingress.config.setdefault("limits", {})["connections"] = 10_000_000
    world.start()
    world.ingress.wait_log(r"event=few_files .*limits_connections=10000000")
