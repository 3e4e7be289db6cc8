/* paths.h - which way each node of a tailnet is reached: by UDP, through a relay (DERP), or both. No I/O, no clock.
 *
 * Stock nodes do not move by the source of WireGuard packets. What moves them, and us towards them, is disco: pings to
 * every address the other may have, pongs back, and "call me maybe" through the relay, so that both sides open their
 * NATs at the same time. Until a pong has come everything goes through the relay; so a node is reached at once, and
 * directly as soon as that works.
 *
 *     netmap  -> paths_peer_set, paths_peer_remove          who there is
 *     worker  -> paths_sending                              something goes, or wants to go, to that node
 *     network -> paths_input, paths_heard                   a disco datagram; a WireGuard one through a relay
 *     paths_output                                          pull disco datagrams until 0
 *     paths_event                                           take until false: a node's way has changed
 *     paths_freshen                                         our own endpoints are to be found out anew
 *     paths_deadline / paths_expire
 *
 * A peer that nobody talks to costs its row only. State of a conversation (struct paths_talk, in paths_priv.h) is made
 * with the first packet and given up after PATHS_IDLE_NS. Every list has a bound; when one is full, the rest waits for
 * the next round of pings. The constants are magicsock's, so that both ends of a conversation expect the same. */
#ifndef TAILNET_PATHS_H
#define TAILNET_PATHS_H

#include "common/base/endpoint.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/base/ts.h"
#include "common/tailnet/disco.h"

#define PATHS_KEY_BYTES      32
#define PATHS_CANDIDATES_MAX 32 /* addresses tried for one node */
#define PATHS_WAYS_MAX       2
#define PATHS_DATAGRAM_MAX   DISCO_BYTES_MAX

#define PATHS_TRUST_NS         (6500 * TS_MS) /* after a pong an address is used alone for so long */
#define PATHS_HEARTBEAT_NS     (3 * TS_S)     /* the address in use is pinged this often while data is sent … */
#define PATHS_SESSION_NS       (45 * TS_S)    /* … that is: was sent within this */
#define PATHS_PING_SPACING_NS  (5 * TS_S)     /* between two pings to one address that is not in use */
#define PATHS_PING_TIMEOUT_NS  (5 * TS_S)
#define PATHS_UPGRADE_NS       (60 * TS_S)    /* then something better than the address in use is looked for … */
#define PATHS_GOOD_NS          (5 * TS_MS)    /* … unless it answers within this */
#define PATHS_FRESH_NS         (27 * TS_S)    /* own endpoints that are older are not called to */
#define PATHS_DERP_HEARD_NS    (30 * TS_S)    /* a node answers in the region it spoke in for so long; it closes at 60 s */
#define PATHS_IDLE_NS          (300 * TS_S)

struct paths;

struct paths_config {
    struct rng *rng;                        /* borrowed */
    uint8_t disco_private[DISCO_KEY_BYTES]; /* copied into guarded memory */
    uint8_t node_key[PATHS_KEY_BYTES];      /* our public node key, which pings name */
};

/* A node as the netmap has it; borrowed for the call. */
struct paths_peer_config {
    uint8_t key[PATHS_KEY_BYTES];
    uint8_t disco[DISCO_KEY_BYTES]; /* all zero: it has none, and only the relay is left */
    const struct addrport *endpoints;
    size_t endpoints_count; /* what is above PATHS_CANDIDATES_MAX is left out */
    uint16_t home;          /* region of its relay; 0: none */
};

/* What a node's datagrams are sent to: each to all of them. */
struct paths_way {
    unsigned count; /* 0: nowhere */
    struct endpoint to[PATHS_WAYS_MAX];
};

bool paths_way_equal(const struct paths_way *a, const struct paths_way *b);

struct paths_event {
    uint8_t key[PATHS_KEY_BYTES];
    struct paths_way way;
};

