#!/bin/bash
# Keeps the engines sans-I/O and the folders in their order; what a machine can notice.
#   tests/purity.sh BUILD_DIR      a built tree; its static libraries are looked into
# 1. No engine asks the system for time, files, sockets, processes, randomness or the environment, or calls libuv.
# 2. A file includes only what its folder may use: the list stands in CMakeLists.txt, in funnel_library(name folder uses…).
# 3. Each outside library is included behind its one door.
# 4. Every header compiles alone.
# 5. Nothing takes a lock: threads share atomics and mail (docs/architecture.md).
set -uo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tests/purity.sh BUILD_DIR}
faults=0

fault() {
    echo "purity: $*"
    faults=$((faults + 1))
}

# ---- the folders and what they may use, from the build ----
declare -A folder uses
libraries=()
while read -r name path list; do
    libraries+=("$name")
    folder[$name]=$path
    uses[$name]=$list
done < <(sed -nE 's/^funnel_library\(([a-z]+) +([a-z/]+) +?(.*)\)$/\1 \2 \3/p' CMakeLists.txt)
[ ${#libraries[@]} -gt 10 ] || fault "CMakeLists.txt: no funnel_library lines found"

# The shell does the I/O: what uses net, net itself, the command line and the sandbox. All else is an engine.
is_shell() {
    case " $1 ${uses[$1]} " in
    *" net "* | *" cli "* | *" sandbox "*) return 0 ;;
    *) return 1 ;;
    esac
}

# ---- 1. calls ----
forbidden='uv_\w+|clock|clock_\w+|time|gettimeofday|ftime|times|timerfd_\w+|nanosleep|u?sleep|alarm|setitimer'
forbidden+='|socket|socketpair|accept4?|connect|bind|listen|shutdown|[gs]etsockopt|getsockname|getpeername'
forbidden+='|send(to|m?msg|file)?|recv(from|m?msg)?|p?poll|p?select|epoll_\w+|getaddrinfo|getnameinfo'
forbidden+='|(p?read|p?write)v?(64)?|open(at)?(64)?|creat(64)?|close|f?dopen|fopen(64)?|freopen(64)?|fread|fgets|getline'
forbidden+='|[fl]?stat(64)?|fstatat(64)?|unlink|rename|mkdir|opendir|ioctl|fcntl(64)?|pipe2?|dup[23]?'
forbidden+='|v?fork|exec\w+|posix_spawnp?|system|popen|kill|raise|signal|sigaction|wait(pid)?|pthread_create|thrd_create'
forbidden+='|getrandom|getentropy|s?rand(om)?(_r)?|[dejlmn]rand48|arc4random\w*|RAND_\w+|randombytes\w*|(secure_)?getenv|syscall'

# calls ARCHIVE PATTERN - objects and the symbols of that pattern that they call
calls() {
    nm -A -u "$1" | sed -nE "s/^[^:]+:([^:]+): +U ($2)(@.*)?$/\1 \2/p"
}

# object and symbol, with the reason why that is right
allowed() {
    case "$1 $2" in
    "config_file.c.o "*) return 0 ;;              # reads a file for the programs; the loader itself is given text
    "feed_file.c.o "*) return 0 ;;                # likewise for the feed
    "feed_store.c.o "*) return 0 ;;               # likewise for the map on disk
    "crypto.c.o randombytes_buf") return 0 ;;     # crypto_rng, the generator the programs hand to the engines
    *) return 1 ;;
    esac
}

engines=0
for library in "${libraries[@]}"; do
    archive=$build/lib$library.a
    if is_shell "$library"; then continue; fi
    [ -e "$archive" ] || continue # a fault, see below
    engines=$((engines + 1))
    while read -r object symbol; do
        allowed "$object" "$symbol" || fault "engine $library: $object calls $symbol"
    done < <(calls "$archive" "$forbidden")
done

