"""SIGHUP: config and feed change under live streams; what is broken changes nothing and is explained."""
import re
import socket
import threading

import pytest

import visitor
from fakenode import FakeNode, gives_addresses, how
from ports import free_port
from processes import run, wait_for
from visitor import UNRECOGNIZED_NAME
from world import INGRESS, new_key, service, write_secret


@pytest.fixture
def world(site_world):
    site_world.add_raw_node()
    return site_world


class Echo:
    """A live stream that keeps talking; stop() tells how many rounds went well."""

    def __init__(self, world):
        self.client, self.served = world.raw_pair()
        self.rounds, self.failure, self.stopping = 0, None, False
        self.thread = threading.Thread(target=self._talk)
        self.thread.start()

    def _talk(self):
        try:
            while not self.stopping:
                message = b"%08d" % self.rounds
                self.client.sendall(message)
                assert visitor.read_exactly(self.served, 8) == message
                self.served.sendall(message)
                assert visitor.read_exactly(self.client, 8) == message
                self.rounds += 1
        except (OSError, AssertionError) as failure:
            self.failure = failure

    def wait_rounds(self, more):
        target = self.rounds + more
        wait_for("the live stream goes on", lambda: self.failure or self.rounds >= target)
        assert not self.failure

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.client.close()
        self.served.close()
        assert not self.failure


def page_is_served(world, website, authority):
    return visitor.fetch(world.ingress.port, "site.test", authority).body == website.page


def test_names_come_and_go_under_load(world, website, authority):
    ingress = world.ingress
    late = world.add_node("late", [service("late.test", website.https_forward, proxy_protocol="v2")], listed=False)
    world.start(sessions=False)
    for node in world.nodes[:2]:
        node.wait_sessions()
    assert visitor.refusal(ingress.port, "late.test") == UNRECOGNIZED_NAME
    streams = [Echo(world) for _ in range(8)]

    ingress.rows.append(late.row())
    ingress.write_feed()
    ingress.reload()
    late.wait_sessions(timeout=30)
    assert visitor.fetch(ingress.port, "late.test", authority).body == website.page

    ingress.rows = [row for row in ingress.rows if row["id"] != "late"]
    ingress.write_feed()
    ingress.reload()
    answer, line = ingress.refuses(visitor.client_hello("late.test"))
    assert (answer, line["reason"]) == (UNRECOGNIZED_NAME, "unknown_name")
    assert page_is_served(world, website, authority)
    for stream in streams:
        stream.wait_rounds(5)
        stream.stop()


def test_streams_of_a_removed_node_drain(world):
    """Gone from the feed means no new offers; who talks may finish."""
    world.start()
    stream = Echo(world)
    world.ingress.rows = [row for row in world.ingress.rows if row["id"] != "rawnode"]
    world.ingress.write_feed()
    world.ingress.reload()
    stream.wait_rounds(5)
    stream.stop()
    with visitor.connect(world.ingress.raw_port) as sock:
        assert visitor.verdict(sock) == visitor.CLOSED


def test_a_removed_node_hears_of_its_last_stream_s_end(world):
    """With that stream the node's session goes too; a service that is not told would wait for hours."""
    world.start()
    client, served = world.raw_pair()
    with served:
        world.ingress.rows = [row for row in world.ingress.rows if row["id"] != "rawnode"]
        world.ingress.write_feed()
        world.ingress.reload()
        visitor.reset(client)
        with pytest.raises(ConnectionResetError):
            served.recv(1)


@pytest.mark.parametrize("choice, lives", [("end", False), ("keep", True)])
def test_streams_of_a_revoked_node(world, choice, lives):
    """A withdrawn opt-in is stronger than absence: by default its streams end."""
    world.ingress.config["feed"]["revoked_streams"] = choice
    world.start()
    client, served = world.raw_pair()
    row = next(row for row in world.ingress.rows if row["id"] == "rawnode")
    row["funnel"] = {"admin": False, "node": "ask"}
    world.ingress.write_feed()
    world.ingress.reload()
    with client, served:
        if lives:
            served.sendall(b"still here")
            assert visitor.read_exactly(client, 10) == b"still here"
        else:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass


def test_listener_added_and_removed(world, website, authority):
    world.start()
    stream = Echo(world)
    added = free_port()
    world.ingress.config["listen"].append({"address": f"127.0.0.1:{added}", "protocol": "tls", "public_port": 443})
    world.ingress.write_config()
    world.ingress.reload()
    assert visitor.fetch(added, "site.test", authority).body == website.page

    world.ingress.config["listen"].pop()
    world.ingress.write_config()
    world.ingress.reload()
    with pytest.raises(ConnectionRefusedError):
        visitor.connect(added)
    stream.wait_rounds(5)
    stream.stop()


