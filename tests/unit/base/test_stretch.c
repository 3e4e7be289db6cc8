/* test_stretch.c - a stretch beside a flat array that knows which bytes were stored; small chunks and a small pool
 * make holes, ring growth and running out common. The pool alone at the end. */
#include "common/base/stretch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"

#define CHUNK  16
#define SPAN   40000 /* how far a run moves */
#define WINDOW 700   /* how far ahead of base it stores */

static uint8_t bytes[SPAN + 2 * WINDOW];
static bool stored[SPAN + 2 * WINDOW];

static void check(const struct stretch *s, const struct pool *pool, uint64_t start, uint64_t from, uint64_t to)
{
    uint8_t out[WINDOW];

    for (uint64_t at = from; at < to;) {
        uint64_t end = at;

        while (end < to && end - at < sizeof(out) && stored[end])
            end++;
        if (end > at) {
            const uint8_t *p;

            assert_in_range(stretch_peek(s, pool, start + at, &p), 1, CHUNK);
            assert_int_equal(*p, bytes[at]);
            stretch_load(s, pool, start + at, out, (size_t)(end - at));
            assert_memory_equal(out, bytes + at, (size_t)(end - at));
        }
        at = end + 1;
    }
}

static void run(uint64_t seed, uint64_t start, size_t chunks_max)
{
    struct stretch s;
    struct pool pool;
    struct rng rng;
    uint64_t base = 0;

    rng_seed(&rng, seed);
    pool_init(&pool, CHUNK, chunks_max, 4);
    stretch_init(&s, start);
    memset(stored, 0, sizeof(stored));
    while (base < SPAN) {
        uint64_t at = base + rng_below(&rng, WINDOW / 2), n = rng_below(&rng, 1 + WINDOW / 4);

        switch (rng_below(&rng, 8)) {
        case 0: { /* forget, sometimes far */
            uint64_t upto = base + rng_below(&rng, rng_below(&rng, 20) ? 60 : WINDOW);

            stretch_forget(&s, &pool, start + upto);
            base = upto;
            break;
        }
        case 1:
            if (rng_below(&rng, 20) == 0) {
                stretch_trim(&s, &pool);
                memset(stored, 0, sizeof(stored));
            }
            break;
        default: {
            uint8_t data[WINDOW];

            rng_fill(&rng, data, (size_t)n);
            size_t done = stretch_store(&s, &pool, start + at, data, (size_t)n);

            assert_true(done <= n && (done == n || pool.chunks_out == chunks_max));
            memcpy(bytes + at, data, done);
            memset(stored + at, true, done);
        }
        }
        assert_true(s.base == start + base && s.chunks == pool.chunks_out);
        if (rng_below(&rng, 16) == 0)
            check(&s, &pool, start, base, base + WINDOW);
    }
    stretch_deinit(&s, &pool);
    assert_int_equal(pool.chunks_out, 0);
    pool_deinit(&pool);
}

static void model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        run(seed, 0, 1000);
        run(seed, 12345, 12);                    /* memory runs out */
        run(seed, ((uint64_t)1 << 63) - 7, 1000); /* far along */
    }
}

static void holes(void **state)
{
    struct stretch s;
    struct pool pool;
    const uint8_t *p;
    uint8_t *room;

    (void)state;
    pool_init(&pool, CHUNK, 10, 10);
    stretch_init(&s, 5);
    assert_int_equal(stretch_peek(&s, &pool, 5, &p), 0);
    assert_int_equal(stretch_room(&s, &pool, 5 + 100, &room), CHUNK - (105 % CHUNK));
    assert_int_equal(s.chunks, 1);
    assert_int_equal(stretch_peek(&s, &pool, 5, &p), 0);
    assert_int_equal(stretch_peek(&s, &pool, 4, &p), 0);
    assert_int_equal(stretch_peek(&s, &pool, 100000, &p), 0);
    stretch_forget(&s, &pool, 105); /* in the middle of the chunk: it stays */
    assert_int_equal(s.chunks, 1);
    stretch_forget(&s, &pool, 112);
    assert_int_equal(s.chunks, 0);
    stretch_deinit(&s, &pool);
    pool_deinit(&pool);
}

static void pool_limits(void **state)
{
    struct pool pool;
    void *chunks[3];

    (void)state;
    pool_init(&pool, 64, 3, 2);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            chunks[i] = pool_get(&pool);
            assert_non_null(chunks[i]);
            memset(chunks[i], 0xaa, 64);
        }
        assert_null(pool_get(&pool));
        assert_true(chunks[0] != chunks[1] && chunks[1] != chunks[2] && chunks[0] != chunks[2]);
        for (int i = 0; i < 3; i++)
            pool_put(&pool, chunks[i]);
        assert_int_equal(pool.spare_count, 2);
        assert_int_equal(pool.chunks_peak, 3);
    }
    pool_deinit(&pool);
    assert_int_equal(pool.spare_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
        cmocka_unit_test(holes),
        cmocka_unit_test(pool_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
