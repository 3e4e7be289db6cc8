"""wan.py - streams over impaired links, see wan.sh.

    visitor -- ingress == WireGuard == relay: delay, rate, loss == node -- service

One world a subject, round trip and loss. Down is what a visitor reads, sent by the node's side; up is what it writes,
sent by the ingress's. A figure of goodput counts the bytes that arrive after the first seconds, all streams together."""
import argparse
import base64
import ctypes
import functools
import itertools
import json
import os
import signal
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from measure import Results
from ports import free_port
from processes import Process, run, wait_for
from world import RawBackend, UdpRelay, World, new_key, service

PEERS = Path(__file__).parents[2] / "build/bench/peers"
CHUNK = bytes(1 << 18)
PATIENCE_S = 60
MTU = 1280
CLONE_NEWNET = 0x40000000
FIRST_BYTES = 100  # streams that one figure of the time to the first byte asks
WARM = 4
# the legs between visitor and ingress, node and service shall not be paced (these machines default to BBR)
LOOPBACK = """
ip link set lo up
for net in 127.0.0.0/8 127.0.0.1; do ip route change table local local $net dev lo src 127.0.0.1 congctl cubic; done
"""


@functools.cache
def hello(name):
    """A ClientHello; made once, as that takes longer than what is measured."""
    client = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), client, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return client.read()
    raise AssertionError("a handshake with nobody")


class Funnel:
    """The real programs; each node has a congestion control of its own."""

    def __init__(self, directory, relay, *congestions, warm=0):
        self.world = World(directory)
        self.udp = self.world.add_relay(relay) if relay else None
        self.names = [f"n{i}.test" for i in range(len(congestions))]
        self.world.ingress.config["tcp"] = {"congestion": congestions[0]}
        self.world.ingress.config["offer"] = {"warm": warm}
        self.world.ingress.config["log"] = {"level": "info", "access": "off"}
        for name, congestion in zip(self.names, congestions):
            node = self.world.add_node(name.split(".")[0], [service(name, self.world.raw.forward)], self.udp)
            node.config["tcp"] = {"congestion": congestion}
            node.config["log"] = {"level": "info"}

    def start(self):
        self.world.start()

    def visit(self, which=0):
        """A stream as its visitor and its service see it, and the bytes that opened it."""
        first = hello(self.names[which])
        visitor = socket.create_connection(("127.0.0.1", self.world.ingress.port), timeout=PATIENCE_S)
        visitor.sendall(first)
        return visitor, lambda: self.world.raw.accept(PATIENCE_S), first

    def close(self):
        self.world.close()


class GoIngress:
    """wireguard-go and gVisor at both ends (peers/go-ingress)."""

    def __init__(self, directory, relay):
        directory.mkdir()
        keys = [[base64.b64decode(text).hex() for text in new_key()] for _ in range(2)]
        self.raw, self.port, udp, node_udp = RawBackend(), free_port(), free_port(), free_port()
        self.relay = UdpRelay(directory, "relay", udp, relay)
        self.ends = [Process(role, [PEERS / "go-ingress", role, "-udp", port, "-key", own[0], "-peer", other[1], *more],
                             directory)
                     for role, port, own, other, more in (
                         ("ingress", udp, keys[0], keys[1], ["-listen", f"127.0.0.1:{self.port}"]),
                         ("node", node_udp, keys[1], keys[0], ["-forward", self.raw.forward, "-endpoint",
                                                               f"127.0.0.1:{self.relay.port}"]))]

    def start(self):
        self.relay.start()
        for end in self.ends:
            end.start()
            wait_for(f"{end.name} is ready", lambda end=end: "ready" in end.out.read_text(), PATIENCE_S)
        # only the node knows where the other end is: the first stream waits for its keepalive
        for sock in pair(self):
            sock.close()

    def visit(self):
        first = hello("n0.test")
        visitor = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        visitor.sendall(first)
        return visitor, lambda: self.raw.accept(PATIENCE_S), first

    def close(self):
        for process in (*self.ends, self.relay):
            process.kill()
        self.raw.close()


