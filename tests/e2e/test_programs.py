"""The two programs as commands: what they print and how they end."""
import base64
import json
import re

import pytest

from processes import run
from world import INGRESS, NODE, Ingress, new_key, service

USAGE, BAD_CONFIG = 2, 78
PROGRAMS = pytest.mark.parametrize("program", [INGRESS, NODE], ids=lambda path: path.name)


@PROGRAMS
def test_keys(program):
    private = run([program, "genkey"]).stdout
    public = run([program, "pubkey"], input=private).stdout
    for text in (private, public):
        assert text.endswith("\n") and len(base64.b64decode(text, validate=False)) == 32
    assert private != run([program, "genkey"]).stdout


@PROGRAMS
def test_public_key_is_the_one_openssl_computes(program, tmp_path):
    run(["openssl", "genpkey", "-algorithm", "X25519", "-outform", "DER", "-out", tmp_path / "key"])
    run(["openssl", "pkey", "-inform", "DER", "-in", tmp_path / "key", "-pubout", "-outform", "DER", "-out",
         tmp_path / "public"])
    private, public = (base64.b64encode((tmp_path / name).read_bytes()[-32:]).decode() for name in ("key", "public"))
    assert run([program, "pubkey"], input=private + "\n").stdout.strip() == public


@PROGRAMS
def test_pubkey_refuses_what_is_no_key(program):
    done = run([program, "pubkey"], input="not a key\n", check=False)
    assert done.returncode != 0 and done.stdout == "" and done.stderr


@PROGRAMS
def test_help_and_version(program):
    assert program.name in run([program, "--help"]).stdout
    assert re.search(r"\d+\.\d+\.\d+", run([program, "-V"]).stdout)


@pytest.mark.parametrize("program, commands", [(INGRESS, {"probe", "metrics", "status", "genkey", "pubkey"}),
                                               (NODE, {"show", "genkey", "pubkey", "selfsigned"})])
def test_help_of_commands(program, commands):
    assert set(re.findall(rf"{program.name} ([a-z]+)", run([program, "--help"]).stdout.partition("\n\n")[0])) == commands
    for command in commands:
        said = run([program, command, "--help"]).stdout
        assert said.startswith(f"usage: {program.name} {command}")


@PROGRAMS
def test_wrong_command_is_named(program):
    assert "no command 'prob'" in run([program, "prob"], check=False).stderr


@PROGRAMS
@pytest.mark.parametrize("arguments", [["--no-such-option"], ["-c"], ["frobnicate"]], ids=str)
def test_wrong_usage(program, arguments):
    done = run([program, *arguments], check=False)
    assert done.returncode == USAGE and done.stderr


@PROGRAMS
def test_missing_config_file(program, tmp_path):
    done = run([program, "-t", "-c", tmp_path / "absent.yaml"], check=False)
    assert done.returncode == BAD_CONFIG and "absent.yaml" in done.stderr


def test_ingress_config_check(tmp_path):
    ingress = Ingress(tmp_path / "ingress")
    ingress.write_config()
    ingress.write_feed()
    run([INGRESS, "-t", "-c", ingress.config_file])
    ingress.config["listen"][0]["protocol"] = "quic"
    ingress.config["wireguard"]["port"] = 1
    ingress.write_config()
    done = run([INGRESS, "-t", "-c", ingress.config_file], check=False)
    assert done.returncode == BAD_CONFIG
    # all mistakes at once, not the first alone
    assert re.search(r"ingress\.yaml:\d+:\d+: listen\[0\]\.protocol: ", done.stderr)
    assert re.search(r"ingress\.yaml:\d+:\d+: wireguard\.port: ", done.stderr)


def test_ingress_check_with_a_live_feed(tmp_path):
    """No file of nodes is looked for, and no server is called."""
    ingress = Ingress(tmp_path / "ingress")
    ingress.config["feed"] = {"type": "https", "urls": ["https://feed.invalid/nodes"]}
    ingress.write_config()
    done = run([INGRESS, "-t", "-c", ingress.config_file])
    assert done.stdout == f"{ingress.config_file}: ok\n"
    done = run([INGRESS, "probe", "-c", ingress.config_file, "app.test"], check=False)
    assert done.returncode == 1 and "ingress.yaml: feed.type: " in done.stderr


