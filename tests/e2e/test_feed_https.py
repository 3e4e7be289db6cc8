"""The https feed through the producer of deploy/feed: what changes in its directory is told within a second, what goes wrong
is said and takes no name away. Servers that mean harm are played by the test."""
import json
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from certificates import Authority
from feedtail import FeedTail
from ports import free_port
from processes import Process, wait_for

PRODUCER = Path(__file__).parents[2] / "deploy/feed/funnel-feed.py"
BEGIN = '{"snapshot":"begin","version":1}\n'


def end(revision):
    return '{"snapshot":"end","revision":%d}\n' % revision


class Producer(Process):
    def __init__(self, directory, *options):
        self.nodes = directory / "nodes"
        self.nodes.mkdir(parents=True)
        self.port = free_port()
        super().__init__("producer", [sys.executable, PRODUCER, "serve", self.nodes, "--listen",
                                      f"127.0.0.1:{self.port}", "--heartbeat", "0.3", *options], directory)

    def put(self, node_id, **more):
        row = {"id": node_id, "names": [f"{node_id}.test"], **more}
        new = self.nodes / ".new"
        new.write_text(json.dumps(row))
        new.rename(self.nodes / f"{node_id}.json")
        return row

    def remove(self, node_id):
        (self.nodes / f"{node_id}.json").unlink()

    def start(self):
        mark = self.mark()
        super().start()
        self.wait_log("funnel-feed: serves", since=mark)
        return self


@pytest.fixture
def running():
    """What is started, ended after the test; a sanitizer's word fails it."""
    started = []
    yield started
    for process in started:
        process.stop()
        assert not process.defects(), process.defects()


def tail_of(running, directory, url, name="tail", **options):
    tail = FeedTail(directory, name, type="https", urls=[url] if isinstance(url, str) else url, **options)
    running.append(tail)
    return tail.start()


def test_within_a_second(running, tmp_path):
    producer = Producer(tmp_path)
    a = producer.put("a")
    running.append(producer.start())
    tail = tail_of(running, tmp_path, f"http://127.0.0.1:{producer.port}/nodes")
    tail.wait_nodes({"a": a})
    for step, expected in ((lambda: producer.put("b", v=1), {"a", "b"}), (lambda: producer.put("b", v=2), {"a", "b"}),
                           (lambda: producer.remove("a"), {"b"}), (lambda: producer.put("b", revoked=True), set())):
        before, begun = tail.nodes(), time.monotonic()
        step()
        wait_for("the step is told", lambda: set(tail.nodes()) == expected and tail.nodes() != before, 5)
        assert time.monotonic() - begun < 1
    assert "remove a" in tail.lines() and "revoke b" in tail.lines()


def test_server_away_and_back(running, tmp_path):
    producer = Producer(tmp_path)
    a = producer.put("a")
    running.append(producer.start())
    tail = tail_of(running, tmp_path, f"http://127.0.0.1:{producer.port}/nodes")
    tail.wait_nodes({"a": a})
    producer.kill()
    tail.wait_state("retrying")
    assert tail.nodes() == {"a": a} and tail.count("remove") == 0
    b = producer.put("b")
    producer.start()
    tail.wait_nodes({"a": a, "b": b}, 15)
    revision = int(next(line for line in reversed(tail.lines()) if line.startswith(("at", "end"))).split()[1])
    tail.stop()
    c = producer.put("c")
    again = FeedTail(tmp_path, "again", resume=revision, type="https", urls=[f"http://127.0.0.1:{producer.port}/nodes"])
    running.append(again.start())
    wait_for("only what is new", lambda: again.nodes() == {"c": c})
    assert again.count("begin") == 0


