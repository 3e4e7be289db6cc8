"""subjects.py - what run.sh measures, each with its visitors' side and its backend in a network namespace of its own.

    load -> ingress side -> [node side] -> backend

A subject knows its configuration, how it is started, and which processes are its ingress and its node side. Ports are
the same everywhere: a namespace holds one subject."""
import base64
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from measure import child_of, cpu_s, memory_bytes
from processes import Process, run, wait_for

BIN = Path(os.environ["FUNNEL_BIN"]).resolve()
PEERS = Path(__file__).parents[2] / "build/bench/peers"
PUBLIC, BACKEND, TUNNEL, NODE_UDP = 4430, 9000, 41641, 20000  # a node's WireGuard: NODE_UDP and its number
STREAMS_MAX = 1_000_000  # no limit of anybody's shall be met
FILES_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
READY_S = 60

# Loopback TCP runs at half its speed under BBR's pacing, which is what these machines default to.
NAMESPACE = """
ip link set lo up
for net in 127.0.0.0/8 127.0.0.1; do ip route change table local local $net dev lo src 127.0.0.1 congctl cubic; done
cd /proc/sys/net
echo 1024 65535 >ipv4/ip_local_port_range
echo 65535 >core/somaxconn
echo 65535 >ipv4/tcp_max_syn_backlog
"""


def name_of(i):
    return f"n{i}.bench.test"


class Asked:
    """A helper that takes commands by its input and answers a report with one line."""

    def __init__(self, argv):
        self.popen = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *words):
        self.popen.stdin.write(" ".join(map(str, words)) + "\n")
        self.popen.stdin.flush()

    def report(self):
        self.tell("report")
        line = self.popen.stdout.readline()
        assert line, f"{self.popen.args} has ended"
        return json.loads(line)

    def stop(self):
        self.popen.kill()
        self.popen.wait()


class Window(NamedTuple):
    """What a subject did between two moments."""
    seconds: float
    report: dict  # of the load
    sunk: int     # bytes that reached the backend and were thrown away there
    ingress_cpu_s: float
    node_cpu_s: float


def watch(subject, seconds):
    def sample():
        return (subject.load.report(), subject.backend.report()["bytes"], subject.cpu_s(subject.ingress_pids),
                subject.cpu_s(subject.node_pids))
    before = sample()
    time.sleep(seconds)
    report, *after = sample()
    return Window(report["seconds"], report, *(b - a for a, b in zip(before[1:], after)))


