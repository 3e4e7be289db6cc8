#!/bin/bash
# What nodes cost: configured ones (rows of the feed) and connected ones (behind NAT, with sessions and keepalives).
#   tests/bench/nodes.sh [--quick] [--json FILE] [--configured N,N,…] [--connected N,N,…]
# --quick: 10 k and 100 k configured, 2 k and 10 k connected for a few seconds, at most 50 s once built. Everything runs
# in a network namespace that ends with the script. FUNNEL_BIN=DIR uses programs that are built already (with tests).
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${FUNNEL_BENCH_INSIDE:-}" ]; then
    . tests/bench/build.sh
    user=(--user --map-root-user)
    [ "$(id -u)" != 0 ] || user=()
    export FUNNEL_BENCH_INSIDE=1
    exec unshare "${user[@]}" --net -- "$0" "$@"
fi

ip link set lo up
exec /usr/bin/python3 tests/bench/nodes.py "$@"
