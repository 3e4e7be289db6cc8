"""flood.py - runs inside the namespaces of flood.sh.

    outside: website, node, visitor  == bulk ==  ingress  == flood ==  outside: forged initiations

Rounds of the control and of each kind of flood alternate, so that what else the machine does falls on both. A round's
figure is the bulk stream's bytes by CPU second of the ingress; the goal is a ratio to the control of at least 0.8."""
import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from measure import Results, child_of, cpu_s, memory_bytes
from processes import Process, run, wait_for

BIN = Path(os.environ["FUNNEL_BIN"]).resolve()
OUTSIDE = ["ip", "netns", "exec", "outside"]
NAME, PUBLIC_PORT, UDP_PORT = "raw.test", 2222, 41641
RATE = 50000
SITE = """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
while True:
    stream, _ = listener.accept()
    try:
        while True:
            stream.sendall(bytes(1 << 20))
    except OSError:
        pass
"""
VISITOR = f"""
import socket, sys, threading
got = 0
def read():
    global got
    stream = socket.create_connection(("192.0.2.1", {PUBLIC_PORT}))
    room = bytearray(1 << 20)
    while n := stream.recv_into(room):
        got += n
threading.Thread(target=read, daemon=True).start()
for _ in sys.stdin:
    print(got, flush=True)
"""


def new_key(file):
    key = run([BIN / "funnel-ingress", "genkey"]).stdout
    file.write_text(key)
    file.chmod(0o600)
    return run([BIN / "funnel-ingress", "pubkey"], input=key).stdout.strip()


class Bench:
    def __init__(self, directory):
        self.directory = directory
        self.key = new_key(directory / "ingress.key")
        node_key = new_key(directory / "node.key")
        ingress = {"listen": [{"address": f"192.0.2.1:{PUBLIC_PORT}", "protocol": "tcp", "public_port": PUBLIC_PORT,
                               "target": f"{NAME}:{PUBLIC_PORT}"}],
                   "wireguard": {"listen": [f"0.0.0.0:{UDP_PORT}"]},
                   "identities": [{"name": "default", "key_file": "ingress.key"}],
                   "feed": {"path": "nodes.json"}, "log": {"access": "off"}}
        row = {"id": "node", "names": [NAME], "key": node_key, "peerapi6": 41112, "ports": [PUBLIC_PORT],
               "funnel": {"admin": True, "node": True}}
        node = {"key_file": "node.key",
                "ingresses": [{"name": "bench", "public_key": self.key, "endpoint": f"192.0.2.1:{UDP_PORT}"}],
                "services": [{"name": NAME, "ports": [PUBLIC_PORT], "funnel": True, "forward": "127.0.0.1:8080"}]}
        feed = {"version": 1, "nodes": [row]}
        for name, content in (("ingress.yaml", ingress), ("node.yaml", node), ("nodes.json", feed)):
            (directory / name).write_text(json.dumps(content))
        self.processes = []

    def start(self):
        self.begin("site", [*OUTSIDE, "/usr/bin/python3", "-c", SITE])
        ingress = self.begin("ingress", [BIN / "funnel-ingress", "-c", "ingress.yaml"])
        ingress.wait_log(r" server .*event=ready")
        self.server = child_of(ingress.pid)
        self.begin("node", [*OUTSIDE, BIN / "funnel-node", "-c", "node.yaml"]).wait_log(r" session .*event=up")
        self.visitor = subprocess.Popen([*OUTSIDE, "/usr/bin/python3", "-c", VISITOR], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        wait_for("the bulk stream runs", lambda: self.bytes_read() > 10_000_000)

    def begin(self, name, argv):
        process = Process(name, argv, self.directory).start()
        self.processes.append(process)
        return process

    def stop(self):
        self.visitor.kill()
        for process in self.processes:
            process.kill()

    def bytes_read(self):
        self.visitor.stdin.write("\n")
        self.visitor.stdin.flush()
        return int(self.visitor.stdout.readline())

    def answers(self):
        """Datagrams that left for forged sources."""
        lines = [line.split() for line in Path("/proc/net/dev").read_text().splitlines()]
        return int(next(line[10] for line in lines if line[0] == "flood:"))

    def round(self, kind, seconds):
        """One flood from before to after what is measured."""
        flood = subprocess.Popen([*OUTSIDE, BIN / "tests/flood", "--key", self.key, "--to", f"198.51.100.1:{UDP_PORT}",
                                  "--sources", "10.64.0.0/10", "--rate", str(RATE), "--kind", kind,
                                  "--seconds", str(seconds + 0.8)], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        began, cpu, read, answers = time.monotonic(), cpu_s(self.server), self.bytes_read(), self.answers()
        time.sleep(seconds)
        took, cpu, read = time.monotonic() - began, cpu_s(self.server) - cpu, self.bytes_read() - read
        answers = self.answers() - answers
        sent, lasted = (float(word) for word in flood.communicate()[0].split()[1::2])
        return {"bytes_per_cpu_s": read / cpu, "rate": sent / lasted, "answers_per_s": answers / took,
                "cpu_pct": 100 * cpu / took, "gbit_per_s": read * 8 / took / 1e9}


def main():
    parser = argparse.ArgumentParser(prog="flood.sh")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--kinds", default="initiation,mac2")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    rounds, seconds = (4, 2) if options.quick else (12, 3)
    kinds = options.kinds.split(",")
    results = Results()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        try:
            bench.start()
            bench.round("initiation", 1)  # both have been seen once: whatever memory they take, they have
            before = memory_bytes(bench.server)
            seen = {kind: [] for kind in ["short", *kinds]}
            for _ in range(rounds):
                for kind, rows in seen.items():
                    rows.append(bench.round(kind, seconds))
            grown = memory_bytes(bench.server) - before
        finally:
            bench.stop()
    for kind, rows in seen.items():
        for figure, unit in (("rate", "datagrams/s"), ("gbit_per_s", "Gbit/s"), ("cpu_pct", "%"),
                             ("answers_per_s", "1/s")):
            results.add(f"flood_{figure}", [row[figure] for row in rows], unit, kind=kind)
        if kind != "short":
            ratios = [row["bytes_per_cpu_s"] / control["bytes_per_cpu_s"] for row, control in zip(rows, seen["short"])]
            results.add("flood_bytes_per_cpu_ratio", ratios, "of the control", kind=kind)
    results.add("flood_memory_growth", grown, "bytes")
    results.write(options.json)


if __name__ == "__main__":
    main()
