"""funnel-ingress probe: each place where a visitor's way can stop is named, with a reason and advice; and the sessions
that visitors use go on."""
import json
import os
import socket
import stat
import threading

import pytest

import visitor
from fakenode import FakeNode, gives_addresses, how
from ports import free_port
from processes import run, wait_for
from world import INGRESS, random_public_key, service

OFFER_TIMEOUT_S = 2
PASSED, FAILED, USAGE, BAD_CONFIG = 0, 1, 2, 78
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
NO_CAP = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 23\r\n\r\ndenied; no ingress cap\n"


@pytest.fixture
def world(site_world):
    """With an admin socket, so that the running ingress is asked."""
    site_world.ingress.config["offer"] = {"timeout": f"{OFFER_TIMEOUT_S}s"}
    site_world.ingress.config["admin"] = {"socket": "admin.sock"}
    return site_world


def admin(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(path))
    return sock


def read_lines(sock, count):
    with sock.makefile("rb") as lines:
        return [lines.readline() for _ in range(count)]


class Probed:
    def __init__(self, world, *arguments):
        self.done = run([INGRESS, "probe", "--json", "-c", world.ingress.config_file, *arguments], check=False)
        self.status = self.done.returncode
        lines = [json.loads(line) for line in self.done.stdout.splitlines()]
        self.steps, self.result = lines[:-1], lines[-1] if lines else None

    def names(self):
        return [step["step"] for step in self.steps]

    def failed(self):
        """The one step that failed."""
        steps = [step for step in self.steps if step["status"] == "failed"]
        assert len(steps) == 1, self.steps
        assert steps[0]["advice"] and steps[0]["text"]
        assert self.status == FAILED and self.result["status"] == "failed"
        return steps[0]

    def step(self, name):
        return next(step for step in self.steps if step["step"] == name)

    def passed(self):
        assert self.status == PASSED, (self.steps, self.done.stderr)
        assert all(step["status"] != "failed" for step in self.steps) and self.result["status"] == "ok"
        return self


def test_every_step_passes_and_no_visitor_is_logged(world):
    world.start()
    probed = Probed(world, "Site.Test.").passed()
    assert probed.names() == ["config", "feed", "session", "connect", "offer"]
    assert all(step["ms"] >= 0 for step in probed.steps)
    assert {step["node"] for step in probed.steps[1:]} == {"home"}
    assert world.ingress.json_lines() == []
    world.home.wait_log(r"192\.0\.2\.1")


def test_text_for_people(world):
    world.start()
    done = run([INGRESS, "probe", "-c", world.ingress.config_file, "site.test:8443"], check=False)
    assert done.returncode == FAILED
    for text in ("feed ", "reason: port_not_funnelled", "to do: Add the port"):
        assert text in done.stdout


def test_source_is_what_the_node_is_told(world):
    world.start()
    Probed(world, "--source", "2001:db8::77", "site.test").passed()
    world.home.wait_log(r"2001:db8::77")


def test_unknown_name(world):
    world.start()
    step = Probed(world, "nobody.test").failed()
    assert (step["step"], step["reason"]) == ("feed", "unknown_name")


def test_wrong_port(world):
    world.start()
    step = Probed(world, "site.test:8443").failed()
    assert (step["step"], step["reason"]) == ("feed", "port_not_funnelled")
    assert "443" in step["text"]


@pytest.mark.parametrize("row", [{"funnel": {"admin": False, "node": "ask"}},
                                 {"funnel": {"admin": True, "node": False}},
                                 {"expires": "2020-01-01T00:00:00Z"}], ids=str)
def test_not_opted_in(world, website, row):
    world.add_node("shy", [service("shy.test", website.https_forward)], **row)
    world.start()
    step = Probed(world, "shy.test").failed()
    assert (step["step"], step["reason"], step["node"]) == ("feed", "not_opted_in", "shy")
    assert "expires" not in row or "expired 2020-01-01T00:00:00Z" in step["text"]


def test_one_of_two_nodes_is_not_to_be_offered(world, website):
    """That is how an operator takes a node out: no fault while another one serves the name."""
    world.add_node("second", [service("site.test", website.https_forward)], funnel={"admin": False, "node": "ask"})
    world.start()
    probed = Probed(world, "site.test").passed()
    assert [(step["node"], step["status"]) for step in probed.steps if step["step"] == "feed"] == \
        [("home", "ok"), ("second", "note")]


