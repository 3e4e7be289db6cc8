"""funnel-node's own life: SIGHUP and SIGTERM with live streams."""
import json
import re
import signal

import pytest

import visitor
from world import Ingress, new_key


@pytest.fixture
def world(site_world):
    site_world.add_raw_node()
    return site_world


def reload(node, expect="done"):
    """Write the node's configuration and have it read: the log from there on."""
    (node.directory / "node.yaml").write_text(json.dumps(node.config, indent=2) + "\n")
    return reread(node, expect)


def reread(node, expect):
    mark = node.mark()
    node.signal(signal.SIGHUP)
    node.wait_log(rf" reload .*event={expect}", since=mark)
    return node.log(mark)


def echo(client, served, message=b"ping"):
    client.sendall(message)
    assert visitor.read_exactly(served, len(message)) == message
    served.sendall(message)
    assert visitor.read_exactly(client, len(message)) == message


def ended(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_services_change_under_a_live_stream(world):
    world.start()
    node = world.nodes[-1]
    client, served = world.raw_pair()
    echo(client, served)
    node.config["services"][0]["funnel"] = False
    reload(node)
    echo(client, served)
    with visitor.connect(world.ingress.raw_port) as refused:
        assert ended(refused)
    assert world.ingress.access(reason="node_denied")
    node.config["services"][0]["funnel"] = True
    reload(node)
    again, served_again = world.raw_pair()
    echo(again, served_again)
    echo(client, served)


def test_broken_file_changes_nothing(world):
    world.start()
    node = world.nodes[-1]
    client, served = world.raw_pair()
    (node.directory / "node.yaml").write_text(json.dumps({**node.config, "peerapi_prot": 1}, indent=2) + "\n")
    log = reread(node, "failed")
    assert re.search(r"node\.yaml:\d+:\d+: peerapi_prot: ", log)
    echo(client, served)
    again, served_again = world.raw_pair()
    echo(again, served_again)


def test_restart_is_asked_for(world):
    world.start()
    node = world.nodes[-1]
    node.config["peerapi_port"] = 41113
    assert re.search(r" warn reload event=needs_restart key=peerapi_port", reload(node))
    echo(*world.raw_pair())


def test_ingress_comes_and_goes(world, tmp_path):
    world.start()
    node = world.nodes[-1]
    client, served = world.raw_pair()
    second = Ingress(tmp_path / "second", "ams1")
    world.extra.append(second)
    second.rows.append(node.row())
    second.start()
    node.connects_to(second)
    mark = node.mark()
    reload(node)
    node.wait_log(r" session .*event=up ingress=ams1\b", since=mark)
    echo(client, served)
    with visitor.connect(second.raw_port) as other:
        other_served = world.raw.accept(10)
        echo(other, other_served)
        del node.config["ingresses"][1]
        assert "event=removed ingress=ams1" in reload(node)
        other_served.settimeout(10)
        with pytest.raises(ConnectionResetError):
            other_served.recv(1)
    echo(client, served)


def test_sigterm_drains(world):
    world.start()
    node = world.nodes[-1]
    client, served = world.raw_pair()
    mark = node.mark()
    node.signal(signal.SIGTERM)
    node.wait_log(r" node .*event=draining .*streams=1", since=mark)
    echo(client, served)
    served.sendall(b"last words")
    served.close()
    assert visitor.read_exactly(client, 10) == b"last words"
    client.close()
    node.wait_log(r" node .*event=stopped", since=mark)


def test_a_silent_ingress_is_said_once_with_what_to_look_at(world):
    """A wrong public key, the usual slip, looks like nobody being there."""
    world.start()
    node = world.nodes[-1]
    node.config["ingresses"][0]["public_key"] = new_key()[1]
    since = node.mark()
    reload(node)
    node.wait_log(r"session event=silent .*is public_key the ingress's", since=since, timeout=25)
    assert node.log(since).count("event=silent") == 1