def inside(namespace, make):
    """What make() returns, called in a network namespace: sockets stay in the one they are made in."""
    made, libc = [], ctypes.CDLL(None, use_errno=True)

    def work():
        fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)
        made.append(make())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


class Linux:
    """The kernel's TCP from end to end, over wireguard-go and a TUN device in a namespace at each end."""

    def __init__(self, directory, relay, *congestions):
        directory.mkdir()
        self.congestions = [congestion.encode() for congestion in congestions]
        self.keys = [[base64.b64decode(text).hex() for text in new_key()] for _ in range(2)]
        self.udp = [free_port(), free_port()]
        self.relay = UdpRelay(directory, "relay", self.udp[0], relay)
        self.ends = [Process(f"wan{i}", [PEERS / "wireguard-go", "-f", f"wan{i}"], directory, {"LOG_LEVEL": "error"})
                     for i in range(2)]

    def start(self):
        self.relay.start()
        for i, end in enumerate(self.ends):
            end.start()
            control = Path(f"/run/wireguard/{end.name}.sock")
            wait_for(f"{control}", control.exists)
            self.configure(i, control)
            run(["ip", "netns", "add", end.name])
            run(["ip", "link", "set", end.name, "netns", end.name])
            run(["ip", "netns", "exec", end.name, "sh", "-ec", f"""
                ip address add 10.9.0.{i + 1}/24 dev {end.name}
                ip link set {end.name} mtu {MTU} up"""])
        self.listeners = [inside(self.ends[1].name, lambda i=i, c=congestion: self.tcp(c, lambda s: (
            s.bind(("10.9.0.2", 443 + i)), s.listen(64)))) for i, congestion in enumerate(self.congestions)]
        for sock in pair(self):
            sock.close()

    def configure(self, i, control):
        config = (f"set=1\nprivate_key={self.keys[i][0]}\nlisten_port={self.udp[i]}\npublic_key={self.keys[1 - i][1]}\n"
                  f"allowed_ip=10.9.0.{2 - i}/32\n")
        if i == 1:
            config += f"endpoint=127.0.0.1:{self.relay.port}\npersistent_keepalive_interval=1\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(control))
            sock.sendall(config.encode() + b"\n")
            answer = sock.recv(4096)
        assert b"errno=0" in answer, answer

    def tcp(self, congestion, prepare):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion)
        sock.settimeout(PATIENCE_S)
        prepare(sock)
        return sock

    def accept(self, which):
        served, _ = self.listeners[which].accept()
        served.settimeout(PATIENCE_S)
        return served

    def visit(self, which=0):
        visitor = inside(self.ends[0].name, lambda: self.tcp(self.congestions[which],
                                                             lambda s: s.connect(("10.9.0.2", 443 + which))))
        visitor.sendall(b"?")
        return visitor, lambda: self.accept(which), b"?"

    def close(self):
        for process in (*self.ends, self.relay):
            process.kill()
        for end in self.ends:
            Path(f"/run/wireguard/{end.name}.sock").unlink(missing_ok=True)
            run(["ip", "netns", "delete", end.name], check=False)


SUBJECTS = {
    "funnel-bbr": lambda directory, relay: Funnel(directory, relay, "bbr"),
    "funnel-cubic": lambda directory, relay: Funnel(directory, relay, "cubic"),
    "funnel-warm": lambda directory, relay: Funnel(directory, relay, "bbr", warm=WARM),
    "linux-bbr": lambda directory, relay: Linux(directory, relay, "bbr"),
    "linux-cubic": lambda directory, relay: Linux(directory, relay, "cubic"),
    "go-ingress": GoIngress,
}
NOT_BULK = ["funnel-warm"]  # whose streams differ in how they begin only
SHARERS = {"funnel": Funnel, "linux": Linux}
AGAINST = {"funnel-bbr": "linux-bbr", "funnel-cubic": "linux-cubic"}


