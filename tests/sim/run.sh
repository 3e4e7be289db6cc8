#!/bin/bash
# The TCP engine in simulated worlds.
#   tests/sim/run.sh                what every test run does: seeds that failed once, bands of goodput, 3000 worlds
#   tests/sim/run.sh --seeds N      N worlds from a random seed on, after the above
#   tests/sim/run.sh --minutes M    as many worlds as fit, and the bands with other seeds
#   tests/sim/run.sh --seed S       this world again, telling all
# A seed that fails is printed; put it into tests/sim/regressions once its cause is gone.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${FUNNEL_BUILD:-build/asan}
[ -f "$build/build.ninja" ] || [ -f "$build/Makefile" ] || cmake --preset asan -B "$build" -G Ninja >/dev/null
cmake --build "$build" --target sim_tcp sim_goodput >/dev/null
tcp=$build/tests/sim_tcp
goodput=$build/tests/sim_goodput

seeds=3000 first=1 minutes=0
while [ $# -gt 0 ]; do
    case $1 in
    --seed) exec "$tcp" --seed "$2" --verbose ;;
    --seeds) seeds=$2 first=$((RANDOM << 30 | RANDOM << 15 | RANDOM)) && shift 2 ;;
    --minutes) minutes=$2 && shift 2 ;;
    *) echo "usage: tests/sim/run.sh [--seed S | --seeds N | --minutes M]" >&2 && exit 2 ;;
    esac
done

"$tcp" --listed tests/sim/regressions
"$goodput"
"$tcp" --seed "$first" --seeds "$seeds"

end=$((SECONDS + minutes * 60)) round=0
while [ $SECONDS -lt $end ]; do
    round=$((round + 1))
    "$goodput" --seed $((round + 1)) >/dev/null
    "$tcp" --seed $((RANDOM << 30 | RANDOM << 15 | RANDOM)) --seeds 500
done
