#!/usr/bin/python3
"""funnel-feed: a directory of YAML files as a feed for funnel-ingress (docs/feed.md).

    funnel-feed.py serve DIRECTORY [--listen 127.0.0.1:8444] [--token-file F] [--certificate F --key F [--client-ca F]]
    funnel-feed.py etcd DIRECTORY --url URL… [--prefix /funnel/nodes/] [--user NAME --password-file F] [--ca F]
    funnel-feed.py check DIRECTORY

Each *.yaml, *.yml or *.json file holds one node, or a list of nodes, with the keys of docs/feed.md. A node that is taken
out of the directory is removed from the feed: its streams drain. A node with `revoked: true` (and its id) is withdrawn:
its streams end. A file that can't be read as a whole changes nothing, and says so, until it can.

Needs Python 3.11 and python3-yaml.
"""
import argparse
import base64
import collections
import hmac
import http.server
import json
import pathlib
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

HISTORY = 10000  # changes kept for those who resume; a client that was away for more gets a snapshot
LOOK_S = 0.2     # how often the directory is looked at


def say(text):
    print(f"funnel-feed: {text}", file=sys.stderr, flush=True)


class Directory:
    """What the files say, and what changed since the last look."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.read = {}  # file -> (stamp, rows): the last good state of each
        self.faulty = {}  # file -> stamp of the state that could not be used

    def files(self):
        return sorted(f for f in self.path.iterdir()
                      if f.suffix in (".yaml", ".yml", ".json") and not f.name.startswith("."))

    def look(self):
        """All nodes by id; None when nothing changed."""
        changed = False
        files = self.files()
        for gone in set(self.read) - set(files):
            del self.read[gone]
            changed = True
        for file in files:
            try:
                stat = file.stat()
            except FileNotFoundError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp in (self.read.get(file, (None,))[0], self.faulty.get(file)):
                continue
            try:
                self.read[file] = (stamp, self.rows(file))
                changed = True
                self.faulty.pop(file, None)
            except (OSError, ValueError, yaml.YAMLError) as fault:
                self.faulty[file] = stamp
                say(f"{file}: {' '.join(str(fault).split())}: left as it was")
        return self.nodes() if changed else None

    @staticmethod
    def rows(file):
        content = yaml.safe_load(file.read_text("utf-8"))
        rows = content if isinstance(content, list) else [content]
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not row["id"]:
                raise ValueError("is no node, or a list of nodes, with an id each")
            json.dumps(row)
        return rows

    def nodes(self):
        nodes = {}
        for file, (_, rows) in sorted(self.read.items()):
            for row in rows:
                if row["id"] in nodes:
                    say(f"{file}: the id {row['id']} stands elsewhere too: left out here")
                else:
                    nodes[row["id"]] = row
        return nodes


def is_revoked(row):
    return row.get("revoked") is True


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# ---- the stream ----

class Feed:
    """Nodes, the revision, and the changes that led to it. The revision begins with the clock in milliseconds, so that a
    server that was started again does not go back."""

    def __init__(self, nodes):
        self.changed = threading.Condition()
        self.nodes = nodes
        self.revision = int(time.time() * 1000)
        self.history = collections.deque(maxlen=HISTORY)  # (revision, line)
        self.known_from = self.revision  # who holds this one or a later one can resume

    def update(self, nodes):
        with self.changed:
            for node_id in sorted(set(self.nodes) | set(nodes)):
                old, new = self.nodes.get(node_id), nodes.get(node_id)
                if old == new:
                    continue
                self.revision += 1
                if new is None:
                    change = {"remove": node_id}
                elif is_revoked(new):
                    change = {"revoke": node_id}
                else:
                    change = {"put": new}
                if len(self.history) == HISTORY:
                    self.known_from = self.history[0][0]
                self.history.append((self.revision, compact({**change, "revision": self.revision})))
            self.nodes = nodes
            self.changed.notify_all()

    def first(self, asked):
        """Lines to begin with, and the revision they lead to."""
        with self.changed:
            if asked is not None and self.known_from <= asked <= self.revision:
                return [compact({"resume": asked, "version": 1}),
                        *(line for revision, line in self.history if revision > asked)], self.revision
            lines = ['{"snapshot":"begin","version":1}']
            lines += [compact({"revoke": node_id} if is_revoked(row) else row) for node_id, row in self.nodes.items()]
            lines += [compact({"snapshot": "end", "revision": self.revision})]
            return lines, self.revision

    def after(self, revision, timeout):
        """Lines that follow, within the time; none: a heartbeat is due. None: too far behind."""
        with self.changed:
            if self.revision == revision:
                self.changed.wait(timeout)
            if revision < self.known_from:
                return None, revision
            return [line for at, line in self.history if at > revision], self.revision


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def chunk(self, lines):
        data = "".join(line + "\n" for line in lines).encode()
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()

    def do_GET(self):
        server = self.server
        url = urllib.parse.urlsplit(self.path)
        if server.token and not hmac.compare_digest(self.headers.get("Authorization", "").encode(),
                                                    b"Bearer " + server.token.encode()):
            return self.send_error(401)
        if url.path != server.path:
            return self.send_error(404)
        asked = urllib.parse.parse_qs(url.query).get("revision", [""])[0]
        lines, revision = server.feed.first(int(asked) if asked.isascii() and asked.isdigit() else None)
        self.send_response(200)
        self.send_header("Content-Type", "application/jsonl")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.close_connection = True
        try:
            self.chunk(lines)
            while not server.ending:
                lines, revision = server.feed.after(revision, server.heartbeat)
                if lines is None:
                    return None
                self.chunk(lines or [compact({"heartbeat": revision})])
        except OSError:
            pass  # who went away comes again
        return None

    def log_message(self, form, *values):
        say(f"{self.client_address[0]} {form % values}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    ending = False

    def __init__(self, address, options, feed):
        self.feed = feed
        self.path = options.path
        self.heartbeat = options.heartbeat
        self.token = pathlib.Path(options.token_file).read_text().strip() if options.token_file else None
        self.tls = None
        if options.certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(options.certificate, options.key)
            if options.client_ca:
                self.tls.load_verify_locations(options.client_ca)
                self.tls.verify_mode = ssl.CERT_REQUIRED
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)

    def finish_request(self, request, client_address):
        """In the connection's own thread: a slow handshake holds up nobody."""
        request.settimeout(30)
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError as fault:
                say(f"{client_address[0]} {fault}")
                return
        super().finish_request(request, client_address)