# ---- 5. locks ----
locks='pthread_(mutex|rwlock|spin|cond|barrier)_\w+|(mtx|cnd)_\w+|uv_(mutex|rwlock|sem|cond|barrier)_\w+|sem_\w+'
for library in "${libraries[@]}"; do
    [ -e "$build/lib$library.a" ] || fault "$build/lib$library.a is not built"
    while read -r object symbol; do
        fault "$library: $object calls $symbol"
    done < <(calls "$build/lib$library.a" "$locks")
done

# ---- 2. includes between folders ----
# reach LIBRARY - what it may include, itself too. The programs and the shell may use what their libraries use.
reach() {
    local seen=" $1 ${uses[$1]} " grown name
    if is_shell "$1"; then
        while :; do
            grown=$seen
            for name in $seen; do
                for name in ${uses[$name]-}; do
                    [[ $grown == *" $name "* ]] || grown+="$name "
                done
            done
            [ "$grown" != "$seen" ] || break
            seen=$grown
        done
    fi
    echo "$seen"
}

for library in "${libraries[@]}"; do
    may=$(reach "$library")
    for file in "${folder[$library]}"/*.[ch]; do
        [ -e "$file" ] || continue
        while read -r included; do
            owner=""
            for other in "${libraries[@]}"; do
                [ "$(dirname "$included")" = "${folder[$other]}" ] && owner=$other
            done
            if [ -z "$owner" ]; then
                fault "$file includes $included, which belongs to no library"
            elif [[ $may != *" $owner "* ]]; then
                fault "$file includes $included: $library may use only:$may"
            fi
        done < <(sed -nE 's/^ *# *include +"([^"]+)".*/\1/p' "$file")
    done
done

# ---- 3. doors ----
# door PATTERN FOLDER… - headers that only these folders may include
door() {
    local pattern=$1 hit
    shift
    local excluded=()
    for place in "$@"; do excluded+=(-e "^$place/[^/]*:"); done
    grep -qrE --include='*.[ch]' "^ *# *include +<$pattern" "$@" || fault "$* does not include <$pattern"
    while read -r hit; do
        fault "${hit%%:*} includes ${hit##*include }; the door is $*"
    done < <(grep -rHE --include='*.[ch]' "^ *# *include +<$pattern" common ingress node | grep -v "${excluded[@]}")
}
door 'llhttp' common/http
door 'yaml' common/config
door 'ares' common/net
door 'sodium' common/crypto
door 'uv\.h' common/net ingress node
door 'jansson' ingress/feed common/tailnet ingress node
door 'nghttp2' common/tailnet
door 'openssl/' common/crypto common/net common/relay node

# ---- 4. headers alone ----
flags=(-std=gnu11 -D_GNU_SOURCE -DFUNNEL_VERSION='"0"' -I. -Wall -Wextra -Wstrict-prototypes -Werror -fsyntax-only)
# shellcheck disable=SC2046 # several words are meant
flags+=($(pkg-config --cflags libuv libcrypto libssl libsodium libcares jansson yaml-0.1 libnghttp2))
for place in /usr/share/include/llhttp /usr/include/llhttp; do
    [ -d $place ] && flags+=(-isystem $place)
done
# twice, so that a missing guard shows too
alone() {
    printf '#include "%s"\n#include "%s"\n' "$1" "$1" | gcc "${@:2}" -x c - -o /dev/null || echo "$1"
}
export -f alone
mapfile -t headers < <(find common ingress node -name '*.h' | sort)
while read -r header; do
    fault "$header does not compile alone"
done < <(printf '%s\n' "${headers[@]}" | xargs -P "$(nproc)" -I{} bash -c 'alone "$@"' _ {} "${flags[@]}")

# A look that finds nothing anywhere has gone blind: each finds what is known to be there.
[ $engines -gt 10 ] || fault "only $engines engines were looked into"
[ ${#headers[@]} -gt 100 ] || fault "only ${#headers[@]} headers were compiled alone"
[ -n "$(calls "$build/libnet.a" "$forbidden")" ] || fault "no call of the shell's is seen either"
[ -n "$(calls "$build/libtcp.a" tcp_conn_settle)" ] || fault "no call of an engine's is seen"

echo "purity: $engines engines, ${#headers[@]} headers, $faults faults"
[ $faults = 0 ]
