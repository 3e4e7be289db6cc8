"""What a broken or hostile node can answer: the visitor gets the right alert, the log says which of them it was, and
the visitors of other nodes notice nothing."""
import threading
import time

import pytest

import visitor
from fakenode import FakeNode, INGRESS_V4, INGRESS_V6, gives_addresses, how
from ports import free_port
from visitor import ACCESS_DENIED, CLOSED, INTERNAL_ERROR, UNRECOGNIZED_NAME
from world import open_world, service

OFFER_TIMEOUT_S = 2
GROWTH_MAX = 8 << 20
# the sanitizer keeps freed memory to catch its use; here that would hide what is measured
ENV = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"}

ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
PROPAGATE = b"HTTP/1.1 101 Switching Protocols\r\nFunnel-Half-Close: propagate\r\n\r\n"
GREETING = b"220 this node speaks first\r\n"


def refusal(status, body, headers=b""):
    return b"HTTP/1.1 %d No\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)


NO_CAP = refusal(403, b"denied; no ingress cap\n")
DENIED = refusal(403, b"denied\n")
BAD_REQUEST = refusal(400, b"Tailscale-Ingress-Target header not set\n")
HTTP2_SETTINGS = bytes.fromhex("000012040000000000000300000064000400100000000600004000")
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

REFUSED = (INTERNAL_ERROR, "node_refused")
PROTOCOL = (INTERNAL_ERROR, "node_protocol")
UNKNOWN_PEER = (INTERNAL_ERROR, "node_unknown_peer")
UNREACHABLE = (INTERNAL_ERROR, "node_unreachable")
TIMEOUT = (INTERNAL_ERROR, "offer_timeout")

