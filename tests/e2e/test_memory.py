"""The ingress's memory follows the slower side: whoever does not read makes the other side wait."""
import socket
import threading

import pytest

import visitor
from processes import wait_for
from world import open_world

GROWTH_MAX = 16 << 20
OFFERED = 256 << 20  # more than any buffer on the way may hold
# the sanitizer keeps freed memory to catch its use; here that would hide what is measured
ENV = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"}


@pytest.fixture(scope="module")
def world(request, tmp_path_factory):
    world = open_world(request, tmp_path_factory.mktemp("memory"), env=ENV)
    world.add_raw_node()
    world.start()
    client, served = world.raw_pair()  # the first stream brings the code and its tables into memory
    push(client, 1 << 20, lambda: visitor.read_exactly(served, 1 << 20))
    push(served, 1 << 20, lambda: visitor.read_exactly(client, 1 << 20))
    client.close()
    served.close()
    return world


def push(sock, size, meanwhile):
    sender = threading.Thread(target=sock.sendall, args=[bytes(size)])
    sender.start()
    meanwhile()
    sender.join()


class Flood:
    """Sends until nobody takes any more."""

    def __init__(self, sock):
        self.sock, self.sent = sock, 0
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self):
        block = bytes(1 << 16)
        self.sock.settimeout(50)
        try:
            while self.sent < OFFERED:
                self.sent += self.sock.send(block)
        except OSError:
            pass  # the test has closed it, or nobody reads any more

    def wait_stuck(self):
        """Until no byte has gone for 50 polls, one second, in a row."""
        seen, still = -1, 0

        def stuck():
            nonlocal seen, still
            still = still + 1 if self.sent == seen else 0
            seen = self.sent
            return still >= 50
        wait_for("the sender is made to wait", stuck, 40)


@pytest.mark.limit(120)
@pytest.mark.parametrize("slow", ["visitor", "service"])
def test_slow_reader(world, slow):
    client, served = world.raw_pair()
    reader, writer = (client, served) if slow == "visitor" else (served, client)
    before = world.ingress.resident_bytes()
    flood = Flood(writer)
    flood.wait_stuck()
    assert 0 < flood.sent < OFFERED, "nothing held the sender back"
    assert world.ingress.resident_bytes() - before < GROWTH_MAX

    reader.settimeout(20)  # nothing was lost: what the sender got rid of arrives, and the stream moves again
    visitor.read_exactly(reader, flood.sent + (1 << 20))
    reader.shutdown(socket.SHUT_RDWR)
    reader.close()
    writer.close()


@pytest.mark.limit(120)
def test_memory_comes_back_after_many_streams(world):
    """A hundred stuck streams may cost what the budget allows; once they are gone, so is most of their memory, and the
    same again costs no more: nothing is left behind by a stream."""
    def burst():
        pairs = [world.raw_pair() for _ in range(100)]
        for client, served in pairs:
            served.settimeout(0)
            try:
                while True:
                    served.send(bytes(1 << 16))
            except BlockingIOError:
                pass
        for pair in pairs:
            for sock in pair:
                sock.close()
    burst()
    after_first = world.ingress.resident_bytes()
    for _ in range(3):
        burst()
    wait_for("memory is where it was after the first burst",
             lambda: world.ingress.resident_bytes() - after_first < GROWTH_MAX)
