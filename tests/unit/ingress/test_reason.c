/* test_reason.c - docs/reasons.md says what ingress/reason.h says. With UPDATE_DOCS=1 the page is written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "ingress/reason.h"

#define PAGE_BYTES 16384

static const char *alert_text(int alert)
{
    switch (alert) {
    case TLS_ALERT_ACCESS_DENIED:
        return "access_denied (49)";
    case TLS_ALERT_DECODE_ERROR:
        return "decode_error (50)";
    case TLS_ALERT_INTERNAL_ERROR:
        return "internal_error (80)";
    case TLS_ALERT_UNRECOGNIZED_NAME:
        return "unrecognized_name (112)";
    default:
        return "–";
    }
}

static size_t page(char *out)
{
    size_t at = (size_t)snprintf(
        out, PAGE_BYTES,
        "# Why a stream ended\n\n"
        "`reason` in the access log is one of these. The alert is what a TLS visitor is told while no byte of the node's\n"
        "has reached it; raw TCP visitors are just closed. \"Tried elsewhere\": when several nodes own the name, the next one is\n"
        "offered the visitor first.\n\n"
        "This page is made from `ingress/reason.h` (`UPDATE_DOCS=1` for its test); a test compares them.\n\n"
        "| reason | TLS alert | tried elsewhere | meaning |\n|---|---|---|---|\n");

    for (int r = 0; r < REASON_COUNT; r++)
        at += (size_t)snprintf(out + at, PAGE_BYTES - at, "| `%s` | %s | %s | %s |\n", reason_name((enum reason)r),
                               alert_text(reason_alert((enum reason)r)), reason_retry((enum reason)r) ? "yes" : "",
                               reason_meaning((enum reason)r));
    BUG_ON(at >= PAGE_BYTES);
    return at;
}

static void the_page_is_up_to_date(void **state)
{
    static char want[PAGE_BYTES], have[PAGE_BYTES];
    size_t len = page(want);
    const char *path = TEST_VECTORS "/../../docs/reasons.md";

    (void)state;
    if (getenv("UPDATE_DOCS")) {
        FILE *out = fopen(path, "w");

        assert_non_null(out);
        assert_int_equal(fwrite(want, 1, len, out), len);
        assert_int_equal(fclose(out), 0);
    }
    FILE *in = fopen(path, "r");

    assert_non_null(in);
    have[fread(have, 1, sizeof(have) - 1, in)] = 0;
    fclose(in);
    assert_string_equal(have, want);
}

static void names_are_unique(void **state)
{
    (void)state;
    for (int a = 0; a < REASON_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(reason_name((enum reason)a), reason_name((enum reason)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_is_up_to_date), cmocka_unit_test(names_are_unique)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
