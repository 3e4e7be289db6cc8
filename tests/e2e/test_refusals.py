"""Nodes that do not want, may not, or cannot: the visitor gets the right alert, the log the reason that tells why."""
import signal
import time

import pytest

import visitor
from ports import free_port
from processes import wait_for
from visitor import INTERNAL_ERROR, UNRECOGNIZED_NAME
from world import new_key, random_public_key, service

OFFER_TIMEOUT_S = 3
SILENT = ("node_no_session", "node_unreachable", "offer_timeout")


@pytest.fixture
def world(site_world):
    site_world.ingress.config["offer"] = {"timeout": f"{OFFER_TIMEOUT_S}s"}
    return site_world


def refused(world, name, port=None):
    """How a visitor of that name is refused: the verdict, the logged reason and the seconds it took."""
    began = time.monotonic()
    answer, line = world.ingress.refuses(visitor.client_hello(name), port)
    return answer, line["reason"], time.monotonic() - began


@pytest.mark.parametrize("funnel", [{"admin": False, "node": "ask"}, {"admin": True, "node": False},
                                    {"admin": False, "node": False}], ids=str)
def test_both_must_opt_in(world, website, funnel):
    world.add_node("shy", [service("shy.test", website.https_forward)], funnel=funnel)
    world.start()
    answer, reason, _ = refused(world, "shy.test")
    assert (answer, reason) == (UNRECOGNIZED_NAME, "not_opted_in")


def test_expired_node(world, website):
    world.add_node("gone", [service("gone.test", website.https_forward)], expires="2020-01-01T00:00:00Z")
    world.start()
    answer, reason, _ = refused(world, "gone.test")
    assert (answer, reason) == (UNRECOGNIZED_NAME, "not_opted_in")


def test_port_not_funnelled(world):
    world.start()
    answer, reason, _ = refused(world, "site.test", world.ingress.port_8443)
    assert (answer, reason) == (UNRECOGNIZED_NAME, "port_not_funnelled")


def test_node_decides_by_its_own_configuration(world, website):
    """The feed promises more than the node grants: a service that is off, one that is not there, a port it lacks."""
    world.add_node("strict", [service("off.test", website.https_forward, funnel=False),
                              service("on.test", website.https_forward)],
                   names=["off.test", "absent.test", "on.test"], ports=[443, 8443])
    world.start()
    for name, port in (("off.test", world.ingress.port), ("absent.test", world.ingress.port),
                       ("on.test", world.ingress.port_8443)):
        answer, reason, _ = refused(world, name, port)
        assert (answer, reason) == (UNRECOGNIZED_NAME, "node_denied"), name


def test_funnel_is_off_unless_switched_on(world, website):
    """The node's half of the double opt-in has to be written down."""
    quiet = service("quiet.test", website.https_forward)
    del quiet["funnel"]
    world.add_node("quiet", [quiet])
    world.start()
    answer, reason, _ = refused(world, "quiet.test")
    assert (answer, reason) == (UNRECOGNIZED_NAME, "node_denied")


def test_node_that_never_came(world):
    world.ingress.rows.append({"id": "ghost", "names": ["ghost.test"], "key": random_public_key(), "peerapi6": 41112,
                               "ports": [443], "funnel": {"admin": True, "node": "ask"}})
    world.start()
    answer, reason, took = refused(world, "ghost.test")
    assert (answer, reason) == (INTERNAL_ERROR, "node_no_session")
    assert took < OFFER_TIMEOUT_S + 1


def test_node_with_another_key_than_the_feed_says(world, website):
    world.add_node("forged", [service("forged.test", website.https_forward)], key=random_public_key())
    world.start(sessions=False)
    answer, reason, _ = refused(world, "forged.test")
    assert (answer, reason) == (INTERNAL_ERROR, "node_no_session")
    assert "event=up" not in world.nodes[-1].log()


def test_node_that_knows_another_ingress_key(world, website):
    lost = world.add_node("lost", [service("lost.test", website.https_forward)])
    lost.config["ingresses"][0]["public_key"] = new_key()[1]
    world.start(sessions=False)
    answer, reason, _ = refused(world, "lost.test")
    assert (answer, reason) == (INTERNAL_ERROR, "node_no_session")


def test_node_killed(world, website, authority):
    world.start()
    assert visitor.fetch(world.ingress.port, "site.test", authority).status == 200
    world.home.kill()
    answer, reason, took = refused(world, "site.test")
    assert answer == INTERNAL_ERROR and reason in SILENT
    assert took < OFFER_TIMEOUT_S + 1


def test_node_frozen_and_thawed(world, website, authority):
    world.start()
    world.home.signal(signal.SIGSTOP)
    try:
        answer, reason, took = refused(world, "site.test")
    finally:
        world.home.signal(signal.SIGCONT)
    assert answer == INTERNAL_ERROR and reason in SILENT
    assert took < OFFER_TIMEOUT_S + 1
    wait_for("the node serves again", lambda: serves(world, authority), 20)


def serves(world, authority):
    try:
        return visitor.fetch(world.ingress.port, "site.test", authority).status == 200
    except OSError:
        return False


def test_local_service_is_down(world, website, authority):
    """The node is well, its service is not: that stream ends soon, others are served."""
    world.add_node("empty", [service("down.test", f"127.0.0.1:{free_port()}")])
    world.start()
    answer, reason, took = refused(world, "down.test")
    assert (answer, reason) == (INTERNAL_ERROR, "node_refused")
    assert took < OFFER_TIMEOUT_S
    assert serves(world, authority)


def test_one_silent_node_does_not_hold_up_others(world, website, authority):
    """Visitors of a dead node wait; those of a living one do not notice."""
    world.ingress.rows.append({"id": "ghost", "names": ["ghost.test"], "key": random_public_key(), "peerapi6": 41112,
                               "ports": [443], "funnel": {"admin": True, "node": "ask"},
                               "endpoints": [f"127.0.0.1:{free_port()}"]})
    world.start()
    waiting = [visitor.connect(world.ingress.port) for _ in range(50)]
    for sock in waiting:
        sock.sendall(visitor.client_hello("ghost.test"))
    began = time.monotonic()
    assert visitor.fetch(world.ingress.port, "site.test", authority).body == website.page
    assert time.monotonic() - began < OFFER_TIMEOUT_S
    for sock in waiting:
        with sock:
            assert visitor.verdict(sock) == INTERNAL_ERROR