def test_both_nodes_of_a_name_are_asked(world, website):
    world.add_node("second", [service("site.test", website.https_forward, funnel=False)])
    world.start()
    step = Probed(world, "site.test").failed()
    assert (step["step"], step["reason"], step["node"]) == ("offer", "node_denied", "second")


def test_node_down(world):
    world.start()
    world.home.kill()
    step = Probed(world, "site.test").failed()
    assert step["step"] in ("session", "connect")
    assert step["reason"] in ("node_no_session", "node_unreachable")


def test_node_that_never_called(world):
    world.ingress.rows.append({"id": "ghost", "names": ["ghost.test"], "key": random_public_key(), "peerapi6": 41112,
                               "ports": [443], "funnel": {"admin": True, "node": "ask"}})
    world.start()
    step = Probed(world, "ghost.test").failed()
    assert (step["step"], step["reason"]) == ("session", "node_no_session")
    assert "has not called" in step["text"] and step["ms"] >= OFFER_TIMEOUT_S * 1000 - 100


def test_endpoint_that_does_not_answer(world):
    where = f"127.0.0.1:{free_port()}"
    world.ingress.rows.append({"id": "ghost", "names": ["ghost.test"], "key": random_public_key(), "peerapi6": 41112,
                               "ports": [443], "funnel": {"admin": True, "node": "ask"}, "endpoints": [where]})
    world.start()
    step = Probed(world, "ghost.test").failed()
    assert (step["step"], step["reason"]) == ("session", "node_no_session") and where in step["text"]


def test_node_denies(world, website):
    world.add_node("strict", [service("off.test", website.https_forward, funnel=False)])
    world.start()
    step = Probed(world, "off.test").failed()
    assert (step["step"], step["reason"], step["node"]) == ("offer", "node_denied", "strict")


def test_wrong_peerapi_port(world, website):
    world.add_node("moved", [service("moved.test", website.https_forward)], peerapi6=free_port())
    world.start()
    step = Probed(world, "moved.test").failed()
    assert (step["step"], step["reason"]) == ("connect", "node_unreachable")


def test_each_family_is_asked(world):
    """A visitor would be served over the other family and nobody would notice."""
    gives_addresses(world)
    node = FakeNode(world, "half", v4=how(ACCEPTED), v6=how(NO_CAP))
    world.start(sessions=False)
    node.wait_sessions()
    probed = Probed(world, "half.test")
    step = probed.failed()
    assert (step["step"], step["reason"], step["family"]) == ("offer", "node_no_cap", 6)
    assert [(s["step"], s["family"], s["status"]) for s in probed.steps if "family" in s] == [
        ("connect", 6, "ok"), ("offer", 6, "failed"), ("connect", 4, "ok"), ("offer", 4, "ok")]


def test_public_listener(world, website):
    world.start()
    probed = Probed(world, "--public", f"127.0.0.1:{world.ingress.port}", "site.test").passed()
    assert probed.names()[-2:] == ["public", "certificate"]
    assert "TLSv1." in probed.step("public")["text"]
    # the tests' own authority is nobody's: worth a note, but the way is clear
    certificate = probed.step("certificate")
    assert certificate["status"] == "note" and "website" in certificate["text"]


def test_public_listener_refuses_with_an_alert(world):
    world.start()
    probed = Probed(world, "--public", f"127.0.0.1:{world.ingress.port}", "nobody.test")
    assert probed.status == FAILED
    assert "alert 112" in probed.step("public")["text"] and "unknown_name" in probed.step("public")["advice"]
    assert world.ingress.access(name="nobody.test")["reason"] == "unknown_name"


def test_service_that_speaks_no_tls(world, website):
    world.add_node("plain", [service("plain.test", website.http_forward, proxy_protocol="v2")])
    world.start()
    step = Probed(world, "--public", f"127.0.0.1:{world.ingress.port}", "plain.test").failed()
    assert step["step"] == "public" and "not TLS" in step["text"] and "terminate" in step["advice"]


def test_nothing_listens_publicly(world):
    world.start()
    step = Probed(world, "--public", f"127.0.0.1:{free_port()}", "site.test").failed()
    assert step["step"] == "public" and "refused" in step["text"].lower()


def test_sessions_of_visitors_stay(world, authority):
    """The probe neither draws the node's session to itself nor disturbs a stream."""
    world.start()
    with visitor.tls_connect(world.ingress.port, "site.test", authority) as tls:
        mark = world.home.mark()
        Probed(world, "site.test").passed()
        tls.sendall(visitor.request("site.test"))
        assert b"200 OK" in visitor.read_all(tls)
    assert "event=up" not in world.home.log(mark)


