/* underlay.h - what runs below WireGuard for the nodes of a tailnet: disco, STUN and the relays. The main thread's. SHELL.
 *
 *      workers' UDP sockets --disco, STUN--> MAIL_UNDERLAY --> paths, netcheck --MAIL_WAY--> worker: where to send
 *      worker --WireGuard for a relay--> MAIL_RELAY --> derps --TLS--> relay
 *      relay --WireGuard--> MAIL_DATAGRAM --> the worker that owns the node
 *      worker --a node is sent to--> MAIL_SENDING --> paths
 *
 * Pings and STUN requests leave by a worker's UDP socket, so that a NAT has one mapping for them and for WireGuard; all
 * workers share the port. One underlay a node key: two relay connections with one key mute each other. The engines
 * (common/tailnet: paths, netcheck, derps) decide; this moves bytes and mail. */
#ifndef INGRESS_UNDERLAY_H
#define INGRESS_UNDERLAY_H

#include "common/net/resolver.h"
#include "common/tailnet/control.h"
#include "common/tailnet/derps.h"
#include "common/tailnet/netmap.h"
#include "common/tailnet/paths.h"
#include "ingress/worker.h"

struct ssl_ctx_st;
struct underlay;

struct underlay_config {
    struct loop *loop; /* the main thread's */
    struct resolver *resolver;
    struct workers *workers;
    struct rng *rng;
    struct ssl_ctx_st *tls;      /* tls_client_new's, for relays */
    const uint8_t *node_private; /* our node key in guarded memory; borrowed for the underlay's life */
    const uint8_t *disco_private; /* our disco key; copied */
    /* addresses to publish besides what STUN finds; copied. Port 0: that of the socket */
    const struct control_endpoint *endpoints;
    size_t endpoints_count;
    /* we are found elsewhere, or otherwise: for control_whereabouts_set */
    void (*moved)(void *ctx, const struct control_whereabouts *whereabouts, ts_t now);
    void *ctx;
};

/* underlay_new - NULL: out of memory. Workers hand over disco from then on. */
struct underlay *underlay_new(const struct underlay_config *config, ts_t now);
void underlay_free(struct underlay *underlay); /* NULL allowed */

/* underlay_netmap - the map changed. */
void underlay_netmap(struct underlay *underlay, const struct netmap *map, const struct netmap_changes *changes, ts_t now);
/* underlay_online - whether others would learn of another home now. */
void underlay_online(struct underlay *underlay, bool online, ts_t now);
/* underlay_whereabouts - as last told by `moved`. */
const struct control_whereabouts *underlay_whereabouts(const struct underlay *underlay);

/* mail from workers; the mail is the underlay's to free */
void underlay_datagram(struct underlay *underlay, struct datagram_mail *mail, ts_t now);
void underlay_relay(struct underlay *underlay, struct datagram_mail *mail, ts_t now);
void underlay_sending(struct underlay *underlay, struct sending_mail *mail, ts_t now);

/* underlay_flush - once at the end of a loop turn: moves what the engines want moved. Returns the next deadline. */
ts_t underlay_flush(struct underlay *underlay, ts_t now);

struct underlay_stats {
    struct paths_stats paths;
    struct derps_stats derps;
    uint16_t home;
    uint64_t home_latency_ns; /* 0: not measured */
    size_t mapped;            /* addresses that STUN found */
    uint64_t relayed_in, relayed_out; /* WireGuard datagrams */
    uint64_t lost;            /* mail that found no room */
};
void underlay_stats(const struct underlay *underlay, struct underlay_stats *out, ts_t now);
/* underlay_way - how a node is reached now, for people: "direct 192.0.2.1:41641 3 ms", "relay 7", "" when nobody talks
 * to it. */
#define UNDERLAY_WAY 120
const char *underlay_way(const struct underlay *underlay, const uint8_t key[PATHS_KEY_BYTES], char out[UNDERLAY_WAY],
                         ts_t now);
/* underlay_each - the key of every node that is talked to, in no order. */
void underlay_each(const struct underlay *underlay, void (*fn)(const uint8_t key[PATHS_KEY_BYTES], void *ctx), void *ctx);

#endif
