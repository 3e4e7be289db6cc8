/* wg_index.c - a map by value. Values are of our own drawing, so nobody can make chains long; they are only mixed,
 * because the low bits (the shard) are alike on one worker. */
#include "common/wg/wg_index.h"

#include "common/base/bug.h"

static uint64_t hash(uint32_t value)
{
    uint64_t h = value * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio */

    return h ^ h >> 32;
}

struct wg_index *wg_index_find(const struct map *table, uint32_t value)
{
    /* hash() is one to one on 32-bit values: an odd factor, then a xor-shift. An equal hash is an equal index. */
    struct map_node *n = map_first(table, hash(value));

    return n ? container_of(n, struct wg_index, node) : NULL;
}

static void insert(struct map *table, struct wg_index *index, uint32_t value, enum wg_index_kind kind,
                   struct wg_peer *peer)
{
    index->value = value;
    index->kind = kind;
    index->peer = peer;
    map_insert(table, &index->node, hash(value));
}

void wg_index_add(struct map *table, struct wg_index *index, enum wg_index_kind kind, struct wg_peer *peer,
                  uint8_t shard, struct rng *rng)
{
    uint32_t value;

    do
        value = (rng_u32(rng) & ~(uint32_t)0xff) | shard;
    while (wg_index_find(table, value));
    insert(table, index, value, kind, peer);
}

void wg_index_move(struct map *table, struct wg_index *to, struct wg_index *from, enum wg_index_kind kind)
{
    uint32_t value = from->value;
    struct wg_peer *peer = from->peer;

    wg_index_remove(table, from);
    insert(table, to, value, kind, peer);
}

void wg_index_remove(struct map *table, struct wg_index *index)
{
    if (index->kind == WG_INDEX_NONE)
        return;
    map_remove(table, &index->node);
    index->kind = WG_INDEX_NONE;
}
