"""Connections opened ahead to a node in demand (offer.warm): an offer takes a round trip less, and whatever becomes of
such a connection, no visitor notices. Also how many round trips an offer takes without."""
import contextlib
import signal

import pytest

import visitor
from fakenode import FakeNode, gives_addresses, how
from processes import wait_for
from test_bad_nodes import GREETING, PROPAGATE
from test_metrics import metrics
from world import RAW_NAME, RAW_PORT

WARM = 2
RTT_MS = 200


def offers(world):
    """How offers fared so far: hits, misses, stale ones."""
    samples = metrics(world)
    return tuple(samples[f'funnel_warm_offers_total{{result="{result}"}}'] for result in ("hit", "miss", "stale"))


def warm(world):
    return metrics(world)["funnel_warm_connections"]


def visit(world):
    """A visitor who is served by the raw node; what the access log says of it."""
    since = len(world.ingress.json_lines())
    client, served = world.raw_pair()
    with client, served:
        client.sendall(b"question")
        assert visitor.read_exactly(served, 8) == b"question"
        served.sendall(b"answer")
        assert visitor.read_exactly(client, 6) == b"answer"
        name = "%s:%d" % client.getsockname()
    return world.ingress.access(since=since, client=name)


def visit_echo(world, first=b""):
    """A visitor who is served by a node that echoes, and may speak first."""
    with visitor.connect(world.ingress.raw_port) as sock:
        assert visitor.read_exactly(sock, len(first)) == first
        sock.sendall(b"echo")
        assert visitor.read_exactly(sock, 4) == b"echo"


def heat(world, visit=visit):
    """Two visitors: from now on connections are there."""
    visit(world)
    visit(world)
    wait_for("the connections are open", lambda: warm(world) == WARM)


def fake_node(world, answer, then="echo", when="request", **more):
    """A node behind the raw listener that has one address."""
    world.ingress.config["offer"] = {"warm": WARM}
    gives_addresses(world)
    node = FakeNode(world, "fake", v6=how(answer, then, when=when), names=[RAW_NAME], ports=[RAW_PORT], **more)
    node.row["addresses"] = [node.v6]
    return node


@pytest.fixture
def cold_world(make_world):
    world = make_world()
    world.ingress.config["admin"] = {"socket": "admin.sock"}
    return world


@pytest.fixture
def world(cold_world):
    cold_world.ingress.config["offer"] = {"warm": WARM}
    cold_world.raw_node = cold_world.add_raw_node()
    return cold_world


def offer_ms(world, count=3):
    """The fastest of some: this machine may be busy, but no offer is faster than its round trips."""
    return min(visit(world)["offer_ms"] for _ in range(count))


def test_round_trips(cold_world):
    """Cold: the request rides on the SYN and the 101 on the SYN-ACK. Warm: the same on a connection that is there."""
    world = cold_world
    world.add_raw_node(world.add_relay(f"delay={RTT_MS / 2}"))
    world.start()
    assert RTT_MS <= offer_ms(world) < 1.9 * RTT_MS
    assert offers(world) == (0, 0, 0) and warm(world) == 0, "without being told to"
    world.ingress.config["offer"] = {"warm": WARM}
    world.ingress.write_config()
    world.ingress.reload()
    heat(world)
    assert RTT_MS <= offer_ms(world) < 1.9 * RTT_MS


def test_each_offer_takes_one_and_opens_one(world):
    world.start()
    heat(world)
    assert offers(world) == (0, 2, 0)
    for i in range(1, 2 * WARM + 1):
        visit(world)
        assert offers(world) == (i, 2, 0)
        wait_for("there are as many again", lambda: warm(world) == WARM)


