"""The access log's reader may be slow or gone: neither orders nor visitors wait for it."""
import fcntl
import os
import time

import pytest

import visitor
from processes import wait_for
from test_lifecycle import page

PIPE_BYTES = 4096
MORE_THAN_WAIT = 2500  # lines; half a mailbox may wait, a few more are in the pipe
HANDFUL = 100  # more lines than the pipe holds


class Unread:
    """Standard output as a pipe that is only read when told."""

    def __init__(self, ingress):
        os.mkfifo(ingress.out)
        self.fd = os.open(ingress.out, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read(self):
        try:
            return os.read(self.fd, PIPE_BYTES)
        except BlockingIOError:
            return b""


@pytest.fixture
def world(site_world):
    """Started, and nobody reads its access log."""
    ingress = site_world.ingress
    ingress.config["log"]["level"] = "info"
    site_world.unread = Unread(ingress)
    site_world.start()
    ingress.out.unlink()  # what is left of it is the test's alone
    yield site_world
    os.close(site_world.unread.fd)


def leave_lines(world, count):
    """So many visitors who don't speak TLS."""
    for _ in range(count):
        with visitor.connect(world.ingress.port) as sock:
            assert visitor.knock(sock, b"GET / HTTP/1.0\r\n\r\n") is visitor.CLOSED


def test_reload_does_not_wait_for_the_reader(world, website, authority):
    leave_lines(world, HANDFUL)
    world.ingress.reload()
    assert page(world, authority) == website.page


def test_drain_does_not_wait_for_the_reader(world):
    leave_lines(world, HANDFUL)
    began = time.monotonic()
    world.ingress.popen.terminate()
    assert world.ingress.wait(10) == 0
    assert time.monotonic() - began < 5, "a second is for the reader"


def test_dropped_lines_are_said(world, website, authority):
    """Lines without room are lost, not kept; how many is said once the reader is back."""
    leave_lines(world, MORE_THAN_WAIT)
    assert page(world, authority) == website.page

    def said():
        world.unread.read()
        return " access event=dropped lines=" in world.ingress.log()
    wait_for("the lost lines are counted", said)
