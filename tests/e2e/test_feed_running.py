"""Network feeds through a running ingress, to the visitor: secrets and authorities, servers that mean harm, etcd from a start
over a change to its authentication. What each of them does to the steps alone is in test_feed_https and test_feed_etcd."""
import json
import time

import pytest

from certificates import Authority
from processes import wait_for
from test_feed_etcd import PREFIX, cluster  # noqa: F401 (a fixture)
from test_feed_https import BEGIN, Producer, Script, end
from test_feed_network import crosses, node_row, refused, status
from world import RAW_NAME, RAW_PORT, open_world, service


@pytest.fixture
def world(request, tmp_path):
    """A node that no feed tells of yet."""
    world = open_world(request, tmp_path / "world")
    world.add_node("rawnode", [service(RAW_NAME, world.raw.forward, [RAW_PORT])], listed=False)
    world.ingress.config["admin"] = {"socket": "admin.sock"}
    return world


def served(world):
    wait_for("the node is called", lambda: not refused(world), 20)
    crosses(world)


def error_of(world, text, timeout=15):
    wait_for(f"status says {text}", lambda: text in (status(world)["error"] or ""), timeout)


def test_token_and_private_authority(world, tmp_path):
    authority = Authority(tmp_path)
    server = authority.issue("server", ["localhost"])
    token, mine = tmp_path / "token", tmp_path / "mine"
    token.write_text("right\n")
    mine.write_text("wrong\n")
    producer = Producer(tmp_path / "p", "--token-file", token, "--certificate", server.certificate, "--key", server.key)
    world.extra.append(producer)
    producer.put("rawnode", **node_row(world.nodes[0]))
    producer.start()
    feed = {"type": "https", "urls": [f"https://localhost:{producer.port}/nodes"], "token_file": str(mine),
            "ca_file": str(authority.certificate)}
    world.ingress.config["feed"] = feed
    world.start(sessions=False)
    error_of(world, "401 Unauthorized")
    assert status(world)["state"] == "empty" and refused(world)
    mine.write_text("right\n")  # taken up without a reload
    served(world)
    assert status(world)["error"] is None
    del feed["ca_file"]  # this machine trusts nobody who signed that
    world.ingress.write_config()
    world.ingress.reload()
    error_of(world, "certificate is refused")
    assert status(world)["state"] == "stale"
    crosses(world)


class Drip(Script):
    """After what it has to say, a byte each 50 ms, of a line that never ends."""

    def answer(self, connection, answer):
        with connection:
            try:
                self.asked.append(connection.recv(65536).decode().split("\r\n")[0])
                connection.sendall((self.head + answer + '{"put":{"x":"').encode())
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.05)
            except OSError:
                pass


def snapshot(world, revision):
    return BEGIN + json.dumps(world.nodes[0].row()) + "\n" + end(revision)


def with_script(world, script):
    world.ingress.config["feed"] = {"type": "https", "urls": [script.url], "silence": "1s"}
    world.start()


@pytest.mark.parametrize("harm, text, reason", [
    ("goes back", '{"heartbeat":6}\n', "goes back in revisions"),
    ("endless line", '{"put":{"id":"b","x":"' + "x" * 2000000, "longer than 1 MiB"),
    ("half a snapshot", BEGIN + "oops\n", "is no JSON object"),
    ("drip", "", "said nothing whole for 1 s")], ids=lambda value: value.replace(" ", "_") if len(value) < 20 else "")
def test_harm_takes_no_name_away(world, harm, text, reason):
    script = (Drip if harm == "drip" else Script)(snapshot(world, 7) + text)
    try:
        with_script(world, script)
        world.ingress.wait_log(f"event=source state=retrying .*{reason}", 20)
        crosses(world)
        wait_for("it asks again", lambda: len(script.asked) >= 3, 20)
        crosses(world)
        assert "event=removed" not in world.ingress.log() and status(world)["nodes"] == 1
    finally:
        script.close()


def test_an_older_snapshot_needs_an_operator(world):
    other = {**world.nodes[0].row(), "id": "other", "names": ["other.test"]}
    script = Script(snapshot(world, 7), BEGIN + json.dumps(other) + "\n" + end(3))
    try:
        with_script(world, script)
        world.ingress.wait_log("event=refused .*revision 3 is older than the map's 7", 20)
        crosses(world)
        assert "revision 3 is older" in status(world)["last_refusal"]
        world.ingress.reload()
        wait_for("the older map is in force", lambda: status(world)["revision"] == 3, 20)
        assert refused(world)
    finally:
        script.close()


def test_etcd(world, cluster, tmp_path):  # noqa: F811
    key, text = PREFIX + "rawnode", json.dumps(world.nodes[0].row())
    cluster.put(key, text)
    feed = {"type": "etcd", "urls": cluster.urls}
    world.ingress.config["feed"] = feed
    world.start()
    crosses(world)
    assert status(world)["type"] == "etcd"
    cluster.put(PREFIX + "broken", "{}")
    wait_for("a bad row is told by its key", lambda: "key 'broken'" in (status(world)["last_bad_row"] or ""))
    cluster.delete(key)
    wait_for("deleted", lambda: refused(world))
    cluster.put(key, text)
    served(world)
    cluster.turn_authentication_on("ingress", "right")
    world.ingress.reload()  # asks anew, and is nobody there
    error_of(world, "400")
    crosses(world)
    password = tmp_path / "password"
    password.write_text("right\n")
    feed |= {"username": "ingress", "password_file": str(password)}
    assert world.ingress.stop() == 0  # a running one may not read in that folder
    world.ingress.start()
    wait_for("known there", lambda: status(world)["state"] == "current", 20)
    served(world)
    cluster.put(key, '{"revoked":true}')
    wait_for("withdrawn", lambda: refused(world))
    world.ingress.access(reason="not_opted_in")
    cluster.put(key, text)
    served(world)