# what the node does, and how its visitors fare
ANSWERS = {
    "no-cap": (how(NO_CAP), (ACCESS_DENIED, "node_no_cap")),
    "denied": (how(DENIED), (UNRECOGNIZED_NAME, "node_denied")),
    "denied-then-end": (how(b"HTTP/1.1 403 No\r\nConnection: close\r\n\r\ndenied\n", "close"),
                        (UNRECOGNIZED_NAME, "node_denied")),
    "denied-in-pieces": (how(DENIED, pace=1), (UNRECOGNIZED_NAME, "node_denied")),
    "denied-in-chunks": (how(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nden\r\n3\r\nied\r\n0\r\n\r\n"),
                         (UNRECOGNIZED_NAME, "node_denied")),
    "denied-then-101": (how(DENIED + ACCEPT), (UNRECOGNIZED_NAME, "node_denied")),
    "403-other": (how(refusal(403, b"invalid peerapi request\n")), REFUSED),
    "400": (how(BAD_REQUEST), REFUSED),
    "404": (how(refusal(404, b"unsupported peerapi path\n")), REFUSED),
    "405": (how(refusal(405, b"only POST allowed\n")), REFUSED),
    "500": (how(refusal(500, b"")), REFUSED),
    "nasty-text": (how(refusal(400, b'"\x00\x1b[2J\xff\r\n{"reason": "ok"}')), REFUSED),
    "200": (how(refusal(200, b"welcome")), PROTOCOL),
    "302": (how(refusal(302, b"", b"Location: http://127.0.0.1/\r\n")), PROTOCOL),
    "100": (how(b"HTTP/1.1 100 Continue\r\n\r\n"), PROTOCOL),
    "garbage": (how(bytes(range(256)) * 4), PROTOCOL),
    "zeros": (how(bytes(8192)), PROTOCOL),
    "ssh": (how(b"SSH-2.0-OpenSSH_9.2\r\n"), PROTOCOL),
    "http2-settings": (how(HTTP2_SETTINGS), PROTOCOL),
    "http2-preface": (how(HTTP2_PREFACE), PROTOCOL),
    "large-head": (how(b"HTTP/1.1 101 Switching Protocols\r\nX-Large: " + b"x" * 65536 + b"\r\n\r\n"), PROTOCOL),
    "many-headers": (how(b"HTTP/1.1 101 Switching Protocols\r\n" + b"A: b\r\n" * 20000 + b"\r\n"), PROTOCOL),
    "large-body": (how(refusal(403, b"denied\n" * 10000)), PROTOCOL),
    "endless": (how(b"HTTP/1.1 403 No\r\n" + b"A: b\r\n" * 1000, repeat=1000000), PROTOCOL),
    "half-a-head": (how(ACCEPT[:20], "close"), PROTOCOL),
    "half-a-body": (how(DENIED[:-3], "close"), PROTOCOL),
    "half-then-reset": (how(ACCEPT[:-1], "reset"), PROTOCOL),
    "two-lengths": (how(b"HTTP/1.1 403 No\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\ndenied\n"), PROTOCOL),
    "end-without-a-byte": (how(then="close"), UNKNOWN_PEER),
    "reset-without-a-byte": (how(then="reset"), UNREACHABLE),  # the request came with the SYN: a refused connection
    "reset-once-connected": (how(then="reset", when="connected"), UNKNOWN_PEER),
    "end-before-the-request": (how(then="close", when="connected"), UNKNOWN_PEER),
    "silent": (how(), TIMEOUT),
    "silent-after-half-an-answer": (how(ACCEPT[:-1]), TIMEOUT),
    "too-slow": (how(ACCEPT, pace=1, every=500), TIMEOUT),
    "syn-reset": (how(syn="reset"), UNREACHABLE),
    "syn-refused-by-tsmp": (how(syn="tsmp"), UNREACHABLE),
    "syn-unanswered": (how(syn="ignore"), UNREACHABLE),
}
SLOW = [name for name, (_, expected) in ANSWERS.items() if expected == TIMEOUT] + ["syn-unanswered"]
# another node has the name too
FIRST_OF_TWO = ["no-cap", "500", "garbage", "end-without-a-byte", "syn-reset", "silent"]

# nodes that take the stream, however oddly: what the visitor reads before its own bytes come back
STREAMS = {
    "echo": (how(PROPAGATE, "echo"), b""),
    "in-pieces": (how(PROPAGATE, "echo", pace=1), b""),
    "more-headers": (how(PROPAGATE[:-2] + b"Upgrade: funnel\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n", "echo"), b""),
    "early": (how(PROPAGATE + GREETING, "echo"), GREETING),
    "early-in-pieces": (how(PROPAGATE + GREETING, "echo", pace=7), GREETING),
    "early-like-an-answer": (how(PROPAGATE + ACCEPT + DENIED, "echo"), ACCEPT + DENIED),
    "early-and-much": (how(PROPAGATE + GREETING * 20000, "echo"), GREETING * 20000),
    "unasked": (how(PROPAGATE + GREETING, "echo", when="connected"), GREETING),
    "length-is-no-body": (how(PROPAGATE[:-2] + b"Content-Length: 5\r\n\r\n" + GREETING, "echo"), GREETING),
}

# of a node with both families: what each does, and how its visitors fare; None: the stream opens
FAMILIES = {
    "v6-no-cap": (how(ACCEPT, "echo"), how(NO_CAP), None),
    "v4-no-cap": (how(NO_CAP), how(ACCEPT, "echo"), None),
    "v6-ends": (how(ACCEPT, "echo"), how(then="close"), None),
    "v4-resets": (how(then="reset"), how(ACCEPT, "echo"), None),
    "v6-refuses": (how(ACCEPT, "echo"), how(syn="reset"), None),
    "v4-tsmp": (how(syn="tsmp"), how(ACCEPT, "echo"), None),
    "v6-lost": (how(ACCEPT, "echo"), how(syn="ignore"), None),
    "v4-lost": (how(syn="ignore"), how(ACCEPT, "echo"), None),
    "both-no-cap": (how(NO_CAP), how(NO_CAP), (ACCESS_DENIED, "node_no_cap")),
    "both-end": (how(then="close"), how(then="close"), UNKNOWN_PEER),
    "both-refuse": (how(syn="reset"), how(syn="tsmp"), UNREACHABLE),
    "no-cap-and-refused": (how(syn="reset"), how(NO_CAP), (ACCESS_DENIED, "node_no_cap")),
    "no-cap-and-lost": (how(syn="ignore"), how(NO_CAP), (ACCESS_DENIED, "node_no_cap")),
    "both-denied": (how(DENIED), how(DENIED), (UNRECOGNIZED_NAME, "node_denied")),
}


def add_listener(world, name):
    """A raw public port whose visitors are offered to the node of that name."""
    port, public = free_port(), 3000 + len(world.ingress.config["listen"])
    world.ingress.config["listen"].append({"address": f"127.0.0.1:{port}", "protocol": "tcp", "public_port": public,
                                           "target": f"{name}.test:{public}"})
    world.raw_ports[name] = port
    return public


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, website):
    """One ingress, one node in order, and every bad one there is."""
    world = open_world(request, tmp_path_factory.mktemp("badnodes"), ENV)
    world.raw_ports, world.fakes = {}, {}
    world.ingress.config["offer"] = {"timeout": f"{OFFER_TIMEOUT_S}s"}
    gives_addresses(world)
    home = world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")])
    home.config["ingresses"][0]["addresses"] = [INGRESS_V6]
    for i, (name, (behaviour, _)) in enumerate(ANSWERS.items()):  # in turn one family or the other
        world.fakes[name] = FakeNode(world, name, **{("v4", "v6")[i % 2]: behaviour})
    for i, (name, (behaviour, _)) in enumerate(STREAMS.items()):
        world.fakes[name] = FakeNode(world, name, **{("v6", "v4")[i % 2]: behaviour}, ports=[add_listener(world, name)])
    for name, (v4, v6, _) in FAMILIES.items():
        world.fakes[name] = FakeNode(world, name, v4, v6, ports=[443, add_listener(world, name)])
    world.fakes["called"] = FakeNode(world, "called", v6=how(DENIED), calls=False)
    for name in FIRST_OF_TWO:
        world.fakes[name].row["names"].append(f"shared-{name}.test")
        home.config["services"].append(service(f"shared-{name}.test", website.https_forward, proxy_protocol="v2"))
    home_row = home.row()
    world.ingress.rows = [row for row in world.ingress.rows if row["id"] != "home"] + [home_row]
    return world.start()


