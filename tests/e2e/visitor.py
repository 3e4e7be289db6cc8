"""Visitors: TLS and raw TCP clients that stand on the outside of the ingress."""
import socket
import ssl
import struct
import time

# TLS alerts, RFC 8446 section 6
DECODE_ERROR = 50
INTERNAL_ERROR = 80
ACCESS_DENIED = 49
UNRECOGNIZED_NAME = 112
CLOSED = None  # the connection ended without an alert

RECORD_ALERT, RECORD_HANDSHAKE = 21, 22


def connect(port, host="127.0.0.1", source=None, timeout=20):
    return socket.create_connection((host, port), timeout, (source, 0) if source else None)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def context(authority, alpn=("http/1.1",)):
    tls = ssl.create_default_context(cafile=str(authority.certificate))
    tls.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
    if alpn:
        tls.set_alpn_protocols(list(alpn))
    return tls


def tls_connect(port, name, authority, alpn=("http/1.1",), **where):
    """A TLS session with `name`, its certificate checked against the authority."""
    return context(authority, alpn).wrap_socket(connect(port, **where), server_hostname=name)


def request(name, path="/", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()


def read_all(sock, size=1 << 18):
    data = bytearray()
    while chunk := sock.recv(size):
        data += chunk
    return bytes(data)


def read_exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        chunk = sock.recv(min(count - len(data), 1 << 18))
        assert chunk, f"the stream ended after {len(data)} of {count} bytes"
        data += chunk
    return bytes(data)


class Answer:
    def __init__(self, raw, certificate):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.status = int(head.split()[1]) if head else 0
        self.certificate = certificate


def fetch(port, name, authority, path="/", **where):
    """One page over HTTP/1.1."""
    with tls_connect(port, name, authority, **where) as tls:
        tls.sendall(request(name, path))
        return Answer(read_all(tls), tls.getpeercert(binary_form=True))


def client_hello(name, alpn=("http/1.1",)):
    """A real ClientHello record; without SNI when name is None."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    tls.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    session = tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def records(message, size, kind=RECORD_HANDSHAKE):
    """A handshake message cut into TLS records of at most `size` bytes."""
    return b"".join(bytes([kind, 3, 1]) + len(part).to_bytes(2, "big") + part
                    for part in (message[i:i + size] for i in range(0, len(message), size)))


def large_hello(name, size):
    """A well-formed ClientHello of `size` bytes or a few more, blown up by a padding extension (RFC 7685)."""
    message = bytearray(client_hello(name)[5:])  # without the record header
    at = 4 + 2 + 32
    at += 1 + message[at]  # session id
    at += 2 + int.from_bytes(message[at:at + 2], "big")  # cipher suites
    at += 1 + message[at]  # compression
    extensions = int.from_bytes(message[at:at + 2], "big")
    padding = min(size - len(message), 65535 - extensions - 4)
    message += (21).to_bytes(2, "big") + padding.to_bytes(2, "big") + bytes(padding)
    message[at:at + 2] = (extensions + 4 + padding).to_bytes(2, "big")
    message[1:4] = (len(message) - 4).to_bytes(3, "big")
    return bytes(message)


def verdict(sock):
    """How the ingress answers a visitor it does not let through: an alert's number, or CLOSED."""
    data = b""
    try:
        while chunk := sock.recv(4096):
            data += chunk
    except ConnectionResetError:
        pass
    if not data:
        return CLOSED
    assert len(data) == 7 and data[0] == RECORD_ALERT and data[3:6] == b"\x00\x02\x02", f"not one fatal alert: {data!r}"
    return data[6]


def knock(sock, data, half_close=False):
    """Send bytes as a visitor's first and return the verdict."""
    try:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all was sent; the verdict may still wait to be read
    return verdict(sock)


def refusal(port, name):
    """The verdict on a proper ClientHello for that name."""
    with connect(port) as sock:
        return knock(sock, client_hello(name))


def handshake_over(sock, tls, name, first_flight):
    """A TLS handshake where first_flight(sock, hello_record) decides how the hello goes out. Returns (read, write):
    functions that carry plaintext."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.wrap_bio(incoming, outgoing, server_hostname=name)
    sent_hello = False

    def pump(step):
        nonlocal sent_hello
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                flush()
                chunk = sock.recv(65536)
                if chunk:
                    incoming.write(chunk)
                else:
                    incoming.write_eof()
            finally:
                flush()

    def flush():
        nonlocal sent_hello
        if data := outgoing.read():
            if sent_hello:
                sock.sendall(data)
            else:
                sent_hello = True
                first_flight(sock, data)

    pump(session.do_handshake)
    return lambda size=65536: pump(lambda: session.read(size)), lambda data: pump(lambda: session.write(data))


def byte_by_byte(sock, record):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(record)):
        sock.sendall(record[i:i + 1])
        time.sleep(0.001)  # the pace is the point: each byte a segment of its own


def in_records_of(size):
    def send(sock, record):
        sock.sendall(records(record[5:], size))
    return send
