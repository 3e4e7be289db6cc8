"""Nodes that misbehave as told: tests/support/fakenode.c, and the door through which a test sends inner packets."""
import itertools
import socket
import time

from ports import free_port
from processes import Process, wait_for
from world import BIN, new_key, write_secret

FAKENODE = BIN / "tests/fakenode"

# The ingress's own addresses inside the tunnels of worlds with fake nodes.
INGRESS_V4, INGRESS_V6 = "100.64.0.1", "fd00:1::1"
PEERAPI_PORT = 41112

_numbers = itertools.count(10)


def how(answer=b"", then="hold", **more):
    """What the node does with a connection to its peerapi; fakenode.c lists what else there is."""
    return {"answer": answer, "then": then, **more}


def gives_addresses(world):
    """Have the ingress answer to both families inside its tunnels. Before nodes are added."""
    world.ingress.config["identities"][0]["addresses"] = [INGRESS_V4, INGRESS_V6]


class FakeNode(Process):
    def __init__(self, world, name, v4=None, v6=None, names=None, ports=(443,), calls=True, endpoint_port=None,
                 port=PEERAPI_PORT):
        """v4, v6: a `how` for each family it shall have. calls=False: the ingress has to call it. port: where it listens."""
        directory = world.directory / name
        directory.mkdir(parents=True)
        private, self.public_key = new_key()
        write_secret(directory / "node.key", private)
        number = next(_numbers)
        self.v4, self.v6 = f"100.64.1.{number}", f"fd00:2::{number}"
        self.door_port, self.listen_port = free_port(), free_port()
        self.row = {"id": name, "names": names or [f"{name}.test"], "key": self.public_key,
                    "addresses": [self.v4, self.v6], "ports": list(ports), "funnel": {"admin": True, "node": "ask"}}
        argv = [FAKENODE, "--key", "node.key", "--ingress", world.ingress.public_key,
                "--listen", f"127.0.0.1:{self.listen_port}", "--door", f"127.0.0.1:{self.door_port}",
                "--peerapi", port]
        if calls:
            argv += ["--endpoint", f"127.0.0.1:{endpoint_port or world.ingress.udp_port}"]
        else:
            self.row["endpoints"] = [f"127.0.0.1:{self.listen_port}"]
        for family, behaviour in (("v4", v4), ("v6", v6)):
            if behaviour is not None:
                (directory / f"{family}.answer").write_bytes(behaviour["answer"])
                words = [f"{key}={value}" for key, value in behaviour.items() if key != "answer"]
                argv += [f"--{family}", ",".join([f"answer={family}.answer", *words])]
                self.row["peerapi" + family[1]] = port
        super().__init__(name, argv, directory)
        self.calls = calls
        world.nodes.append(self)
        world.ingress.rows.append(self.row)

    def start(self):
        super().start()
        wait_for(f"{self.name} listens", lambda: self.events("listening"))
        return self

    def wait_sessions(self, timeout=15):
        if self.calls:
            wait_for(f"{self.name} has a session", lambda: self.events("up"), timeout)

    def events(self, kind):
        return [line for line in self.json_lines() if line["event"] == kind]

    def door(self):
        return Door(self)


class Door:
    """Inner packets into the node's session, and those that come out of it."""

    def __init__(self, node):
        self.node = node
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.connect(("127.0.0.1", node.door_port))
        self.socket.send(b"")  # from now on what comes out is ours

    def send(self, *packets):
        for packet in packets:
            self.socket.send(packet)

    def receive(self, timeout=5):
        """The next packet out of the session, None when none comes."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(65536)
        except TimeoutError:
            return None

    def wait_packet(self, wanted, timeout=5):
        """The first packet for which wanted(packet) is true; those before it are forgotten."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            packet = self.receive(left)
            if packet and wanted(packet):
                return packet
        raise AssertionError(f"{self.node.name}: the packet waited for did not come")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
