"""Prints as many free loopback ports as asked for, each free for TCP and for UDP."""
import socket
import sys

held = []
for _ in range(int(sys.argv[1])):
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held += [tcp, udp]  # until the end, so that no port comes twice
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            continue
        print(tcp.getsockname()[1])
        break
