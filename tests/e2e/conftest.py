"""Fixtures, a time limit for every test, and the logs of all programs when one fails."""
import itertools
import os
import resource
import signal

import pytest

from certificates import Authority
from website import Website
from world import INGRESS, NODE, UDPRELAY, alive, open_world, service


def pytest_configure():
    """Being told to end (timeout, CI) is an end in order: what the tests started ends with them."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", 143))


@pytest.fixture(scope="session", autouse=True)
def programs():
    missing = [str(program) for program in (INGRESS, NODE, UDPRELAY) if not program.exists()]
    assert not missing, f"build first, or set FUNNEL_BIN: {missing}"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def website(tmp_path_factory, authority):
    """nginx with a certificate of its own for every name of the tests."""
    names = ["site.test", "*.site.test", "other.test", "late.test"]
    site = Website(tmp_path_factory.mktemp("website"), authority.issue("website", names)).start()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def node_certificate(authority):
    """What the node shows where it ends TLS itself."""
    return authority.issue("node", ["ends.test"])


@pytest.fixture
def make_world(request, tmp_path):
    """make_world(env=…) - an empty World that belongs to one test."""
    names = (f"world{n}" for n in itertools.count())
    return lambda env=None: open_world(request, tmp_path / next(names), env)


@pytest.fixture
def site_world(make_world, website):
    """A world of this test's own, not yet started, whose node `home` serves the website as site.test."""
    world = make_world()
    world.home = world.add_node("home", [service("site.test", website.https_forward, proxy_protocol="v2")])
    return world


@pytest.fixture(autouse=True)
def limit(request):
    """No test hangs: an alarm interrupts whatever it waits for."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else 60

    def expired(_signal, _frame):
        raise TimeoutError(f"the test took more than {seconds} s")
    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_runtest_logreport(report):
    """What can't be tested here is written down for tests/run.sh: in its summary, and in CI a failure."""
    path = os.environ.get("FUNNEL_NOT_TESTED")
    if report.skipped and path:
        with open(path, "a") as list_:
            print(f"{report.nodeid}: {report.longrepr[2]}", file=list_)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for world in alive:
            for process in world.processes():
                report.sections.append((f"log of {process.name}", process.tail()))
                if process is world.ingress:
                    lines = "\n".join(str(line) for line in process.json_lines()[-10:])
                    report.sections.append((f"access log of {process.name}", lines))
