"""The service behind the node: nginx from its package, with HTTPS and plain HTTP, both behind PROXY protocol."""
import hashlib
import json
import os
import secrets

from ports import free_port
from processes import Process, wait_for

BIG_BYTES = 256 * 1024 * 1024

CONFIG = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    log_format visitor escape=json '{{"address":"$proxy_protocol_addr","port":"$proxy_protocol_port",'
                                   '"host":"$host","protocol":"$server_protocol","uri":"$request_uri"}}';
    access_log access.log visitor;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    keepalive_timeout 60s;
    ssl_certificate {certificate.certificate};
    ssl_certificate_key {certificate.key};

    server {{
        listen 127.0.0.1:{https} ssl http2 proxy_protocol backlog=4096;
        listen 127.0.0.1:{http} proxy_protocol backlog=4096;
        root pages;
        default_type text/html;
        location = /protocol {{ return 200 "protocol=$server_protocol marker={marker}\\n"; }}
        location /upload/ {{ root .; dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


class Website(Process):
    """`marker` is in every page and nowhere else in the world."""

    def __init__(self, directory, certificate):
        super().__init__("nginx", ["nginx", "-p", directory, "-c", directory / "nginx.conf", "-e", "stderr"], directory)
        self.certificate = certificate
        self.https, self.http = free_port(), free_port()
        self.marker = secrets.token_hex(64)
        self.page = f"<html><body>{self.marker}</body></html>\n".encode()
        pages = directory / "pages"
        pages.mkdir()
        (directory / "upload").mkdir()
        (pages / "index.html").write_bytes(self.page)
        (directory / "nginx.conf").write_text(CONFIG.format(**vars(self)))

    def start(self):
        super().start()
        wait_for("nginx listens", lambda: (self.directory / "nginx.pid").exists())
        return self

    @property
    def https_forward(self):
        return f"127.0.0.1:{self.https}"

    @property
    def http_forward(self):
        return f"127.0.0.1:{self.http}"

    def big_page(self, size=BIG_BYTES):
        """Path of a page of that size with random content, and its digest; made once."""
        path = self.directory / "pages" / f"big-{size}"
        if not path.exists():
            with open(path, "wb") as file:
                for _ in range(0, size, 1 << 20):
                    file.write(os.urandom(min(1 << 20, size)))
        return path, digest(path)

    def uploaded(self, name):
        return self.directory / "upload" / name

    def visits(self, uri):
        """Access log entries for that address."""
        log = self.directory / "access.log"
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [entry for entry in entries if entry["uri"] == uri]

    def visit(self, uri):
        """The one entry for an address only this visitor asked for; nginx logs when the answer has gone out."""
        return wait_for(f"nginx logs {uri}", lambda: self.visits(uri))[0]


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()
