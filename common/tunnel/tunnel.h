/* tunnel.h - "connect to this node's port": joins wg, ip, tcp and path. No I/O, no clock.
 *
 *      tcp connections  <->  IP packets  <->  wg  <->  datagrams with an endpoint
 *
 * One tunnel a worker. What comes out of a peer's session is looked at only if it is a TCP segment from one of the
 * peer's own addresses to one of ours for this peer, or a TSMP refusal of a connect; everything else is counted by
 * reason and dropped. A peer without a session is not pulled (its TCP waits), and a connect asks for a handshake.
 *
 *     tunnel_input        a datagram came
 *     tunnel_output       pull datagrams until 0
 *     tunnel_deadline / tunnel_expire
 *     tunnel_event        take until false
 *
 * TCP calls (tcp_write, tcp_read_iov, ...) are made on the connection directly; see tcp.h. */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "common/tcp/tcp.h"
#include "common/wg/wg.h"

#define TUNNEL_WAYS_MAX        2    /* endpoints that each datagram goes to: by UDP and through a relay at once */
#define TUNNEL_ENDPOINTS_MAX   8    /* endpoints tried for a peer that was not heard from */
#define TUNNEL_ADDRS_MAX       8    /* inner addresses a side */
#define TUNNEL_MTU_DEFAULT     1280
#define TUNNEL_DATAGRAM_MAX    1600 /* room tunnel_output wants for one datagram with the default and stock MTUs */
#define TUNNEL_MTU_MAX         (TUNNEL_DATAGRAM_MAX - WG_OVERHEAD_MAX)

#define TUNNEL_REPORT_NS       TS_S

struct tunnel;
struct tunnel_peer;

struct tunnel_config {
    struct wg_config wg;
    struct tcp_config tcp;
};

struct tunnel_peer_config {
    uint8_t key[WG_KEY_BYTES];
    uint8_t preshared_key[WG_KEY_BYTES]; /* all zero: none */
    uint8_t identity[WG_KEY_BYTES];      /* public key of ours that initiates */
    struct addr addrs[TUNNEL_ADDRS_MAX]; /* the peer's inner addresses */
    size_t addrs_count;
    struct addr own_addrs[TUNNEL_ADDRS_MAX]; /* ours towards this peer; the first of a family is used to connect */
    size_t own_addrs_count;
    struct endpoint endpoints[TUNNEL_ENDPOINTS_MAX]; /* where it may be found; may be empty */
    size_t endpoints_count;
    uint16_t mtu;          /* inner; 0: TUNNEL_MTU_DEFAULT */
    uint64_t keepalive_ns; /* persistent keepalive, and: nothing heard for two intervals, initiate; 0: off */
    uint8_t shard;
    bool reports; /* TUNNEL_EVENT_SENDING is wanted for it */
    void *owner;
};

/* Why input was dropped inside the tunnel; WireGuard's and TCP's own verdicts are counted beside these. */
#define TUNNEL_DROP_MAP(X)                                                                                             \
    X(NOT_IP, "not_ip")                                                                                                \
    X(SOURCE, "foreign_source")           /* not one of the peer's addresses */                                        \
    X(DESTINATION, "foreign_destination") /* not one of ours for this peer */                                          \
    X(PROTOCOL, "protocol")               /* neither TCP nor a TSMP refusal */
enum tunnel_drop {
#define X(name, text) TUNNEL_DROP_##name,
    TUNNEL_DROP_MAP(X)
#undef X
        TUNNEL_DROP_COUNT
};
const char *tunnel_drop_name(enum tunnel_drop drop);

struct tunnel_stats {
    uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
    uint64_t wg[WG_IN_COUNT];
    uint64_t tcp[TCP_IN_COUNT];
    uint64_t dropped[TUNNEL_DROP_COUNT];
};

struct tunnel *tunnel_new(const struct tunnel_config *config);
void tunnel_free(struct tunnel *tunnel); /* frees its peers; NULL allowed */
struct wg_device *tunnel_wg(struct tunnel *tunnel);   /* for identities and stamps */
struct tcp_stack *tunnel_tcp(struct tunnel *tunnel);  /* for listeners and statistics */
const struct tunnel_stats *tunnel_stats(const struct tunnel *tunnel);

