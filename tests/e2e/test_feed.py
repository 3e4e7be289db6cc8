"""A feed that changes under a running ingress: the file is noticed, what became of each node is told apart, and `status`
says how the feed is."""
import json

import pytest

import visitor
from processes import run, wait_for
from world import INGRESS


@pytest.fixture
def world(site_world):
    site_world.ingress.config["admin"] = {"socket": "admin.sock"}
    return site_world


def status(world):
    return json.loads(run([INGRESS, "status", "--json", "-c", world.ingress.config_file]).stdout)


def asked_the_node(world, name):
    """Its node refuses the name, for it has no such service; that is not the ingress's own answer."""
    visitor.refusal(world.ingress.port, name)
    return any(line["name"] == name and line["reason"] == "node_denied" for line in world.ingress.json_lines())


def test_a_changed_file_is_noticed(world, website, authority):
    world.start()
    row = world.ingress.rows[0]
    row["names"] = [*row["names"], "new.test"]
    world.ingress.write_feed()
    wait_for("the new name is noticed", lambda: asked_the_node(world, "new.test"))
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page
    now = status(world)["feed"]
    assert (now["state"], now["source"], now["nodes"], now["error"]) == ("current", "connected", len(world.nodes), None)


def test_a_broken_file_leaves_the_map_and_is_said(world, website, authority):
    world.start()
    world.ingress.feed_file.write_text('{"version": 1, "nodes": [{"id": "x"}]}')
    wait_for("it is said", lambda: status(world)["feed"]["source"] == "retrying")
    assert "'names' is missing" in status(world)["feed"]["error"]
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page
    assert "names' is missing" in run([INGRESS, "status", "-c", world.ingress.config_file]).stdout
    world.ingress.write_feed()
    wait_for("all is well again", lambda: status(world)["feed"]["source"] == "connected")
    assert status(world)["feed"]["error"] is None


def test_a_silent_feed_is_stale_and_by_config_not_believed(world, website, authority):
    world.ingress.config["feed"]["stale_limit"] = "2s"
    world.start()
    world.ingress.feed_file.rename(world.ingress.feed_file.with_suffix(".away"))
    wait_for("nobody is served", lambda: not status(world)["serving"])
    assert status(world)["feed"]["state"] == "stale"
    visitor.refusal(world.ingress.port, "site.test")
    world.ingress.access(name="site.test", reason="feed_stale")
    world.ingress.feed_file.with_suffix(".away").rename(world.ingress.feed_file)
    wait_for("it is believed again", lambda: status(world)["serving"])
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page
