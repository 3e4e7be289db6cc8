"""Packet-level access is impossible: what a node sends through its tunnel reaches the connections that the ingress
opened to that node, and nothing else.

Three nodes: a hostile one whose inner packets the test writes itself, a neighbour whose traffic is watched at its door
while a visitor's stream is alive on it, and one in order. A SYN from the hostile node is the marker that ends each
attempt: datagrams keep their order here, so when its reset is back, everything sent before has been judged."""
import itertools
import os
import socket
import struct
import time

import pytest

import visitor
from fakenode import FakeNode, INGRESS_V4, INGRESS_V6, PEERAPI_PORT, gives_addresses, how
from packets import (ACK, FIN, FRAGMENT, PSH, RST, SYN, TCP, TSMP, URG, ip, ip4, ip6, parse_tcp, ping, tcp,
                     tcp_segment, timestamp_option, tsmp_ping, tsmp_refusal, udp)
from ports import free_port
from visitor import CLOSED
from world import open_world, service

ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
OFFER_TIMEOUT_S = 3
RESETS_AT_ONCE, RESETS_PER_S = 64, 200  # TCP_REPLY_SLOTS and TCP_REPLY_PER_S of common/tcp/tcp_reply.h
GROWTH_MAX = 8 << 20
MARKER_PORT = 7
# the sanitizer keeps freed memory to catch its use; here that would hide what is measured
ENV = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"}

own_ports = itertools.count(10000)  # of segments the hostile node sends; never the same twice


def add_listener(world, name):
    port, public = free_port(), 3000 + len(world.ingress.config["listen"])
    world.ingress.config["listen"].append({"address": f"127.0.0.1:{port}", "protocol": "tcp", "public_port": public,
                                           "target": f"{name}.test:{public}"})
    world.raw_ports[name] = port
    return [public]


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, website):
    world = open_world(request, tmp_path_factory.mktemp("packets"), ENV)
    world.raw_ports = {}
    world.ingress.config["offer"] = {"timeout": f"{OFFER_TIMEOUT_S}s"}
    gives_addresses(world)
    home = world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")])
    home.config["ingresses"][0]["addresses"] = [INGRESS_V6]
    # by hand: offers to it over IPv6 are met by the test itself
    world.hostile = FakeNode(world, "hostile", v6=how(syn="ignore"), ports=add_listener(world, "hostile"))
    world.neighbour4 = FakeNode(world, "neighbour4", v4=how(ACCEPT, "echo"), ports=add_listener(world, "neighbour4"))
    world.neighbour6 = FakeNode(world, "neighbour6", v6=how(ACCEPT, "echo"), ports=add_listener(world, "neighbour6"))
    world.pending = FakeNode(world, "pending", v6=how(syn="ignore"), ports=add_listener(world, "pending"))
    return world.start()


@pytest.fixture(autouse=True)
def others_are_served(world, website, authority):
    yield
    assert world.ingress.running()
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page


@pytest.fixture
def door(world):
    with world.hostile.door() as door:
        yield door


def is_reset_to(port):
    def check(packet):
        segment = parse_tcp(packet)
        return segment and segment.flags & RST and segment.dport == port
    return check


def settle(door):
    """Everything that came back for what was sent so far."""
    node, came = door.node, []
    end = time.monotonic() + 10
    while time.monotonic() < end:
        port = next(own_ports)
        door.send(tcp(node.v6, port, INGRESS_V6, MARKER_PORT, SYN, seq=port))
        while packet := door.receive(0.1):
            if is_reset_to(port)(packet):
                return came
            if parse_tcp(packet) is None or parse_tcp(packet).sport != MARKER_PORT:
                came.append(packet)
    raise AssertionError("the marker was not answered")


