"""An ingress, its nodes, and the network between them, from the real programs.

Configuration is written as JSON, which is YAML too: tests change the dict and write again. Names end in .test; each
node's services decide what it accepts, and its feed row repeats their names unless the test says otherwise."""
import base64
import json
import os
import secrets
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest

import visitor
from ports import free_port
from processes import Process, run, wait_for

BIN = Path(os.environ.get("FUNNEL_BIN", Path(__file__).parents[2] / "build/asan")).resolve()
INGRESS, NODE, UDPRELAY = BIN / "funnel-ingress", BIN / "funnel-node", BIN / "tests/udprelay"

RAW_NAME = "raw.test"
RAW_PORT = 2222  # as the feed and the node know the raw TCP listener
# 40 ms there and back, one datagram in a hundred lost each way, some late
LOSSY = "delay=20,jitter=1,loss=1,reorder=1"

alive = []  # worlds that stand now; their logs are shown when a test fails


def new_key():
    """A key pair of the tunnel, as text: private, public."""
    private = run([INGRESS, "genkey"]).stdout.strip()
    return private, run([INGRESS, "pubkey"], input=private + "\n").stdout.strip()


def service(name, forward, ports=(443,), tls="passthrough", **more):
    return {"name": name, "ports": list(ports), "funnel": True, "forward": forward, "tls": tls, **more}


class Ingress(Process):
    def __init__(self, directory, name="fra1", env=None):
        directory.mkdir(parents=True)
        (directory / "state").mkdir()
        super().__init__(name, [INGRESS, "-c", "ingress.yaml"], directory, env)
        private, self.public_key = new_key()
        write_secret(directory / "ingress.key", private)
        self.port, self.port_8443, self.raw_port, self.udp_port = (free_port() for _ in range(4))
        self.config = {
            "listen": [
                {"address": f"127.0.0.1:{self.port}", "protocol": "tls", "public_port": 443},
                {"address": f"[::1]:{self.port}", "protocol": "tls", "public_port": 443},
                {"address": f"127.0.0.1:{self.port_8443}", "protocol": "tls", "public_port": 8443},
                {"address": f"127.0.0.1:{self.raw_port}", "protocol": "tcp", "public_port": RAW_PORT,
                 "target": f"{RAW_NAME}:{RAW_PORT}"},
            ],
            "wireguard": {"listen": [f"127.0.0.1:{self.udp_port}"]},
            "identities": [{"name": "default", "key_file": "ingress.key"}],
            "feed": {"type": "file", "path": "nodes.json"},
            "limits": {"connections_per_source": 100000, "connections_per_node": 100000},
            "drain": {"timeout": "5s"},
            "log": {"level": "debug", "access": "stdout"},
            "state_dir": "state",
        }
        self.rows = []

    @property
    def config_file(self):
        return self.directory / "ingress.yaml"

    @property
    def feed_file(self):
        return self.directory / "nodes.json"

    def write_config(self):
        self.config_file.write_text(json.dumps(self.config, indent=2) + "\n")

    def write_feed(self):
        self.feed_file.write_text(json.dumps({"version": 1, "nodes": self.rows}, indent=2) + "\n")

    def start(self):
        self.write_config()
        self.write_feed()
        mark = self.mark()
        super().start()
        self.wait_log(r" server .*event=ready", since=mark)
        return self

    def reload(self, expect="done"):
        """SIGHUP; the log from there on, once it says the expected outcome."""
        mark = self.mark()
        self.signal(signal.SIGHUP)
        self.wait_log(rf" reload .*event={expect}", since=mark)
        return self.log(mark)

    def access(self, timeout=10, since=0, **fields):
        """The first access line with these values; it comes when a stream has ended. since: after so many lines, for a
        client's port is soon another visitor's."""
        def found():
            return next((line for line in self.json_lines()[since:]
                         if all(line.get(k) == v for k, v in fields.items())), None)
        return wait_for(f"{self.name}: access line with {fields}", found, timeout)

    def refuses(self, data, port=None, half_close=False):
        """Send bytes as a visitor's first: the visitor's verdict, and what the access log says of this very visitor."""
        since = len(self.json_lines())
        with visitor.connect(port or self.port) as sock:
            client = "%s:%d" % sock.getsockname()
            answer = visitor.knock(sock, data, half_close)
        return answer, self.access(since=since, client=client)


class Node(Process):
    def __init__(self, directory, name, services, keys=None):
        directory.mkdir(parents=True)
        (directory / "state").mkdir()
        super().__init__(name, [NODE, "-c", "node.yaml"], directory)
        private, self.public_key = keys or new_key()
        write_secret(directory / "node.key", private)
        self.config = {
            "key_file": "node.key",
            "listen": ["127.0.0.1:0"],
            "peerapi_port": 41112,
            "ingresses": [],
            "services": services,
            "log": {"level": "debug"},
            "state_dir": "state",
        }

    def connects_to(self, ingress, port=None):
        """Have this node keep a session to the ingress, there or through a relay's port."""
        self.config["ingresses"].append({"name": ingress.name, "public_key": ingress.public_key,
                                         "endpoint": f"127.0.0.1:{port or ingress.udp_port}", "keepalive": "2s"})

    def row(self, **changes):
        """Its row in the feed, with fields replaced; a field set to None is left out."""
        services = self.config["services"]
        row = {"id": self.name, "names": list(dict.fromkeys(s["name"] for s in services)), "key": self.public_key,
               "peerapi6": self.config["peerapi_port"], "ports": sorted({p for s in services for p in s["ports"]}),
               "funnel": {"admin": True, "node": "ask"}}
        return {field: value for field, value in {**row, **changes}.items() if value is not None}

    def start(self):
        """Returns when it runs; wait_sessions when it can be reached."""
        (self.directory / "node.yaml").write_text(json.dumps(self.config, indent=2) + "\n")
        mark = self.mark()
        super().start()
        self.wait_log(r" node .*event=ready", since=mark)
        return self

    def wait_sessions(self, since=0, timeout=15):
        for ingress in self.config["ingresses"]:
            self.wait_log(rf" session .*event=up.* ingress={ingress['name']}\b", timeout, since)


