"""run.py - runs inside the namespace of run.sh: takes the measures, and says how far the goals are met.

What is measured in rounds has all its subjects up at once, each in a namespace of its own, one at work at a time: what
else the machine does, and how it is clocked, then falls on all. Memory is measured in a fresh start."""
import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from goals import show_goals
from measure import Results
from nodes import Players, some_keys
from processes import run, wait_for
from subjects import BIN, FILES_MAX, PEERS_AND_US, Direct, FunnelIngress, Limit, feed_row, watch
from table import show_table

NODES = 16      # one node's ports are finite
AT_ONCE = 64    # connections under way
SETTLE_S = 1.0  # memory: what was opened has come to rest
FILES_SPARE = 2_000  # beside the streams that are held
OPEN_S = 120    # ... and is open by then at the latest


class Bench:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.results = Results()
        self.starts = 0
        self.seconds = 0.4 if options.quick else 1.5
        self.warm_s = 0.2 if options.quick else 0.7

    def make(self, kind, **options):
        self.starts += 1
        return kind(self.directory / f"{kind.name}-{self.starts}", **options)

    def kinds(self, *without):
        return [kind for name, kind in PEERS_AND_US.items() if name in self.options.subjects and name not in without]

    def together(self, stack, subjects):
        """Start them all; they end with the stack."""
        for subject in subjects:
            stack.callback(subject.stop)
            subject.start()
            subject.wait_carries()
        return subjects

    def in_rounds(self, subjects, take):
        """{subject: [what `take` gave in each round]}"""
        seen = {subject: [] for subject in subjects}
        for _ in range(self.options.rounds):
            for subject in subjects:
                seen[subject].append(take(subject))
        return seen

    def loaded(self, subject, *command, warm_s=None, seconds=None):
        """A window of one load, from a standing start."""
        subject.load.tell(*command)
        time.sleep(self.warm_s if warm_s is None else warm_s)
        window = watch(subject, self.seconds if seconds is None else seconds)
        subject.load.tell("rest" if command[0] == "ping" else "stop")
        subject.load.report()
        return window

    def add(self, subject, measure, values, unit, **parameters):
        self.results.subject = subject.name
        return self.results.add(measure, values, unit, **parameters)

    def per_cpu_s(self, subject, measure, windows, amount, unit, **parameters):
        for side, field in (("", "ingress_cpu_s"), ("node_", "node_cpu_s")):
            if all(getattr(w, field) > 0 for w in windows):
                self.add(subject, measure.format(side=side), [amount(w) / getattr(w, field) for w in windows], unit,
                         **parameters)

    # --- connections ---

    def conn(self, stack):
        subjects = self.together(stack, [self.make(kind, nodes=NODES) for kind in self.kinds()])
        for subject, windows in self.in_rounds(subjects, lambda s: self.loaded(s, "conn", AT_ONCE)).items():
            parameters = {"at_once": AT_ONCE}
            self.add(subject, "conn_per_s", [w.report["done"] / w.seconds for w in windows], "1/s", **parameters)
            self.per_cpu_s(subject, "conn_per_{side}cpu_s", windows, lambda w: w.report["done"], "1/s", **parameters)
            self.failures(subject, "conn", windows)
            self.peak(subject, "conn")

    def short(self, stack):
        subjects = self.together(stack, [self.make(kind, nodes=NODES) for kind in self.kinds()])
        for subject, windows in self.in_rounds(subjects, lambda s: self.loaded(s, "conn", 1)).items():
            for percent in (50, 99):
                self.add(subject, f"short_p{percent}_us", [w.report[f"p{percent}_us"] for w in windows], "us", cold=0)

    def cold(self, stack):
        """The first connection after the start; with ours, each node's first, none of which has a session yet."""
        starts = 3 if self.options.quick else 10
        for kind in self.kinds(Direct.name):
            times = []
            for _ in range(starts):
                ours = kind is FunnelIngress
                subject = self.make(kind, **({"nodes": NODES, "called": True} if ours else {}))
                with ExitStack() as own:
                    own.callback(subject.stop)
                    subject.start()
                    for _ in range(subject.nodes):
                        subject.load.report()
                        subject.load.tell("once")
                        report = {}
                        wait_for("one connection", lambda: report.update(subject.load.report()) or
                                 report["done"] + report["failed"])
                        times += [report["max_us"]] * report["done"]
            times.sort()
            for percent in (50, 99):
                self.add(subject, f"short_p{percent}_us", times[min(len(times) - 1, len(times) * percent // 100)], "us",
                         cold=1, samples=len(times))

    # --- bytes ---

    def bulk(self, stack):
        subjects = self.together(stack, [self.make(kind) for kind in self.kinds(Direct.name)])
        limit = self.make(Limit)
        stack.callback(limit.stop)
        limit.start()
        for direction in ("up", "down"):
            for streams in self.options.streams:
                def take(subject):
                    return limit.work(direction, self.seconds) if subject is limit else \
                        self.loaded(subject, direction, streams)
                for subject, windows in self.in_rounds([*subjects, limit], take).items():
                    self.bulk_rows(subject, direction, windows, streams=streams)
        for subject in subjects:
            self.peak(subject, "bulk")

    def bulk_rows(self, subject, direction, windows, **parameters):
        def gbit(window):
            return (window.sunk if direction == "up" else window.report["bytes"]) * 8e-9
        rates = [gbit(w) / w.seconds for w in windows]
        self.add(subject, f"bulk_{direction}_gbit_per_s", rates, "Gbit/s", **parameters)
        self.per_cpu_s(subject, f"bulk_{direction}_gbit_per_{{side}}cpu_s", windows, gbit, "Gbit/s", **parameters)
        self.failures(subject, "bulk", windows)

    def pingpong(self, stack):
        subjects = self.together(stack, [self.make(kind) for kind in self.kinds()])
        for streams in (64,) if self.options.quick else (1, 64):
            def ping(subject, streams=streams):
                subject.load.tell("hold", streams)
                wait_for("streams", lambda: subject.load.report()["held"] == streams)
                window = self.loaded(subject, "ping")
                subject.load.tell("drop")
                return window
            for subject, windows in self.in_rounds(subjects, ping).items():
                self.pingpong_rows(subject, windows, streams)

    def pingpong_rows(self, subject, windows, streams):
        for percent in (50, 99):
            self.add(subject, f"pingpong_p{percent}_us", [w.report[f"p{percent}_us"] for w in windows], "us",
                     streams=streams)
        self.per_cpu_s(subject, "pingpong_per_{side}cpu_s", windows, lambda w: w.report["done"], "1/s", streams=streams)

    # --- streams that are only there ---

    def idle(self, stack):
        for kind in self.kinds():
            with ExitStack() as own:
                subject = self.make(kind, nodes=NODES)
                self.together(own, [subject])
                self.idle_streams(subject, self.options.idle_streams)
                # a round trip of all of them takes seconds
                windows = [self.loaded(subject, "ping", warm_s=3, seconds=4) for _ in range(self.options.rounds)]
                self.pingpong_rows(subject, windows, self.options.idle_streams)

    def many(self, stack):
        """100,000 idle streams and 10,000 nodes with sessions: ours."""
        if FunnelIngress.name not in self.options.subjects:
            return
        subject = self.with_players(stack, self.options.many_nodes)
        self.idle_streams(subject, self.options.many_streams)
        windows = [watch(subject, 3 * self.seconds) for _ in range(self.options.rounds)]
        self.add(subject, "idle_cpu_pct", [100 * w.ingress_cpu_s / w.seconds for w in windows], "%",
                 streams=self.options.many_streams, nodes=self.options.many_nodes + NODES)

    def idle_streams(self, subject, streams):
        everybody = [*subject.ingress_pids, *subject.node_pids, subject.load.popen.pid, subject.backend.popen.pid]

        def sample():
            time.sleep(SETTLE_S)
            return (subject.memory_bytes(subject.ingress_pids), subject.memory_bytes(subject.node_pids), slab_bytes(),
                    files(subject.ingress_pids), files(everybody))
        before = sample()
        began = time.monotonic()
        self.hold(subject, streams)
        opened_s = time.monotonic() - began
        user, node, slab, own_files, all_files = (b - a for a, b in zip(before, sample()))
        self.add(subject, "idle_open_per_s", streams / opened_s, "1/s", streams=streams)
        if subject.ingress_pids:
            self.add(subject, "idle_user_bytes", user / streams, "bytes", streams=streams)
            # every socket of the way costs the same: the ingress's share is its share of them
            self.add(subject, "idle_kernel_bytes", slab * own_files / all_files / streams, "bytes", streams=streams)
        if subject.node_pids:
            self.add(subject, "idle_node_user_bytes", node / streams, "bytes", streams=streams)

    def hold(self, subject, streams, load=None):
        load = load or subject.load
        load.tell("hold", streams)
        held = 0

        def all_held():
            nonlocal held
            report = load.report()
            held = report["held"]
            assert report["failed"] == 0, f"{subject.name}: {report}"
            return held == streams
        wait_for(f"{streams} streams", all_held, OPEN_S)

    # --- growth ---

    def growth(self, stack):
        if FunnelIngress.name not in self.options.subjects:
            return
        counts = self.options.growth
        held = sorted({min(count, FILES_MAX - FILES_SPARE) for count in counts})
        self.grow("streams", held, lambda own, count: self.with_streams(own, count))
        self.grow("names", counts, lambda own, count: self.with_names(own, count))
        self.grow("nodes", [n for n in counts if n <= 10_000], lambda own, count: self.with_players(own, count))

    def grow(self, what, counts, make):
        with ExitStack() as own:
            subjects = {make(own, count): count for count in counts}
            seen = self.in_rounds(list(subjects), lambda s: self.loaded(s, "conn", AT_ONCE))
            costs = []
            for subject, windows in seen.items():
                us = [1e6 * w.ingress_cpu_s / w.report["done"] for w in windows]
                costs.append(self.add(subject, "conn_cpu_us", us, "us", of=what, count=subjects[subject]))
            self.add(subject, "growth_exponent", slope(counts, costs), "log/log", of=what)

    def with_streams(self, stack, count):
        subject = self.together(stack, [self.make(FunnelIngress, nodes=NODES)])[0]
        self.hold(subject, count, subject.new_load())
        return subject

    def with_names(self, stack, count):
        rows = [feed_row(f"other{i}", [f"x{i}.bench.test"], key) for i, key in enumerate(some_keys(count))]
        return self.together(stack, [self.make(FunnelIngress, nodes=NODES, extra_rows=rows)])[0]

    def with_players(self, stack, count):
        """Beside those that carry streams, so many nodes that only keep their sessions (manynodes)."""
        keys = run([BIN / "tests/manynodes", "--keys", "--nodes", count, "--seed", "bench"], timeout=300).stdout.split()
        rows = [feed_row(f"player{i}", [f"x{i}.bench.test"], key) for i, key in enumerate(keys)]
        subject = self.together(stack, [self.make(FunnelIngress, nodes=NODES, extra_rows=rows)])[0]
        players = Players(subject, count, "bench", subject.inside())
        stack.callback(players.stop)
        wait_for("every node has a session", lambda: players.ask()["up"] == count, OPEN_S)
        return subject

    # --- workers ---

    def workers(self, stack):
        if FunnelIngress.name not in self.options.subjects:
            return
        subjects = self.together(stack, [self.make(FunnelIngress, nodes=4, workers=n) for n in (1, 2)])
        for direction in ("up", "down"):
            for subject, windows in self.in_rounds(subjects, lambda s: self.loaded(s, direction, 8)).items():
                self.bulk_rows(subject, direction, windows, streams=8, nodes=4, workers=subject.workers)

    # --- what is said beside the figures ---

    def failures(self, subject, what, windows):
        failed = sum(w.report["failed"] for w in windows)
        if failed:
            self.add(subject, "failed", failed, "streams", of=what)

    def peak(self, subject, what):
        for side, pids in (("ingress", subject.ingress_pids), ("node", subject.node_pids)):
            if pids:
                self.add(subject, "peak_bytes", subject.memory_bytes(pids, "VmHWM"), "bytes", side=side, after=what)


def slab_bytes():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024
    raise KeyError("Slab")


def files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def slope(counts, costs):
    """Of the straight line through the logarithms: 0 is flat, 1 in proportion."""
    x, y = [math.log(count) for count in counts], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


MEASURES = ("conn", "short", "cold", "bulk", "pingpong", "idle", "many", "growth", "workers")
QUICK = ("conn", "bulk", "pingpong")


def words(known):
    def parse(text):
        unknown = set(text.split(",")) - set(known)
        if unknown:
            raise argparse.ArgumentTypeError(f"not known: {' '.join(sorted(unknown))}; there are {' '.join(known)}")
        return text.split(",")
    return parse


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(prog="run.sh")
    parser.add_argument("--quick", action="store_true", help="a short look at the main measures")
    parser.add_argument("--json", help="where the figures go")
    parser.add_argument("--show", nargs="+", metavar="FILE", help="only table and goals of what --json wrote")
    parser.add_argument("--only", type=words(MEASURES), help="measures: " + " ".join(MEASURES))
    parser.add_argument("--subjects", type=words(PEERS_AND_US), default=list(PEERS_AND_US))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--streams", type=numbers, help="of bulk", default=None)
    parser.add_argument("--idle-streams", type=int, default=10_000)
    parser.add_argument("--many-streams", type=int, default=100_000)
    parser.add_argument("--many-nodes", type=int, default=10_000)
    parser.add_argument("--growth", type=numbers, default=[100, 1_000, 10_000, 100_000])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    options.rounds = options.rounds or (2 if options.quick else 5)
    # one process holds all visitors of a subject, or all streams of the load
    most = FILES_MAX - FILES_SPARE
    options.idle_streams = min(options.idle_streams, most // 2)  # most peers need two descriptors a stream
    options.many_streams = min(options.many_streams, most)
    if options.quick and Direct.name in options.subjects:
        options.subjects.remove(Direct.name)
    options.streams = options.streams or ([8] if options.quick else [1, 8, 64])
    if options.show:
        summary([row for file in options.show for row in json.loads(Path(file).read_text())])
        return
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options, Path(directory))
        for measure in options.only or (QUICK if options.quick else MEASURES):
            with ExitStack() as stack:
                getattr(bench, measure)(stack)
            bench.results.write(options.json)  # what there is, should the next one fail
    summary(bench.results.rows)


def summary(rows):
    show_table(rows)
    show_goals(rows)


if __name__ == "__main__":
    main()
