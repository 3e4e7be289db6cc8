"""nodes.py - runs inside the namespace of nodes.sh.

Configured: an ingress with N rows against one with a single row: memory, time until it serves, CPU; and a reload of the
same N rows, with the memory it takes while old and new stand side by side. Connected: N nodes played by one process
(tests/support/manynodes) that hold sessions and send keepalives; memory by node, and CPU while nothing else happens."""
import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from measure import Results, child_of, cpu_s, memory_bytes
from processes import Process, run, wait_for

BIN = Path(os.environ["FUNNEL_BIN"]).resolve()
UDP_PORT = 41641
READY_S = 600


def name_of(i):
    return f"n{i:07d}.nodes.example.net"


def row(i, key):
    return {"id": f"n{i:07d}", "names": [name_of(i)], "key": key, "peerapi6": 41112, "ports": [443],
            "funnel": {"admin": True, "node": True}}


def some_keys(count):
    """Keys nobody has the other half of."""
    prefix = os.urandom(24)
    return (base64.b64encode(prefix + i.to_bytes(8, "big")).decode() for i in range(count))


class Ingress(Process):
    def __init__(self, directory, keys):
        super().__init__("ingress", [BIN / "funnel-ingress", "-c", "ingress.yaml"], directory)
        key = run([BIN / "funnel-ingress", "genkey"]).stdout
        (directory / "ingress.key").write_text(key)
        (directory / "ingress.key").chmod(0o600)
        self.public_key = run([BIN / "funnel-ingress", "pubkey"], input=key).stdout.strip()
        (directory / "ingress.yaml").write_text(json.dumps({
            "listen": [{"address": "127.0.0.1:4430"}], "wireguard": {"listen": [f"127.0.0.1:{UDP_PORT}"]},
            "identities": [{"name": "default", "key_file": "ingress.key"}], "feed": {"path": "nodes.json"},
            "log": {"access": "off"}}))
        with open(directory / "nodes.json", "w") as feed:
            for i, key in enumerate(keys):
                feed.write(json.dumps(row(i, key), separators=(",", ":")) + "\n")

    def serve(self):
        """Start; the seconds until it serves."""
        began = time.monotonic()
        self.start()
        self.wait_log(r" server .*event=ready", timeout=READY_S)
        self.server = child_of(self.pid)
        return time.monotonic() - began

    def memory_at_rest(self):
        """What a reload has read is freed on a thread of its own: when several looks see the same."""
        seen = []

        def rests():
            seen.append(memory_bytes(self.server))
            return len(set(seen[-5:])) == 1 and len(seen) >= 5
        wait_for("memory is given back", rests, timeout=60)
        return seen[-1]

    def reload(self):
        began = time.monotonic()
        mark = self.mark()
        self.signal(signal.SIGHUP)
        self.wait_log(r" reload .*event=done", timeout=READY_S, since=mark)
        return time.monotonic() - began


def configured(results, directory, counts):
    base = None
    for count in [1, *counts]:
        (place := directory / f"configured-{count}").mkdir()
        ingress = Ingress(place, some_keys(count))
        try:
            took = ingress.serve()
            memory, cpu = memory_bytes(ingress.server), cpu_s(ingress.server)
            if base is None:
                base = memory
                continue
            names = len(name_of(0)) + 1
            results.add("node_bytes", (memory - base) / count - names, "bytes", state="configured", nodes=count)
            results.add("node_setup_s", took, "s", state="configured", nodes=count)
            results.add("node_setup_cpu_us", cpu / count * 1e6, "us/node", state="configured", nodes=count)
            results.add("node_reload_s", ingress.reload(), "s", state="configured", nodes=count)
            peak = memory_bytes(ingress.server, "VmHWM")
            results.add("node_reload_peak_bytes", (peak - base) / count - 2 * names, "bytes", state="configured",
                        nodes=count)
            results.add("node_bytes_after_reload", (ingress.memory_at_rest() - base) / count - names, "bytes",
                        state="configured", nodes=count)
        finally:
            ingress.kill()


class Players:
    """manynodes: reports on a line of its own whenever it is asked."""

    def __init__(self, ingress, count, seed, inside=()):
        self.popen = subprocess.Popen(
            [*inside, BIN / "tests/manynodes", "--key", ingress.public_key, "--to", f"127.0.0.1:{UDP_PORT}",
             "--nodes", str(count), "--seed", seed], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self):
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return {k: int(v) for k, v in (word.split("=") for word in self.popen.stdout.readline().split())}

    def stop(self):
        self.popen.kill()
        self.popen.wait()


def connected(results, directory, counts, seconds):
    for count in counts:
        (place := directory / f"connected-{count}").mkdir()
        seed = "nodes"
        keys = run([BIN / "tests/manynodes", "--keys", "--nodes", count, "--seed", seed], timeout=300).stdout.split()
        ingress = Ingress(place, keys)
        ingress.serve()
        before = memory_bytes(ingress.server)
        players = Players(ingress, count, seed)
        try:
            began, cpu = time.monotonic(), cpu_s(ingress.server)
            wait_for("every node has a session", lambda: players.ask()["up"] == count, timeout=READY_S)
            results.add("node_connect_s", time.monotonic() - began, "s", nodes=count)
            results.add("node_connect_cpu_us", (cpu_s(ingress.server) - cpu) / count * 1e6, "us/node", nodes=count)
            memory = memory_bytes(ingress.server)
            results.add("node_bytes", (memory - before) / count, "bytes", state="connected", nodes=count)
            began, cpu, told = time.monotonic(), cpu_s(ingress.server), players.ask()
            time.sleep(seconds)
            took, cpu, now = time.monotonic() - began, cpu_s(ingress.server) - cpu, players.ask()
            handshakes = (now["handshakes"] - told["handshakes"]) / took
            results.add("node_idle_cpu_pct", 100 * cpu / took, "%", state="connected", nodes=count,
                        handshakes_per_s=round(handshakes, 1),
                        datagrams_per_s=round((now["sent"] + now["received"] - told["sent"] - told["received"]) / took))
            results.add("node_lost", count - now["up"], "nodes", nodes=count)
            results.add("node_bytes_later", (memory_bytes(ingress.server) - before) / count, "bytes", state="connected",
                        nodes=count)
        finally:
            players.stop()
            ingress.kill()


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def main():
    parser = argparse.ArgumentParser(prog="nodes.sh")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--configured", type=numbers)
    parser.add_argument("--connected", type=numbers)
    parser.add_argument("--seconds", type=float, help="how long connected nodes are watched")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    if options.configured is None:
        options.configured = [10_000, 100_000] if options.quick else [10_000, 100_000, 1_000_000]
    if options.connected is None:
        options.connected = [2_000, 10_000] if options.quick else [10_000, 100_000]
    results = Results()
    with tempfile.TemporaryDirectory() as directory:
        configured(results, Path(directory), options.configured)
        # long enough for every session to be renewed (each 120 s) in the whole run
        connected(results, Path(directory), options.connected, options.seconds or (5 if options.quick else 150))
    results.write(options.json)


if __name__ == "__main__":
    main()