def test_setting_changes_for_new_visitors(world):
    world.start()
    world.ingress.config["hello"] = {"timeout": "1s"}
    world.ingress.write_config()
    world.ingress.reload()
    with visitor.connect(world.ingress.port, timeout=3) as sock:
        assert sock.recv(1) == b""


BROKEN_FEEDS = {
    "syntax": ('{"version": 1,\n "nodes": [,]}\n', r"nodes\.json:2:\d+: "),
    "cut short": ('{"version": 1, "nodes": [\n', r"nodes\.json:\d+:\d+: "),
    "empty file": ("", r"nodes\.json"),
    "not a feed": ("[]\n", r"nodes\.json"),
    "bad name": ('{"version": 1, "nodes": [{"id": "a", "names": ["no spaces please"], "key": "%s", "peerapi6": 1,'
                 ' "ports": [443], "funnel": {"admin": true, "node": "ask"}}]}', r"nodes\.json: nodes\[0\]\.names\[0\]: "),
    "bad key": ('{"version": 1, "nodes": [{"id": "a", "names": ["a.test"], "key": "c2hvcnQ=", "peerapi6": 1,'
                ' "ports": [443], "funnel": {"admin": true, "node": "ask"}}]}', r"nodes\.json: nodes\[0\]\.key: "),
    "missing file": (None, r"nodes\.json"),
}


@pytest.mark.parametrize("case", BROKEN_FEEDS)
def test_broken_feed_changes_nothing(world, website, authority, case):
    text, explanation = BROKEN_FEEDS[case]
    world.start()
    stream = Echo(world)
    if text is None:
        world.ingress.feed_file.unlink()
    else:
        world.ingress.feed_file.write_text(text.replace("%s", world.home.public_key))
    log = world.ingress.reload(expect="failed")
    assert re.search(explanation, log), log
    assert page_is_served(world, website, authority)

    world.ingress.write_feed()
    world.ingress.reload()
    assert page_is_served(world, website, authority)
    stream.wait_rounds(5)
    stream.stop()


def test_empty_feed_serves_nobody(world, website, authority):
    """A document without nodes is a statement, not a mistake."""
    world.start()
    rows, world.ingress.rows = world.ingress.rows, []
    world.ingress.write_feed()
    world.ingress.reload()
    assert visitor.refusal(world.ingress.port, "site.test") == UNRECOGNIZED_NAME
    world.ingress.rows = rows
    world.ingress.write_feed()
    world.ingress.reload()
    wait_for("the node is reached again", lambda: page_is_served(world, website, authority))


@pytest.mark.parametrize("text", ['{"version": 1,\n "nodes": [,]}\n', None], ids=["malformed", "missing"])
def test_no_start_with_a_broken_feed(world, text):
    world.ingress.write_config()
    if text is not None:
        world.ingress.feed_file.write_text(text)
    done = run([INGRESS, "-c", "ingress.yaml"], cwd=world.ingress.directory, check=False)
    assert done.returncode in (1, 78)
    assert "nodes.json" in done.stderr


BROKEN_CONFIGS = {
    "unknown key": ("  timeot: 5s\n", r"hello\.timeot: .*timeout"),
    "bad value": ("  timeout: soon\n", r"hello\.timeout: "),
    "duplicate key": ("  timeout: 5s\n  timeout: 6s\n", r"hello\.timeout: "),
    "bad syntax": ("  timeout: [5s\n", r""),
}


@pytest.mark.parametrize("case", BROKEN_CONFIGS)
def test_broken_config_changes_nothing(world, website, authority, case):
    """Named with file, line, column and key, by a running ingress and by -t alike."""
    lines, explanation = BROKEN_CONFIGS[case]
    world.start()
    stream = Echo(world)
    text = yaml_of(world.ingress) + "hello:\n" + lines
    world.ingress.config_file.write_text(text)
    bad_line = text.count("\n")
    where = r"ingress\.yaml:\d+:\d+: " if case == "bad syntax" else rf"ingress\.yaml:{bad_line}:\d+: "
    log = world.ingress.reload(expect="failed")
    assert re.search(where + explanation, log), log
    check = run([INGRESS, "-t", "-c", "ingress.yaml"], cwd=world.ingress.directory, check=False)
    assert check.returncode == 78 and re.search(where + explanation, check.stderr)
    assert page_is_served(world, website, authority)
    stream.wait_rounds(5)
    stream.stop()