struct paths_stats {
    uint64_t pings_out, pings_in, pongs_out, pongs_in, calls_out, calls_in;
    uint64_t unknown;  /* from a disco key that is no peer's, or a relay's source that is not that peer */
    uint64_t forged;   /* not authentic */
    uint64_t unwanted; /* pongs to no ping of ours, calls by UDP, repeated or superfluous ones */
    uint64_t full;     /* answers and pings that found no room to wait */
    size_t peers, talks, direct; /* now: peers, conversations, those with an address by UDP that is trusted */
};

struct paths *paths_new(const struct paths_config *config); /* NULL: out of memory */
void paths_free(struct paths *paths);                       /* NULL allowed */
const uint8_t *paths_disco_key(const struct paths *paths);  /* our public one, for the coordination server */

/* paths_peer_set - a new peer, or what is new about one. 0 or ERR_NOMEM: then it is as before. */
int paths_peer_set(struct paths *paths, const struct paths_peer_config *config, ts_t now);
void paths_peer_remove(struct paths *paths, const uint8_t key[PATHS_KEY_BYTES]);
bool paths_peer_known(const struct paths *paths, const uint8_t key[PATHS_KEY_BYTES]);

/* paths_sweep_begin, paths_sweep_end - around a complete list of peers: who is not set in between is gone. */
void paths_sweep_begin(struct paths *paths);
void paths_sweep_end(struct paths *paths);

/* paths_region - whether we have a connection in that region. A change may move peers to another way. */
void paths_region(struct paths *paths, uint16_t region, bool up, ts_t now);
/* paths_gone - a relay says that the node is not in its region (any more). */
void paths_gone(struct paths *paths, const uint8_t key[PATHS_KEY_BYTES], uint16_t region, ts_t now);

/* paths_sending - data went to that peer, or wants to. The first call is answered by an event, and so is one by a sender
 * that is `lost`: it holds no way, whatever was told before. */
void paths_sending(struct paths *paths, const uint8_t key[PATHS_KEY_BYTES], bool lost, ts_t now);

/* paths_heard - a datagram of the peer came through the relay. False: no peer of ours, drop it. */
bool paths_heard(struct paths *paths, const struct endpoint *from, ts_t now);

/* paths_input - a datagram that looks like disco came from there. */
void paths_input(struct paths *paths, const uint8_t *datagram, size_t len, const struct endpoint *from, ts_t now);

/* paths_own - where others may find us; the list is called out to peers. Also when finding out failed: then it is what is
 * known. At most DISCO_ENDPOINTS_MAX are kept. */
void paths_own(struct paths *paths, const struct addrport *endpoints, size_t count, ts_t now);
/* paths_freshen - true once each time paths_own is waited for. */
bool paths_freshen(struct paths *paths);
/* paths_busy - somebody was sent to within PATHS_SESSION_NS: own endpoints are worth keeping fresh. */
bool paths_busy(const struct paths *paths, ts_t now);

/* paths_output - next datagram into buf (PATHS_DATAGRAM_MAX bytes) and where it goes; 0: none. */
size_t paths_output(struct paths *paths, uint8_t *buf, struct endpoint *to, ts_t now);

bool paths_event(struct paths *paths, struct paths_event *out, ts_t now);

ts_t paths_deadline(const struct paths *paths);
void paths_expire(struct paths *paths, ts_t now);

void paths_stats(const struct paths *paths, struct paths_stats *out, ts_t now);
/* paths_way - what a peer's way is now, for people: count 0 when nobody talks to it. latency_ns of to[0] by UDP, or 0. */
struct paths_way paths_way(const struct paths *paths, const uint8_t key[PATHS_KEY_BYTES], uint64_t *latency_ns, ts_t now);
/* paths_each - every peer that is talked to, in no order; fn may not change anything. */
void paths_each(const struct paths *paths, void (*fn)(const uint8_t key[PATHS_KEY_BYTES], void *ctx), void *ctx);

#endif
