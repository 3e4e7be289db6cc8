"""Visitors of an ingress whose nodes come over the network, from the producer: names come and go within a second, streams
end when a node is withdrawn, and no failure of the feed takes a name away."""
import base64
import json
import re
import time

import pytest

import visitor
from processes import run, wait_for
from test_feed_https import Producer
from world import INGRESS, RAW_NAME, RAW_PORT, open_world, random_public_key, service


@pytest.fixture
def fed(request, tmp_path):
    """A world with a raw service; its ingress has an https feed from a producer."""
    world = open_world(request, tmp_path / "world")
    producer = Producer(tmp_path / "producer")
    node = world.add_node("rawnode", [service(RAW_NAME, world.raw.forward, [RAW_PORT])], listed=False)
    world.extra.append(producer)
    producer.put("rawnode", **node_row(node))
    world.ingress.config["admin"] = {"socket": "admin.sock"}
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
    with visitor.connect(world.ingress.raw_port) as sock:
        sock.sendall(b"in")
        got = b""
        while not got:  # what an earlier visitor left, whom a change of the feed ended on the way, says nothing
            with world.raw.accept() as served:
                got = served.recv(10)
        assert got == b"in"


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


def status(world):
    return json.loads(run([INGRESS, "status", "--json", "-c", world.ingress.config_file]).stdout)["feed"]


def reason(world, name="shy.test"):
    answer, line = world.ingress.refuses(visitor.client_hello(name))
    assert answer == visitor.UNRECOGNIZED_NAME  # to outsiders all of them look alike
    return line["reason"]


def test_each_state_of_a_node(fed):
    """The table of docs/feed.md: what new visitors are told. What becomes of live streams is in the other tests."""
    world, producer, _ = fed
    shy = {"key": random_public_key(), "peerapi6": 1, "ports": [443], "funnel": {"admin": True, "node": True}}
    for state, change, expected in (
            ("the node says no", lambda: producer.put("shy", **{**shy, "funnel": {"admin": True, "node": False}}), "not_opted_in"),
            ("removed", lambda: producer.remove("shy"), "unknown_name"),
            ("the administrator says no", lambda: producer.put("shy", **{**shy, "funnel": {"admin": False, "node": True}}),
             "not_opted_in"),
            ("another port", lambda: producer.put("shy", **{**shy, "ports": [8443]}), "port_not_funnelled"),
            ("expired", lambda: producer.put("shy", **shy, expires="2020-01-01T00:00:00Z"), "not_opted_in"),
            ("removed again", lambda: producer.remove("shy"), "unknown_name")):
        change()
        wait_for(f"{state}: {expected}", lambda: reason(world) == expected, 5)
    producer.put("shy", **shy)
    wait_for("it is back", lambda: status(world)["nodes"] == 2)
    producer.put("shy", revoked=True)
    wait_for("withdrawn: not_opted_in", lambda: reason(world) == "not_opted_in", 5)
    # still so in a snapshot that says it, and no more in one that does not
    for expected in ("not_opted_in", "unknown_name"):
        producer.kill()
        if expected == "unknown_name":
            producer.remove("shy")
        mark = world.ingress.mark()
        producer.start()
        world.ingress.wait_log("event=applied nodes=1", 20, mark)
        assert reason(world) == expected
    crosses(world)


def kept_as_withdrawn(world, key):
    """The flag that follows the key in the map on disk (ingress/feed/feed_disk.c)."""
    file = world.ingress.directory / "state/nodes.map"
    kept = file.read_bytes() if file.exists() else b""
    at = kept.find(base64.b64decode(key))
    return at >= 0 and kept[at + 32] & 8