def test_token_and_private_authority(running, tmp_path):
    authority = Authority(tmp_path)
    server = authority.issue("server", ["localhost"])
    client = authority.issue("client", ["client"])
    token = tmp_path / "token"
    token.write_text("right\n")
    producer = Producer(tmp_path / "p", "--token-file", token, "--certificate", server.certificate, "--key", server.key,
                        "--client-ca", authority.certificate)
    a = producer.put("a")
    running.append(producer.start())
    url = f"https://localhost:{producer.port}/nodes"
    mine = tmp_path / "mine"
    mine.write_text("wrong\n")
    own = {"ca_file": str(authority.certificate), "certificate": str(client.certificate),
           "certificate_key": str(client.key)}
    tail = tail_of(running, tmp_path, url, token_file=str(mine), **own)
    assert "401 Unauthorized" in tail.wait_state("401")
    mine.write_text("right\n")  # taken up without a reload
    tail.wait_nodes({"a": a}, 15)
    stranger = tail_of(running, tmp_path, url, "stranger", ca_file=str(authority.certificate), token_file=str(mine))
    stranger.wait_state("certificate required")  # not always at first: a reset may come before the alert is read
    doubter = tail_of(running, tmp_path, url, "doubter", token_file=str(mine))
    assert "certificate is refused" in doubter.wait_state("retrying")
    other = tail_of(running, tmp_path, url.replace("localhost", "127.0.0.1"), "other", token_file=str(mine), **own)
    assert "IP address mismatch" in other.wait_state("retrying")
    assert stranger.nodes() == doubter.nodes() == other.nodes() == {}


class Script:
    """A server that says what the test wants, connection after connection; the last one again for all that follow."""

    def __init__(self, *answers, head="HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\n\r\n"):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.answers, self.head, self.asked = list(answers), head, []
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/nodes"

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            threading.Thread(target=self.answer, args=(connection, answer), daemon=True).start()

    def answer(self, connection, answer):
        with connection:
            try:
                self.asked.append(connection.recv(65536).decode().split("\r\n")[0])
                if answer.startswith("HTTP"):
                    connection.sendall(answer.encode())
                else:
                    connection.sendall((self.head + answer).encode())
                    connection.recv(1)  # until the other side has enough
            except OSError:
                pass

    def close(self):
        self.socket.close()


GOOD = BEGIN + '{"id":"a"}\n' + end(7)
HARM = {
    "nonsense": (GOOD + "nonsense\n", "is no JSON object"),
    "goes back": (GOOD + '{"heartbeat":6}\n', "goes back in revisions"),
    "endless line": (GOOD + '{"put":{"id":"b","x":"' + "x" * 2000000, "longer than 1 MiB"),
    "half a snapshot": (GOOD + BEGIN + '{"id":"b"}\n' + "oops\n", "is no JSON object"),
    "flood": (GOOD + '{"heartbeat":7}\n' * 200000 + "x\n", "is no JSON object"),
    "silence": (GOOD, "said nothing whole for 1 s"),
    "an error": (GOOD + '{"error":"going down"}\n', "going down"),
}


@pytest.mark.parametrize("harm", HARM)
def test_harm_changes_nothing(running, tmp_path, harm):
    answer, reason = HARM[harm]
    script = Script(answer)
    try:
        tail = tail_of(running, tmp_path, script.url, silence="1s")
        tail.wait_state(reason, 20)
        assert tail.nodes() == {"a": {"id": "a"}}
        assert tail.count("remove") == tail.count("revoke") == 0
        wait_for("it asks again", lambda: len(script.asked) >= 2)
        if harm == "goes back":
            assert "revision=" not in script.asked[1]
        else:
            assert "revision=7" in script.asked[1]
    finally:
        script.close()


def test_redirects(running, tmp_path):
    there = Script(GOOD)
    token = tmp_path / "token"
    token.write_text("secret\n")
    here = Script(f"HTTP/1.1 307 There\r\nLocation: {there.url}\r\nContent-Length: 0\r\n\r\n")
    try:
        tail = tail_of(running, tmp_path, here.url, token_file=str(token))
        tail.wait_nodes({"a": {"id": "a"}})
        assert tail.running()
    finally:
        here.close()
        there.close()