class Stream:
    """A visitor's live stream on an echoing neighbour, its segments watched at that node's door."""

    def __init__(self, world, node):
        self.node, self.door = node, node.door()
        self.visitor = visitor.connect(world.raw_ports[node.name])
        self.said = 0
        self.exchange()
        # the ingress's newest segment says all that a forger would like to know
        self.last = parse_tcp(self.door.wait_packet(
            lambda p: (s := parse_tcp(p)) and s.flags & ACK and s.dport == PEERAPI_PORT and s.data))

    def exchange(self):
        data = os.urandom(500)
        self.visitor.sendall(data)
        assert visitor.read_exactly(self.visitor, len(data)) == data
        self.said += len(data)

    def where(self):
        """(source, its port, destination, its port, expected sequence number, ACK) of a segment from the node that
        would be taken, would it come from the node itself."""
        while packet := self.door.receive(0.3):
            segment = parse_tcp(packet)
            if segment and segment.dport == PEERAPI_PORT:
                self.last = segment
        s = self.last
        return s.dst, s.dport, s.src, s.sport, s.ack, s.seq + len(s.data)

    def assert_intact(self):
        self.exchange()
        self.visitor.settimeout(0.2)
        with pytest.raises(TimeoutError):
            extra = self.visitor.recv(1)
            assert False, f"got {extra!r}"
        self.visitor.settimeout(20)

    def close(self):
        self.visitor.close()
        self.door.socket.close()


@pytest.fixture(params=["v4", "v6"])
def stream(world, request):
    stream = Stream(world, world.neighbour4 if request.param == "v4" else world.neighbour6)
    yield stream
    stream.close()


