/* route_priv.h - a table from the inside, for route.c and route_builder.c.
 *
 * A million rows are to cost at most 300 bytes each beyond their names. So a row is one stretch of memory: the row
 * itself, then its claims, names, endpoints, ports, addresses, preshared key and texts; and the rows of a table are cut
 * from large blocks, which cost no header each and go back whole. A claim is one node's entry for one name; claims of
 * several nodes for the same name hang in the feed's order behind the first, and only that first one is in the map. */
#ifndef ROUTE_ROUTE_PRIV_H
#define ROUTE_ROUTE_PRIV_H

#include <stdatomic.h>

#include "common/base/map.h"
#include "ingress/route/route.h"

struct route_claim {
    struct map_node by_name;
    struct route_claim *next; /* of the same name, by a later node */
    uint32_t index;           /* among its row's claims, which are in the order of its names */
};

struct route_row {
    struct map_node by_id, by_key;
    struct route_node node;
    struct route_claim claims[]; /* node.names_count of them */
};

struct route_block {
    struct route_block *older;
    size_t used, room; /* of bytes */
    _Alignas(max_align_t) uint8_t bytes[];
};

struct route_table {
    atomic_uint refs;
    struct map_seed seed;
    struct map names, ids, keys;
    struct route_row **rows;
    size_t count, room;
    struct route_block *blocks; /* of the rows; the newest is filled */
    bool secrets;               /* some row has a preshared key */
};

/* route_claim_find - the first claim of a name, or NULL. Wildcards are kept without their star: ".apps.example.net". */
struct route_claim *route_claim_find(const struct route_table *table, const char *text, size_t len);

/* route_claim_text - how a claim's name is kept in the map. */
const char *route_claim_text(const struct route_claim *claim);

/* route_claim_row, route_claim_name - whose claim it is, and the name as the node has it. */
const struct route_row *route_claim_row(const struct route_claim *claim);
const struct route_name *route_claim_name(const struct route_claim *claim);

#endif
