/* netmap.h - what a coordination server says about a tailnet: ourselves, the other nodes, the relays. No I/O.
 *
 *      map frames (JSON)  --netmap_apply-->  self, peers by id, DERP map   + which of them changed
 *
 * A frame says all or only what changed; the rules are Tailscale's own. Nothing here judges: who may be funnelled is
 * policy, and which way a peer is reached is the paths' business. Packet filters are not kept: what they could allow
 * towards us is refused as a whole, see docs/decisions/0061.
 *
 * Bounds: NETMAP_PEERS_MAX peers, NETMAP_USERS_MAX users, and of each peer no more than the limits below; what is above
 * them is left out and counted. Strings are owned by the node they hang on; pointers to nodes live until the next
 * netmap_apply. */
#ifndef TAILNET_NETMAP_H
#define TAILNET_NETMAP_H

#include "common/base/addr.h"
#include "common/base/map.h"
#include "common/tailnet/derp_map.h"
#include "common/tailnet/tailnet_key.h"

#define NETMAP_PEERS_MAX     200000
#define NETMAP_USERS_MAX     200000
#define NETMAP_ADDRS_MAX     4
#define NETMAP_ENDPOINTS_MAX 16
#define NETMAP_TAGS_MAX      16
#define NETMAP_TEXT_MAX      255 /* bytes of a name, a tag, a login */

struct netmap_node {
    struct map_node by_id, by_key;
    int64_t id;           /* never 0 */
    char *stable_id;      /* "" when the server has none */
    char *name;           /* MagicDNS name, lower case, without the trailing dot; may be "" */
    char **tags;          /* "tag:…" */
    uint8_t tags_count;
    int64_t user;
    uint8_t key[TAILNET_KEY_BYTES];
    uint8_t disco[TAILNET_KEY_BYTES]; /* all zero: it has said none yet */
    struct addr addresses[NETMAP_ADDRS_MAX];
    uint8_t addresses_count;
    struct addrport *endpoints; /* as it published them, without doubles and nonsense */
    uint8_t endpoints_count;
    uint16_t home_derp;          /* region; 0: unknown */
    uint16_t peerapi4, peerapi6; /* ports it announced; 0: none */
    bool ingress_enabled;        /* it wants to be funnelled to: Hostinfo.IngressEnabled */
    bool online;                 /* true where the server does not say */
    bool expired;                /* the server says so; key_expiry may have passed without it */
    bool authorized;             /* of ourselves: an administrator has let us in */
    bool jailed;                 /* it must not begin anything towards us */
    bool wireguard_only;         /* plain WireGuard: no disco, no DERP, fixed endpoints */
    uint64_t key_expiry;         /* Unix seconds by the server's clock; 0: never */
    struct addr masquerade4, masquerade6; /* as whom it knows us, when not by our own address; none otherwise */
};

struct netmap;

/* What frames changed, summed up until somebody has looked (netmap_changes_clear). */
struct netmap_changes {
    bool self, derp;
    bool ways;       /* anything but who is online: what reaching nodes depends on may be other than before */
    bool complete;   /* a stream's first frame, or a complete list of peers: ids names every peer there is or was */
    bool reconnect;  /* … it was a stream's first frame: who is absent may only not be back yet */
    unsigned left_out; /* as in netmap_asides; whoever applies frames adds to it */
    int64_t *ids;    /* peers that are new, changed or gone; a gone one isn't found any more. May name one twice */
    size_t count, room;
};
void netmap_changes_clear(struct netmap_changes *changes); /* keeps its memory */
void netmap_changes_deinit(struct netmap_changes *changes);

enum netmap_frame {
    NETMAP_KEEPALIVE = 0, /* a sign of life and no more */
    NETMAP_APPLIED,
    NETMAP_NOT_FIRST, /* first was asked for, and it has no Node: the stream is to be abandoned */
    NETMAP_BAD,       /* not what a map frame looks like; nothing was changed */
    NETMAP_NOMEM,     /* the map is incomplete: start again from a first frame */
};

/* Things in a frame that are no state. PingRequest is not among them: routers that stand in for one another are asked
 * so, and nobody misses our answer. */
struct netmap_asides {
    uint64_t control_time; /* Unix seconds; 0: not said */
    unsigned left_out;     /* users, peers and parts of peers that were not understood or above a bound */
};

struct netmap *netmap_new(const struct map_seed *seed); /* NULL: out of memory */
void netmap_free(struct netmap *map);                   /* NULL allowed */
void netmap_empty(struct netmap *map);                  /* as it was when it was new */

/* netmap_apply - one frame of a map stream.
 * text     len bytes of JSON, borrowed for this call
 * first    no frame but keepalives has come on this stream yet: it replaces everything, if it is one that may
 * changes  added to */
enum netmap_frame netmap_apply(struct netmap *map, const char *text, size_t len, bool first,
                               struct netmap_changes *changes, struct netmap_asides *asides);

/* netmap_self - ourselves as the server sees us; NULL before the first frame. */
const struct netmap_node *netmap_self(const struct netmap *map);
const struct netmap_node *netmap_peer(const struct netmap *map, int64_t id);
const struct netmap_node *netmap_peer_by_key(const struct netmap *map, const uint8_t key[TAILNET_KEY_BYTES]);
size_t netmap_peers_count(const struct netmap *map);
void netmap_each_peer(const struct netmap *map, void (*fn)(const struct netmap_node *peer, void *ctx), void *ctx);
const struct derp_map *netmap_derp(const struct netmap *map);
/* netmap_login - the login name of a user, "" when unknown. */
const char *netmap_login(const struct netmap *map, int64_t user);

/* netmap_node_gone - the server or its own expiry says that the node is not to be talked to. */
bool netmap_node_gone(const struct netmap_node *node, uint64_t control_time);

#endif
