#!/bin/bash
# Goodput between a visitor and a service behind a node, over a network with delay, loss, a rate and a queue.
#   tests/bench/wan.sh [--quick] [--json FILE] [--subjects NAME,…] [--measures bulk,first,share]
#                      [--rtt MS,…] [--loss PERCENT,…] [--streams N,…] [--directions down,up]
#                      [--repeats N] [--warm S] [--seconds S] [--minutes M]
#   tests/bench/wan.sh --table FILE      the figures in FILE as tables, with ratios
# Subjects: funnel-bbr, funnel-cubic (the real programs), funnel-warm (with offer.warm: the first byte only), linux-bbr,
# linux-cubic (the kernel's TCP over wireguard-go and a TUN device), go-ingress (wireguard-go and gVisor); over the same
# relay of datagrams (tests/support/udprelay.c).
# Of "share" two streams of different congestion control behind one slow link: ours, and the kernel's.
# The whole grid takes hours. It can be had in pieces: figures that FILE holds already are not measured again, and after
# M minutes nothing new is begun.
# --quick: 80 ms with 0 and 1 %, one stream, our own. Needs root: network namespaces and TUN devices; for the other
# subjects Go. FUNNEL_BIN=DIR uses programs that are built already (with tests).
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${FUNNEL_BENCH_INSIDE:-}" ]; then
    case " $* " in *" --table "*) exec /usr/bin/python3 tests/bench/wan.py "$@" ;; esac
    [ "$(id -u)" = 0 ] || { echo "wan.sh: run this as root" >&2; exit 1; }
    . tests/bench/build.sh
    peers=$PWD/build/bench/peers
    if command -v go >/dev/null && ! { [ -e "$peers/go-ingress" ] && [ -e "$peers/wireguard-go" ]; }; then
        mkdir -p "$peers"
        (cd tests/bench/peers/go-ingress && go build -trimpath -o "$peers/go-ingress" . &&
            go build -trimpath -o "$peers/wireguard-go" golang.zx2c4.com/wireguard)
    fi
    export FUNNEL_BENCH_INSIDE=1
    exec unshare --mount --net -- "$0" "$@"
fi

mount -t tmpfs none /run # namespaces and control sockets get names there, and nobody else sees them
exec /usr/bin/python3 tests/bench/wan.py "$@"
