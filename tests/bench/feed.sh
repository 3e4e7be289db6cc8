#!/bin/bash
# What the map of nodes costs: memory a node, a snapshot, deltas, look-ups meanwhile, the map on disk; and a running
# ingress whose feed file of as many nodes changes: how long any of its loops is held.
#   tests/bench/feed.sh [--quick] [--json FILE] [--nodes N]
# A million nodes with two names each; --quick: 100,000, at most 50 s once built. FUNNEL_BIN=DIR uses programs that are
# built already (with tests). Runs in a network namespace that ends with the script.
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
exec /usr/bin/python3 tests/bench/feed.py "$@"
