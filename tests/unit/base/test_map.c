/* test_map.c - random inserts and removes beside a flat array; hashes are made to collide; SipHash as published. */
#include "common/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"

#define KEYS 512

struct item {
    struct map_node node;
    unsigned key;
    bool in;
};

static struct item items[KEYS];

static struct item *find(const struct map *map, uint64_t hash, unsigned key)
{
    struct item *found = NULL;

    for (struct map_node *n = map_first(map, hash); n; n = map_next(n)) {
        struct item *i = container_of(n, struct item, node);

        assert_true(i->in && n->hash == hash);
        if (i->key == key) {
            assert_null(found);
            found = i;
        }
    }
    return found;
}

static void count_one(struct map_node *node, void *ctx)
{
    assert_true(container_of(node, struct item, node)->in);
    ++*(size_t *)ctx;
}

static void model(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (unsigned distinct = 1; distinct <= KEYS; distinct *= 8) { /* 1: all in one chain */
        struct map map;
        size_t count = 0;

        map_init(&map);
        assert_null(map_any(&map));
        assert_null(map_first(&map, 0));
        memset(items, 0, sizeof(items));
        for (int step = 0; step < 20000; step++) {
            unsigned k = (unsigned)rng_below(&rng, KEYS);
            uint64_t hash = k % distinct * 0x100000001u; /* low and high half alike */
            struct item *i = &items[k];

            assert_ptr_equal(find(&map, hash, k), i->in ? i : NULL);
            i->key = k;
            if (i->in)
                map_remove(&map, &i->node);
            else
                map_insert(&map, &i->node, hash);
            i->in = !i->in;
            count = i->in ? count + 1 : count - 1;
            assert_int_equal(map.count, count);
        }
        size_t seen = 0;

        map_each(&map, count_one, &seen);
        assert_int_equal(seen, count);
        for (struct map_node *n; (n = map_any(&map)); count--)
            map_remove(&map, n);
        assert_int_equal(count, 0);
        map_deinit(&map);
    }
}

/* a table that grows is moved a few buckets an insert: wherever it stands, every node is found once */
static void growing(void **state)
{
    static struct item many[5000];
    struct map map;

    (void)state;
    map_init(&map);
    memset(many, 0, sizeof(many));
    for (unsigned n = 0; n < ARRAY_SIZE(many); n++) {
        size_t seen = 0;

        many[n] = (struct item){.key = n, .in = true};
        map_insert(&map, &many[n].node, n * 0x9e3779b97f4a7c15u);
        for (unsigned k = n % 50; k <= n; k += 50)
            assert_ptr_equal(find(&map, k * 0x9e3779b97f4a7c15u, k), &many[k]);
        if (n % 20 == 0) {
            map_each(&map, count_one, &seen);
            assert_int_equal(seen, n + 1);
        }
        if (n % 1000 == 600) { /* some leave in the middle of it */
            for (unsigned k = n - 300; k <= n; k++)
                map_remove(&map, &many[k].node);
            for (unsigned k = n - 300; k <= n; k++)
                map_insert(&map, &many[k].node, k * 0x9e3779b97f4a7c15u);
        }
    }
    assert_true(map.mask + 1 == 8192);
    for (struct map_node *n; (n = map_any(&map));)
        map_remove(&map, n);
    assert_int_equal(map.count, 0);
    map_deinit(&map);
}

/* Aumasson and Bernstein, "SipHash", 2012, appendix A (15 bytes), and two from their reference vectors */
static void siphash(void **state)
{
    struct map_seed seed = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t in[16];

    (void)state;
    for (uint8_t i = 0; i < sizeof(in); i++)
        in[i] = i;
    assert_true(map_hash(&seed, in, 15) == 0xa129ca6149be45e5u);
    assert_true(map_hash(&seed, in, 0) == 0x726fdb47dd0e0e31u);
    assert_true(map_hash(&seed, in, 8) == 0x93f5f5799a932462u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(model), cmocka_unit_test(growing), cmocka_unit_test(siphash)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
