#!/bin/bash
# What a flood of WireGuard initiations costs the streams that are already there.
#   tests/bench/flood.sh [--quick] [--json FILE]     --quick: fewer and shorter rounds, at most 50 s once built
# One ingress with a bulk stream at full speed, and 50,000 initiations a second from forged sources with a mac1 that
# is right, against an equal flood that fails on its length. Everything runs in network namespaces that end with it.
# FUNNEL_BIN=DIR uses programs that are built already (with tests).
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${FUNNEL_BENCH_INSIDE:-}" ]; then
    . tests/bench/build.sh
    user=(--user --map-root-user)
    [ "$(id -u)" != 0 ] || user=()
    export FUNNEL_BENCH_INSIDE=1
    exec unshare "${user[@]}" --mount --net -- "$0" "$@"
fi

mount -t tmpfs none /run # namespaces get names there, and nobody else sees them
ip netns add outside
ip link add bulk type veth peer name bulk netns outside
ip link add flood type veth peer name flood netns outside
for link in bulk flood; do
    ip link set $link up
    ip -n outside link set $link up
done
ip link set lo up
ip -n outside link set lo up
ip address add 192.0.2.1/30 dev bulk
ip -n outside address add 192.0.2.2/30 dev bulk
ip address add 198.51.100.1/30 dev flood
ip -n outside address add 198.51.100.2/30 dev flood
# the forged sources: answers to them go out, and vanish where the flood comes from
ip route add 10.64.0.0/10 via 198.51.100.2
ip -n outside route add blackhole 10.64.0.0/10
exec /usr/bin/python3 tests/bench/flood.py "$@"
