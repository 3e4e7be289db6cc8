#!/bin/bash
# Static analysis of common/, ingress/ and node/: clang-tidy (.clang-tidy), cppcheck, and gcc's -fanalyzer.
#   tests/analysis.sh [FILE.c…]      these files only; all without
# Ends with 0 when nothing was found but what tests/analysis.argued argues away. That was argued for clang-tidy 14, cppcheck
# 2.10 and gcc 12 (Debian 12): other versions find other things, so theirs are shown and not judged.
# Two minutes of two idle cores, and tools that nothing else needs: that is why tests/run.sh leaves it to be run by hand.
set -uo pipefail
cd "$(dirname "$0")/.."

for tool in clang-tidy cppcheck gcc; do
    command -v $tool >/dev/null || {
        echo "analysis.sh: $tool is missing: apt-get install clang-tidy cppcheck gcc" >&2
        exit 1
    }
done

build=build/analysis
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(ls common/*/*.c ingress/*.c ingress/*/*.c node/*.c)
jobs=$(nproc)
out=$(mktemp -d "${TMPDIR:-/tmp}/funnel-analysis.XXXXXX")
trap 'rm -rf "$out"' EXIT

cmake --preset dev -G Ninja -B $build -DFUNNEL_TESTS=OFF >/dev/null || exit 1

# each_file COMMAND… - with one file as its last argument, several at once; all that is said, in order of files.
each_file() {
    printf '%s\n' "${files[@]}" | xargs -P "$jobs" -I{} bash -c '
        file=$1 out=$2
        shift 2
        "$@" "$file" >"$out/$(tr / _ <<<"$file").log" 2>&1' _ {} "$out" "$@"
    (cd "$out" && cat ./*.log && rm ./*.log)
}

tidy() {
    each_file clang-tidy -p $build --quiet
}

# malloc-leak is left out: ownership that goes into a list or struct is a leak to it, and the leak checker of the
# sanitizer watches every test.
analyzer() {
    each_file gcc -std=gnu11 -O1 -fanalyzer -Wno-analyzer-malloc-leak -fdiagnostics-path-format=none -c -o /dev/null \
        -I. -isystem /usr/share/include/llhttp -D_GNU_SOURCE '-DFUNNEL_VERSION="analysis"'
}

# style is left to readers; a system header it can't find tells nothing
cppcheck_all() {
    cppcheck -j"$jobs" --quiet --std=c11 --enable=warning,performance,portability --inline-suppr -I. -D_GNU_SOURCE \
        '-DFUNNEL_VERSION="analysis"' -D__x86_64__ -D__cppcheck__ --suppress=missingInclude --suppress=missingIncludeSystem \
        --template='{file}:{line}:{column}: {severity}: {message} [{id}]' "${files[@]}" 2>&1
}

# unargued - the findings that tests/analysis.argued does not name, each once, with paths from here.
unargued() {
    sed "s#$PWD/##g" | awk '
        NR == FNR { if ($1 !~ /^#/) argued[$1 " " $2] = 1; next }
        match($0, /\[[^] ]+\]$/) && / (warning|error|portability|performance): / {
            check = substr($0, RSTART + 1, RLENGTH - 2)
            file = $0
            sub(/:.*/, "", file)
            if (!((file " " check) in argued) && !seen[$0]++)
                print
            next
        }
        / error: / && !seen[$0]++ { print }' tests/analysis.argued -
}

known() {
    [[ $(clang-tidy --version) =~ version\ 14\. ]] && [[ $(gcc -dumpversion) = 12 ]] && [[ $(cppcheck --version) = *" 2.10"* ]]
}

found=$({ tidy; analyzer; cppcheck_all; } | unargued)
[ -z "$found" ] || printf '%s\n' "$found"
echo "analysis: ${#files[@]} files, $(grep -c . <<<"$found") findings"
known || echo "analysis: these tools are not the versions it was argued for; nothing is judged"
[ -z "$found" ] || ! known