# what is thrown away without a word: packets by name, made for a hostile node h and its neighbour n
SILENT = {
    "UDP": lambda h, n: [udp(h.v4, 53, INGRESS_V4, 53, b"x" * 40), udp(h.v6, 5353, INGRESS_V6, 53, b"x" * 40),
                         udp(h.v4, 68, "255.255.255.255", 67), udp(h.v6, 546, "ff02::1:2", 547)],
    "ping": lambda h, n: [ping(h.v4, INGRESS_V4), ping(h.v6, INGRESS_V6), ping(h.v6, INGRESS_V6, bytes(1200))],
    "other protocols": lambda h, n: [ip(src, dst, protocol, bytes(64)) for protocol in (2, 4, 41, 47, 89, 103, 132, 255)
                                     for src, dst in ((h.v4, INGRESS_V4), (h.v6, INGRESS_V6))],
    "fragments": lambda h, n: [
        ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4)[:8], fragment=0x2000),
        ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4), fragment=0x2000),
        ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4)[8:], fragment=0x0001),
        ip4(h.v4, INGRESS_V4, TCP, bytes(1000), fragment=0x1fff),
        ip6(h.v6, INGRESS_V6, FRAGMENT, syn(h.v6, INGRESS_V6), extension=bytes([TCP, 0, 0, 1, 0, 0, 0, 9])),
        ip6(h.v6, INGRESS_V6, FRAGMENT, syn(h.v6, INGRESS_V6), extension=bytes([TCP, 0, 0, 0, 0, 0, 0, 9]))],
    "IPv4 options": lambda h, n: [
        ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4), options=options)
        for options in (b"\1\1\1\0", b"\x83\x07\x04" + socket.inet_aton(n.v4) + b"\0", b"\x94\4\0\0", b"\xff" * 40)],
    "IPv6 extension headers": lambda h, n: [
        ip6(h.v6, INGRESS_V6, kind, syn(h.v6, INGRESS_V6), extension=bytes([TCP, 0, 1, 4, 0, 0, 0, 0]))
        for kind in (0, 43, 60, 51, 50, 135)],
    "lengths": lambda h, n: [
        b"\0", b"\x45", b"\x60", bytes(19), bytes(40), b"\x45" + bytes(18), b"\x60" + bytes(38), b"\xf0" + bytes(60),
        *(ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4), total=total) for total in (0, 19, 20, 21, 41, 1500, 65535)),
        *(ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4), ihl=ihl) for ihl in (0, 4, 6, 15)),
        *(ip6(h.v6, INGRESS_V6, TCP, syn(h.v6, INGRESS_V6), length=length) for length in (0, 1, 19, 21, 65535)),
        *(tcp(h.v6, 9, INGRESS_V6, 9, SYN, offset=offset) for offset in (0, 4, 6, 15))],
    "versions": lambda h, n: [ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4), version=v) for v in (0, 5, 6, 15)] +
                             [ip6(h.v6, INGRESS_V6, TCP, syn(h.v6, INGRESS_V6), version=v) for v in (0, 4, 5, 7)],
    "checksums": lambda h, n: [ip4(h.v4, INGRESS_V4, TCP, syn(h.v4, INGRESS_V4), check=0xbad),
                               tcp(h.v4, 9, INGRESS_V4, 9, SYN, check=0xbad),
                               tcp(h.v6, 9, INGRESS_V6, 9, SYN, check=0)],
    "TCP options": lambda h, n: [tcp(h.v6, 9, INGRESS_V6, 9, SYN, options=options)
                                 for options in (b"\2\0\0\0", b"\2\1\0\0", b"\5\xff\0\0", b"\1\1\3\3")],
    "port zero": lambda h, n: [tcp(h.v6, 0, INGRESS_V6, 443, SYN), tcp(h.v6, 443, INGRESS_V6, 0, SYN)],
    "foreign sources": lambda h, n: [
        packet for src in (n.v4, INGRESS_V4, "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1")
        for packet in (tcp(src, 9, INGRESS_V4, 443, SYN), ping(src, INGRESS_V4), tsmp_ping(src, INGRESS_V4))] + [
        packet for src in (n.v6, INGRESS_V6, "::1", "::", "ff02::1", "2001:db8::1", "::ffff:" + h.v4, "fe80::1")
        for packet in (tcp(src, 9, INGRESS_V6, 443, SYN), ping(src, INGRESS_V6), tsmp_ping(src, INGRESS_V6))],
    "foreign destinations": lambda h, n: [
        packet for dst in (n.v4, h.v4, "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1")
        for packet in (tcp(h.v4, 9, dst, 443, SYN), udp(h.v4, 9, dst, 53), ping(h.v4, dst))] + [
        packet for dst in (n.v6, h.v6, "::1", "::", "ff02::1", "2001:db8::1", "::ffff:" + INGRESS_V4, "fe80::1")
        for packet in (tcp(h.v6, 9, dst, 443, SYN), udp(h.v6, 9, dst, 53), ping(h.v6, dst))],
    "TSMP": lambda h, n: [tsmp_ping(h.v4, INGRESS_V4), tsmp_ping(h.v6, INGRESS_V6),
                          ip(h.v6, INGRESS_V6, TSMP, b""), ip(h.v6, INGRESS_V6, TSMP, b"!"),
                          *(tsmp_refusal(h.v6, INGRESS_V6, port, PEERAPI_PORT) for port in (0, 1, 1024, 65535))],
    "resets": lambda h, n: [tcp(h.v6, 9, INGRESS_V6, port, flags) for port in (443, 1024, PEERAPI_PORT)
                            for flags in (RST, RST | ACK, RST | SYN)],
    "padding": lambda h, n: [ping(h.v6, INGRESS_V6) + bytes(size) for size in (16, 1200, 9000, 60000)],
    "noise": lambda h, n: [bytes([first]) + os.urandom(size) for first in (0x00, 0x45, 0x60, 0xff)
                           for size in (19, 39, 59, 1279, 9000)],
}


def syn(src, dst):
    return tcp_segment(src, 9, dst, 443, SYN)


@pytest.mark.parametrize("kind", SILENT)
def test_thrown_away_without_a_word(world, door, stream, kind):
    """Nothing comes back, nothing comes out at a neighbour, whose stream goes on."""
    stream.where()  # its last segments are out of the way
    packets = SILENT[kind](world.hostile, stream.node)
    for _ in range(10):
        door.send(*packets)
    assert settle(door) == []
    assert stream.door.receive(0.2) is None, "something reached the neighbour"
    stream.assert_intact()


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("flags", [SYN, ACK, SYN | ACK, FIN, FIN | ACK, PSH | ACK, SYN | FIN, 0, FIN | PSH | URG,
                                   255 - RST],
                         ids=lambda flags: f"flags {flags:02x}")
