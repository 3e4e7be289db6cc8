# Both programs in a small image that runs as nobody, on a read-only root, without any capability.
#   docker build -t funnel-ingress .
#   docker run --read-only --cap-drop ALL -v /srv/funnel:/etc/funnel-ingress:ro -p 443:8443 -p 41641:41641/udp funnel-ingress
# The node, from the same image:  docker run … --entrypoint funnel-node funnel-ingress -c /etc/funnel-node/config.yaml
FROM debian:trixie-slim AS build
WORKDIR /src
COPY deploy/install-deps.sh deploy/
RUN deploy/install-deps.sh build && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY common common
COPY ingress ingress
COPY node node
COPY conf conf
COPY docs/man docs/man
COPY deploy/systemd deploy/systemd
RUN cmake --preset release -G Ninja && cmake --build build/release && \
    DESTDIR=/out cmake --install build/release --prefix /usr --strip

FROM debian:trixie-slim
# the libraries the two programs are linked with, by Debian 13's names
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libcares2 libjansson4 libllhttp9.2 libnghttp2-14 libsodium23 libssl3t64 libuv1t64 libyaml-0-2 && \
    rm -rf /var/lib/apt/lists/*
RUN install -d -o 65532 -g 65532 -m 700 /var/lib/funnel-ingress
COPY --from=build /out/usr/bin/ /usr/bin/
USER 65532:65532
# ports below 1024 need a capability; map them instead, and say so with `public_port`
EXPOSE 8443/tcp 41641/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["funnel-ingress"]
CMD ["-c", "/etc/funnel-ingress/config.yaml"]
