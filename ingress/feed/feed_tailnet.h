/* feed_tailnet.h - the policy between a tailnet and the map of nodes: which of its nodes may be funnelled to, under which
 * names. No I/O.
 *
 *      netmap + what changed in it  --policy-->  BEGIN, PUT …, END; then PUT, REMOVE, REVOKE where rows differ
 *
 * Both halves of the opt-in are looked at. The operator's: a node is admitted by its tags, by its user (a tagged node is
 * nobody's any more, as in Tailscale), or because the table of names says so. The node's own: with peerapi its
 * Hostinfo.IngressEnabled; with tcp nothing is asked, so there it is the listening service. A node that is admitted and says no, or
 * whose key expired, has a closed row; one that is not admitted any more is withdrawn.
 *
 * Names: <first label of its MagicDNS name>.<public suffix>, and what the table gives it. The label only of nodes in our
 * own domain, for a node that somebody shares in may be called anything; and not where the table has given the name away.
 *
 * Only differences come out. A node that is absent from the first frame of a new stream may just not be back yet: it
 * stays for FEED_TAILNET_GRACE_NS, unless its key, address or name turn up elsewhere. */
#ifndef FEED_FEED_TAILNET_H
#define FEED_FEED_TAILNET_H

#include <stdbool.h>

#include "common/base/ts.h"
#include "common/tailnet/netmap.h"
#include "ingress/feed/feed_op.h"

#define FEED_TAILNET_GRACE_NS (30 * TS_S)

struct feed_tailnet_name {
    const char *name;   /* "www.example.org", "*.apps.example.org": lower case */
    const char *node;   /* first label, or the whole MagicDNS name */
    const char *target; /* what the node is told instead, with or without a port; "": see feed_tailnet.c */
};

/* Borrowed until the next feed_tailnet_policy. */
struct feed_tailnet_policy {
    const char *public_suffix; /* "": no names from labels */
    const struct feed_tailnet_name *names;
    size_t names_count;
    const char *const *tags;
    size_t tags_count;
    const char *const *users;
    size_t users_count;
    const uint16_t *ports;
    size_t ports_count;
    bool tcp;            /* a plain connection; else the node's peerapi */
    bool proxy_protocol; /* with tcp: PROXY v2 */
};

struct feed_tailnet;

struct feed_tailnet *feed_tailnet_new(const struct feed_tailnet_policy *policy, const struct map_seed *seed);
void feed_tailnet_free(struct feed_tailnet *feed); /* NULL allowed */

/* feed_tailnet_policy - another policy: every node is looked at again. netmap may be one without a first frame.
 * Returns 0 or ERR_NOMEM. */
int feed_tailnet_policy(struct feed_tailnet *feed, const struct feed_tailnet_policy *policy, const struct netmap *netmap)
    __attribute__((warn_unused_result));

/* feed_tailnet_changed - the map changed. Returns 0 or ERR_NOMEM: then call feed_tailnet_policy once there is some. */
int feed_tailnet_changed(struct feed_tailnet *feed, const struct netmap *netmap, const struct netmap_changes *changes,
                         ts_t now) __attribute__((warn_unused_result));

/* feed_tailnet_again - tell everything once more, in a snapshot (unless one is under way); nodes that were absent for now are not
 * in it. Returns 0 or ERR_NOMEM, as above. */
int feed_tailnet_again(struct feed_tailnet *feed, const struct netmap *netmap) __attribute__((warn_unused_result));

/* feed_tailnet_next - the next step, and again the same until feed_tailnet_taken. False: none now. The op's texts live
 * until then, too. control_time as control_time(). */
bool feed_tailnet_next(struct feed_tailnet *feed, const struct netmap *netmap, uint64_t control_time, struct feed_op *op);
void feed_tailnet_taken(struct feed_tailnet *feed);

/* feed_tailnet_deadline, _expire - absent nodes whose time is up. */
ts_t feed_tailnet_deadline(const struct feed_tailnet *feed);
void feed_tailnet_expire(struct feed_tailnet *feed, ts_t now);

/* feed_tailnet_has - whether it has put the node, and not taken it back. */
bool feed_tailnet_has(const struct feed_tailnet *feed, int64_t node);
/* feed_tailnet_rows - how many nodes it has put and not taken back. */
size_t feed_tailnet_rows(const struct feed_tailnet *feed);
/* feed_tailnet_listed - ids of nodes to be looked at: some were already, some stand there twice. In proportion to the nodes there
 * are, whatever the server says while no step is taken. */
size_t feed_tailnet_listed(const struct feed_tailnet *feed);

#endif