def test_unknown_connections_are_reset(world, door, family, flags):
    """A segment of no connection gets a reset from where it went, and that is all that ever comes back: the ingress
    has no port that a node could connect to."""
    own, ingress = ((world.hostile.v4, INGRESS_V4) if family == "v4" else (world.hostile.v6, INGRESS_V6))
    settle(door)
    time.sleep(0.2)  # the bucket of resets fills up
    for port in (1, 22, 53, 80, 443, PEERAPI_PORT, world.ingress.port, world.ingress.udp_port, 65535):
        source = next(own_ports)
        door.send(tcp(own, source, ingress, port, flags, seq=1000, ack=2000, data=b"hello"))
        answers = [parse_tcp(packet) for packet in settle(door)]
        assert len(answers) == 1
        answer = answers[0]
        assert (answer.src, answer.sport, answer.dst, answer.dport) == (ingress, port, own, source)
        assert answer.flags & RST and not answer.flags & SYN and answer.data == b""


@pytest.mark.limit(120)
@pytest.mark.parametrize("kind", ["SYN", "ping", "fragment", "foreign source", "noise"])
def test_flood(world, door, stream, kind):
    """Resets are rationed, the rest is free of charge: memory stays flat and the neighbour's stream alive."""
    h, n = world.hostile, stream.node
    make = {
        "SYN": lambda i: tcp(h.v6, 1 + i % 65535, INGRESS_V6, 1 + i * 7 % 65535, SYN, seq=i),
        "ping": lambda i: ping(h.v6, INGRESS_V6, bytes(i % 1000)),
        "fragment": lambda i: ip4(h.v4, INGRESS_V4, TCP, bytes(600), fragment=0x2000 | i % 0x1fff),
        "foreign source": lambda i: tcp(n.v6, 1 + i % 65535, INGRESS_V6, 1 + i * 7 % 65535, ACK, seq=i),
        "noise": lambda i: os.urandom(1 + i % 1200),
    }[kind]

    def burst(count):
        for i in range(count):
            door.send(make(i))
            if i % 500 == 0:
                stream.exchange()
    burst(2000)
    settle(door)
    before, began = world.ingress.resident_bytes(), time.monotonic()
    burst(15000)
    came = settle(door)
    took = time.monotonic() - began
    assert world.ingress.resident_bytes() - before < GROWTH_MAX
    if kind == "SYN":
        assert all(parse_tcp(packet).flags & RST for packet in came)
        assert len(came) <= RESETS_AT_ONCE + RESETS_PER_S * took
    else:
        assert came == []
    stream.assert_intact()


def forged(where, flags, data=b"", ack=None, seq=0, options=b""):
    src, sport, dst, dport, expected, acked = where
    return tcp(src, sport, dst, dport, flags, seq=expected + seq, ack=acked if ack is None else ack, data=data,
               options=options)


@pytest.mark.parametrize("newer", [1, 1 << 20])
def test_forged_segments_of_a_neighbours_stream(world, door, stream, newer):
    """In the neighbour's name, with its very ports, sequence numbers and a timestamp that would be taken."""
    where = stream.where()
    options = timestamp_option(stream.last.echo + newer, stream.last.timestamp)
    door.send(*(forged(where, flags, data, options=option)
                for option in (b"", options)
                for flags, data in ((RST, b""), (RST | ACK, b""), (PSH | ACK, b"FORGED"), (FIN | ACK, b""),
                                    (FIN | ACK, b"FORGED"), (SYN, b""), (SYN | ACK, b""))))
    assert settle(door) == []
    stream.assert_intact()


def test_the_forgery_is_good(world, stream):
    """The same segment out of the neighbour's own tunnel is taken: only where it comes from makes the difference."""
    where = stream.where()
    stream.door.send(forged(where, PSH | ACK, b"FORGED",
                            options=timestamp_option(stream.last.echo + 1, stream.last.timestamp)))
    assert visitor.read_exactly(stream.visitor, 6) == b"FORGED"


def test_same_ports_from_the_own_address(world, door, stream):
    """The peer is part of a connection's name: equal ports and numbers, but in another node's tunnel."""
    _, sport, dst, dport, seq, ack = stream.where()
    own = world.hostile.v4 if ":" not in dst else world.hostile.v6
    door.send(*(tcp(own, sport, dst, dport, flags, seq=seq, ack=ack, data=data)
                for flags, data in ((RST, b""), (PSH | ACK, b"FORGED"), (FIN | ACK, b""))))
    assert all(parse_tcp(packet).flags & RST for packet in settle(door))
    stream.assert_intact()


