"""A small website for the demo: one page that tells each visitor how it was reached. Plain HTTP; the node ends TLS.

usage: site.py PORT_FILE - listens on a free loopback port and writes its number there once it is ready."""
import http.server
import pathlib
import sys

PAGE = b"""<!doctype html>
<html><head><title>funnel demo</title></head>
<body><h1>It works</h1>
<p>This page left a small web server on a private machine, crossed a WireGuard tunnel that the machine itself had opened,
and reached you through a public ingress that could not read it.</p></body></html>
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
port_file = pathlib.Path(sys.argv[1])
port_file.with_suffix(".new").write_text(f"{server.server_address[1]}\n")
port_file.with_suffix(".new").rename(port_file)
server.serve_forever()