def test_probe_without_an_ingress(world, authority):
    """It takes the ingress's place while none runs; the ingress then finds its nodes as before."""
    world.start()
    world.ingress.stop()
    probed = Probed(world, "site.test").passed()
    assert probed.names() == ["config", "feed", "session", "connect", "offer"]
    world.ingress.start()
    wait_for("the node is back", lambda: served(world, authority), 30)


def served(world, authority):
    try:
        return visitor.fetch(world.ingress.port, "site.test", authority).status == 200
    except OSError:
        return False


def test_running_ingress_without_an_admin_socket(world):
    del world.ingress.config["admin"]
    world.start()
    probed = Probed(world, "site.test")
    assert probed.status == FAILED and "admin" in probed.done.stderr and "in use" in probed.done.stderr
    assert "event=down" not in world.ingress.log()


def test_socket_is_private_and_survives_what_is_sent_to_it(world):
    world.start()
    path = world.ingress.directory / "admin.sock"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for line in (b"{}\n", b"\n", b"[1]\n", b'"x"\n', b'{"command":"reboot"}\n', b'{"command":"probe"}\n',
                 b'{"command":"probe","name":"site.test","port":-1}\n', b"\xff" * 4096,
                 b'{"command":"probe","name":"site.test","port":443,"source":"nobody"}\n'):
        with admin(path) as sock:
            sock.sendall(line)
            assert b'"error"' in sock.makefile("rb").readline(), line
    # several requests on one connection, in order
    with admin(path) as sock:
        sock.sendall(b'{"command":"probe","name":"nobody.test","port":443}\n' * 3)
        answers = [json.loads(line) for line in read_lines(sock, 6)]
        assert [answer["step"] for answer in answers] == ["feed", "result"] * 3
    Probed(world, "site.test").passed()


def test_askers_that_leave_or_are_too_many(world):
    world.ingress.rows.append({"id": "ghost", "names": ["ghost.test"], "key": random_public_key(), "peerapi6": 41112,
                               "ports": [443], "funnel": {"admin": True, "node": "ask"}})
    world.start()
    path = world.ingress.directory / "admin.sock"
    waiting = [admin(path) for _ in range(8)]
    for sock in waiting:
        sock.sendall(b'{"command":"probe","name":"ghost.test","port":443}\n')
        assert b'"feed"' in sock.makefile("rb").readline()
    with admin(path) as sock:
        assert b"too many" in sock.makefile("rb").readline()
    for sock in waiting:
        sock.close()
    wait_for("there is room again", lambda: Probed(world, "site.test").status == PASSED)
    with admin(path) as sock:  # under way while the ingress ends
        sock.sendall(b'{"command":"probe","name":"ghost.test","port":443}\n')
        sock.makefile("rb").readline()
        world.ingress.stop()
    assert not path.exists()


def test_probes_at_once(world):
    world.start()
    results = []
    threads = [threading.Thread(target=lambda: results.append(Probed(world, "site.test").status)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [PASSED] * 4


def test_several_workers(world):
    world.ingress.config["workers"] = 3
    world.start()
    Probed(world, "site.test").passed()


def test_socket_left_behind_is_replaced(world):
    """As after a crash; a file that is no socket is not touched."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(world.ingress.directory / "admin.sock"))
    world.start()
    Probed(world, "site.test").passed()
    world.ingress.stop()
    path = world.ingress.directory / "admin.sock"
    path.write_text("mine")
    done = run([INGRESS, "-c", world.ingress.config_file], check=False)
    assert done.returncode == FAILED and "admin.socket" in done.stderr and path.read_text() == "mine"
    path.unlink()


@pytest.mark.parametrize("arguments", [[], ["a b.test"], ["site.test:0"], ["site.test:x"], ["site.test", "more"],
                                       ["--source", "nobody", "site.test"], ["--frobnicate", "site.test"]], ids=str)
def test_wrong_usage(world, arguments):
    done = run([INGRESS, "probe", *arguments], check=False)
    assert done.returncode == USAGE and done.stderr


def test_wrong_config(world):
    world.ingress.write_config()
    world.ingress.config_file.write_text("listen: none\n")
    assert Probed(world, "site.test").status == BAD_CONFIG
