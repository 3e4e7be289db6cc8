"""Visitors of an ingress whose nodes come over the network, from the producer: names come and go within a second, streams
end when a node is withdrawn, and no failure of the feed takes a name away."""
import time

import pytest

import visitor
from processes import wait_for
from test_feed_https import Producer
from world import RAW_NAME, RAW_PORT, open_world, service


@pytest.fixture
def fed(request, tmp_path):
    """A world with a raw service; its ingress has an https feed from a producer."""
    world = open_world(request, tmp_path / "world")
    producer = Producer(tmp_path / "producer")
    node = world.add_node("rawnode", [service(RAW_NAME, world.raw.forward, [RAW_PORT])], listed=False)
    world.extra.append(producer)
    producer.put("rawnode", **node_row(node))
    world.ingress.config["feed"] = {"type": "https", "urls": [f"http://127.0.0.1:{producer.port}/nodes"]}
    producer.start()
    world.start()
    world.ingress.wait_log("event=applied nodes=1")
    return world, producer, node


def node_row(node):
    row = node.row()
    del row["id"]
    return row


def crosses(world):
    sock, served = world.raw_pair()
    with sock, served:
        sock.sendall(b"in")
        assert served.recv(10) == b"in"


def refused(world):
    with visitor.connect(world.ingress.raw_port) as sock:
        sock.settimeout(0.3)
        try:
            return sock.recv(1) == b""
        except TimeoutError:
            world.raw.accept().close()  # it was served
            return False
        except ConnectionError:
            return True


def test_names_follow_the_feed(fed):
    world, producer, node = fed
    crosses(world)
    live, served = world.raw_pair()
    producer.remove("rawnode")
    begun = time.monotonic()
    world.ingress.wait_log("event=source state=connected")
    wait_for("the name is gone", lambda: refused(world), 5)
    assert time.monotonic() - begun < 2
    live.sendall(b"still")  # removed is not withdrawn: the stream goes on
    assert served.recv(10) == b"still"
    producer.put("rawnode", **node_row(node))
    wait_for("the name is back", lambda: not refused(world), 5)
    crosses(world)
    live.close()
    live, served = world.raw_pair()
    producer.put("rawnode", revoked=True)
    live.settimeout(5)
    try:
        assert live.recv(1) == b""
    except ConnectionError:
        pass
    live.close()


def test_no_failure_takes_a_name_away(fed):
    world, producer, _ = fed
    producer.kill()
    world.ingress.wait_log("event=source state=retrying")
    crosses(world)
    mark = world.ingress.mark()
    producer.start()
    world.ingress.wait_log("event=source state=connected", 20, mark)
    crosses(world)
