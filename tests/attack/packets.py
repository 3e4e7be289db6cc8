"""IP packets byte by byte, right by default and wrong where asked for."""
import ipaddress
import struct
from typing import NamedTuple

ICMP, TCP, UDP, FRAGMENT, ICMPV6, TSMP = 1, 6, 17, 44, 58, 99
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def _packed(address):
    return ipaddress.ip_address(address).packed


def ip(src, dst, protocol, payload, **wrong):
    """A packet of the family of its source; `wrong` goes to ip4 or ip6."""
    return (ip6 if ":" in src else ip4)(src, dst, protocol, payload, **wrong)


def ip4(src, dst, protocol, payload, version=4, ihl=None, total=None, fragment=0, options=b"", ttl=64, check=None):
    """fragment: flags and offset as on the wire."""
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    total = 20 + len(options) + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, 0, total & 0xffff, 7, fragment, ttl, protocol, 0,
                       _packed(src), _packed(dst)) + options
    check = checksum(head) if check is None else check
    return head[:10] + struct.pack("!H", check) + head[12:] + payload


def ip6(src, dst, protocol, payload, version=6, length=None, extension=b""):
    """extension: of the kind `protocol`, its own next header inside."""
    length = len(extension) + len(payload) if length is None else length
    return struct.pack("!IHBB16s16s", version << 28, length, protocol, 64, _packed(src), _packed(dst)) + \
        extension + payload


def _pseudo(src, dst, protocol, length):
    return _packed(src) + _packed(dst) + struct.pack("!IHBB", length, 0, 0, protocol)


def tcp_segment(src, sport, dst, dport, flags, seq=0, ack=0, data=b"", window=65535, options=b"", offset=None,
                check=None, urgent=0):
    offset = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, offset << 4, flags, window, 0,
                       urgent) + options
    if check is None:
        check = checksum(_pseudo(src, dst, TCP, len(head) + len(data)) + head + data)
    return head[:16] + struct.pack("!H", check) + head[18:] + data


def tcp(src, sport, dst, dport, flags, **more):
    return ip(src, dst, TCP, tcp_segment(src, sport, dst, dport, flags, **more))


def udp(src, sport, dst, dport, data=b""):
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    check = checksum(_pseudo(src, dst, UDP, len(head) + len(data)) + head + data) or 0xffff
    return ip(src, dst, UDP, head[:6] + struct.pack("!H", check) + data)


def ping(src, dst, data=b"ping"):
    if ":" in src:
        body = struct.pack("!BBHHH", 128, 0, 0, 1, 1) + data
        check = checksum(_pseudo(src, dst, ICMPV6, len(body)) + body)
        return ip6(src, dst, ICMPV6, body[:2] + struct.pack("!H", check) + body[4:])
    body = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + data
    return ip4(src, dst, ICMP, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def tsmp_refusal(src, dst, sport, dport):
    """`src` says that the connection from sport (of dst) to its own dport is refused."""
    return ip(src, dst, TSMP, struct.pack("!cBcHH", b"!", TCP, b"A", sport, dport))


def tsmp_ping(src, dst):
    return ip(src, dst, TSMP, b"p" + bytes(8))


class Segment(NamedTuple):
    """What is read out of a packet."""
    src: str
    dst: str
    sport: int
    dport: int
    flags: int
    seq: int
    ack: int
    window: int
    data: bytes
    timestamp: int  # 0: none
    echo: int  # the newest timestamp it has heard from the other side


def parse_tcp(packet):
    """None: something else."""
    if packet[0] >> 4 == 4:
        head, protocol, end = (packet[0] & 15) * 4, packet[9], struct.unpack("!H", packet[2:4])[0]
        src, dst = packet[12:16], packet[16:20]
    else:
        head, protocol, end = 40, packet[6], 40 + struct.unpack("!H", packet[4:6])[0]
        src, dst = packet[8:24], packet[24:40]
    if protocol != TCP:
        return None
    segment = packet[head:end]
    sport, dport, seq, ack, offset, flags, window = struct.unpack("!HHIIBBH", segment[:16])
    offset = (offset >> 4) * 4
    return Segment(str(ipaddress.ip_address(src)), str(ipaddress.ip_address(dst)), sport, dport, flags, seq, ack,
                   window, segment[offset:], *_timestamp(segment[20:offset]))


def _timestamp(options):
    while options and options[0]:
        if options[0] == 8:
            return struct.unpack("!II", options[2:10])
        options = options[1 if options[0] == 1 else max(options[1], 2):]
    return 0, 0


def timestamp_option(value, echo):
    return b"\1\1" + struct.pack("!BBII", 8, 10, value & 0xffffffff, echo)
