/* map.h - an intrusive hash table: the node lives in the caller's struct, the caller brings hash and equality.
 *
 * Keys that strangers choose must be hashed with map_hash and a random seed (SipHash-2-4), so that nobody can make
 * chains long. Inserting never fails: when growing the table fails, chains grow instead. A table that grows is moved a
 * few buckets an insert, so that no insert takes long: moved at once, a million nodes stopped a worker for 100 ms. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets; /* NULL until the first insert */
    size_t count;
    size_t mask;             /* buckets - 1 */
    struct map_node **older; /* half the size; NULL: all is moved. A hash is in it from bucket `moved` on */
    size_t moved;
    size_t first_used; /* no bucket below it has a node */
};

/* map_init - an empty map; owns no memory until the first insert. */
void map_init(struct map *map);

/* map_deinit - free the table. The nodes are the caller's. */
void map_deinit(struct map *map);

/* map_insert - add `node` under `hash`. The caller has checked that no equal key is there. */
void map_insert(struct map *map, struct map_node *node, uint64_t hash);
void map_remove(struct map *map, struct map_node *node);

/* map_first / map_next - nodes whose hash is exactly `hash`; the caller compares keys. NULL: no more.
 *     for (n = map_first(m, h); n; n = map_next(n)) if (equal(n)) ... */
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);

/* map_any - some node, or NULL when empty: for taking a map apart, which takes time in proportion to its size. */
struct map_node *map_any(struct map *map);

/* map_each - call fn for every node in no order; fn may not change the map. */
void map_each(const struct map *map, void (*fn)(struct map_node *node, void *ctx), void *ctx);

struct map_seed {
    uint64_t k0, k1;
};

/* map_hash - SipHash-2-4 of bytes under a secret seed. Aumasson and Bernstein, "SipHash", 2012. */
uint64_t map_hash(const struct map_seed *seed, const void *data, size_t len);

#endif
