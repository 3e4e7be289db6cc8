# build.sh - sourced by the benchmarks: FUNNEL_BIN names optimised programs and the tests' helpers, built if need be.
if [ -z "${FUNNEL_BIN:-}" ]; then
    FUNNEL_BIN=$PWD/build/bench
    cmake --preset release -DFUNNEL_TESTS=ON -B "$FUNNEL_BIN" -G Ninja >/dev/null
    cmake --build "$FUNNEL_BIN" >&2
fi
export FUNNEL_BIN
