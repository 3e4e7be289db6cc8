/* test_log.c - lines reach the sink at their level; a stranger's text can't forge one. */
#include "common/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char last[4096];
static int lines;

static void sink(enum log_level level, const char *area, const char *line, size_t len, void *ctx)
{
    assert_ptr_equal(ctx, last);
    assert_int_equal(level, LOG_WARN);
    assert_string_equal(area, "test");
    assert_true(len < sizeof(last) && line[len] == 0);
    memcpy(last, line, len + 1);
    lines++;
}

static void levels(void **state)
{
    enum log_level level;
    char big[4000];

    (void)state;
    log_init(sink, last, LOG_WARN);
    log_warn("test", "a=%d", 1);
    assert_string_equal(last, "a=1");
    log_info("test", "b=%d", 2);
    assert_int_equal(lines, 1);
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    log_warn("test", "%s", big); /* cut, not lost */
    assert_in_range(strlen(last), 1000, 2047);
    log_level_set(LOG_ERROR);
    log_warn("test", "c=3");
    assert_int_equal(lines, 2);
    for (int i = LOG_ERROR; i <= LOG_TRACE; i++)
        assert_true(log_level_parse(log_level_name((enum log_level)i), &level) && (int)level == i);
    assert_false(log_level_parse("loud", &level));
}

static void quote(void **state)
{
    char out[LOG_QUOTE], small[8], all[256];

    (void)state;
    assert_string_equal(log_quote(out, sizeof(out), "app.example", 11), "\"app.example\"");
    assert_string_equal(log_quote(out, sizeof(out), "a\"b\\c\r\n\0\x7f\xff", 10),
                        "\"a\\\"b\\\\c\\x0d\\x0a\\x00\\x7f\\xff\"");
    assert_string_equal(log_quote(out, sizeof(out), "", 0), "\"\"");
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (size_t cap = 8; cap <= sizeof(out); cap++) { /* any size: terminated, quoted, one line */
        memset(out, 'Z', sizeof(out));
        log_quote(out, cap, all, sizeof(all));
        size_t len = strnlen(out, cap);

        assert_true(len >= 2 && len < cap && out[0] == '"' && out[len - 1] == '"');
        for (size_t i = 0; i < len; i++)
            assert_true(out[i] >= 0x20 && out[i] < 0x7f);
    }
    assert_string_equal(log_quote(small, sizeof(small), "abcdef", 6), "\"a\"");
}

static void limit(void **state)
{
    struct log_limit l = {0};
    unsigned long left_out = 99;

    (void)state;
    bucket_init(&l.bucket, 1, 2);
    assert_true(log_allowed(&l, TS_S, &left_out) && left_out == 0);
    assert_true(log_allowed(&l, TS_S, &left_out));
    for (int i = 0; i < 5; i++)
        assert_false(log_allowed(&l, TS_S, &left_out));
    assert_true(log_allowed(&l, 2 * TS_S, &left_out));
    assert_int_equal(left_out, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels), cmocka_unit_test(quote), cmocka_unit_test(limit)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
