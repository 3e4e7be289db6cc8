/* test_secret.c - pooled secrets: zero when given, wiped when put back, many blocks, any order of giving back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/crypto/crypto.h"
#include "common/crypto/secret.h"

#define PIECE  1000
#define PIECES 500 /* some eight blocks */

static void pieces_come_zero_and_leave_wiped(void **state)
{
    static uint8_t *held[PIECES];
    struct secret_pool pool;
    struct rng rng;

    rng_seed(&rng, 1);
    secret_pool_init(&pool, PIECE);
    for (int step = 0; step < 20000; step++) {
        uint8_t **at = &held[rng_below(&rng, PIECES)];

        if (*at) {
            for (int i = 0; i < PIECE; i++)
                assert_int_equal((*at)[i], (*at)[0]);
            secret_pool_put(&pool, *at);
            *at = NULL;
        } else {
            *at = secret_pool_get(&pool);
            assert_non_null(*at);
            assert_true(crypto_is_zero(*at, PIECE));
            assert_int_equal((uintptr_t)*at % 16, 0);
            memset(*at, step | 1, PIECE);
        }
    }
    for (int i = 0; i < PIECES; i++)
        secret_pool_put(&pool, held[i]);
    assert_int_equal(pool.pieces_out, 0);
    secret_pool_deinit(&pool);
    (void)state;
}

static void guarded_copy(void **state)
{
    const uint8_t *secret = secret_new("0123456789abcdef", 16);

    assert_non_null(secret);
    assert_memory_equal(secret, "0123456789abcdef", 16);
    secret_free(secret);
    secret_free(NULL);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_come_zero_and_leave_wiped),
        cmocka_unit_test(guarded_copy),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
