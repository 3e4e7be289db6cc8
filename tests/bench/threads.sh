#!/bin/bash
# Two workers at work under the thread sanitizer: short connections, then bulk, up and down, to nodes of both.
#   tests/bench/threads.sh [SECONDS]     of each load; 5 without
# Ends with 0 when the sanitizer had nothing to say. The sandbox is off, because the sanitizer's own calls are not in its list.
# Needs root (a network namespace). Builds build/tsan.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${FUNNEL_BENCH_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "threads.sh: run this as root" >&2; exit 1; }
    cmake --preset tsan -G Ninja -DFUNNEL_TESTS=ON >/dev/null
    cmake --build build/tsan --target funnel-ingress funnel-node load backend >&2
    export FUNNEL_BIN=$PWD/build/tsan FUNNEL_BENCH_INSIDE=1
    exec setarch --addr-no-randomize unshare --mount --net -- "$0" "$@"
fi

mount -t tmpfs none /run # namespaces get names there, and nobody else sees them
exec /usr/bin/python3 tests/bench/threads.py "$@"
