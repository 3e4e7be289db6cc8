/* test_rate.c - samples of the delivery rate on paths where the answer is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/tcp/tcp_rate.h"

/* ten segments of 1000 bytes leave at once, and come back one each millisecond after 50: the path has 1 MB/s */
static void bottleneck(void **state)
{
    struct tcp_rate rate = {.delivered_at = TS_S};
    struct tcp_rate_stamp first[10], second[10];
    struct tcp_rate_sample s = {0};

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        first[i] = tcp_rate_sent(&rate, 1000 * (i + 1), i == 0, TS_S);
    assert_int_equal(first[9].in_flight, 10000);
    for (unsigned i = 0; i < 10; i++) {
        ts_t now = TS_S + (50 + i) * TS_MS;

        s = tcp_rate_acked(&rate, 1000, &first[i], TS_S, UINT64_MAX, now);
        second[i] = tcp_rate_sent(&rate, 10000, false, now);
    }
    assert_true(s.valid);
    assert_int_equal(s.delivered, 10000);
    assert_int_equal(s.prior_delivered, 0);
    assert_in_range(s.bytes_per_s, 169000, 170000); /* one window in 59 ms: the path was not full */
    for (unsigned i = 0; i < 10; i++)
        s = tcp_rate_acked(&rate, 1000, &second[i], TS_S + (50 + i) * TS_MS, UINT64_MAX, TS_S + (100 + i) * TS_MS);
    assert_in_range(s.bytes_per_s, 169000, 170000); /* answered within 50 ms, but sent over 59 */
    assert_int_equal(rate.delivered, 20000);
}

/* acknowledgements that come in a lump do not make the path faster than it was sent into */
static void compression(void **state)
{
    struct tcp_rate rate = {.delivered_at = TS_S};
    struct tcp_rate_stamp stamp[10];
    struct tcp_rate_sample s = {0};

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        stamp[i] = tcp_rate_sent(&rate, 1000 * (i + 1), i == 0, TS_S + i * TS_MS);
    for (unsigned i = 0; i < 10; i++)
        s = tcp_rate_acked(&rate, 1000, &stamp[i], TS_S + i * TS_MS, UINT64_MAX, TS_S + 20 * TS_MS);
    assert_in_range(s.bytes_per_s, 1, 1000 * 1000);
    /* an interval shorter than the path can be is no sample */
    s = tcp_rate_acked(&rate, 1000, &stamp[9], TS_S, 50 * TS_MS, TS_S + 30 * TS_MS);
    assert_true(s.valid);
    assert_int_equal(s.bytes_per_s, 0);
}

/* what is sent while there is not enough to send is marked until all of it is delivered */
static void limited(void **state)
{
    struct tcp_rate rate = {.delivered_at = TS_S};
    struct tcp_rate_stamp a, b, c;

    (void)state;
    a = tcp_rate_sent(&rate, 1000, true, TS_S);
    tcp_rate_limited(&rate, 1000);
    b = tcp_rate_sent(&rate, 2000, false, TS_S);
    assert_false(a.limited);
    assert_true(b.limited);
    tcp_rate_acked(&rate, 1000, &a, TS_S, UINT64_MAX, TS_S + TS_MS);
    assert_true(tcp_rate_acked(&rate, 1000, &b, TS_S, UINT64_MAX, TS_S + TS_MS).limited);
    c = tcp_rate_sent(&rate, 1000, true, TS_S + TS_MS);
    assert_false(c.limited);
    assert_false(tcp_rate_acked(&rate, 500, NULL, 0, UINT64_MAX, TS_S + TS_MS).valid); /* a part of a segment */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bottleneck),
        cmocka_unit_test(compression),
        cmocka_unit_test(limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
