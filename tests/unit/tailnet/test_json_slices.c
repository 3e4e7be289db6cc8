/* test_json_slices.c - cutting JSON: what comes out, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/tailnet/json_slices.h"

static struct json_slice of(const char *text)
{
    return (struct json_slice){text, strlen(text)};
}

static void test_members(void **state)
{
    struct json_slices s;
    struct json_slice key, value;

    (void)state;
    assert_true(json_slices_object(&s, of(" {\"a\" : 1 , \"b\":{\"x\":[1,\"}\\\"\"]},\n\"c\":\"[\",\"d\":null} ")));
    assert_true(json_slices_member(&s, &key, &value));
    assert_true(json_slice_is(key, "a") && json_slice_is(value, "1"));
    assert_true(json_slices_member(&s, &key, &value));
    assert_true(json_slice_is(key, "b") && json_slice_is(value, "{\"x\":[1,\"}\\\"\"]}"));
    assert_true(json_slices_member(&s, &key, &value));
    assert_true(json_slice_is(key, "c") && json_slice_is(value, "\"[\""));
    assert_true(json_slices_member(&s, &key, &value));
    assert_true(json_slice_is(key, "d") && json_slice_is(value, "null"));
    assert_false(json_slices_member(&s, &key, &value));
    assert_false(s.bad);
    assert_false(json_slices_member(&s, &key, &value));
}

static void test_elements(void **state)
{
    struct json_slices s;
    struct json_slice value;

    (void)state;
    assert_true(json_slices_list(&s, of("[ [], {} ,3]")));
    assert_true(json_slices_element(&s, &value) && json_slice_is(value, "[]"));
    assert_true(json_slices_element(&s, &value) && json_slice_is(value, "{}"));
    assert_true(json_slices_element(&s, &value) && json_slice_is(value, "3"));
    assert_false(json_slices_element(&s, &value));
    assert_false(s.bad);
    assert_true(json_slices_list(&s, of("[]")));
    assert_false(json_slices_element(&s, &value));
    assert_false(s.bad);
}

static bool object_ok(const char *text)
{
    struct json_slices s;
    struct json_slice key, value;

    json_slices_object(&s, of(text));
    while (json_slices_member(&s, &key, &value))
        ;
    return !s.bad;
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"", "{", "}", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\":1 \"b\":2}",
                                      "{a:1}", "{\"a\":[}", "{\"a\":[1}]", "{\"a\":\"}", "{\"a\":\"\\\"}", "{\"a\" 1}", "{\"a\":]}"};
    char deep[2 * JSON_SLICES_DEPTH_MAX + 16] = "{\"a\":";

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(object_ok(bad[i]));
    memset(deep + 5, '[', JSON_SLICES_DEPTH_MAX);
    memset(deep + 5 + JSON_SLICES_DEPTH_MAX, ']', JSON_SLICES_DEPTH_MAX);
    strcat(deep, "}");
    assert_true(object_ok(deep));
    memset(deep + 5, '[', JSON_SLICES_DEPTH_MAX + 1);
    memset(deep + 5 + JSON_SLICES_DEPTH_MAX + 1, ']', JSON_SLICES_DEPTH_MAX + 1);
    strcpy(deep + 5 + 2 * (JSON_SLICES_DEPTH_MAX + 1), "}");
    assert_false(object_ok(deep));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_members), cmocka_unit_test(test_elements),
                                       cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