class Subject:
    """One thing to measure, with everything around it."""
    encrypted = False  # carries streams through a tunnel that cannot be read
    public = PUBLIC    # the port visitors come to
    alive = 0          # for the names of namespaces

    def __init__(self, directory, nodes=1):
        self.directory = directory
        self.nodes = nodes
        self.processes, self.helpers = [], []
        self.ingress_pids, self.node_pids = [], []
        Subject.alive += 1
        self.namespace = f"bench{Subject.alive}"
        directory.mkdir(parents=True)

    def start(self):
        run(["ip", "netns", "add", self.namespace])
        run([*self.inside(), "sh", "-ec", NAMESPACE])
        self.backend = self.ask("backend", "--port", BACKEND)
        self.configure()
        self.launch()
        self.load = self.new_load()
        return self

    def inside(self):
        return ["ip", "netns", "exec", self.namespace]

    def ask(self, program, *arguments):
        self.helpers.append(Asked([*self.inside(), BIN / "tests" / program, *arguments]))
        return self.helpers[-1]

    def new_load(self):
        load = self.ask("load", "--to", f"127.0.0.1:{self.public}")
        load.tell("names", self.nodes)
        return load

    def begin(self, name, *argv):
        process = Process(name, [*self.inside(), *argv], self.directory).start()
        self.processes.append(process)
        return process

    def write(self, name, content):
        file = self.directory / name
        file.touch(mode=0o600)
        file.write_text(content if isinstance(content, str) else json.dumps(content))

    def wait_listening(self, port=PUBLIC):
        def listening():
            for process in self.processes:
                assert process.running(), f"{process.name} has ended: {process.tail()}"
            tables = Path(f"/proc/{self.backend.popen.pid}/net")
            return any(re.search(rf":{port:04X} 0+:0000 0A", (tables / file).read_text()) for file in ("tcp", "tcp6"))
        wait_for(f"{self.name} listens", listening, READY_S)

    def wait_carries(self):
        """One stream crosses: until then a tunnel may still be coming up. Not for cold measurements."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            load = self.new_load()
            load.tell("hold", 1)
            try:
                wait_for("an echo", lambda: load.report()["held"] == 1, timeout=0.3)
                return
            except AssertionError:
                continue
            finally:
                load.stop()
        raise AssertionError(f"{self.name} carries nothing; see {self.directory}")

    def configure(self):
        pass

    def cpu_s(self, pids):
        return sum(cpu_s(pid) for pid in pids)

    def memory_bytes(self, pids, field="VmRSS"):
        return sum(memory_bytes(pid, field) for pid in pids)

    def stop(self):
        for asked in self.helpers:
            asked.stop()
        for process in self.processes:
            process.kill()
        run(["ip", "netns", "delete", self.namespace], check=False)


class Direct(Subject):
    """No ingress at all: what load and backend can do by themselves."""
    name = "direct"
    public = BACKEND

    def launch(self):
        self.wait_listening(BACKEND)


class Limit(Subject):
    """What this machine can do at best (tests/support/limit.c)."""
    name = "limit"

    def launch(self):
        pass

    def work(self, direction, seconds):
        did = json.loads(run([*self.inside(), BIN / "tests/limit", direction, seconds]).stdout)
        return Window(did["seconds"], {"bytes": did["bytes"], "failed": 0}, did["bytes"], did["cpu_s"], 0)


class FunnelIngress(Subject):
    name = "funnel-ingress"
    encrypted = True

    def __init__(self, directory, nodes=1, workers=1, called=False, extra_rows=()):
        super().__init__(directory, nodes)
        self.workers = workers
        self.called = called  # the ingress knows where the nodes are and begins, at the first visitor
        self.extra_rows = extra_rows

    def configure(self):
        self.public_key = self.new_key("ingress.key")
        self.write("ingress.yaml", {
            "workers": self.workers,
            "listen": [{"address": f"127.0.0.1:{PUBLIC}", "public_port": 443}],
            "wireguard": {"listen": [f"127.0.0.1:{TUNNEL}"]},
            "identities": [{"name": "default", "key_file": "ingress.key"}],
            "feed": {"path": "nodes.json"},
            "limits": {"connections": STREAMS_MAX, "connections_per_source": STREAMS_MAX,
                       "connections_per_node": STREAMS_MAX},
            "log": {"access": "off"}})
        with open(self.directory / "nodes.json", "w") as feed:
            for i in range(self.nodes):
                feed.write(json.dumps(self.configure_node(i)) + "\n")
            for row in self.extra_rows:
                feed.write(json.dumps(row) + "\n")

    def configure_node(self, i):
        """Writes its files; its row of the feed."""
        key = self.new_key(f"node{i}.key")
        ingress = {"name": "bench", "public_key": self.public_key}
        if not self.called:
            ingress["endpoint"] = f"127.0.0.1:{TUNNEL}"
        self.write(f"node{i}.yaml", {
            "key_file": f"node{i}.key", "listen": [f"127.0.0.1:{NODE_UDP + i}"], "ingresses": [ingress],
            "services": [{"name": name_of(i), "ports": [443], "funnel": True, "tls": "passthrough",
                          "forward": f"127.1.0.{i + 1}:{BACKEND}"}]})
        row = feed_row(id_on(i % self.workers, self.workers, i), [name_of(i)], key)
        if self.called:
            row["endpoints"] = [f"127.0.0.1:{NODE_UDP + i}"]
        return row

    def new_key(self, file):
        key = run([BIN / "funnel-ingress", "genkey"]).stdout
        self.write(file, key)
        return run([BIN / "funnel-ingress", "pubkey"], input=key).stdout.strip()

    def launch(self):
        ingress = self.begin("ingress", BIN / "funnel-ingress", "-c", "ingress.yaml")
        ingress.wait_log(r" server .*event=ready", READY_S)
        self.ingress_pids = [child_of(ingress.pid)]
        nodes = [self.begin(f"node{i}", BIN / "funnel-node", "-c", f"node{i}.yaml") for i in range(self.nodes)]
        self.node_pids = [node.pid for node in nodes]
        for node in nodes:
            node.wait_log(r" node .*event=ready" if self.called else r" session .*event=up", READY_S)


def feed_row(node_id, names, key):
    return {"id": node_id, "names": names, "key": key, "peerapi6": 41112, "ports": [443],
            "funnel": {"admin": True, "node": True}}


def id_on(worker, workers, i):
    """An id whose shard that worker owns: FNV-1a folded to 8 bits, see route_shard."""
    for attempt in range(1000):
        node_id, h = f"node{i}-{attempt}", 0x811c9dc5
        for byte in node_id.encode():
            h = (h ^ byte) * 0x01000193 & 0xffffffff
        if (h ^ h >> 8 ^ h >> 16 ^ h >> 24) % 256 % workers == worker:
            return node_id
    raise AssertionError("no such id")


class Haproxy(Subject):
    """No tunnel: it routes by the server name to the backend itself."""
    name = "haproxy"

    def configure(self):
        self.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn {FILES_MAX // 2 - 100}
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend public
    bind 127.0.0.1:{PUBLIC} backlog 65535
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req_ssl_hello_type 1 }}
    use_backend service if {{ req_ssl_sni -m end .bench.test }}
backend service
    server backend 127.0.0.1:{BACKEND}
""")

    def launch(self):
        haproxy = self.begin("haproxy", "/usr/sbin/haproxy", "-db", "-f", "haproxy.cfg")
        self.ingress_pids = [haproxy.pid]
        self.wait_listening()


