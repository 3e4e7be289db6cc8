#!/bin/bash
# What tests/bench/run.sh compares with, once: packages, and programs built into build/bench/peers.
# Needs Go 1.26.6 or newer and cargo, which are not installed from here.
set -euo pipefail
cd "$(dirname "$0")/../.."
peers=$PWD/build/bench/peers
mkdir -p "$peers"

deploy/install-deps.sh build bench
[ -e "$peers/frps" ] && [ -e "$peers/frpc" ] ||
    (cd tests/bench/peers/frp && go build -trimpath -o "$peers/" github.com/fatedier/frp/cmd/{frps,frpc})
(cd tests/bench/peers/go-ingress && go build -trimpath -o "$peers/" .)
# as cargo installs it: with today's crates, not those of its lock file
[ -e "$peers/cargo/bin/rathole" ] ||
    cargo install rathole --version '=0.5.0' --no-default-features --features server,client,noise \
        --root "$peers/cargo" --target-dir "$peers/cargo/target"
