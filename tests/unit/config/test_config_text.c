/* Shows what single words in a file mean: each reader takes its forms, refuses near misses, and writes back. */
#include "common/config/config_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/ts.h"

static void test_numbers(void **state)
{
    static const char *const bad[] = {"", "-1", "+1", "1 ", " 1", "1x", "0x1", "010", "1.0", "18446744073709551616"};
    uint64_t v;

    (void)state;
    assert_null(config_text_uint("0", &v));
    assert_int_equal(v, 0);
    assert_null(config_text_uint("18446744073709551615", &v));
    assert_true(v == UINT64_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_non_null(config_text_uint(bad[i], &v));
}

static void test_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
        const char *written;
    } times[] = {{"0s", 0, "0s"},
                 {"1500ms", 1500 * TS_MS, "1500ms"},
                 {"60s", 60 * TS_S, "1m"},
                 {"90s", 90 * TS_S, "90s"},
                 {"24h", 86400 * TS_S, "1d"}},
      sizes[] = {{"0", 0, "0"}, {"1000", 1000, "1000"}, {"16384", 16384, "16KiB"}, {"1024MiB", 1 << 30, "1GiB"}};
    static const char *const bad_times[] = {"5", "5 s", "s", "1.5s", "-1s", "5S", "1h30m", "213504d", "5us"};
    static const char *const bad_sizes[] = {"16k", "16KB", "1TiB", "KiB", "-1", "17179869184GiB"};
    char out[CONFIG_TEXT_STR];
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        assert_null(config_text_duration(times[i].text, &v));
        assert_true(v == times[i].value);
        assert_string_equal(config_text_duration_write(v, out), times[i].written);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_null(config_text_size(sizes[i].text, &v));
        assert_true(v == sizes[i].value);
        assert_string_equal(config_text_size_write(v, out), sizes[i].written);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_times); i++)
        assert_non_null(config_text_duration(bad_times[i], &v));
    for (size_t i = 0; i < ARRAY_SIZE(bad_sizes); i++)
        assert_non_null(config_text_size(bad_sizes[i], &v));
}

static void test_bool(void **state)
{
    bool v;

    (void)state;
    assert_null(config_text_bool("yes", &v));
    assert_true(v);
    assert_null(config_text_bool("off", &v));
    assert_false(v);
    assert_non_null(config_text_bool("1", &v));
    assert_non_null(config_text_bool("On", &v));
}

static void test_names(void **state)
{
    static const struct {
        const char *text, *name; /* name NULL: refused */
        bool wildcard;
    } names[] = {
        {"App.Example.NET.", "app.example.net", false},
        {"localhost", "localhost", false},
        {"a-b._srv.x", "a-b._srv.x", false},
        {"*.example.net", "*.example.net", true},
        {"*.example.net", NULL, false},
        {"*", NULL, true},
        {"a.*.b", NULL, true},
        {"*a.b", NULL, true},
        {"", NULL, true},
        {".", NULL, true},
        {"a..b", NULL, false},
        {"a.b..", NULL, false},
        {"-a.b", NULL, false},
        {"a-.b", NULL, false},
        {"192.0.2.1", NULL, false},
        {"a b", NULL, false},
        {"b\xc3\xbc" "cher.example", NULL, false},
    };
    char name[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(name, sizeof(name), "%s", names[i].text);
        if (names[i].name) {
            assert_null(config_text_name(name, names[i].wildcard));
            assert_string_equal(name, names[i].name);
        } else {
            assert_non_null(config_text_name(name, names[i].wildcard));
        }
    }
    memset(name, 'a', 64);
    memcpy(name + 64, ".b", 3); /* a label of 64 */
    assert_non_null(config_text_name(name, false));
    memmove(name, name + 1, 66);
    assert_null(config_text_name(name, false));
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 2 ? '.' : 'a';
    name[253] = 0;
    assert_null(config_text_name(name, false));
    memcpy(name + 253, ".a", 3);
    assert_non_null(config_text_name(name, false));
}

static void test_hostports(void **state)
{
    static const struct {
        const char *text, *host; /* host NULL: refused */
        unsigned port;
        bool is_address;
    } cases[] = {
        {"Git.Example.net:22", "git.example.net", 22, false},
        {"192.0.2.1:65535", "192.0.2.1", 65535, true},
        {"[2001:db8::1]:443", "2001:db8::1", 443, true},
        {"a", NULL, 0, false},
        {"a:", NULL, 0, false},
        {":1", NULL, 0, false},
        {"a:0", NULL, 0, false},
        {"a:65536", NULL, 0, false},
        {"2001:db8::1:443", NULL, 0, false},
        {"[a]:443", NULL, 0, false},
        {"[192.0.2.1]:443", NULL, 0, false},
        {"[]:1", NULL, 0, false},
        {"]:1", NULL, 0, false},
        {"[:1", NULL, 0, false},
        {"*.a:1", NULL, 0, false},
        {"http://a:80", NULL, 0, false},
        {"0.0.0.0:1", NULL, 0, false},
        {"[0::0]:1", NULL, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config_hostport hp;
        char text[64];

        snprintf(text, sizeof(text), "%s", cases[i].text);
        const char *why = config_text_hostport(text, &hp);

        assert_true(!why == !!cases[i].host);
        if (why)
            continue;
        assert_string_equal(hp.host, cases[i].host);
        assert_int_equal(hp.port, cases[i].port);
        assert_true(addr_is_none(&hp.addr) != cases[i].is_address);
        assert_string_equal(hp.unix_path, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_units),     cmocka_unit_test(test_bool),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_hostports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