def offer_to(world, name):
    """A visitor who waits for that node, and the SYN that went to it."""
    node = getattr(world, name)
    watch = node.door()
    sock = visitor.connect(world.raw_ports[name])
    packet = watch.wait_packet(lambda p: (s := parse_tcp(p)) and s.flags == SYN)
    return sock, parse_tcp(packet), watch


def test_forged_answers_to_an_offer(world, door):
    """Another node's pending offer can't be answered, refused or ended from here, not even by who knows its SYN."""
    began, since = time.monotonic(), len(world.ingress.json_lines())
    sock, asked, watch = offer_to(world, "pending")
    h = world.hostile
    for src in (asked.dst, h.v6):
        door.send(tcp(src, asked.dport, asked.src, asked.sport, SYN | ACK, seq=1, ack=asked.seq + 1),
                  tcp(src, asked.dport, asked.src, asked.sport, PSH | ACK, seq=2, ack=asked.seq + 1, data=ACCEPT),
                  tcp(src, asked.dport, asked.src, asked.sport, RST | ACK, ack=asked.seq + 1),
                  tsmp_refusal(src, asked.src, asked.sport, asked.dport))
    settle(door)
    with sock, watch.socket:
        client = "%s:%d" % sock.getsockname()
        assert visitor.verdict(sock) is CLOSED
    line = world.ingress.access(since=since, client=client)
    assert (line["reason"], line["node"]) == ("node_unreachable", "pending")
    assert time.monotonic() - began > OFFER_TIMEOUT_S - 0.5, "it was ended early"


class ByHand:
    """A visitor's stream to the hostile node, whose end of the inner connection the test plays itself."""

    def __init__(self, world, door, options=b""):
        self.door = door
        self.visitor = visitor.connect(world.raw_ports["hostile"])
        self.client = "%s:%d" % self.visitor.getsockname()
        asked = parse_tcp(door.wait_packet(lambda p: (s := parse_tcp(p)) and s.flags == SYN))
        self.to = (asked.dst, asked.dport, asked.src, asked.sport)
        self.seq, self.ack, self.window = 1000, asked.seq + 1, 65535
        self.send(SYN | ACK, options=options)
        self.seq += 1

    def send(self, flags, data=b"", seq=0, ack=0, **more):
        self.door.send(tcp(*self.to, flags, seq=self.seq + seq, ack=self.ack + ack, data=data, window=self.window,
                           **more))

    def heard(self, timeout):
        """The next segment of this connection."""
        return parse_tcp(self.door.wait_packet(
            lambda p: (s := parse_tcp(p)) and (s.sport, s.dport) == (self.to[3], self.to[1]), timeout))

    def open(self):
        """Take the request and say 101."""
        request = b""
        while b"\r\n\r\n" not in request:
            segment = self.heard(5)
            if segment.seq == (self.ack & 0xffffffff):
                request += segment.data
                self.ack += len(segment.data)
            if segment.data:
                self.send(ACK)  # as a TCP would: what was lost on the way here is sent again by that
        self.say(ACCEPT)
        return self

    def say(self, data):
        self.send(PSH | ACK, data)
        self.seq += len(data)

    def close(self):
        self.send(RST | ACK)
        self.visitor.close()


def test_by_hand_a_stream_works(world, door):
    """The ground on which the next tests stand."""
    peer = ByHand(world, door).open()
    peer.say(b"hello")
    assert visitor.read_exactly(peer.visitor, 5) == b"hello"
    peer.close()


@pytest.mark.parametrize("options", [b"\2\4\0\0", b"\2\4\0\1", b"\2\4\xff\xff", b"\3\3\xff\0", b"\2\4\0\1\3\3\x0e\0",
                                     b"\4\2\1\1"], ids=bytes.hex)
def test_by_hand_syn_options(world, door, options):
    """Odd sizes and scales: bytes cross all the same."""
    peer = ByHand(world, door, options).open()
    peer.say(b"hello")
    assert visitor.read_exactly(peer.visitor, 5) == b"hello"
    peer.close()


