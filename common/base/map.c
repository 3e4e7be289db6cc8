#include "common/base/map.h"

#include <stdlib.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"

#define BUCKETS_MIN 16

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    free(map->buckets);
    *map = (struct map){0};
}

static void rehash(struct map *map, size_t buckets)
{
    struct map_node **to = calloc(buckets, sizeof(*to));

    if (!to)
        return; /* longer chains, still right */
    for (size_t i = 0; map->buckets && i <= map->mask; i++) {
        struct map_node *n = map->buckets[i];

        while (n) {
            struct map_node *next = n->next;
            struct map_node **at = &to[n->hash & (buckets - 1)];

            n->next = *at;
            *at = n;
            n = next;
        }
    }
    free(map->buckets);
    map->buckets = to;
    map->mask = buckets - 1;
}

void map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    if (!map->buckets) {
        rehash(map, BUCKETS_MIN);
        if (!map->buckets)
            abort(); /* 128 bytes at start-up: nothing can run without them */
    } else if (map->count > map->mask) {
        rehash(map, (map->mask + 1) * 2);
    }
    struct map_node **at = &map->buckets[hash & map->mask];

    node->hash = hash;
    node->next = *at;
    *at = node;
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    BUG_ON(map->count == 0);
    struct map_node **at = &map->buckets[node->hash & map->mask];

    while (*at != node) {
        BUG_ON(!*at);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    map->count--;
}

static struct map_node *same(struct map_node *n, uint64_t hash)
{
    while (n && n->hash != hash)
        n = n->next;
    return n;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
    return map->buckets ? same(map->buckets[hash & map->mask], hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
    return same(node->next, node->hash);
}

struct map_node *map_any(const struct map *map)
{
    for (size_t i = 0; map->count && i <= map->mask; i++)
        if (map->buckets[i])
            return map->buckets[i];
    return NULL;
}

void map_each(const struct map *map, void (*fn)(struct map_node *node, void *ctx), void *ctx)
{
    for (size_t i = 0; map->buckets && i <= map->mask; i++)
        for (struct map_node *n = map->buckets[i]; n; n = n->next)
            fn(n, ctx);
}

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))
#define SIPROUND                                                                                                       \
    do {                                                                                                               \
        v0 += v1, v1 = ROTL(v1, 13) ^ v0, v0 = ROTL(v0, 32);                                                           \
        v2 += v3, v3 = ROTL(v3, 16) ^ v2;                                                                              \
        v0 += v3, v3 = ROTL(v3, 21) ^ v0;                                                                              \
        v2 += v1, v1 = ROTL(v1, 17) ^ v2, v2 = ROTL(v2, 32);                                                           \
    } while (0)

uint64_t map_hash(const struct map_seed *seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t v0 = seed->k0 ^ 0x736f6d6570736575u, v1 = seed->k1 ^ 0x646f72616e646f6du;
    uint64_t v2 = seed->k0 ^ 0x6c7967656e657261u, v3 = seed->k1 ^ 0x7465646279746573u;
    uint64_t last = (uint64_t)len << 56;
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        uint64_t m = le64_get(p + i);

        v3 ^= m;
        SIPROUND;
        SIPROUND;
        v0 ^= m;
    }
    for (int shift = 0; i < len; i++, shift += 8)
        last |= (uint64_t)p[i] << shift;
    v3 ^= last;
    SIPROUND;
    SIPROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIPROUND;
    SIPROUND;
    SIPROUND;
    SIPROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}
