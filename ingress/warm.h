/* warm.h - inner connections to nodes in demand, opened ahead of their visitors. No I/O: connections come from the caller.
 *
 *     an offer was accepted --> warm_accepted: so many are to be opened now --> warm_add
 *     TCP_EVENT_CONNECTED   --> it is ready
 *     the next offer        --> warm_take: a ready one, or NULL: dial
 *     whatever else happens to one, or WARM_NS pass: closed
 *
 * Only offers open any, so a node nobody visits has none after WARM_NS, and nothing ticks for it. One pool a worker,
 * which bounds them all; docs/decisions/0087. */
#ifndef INGRESS_WARM_H
#define INGRESS_WARM_H

#include "common/base/list.h"
#include "common/tcp/tcp.h"

/* Two accepted offers within it are demand; none is kept longer. Half of what funnel-node waits for a request
 * (node/offers.c); stock nodes wait for ever (tailscale.com 1.102, ipn/ipnlocal/peerapi.go: no timeouts). */
#define WARM_NS       (60 * TS_S)
#define WARM_NODE_MAX 16   /* most that a node may be given */
#define WARM_POOL_MAX 1024 /* of a worker: 1 MiB, if all are open */
#define WARM_STEP     2    /* opened for an offer: one for the one it took, and one more until there are enough. A node that
                            * ends them at once makes us open no more than these */

struct warm_pool {
    struct list conns; /* all of them, in the order of their opening */
    size_t count, ready;
    uint64_t hits, misses; /* offers that found one ready, and that found none */
    uint64_t stale;        /* hits that had to be offered again, the connection was dead */
};

/* What a node has of it. */
struct warm_node {
    struct list conns; /* in the order of their opening */
    size_t count;
    ts_t accepted_at; /* the last accepted offer; 0: none yet */
};

void warm_pool_init(struct warm_pool *pool);

/* warm_node_new - free() it when it has no connections left. NULL: no memory. */
struct warm_node *warm_node_new(void);

/* warm_accepted - the node took an offer. Returns how many connections are to be opened to it now.
 * per_node  how many it may have */
size_t warm_accepted(const struct warm_pool *pool, struct warm_node *node, size_t per_node, ts_t now);

/* warm_add - a connection that is being opened, now the pool's; its ctx is of no use here. False: out of memory, and
 * it was aborted. */
bool warm_add(struct warm_pool *pool, struct warm_node *node, struct tcp_conn *conn, ts_t now);

/* warm_event - something happened to a connection of the node's. */
void warm_event(struct warm_pool *pool, struct warm_node *node, const struct tcp_event *event, ts_t now);

/* warm_take - the oldest that is ready, from now on the caller's; NULL: none. Counted. */
struct tcp_conn *warm_take(struct warm_pool *pool, struct warm_node *node);

/* warm_expire - close those opened WARM_NS ago. */
void warm_expire(struct warm_pool *pool, ts_t now);

/* warm_close, warm_close_all - all of the node's; all. */
void warm_close(struct warm_pool *pool, struct warm_node *node, ts_t now);
void warm_close_all(struct warm_pool *pool, ts_t now);

#endif