def receive_all(sock, count):
    while count > 0:
        data = sock.recv(count)
        assert data, "ended before its first bytes"
        count -= len(data)


def pair(world, *which):
    """A stream that is open at both ends, nothing under way."""
    visitor, accept, first = world.visit(*which)
    served = accept()
    receive_all(served, len(first))
    return visitor, served


class Transfer:
    """Streams that carry as much as they can one way, until closed."""

    def __init__(self, pairs, direction):
        self.sockets = [sock for pair in pairs for sock in pair]
        self.counts = [0] * len(pairs)
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

    def mbit(self, warm_s, seconds):
        """Of each stream; and the end of them."""
        time.sleep(warm_s)
        before, began = list(self.counts), time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        figures = [(now - then) * 8 / passed / 1e6 for then, now in zip(before, self.counts)]
        for sock in self.sockets:
            sock.close()
        return figures


def first_byte_ms(world):
    """From the visitor's connect to the first byte of an answer."""
    began = time.monotonic()
    visitor, accept, first = world.visit()
    with visitor, accept() as served:
        receive_all(served, len(first))
        served.sendall(b"!")
        receive_all(visitor, 1)
        return (time.monotonic() - began) * 1e3


class Bench:
    def __init__(self, args):
        self.args = args
        self.results = Results()
        if args.json and Path(args.json).exists():
            self.results.rows = json.loads(Path(args.json).read_text())
        self.stop_at = time.monotonic() + args.minutes * 60

    def has(self, measure, subject, **parameters):
        return any(row["measure"] == measure and row["subject"] == subject and
                   all(row.get(k) == v for k, v in parameters.items()) for row in self.results.rows)

    def add(self, measure, subject, figures, unit, **parameters):
        self.results.subject = subject
        self.results.add(measure, figures, unit, **parameters)
        self.results.write(self.args.json)

    def late(self):
        return time.monotonic() > self.stop_at

    def grid(self):
        for rtt_ms in self.args.rtt:
            for loss in self.args.loss:
                for subject in self.args.subjects:
                    self.cell(subject, rtt_ms, loss)

    def cell(self, subject, rtt_ms, loss):
        args, where = self.args, {"rtt_ms": rtt_ms, "loss_pct": loss}
        bulk = [(direction, streams) for streams in args.streams for direction in args.directions
                if "bulk" in args.measures and subject not in NOT_BULK
                and not self.has(f"wan_{direction}", subject, streams=streams, **where)]
        first = "first" in args.measures and not self.has("wan_first_byte", subject, **where)
        if self.late() or not (bulk or first):
            return
        with Opened(lambda directory: SUBJECTS[subject](directory, f"delay={rtt_ms / 2},loss={loss}")) as world:
            for direction, streams in bulk:
                if self.late():
                    return
                figures = [sum(Transfer([pair(world) for _ in range(streams)], direction).mbit(args.warm, args.seconds))
                           for _ in range(args.repeats)]
                self.add(f"wan_{direction}", subject, figures, "Mbit/s", streams=streams, **where)
            if first:
                for _ in range(2):  # much is made for the first time; and two make a node in demand (ingress/warm.h)
                    first_byte_ms(world)
                figures = [first_byte_ms(world) for _ in range(FIRST_BYTES)]
                p99 = round(statistics.quantiles(figures, n=100)[-1], 1)
                self.add("wan_first_byte", subject, figures, "ms", p99=p99, **where)

    def share(self):
        """Two streams behind one link of 50 Mbit/s and 30 ms, what each keeps: of two of our nodes, and of the
        kernel's TCP."""
        rate, rtt_ms = 50, 30
        for queue_bdp in (0.2, 1, 4):
            for whose, congestions in itertools.product(SHARERS, (("bbr", "cubic"), ("bbr", "bbr"), ("cubic", "cubic"))):
                subject = f"{whose}-{'+'.join(congestions)}"
                relay = f"delay={rtt_ms / 2},rate={rate},queue={rate / 8 * rtt_ms * queue_bdp}"
                if self.late() or self.has("wan_share_0", subject, queue_bdp=queue_bdp) or (
                        not any(name.startswith(whose) for name in self.args.subjects)):
                    continue
                figures = []
                for _ in range(self.args.repeats):
                    with Opened(lambda directory: SHARERS[whose](directory, relay, *congestions)) as world:
                        figures.append(Transfer([pair(world, i) for i in range(2)], "down").mbit(10, 20))
                for i in range(2):
                    self.add(f"wan_share_{i}", subject, [both[i] for both in figures], "Mbit/s", queue_bdp=queue_bdp)


