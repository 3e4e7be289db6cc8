#!/bin/bash
# Builds the image and fetches a page through it as it is meant to run: nobody's user, read-only root, no capability.
# By hand, not part of the default suites; needs a Docker daemon that the caller may use.
#   tests/docker.sh
# Where debian:trixie-slim can't be pulled, a base of that name is made with debootstrap and imported first.
set -euo pipefail
cd "$(dirname "$0")/.."

base=debian:trixie-slim
image=funnel-ingress:test
work=$(mktemp -d "${TMPDIR:-/tmp}/funnel-docker.XXXXXX")
containers=()
pids=()

finish() {
    local status=$?
    trap - EXIT
    set +e
    for container in "${containers[@]}"; do
        [ $status = 0 ] || docker logs --tail 30 "$container" >&2
        docker rm -f "$container" >/dev/null
    done
    for pid in "${pids[@]}"; do
        kill "$pid" && wait "$pid"
    done 2>/dev/null
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

docker info >/dev/null
deploy/install-deps.sh demo
if ! docker image inspect $base >/dev/null 2>&1 && ! docker pull -q $base; then
    echo "docker.sh: making $base with debootstrap" >&2
    deploy/install-deps.sh fresh
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" { print $2; exit }')
    debootstrap --variant=minbase trixie "$work/root" "$mirror" >"$work/debootstrap.log"
    tar -C "$work/root" --one-file-system -c . | docker import - $base >/dev/null
    rm -rf "$work/root"
fi
docker build --network host -t $image .

# The node runs in a container too, both in the network of this machine.
name=docker.example.net
{ read -r https_port; read -r udp_port; } < <(/usr/bin/python3 deploy/demo/free_ports.py 2)
run=(docker run --network host --read-only --cap-drop ALL --security-opt no-new-privileges)
mkdir "$work/ingress" "$work/node"
/usr/bin/python3 deploy/demo/site.py "$work/site.port" &
pids+=($!)
for _ in $(seq 100); do
    if [ -s "$work/site.port" ]; then break; fi
    sleep 0.1
done

"${run[@]}" --rm $image genkey >"$work/ingress/ingress.key"
"${run[@]}" --rm --entrypoint funnel-node $image genkey >"$work/node/node.key"
public_key=$("${run[@]}" --rm -i $image pubkey <"$work/ingress/ingress.key")
chmod 777 "$work/node"
"${run[@]}" --rm -v "$work/node:/etc/funnel-node" --entrypoint funnel-node $image selfsigned $name \
    --cert /etc/funnel-node/cert.pem --key /etc/funnel-node/key.pem
cat >"$work/node/config.yaml" <<YAML
key_file: node.key
listen: ["127.0.0.1:0"]
ingresses:
  - name: docker
    public_key: "$public_key"
    endpoint: "127.0.0.1:$udp_port"
services:
  - name: $name
    ports: [443]
    funnel: on
    forward: "127.0.0.1:$(cat "$work/site.port")"
    tls: terminate
    certificate: cert.pem
    certificate_key: key.pem
YAML
cat >"$work/ingress/config.yaml" <<YAML
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
chown -R 65532:65532 "$work/ingress" "$work/node"
node=("${run[@]}" -v "$work/node:/etc/funnel-node:ro" --entrypoint funnel-node)
row=$("${node[@]}" --rm $image show -c /etc/funnel-node/config.yaml | sed -n '/{/,$p')
printf '{"version": 1, "nodes": [%s]}\n' "$row" >"$work/ingress/nodes.json"

containers+=("$("${run[@]}" -d -v "$work/ingress:/etc/funnel-ingress:ro" $image)")
containers+=("$("${node[@]}" -d $image -c /etc/funnel-node/config.yaml)")
for _ in $(seq 100); do
    if docker logs "${containers[1]}" 2>&1 | grep -q ' session .*event=up'; then break; fi
    sleep 0.2
done
curl -q -sS --fail --max-time 20 --noproxy '*' --resolve "$name:$https_port:127.0.0.1" \
    --cacert "$work/node/cert.pem" "https://$name:$https_port/" | grep 'It works'

# what it runs as, and that SIGTERM (STOPSIGNAL) drains to a clean end
docker inspect -f '{{.Config.User}}' $image | grep -qx 65532:65532
docker stop -t 30 "${containers[0]}" >/dev/null
test "$(docker inspect -f '{{.State.ExitCode}}' "${containers[0]}")" = 0
docker image inspect -f 'docker.sh: passed, image of {{.Size}} bytes' $image
