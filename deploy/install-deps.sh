#!/bin/bash
# Installs the Debian packages (12 and 13) that the named jobs need and this machine lacks; does nothing when all are there.
#   deploy/install-deps.sh [build] [demo] [test] [fresh] [bench]      default: build
#   build  compile both programs          demo  fetch a page through them
#   test   the whole of tests/run.sh      fresh a clean Debian root (tests/fresh.sh, tests/docker.sh)
#   bench  the peers of tests/bench/run.sh that are packaged
# Go (1.26.6 or newer) and cargo, for the suite interop and the other peers, are not packaged there: install them yourself.
set -euo pipefail

. /etc/os-release
case "${ID:-} ${VERSION_ID:-}" in
"debian 12") llhttp=node-llhttp clang_runtime=libclang-rt-14-dev ;; # ships the C sources; see cmake/FindLlhttp.cmake
"debian 13") llhttp=libllhttp-dev clang_runtime=libclang-rt-19-dev ;;
*)
    echo "install-deps: this is ${PRETTY_NAME:-an unknown system}; packages are known for Debian 12 and 13 only." >&2
    echo "Install by hand: a C11 compiler, CMake 3.25, Ninja, pkg-config and the development files of libuv," >&2
    echo "OpenSSL 3, libsodium, llhttp, nghttp2, c-ares, jansson and libyaml; for the tests also cmocka, pytest, nginx," >&2
    echo "Chromium, curl, iproute2, nftables and clang. FUNNEL_SKIP_DEPS=1 silences this check." >&2
    [ "${FUNNEL_SKIP_DEPS:-0}" = 1 ] && exit 0
    exit 1
    ;;
esac

build="gcc libc6-dev cmake ninja-build pkgconf libuv1-dev libssl-dev libsodium-dev libc-ares-dev libjansson-dev
       libyaml-dev libnghttp2-dev $llhttp"
demo="curl python3-minimal libpython3-stdlib"
test="libcmocka-dev clang $clang_runtime python3 python3-pytest curl openssl nginx chromium fonts-dejavu-core
      etcd-server python3-yaml iproute2 nftables"
fresh="debootstrap mount util-linux"
bench="libcmocka-dev python3 iproute2 util-linux haproxy nginx libnginx-mod-stream"

wanted=""
for job in "${@:-build}"; do
    case $job in
    build | demo | test | fresh | bench) wanted+=" ${!job}" ;;
    *)
        echo "install-deps: no job called '$job' (build demo test fresh bench)" >&2
        exit 2
        ;;
    esac
done

missing=()
for package in $wanted; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing+=("$package")
    fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps: run this as root; it needs: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "install-deps: installing ${missing[*]}" >&2

# A package may bring a service (nginx); only its program is wanted, so nothing may start on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '"${as_root[@]}" rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@" >&2
}

# Package lists may be absent (a fresh image) or older than the mirror; either shows as a failure to install.
known() {
    apt-cache show --no-all-versions "${missing[@]}" >/dev/null 2>&1
}
known || apt update
apt install -y --no-install-recommends "${missing[@]}" || {
    apt update
    apt install -y --no-install-recommends "${missing[@]}"
}