def test_no_more_than_there_may_be_visitors(world):
    world.ingress.config["limits"]["connections_per_node"] = 3
    world.start()
    with contextlib.ExitStack() as streams:
        def stream():
            for sock in world.raw_pair():
                streams.enter_context(sock)
        stream()
        stream()
        wait_for("one is open, for the last", lambda: warm(world) == 1)
        stream()
        wait_for("that one took it, and nobody is to come", lambda: warm(world) == 0)
        assert offers(world) == (1, 2, 0)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_node_restarts(world, end):
    """Killed it says nothing: the next offer finds out, and is made again. With SIGTERM it closes what waits."""
    world.start()
    heat(world)
    node = world.raw_node
    if end == signal.SIGTERM:
        node.stop()
        wait_for("the ingress knows", lambda: warm(world) == 0)
    else:
        node.kill()
        assert warm(world) == WARM
    mark = node.mark()
    node.start()
    node.wait_sessions(since=mark)
    assert visit(world)["reason"] == "ok"
    assert offers(world) == ((1, 2, 1) if end == signal.SIGKILL else (0, 3, 0))
    wait_for("they are open again", lambda: warm(world) == WARM)
    assert visit(world)["reason"] == "ok"


def test_node_is_back_and_does_not_call(cold_world):
    """It has forgotten the session too, and drops what comes: only a new handshake helps, and we have to make it. A SYN
    would find that out after a second; so must a request."""
    world = cold_world
    node = fake_node(world, PROPAGATE, calls=False)
    world.start()
    heat(world, visit_echo)
    node.kill()
    node.start()
    visit_echo(world)
    assert offers(world) == (1, 2, 1)


def test_a_reload_that_switches_it_off(world):
    world.start()
    heat(world)
    world.ingress.reload()
    assert warm(world) == WARM
    world.ingress.config["offer"] = {"warm": 0}
    world.ingress.write_config()
    world.ingress.reload()
    wait_for("they are closed", lambda: warm(world) == 0)
    visit(world)
    visit(world)
    assert warm(world) == 0


@pytest.mark.parametrize("change", ["removed", "revoked", "port", "addresses"])
def test_the_feed_changes_the_node(cold_world, change):
    """What waits is closed, and the node is told, though its peer goes with what waits."""
    world = cold_world
    node = fake_node(world, PROPAGATE, calls=False)
    world.start()
    heat(world, visit_echo)
    if change == "removed":
        world.ingress.rows = []
    elif change == "revoked":
        node.row["funnel"]["admin"] = False
    elif change == "port":
        node.row["peerapi6"] += 1
    else:
        node.row["addresses"] = ["fd00:3::3"]
    world.ingress.write_feed()
    world.ingress.reload()
    wait_for("they are closed", lambda: warm(world) == 0)
    wait_for("the node knows", lambda: [end["how"] for end in node.events("end")].count("was reset") == WARM)
    if change == "addresses": # another peer has the key now
        visit_echo(world)


def test_a_drain_closes_them(world):
    """And does not wait for them."""
    world.start()
    heat(world)
    client, served = world.raw_pair()
    with client, served:
        mark = world.ingress.mark()
        world.ingress.signal(signal.SIGTERM)
        world.ingress.wait_log(r"event=draining", since=mark)
        wait_for("they are closed", lambda: warm(world) == 0)
        client.sendall(b"question")
        assert visitor.read_exactly(served, 8) == b"question"
    assert world.ingress.wait() == 0


def test_a_node_that_speaks_unasked_gets_none(cold_world):
    """What it says is no answer to a request that was not made."""
    world = cold_world
    fake_node(world, PROPAGATE + GREETING, when="connected")
    world.start()
    for _ in range(4):
        visit_echo(world, GREETING)
        wait_for("nothing is kept", lambda: warm(world) == 0)
    assert offers(world) == (0, 4, 0)


def test_a_plain_connection_is_never_opened_ahead(cold_world):
    """The service behind a node of transport tcp would see it. Nobody connects there but for a visitor."""
    world = cold_world
    node = fake_node(world, GREETING, when="connected", port=RAW_PORT)
    node.row |= {"transport": "tcp", "half_close": "propagate"}
    world.start()
    for visitors in range(1, 6):
        visit_echo(world, GREETING)
        # one that was opened ahead of this visitor, or any before, would have come before this one's greeting
        assert len({syn["port"] for syn in node.events("syn")}) == visitors
    assert warm(world) == 0 and offers(world) == (0, 0, 0)
