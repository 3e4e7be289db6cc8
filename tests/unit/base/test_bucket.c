/* test_bucket.c - tokens come back at their rate and no further than the burst; time does not wrap. */
#include "common/base/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/ts.h"

static void bucket(void **state)
{
    struct bucket b;
    ts_t now = 5 * TS_S;

    (void)state;
    bucket_init(&b, 10, 3);
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&b, now));
    assert_false(bucket_take(&b, now));
    assert_false(bucket_take(&b, now + 100 * TS_MS - 1));
    assert_true(bucket_take(&b, now + 100 * TS_MS));
    assert_false(bucket_take(&b, now + 100 * TS_MS));
    now += 3600 * TS_S; /* a long rest fills it to the burst, not further */
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&b, now));
    assert_false(bucket_take(&b, now));
    int taken = 0;

    for (int ms = 1; ms <= 10000; ms++)
        taken += bucket_take(&b, now + (uint64_t)ms * TS_MS);
    assert_int_equal(taken, 100);
}

static void time_sticks(void **state)
{
    (void)state;
    assert_true(ts_add(TS_NEVER, 1) == TS_NEVER && ts_add(TS_NEVER - 1, 5) == TS_NEVER && ts_add(1, 2) == 3);
    assert_true(ts_since(5, 3) == 2 && ts_since(3, 5) == 0);
    assert_true(ts_min(1, 2) == 1 && ts_max(1, 2) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket),
        cmocka_unit_test(time_sticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
