"""feed.py - started by feed.sh.

First tests/support/feedbench, which plays the main thread and one worker on the table itself. Then an ingress with a feed
file of as many nodes: started, each of its rows changed, the file replaced; its own figures say how long a turn of its
loops took meanwhile (of the worker's and of the main one's)."""
import argparse
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from measure import Results, child_of, memory_bytes
from nodes import Ingress, some_keys
from processes import run

BIN = Path(os.environ["FUNNEL_BIN"]).resolve()
UNITS = {"feed_node_bytes": "bytes", "feed_node_bytes_after": "bytes"}


def cpu_s(pid):
    """Of all its threads, those that have ended too: a file is read on one of its own."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def unit_of(name):
    for ending, unit in (("_per_s", "1/s"), ("_us", "us"), ("_s", "s")):
        if name.endswith(ending) or ending + "_" in name:
            return unit
    return "ns" if "_ns" in name else UNITS.get(name, "")


def table(results, nodes, seconds):
    with tempfile.TemporaryDirectory() as directory:
        done = run([BIN / "tests/feedbench", "--nodes", nodes, "--dir", directory, "--seconds", seconds], timeout=900)
    for line in done.stdout.splitlines():
        name, value = line.split()
        results.add(name, float(value), unit_of(name), nodes=nodes)


class Fed(Ingress):
    """An ingress whose nodes have two names each."""

    def write(self, version):
        with open(self.directory / "new.json", "w") as feed:
            for i, key in enumerate(self.keys):
                row = {"id": f"n{i:07d}", "names": [f"app-{i:07d}.nodes.example.net", f"www-{i:07d}.nodes.example.net"],
                       "key": key, "peerapi6": 41112 + version, "ports": [443],
                       "endpoints": ["192.0.2.1:41641"], "funnel": {"admin": True, "node": "ask"}}
                feed.write(json.dumps(row, separators=(",", ":")) + "\n")
        (self.directory / "new.json").rename(self.directory / "nodes.json")

    def turn_max_us(self, loop):
        text = run([BIN / "funnel-ingress", "metrics", "-c", "ingress.yaml"], cwd=self.directory).stdout
        return float(re.search(r'turn_max_seconds\{loop="%s"\} (\S+)' % loop, text)[1]) * 1e6


def file(results, directory, nodes):
    ingress = Fed(directory, [])
    config = json.loads((directory / "ingress.yaml").read_text())
    config["admin"] = {"socket": "admin.sock"}
    (directory / "ingress.yaml").write_text(json.dumps(config))
    ingress.keys = list(some_keys(nodes))
    ingress.write(0)
    try:
        took = ingress.serve()
        results.add("feed_file_start_s", took, "s", nodes=nodes)
        results.add("feed_file_start_cpu_s", cpu_s(ingress.server), "s", nodes=nodes)
        results.add("feed_file_memory", memory_bytes(ingress.server) / nodes, "bytes/node", nodes=nodes)
        for version, name in ((1, "changed"), (1, "unchanged")):
            before = cpu_s(ingress.server)
            ingress.write(version)
            results.add(f"feed_file_{name}_s", ingress.reload(), "s", nodes=nodes)
            results.add(f"feed_file_{name}_cpu_s", cpu_s(ingress.server) - before, "s", nodes=nodes)
        for loop in ("workers", "main"):
            results.add("loop_turn_max_us", ingress.turn_max_us(loop), "us", loop=loop, nodes=nodes)
        results.add("feed_file_memory_after", memory_bytes(ingress.server) / nodes, "bytes/node", nodes=nodes)
    finally:
        ingress.kill()


def main():
    parser = argparse.ArgumentParser(prog="feed.sh")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--only", choices=["table", "file"])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    nodes = options.nodes or (100_000 if options.quick else 1_000_000)
    results = Results()
    if options.only != "file":
        table(results, nodes, 2 if options.quick else 5)
    if options.only != "table":
        with tempfile.TemporaryDirectory() as directory:
            file(results, Path(directory), nodes)
    results.write(options.json)


if __name__ == "__main__":
    main()
