"""What strangers send: each mistake gets its stated answer and reason, and everyone else is served on."""
import os
import random
import socket

import pytest

import visitor
from visitor import CLOSED, DECODE_ERROR, UNRECOGNIZED_NAME
from world import open_world, service

HELLO_TIMEOUT_S = 2


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, website):
    world = open_world(request, tmp_path_factory.mktemp("badinput"))
    world.ingress.config["hello"] = {"timeout": f"{HELLO_TIMEOUT_S}s"}
    world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")])
    return world.start()


@pytest.fixture(autouse=True)
def others_are_served(world, website, authority):
    yield
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page


def malformed(hello):
    """A ClientHello whose extensions claim more bytes than there are; the lengths around them agree."""
    message = bytearray(hello[5:])
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at:at + 2], "big")
    at += 1 + message[at]
    message[at:at + 2] = b"\xff\xff"
    return visitor.records(bytes(message), 16384)


HELLO = visitor.client_hello("site.test")
CASES = {
    "http": (b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n", CLOSED, "hello_not_tls"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", CLOSED, "hello_not_tls"),
    "zeros": (bytes(600), CLOSED, "hello_not_tls"),
    "application data first": (b"\x17\x03\x03" + HELLO[3:], CLOSED, "hello_not_tls"),
    "malformed": (malformed(HELLO), DECODE_ERROR, "hello_malformed"),
    "server hello": (visitor.records(b"\x02" + HELLO[6:], 16384), DECODE_ERROR, "hello_malformed"),
    "64 KiB": (visitor.records(visitor.large_hello("site.test", 65536), 16384), DECODE_ERROR, "hello_too_large"),
    "64 KiB in small records": (visitor.records(visitor.large_hello("site.test", 65536), 100), DECODE_ERROR,
                                "hello_too_large"),
    "no name": (visitor.client_hello(None), UNRECOGNIZED_NAME, "no_sni"),
    "unknown name": (visitor.client_hello("nobody.test"), UNRECOGNIZED_NAME, "unknown_name"),
    "longest name": (visitor.client_hello(".".join(["a" * 49] * 5)), UNRECOGNIZED_NAME, "unknown_name"),
}


@pytest.mark.parametrize("case", CASES)
def test_first_bytes(world, case):
    data, expected, reason = CASES[case]
    answer, line = world.ingress.refuses(data)
    assert (answer, line["reason"]) == (expected, reason)


@pytest.mark.parametrize("length", [0, 1, 5, 6, 43, len(HELLO) // 2, len(HELLO) - 1])
def test_truncated_hello_ends_by_timeout(world, length):
    answer, line = world.ingress.refuses(HELLO[:length])
    assert (answer, line["reason"]) == (CLOSED, "hello_timeout")


@pytest.mark.parametrize("length", [0, 5, len(HELLO) // 2, len(HELLO) - 1])
def test_truncated_hello_and_end(world, length):
    """Whoever ends the stream before the hello is whole is let go at once."""
    answer, line = world.ingress.refuses(HELLO[:length], half_close=True)
    assert answer in (CLOSED, DECODE_ERROR)
    assert line["total_ms"] < HELLO_TIMEOUT_S * 1000 and not line["node"]


def test_a_dribble_does_not_extend_the_time(world):
    """The whole hello has the timeout, not each byte of it."""
    with visitor.connect(world.ingress.port) as sock:
        sock.settimeout(HELLO_TIMEOUT_S / 10)
        for i in range(len(HELLO)):
            sock.sendall(HELLO[i:i + 1])
            try:
                assert sock.recv(1) == b""
                break
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
        assert i < 12, "still waiting for more"


def test_random_bytes(world):
    """Seeded, so that a failure can be had again."""
    rng = random.Random(1)
    for _ in range(100):
        data = rng.randbytes(rng.randrange(1, 4096))
        with visitor.connect(world.ingress.port) as sock:
            assert visitor.knock(sock, data, half_close=True) in (CLOSED, DECODE_ERROR)


def test_hellos_with_flipped_bytes(world):
    """Any answer a parser may give, but an answer."""
    rng = random.Random(2)
    for _ in range(100):
        data = bytearray(HELLO)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with visitor.connect(world.ingress.port) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            try:
                visitor.read_all(sock)
            except ConnectionResetError:
                pass


def test_visitors_that_vanish(world):
    """Connections reset at once, some after half a hello."""
    for i in range(100):
        with visitor.connect(world.ingress.port) as sock:
            sock.sendall(HELLO[:i * 3])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("how", [visitor.byte_by_byte, visitor.in_records_of(64), visitor.in_records_of(17)],
                         ids=["byte by byte", "records of 64", "records of 17"])
def test_hello_in_pieces_is_a_hello(world, website, authority, how):
    with visitor.connect(world.ingress.port) as sock:
        read, write = visitor.handshake_over(sock, visitor.context(authority), "site.test", how)
        write(visitor.request("site.test"))
        answer = b""
        while website.page not in answer:
            chunk = read()
            assert chunk, answer
            answer += chunk


def test_datagrams_from_strangers(world):
    """The tunnel's port hears noise, and messages that only look like WireGuard's."""
    rng = random.Random(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for kind, size in ((1, 148), (2, 92), (3, 64), (4, 32), (4, 1400), (0, 1), (9, 500)):
            for _ in range(50):
                data = bytes([kind, 0, 0, 0])[:size] + rng.randbytes(max(size - 4, 0))
                sock.sendto(data, ("127.0.0.1", world.ingress.udp_port))
        sock.sendto(os.urandom(65507), ("127.0.0.1", world.ingress.udp_port))
        sock.sendto(b"", ("127.0.0.1", world.ingress.udp_port))
