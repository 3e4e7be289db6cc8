/* test_rng.c - a seed repeats itself; small numbers are uniform. */
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void rng(void **state)
{
    struct rng a, b;
    unsigned counts[10] = {0};
    uint8_t x[13], y[13];

    (void)state;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_fill(&a, x, sizeof(x));
    rng_fill(&b, y, sizeof(y));
    assert_memory_equal(x, y, sizeof(x));
    assert_int_equal(rng_u32(&a), rng_u32(&b));
    rng_seed(&b, 43);
    assert_true(rng_u64(&a) != rng_u64(&b));
    for (int i = 0; i < 100000; i++) {
        uint64_t v = rng_below(&a, 10);

        assert_true(v < 10);
        counts[v]++;
        assert_true(rng_below(&a, 1) == 0);
        assert_true(rng_below(&a, UINT64_MAX) < UINT64_MAX);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(counts[i], 9500, 10500);
}

/* a generator that first gives what would favour small results, then something fair */
static void biased_fill(struct rng *r, void *out, size_t len)
{
    uint64_t v = r->state[0]++ == 0 ? UINT64_MAX : 7;

    assert_int_equal(len, sizeof(v));
    memcpy(out, &v, len);
}

static void rng_below_rejects(void **state)
{
    struct rng r = {.fill = biased_fill};

    (void)state;
    assert_int_equal(rng_below(&r, 10), 7);
    assert_int_equal(r.state[0], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rng),
        cmocka_unit_test(rng_below_rejects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
