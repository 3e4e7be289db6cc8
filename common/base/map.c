#include "common/base/map.h"

#include <stdlib.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"

#define BUCKETS_MIN     16
#define MOVED_AN_INSERT 2

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    free(map->buckets);
    free(map->older);
    *map = (struct map){0};
}

/* bucket - where a hash is: each bucket of the older table is moved whole, so it is in one place */
static struct map_node **bucket(const struct map *map, uint64_t hash)
{
    if (map->older) {
        size_t i = hash & map->mask >> 1;

        if (i >= map->moved)
            return &map->older[i];
    }
    return &map->buckets[hash & map->mask];
}

static void put(struct map *map, struct map_node *node)
{
    size_t i = node->hash & map->mask;

    node->next = map->buckets[i];
    map->buckets[i] = node;
    map->first_used = MIN(map->first_used, i);
}

/* move - the next `buckets` buckets of the older table */
static void move(struct map *map, size_t buckets)
{
    for (; map->older && buckets > 0; buckets--) {
        struct map_node *next;

        for (struct map_node *n = map->older[map->moved]; n; n = next) {
            next = n->next;
            put(map, n);
        }
        if (++map->moved <= map->mask >> 1)
            continue;
        free(map->older);
        map->older = NULL;
    }
}

static void grow(struct map *map)
{
    size_t count = map->buckets ? (map->mask + 1) * 2 : BUCKETS_MIN;
    struct map_node **buckets = calloc(count, sizeof(*buckets));

    if (!buckets)
        return; /* longer chains, still right */
    BUG_ON(map->older);
    map->older = map->buckets;
    map->moved = 0;
    map->buckets = buckets;
    map->mask = count - 1;
    map->first_used = count;
}

void map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    /* the older table is moved before this one is full: it has half as many buckets */
    move(map, MOVED_AN_INSERT);
    if (!map->older && (!map->buckets || map->count > map->mask))
        grow(map);
    if (!map->buckets)
        abort(); /* 128 bytes at start-up: nothing can run without them */
    node->hash = hash;
    node->next = *bucket(map, hash);
    *bucket(map, hash) = node;
    map->first_used = MIN(map->first_used, hash & map->mask); /* too low does no harm */
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    BUG_ON(map->count == 0);
    struct map_node **at = bucket(map, node->hash);

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
    return map->buckets ? same(*bucket(map, hash), hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
    return same(node->next, node->hash);
}

struct map_node *map_any(struct map *map)
{
    if (map->count == 0)
        return NULL;
    move(map, SIZE_MAX);
    while (!map->buckets[map->first_used])
        map->first_used++;
    return map->buckets[map->first_used];
}

static void each(struct map_node *n, void (*fn)(struct map_node *node, void *ctx), void *ctx)
{
    for (; n; n = n->next)
        fn(n, ctx);
}

void map_each(const struct map *map, void (*fn)(struct map_node *node, void *ctx), void *ctx)
{
    for (size_t i = map->moved; map->older && i <= map->mask >> 1; i++)
        each(map->older[i], fn, ctx);
    for (size_t i = 0; map->buckets && i <= map->mask; i++)
        each(map->buckets[i], fn, ctx);
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