@pytest.fixture(autouse=True)
def others_are_served(world, website, authority):
    yield
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page


def refused(world, name):
    began = time.monotonic()
    answer, line = world.ingress.refuses(visitor.client_hello(f"{name}.test"))
    assert line["node"] == name
    return answer, line["reason"], time.monotonic() - began


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(world, name):
    answer, reason, took = refused(world, name)
    assert (answer, reason) == ANSWERS[name][1]
    assert took < OFFER_TIMEOUT_S + 1
    if name not in SLOW:
        assert took < OFFER_TIMEOUT_S / 2, "an answer ends the wait"
    assert not world.fakes[name].events("early"), "the visitor's bytes are for whoever accepted"


def test_node_that_has_to_be_called(world):
    assert refused(world, "called")[:2] == (UNRECOGNIZED_NAME, "node_denied")


@pytest.mark.parametrize("name", STREAMS)
def test_stream(world, name):
    """Bytes before and behind the 101 are told apart, whatever segments they share, and come exactly once."""
    early = STREAMS[name][1]
    said = b"the visitor's own bytes\n" * 1000
    since = len(world.ingress.json_lines())
    with visitor.connect(world.raw_ports[name]) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(said), sock.shutdown(visitor.socket.SHUT_WR)))
        sender.start()
        got = visitor.read_all(sock)
        sender.join()
        client = "%s:%d" % sock.getsockname()
    assert got == early + said
    line = world.ingress.access(since=since, client=client)
    assert (line["reason"], line["bytes_up"], line["bytes_down"]) == ("ok", len(said), len(got))
    if name != "unasked":
        assert not world.fakes[name].events("early")


@pytest.mark.parametrize("name", FAMILIES)
def test_families(world, name):
    """Grants are per family: after `no ingress cap`, or an end without a byte, the other one has its turn, once."""
    node, expected = world.fakes[name], FAMILIES[name][2]
    for _ in range(3):
        before = len(node.events("offer"))
        if expected:
            assert refused(world, name)[:2] == expected
        else:
            began = time.monotonic()
            with visitor.connect(world.raw_ports[name]) as sock:
                sock.sendall(b"hello")
                assert visitor.read_exactly(sock, 5) == b"hello"
            assert time.monotonic() - began < OFFER_TIMEOUT_S / 2
        offers = node.events("offer")[before:]
        assert len({offer["family"] for offer in offers}) == len(offers), "no family is asked twice"
        if name == "both-denied":
            assert len(offers) == 1, "a plain no is final"


@pytest.mark.parametrize("name", FIRST_OF_TWO)
def test_next_node_of_the_name(world, website, authority, name):
    """The first node of a name is of no use, and may take half of the time to show it; the second one serves."""
    before = len(world.fakes[name].events("syn"))
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page
    with visitor.connect(world.ingress.port) as sock:
        sock.sendall(visitor.client_hello(f"shared-{name}.test"))
        assert sock.recv(1) == bytes([visitor.RECORD_HANDSHAKE]), "a ServerHello"
    assert len(world.fakes[name].events("syn")) == before + 1


def test_stream_that_ends_with_the_101(world):
    """Nothing but the bytes that came with the answer, then an end: both arrive."""
    with visitor.connect(world.raw_ports["early"]) as sock:
        sock.shutdown(visitor.socket.SHUT_WR)
        assert visitor.read_all(sock) == GREETING


@pytest.mark.limit(120)
def test_memory_stays_flat(world):
    """A thousand visitors of bad nodes leave nothing behind."""
    names = [name for name in ANSWERS if name not in SLOW]
    hellos = {name: visitor.client_hello(f"{name}.test") for name in names}

    def round_of(count):
        for i in range(count):
            with visitor.connect(world.ingress.port) as sock:
                visitor.knock(sock, hellos[names[i % len(names)]])
    round_of(300)
    before = world.ingress.resident_bytes()
    round_of(1000)
    assert world.ingress.resident_bytes() - before < GROWTH_MAX


def test_visitors_of_silent_nodes_hold_up_nobody(world, website, authority):
    """Many wait for nodes that say nothing; whoever asks for a good one is served at once."""
    hellos = [visitor.client_hello(f"{name}.test") for name in SLOW]  # first: making them takes a busy machine long
    waiting = [visitor.connect(world.ingress.port) for _ in range(60)]
    for i, sock in enumerate(waiting):
        sock.sendall(hellos[i % len(hellos)])
    began = time.monotonic()
    for _ in range(5):
        assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page
    assert time.monotonic() - began < OFFER_TIMEOUT_S
    for sock in waiting:
        with sock:
            assert visitor.verdict(sock) == INTERNAL_ERROR


def test_raw_visitors_are_closed_without_an_alert(world):
    """Where no TLS was spoken none is answered."""
    with visitor.connect(world.raw_ports["both-denied"]) as sock:
        assert visitor.verdict(sock) is CLOSED
