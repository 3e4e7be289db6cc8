"""wan.py - bulk goodput over impaired links, see wan.sh.

    visitor -- ingress == WireGuard == relay: delay, loss == node -- service

One world a congestion control, round trip and loss. Down is what a visitor reads, sent by the node; up is what it
writes, sent by the ingress. A figure counts the bytes that arrive after the first seconds, all streams together."""
import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from measure import Results
from world import World

SUBJECTS = {"bbr": "funnel-ingress", "cubic": "funnel-ingress-cubic"}
CHUNK = bytes(1 << 18)


class Transfer:
    """Streams that carry as much as they can one way, until closed."""

    def __init__(self, world, direction, streams):
        pairs = [world.raw_pair() for _ in range(streams)]
        self.sockets = [sock for pair in pairs for sock in pair]
        self.counts = [0] * streams
        for i, (visitor, served) in enumerate(pairs):
            sender, receiver = (visitor, served) if direction == "up" else (served, visitor)
            for sock in (sender, receiver):
                sock.settimeout(None)
            threading.Thread(target=self.send, args=[sender], daemon=True).start()
            threading.Thread(target=self.receive, args=[receiver, i], daemon=True).start()

    @staticmethod
    def send(sock):
        try:
            while True:
                sock.sendall(CHUNK)
        except OSError:
            pass

    def receive(self, sock, i):
        room = bytearray(1 << 18)
        try:
            while n := sock.recv_into(room):
                self.counts[i] += n
        except OSError:
            pass

    def close(self):
        for sock in self.sockets:
            sock.close()


def mbit(world, direction, streams, warm_s, seconds):
    transfer = Transfer(world, direction, streams)
    time.sleep(warm_s)
    before, began = sum(transfer.counts), time.monotonic()
    time.sleep(seconds)
    figure = (sum(transfer.counts) - before) * 8 / (time.monotonic() - began) / 1e6
    transfer.close()
    return figure


def open_world(directory, congestion, rtt_ms, loss):
    world = World(directory)
    relay = world.add_relay(f"delay={rtt_ms / 2},loss={loss}") if rtt_ms or loss else None
    node = world.add_raw_node(relay)
    for config in (world.ingress.config, node.config):
        config["tcp"] = {"congestion": congestion}
        config["log"] = {"level": "info"} if config is node.config else {"level": "info", "access": "off"}
    return world


def numbers(kind):
    return lambda text: [kind(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--rtt", type=numbers(int), default=[0, 20, 80, 200], help="milliseconds")
    parser.add_argument("--loss", type=numbers(float), default=[0, 0.1, 1, 3], help="per cent, each way")
    parser.add_argument("--streams", type=numbers(int), default=[1, 8])
    args = parser.parse_args()
    repeats, warm_s, seconds = (1, 2, 3) if args.quick else (3, 5, 10)
    if args.quick:
        args.rtt, args.loss, args.streams = [80], [0, 1], [1]

    results = Results()
    for rtt_ms in args.rtt:
        for loss in args.loss:
            for congestion, subject in SUBJECTS.items():
                results.subject = subject
                with tempfile.TemporaryDirectory() as directory:
                    world = open_world(Path(directory) / "world", congestion, rtt_ms, loss)
                    try:
                        world.start()
                        for direction in ("down", "up"):
                            for streams in args.streams:
                                figures = [mbit(world, direction, streams, warm_s, seconds) for _ in range(repeats)]
                                results.add(f"wan_{direction}_mbit", figures, "Mbit/s", rtt_ms=rtt_ms, loss_pct=loss,
                                            streams=streams, congestion=congestion)
                    finally:
                        world.close()
    results.write(args.json)


main()
