"""The etcd feed against a real cluster of three members: pages, watch, authentication, compaction, members that die and a
leader that is lost. What the steps make is compared with what stands in etcd."""
import json
import signal
import sys
from pathlib import Path

import pytest

from etcd import Cluster
from feedtail import FeedTail
from processes import run, wait_for

PREFIX = "/funnel/nodes/"
PRODUCER = Path(__file__).parents[2] / "deploy/feed/funnel-feed.py"


def row(node_id, **more):
    return {"id": node_id, "names": [f"{node_id}.test"], **more}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("etcd") / "c", extra=[
        "--experimental-watch-progress-notify-interval", "1s"] if new_etcd() else [])
    try:
        yield cluster.start()
    finally:
        cluster.close()


def new_etcd():
    return "watch-progress-notify" in run(["etcd", "--help"], check=False).stdout


@pytest.fixture
def tails():
    started = []
    yield started
    for tail in started:
        status = tail.stop()
        defects = tail.defects()
        assert not defects, defects
        assert status == 0, tail.tail()


def start(tails, tmp_path, cluster, **options):
    tail = FeedTail(tmp_path, type="etcd", urls=cluster.urls, **options)
    tails.append(tail)
    return tail.start()


def put(cluster, node_id, **more):
    return cluster.put(PREFIX + node_id, json.dumps(row(node_id, **more)))


def test_pages_then_watch(cluster, tails, tmp_path):
    nodes = {f"n{i:03}": row(f"n{i:03}") for i in range(210)}  # two pages
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes/all.json").write_text(json.dumps(list(nodes.values())))
    cluster.put("/funnel/nodes0", "behind the prefix")
    run([sys.executable, PRODUCER, "etcd", "--once", tmp_path / "nodes", "--url", cluster.urls[0]])
    tail = start(tails, tmp_path, cluster)
    tail.wait_nodes(nodes)
    tail.wait_state("connected")
    put(cluster, "new", v=1)
    put(cluster, "new", v=2)
    cluster.delete(PREFIX + "n000")
    cluster.put(PREFIX + "n001", '{"revoked":true}')
    del nodes["n000"], nodes["n001"]
    nodes["new"] = row("new", v=2)
    tail.wait_nodes(nodes)
    assert tail.count("begin") == 1
    assert "remove n000" in tail.lines() and "revoke n001" in tail.lines()
    # a tombstone is told in a snapshot too
    again = FeedTail(tmp_path, "again", type="etcd", urls=cluster.urls)
    tails.append(again)
    again.start().wait_nodes(nodes)
    assert "revoke n001" in again.lines()
    # a directory that is emptied empties the prefix
    (tmp_path / "nodes/all.json").unlink()
    run([sys.executable, PRODUCER, "etcd", "--once", tmp_path / "nodes", "--url", cluster.urls[1]])
    tail.wait_nodes({})


def test_members_die_and_come_back(cluster, tails, tmp_path):
    put(cluster, "a")
    tail = start(tails, tmp_path, cluster, silence="3s")
    tail.wait_nodes({"a": row("a")})
    nodes = {"a": row("a")}
    for i, member in enumerate(cluster.members):
        member.kill()
        put(cluster, f"b{i}")
        nodes[f"b{i}"] = row(f"b{i}")
        tail.wait_nodes(nodes, 20)
        member.start()
        wait_for("all members run", lambda: all(m.running() for m in cluster.members))
    assert tail.count("begin") == 1, "a watch went on where it was"
    assert tail.count("remove") == 0
    for member in cluster.members[1:]:  # no majority: nothing can be told, and nothing is forgotten
        member.kill()
    tail.wait_state("retrying", 20)
    assert tail.nodes() == nodes
    for member in cluster.members[1:]:
        member.start()
    put(cluster, "c")
    nodes["c"] = row("c")
    tail.wait_nodes(nodes, 30)
    assert tail.count("begin") == 1
    for node_id in nodes:
        cluster.delete(PREFIX + node_id)


def test_a_silent_watch_is_made_anew(cluster, tails, tmp_path):
    tail = FeedTail(tmp_path, type="etcd", urls=cluster.urls[:1], silence="2s")
    tails.append(tail)
    tail.start().wait_state("connected")
    beats = tail.count("at")
    wait_for("the watch shows that it lives", lambda: tail.count("at") >= beats + 2)
    cluster.members[0].signal(signal.SIGSTOP)  # connections stand, and nobody answers
    try:
        tail.wait_state("retrying", 45)
    finally:
        cluster.members[0].signal(signal.SIGCONT)
    put(cluster, "late")
    tail.wait_nodes({"late": row("late")}, 30)
    assert tail.count("begin") == 1
    cluster.delete(PREFIX + "late")


def test_compaction_while_away(cluster, tails, tmp_path):
    revision = put(cluster, "old")
    cluster.delete(PREFIX + "old")
    for i in range(3):
        latest = put(cluster, "kept", v=i)
    cluster.compact(latest)
    tail = FeedTail(tmp_path, type="etcd", urls=cluster.urls, resume=revision)
    tails.append(tail)
    tail.start().wait_nodes({"kept": row("kept", v=2)})
    assert "compacted away" in tail.wait_state("compacted")
    cluster.delete(PREFIX + "kept")


def test_authentication(cluster, tails, tmp_path):
    put(cluster, "a")
    cluster.turn_authentication_on("ingress", "right")
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    tail = start(tails, tmp_path, cluster, username="ingress", password_file=str(secret))
    assert "user or password" in tail.wait_state("400")
    secret.write_text("right\n")  # read anew at the next try
    tail.wait_nodes({"a": row("a")}, 20)
    put(cluster, "b")
    tail.wait_nodes({"a": row("a"), "b": row("b")})
    nobody = FeedTail(tmp_path, "nobody", type="etcd", urls=cluster.urls)
    tails.append(nobody)
    nobody.start()
    assert "does it ask for a user?" in nobody.wait_state("400")
    assert nobody.nodes() == {}
