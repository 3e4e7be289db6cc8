"""Noise on an ingress's UDP port: WireGuard data of sessions that nobody has, in bursts faster than the workers can
turn it away.

What matters is the shard that each datagram names: nearly all land on a worker that has to pass them to another, and
for a while all of them to the same one."""
import socket
import threading
import time

SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h: one send, cut by the kernel into datagrams of that size
DATAGRAM_BYTES, BURST = 48, 64
SENDERS = 8  # each another flow to the kernel, which spreads flows over the workers
BURSTS_A_SHARD = 200  # three mailboxes full
PAUSE_S = 0.005  # then: a network that is busy, not one that carries nothing else
BURSTS_MAX = 400_000
SECONDS_MAX = 20


class Noise:
    """As long as the `with` block, but never more than the two limits above."""

    def __init__(self, port):
        self.sockets = [self._sender(port) for _ in range(SENDERS)]
        self.sent, self.stopping = 0, False
        self.thread = threading.Thread(target=self._send)

    @staticmethod
    def _sender(port):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(SOL_UDP, UDP_SEGMENT, DATAGRAM_BYTES)
        sock.setblocking(False)
        return sock

    def _send(self):
        end = time.monotonic() + SECONDS_MAX
        while not self.stopping and self.sent < BURSTS_MAX and time.monotonic() < end:
            shard = self.sent // BURSTS_A_SHARD % 256
            datagram = b"\4\0\0\0" + bytes([shard, 1, 2, 3])  # type 4, the receiver's index
            burst = datagram.ljust(DATAGRAM_BYTES, b"\0") * BURST
            for i in range(BURSTS_A_SHARD):
                try:
                    self.sockets[i % SENDERS].send(burst)
                except OSError:
                    pass  # nobody listens just now, or no room: more will come
            self.sent += BURSTS_A_SHARD
            time.sleep(PAUSE_S)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        for sock in self.sockets:
            sock.close()