class Opened:
    """A world for as long as it is looked at."""

    def __init__(self, make):
        self.make = make

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.world = self.make(Path(self.directory.name) / "world")
        try:
            self.world.start()
        except BaseException:
            self.world.close()
            raise
        return self.world

    def __exit__(self, *_):
        self.world.close()
        self.directory.cleanup()


def table(rows):
    """The grid as Markdown, and how we stand beside the kernel."""
    cells = {}
    for row in rows:
        if row["measure"] in ("wan_down", "wan_up", "wan_first_byte"):
            key = (row["rtt_ms"], row["loss_pct"], row.get("streams", 1), row["measure"].removeprefix("wan_"))
            cells.setdefault(key, {})[row["subject"]] = row["median"]
    print("| RTT ms | loss % | streams | what |", " | ".join(SUBJECTS), "| BBR ratio | CUBIC ratio |")
    print("|---" * (6 + len(SUBJECTS)) + "|")
    ratios = {ours: [] for ours in AGAINST}
    for key, by_subject in sorted(cells.items()):
        shown = [f"{by_subject[s]:.1f}" if s in by_subject else "" for s in SUBJECTS]
        for ours, theirs in AGAINST.items():
            both = ours in by_subject and theirs in by_subject
            shown.append(f"{by_subject[ours] / by_subject[theirs]:.2f}" if both else "")
            if both and key[3] != "first_byte":
                ratios[ours].append(by_subject[ours] / by_subject[theirs])
        print("|", " | ".join([*map(str, key), *shown]), "|")
    for ours, values in ratios.items():
        if values:
            print(f"\n{ours} / {AGAINST[ours]}: median {statistics.median(values):.2f}, least {min(values):.2f}, "
                  f"{len(values)} cells, {sum(v < 0.9 for v in values)} under 0.9")
    for row in rows:
        if row["measure"].startswith("wan_share"):
            print(f"{row['subject']} queue={row['queue_bdp']} BDP, flow {row['measure'][-1]}: {row['median']:.1f} Mbit/s")


def words(kind):
    return lambda text: [kind(word) for word in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", metavar="FILE")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--subjects", type=words(str), default=list(SUBJECTS))
    parser.add_argument("--measures", type=words(str), default=["bulk", "first", "share"])
    parser.add_argument("--rtt", type=words(int), default=[0, 20, 80, 200], help="milliseconds")
    parser.add_argument("--loss", type=words(float), default=[0.0, 0.1, 1.0, 3.0], help="per cent, each way")
    parser.add_argument("--streams", type=words(int), default=[1, 8])
    parser.add_argument("--directions", type=words(str), default=["down", "up"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm", type=float, default=5, help="seconds before the count begins")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=600, help="after these nothing new is begun")
    args = parser.parse_args()
    if args.quick:
        args.rtt, args.loss, args.streams, args.measures = [80], [0.0, 1.0], [1], ["bulk"]
        args.repeats, args.warm, args.seconds = 1, 2, 3
        args.subjects = [s for s in args.subjects if s.startswith("funnel")]
    return args


def main():
    args = arguments()
    if args.table:
        table(json.loads(Path(args.table).read_text()))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with us
    run(["sh", "-ec", LOOPBACK])
    bench = Bench(args)
    if "bulk" in args.measures or "first" in args.measures:
        bench.grid()
    if "share" in args.measures:
        bench.share()


main()
