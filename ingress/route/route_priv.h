/* route_priv.h - a table from the inside, for route.c and route_builder.c.
 *
 * A row is one block of memory: the row itself, then its claims, names, addresses, endpoints, ports, preshared key and
 * texts. A claim is one node's entry for one name; claims of several nodes for the same name hang in the feed's order
 * behind the first, and only that first one is in the map. */
#ifndef ROUTE_ROUTE_PRIV_H
#define ROUTE_ROUTE_PRIV_H

#include <stdatomic.h>

#include "common/base/map.h"
#include "ingress/route/route.h"

struct route_claim {
    struct map_node by_name;
    const struct route_row *row;
    const struct route_name *name;
    struct route_claim *next; /* of the same name, by a later node */
};

struct route_row {
    struct map_node by_id, by_key;
    struct route_node node;
    struct route_claim claims[]; /* node.names_count of them */
};

struct route_table {
    atomic_uint refs;
    struct map_seed seed;
    struct map names, ids, keys;
    struct route_row **rows;
    size_t count, room;
};

/* route_claim_find - the first claim of a name, or NULL. Wildcards are kept without their star: ".apps.example.net". */
struct route_claim *route_claim_find(const struct route_table *table, const char *text, size_t len);

/* route_claim_text - how a claim's name is kept in the map. */
const char *route_claim_text(const struct route_claim *claim);

/* route_row_free - wipes its preshared key. */
void route_row_free(struct route_row *row);

#endif
