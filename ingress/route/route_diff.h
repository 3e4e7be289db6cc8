/* route_diff.h - what became of each node from one table to the next.
 *
 * With the same table twice and two times it tells which nodes expired in between. */
#ifndef ROUTE_ROUTE_DIFF_H
#define ROUTE_ROUTE_DIFF_H

#include "ingress/route/route.h"

/* What is different about a node that both tables have. */
enum route_changed {
    ROUTE_CHANGED_PEER = 1 << 0,      /* key, preshared key or tailnet: it needs a new WireGuard peer */
    ROUTE_CHANGED_ADDRESSES = 1 << 1, /* its addresses inside the tunnel */
    ROUTE_CHANGED_ENDPOINTS = 1 << 2, /* where to look for it from outside */
    ROUTE_CHANGED_RULES = 1 << 3,     /* anything else: names, ports, consent, expiry, limits, transport, … */
};

/* Any of them may be NULL. Nodes live as long as the tables given. A node that changed and was revoked gets both
 * calls, in this order. */
struct route_diff_events {
    void (*added)(const struct route_node *now, void *ctx);
    void (*removed)(const struct route_node *was, void *ctx);
    void (*changed)(const struct route_node *was, const struct route_node *now, unsigned changed, void *ctx);
    void (*revoked)(const struct route_node *was, const struct route_node *now, void *ctx); /* was open, is no more */
};

/* route_diff - tell `events` how the old table at unix_then and the new one at unix_now differ: first what was removed,
 * changed and revoked in the old table's order, then what was added in the new one's. */
void route_diff(const struct route_table *was, uint64_t unix_then, const struct route_table *now, uint64_t unix_now,
                const struct route_diff_events *events, void *ctx);

/* route_node_changed - the ROUTE_CHANGED_* bits between two rows of one id; 0: equal. */
unsigned route_node_changed(const struct route_node *was, const struct route_node *now);

/* route_expires_next - the earliest expiry after unix_now, when route_diff should be asked again; 0: none. */
uint64_t route_expires_next(const struct route_table *table, uint64_t unix_now);

#endif
