#!/bin/bash
# Goodput between a visitor and a service behind a node, over a network with delay and loss.
#   tests/bench/wan.sh [--quick] [--json FILE] [--rtt MS,...] [--loss PERCENT,...] [--streams N,...]
# The real programs, with a relay of datagrams in user space between them (tests/support/udprelay.c); both congestion
# controls. --quick: 80 ms with 0 and 1 %, one stream. The full grid takes most of an hour.
# FUNNEL_BIN=DIR uses programs that are built already (with tests).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh
exec /usr/bin/python3 tests/bench/wan.py "$@"
