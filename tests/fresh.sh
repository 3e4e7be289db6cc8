#!/bin/bash
# Both commands of the README on a fresh Debian, as a newcomer would meet it: a minimal root made by debootstrap, with
# the tree as committed (HEAD) and nothing else installed.
#   tests/fresh.sh 12|13             deploy/demo.sh --once, then tests/run.sh
#   tests/fresh.sh 12|13 demo|tests  one of the two; arguments after `tests` go to tests/run.sh
# Needs root (asks sudo) and the network of this machine. Mirror, proxy and extra certificate authorities are taken from
# this machine's apt at run time. The bare root and downloaded packages are kept in a cache outside the tree
# (FUNNEL_CACHE, or $XDG_CACHE_HOME/funnel-ingress, or /var/cache/funnel-ingress); everything else is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

release=${1:-}
what=${2:-all}
case $release in
12) codename=bookworm ;;
13) codename=trixie ;;
*)
    echo "usage: tests/fresh.sh 12|13 [demo|tests [suite...]]" >&2
    exit 2
    ;;
esac
case $what in
all) jobs=(demo tests) ;;
demo | tests) jobs=("$what") ;;
*)
    echo "fresh.sh: demo or tests, not '$what'" >&2
    exit 2
    ;;
esac
suites=("${@:3}")
if [ "$(id -u)" != 0 ]; then
    exec sudo --preserve-env=FUNNEL_CACHE,XDG_CACHE_HOME,http_proxy,https_proxy,no_proxy "$0" "$@"
fi

deploy/install-deps.sh fresh
cache=${FUNNEL_CACHE:-${XDG_CACHE_HOME:-/var/cache}/funnel-ingress}
bare=$cache/debian-$release.tar
packages=$cache/debian-$release-packages
mkdir -p "$packages/partial"

# mirror LABEL - where this machine gets packages of that label from; its own release does not matter
mirror() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -v label="$1" '$1 == label { print $2; exit }'
}
main=$(mirror Debian)
[ -n "$main" ] || { echo "fresh.sh: no Debian archive among the apt sources of this machine" >&2; exit 1; }
security=$(mirror Debian-Security)

root=$(mktemp -d /var/tmp/funnel-fresh-"$release".XXXXXX)
# Mounts live in a namespace that ends with the shell inside, so plain files are all that can be left.
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' INT TERM

if [ ! -e "$bare" ]; then
    echo "fresh.sh: making a bare Debian $release from $main" >&2
    debootstrap --variant=minbase "$codename" "$root" "$main" >"$cache/debootstrap-$release.log" 2>&1 || {
        tail -n 20 "$cache/debootstrap-$release.log" >&2
        exit 1
    }
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" --one-file-system -cf "$bare.new" .
    mv "$bare.new" "$bare"
else
    tar -C "$root" -xf "$bare"
fi

cat >"$root/etc/apt/sources.list" <<SOURCES
deb $main $codename main
deb $main $codename-updates main
${security:+deb $security $codename-security main}
SOURCES
apt-config dump | grep -E '^Acquire::(https?::(Proxy|CaInfo)|Check-|Retries)[^ ]* "..*";$' >"$root/etc/apt/apt.conf.d/90host" || :
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/hosts "$root/etc/hosts"
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$root/etc/ssl/certs" "$root/usr/local/share/ca-certificates"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$root/usr/local/share/ca-certificates" {} +
fi
mkdir -p "$root/src"
git -c safe.directory='*' archive HEAD | tar -C "$root/src" -x

# inside COMMAND… - run in the fresh root, with a private process tree and the few devices programs expect
inside() {
    unshare --mount --pid --fork --kill-child bash -c '
        set -e
        root=$1 packages=$2
        shift 2
        mount --make-rprivate /
        mount -t proc proc "$root/proc"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t tmpfs -o mode=755 tmpfs "$root/dev"
        for device in null zero full random urandom tty; do
            touch "$root/dev/$device"
            mount --bind "/dev/$device" "$root/dev/$device"
        done
        mkdir "$root/dev/pts" "$root/dev/shm"
        mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        ln -s pts/ptmx "$root/dev/ptmx"
        ln -s /proc/self/fd "$root/dev/fd"
        mount --bind "$packages" "$root/var/cache/apt/archives"
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" \
            LANG=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            ${no_proxy:+no_proxy="$no_proxy"} chroot "$root" "$@"
    ' _ "$root" "$packages" "$@"
}

for job in "${jobs[@]}"; do
    echo "== Debian $release: $job"
    case $job in
    demo) inside /src/deploy/demo.sh --once ;;
    tests) inside /src/tests/run.sh "${suites[@]}" ;;
    esac
done
echo "== Debian $release: passed"