def test_by_hand_out_of_order_and_overlapping(world, door):
    """Contradicting copies of the same bytes: the visitor reads one consistent stream, each byte once."""
    peer = ByHand(world, door).open()
    for at, data in ((50, b"B" * 50), (25, b"C" * 50), (90, b"D" * 20), (10, b"E" * 5), (-20, b"F" * 30)):
        peer.send(PSH | ACK, data, seq=at)
    peer.send(PSH | ACK, b"G" * 110)
    got = visitor.read_exactly(peer.visitor, 110)
    assert set(got) <= set(b"BCDEFG")
    peer.visitor.settimeout(0.3)
    with pytest.raises(TimeoutError):
        peer.visitor.recv(1)
    peer.close()


def test_by_hand_beyond_the_window(world, door):
    """Whatever lies outside the window is not kept."""
    peer = ByHand(world, door).open()
    before = world.ingress.resident_bytes()
    for i in range(3000):
        peer.send(PSH | ACK, b"x" * 1200, seq=(1 << 24) + i * 1200)
    for i in range(3000):
        peer.send(PSH | ACK, b"x" * 1200, seq=-(1 << 24) + i * 1200)
    settle(door)
    assert world.ingress.resident_bytes() - before < GROWTH_MAX
    peer.say(b"hello")
    assert visitor.read_exactly(peer.visitor, 5) == b"hello"
    peer.close()


@pytest.mark.limit(120)
def test_by_hand_holes_cost_what_the_window_allows(world, door):
    """Every other byte, on many connections: the receive queues stay within the memory budget."""
    peers = [ByHand(world, door).open() for _ in range(20)]
    before = world.ingress.resident_bytes()
    for peer in peers:
        for at in range(1, 60000, 100):
            peer.send(PSH | ACK, b"x", seq=at)
    settle(door)
    assert world.ingress.resident_bytes() - before < 4 * GROWTH_MAX
    for peer in peers:
        peer.close()
    settle(door)


@pytest.mark.parametrize("what", ["future ACK", "old ACK", "SACK of nothing", "urgent", "SYN again", "FIN and more"])
def test_by_hand_wrong_segments(world, door, what):
    """Odd segments inside an open connection: at worst that one ends."""
    peer = ByHand(world, door).open()
    sacks = b"\1\1\5\x1a" + struct.pack("!6I", *((peer.ack + n) & 0xffffffff for n in (9000, 9, 1, 1 << 30, 5, 5)))
    for _ in range(100):
        if what == "future ACK":
            peer.send(ACK, ack=1 << 20)
        elif what == "old ACK":
            peer.send(ACK, ack=-(1 << 30))
        elif what == "SACK of nothing":
            peer.send(ACK, options=sacks)
        elif what == "urgent":
            peer.send(URG | ACK, urgent=65535)
        elif what == "SYN again":
            peer.send(SYN)
            peer.send(SYN | ACK)
        else:
            peer.send(FIN | PSH | ACK, b"x")
            peer.send(PSH | ACK, b"beyond the end", seq=2)
    settle(door)
    peer.visitor.settimeout(0.5)
    try:
        if what == "FIN and more":
            assert visitor.read_exactly(peer.visitor, 1) == b"x"
        else:
            peer.say(b"hello")
            assert visitor.read_exactly(peer.visitor, 5) == b"hello"
    finally:
        peer.close()


def test_by_hand_a_window_that_never_opens(world, door):
    """The visitor waits; the ingress does not buffer for it."""
    peer = ByHand(world, door).open()
    before = world.ingress.resident_bytes()
    peer.window = 0
    peer.send(ACK)
    peer.visitor.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 64 << 20:
            sent += peer.visitor.send(bytes(1 << 16))
    assert world.ingress.resident_bytes() - before < 2 * GROWTH_MAX
    peer.close()


def test_by_hand_a_refusal_by_tsmp_ends_only_a_pending_connect(world, door):
    """Once open, a stream is none of TSMP's business."""
    peer = ByHand(world, door).open()
    door.send(tsmp_refusal(world.hostile.v6, INGRESS_V6, peer.to[3], peer.to[1]))
    settle(door)
    peer.say(b"hello")
    assert visitor.read_exactly(peer.visitor, 5) == b"hello"
    peer.close()
