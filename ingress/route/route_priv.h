/* route_priv.h - the table from the inside.
 *
 * A row is one stretch of memory, immutable once it is in the table: the row itself, then its names, endpoints, ports,
 * addresses, preshared key and texts. A node has a place for as long as it is in the table; exchanging the row in that
 * place is one store, which changes all of the node for all readers at once. Indexes lead from names, ids, keys and
 * addresses to places (route_index.h). */
#ifndef ROUTE_ROUTE_PRIV_H
#define ROUTE_ROUTE_PRIV_H

#include <stdatomic.h>
#include <string.h>

#include "common/base/map.h"
#include "ingress/route/route_index.h"
#include "ingress/route/route_table.h"

#define ROUTE_CHUNK  4096 /* places; a table grows by so many */
#define ROUTE_CHUNKS ((ROUTE_PLACES_MAX + ROUTE_CHUNK - 1) / ROUTE_CHUNK)

struct route_row {
    atomic_uint refs;
    uint32_t place; /* while in a table */
    struct route_node node;
};

struct route_chunk {
    _Atomic(struct route_row *) rows[ROUTE_CHUNK]; /* NULL: nobody has the place */
    atomic_uint order[ROUTE_CHUNK];                /* among the nodes of one name */
    uint32_t mark[ROUTE_CHUNK];                    /* the writer's user's; of a free place: the next free one */
    atomic_uchar watched[ROUTE_CHUNK];
};

struct route_table {
    struct map_seed seed;
    struct route_epoch epoch;
    struct route_index names, ids, keys, addresses;
    _Atomic(struct route_chunk *) chunks[ROUTE_CHUNKS];
    atomic_size_t count; /* nodes, without tombstones */
    size_t bytes;        /* of all rows */
    uint32_t places; /* ever used: all rows are below */
    uint32_t free;   /* the first free place below `places`, PLACE_NONE */
    atomic_bool stopped;
};

#define PLACE_NONE UINT32_MAX

static inline struct route_row *route_row_of(const struct route_node *node)
{
    return (struct route_row *)(void *)((char *)node - offsetof(struct route_row, node));
}

static inline struct route_chunk *route_chunk_of(const struct route_table *t, uint32_t place)
{
    return atomic_load_explicit(&((struct route_table *)t)->chunks[place / ROUTE_CHUNK], memory_order_acquire);
}

/* the row in a place: sequentially consistent, see route_epoch.h */
static inline struct route_row *route_row_in(const struct route_table *t, uint32_t place)
{
    return atomic_load(&route_chunk_of(t, place)->rows[place % ROUTE_CHUNK]);
}

/* route_name_text - how a name is indexed: wildcards without their star, ".apps.example.net". */
static inline const char *route_name_text(const struct route_name *name)
{
    return name->name + (name->name[0] == '*');
}

static inline uint64_t route_address_hash(const struct route_table *t, const char *tailnet, const struct addr *addr)
{
    return map_hash(&t->seed, tailnet, strlen(tailnet)) ^ map_hash(&t->seed, addr, sizeof(*addr));
}

/* One node of a name. */
struct route_holder {
    const struct route_row *row;
    uint32_t part; /* which of its names */
    uint32_t order;
};

/* route_holders - who has exactly this name, as route_name_text gives it, in order. */
size_t route_holders(const struct route_table *table, const char *text, size_t len,
                     struct route_holder out[ROUTE_NODES_PER_NAME]);

#endif
