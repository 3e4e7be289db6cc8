/* What a probe is asked and how a step looks; the walk itself needs a node and is tested in e2e/test_probe.py. */
#include "ingress/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/advice.h"

static void reads_requests(void **state)
{
    struct probe_request r;
    char text[ADDRPORT_STR];

    (void)state;
    assert_null(probe_request_read(&r, "App.Example.NET.", 8443, NULL));
    assert_string_equal(r.name, "app.example.net");
    assert_int_equal(r.port, 8443);
    assert_string_equal(addrport_format(&r.source, text), PROBE_SOURCE ":1");
    assert_null(probe_request_read(&r, "a.test", 443, "2001:db8::7"));
    assert_string_equal(addrport_format(&r.source, text), "[2001:db8::7]:1");
    assert_null(probe_request_read(&r, "a.test", 443, "203.0.113.9:4567"));
    assert_string_equal(addrport_format(&r.source, text), "203.0.113.9:4567");
}

static void refuses_what_is_none(void **state)
{
    static const struct {
        const char *name, *source;
        unsigned long long port;
    } wrong[] = {
        {"", NULL, 443},          {"a b.test", NULL, 443},     {"*.test", NULL, 443},       {"192.0.2.1", NULL, 443},
        {"a.test", NULL, 0},      {"a.test", NULL, 65536},     {"a.test", "localhost", 443}, {"a.test", "", 443},
        {"a.test", "1.2.3", 443},
    };
    char too_long[400];
    struct probe_request r;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(probe_request_read(&r, wrong[i].name, wrong[i].port, wrong[i].source));
    memset(too_long, 'a', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = 0;
    assert_non_null(probe_request_read(&r, too_long, 443, NULL));
}

static void steps_carry_advice_with_a_reason(void **state)
{
    json_t *ok = probe_step("feed", "ok", 1.5, REASON_OK, "text"), *no;

    (void)state;
    assert_non_null(ok);
    assert_null(json_object_get(ok, "reason"));
    assert_null(json_object_get(ok, "advice"));
    assert_true(json_real_value(json_object_get(ok, "ms")) == 1.5);
    no = probe_step("offer", "failed", 0, REASON_NODE_DENIED, "text");
    assert_string_equal(json_string_value(json_object_get(no, "reason")), "node_denied");
    assert_string_equal(json_string_value(json_object_get(no, "advice")), advice(REASON_NODE_DENIED));
    json_decref(ok);
    json_decref(no);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_requests),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(steps_carry_advice_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
