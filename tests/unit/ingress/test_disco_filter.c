/* test_disco_filter.c - every key that was added is let through, strangers hardly ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "ingress/disco_filter.h"

#define KEYS      10000
#define STRANGERS 100000

static void test_filter(void **state)
{
    (void)state;
    struct disco_filter *f = calloc(1, sizeof(*f));
    uint8_t(*keys)[32] = calloc(KEYS, 32);
    struct rng rng;
    unsigned passed = 0;

    assert_non_null(f);
    assert_non_null(keys);
    rng_seed(&rng, 1);
    rng_fill(&rng, keys, (size_t)KEYS * 32);
    for (int i = 0; i < KEYS; i++)
        disco_filter_add(f, keys[i]);
    for (int i = 0; i < KEYS; i++)
        assert_true(disco_filter_has(f, keys[i]));
    for (int i = 0; i < STRANGERS; i++) {
        uint8_t key[32];

        rng_fill(&rng, key, sizeof(key));
        passed += disco_filter_has(f, key);
    }
    assert_in_range(passed, 0, STRANGERS / 1000);
    disco_filter_clear(f);
    assert_false(disco_filter_has(f, keys[0]));
    free(keys);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_filter)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
