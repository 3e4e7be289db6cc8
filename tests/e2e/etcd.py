"""An etcd cluster of three members on loopback, each a process of its own, to be killed and started again."""
import base64
import json
import urllib.error
import urllib.request

from ports import free_port
from processes import Process, wait_for


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Member(Process):
    def __init__(self, directory, name, client, peer, cluster, extra):
        self.url = f"http://127.0.0.1:{client}"
        super().__init__(name, [
            "etcd", "--name", name, "--data-dir", directory / f"{name}.data", "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", cluster,
            "--heartbeat-interval", "50", "--election-timeout", "500", "--unsafe-no-fsync", *extra],
            directory)


class Cluster:
    def __init__(self, directory, members=3, extra=()):
        directory.mkdir(parents=True)
        ports = [(free_port(), free_port()) for _ in range(members)]
        cluster = ",".join(f"m{i}=http://127.0.0.1:{peer}" for i, (_, peer) in enumerate(ports))
        self.members = [Member(directory, f"m{i}", client, peer, cluster, extra)
                        for i, (client, peer) in enumerate(ports)]
        self.token = None

    @property
    def urls(self):
        return [m.url for m in self.members]

    def start(self):
        for member in self.members:
            member.start()
        wait_for("etcd takes a key", lambda: self.try_call("/v3/kv/put", {"key": b64("x"), "value": b64("y")}), 30)
        return self

    def call(self, path, body):
        fault = None
        for member in self.members:
            if not member.running():
                continue
            request = urllib.request.Request(member.url + path, json.dumps(body).encode())
            if self.token:
                request.add_header("Authorization", self.token)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as refusal:
                fault = f"{refusal.code} {refusal.read()}"
            except OSError as refusal:
                fault = refusal
        raise AssertionError(f"etcd: {fault}")

    def try_call(self, path, body):
        try:
            return self.call(path, body)
        except AssertionError:
            return None

    def put(self, key, text):
        return int(wait_for(f"etcd takes {key}", lambda: self.try_call("/v3/kv/put", {"key": b64(key), "value": b64(text)}), 20)
                   ["header"]["revision"])

    def delete(self, key):
        self.call("/v3/kv/deleterange", {"key": b64(key)})

    def compact(self, revision):
        self.call("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    def turn_authentication_on(self, user, password):
        """root, and a user who may only read the nodes."""
        for name, secret in (("root", "rootpass"), (user, password)):
            self.call("/v3/auth/user/add", {"name": name, "password": secret})
        self.call("/v3/auth/role/add", {"name": "root"})
        self.call("/v3/auth/role/add", {"name": "nodes"})
        self.call("/v3/auth/role/grant", {"name": "nodes", "perm": {"permType": "READ", "key": b64("/funnel/nodes/"),
                                                                    "range_end": b64("/funnel/nodes0")}})
        self.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.call("/v3/auth/user/grant", {"user": user, "role": "nodes"})
        self.call("/v3/auth/enable", {})
        self.token = self.call("/v3/auth/authenticate", {"name": "root", "password": "rootpass"})["token"]

    def close(self):
        for member in self.members:
            member.kill()