def serve(options):
    directory = Directory(options.directory)
    feed = Feed(directory.look() or {})
    server = Server(options.listen, options, feed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = options.listen
    where = f"[{host}]" if ":" in host else host
    say(f"serves {len(feed.nodes)} nodes at {'https' if server.tls else 'http'}://{where}:{port}{options.path}")
    while True:
        time.sleep(LOOK_S)
        nodes = directory.look()
        if nodes is not None:
            feed.update(nodes)


# ---- etcd ----

class Etcd:
    """What is under the prefix, through the HTTP/JSON gateway of whichever member answers."""

    def __init__(self, options):
        self.urls = options.url
        self.prefix = options.prefix
        self.user = options.user
        self.password = pathlib.Path(options.password_file).read_text().strip() if options.password_file else None
        self.context = ssl.create_default_context(cafile=options.ca) if options.url[0].startswith("https:") else None
        self.token = None

    def call(self, path, body):
        fault = None
        for url in self.urls:
            try:
                if self.user and not self.token:
                    self.token = self.post(url, "/v3/auth/authenticate",
                                           {"name": self.user, "password": self.password})["token"]
                return self.post(url, path, body)
            except urllib.error.HTTPError as refusal:
                self.token = None
                fault = f"{url}: {refusal.code} {refusal.read(300).decode('utf-8', 'replace')}"
            except OSError as refusal:
                fault = f"{url}: {refusal}"
        raise OSError(fault)

    def post(self, url, path, body):
        request = urllib.request.Request(url.rstrip("/") + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        if self.token and not path.startswith("/v3/auth"):
            request.add_header("Authorization", self.token)
        with urllib.request.urlopen(request, timeout=10, context=self.context) as answer:
            return json.load(answer)

    def key(self, node_id):
        return base64.b64encode((self.prefix + node_id).encode()).decode()

    def there(self):
        """What stands there now: id -> text."""
        end = self.prefix[:-1] + chr(ord(self.prefix[-1]) + 1)
        begin, found = self.prefix, {}
        while True:
            page = self.call("/v3/kv/range", {"key": base64.b64encode(begin.encode()).decode(),
                                              "range_end": base64.b64encode(end.encode()).decode(), "limit": 500})
            for kv in page.get("kvs", []):
                key = base64.b64decode(kv["key"]).decode()
                found[key[len(self.prefix):]] = base64.b64decode(kv.get("value", "")).decode()
                begin = key + "\0"
            if not page.get("more"):
                return found

    def write(self, nodes, there):
        """Make it so; returns what is there now."""
        wanted = {node_id: compact({"revoked": True} if is_revoked(row) else row) for node_id, row in nodes.items()}
        for node_id in sorted(set(there) - set(wanted)):
            self.call("/v3/kv/deleterange", {"key": self.key(node_id)})
            del there[node_id]
        for node_id, text in wanted.items():
            if there.get(node_id) != text:
                self.call("/v3/kv/put", {"key": self.key(node_id), "value": base64.b64encode(text.encode()).decode()})
                there[node_id] = text
        return there


def write_etcd(options):
    directory, etcd = Directory(options.directory), Etcd(options)
    nodes, there = directory.look() or {}, None
    while True:
        try:
            there = etcd.write(nodes, etcd.there() if there is None else there)
            if options.once:
                return
            while (changed := directory.look()) is None:
                time.sleep(LOOK_S)
            nodes = changed
        except OSError as fault:
            say(fault)
            there = None
            time.sleep(1)


def check(options):
    directory = Directory(options.directory)
    nodes = directory.look() or {}
    print(f"{len(nodes)} nodes")
    sys.exit(1 if directory.faulty else 0)


def listen_at(text):
    """Host and port. A port alone is refused: it would be every address of the machine."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' must be host:port, such as 127.0.0.1:8444 or [::]:8444")
    return host.strip("[]"), int(port)


def main():
    parser = argparse.ArgumentParser(description="A directory of YAML files as a feed for funnel-ingress.")
    commands = parser.add_subparsers(required=True)
    stream = commands.add_parser("serve", help="a stream of lines over HTTP or HTTPS")
    stream.add_argument("directory")
    stream.add_argument("--listen", type=listen_at, default="127.0.0.1:8444", metavar="HOST:PORT",
                        help="default: 127.0.0.1:8444")
    stream.add_argument("--path", default="/nodes", help="of the URL; default: /nodes")
    stream.add_argument("--token-file", help="clients must send the token in it")
    stream.add_argument("--certificate", help="speak TLS with this certificate, in PEM; without it plain HTTP")
    stream.add_argument("--key", help="its key; default: in the same file")
    stream.add_argument("--client-ca", help="clients must show a certificate of this authority")
    stream.add_argument("--heartbeat", type=float, default=15, help="seconds; default: 15")
    stream.set_defaults(run=serve)
    writer = commands.add_parser("etcd", help="keys in etcd")
    writer.add_argument("directory")
    writer.add_argument("--url", action="append", required=True, help="a member; again for more")
    writer.add_argument("--prefix", default="/funnel/nodes/",
                        help="of the keys; what is under it and has no file is deleted; default: /funnel/nodes/")
    writer.add_argument("--user", help="where etcd's authentication is on")
    writer.add_argument("--password-file", help="its password, one line")
    writer.add_argument("--ca", help="authorities trusted, in PEM")
    writer.add_argument("--once", action="store_true", help="write what is different, and end")
    writer.set_defaults(run=write_etcd)
    checker = commands.add_parser("check", help="read the files and end")
    checker.add_argument("directory")
    checker.set_defaults(run=check)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        options.run(options)
    except OSError as fault:  # a file that is not there, a port in use
        sys.exit(f"funnel-feed: {fault}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