class UdpRelay(Process):
    """The network between a node and an ingress, as bad as asked for."""

    def __init__(self, directory, name, target_port, impair="", seed=1, capture=None):
        argv = [UDPRELAY, "--seed", seed]
        if impair:
            argv += ["--up", impair, "--down", impair]
        if capture:
            argv += ["--capture", capture]
        self.port = free_port()
        super().__init__(name, [*argv, f"127.0.0.1:{self.port}", f"127.0.0.1:{target_port}"], directory)

    def start(self):
        super().start()
        wait_for("the relay listens", lambda: "listening" in self.out.read_text())
        return self

    def counts(self):
        """What it did to datagrams until now, both directions added up."""
        shown = self.out.stat().st_size
        self.signal(signal.SIGUSR1)
        wait_for("the relay counts", lambda: self.out.read_text()[shown:].count("\n") == 2)
        total = Counter()
        for line in self.out.read_text()[shown:].splitlines():
            total.update({name: int(count) for name, count in (item.split("=") for item in line.split()[1:])})
        return total


class World:
    """What one test, or the tests of one module, share. Made by open_world."""

    def __init__(self, directory, env=None):
        self.directory = directory
        self.raw = RawBackend()
        self.ingress = Ingress(directory / "ingress", env=env)
        self.nodes = []
        self.relays = []
        self.extra = []  # other processes whose logs matter and which end with the world

    def add_relay(self, impair="", capture=None):
        name = f"relay{len(self.relays)}"
        self.relays.append(UdpRelay(self.directory, name, self.ingress.udp_port, impair, capture=capture))
        return self.relays[-1]

    def add_node(self, name, services, relay=None, listed=True, keys=None, **row):
        """A node that connects to the ingress, through a relay if one is given; listed=False keeps it out of the feed."""
        node = Node(self.directory / name, name, services, keys)
        node.connects_to(self.ingress, relay.port if relay else None)
        self.nodes.append(node)
        if listed:
            self.ingress.rows.append(node.row(**row))
        return node

    def add_raw_node(self, relay=None):
        return self.add_node("rawnode", [service(RAW_NAME, self.raw.forward, [RAW_PORT])], relay)

    def start(self, sessions=True):
        for relay in self.relays:
            relay.start()
        self.ingress.start()
        for node in self.nodes:
            node.start()
        if sessions:
            for node in self.nodes:
                node.wait_sessions()
        return self

    def raw_pair(self, timeout=20):
        """A visitor of the raw listener and what the local service behind the node accepts for it."""
        visitor = socket.create_connection(("127.0.0.1", self.ingress.raw_port), timeout=timeout)
        served = self.raw.accept(timeout)
        return visitor, served

    def processes(self):
        return [self.ingress, *self.nodes, *self.relays, *self.extra]

    def close(self):
        """End everything and judge how it ended: a test's last step."""
        self.raw.close()
        faults = []
        for process in self.processes():
            faults += end_of(process)
        if faults:
            pytest.fail("\n".join(faults), pytrace=False)


def end_of(process):
    """Stop a process; what was wrong with it, as lines: its exit status, and what a sanitizer or an assertion said."""
    faults = []
    ran = process.running()
    try:
        status = process.stop()
        if ran and status != 0:
            faults.append(f"{process.name} ended with {status}; its last words:\n{process.tail()}")
    except AssertionError as fault:
        faults.append(f"{fault}\n{process.tail()}")
    finally:
        process.kill()
    defects = process.defects()
    return faults + ([f"{process.name} said:\n{defects}"] if defects else [])


def open_world(request, directory, env=None):
    """An empty World that ends with the fixture or test of `request`, whatever happens until then."""
    world = World(directory, env)

    def close():
        alive.remove(world)
        world.close()
    alive.append(world)
    request.addfinalizer(close)
    return world


class RawBackend:
    """A local TCP service whose server side is the test itself."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2048)

    @property
    def forward(self):
        return "127.0.0.1:%d" % self.socket.getsockname()[1]

    def accept(self, timeout=20):
        self.socket.settimeout(timeout)
        served, _ = self.socket.accept()
        served.settimeout(timeout)
        return served

    def close(self):
        self.socket.close()


def write_secret(path, text):
    path.touch(mode=0o600)
    path.write_text(text + "\n")


def random_public_key():
    """A key that nobody holds."""
    return base64.b64encode(secrets.token_bytes(31) + b"\x01").decode()