def test_stale_and_cold(fed):
    """A feed that is away takes nothing away, not even over a start, and status says how old the map is."""
    world, producer, _ = fed
    wait_for("current", lambda: status(world)["state"] == "current")
    assert status(world)["type"] == "https" and status(world)["heard"]
    key = random_public_key()
    producer.put("gone", key=key, peerapi6=1, ports=[443], funnel={"admin": True, "node": True})
    wait_for("there", lambda: status(world)["nodes"] == 2)
    producer.put("gone", revoked=True)
    wait_for("withdrawn", lambda: reason(world, "gone.test") == "not_opted_in", 5)
    wait_for("kept on disk", lambda: kept_as_withdrawn(world, key), 15)
    producer.kill()
    wait_for("stale", lambda: status(world)["state"] == "stale")
    crosses(world)
    assert reason(world, "gone.test") == "not_opted_in" and reason(world, "nobody.test") == "unknown_name"
    world.ingress.stop()
    mark = world.ingress.mark()
    world.ingress.start()
    world.ingress.wait_log('event=cold_start nodes=1 age="[0-9]+ s"', since=mark)
    cold = status(world)
    assert cold["state"] == "cold" and not cold["heard"] and 0 < cold["age_s"] < 60
    said = run([INGRESS, "status", "-c", world.ingress.config_file], check=False).stdout
    assert re.search(r"not heard yet: its map is the one on disk, [0-9]+ s old", said), said
    assert reason(world, "gone.test") == "not_opted_in"
    crosses(world)
    producer.remove("gone")
    producer.start()
    wait_for("current again", lambda: status(world)["state"] == "current", 30)
    wait_for("and without it", lambda: reason(world, "gone.test") == "unknown_name")


def test_a_map_that_can_not_be_kept(fed):
    """A withdrawal is written down at once; where that fails, it is said once and tried again later, and then it is kept."""
    world, producer, _ = fed
    key = random_public_key()
    producer.put("gone", key=key, peerapi6=1, ports=[443], funnel={"admin": True, "node": True})
    wait_for("kept", lambda: status(world)["kept_age_s"] is not None and status(world)["nodes"] == 2, 15)
    blocker = world.ingress.directory / "state/.nodes.map.new"
    blocker.mkdir()
    (blocker / "something").touch()
    producer.put("gone", revoked=True)
    world.ingress.wait_log("event=map_not_kept", 15)
    age = status(world)["kept_age_s"]
    wait_for("another try, in vain as well", lambda: status(world)["kept_age_s"] > age + 11, 20)
    assert world.ingress.log().count("event=map_not_kept") == 1
    (blocker / "something").unlink()
    blocker.rmdir()
    wait_for("kept after all", lambda: kept_as_withdrawn(world, key), 15)


def test_a_feed_larger_than_allowed(fed):
    """It is refused and says why, the map in use stays; a reload with a larger limit takes it."""
    world, producer, _ = fed
    world.ingress.config["feed"]["max_nodes"] = 2
    world.ingress.write_config()
    world.ingress.reload()
    rest = {"peerapi6": 1, "ports": [443], "funnel": {"admin": True, "node": True}}
    producer.put("second", key=random_public_key(), **rest)
    wait_for("as many as allowed", lambda: status(world)["nodes"] == 2)
    producer.put("third", key=random_public_key(), **rest)
    wait_for("one more is left out", lambda: "feed.max_nodes is 2" in (status(world)["last_conflict"] or ""))
    producer.kill()
    mark = world.ingress.mark()
    producer.start()
    world.ingress.wait_log("event=refused .*a snapshot of more than 2 rows, which is feed.max_nodes", 20, mark)
    assert "feed.max_nodes" in status(world)["last_refusal"] and status(world)["nodes"] == 2
    crosses(world)
    world.ingress.config["feed"]["max_nodes"] = 3
    world.ingress.write_config()
    world.ingress.reload()
    wait_for("all of it", lambda: status(world)["nodes"] == 3, 20)
    crosses(world)


def test_a_feed_that_never_answered(fed):
    world, producer, _ = fed
    producer.kill()
    world.ingress.stop()
    (world.ingress.directory / "state/nodes.map").unlink(missing_ok=True)
    world.ingress.start()
    wait_for("it tries", lambda: status(world)["source"] == "retrying")
    now = status(world)
    assert (now["state"], now["age_s"], now["heard"], now["nodes"]) == ("empty", None, False, 0)
    assert reason(world, "rawnode.test") == "unknown_name"


@pytest.mark.parametrize("feed, key", [({"type": "https", "urls": ["http://127.0.0.1:1/n"], "token_file": "absent"}, "token_file"),
                                       ({"type": "etcd", "urls": ["http://127.0.0.1:1"], "username": "u",
                                         "password_file": "absent"}, "password_file")], ids=("https", "etcd"))
def test_a_secret_that_is_not_there_is_told_by_its_key(fed, feed, key):
    world, _, _ = fed
    world.ingress.stop()
    world.ingress.config["feed"] = feed
    world.ingress.write_config()
    failed = run([INGRESS, "-c", world.ingress.config_file], check=False)
    assert failed.returncode != 0
    assert f"absent: feed.{key}: No such file" in failed.stdout + failed.stderr, failed.stdout + failed.stderr
