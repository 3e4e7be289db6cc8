/* test_rfc3339.c - RFC 3339 against known moments, and what is not one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <time.h>

#include "common/base/bug.h"
#include "common/base/rfc3339.h"

static void moments(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01Z", 1},
        {"2000-02-29T12:00:00Z", 951825600},
        {"2030-01-01T00:00:00Z", 1893456000},
        {"2030-01-01t00:00:00z", 1893456000},
        {"2030-01-01T00:00:00.999Z", 1893456000},
        {"2030-01-01T01:30:00+01:30", 1893456000},
        {"2029-12-31T19:00:00-05:00", 1893456000},
        {"2016-12-31T23:59:60Z", 1483228800}, /* the leap second */
        {"9999-12-31T23:59:59Z", 253402300799},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t seconds = 7;

        assert_true(rfc3339_parse(cases[i].text, &seconds));
        assert_int_equal(seconds, cases[i].seconds);
    }
}

static void not_moments(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", "2030", "2030-01-01", "2030-01-01T00:00:00", "2030-01-01 00:00:00Z", "2030-13-01T00:00:00Z",
        "2030-00-01T00:00:00Z", "2030-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2030-01-32T00:00:00Z",
        "2030-01-00T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01T00:60:00Z", "2030-01-01T00:00:61Z",
        "2030-01-01T00:00:00.Z", "2030-01-01T00:00:00Zx", "2030-01-01T00:00:00+1:00", "2030-01-01T00:00:00+24:00",
        "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "-030-01-01T00:00:00Z", "1893456000",
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t seconds = 7;

        assert_false(rfc3339_parse(cases[i], &seconds));
        assert_int_equal(seconds, 7);
    }
}

/* Every day of four centuries and a bit agrees with the C library. */
static void like_the_library(void **state)
{
    (void)state;
    for (time_t at = 86399; at < (time_t)430 * 366 * 86400; at += 86400) {
        char text[64];
        struct tm tm;
        uint64_t seconds;

        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
        assert_true(rfc3339_parse(text, &seconds));
        assert_int_equal(seconds, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments),
        cmocka_unit_test(not_moments),
        cmocka_unit_test(like_the_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