/* tunnel_peer_new - NULL and *err as wg_peer_new. */
struct tunnel_peer *tunnel_peer_new(struct tunnel *tunnel, const struct tunnel_peer_config *config, int *err, ts_t now);
/* tunnel_peer_free - its connections end with TCP_EVENT_CLOSED (ERR_CLOSED) to those who hold them. NULL allowed. */
void tunnel_peer_free(struct tunnel_peer *peer, ts_t now);
struct tunnel_peer *tunnel_peer_find(struct tunnel *tunnel, const uint8_t key[WG_KEY_BYTES]);
void *tunnel_peer_owner(const struct tunnel_peer *peer);
struct wg_peer *tunnel_peer_wg(struct tunnel_peer *peer);
size_t tunnel_peer_conns(const struct tunnel_peer *peer);
/* tunnel_peer_endpoint - where it was last heard from (authenticated); kind NONE when never. */
struct endpoint tunnel_peer_endpoint(const struct tunnel_peer *peer);
/* tunnel_peer_endpoints_set - candidates; the one it is heard from stays in use. When they are new, the next handshake
 * goes to them as well. */
void tunnel_peer_endpoints_set(struct tunnel_peer *peer, const struct endpoint *endpoints, size_t count);
/* tunnel_peer_guide - from now on everything goes to these (at most TUNNEL_WAYS_MAX), each datagram to all of them, and the
 * peer's own source moves nothing: see path.h. What waited for a way goes on. */
void tunnel_peer_guide(struct tunnel_peer *peer, const struct endpoint *to, size_t count);
/* tunnel_peer_identity_set - initiate as another identity of ours; connections and sessions go on. As
 * wg_peer_identity_set's. */
int tunnel_peer_identity_set(struct tunnel_peer *peer, const uint8_t identity[WG_KEY_BYTES], ts_t now)
    __attribute__((warn_unused_result));
/* tunnel_peer_initiation_lost - as wg_peer_initiation_lost. */
void tunnel_peer_initiation_lost(struct tunnel_peer *peer, ts_t now);
/* tunnel_peer_keepalive_set - change keepalive_ns of its configuration. */
void tunnel_peer_keepalive_set(struct tunnel_peer *peer, uint64_t keepalive_ns, ts_t now);
/* tunnel_peer_doubt - it does not answer what should be answered at once. When nothing was heard of it for a second, its
 * end of the session may be gone: asks for a fresh one, with which SYNs that wait are sent again. */
void tunnel_peer_doubt(struct tunnel_peer *peer, ts_t now);
/* tunnel_peer_initiate - ask for a session now, if there is an endpoint to ask. */
void tunnel_peer_initiate(struct tunnel_peer *peer, ts_t now);

/* tunnel_input - a datagram, changed in place. Returns WireGuard's verdict; on WG_IN_HALF *half is filled. */
enum wg_in tunnel_input(struct tunnel *tunnel, uint8_t *datagram, size_t len, const struct endpoint *from,
                        struct wg_half *half, ts_t now);
/* tunnel_peer_input_half - go on with a half-opened initiation. */
enum wg_in tunnel_peer_input_half(struct tunnel_peer *peer, const struct wg_half *half, ts_t now);

/* tunnel_output - next datagram into buf (cap >= TUNNEL_DATAGRAM_MAX) and where it goes; 0: none now. */
size_t tunnel_output(struct tunnel *tunnel, uint8_t *buf, size_t cap, struct endpoint *to, ts_t now, uint64_t wall_ns);

ts_t tunnel_deadline(const struct tunnel *tunnel);
void tunnel_expire(struct tunnel *tunnel, ts_t now);

/* tunnel_connect - open a connection to `port` at the peer's address of the family (v4 true/false). Without a session
 * it waits for one: a peer without a known endpoint may be about to call. How long is the caller's to bound.
 * NULL and *err: ERR_NOT_FOUND (no address of that family on both sides), or as tcp_connect. */
struct tcp_conn *tunnel_connect(struct tunnel_peer *peer, bool v4, uint16_t port, void *ctx, int *err, ts_t now);

enum tunnel_event_kind {
    TUNNEL_EVENT_TCP = 1, /* tcp is set */
    TUNNEL_EVENT_UP,      /* peer has a session */
    TUNNEL_EVENT_DOWN,    /* peer lost its session */
    TUNNEL_EVENT_GAVE_UP, /* peer did not answer handshakes */
    TUNNEL_EVENT_SENDING, /* something went to the peer, or wants to: told at most each TUNNEL_REPORT_NS, if asked for */
};
struct tunnel_event {
    enum tunnel_event_kind kind;
    struct tunnel_peer *peer; /* NULL for the end of a connection whose peer was freed */
    struct tcp_event tcp;
};
bool tunnel_event(struct tunnel *tunnel, struct tunnel_event *out, ts_t now);

#endif