def yaml_of(ingress):
    """The same configuration as block YAML, to which a section can be added by hand."""
    listeners = "".join("  - { " + ", ".join(f'{key}: "{value}"' for key, value in listener.items()) + " }\n"
                        for listener in ingress.config["listen"])
    return (f"listen:\n{listeners}"
            f"wireguard:\n  listen: [\"{ingress.config['wireguard']['listen'][0]}\"]\n"
            "identities:\n  - name: default\n    key_file: ingress.key\n"
            "feed: { type: file, path: nodes.json }\n"
            "limits: { connections_per_source: 100000, connections_per_node: 100000 }\n"
            "drain: { timeout: 5s }\n"
            "log: { level: debug, access: stdout }\n"
            "state_dir: state\n")


def test_many_reloads_under_load(world, website, authority):
    world.start()
    streams = [Echo(world) for _ in range(8)]
    for _ in range(20):
        world.ingress.reload()
        assert page_is_served(world, website, authority)
    for stream in streams:
        stream.wait_rounds(5)
        stream.stop()


def test_half_open_hello_survives_a_reload(world, website, authority):
    """A visitor in the middle of its hello belongs to no node yet; a reload must not lose it."""
    world.start()
    with visitor.connect(world.ingress.port) as sock:
        def reload_in_the_middle(sock, record):
            sock.sendall(record[:50])
            world.ingress.reload()
            sock.sendall(record[50:])
        read, write = visitor.handshake_over(sock, visitor.context(authority), "site.test", reload_in_the_middle)
        write(visitor.request("site.test"))
        assert b"200" in read()
        sock.shutdown(socket.SHUT_RDWR)


def test_identity_changes_its_key_often(make_world):
    """A new key while streams of the old one live, more often than there is room for keys: visitors are served."""
    rotations = 10
    world = make_world()
    keys = [new_key() for _ in range(rotations)]
    node = world.add_raw_node()
    node.config["ingresses"] = [{"name": f"key{i}", "public_key": public} for i, (_, public) in enumerate(keys)]
    port = free_port()  # the ingress calls: a node takes seconds to notice that a key is no longer answered
    node.config["listen"] = [f"127.0.0.1:{port}"]
    world.ingress.rows[0]["endpoints"] = [f"127.0.0.1:{port}"]
    write_secret(world.ingress.directory / "ingress.key", keys[0][0])
    world.start(sessions=False)
    streams = []
    for i, (private, _) in enumerate(keys):
        if i > 0:
            write_secret(world.ingress.directory / "ingress.key", private)
            world.ingress.reload()
        streams += world.raw_pair()
        streams[-1].sendall(b"key %d" % i)
        assert visitor.read_exactly(streams[-2], 5) == b"key %d" % i
    for sock in streams:
        sock.close()
    assert "table is full" not in world.ingress.log()


def test_reload_to_many_tailnets(world, website, authority):
    """Larger tables than at the start need no other system calls than it."""
    world.start()
    world.ingress.config["tailnets"] = [{"name": f"tailnet{i}", "identity": "default"} for i in range(300)]
    world.ingress.write_config()
    world.ingress.reload()
    assert page_is_served(world, website, authority)


@pytest.fixture
def undecided(make_world):
    """A world with a node that has a visitor's offer and never answers; and this visitor."""
    world = make_world()
    gives_addresses(world)
    world.ingress.config["offer"] = {"timeout": "20s"}
    silent = FakeNode(world, "silent", v6=how())
    world.start()
    with visitor.connect(world.ingress.port) as sock:
        sock.sendall(visitor.client_hello("silent.test"))
        wait_for("the node has the offer", lambda: silent.events("offer"))
        yield world, sock


def test_offer_under_way_follows_a_new_key(undecided):
    """The node was replaced by another: that one is offered the visitor."""
    world, sock = undecided
    successor = FakeNode(world, "successor", v6=how(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "echo"))
    world.ingress.rows = [{**successor.row, "id": "silent", "names": ["silent.test"]}]
    world.ingress.write_feed()
    world.ingress.reload()
    successor.start()
    assert sock.recv(1) == bytes([visitor.RECORD_HANDSHAKE]), "its own hello, sent back"


def test_offer_under_way_of_a_node_that_opts_out(undecided):
    world, sock = undecided
    world.ingress.rows[0]["funnel"] = {"admin": False, "node": "ask"}
    world.ingress.write_feed()
    world.ingress.reload()
    assert visitor.verdict(sock) == UNRECOGNIZED_NAME
    world.ingress.access(reason="not_opted_in")
