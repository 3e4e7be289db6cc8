"""Real clients fetch pages from a real HTTPS server: through the ingress, WireGuard and a node."""
import shutil

import pytest

import visitor
from processes import run
from world import open_world, service


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, website, node_certificate):
    world = open_world(request, tmp_path_factory.mktemp("clients"))
    world.ingress.config["listen"][2]["address"] = f"[::]:{world.ingress.port_8443}"  # dual stack
    world.add_node("home", [
        service("site.test", website.https_forward, ports=(443, 8443), proxy_protocol="v2"),
        service("*.site.test", website.https_forward, proxy_protocol="v2"),
        service("ends.test", website.http_forward, tls="terminate", proxy_protocol="v2",
                certificate=str(node_certificate.certificate), certificate_key=str(node_certificate.key)),
    ])
    return world.start()


def curl(port, name, path, authority, *arguments, host="127.0.0.1", timeout=30):
    at = f"[{host}]" if ":" in host else host
    return run(["curl", "-q", "-sS", "--fail", "--noproxy", "*", "--resolve", f"{name}:{port}:{at}", "--cacert",
                authority.certificate, *arguments, f"https://{name}:{port}{path}"], timeout=timeout).stdout


@pytest.mark.parametrize("flag, protocol", [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")])
def test_curl(world, website, authority, flag, protocol):
    answer = curl(world.ingress.port, "site.test", "/protocol", authority, flag)
    assert answer == f"protocol={protocol} marker={website.marker}\n"


def test_curl_where_the_node_ends_tls(world, website, authority, node_certificate):
    answer = curl(world.ingress.port, "ends.test", "/protocol", authority, "-w", "%{certs}")
    assert website.marker in answer
    assert node_certificate.certificate.read_text().strip() in answer


def test_openssl_s_client(world, website, authority):
    port = world.ingress.port
    page = run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "site.test", "-CAfile",
                authority.certificate, "-verify_return_error", "-verify_hostname", "site.test", "-ign_eof"],
               input=visitor.request("site.test").decode()).stdout
    assert website.marker in page
    assert "Verification: OK" in page


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("name", ["site.test", "deep.site.test", "ends.test"])
def test_python_ssl(world, website, authority, node_certificate, name, host):
    answer = visitor.fetch(world.ingress.port, name, authority, host=host)
    assert answer.status == 200 and answer.body == website.page
    expected = node_certificate if name == "ends.test" else website.certificate
    assert answer.certificate == expected.der


@pytest.mark.limit(120)
@pytest.mark.parametrize("flags, protocol", [(["--disable-http2"], "HTTP/1.1"), ([], "HTTP/2.0")])
def test_chromium(world, website, tmp_path, flags, protocol):
    page = run([shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--no-proxy-server", f"--user-data-dir={tmp_path}",
                f"--host-resolver-rules=MAP site.test:443 127.0.0.1:{world.ingress.port}",
                f"--ignore-certificate-errors-spki-list={website.certificate.spki_hash()}",
                *flags, "--dump-dom", "https://site.test/protocol"], timeout=100).stdout
    assert f"protocol={protocol} marker={website.marker}" in page


@pytest.mark.parametrize("name", ["site.test", "ends.test"])
@pytest.mark.parametrize("host, source", [("127.0.0.1", "127.1.2.3"), ("::1", "::1")])
def test_service_sees_the_visitors_address(world, website, authority, name, host, source):
    uri = f"/protocol?{name}-{source}"
    with visitor.tls_connect(world.ingress.port, name, authority, host=host, source=source) as tls:
        own_port = tls.getsockname()[1]
        tls.sendall(visitor.request(name, uri))
        visitor.read_all(tls)
    entry = website.visit(uri)
    assert (entry["address"], entry["port"], entry["host"]) == (source, str(own_port), name)


def test_dual_stack_listener_shows_ipv4_visitors_as_such(world, website, authority):
    uri = "/protocol?dual-stack"
    visitor.fetch(world.ingress.port_8443, "site.test", authority, uri)
    assert website.visit(uri)["address"] == "127.0.0.1"
    assert visitor.fetch(world.ingress.port_8443, "site.test", authority, host="::1").status == 200


def test_names_are_found_whatever_their_case(world, website, authority):
    tls = visitor.context(authority)
    tls.check_hostname = False
    with tls.wrap_socket(visitor.connect(world.ingress.port), server_hostname="SITE.Test") as session:
        session.sendall(visitor.request("site.test"))
        assert website.page in visitor.read_all(session)


def test_access_log_tells_the_story(world, website, authority):
    since = len(world.ingress.json_lines())
    with visitor.tls_connect(world.ingress.port, "site.test", authority, source="127.4.5.6") as tls:
        client = "127.4.5.6:%d" % tls.getsockname()[1]
        tls.sendall(visitor.request("site.test"))
        visitor.read_all(tls)
    line = world.ingress.access(since=since, client=client)
    assert line["name"] == "site.test" and line["reason"] == "ok"
    assert line["target"] == "site.test:443"
    assert line["node"] == "home"
    assert line["bytes_down"] > len(website.page) and line["bytes_up"] > 200
    for field in ("ts", "id", "listener"):
        assert line[field] not in ("", None), field
    assert 0 <= line["hello_ms"] <= line["total_ms"] and 0 <= line["offer_ms"] <= line["total_ms"]
