"""Tells what happened to the demo's request, from what the programs wrote and the visitor saw.

usage: story.py ACCESS_LOG NODE_LOG NODE_CERTIFICATE SEEN_CERTIFICATE"""
import json
import re
import ssl
import sys

access_log, node_log, node_certificate, seen_certificate = sys.argv[1:]
with open(access_log) as file:
    visit = json.loads(file.readlines()[-1])
with open(node_log) as file:
    session = next((line for line in file if re.search(r" session .*event=up", line)), None)


def der(path):
    """The first certificate in a file."""
    with open(path) as file:
        text = file.read()
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN"):text.index(end) + len(end)])


tls_ended_on_node = der(node_certificate) == der(seen_certificate)
steps = [
    ("tunnel", "the node opened a WireGuard session to the ingress" + (f" at {session[11:23]}" if session else "")),
    ("visitor", f"{visit['client']} connected to {visit['listener']}"),
    ("name", f"the ClientHello asked for {visit['name']}, known after {visit['hello_ms']:.1f} ms"),
    ("route", f"the feed gives that name to node '{visit['node']}'"),
    ("offer", f"POST /v0/ingress for {visit['target']}; the node said 101 after {visit['offer_ms']:.1f} ms"),
    ("stream", f"{visit['bytes_up']} bytes up, {visit['bytes_down']} bytes down, {visit['total_ms']:.1f} ms in all, "
               f"ended: {visit['reason']}"),
    ("TLS", "ended on the node: the visitor saw the node's own certificate" if tls_ended_on_node else
            "ended SOMEWHERE ELSE: the visitor saw another certificate than the node's"),
]
bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
for what, text in steps:
    print(f"  {bold}{what:<8}{plain} {text}")
# a visitor that hangs up before it has read the last TLS record ends its stream with a reset; it has its page
ended_well = visit["reason"] in ("ok", "visitor_reset")
if not ended_well:
    print(f"demo: the stream ended as '{visit['reason']}', not 'ok'", file=sys.stderr)
sys.exit(0 if tls_ended_on_node and ended_well and session else 1)
