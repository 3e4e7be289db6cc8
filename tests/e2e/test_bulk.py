"""Much data and many streams."""
import asyncio
import threading

import pytest

import visitor
from processes import run
from website import digest
from world import open_world, service

STREAMS = 1000


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, website):
    world = open_world(request, tmp_path_factory.mktemp("bulk"))
    world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")])
    world.add_raw_node()
    return world.start()


def curl(world, authority, *arguments):
    run(["curl", "-q", "-sS", "--fail", "--noproxy", "*", "--cacert", authority.certificate,
         "--resolve", f"site.test:{world.ingress.port}:127.0.0.1", *arguments], timeout=200)


@pytest.mark.limit(240)
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_256_mib_down(world, website, authority, tmp_path, version):
    page, expected = website.big_page()
    got = tmp_path / "got"
    curl(world, authority, version, "-o", got, f"https://site.test:{world.ingress.port}/{page.name}")
    assert digest(got) == expected
    got.unlink()


@pytest.mark.limit(240)
def test_256_mib_up(world, website, authority):
    page, expected = website.big_page()
    curl(world, authority, "--http1.1", "-T", page, f"https://site.test:{world.ingress.port}/upload/up")
    assert digest(website.uploaded("up")) == expected
    website.uploaded("up").unlink()


@pytest.mark.limit(120)
def test_both_ways_at_once(world):
    """Neither direction waits for the other: each side sends everything while it reads everything."""
    client, served = world.raw_pair()
    blocks = [bytes([i]) * (1 << 20) for i in range(32)]
    for sock in (client, served):
        sock.settimeout(60)

    def send(sock):
        for block in blocks:
            sock.sendall(block)

    senders = [threading.Thread(target=send, args=[sock]) for sock in (client, served)]
    received = {}
    readers = [threading.Thread(target=lambda s=s: received.update({s: visitor.read_exactly(s, 32 << 20)}))
               for s in (client, served)]
    for thread in senders + readers:
        thread.start()
    for thread in senders + readers:
        thread.join()
    whole = b"".join(blocks)
    assert received[client] == whole and received[served] == whole
    client.close()
    served.close()


@pytest.mark.limit(150)
def test_1000_concurrent_streams(world, website, authority):
    """All stand at once before any asks for its page; each is a visitor of its own to the website."""
    uri = "/protocol?thousand"
    answers = asyncio.run(visit_together(world.ingress.port, authority, uri))
    assert sum(website.marker.encode() in answer for answer in answers) == STREAMS
    assert len({visit["port"] for visit in website.visits(uri)}) == STREAMS


async def visit_together(port, authority, uri):
    tls = visitor.context(authority)
    opening = asyncio.Semaphore(100)
    standing = 0
    all_stand = asyncio.Event()

    async def visit():
        nonlocal standing
        async with opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="site.test",
                                                           ssl_handshake_timeout=60)
        standing += 1
        if standing == STREAMS:
            all_stand.set()
        await asyncio.wait_for(all_stand.wait(), 90)
        writer.write(visitor.request("site.test", uri))
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return answer

    return await asyncio.gather(*(visit() for _ in range(STREAMS)))