def test_ingress_check_finds_what_would_serve_nobody(tmp_path):
    ingress = Ingress(tmp_path / "ingress")
    ingress.config["user"] = "no-such-user"
    ingress.write_config()
    ingress.write_feed()
    for command in (["-t"], []):
        done = run([INGRESS, *command, "-c", ingress.config_file], check=False)
        assert done.returncode == BAD_CONFIG
        assert "ingress.yaml: user: there is no user 'no-such-user'" in done.stderr
    ingress.config["user"] = ""
    ingress.config["listen"][0]["public_port"] = 444
    ingress.write_config()
    ingress.feed_file.write_text(json.dumps({"version": 1, "nodes": [
        {"id": "a", "names": ["app.test"], "key": new_key()[1], "peerapi6": 1, "ports": [443],
         "funnel": {"admin": True, "node": "ask"}}]}))
    done = run([INGRESS, "-t", "-c", ingress.config_file])
    assert "listen[0] public_port=444" in done.stderr
    assert "admin.socket" not in done.stderr
    for folder, why in (("absent", "No such file or directory"), (ingress.feed_file.name, "Not a directory")):
        ingress.config["admin"] = {"socket": f"{folder}/admin.sock"}
        ingress.write_config()
        done = run([INGRESS, "-t", "-c", ingress.config_file])
        assert re.search(f"key=admin.socket .*/{folder}: {why}", done.stderr, re.IGNORECASE), done.stderr
    del ingress.config["admin"]
    ingress.write_config()
    ingress.feed_file.write_text("\n")
    done = run([INGRESS, "-t", "-c", ingress.config_file], check=False)
    assert done.returncode == BAD_CONFIG and "is empty" in done.stderr


@pytest.fixture
def node_config(tmp_path):
    private, public = new_key()
    (tmp_path / "node.key").write_text(private + "\n")
    config = {"key_file": "node.key", "ingresses": [{"name": "fra1", "public_key": new_key()[1]}],
              "services": [service("app.test", "127.0.0.1:8080")]}
    (tmp_path / "node.yaml").write_text(json.dumps(config, indent=1))
    return tmp_path / "node.yaml", public


def test_node_shows_its_feed_row(node_config):
    path, public = node_config
    run([NODE, "-t", "-c", path])
    shown = run([NODE, "show", "-c", path]).stdout
    assert public in shown
    assert re.search(r"\bf[cd][0-9a-f]{2}:[0-9a-f:]+", shown), "its address, a ULA"
    row = json.loads(shown[shown.index("{"):shown.rindex("}") + 1])
    assert row["key"] == public
    assert row["names"] == ["app.test"] and row["ports"] == [443] and row["peerapi6"] == 41112
    assert row["funnel"] == {"admin": True, "node": "ask"}, "the switch is the node's own"
    assert json.loads(run([NODE, "show", "--row", "-c", path]).stdout) == row


def test_node_warns_of_what_serves_nobody(node_config):
    path, _ = node_config
    config = json.loads(path.read_text())
    run([NODE, "selfsigned", "other.test", "--cert", path.parent / "c.pem", "--key", path.parent / "k.pem"])
    config["services"][0].update(funnel=False, tls="terminate", certificate="c.pem", certificate_key="k.pem")
    path.write_text(json.dumps(config))
    for command in (["-t"], ["show"]):
        said = run([NODE, *command, "-c", path]).stderr
        assert "no service has funnel: on" in said
        assert "services[0].certificate" in said and "for another name" in said
    config["services"][0].update(funnel=True, name="other.test", certificate="gone.pem")
    path.write_text(json.dumps(config))
    wrong = run([NODE, "-t", "-c", path], check=False)
    assert wrong.returncode == 78
    assert "services[0].certificate: " in wrong.stderr and "No such file" in wrong.stderr
    assert "funnel: on" not in wrong.stderr


def test_selfsigned_certificate(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    run([NODE, "selfsigned", "app.test", "*.apps.test", "--cert", certificate, "--key", key, "--days", "3"])
    run(["openssl", "verify", "-CAfile", certificate, certificate])
    for host in ("app.test", "one.apps.test"):
        shown = run(["openssl", "x509", "-in", certificate, "-noout", "-checkhost", host]).stdout
        assert "does match" in shown
    assert run(["openssl", "x509", "-in", certificate, "-noout", "-checkend", str(2 * 86400)]).returncode == 0
    assert run(["openssl", "x509", "-in", certificate, "-noout", "-checkend", str(4 * 86400)], check=False).returncode == 1
    assert key.stat().st_mode & 0o077 == 0, "others may not read the key"
    publics = [run(["openssl", *command, "-pubout"]).stdout if command[0] == "pkey" else run(["openssl", *command]).stdout
               for command in (["pkey", "-in", key], ["x509", "-in", certificate, "-noout", "-pubkey"])]
    assert publics[0] == publics[1]
