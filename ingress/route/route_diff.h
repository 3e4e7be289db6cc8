/* route_diff.h - what is different between two rows of a node. */
#ifndef ROUTE_ROUTE_DIFF_H
#define ROUTE_ROUTE_DIFF_H

#include "ingress/route/route.h"

/* What is different. */
enum route_changed {
    ROUTE_CHANGED_PEER = 1 << 0,      /* key, preshared key or tailnet: it needs a new WireGuard peer */
    ROUTE_CHANGED_ADDRESSES = 1 << 1, /* its addresses inside the tunnel */
    ROUTE_CHANGED_ENDPOINTS = 1 << 2, /* where to look for it from outside */
    ROUTE_CHANGED_RULES = 1 << 3,     /* anything else: names, ports, consent, expiry, limits, transport, … */
};

/* route_node_changed - the ROUTE_CHANGED_* bits between two rows of one id; 0: equal. */
unsigned route_node_changed(const struct route_node *was, const struct route_node *now);

#endif
