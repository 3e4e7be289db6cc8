"""The ingress cannot read what it carries, and nobody on the way can."""
import os
import re
import secrets
import socket
import threading

import pytest

import visitor
from world import open_world, service

WINDOW = 12  # bytes of the page in a row that must appear nowhere; chance alone never gives so many


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, website, node_certificate):
    world = open_world(request, tmp_path_factory.mktemp("secrecy"))
    world.capture = world.directory / "datagrams"
    relay = world.add_relay(capture=world.capture)
    world.add_node("home", [
        service("site.test", website.https_forward, proxy_protocol="v2"),
        service("ends.test", website.http_forward, tls="terminate", proxy_protocol="v2",
                certificate=str(node_certificate.certificate), certificate_key=str(node_certificate.key)),
    ], relay)
    world.add_raw_node(relay)
    return world.start()


def leaks(secret, haystack):
    """Pieces of the secret that stand in the haystack."""
    return [secret[i:i + WINDOW] for i in range(0, len(secret) - WINDOW + 1, WINDOW // 2)
            if secret[i:i + WINDOW] in haystack]


def captured(world):
    """All datagrams so far; the relay writes out what it has when it counts."""
    world.relays[0].counts()
    return world.capture.read_bytes()


class Wiretap:
    """A TCP relay in front of the ingress that keeps what passes, both ways."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = bytearray()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self.listener.accept()
        upstream = visitor.connect(self.target)
        threading.Thread(target=self._pass, args=[client, upstream], daemon=True).start()
        self._pass(upstream, client)

    def _pass(self, source, sink):
        while chunk := source.recv(65536):
            self.heard += chunk
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("name", ["site.test", "ends.test"])
def test_page_never_crosses_in_clear(world, website, authority, name):
    tap = Wiretap(world.ingress.port)
    assert visitor.fetch(tap.port, name, authority).body == website.page
    datagrams = captured(world)
    assert len(datagrams) > len(website.page) and len(tap.heard) > len(website.page)
    assert not leaks(website.marker.encode(), datagrams)
    assert not leaks(website.marker.encode(), bytes(tap.heard))


def test_tunnel_hides_even_plain_tcp(world):
    """Without TLS of the visitor's own, WireGuard alone stands between the stream and the network."""
    client, served = world.raw_pair()
    secret = secrets.token_bytes(4096)
    with client, served:
        served.sendall(secret)
        assert visitor.read_exactly(client, len(secret)) == secret
    datagrams = captured(world)
    assert len(datagrams) > len(secret)
    assert not leaks(secret, datagrams)
    assert b"Tailscale-Ingress" not in datagrams and b"raw.test" not in datagrams


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root may look into the memory of the ingress")
@pytest.mark.parametrize("name", ["site.test", "ends.test"])
def test_ingress_holds_no_page_and_no_certificate_key(world, website, authority, node_certificate, name):
    """Neither its files nor its memory, while a stream stands, contain the page or a key that could decrypt it."""
    with visitor.tls_connect(world.ingress.port, name, authority) as tls:
        tls.sendall(visitor.request(name).replace(b"close", b"keep-alive"))
        answer = b""
        while website.page not in answer:
            answer += tls.recv(65536)
        memory = b"".join(memory_of(world.ingress))
        assert name.encode() in memory, "this did not look into the right memory"
        assert not leaks(website.marker.encode(), memory)
        for certificate in (node_certificate, website.certificate):
            assert not leaks(certificate.private_scalar(), memory)
    for path in world.ingress.directory.rglob("*"):
        if path.is_file():
            assert b"CERTIFICATE" not in path.read_bytes() and b"BEGIN" not in path.read_bytes(), path


def memory_of(process):
    """The writable memory of all its processes, without the sanitizer's huge and empty shadow."""
    for pid in process.descendants():
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                start, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
                start, end = int(start, 16), int(end, 16)
                if rights.startswith("rw") and end - start < 256 << 20:
                    try:
                        mem.seek(start)
                        yield mem.read(end - start)
                    except OSError:
                        continue  # guard pages and memory kept from reading
