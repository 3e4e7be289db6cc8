#!/bin/bash
# What an ingress costs that a coordination server feeds: time from the start to the first visitor served, first byte over DERP
# and directly, CPU and memory with 10,000 nodes in the map. Beside it, an ingress built on tsnet (peers/tsnet-ingress).
#   tests/bench/tailnet.sh [--quick] [--json FILE] [--subject NAME]...
# --quick: fewer repeats, about 50 s a subject once built. Needs Go. FUNNEL_BIN=DIR uses programs that are built already.
set -euo pipefail
cd "$(dirname "$0")/../.."

repeats=5 json="" subjects=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) repeats=2 ;;
    --json) json=$(realpath -m "$2") && shift ;;
    --subject) subjects+=("$2") && shift ;;
    *) sed -n '2,6s/^# \?//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#subjects[@]} -gt 0 ] || subjects=(funnel-ingress tsnet-ingress)

. tests/bench/build.sh
FUNNEL_BIN=$(realpath "$FUNNEL_BIN")
peers=$PWD/build/bench/peers
mkdir -p "$peers"
list=()
for subject in "${subjects[@]}"; do
    case $subject in
    funnel-ingress) list+=("$subject=$FUNNEL_BIN/funnel-ingress") ;;
    tsnet-ingress)
        (cd tests && go build -o "$peers/tsnet-ingress" ./bench/peers/tsnet-ingress)
        list+=("$subject=$peers/tsnet-ingress")
        ;;
    *) echo "tailnet.sh: no subject called '$subject'" >&2 && exit 2 ;;
    esac
done
cd tests
FIGURES_SUBJECTS=$(IFS=,; echo "${list[*]}") FIGURES_REPEATS=$repeats FIGURES_JSON=$json \
    exec go test -count=1 -timeout 15m -run '^TestFigures$' -v ./bench/tailnet
