#!/bin/bash
# funnel-ingress beside what people use, all in one run, in turn, in interleaved rounds.
#   tests/bench/run.sh --prepare     install and build the peers once (HAProxy, nginx, frp, rathole, a Go pair)
#   tests/bench/run.sh [--quick] [--json FILE] [--only MEASURE,…] [--subjects NAME,…] [--rounds N]
#   tests/bench/run.sh --show FILE…  table and goals of what --json wrote before
# --quick: one short look at the main measures, at most 50 s. Measures: conn short cold bulk pingpong idle many growth
# workers. Needs root: network namespaces, and as many open files as 100,000 streams take; where the limit of open
# files cannot be raised so far, as many streams as it lets through.
# FUNNEL_BIN=DIR uses programs that are built already (with tests).
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${FUNNEL_BENCH_INSIDE:-}" ]; then
    if [ "${1:-}" = --prepare ]; then
        tests/bench/prepare.sh
        . tests/bench/build.sh
        exit 0
    fi
    [ "$(id -u)" = 0 ] || { echo "run.sh: run this as root" >&2; exit 1; }
    . tests/bench/build.sh
    ulimit -n "$(cat /proc/sys/fs/nr_open)" 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    export FUNNEL_BENCH_INSIDE=1
    exec unshare --mount --net -- "$0" "$@"
fi

mount -t tmpfs none /run # namespaces get names there, and nobody else sees them
exec /usr/bin/python3 tests/bench/run.py "$@"
