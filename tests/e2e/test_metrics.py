"""funnel-ingress metrics: Prometheus text from the running ingress; each way a visitor can end has its own count."""
import re

import pytest

import visitor
from processes import run, wait_for
from test_lifecycle import page
from world import INGRESS


@pytest.fixture
def world(site_world):
    site_world.ingress.config["admin"] = {"socket": "admin.sock"}
    return site_world


def metrics(world):
    """Every sample by name and labels, after a look at the format."""
    done = run([INGRESS, "metrics", "-c", world.ingress.config_file])
    samples, typed = {}, {}
    for line in done.stdout.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in typed, f"{name} is declared twice"
            typed[name] = kind
        elif not line.startswith("#"):
            found = re.fullmatch(r'(funnel_[a-z_0-9]+)(\{[a-z_]+="[^"]*"\})? (\d+(?:\.\d+)?)', line)
            assert found, line
            assert found[1] in typed, f"{found[1]} has no type"
            assert found[1].endswith("_total") == (typed[found[1]] == "counter"), line
            samples[found[1] + (found[2] or "")] = float(found[3])
    return samples


def ended(world, reason):
    return metrics(world)[f'funnel_visitors_ended_total{{reason="{reason}"}}']


def test_each_end_is_counted(world, website, authority):
    world.start()
    assert page(world, authority) == website.page
    visitor.refusal(world.ingress.port, "nobody.test")
    wait_for("both are counted", lambda: ended(world, "ok") == 1 and ended(world, "unknown_name") == 1)
    after = metrics(world)
    assert after['funnel_stream_bytes_total{direction="down"}'] > len(website.page)
    assert after["funnel_nodes_connected"] == len(world.nodes)
    assert after["funnel_streams_active"] == 0
    assert after["funnel_assertions_survived_total"] == 0
    assert sum(n for name, n in after.items() if name.startswith("funnel_visitors_ended_total")) == 2


def test_samples_of_all_workers_are_added_up(world, website, authority):
    world.ingress.config["workers"] = 3
    world.start()
    for _ in range(12):
        assert page(world, authority) == website.page
    wait_for("all are counted", lambda: ended(world, "ok") == 12)
    assert metrics(world)["funnel_workers"] == 3


def test_says_whom_it_can_not_ask(world):
    world.ingress.write_config()
    done = run([INGRESS, "metrics", "-c", world.ingress.config_file], check=False)
    assert done.returncode == 1 and "admin.sock" in done.stderr
