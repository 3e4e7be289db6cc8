#!/bin/bash
# The product doing its job on this machine: an ingress, a node and a small website behind it, all on loopback, and a
# request that crosses them, told step by step. Installs what is missing and builds first.
#   deploy/demo.sh          stays up and prints a line to try; Ctrl-C ends it
#   deploy/demo.sh --once   ends after the request, with its result as the exit status
# FUNNEL_BIN=DIR uses programs that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."

once=0
case "${1:-}" in
--once) once=1 ;;
"") ;;
*)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold="" plain=""; fi
say() {
    printf '%s%s%s\n' "$bold" "$*" "$plain"
}

name=demo.example.net
python=/usr/bin/python3
work=$(mktemp -d "${TMPDIR:-/tmp}/funnel-demo.XXXXXX")
pids=()

finish() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    set +e
    if [ $status != 0 ] && [ $status != 130 ]; then
        for log in "$work"/*.log; do
            [ -s "$log" ] && printf '\n-- %s\n' "$(basename "$log")" && tail -n 30 "$log"
        done >&2
    fi
    for pid in "${pids[@]}"; do
        kill "$pid" && wait "$pid"
    done 2>/dev/null
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

# wait_for WHAT PID COMMAND… - until the command succeeds, at most 20 s, or the process is gone
wait_for() {
    local what=$1 pid=$2
    shift 2
    for _ in $(seq 200); do
        if "$@" 2>/dev/null; then return; fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "demo: $what did not happen" >&2
    exit 1
}

if [ -z "${FUNNEL_BIN:-}" ]; then
    deploy/install-deps.sh build demo
    say "Building"
    cmake --preset release -G Ninja >"$work/configure.log" 2>&1 && cmake --build build/release >"$work/build.log" 2>&1
    rm "$work/configure.log" "$work/build.log"
    FUNNEL_BIN=$PWD/build/release
fi
ingress=$FUNNEL_BIN/funnel-ingress node=$FUNNEL_BIN/funnel-node

say "Starting a website, a node that owns $name, and an ingress"
umask 077
demo=$PWD/deploy/demo
cd "$work"
"$python" "$demo/site.py" site.port 2>site.log &
pids+=($!)
wait_for "the website" $! test -s site.port

{ read -r https_port; read -r udp_port; } < <("$python" "$demo/free_ports.py" 2)
"$ingress" genkey >ingress.key
"$node" genkey >node.key
"$node" selfsigned $name --cert cert.pem --key key.pem

cat >node.yaml <<YAML
key_file: node.key
listen: ["127.0.0.1:0"]
ingresses:
  - name: demo
    public_key: "$("$ingress" pubkey <ingress.key)"
    endpoint: "127.0.0.1:$udp_port"
services:
  - name: $name
    ports: [443]
    funnel: on
    forward: "127.0.0.1:$(cat site.port)"
    tls: terminate
    certificate: cert.pem
    certificate_key: key.pem
YAML
cat >ingress.yaml <<YAML
listen:
  - address: "127.0.0.1:$https_port"
    public_port: 443
wireguard:
  listen: ["127.0.0.1:$udp_port"]
identities:
  - name: default
    key_file: ingress.key
feed:
  type: file
  path: nodes.json
YAML
row=$("$node" show -c node.yaml | sed -n '/{/,$p')
printf '{"version": 1, "nodes": [%s]}\n' "$row" >nodes.json

"$ingress" -c ingress.yaml >access.json 2>ingress.log &
pids+=($!)
ingress_pid=$!
wait_for "the ingress" $! grep -q ' server .*event=ready' ingress.log
"$node" -c node.yaml >/dev/null 2>node.log &
pids+=($!)
wait_for "a session between node and ingress" $! grep -q ' session .*event=up' node.log

say "Fetching https://$name through the ingress"
curl -q -sS --fail --max-time 20 --noproxy '*' --resolve "$name:$https_port:127.0.0.1" --cacert cert.pem \
    -o page.html -w '%{certs}' "https://$name:$https_port/" >seen.pem
grep -q 'It works' page.html
wait_for "an access log line" "$ingress_pid" test -s access.json
"$python" "$demo/story.py" access.json node.log cert.pem seen.pem

if [ $once = 1 ]; then
    say "Done"
    exit 0
fi
say "Up until Ctrl-C. Try:"
echo "  curl --resolve $name:$https_port:127.0.0.1 --cacert $work/cert.pem https://$name:$https_port/"
wait -n "${pids[@]}"
echo "demo: a program has ended" >&2
exit 1