class Nginx(Subject):
    """No tunnel, the same with the stream module."""
    name = "nginx"

    def configure(self):
        self.write("nginx.conf", f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {FILES_MAX};
pid {self.directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {FILES_MAX}; }}
stream {{
    map $ssl_preread_server_name $service {{ hostnames; *.bench.test 127.0.0.1:{BACKEND}; }}
    server {{
        listen 127.0.0.1:{PUBLIC} backlog=65535;
        ssl_preread on;
        proxy_pass $service;
        proxy_timeout 1h;
        access_log off;
    }}
}}
""")

    def launch(self):
        nginx = self.begin("nginx", "/usr/sbin/nginx", "-p", self.directory, "-e", "stderr", "-c",
                           self.directory / "nginx.conf")
        self.wait_listening()
        wait_for("nginx has a worker", lambda: Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text())
        self.ingress_pids = [child_of(nginx.pid)]


class Frp(Subject):
    """TLS between its two ends, all streams in one connection: as it comes."""
    name = "frp"
    encrypted = True

    def configure(self):
        self.write("frps.toml", f"""
bindAddr = "127.0.0.1"
bindPort = {TUNNEL}
proxyBindAddr = "127.0.0.1"
transport.tls.force = true
log.level = "error"
""")
        self.write("frpc.toml", f"""
serverAddr = "127.0.0.1"
serverPort = {TUNNEL}
log.level = "error"
[[proxies]]
name = "bench"
type = "tcp"
localIP = "127.0.0.1"
localPort = {BACKEND}
remotePort = {PUBLIC}
""")

    def launch(self):
        self.ingress_pids = [self.begin("frps", PEERS / "frps", "-c", "frps.toml").pid]
        self.wait_listening(TUNNEL)
        self.node_pids = [self.begin("frpc", PEERS / "frpc", "-c", "frpc.toml").pid]
        self.wait_listening()


class Rathole(Subject):
    """Noise over a TCP connection a stream."""
    name = "rathole"
    encrypted = True

    def configure(self):
        lines = run([PEERS / "cargo/bin/rathole", "--genkey"]).stdout.split()
        private, public = (lines[lines.index("Key:") + 1], lines[-1])
        service = 'default_token = "bench"\n[{role}.transport]\ntype = "noise"\n[{role}.transport.noise]\n'
        self.write("server.toml", f'[server]\nbind_addr = "127.0.0.1:{TUNNEL}"\n' + service.format(role="server") +
                   f'local_private_key = "{private}"\n[server.services.bench]\nbind_addr = "127.0.0.1:{PUBLIC}"\n')
        self.write("client.toml", f'[client]\nremote_addr = "127.0.0.1:{TUNNEL}"\n' + service.format(role="client") +
                   f'remote_public_key = "{public}"\n[client.services.bench]\nlocal_addr = "127.0.0.1:{BACKEND}"\n')

    def launch(self):
        os.environ["RUST_LOG"] = "error"
        self.ingress_pids = [self.begin("server", PEERS / "cargo/bin/rathole", "server.toml").pid]
        self.wait_listening(TUNNEL)
        self.node_pids = [self.begin("client", PEERS / "cargo/bin/rathole", "client.toml").pid]
        self.wait_listening()


class GoIngress(Subject):
    """wireguard-go and gVisor at both ends (peers/go-ingress)."""
    name = "go-ingress"
    encrypted = True

    def configure(self):
        self.keys = {}
        for end in ("ingress", "node"):
            key = run([BIN / "funnel-ingress", "genkey"]).stdout
            self.keys[end] = [base64.b64decode(text).hex()
                              for text in (key, run([BIN / "funnel-ingress", "pubkey"], input=key).stdout)]

    def launch(self):
        self.ingress_pids = [self.begin_end("ingress", "node", TUNNEL, NODE_UDP, "-listen", f"127.0.0.1:{PUBLIC}")]
        self.node_pids = [self.begin_end("node", "ingress", NODE_UDP, TUNNEL, "-forward", f"127.0.0.1:{BACKEND}")]

    def begin_end(self, own, other, udp, other_udp, *more):
        process = self.begin(own, PEERS / "go-ingress", own, "-udp", udp, "-key", self.keys[own][0], "-peer",
                             self.keys[other][1], "-endpoint", f"127.0.0.1:{other_udp}", *more)
        wait_for(f"{own} is ready", lambda: "ready" in process.out.read_text(), READY_S)
        return process.pid


PEERS_AND_US = {kind.name: kind for kind in (FunnelIngress, Haproxy, Nginx, Frp, Rathole, GoIngress, Direct)}
