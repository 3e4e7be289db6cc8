"""What a stream must carry besides bytes: who speaks first, ends, resets, and the patience of the slower side.
Everything here holds on a clean network and on a bad one."""
import hashlib
import os
import random
import socket
import threading

import pytest

import visitor
from visitor import reset
from world import LOSSY, open_world, service

GREETING = b"SSH-2.0-example\r\n"


@pytest.fixture(scope="module", params=["clean", "lossy"])
def world(request, tmp_path_factory, website):
    world = open_world(request, tmp_path_factory.mktemp(request.param))
    relay = world.add_relay(LOSSY) if request.param == "lossy" else None
    world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")], relay)
    world.add_raw_node(relay)
    return world.start()


def test_page(world, website, authority):
    for _ in range(10):
        assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page


def test_server_speaks_first(world):
    client, served = world.raw_pair()
    with client, served:
        served.sendall(GREETING)
        assert visitor.read_exactly(client, len(GREETING)) == GREETING
        client.sendall(b"hello")
        assert visitor.read_exactly(served, 5) == b"hello"


def test_half_close_by_the_visitor(world):
    client, served = world.raw_pair()
    with client, served:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert visitor.read_all(served) == b"question"
        answer = os.urandom(100_000)
        served.sendall(answer)
        served.close()
        assert visitor.read_all(client) == answer


def test_half_close_by_the_service(world):
    client, served = world.raw_pair()
    with client, served:
        served.sendall(b"that was all")
        served.shutdown(socket.SHUT_WR)
        assert visitor.read_all(client) == b"that was all"
        late = os.urandom(100_000)
        client.sendall(late)
        client.close()
        assert visitor.read_all(served) == late


def test_reset_by_the_visitor(world):
    client, served = world.raw_pair()
    with served:
        client.sendall(b"x")
        assert served.recv(1) == b"x"
        reset(client)
        with pytest.raises(ConnectionResetError):
            served.recv(1)


def test_reset_by_the_service(world):
    client, served = world.raw_pair()
    with client:
        served.sendall(b"x")
        assert client.recv(1) == b"x"
        reset(served)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_small_messages_are_not_held_back(world):
    client, served = world.raw_pair()
    with client, served:
        for i in range(50):
            client.sendall(bytes([i]))
            assert served.recv(1) == bytes([i])
            served.sendall(bytes([i]))
            assert client.recv(1) == bytes([i])


@pytest.mark.limit(180)
@pytest.mark.parametrize("direction", ["down", "up"])
def test_4_mib_arrive_whole(world, direction):
    client, served = world.raw_pair()
    source, sink = (served, client) if direction == "down" else (client, served)
    data = random.Random(direction).randbytes(4 << 20)
    for sock in (source, sink):
        sock.settimeout(150)

    def send():
        source.sendall(data)
        source.close()
    sender = threading.Thread(target=send)
    sender.start()
    got = visitor.read_all(sink)
    sender.join()
    sink.close()
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    for relay in world.relays:  # the bad network was bad, and by its own will only
        counts = relay.counts()
        assert counts["lost"] > 0 and counts["reordered"] > 0 and counts["overflowed"] == 0


def test_many_short_streams(world):
    for i in range(100):
        client, served = world.raw_pair()
        with client, served:
            client.sendall(b"%d" % i)
            client.shutdown(socket.SHUT_WR)
            assert visitor.read_all(served) == b"%d" % i
