"""Free ports on loopback, from below the range the kernel gives to outgoing connections, so that a thousand visitors
cannot take one between choosing and binding."""
import random
import socket

_handed_out = set()


def free_port():
    while True:
        port = random.randrange(20000, 32000)
        if port not in _handed_out and _bindable(port):
            _handed_out.add(port)
            return port


def _bindable(port):
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as s:
                try:
                    s.bind((address, port))
                except OSError:
                    return False
    return True
