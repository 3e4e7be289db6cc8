/* route.h - the map from a public name to the node, or nodes, that may be offered its visitors: what readers need.
 *
 * The table changes while it is read (route_table.h). Everything that a look-up hands out (nodes, texts, match targets)
 * is valid until the reader leaves, for workers the end of the loop turn; the writer needs no such bounds but its own
 * next reclaim.
 *
 * Names are kept in lower case without the trailing dot. A name is looked up exactly first, then by the longest
 * wildcard above it: "*.a.b" stands for every name under a.b at any depth, and never for a.b itself. (RFC 4592 section
 * 3.3 also lets an existing name hide a wildcard from names below it; here only an exact match or a longer wildcard
 * does.) The most specific name decides alone: when none of its nodes may be used, no wider wildcard is tried, so
 * taking a name's consent back never hands its visitors to somebody else. */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

#define ROUTE_KEY_BYTES      32
#define ROUTE_ID_MAX         128  /* characters of an id, and of a tailnet's name */
#define ROUTE_NODES_PER_NAME 32   /* so that a match is a fixed array */
#define ROUTE_NAMES_MAX      4096 /* of one node */
#define ROUTE_ADDRESSES_MAX  8
#define ROUTE_ENDPOINTS_MAX  16
#define ROUTE_PORTS_MAX      256
#define ROUTE_MTU_MIN        1280 /* RFC 8200 section 5: what every IPv6 link carries; what stock nodes have */
#define ROUTE_MTU_MAX        9000

/* The node's half of the double opt-in. */
enum route_consent {
    ROUTE_CONSENT_NO = 0,
    ROUTE_CONSENT_YES,
    ROUTE_CONSENT_ASK, /* the feed can't know; the node's answer to an offer decides */
};

enum route_transport {
    ROUTE_PEERAPI = 0, /* POST /v0/ingress to the node's peerapi */
    ROUTE_TCP,         /* a plain TCP connection to the target's port at the node's address */
};

enum route_proxy_protocol {
    ROUTE_PROXY_OFF = 0,
    ROUTE_PROXY_V1,
    ROUTE_PROXY_V2,
};

enum route_half_close {
    ROUTE_HALF_CLOSE_DEFAULT = 0, /* as the config and the node's own answer say */
    ROUTE_HALF_CLOSE_HOLD,
    ROUTE_HALF_CLOSE_PROPAGATE,
};

/* Without padding: there may be millions. */
struct __attribute__((packed, aligned(2))) route_name {
    const char *name;     /* "app.example.net" or "*.apps.example.net" */
    const char *target;   /* name to offer in its place; NULL: the visitor's own name and port */
    uint16_t target_port; /* 0: the visitor's own, with or without target */
};

/* One node as a feed tells it: the input of route_row_new, and the read-only row it makes. The fields stand by falling
 * alignment, so that none needs padding. */
struct route_node {
    const char *id;      /* unique in the table and stable: it selects the shard */
    const char *tailnet; /* selects the identity that serves it; "" the first one */
    const uint8_t *preshared_key; /* ROUTE_KEY_BYTES of secret, or NULL */
    const struct addr *addresses; /* inside the tunnel; in a table at least one: key_ula when the feed names none */
    const struct addrport *endpoints; /* where its WireGuard may be found; none: it calls us */
    const uint16_t *ports;            /* public ports it may be funnelled on */
    const struct route_name *names;
    uint64_t expires;         /* Unix seconds from which on it is refused; 0: never */
    uint8_t key[ROUTE_KEY_BYTES];
    uint32_t connections_max; /* visitors at once; 0: the config's limit */
    uint16_t ports_count, names_count;
    uint16_t peerapi4, peerapi6; /* TCP ports inside the tunnel, one a family; 0: none */
    uint16_t mtu;                /* bytes of an inner IP packet; ROUTE_MTU_MIN … ROUTE_MTU_MAX */
    uint8_t addresses_count, endpoints_count;
    uint8_t shard;               /* route_shard(id); route_row_new sets it */
    bool admin;                  /* the administrator's half of the double opt-in */
    bool revoked;                /* withdrawn: what is left is a tombstone, which keeps its names from others' wildcards */
    bool keepalive;              /* send persistent keepalives, at the config's interval */
    enum route_consent consent : 8; /* small: there may be a million nodes */
    enum route_transport transport : 8;
    enum route_proxy_protocol proxy_protocol : 8; /* with ROUTE_TCP */
    enum route_half_close half_close : 8;
};

struct route_table;

/* What a look-up says. The order is the order of the checks; where several nodes share a name and none may be used,
 * the answer is that of the one which came furthest. */
#define ROUTE_RESULT_MAP(X)                                                                                            \
    X(UNKNOWN_NAME, "unknown_name")             /* nobody's */                                                         \
    X(PORT_NOT_FUNNELLED, "port_not_funnelled") /* somebody's, but not on this port */                                 \
    X(NOT_OPTED_IN, "not_opted_in")             /* the administrator or the node says no, or it was withdrawn */         \
    X(EXPIRED, "expired")                                                                                              \
    X(STALE, "feed_stale") /* the whole table is older than the operator allows */                                     \
    X(OK, "ok")

enum route_result {
#define X(name, text) ROUTE_##name,
    ROUTE_RESULT_MAP(X)
#undef X
};
const char *route_result_name(enum route_result result);

struct route_candidate {
    const struct route_node *node;
    const char *target; /* name to offer; not zero-terminated: it may be the visitor's */
    uint16_t target_len;
    uint16_t target_port;
};

struct route_match {
    size_t count; /* >= 1 with ROUTE_OK, else 0 */
    struct route_candidate candidates[ROUTE_NODES_PER_NAME]; /* nodes that may be used, in the feed's order */
};

/* route_find - who may be offered a visitor that asked for `name` on public `port`.
 * name      lower case, no trailing dot, as struct hello gives it; candidates without a target rewrite point into it
 * unix_now  wall-clock seconds, for expiry
 * One look-up a label. */
enum route_result route_find(const struct route_table *table, const char *name, size_t len, uint16_t port,
                             uint64_t unix_now, struct route_match *out);

/* One node of a name's most specific rule, whether or not it may be used. */
struct route_owner {
    const struct route_node *node;
    const struct route_name *rule;
    enum route_result result; /* of this node alone */
};

/* route_explain - why route_find answers as it does: every node that has the name, in the feed's order. Returns how
 * many; 0: nobody has it. Parameters as there. */
size_t route_explain(const struct route_table *table, const char *name, size_t len, uint16_t port, uint64_t unix_now,
                     struct route_owner out[ROUTE_NODES_PER_NAME]);

/* route_node_open - whether both halves of the opt-in allow offers at unix_now: admin, the node not saying no, not
 * withdrawn, not expired. */
bool route_node_open(const struct route_node *node, uint64_t unix_now);

/* route_node_by_id, route_node_by_key - NULL when there is none. The key is looked up when an initiation comes from a
 * node that has no peer yet. */
const struct route_node *route_node_by_id(const struct route_table *table, const char *id, size_t len);
const struct route_node *route_node_by_key(const struct route_table *table, const uint8_t key[ROUTE_KEY_BYTES]);

/* route_node_count - how many nodes are in it, tombstones not counted. */
size_t route_node_count(const struct route_table *table);

/* route_shard - the shard of an id: FNV-1a (32 bit) folded to 8 bits by xor. It is part of every WireGuard receiver
 * index and must come out the same on every machine, version and run: never change it, never seed it. */
uint8_t route_shard(const char *id, size_t len);

#endif
