#!/bin/bash
# Installs what is missing, builds with address and undefined-behaviour sanitizers, and runs the tests.
#   tests/run.sh                 all suites: unit sim fuzz purity e2e attack interop tailnet
#   tests/run.sh unit e2e        these only
#   tests/run.sh e2e -- -k reset   what follows -- goes to pytest
# Ends with a summary; the exit status is 0 only when no suite failed. What can't be tested on this machine is named there, and with
# CI=true its suite has failed; interop and tailnet need Go, which is not installed from here.
set -uo pipefail
cd "$(dirname "$0")/.."

all="unit sim fuzz purity e2e attack interop tailnet"
suites=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case " $all " in
    *" $1 "*) suites+=("$1") ;;
    *)
        echo "run.sh: no suite called '$1' ($all)" >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#suites[@]} -gt 0 ] || read -ra suites <<<"$all"
[ "${1:-}" != -- ] || shift
pytest_args=("$@")

build=build/asan
fuzz_seconds=60 # libFuzzer, all targets together

export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:exitcode=99"
export UBSAN_OPTIONS="print_stacktrace=1"

deploy/install-deps.sh build test || exit 1
cmake --preset asan -G Ninja >/dev/null && cmake --build $build || exit 1

suite_unit() {
    ctest --test-dir $build -R '^unit/' -j "$(nproc)" --output-on-failure --no-tests=error
}

suite_sim() {
    ctest --test-dir $build -R '^sim/' -j "$(nproc)" --output-on-failure --no-tests=error
}

# The corpora are replayed first, then each target looks for new inputs for its share of the time.
suite_fuzz() {
    local targets=() target
    ctest --test-dir $build -R '^fuzz/' -j "$(nproc)" --output-on-failure --no-tests=error || return 1
    for target in tests/fuzz/fuzz_*.c; do
        targets+=("$(basename "$target" .c)")
    done
    cmake --preset fuzz -G Ninja >/dev/null && cmake --build build/fuzz --target "${targets[@]}" || return 1

    local found=build/fuzz/found
    local share=$((fuzz_seconds * $(nproc) / ${#targets[@]}))
    mkdir -p $found
    printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c '
        target=$1 seconds=$2 found=$3
        mkdir -p "$found/$target"
        build/fuzz/tests/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$found/$target-" "$found/$target" "tests/fuzz/corpus/${target#fuzz_}" \
            >"$found/$target.log" 2>&1
        status=$?
        inputs=$(sed -n "s/^stat::number_of_executed_units: *//p" "$found/$target.log")
        echo "$target: $inputs inputs, exit $status"
        [ "${inputs:-0}" -gt 0 ] || status=1
        [ $status = 0 ] || tail -n 60 "$found/$target.log"
        exit $status' _ {} $((share > 0 ? share : 1)) $found
}

suite_purity() {
    tests/purity.sh $build
}

# Debian's own Python has Debian's pytest; another one may come first in PATH.
suite_e2e() {
    FUNNEL_BIN=$PWD/$build /usr/bin/python3 -m pytest -p no:cacheprovider tests/e2e "${pytest_args[@]}"
}

# What a hostile node can send through its own tunnel.
suite_attack() {
    FUNNEL_BIN=$PWD/$build /usr/bin/python3 -m pytest -p no:cacheprovider tests/attack "${pytest_args[@]}"
}

# Other people's code, for which Go fetches the modules and, from 1.21 on, a newer Go.
go_suite() {
    local programs=$PWD/$build name=$1
    if ! (cd tests && go version && go list -m >/dev/null); then
        echo "no $(grep -E '^go [0-9]' tests/go.mod) or newer here: nothing was proven against other implementations" >>"$not_tested"
        return
    fi
    # -parallel: the tests beside one another mostly wait
    (cd tests && FUNNEL_BIN=$programs go test -count=1 -timeout 15m -parallel 16 "./$name")
}

# Tailscale's nodes, wireguard-go and boringtun behind an ingress that is fed from a file.
suite_interop() {
    go_suite interop
}

# headscale, from its module, with the sums that come with it; once.
build_headscale() {
    local version=v0.28.0 place
    [ "$(cat build/headscale/version 2>/dev/null)" != $version ] || return 0
    echo "building headscale $version"
    place=$(cd tests && go mod download -json "github.com/juanfont/headscale@$version" |
        sed -nE 's/^[[:space:]]*"Dir": "(.*)",?$/\1/p') && [ -n "$place" ] || return 1
    rm -rf build/headscale && mkdir -p build/headscale && cp -r "$place" build/headscale/source &&
        chmod -R u+w build/headscale/source || return 1
    (cd build/headscale/source && go build -trimpath -o ../headscale ./cmd/headscale) &&
        echo $version >build/headscale/version
}

# Stock nodes and the ingress itself as nodes of coordination servers: Tailscale's own for tests, and headscale, which is built
# here unless HEADSCALE names its program.
suite_tailnet() {
    if [ -z "${HEADSCALE:-}" ]; then
        build_headscale && export HEADSCALE=$PWD/build/headscale/headscale ||
            echo "no headscale here: nothing was proven against it, and TestEphemeral not at all" >>"$not_tested"
    fi
    go_suite tailnet
}

failed=0
summary=""
notes=""                 # what was left out
not_tested=$(mktemp)     # likewise, as the tests of a suite write it down: what this machine is too poor for
export FUNNEL_NOT_TESTED=$not_tested
trap 'rm -f "$not_tested"' EXIT
for suite in "${suites[@]}"; do
    echo "== $suite"
    began=$SECONDS
    "suite_$suite"
    [ $? = 0 ] && verdict=passed || verdict=FAILED
    if [ -s "$not_tested" ]; then
        notes+=$(sed "s/^/$suite: NOT TESTED: /" "$not_tested")$'\n'
        [ $verdict = FAILED ] || verdict=PARTLY
        [ "${CI:-}" != true ] || verdict=FAILED
        : >"$not_tested"
    fi
    [ $verdict != FAILED ] || failed=1
    summary+=$(printf '%-8s %-7s %4d s' "$suite" $verdict $((SECONDS - began)))$'\n'
done
printf '\n%s%s' "$summary" "$notes"
exit $failed
