/* URLs as a configuration or a redirect may give them, and requests whose parts can't break out of their places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/http/http_write.h"
#include "common/http/url.h"

static void test_parse(void **state)
{
    static const struct {
        const char *in, *out, *authority, *why;
    } cases[] = {
        {"https://feed.example", "https://feed.example/", "feed.example", NULL},
        {"HTTPS://Feed.Example:443/a?b=c", "https://feed.example/a?b=c", "feed.example", NULL},
        {"http://127.0.0.1:8080?x", "http://127.0.0.1:8080/?x", "127.0.0.1:8080", NULL},
        {"https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/", "[2001:db8::1]:8443", NULL},
        {"ftp://x", NULL, NULL, "must begin with https:// (or http://)"},
        {"", NULL, NULL, "must begin with https:// (or http://)"},
        {"https://", NULL, NULL, "names no host"},
        {"https://:1/", NULL, NULL, "names no host"},
        {"https://u@h/", NULL, NULL, "must have no user in it"},
        {"https://[::1/", NULL, NULL, "has no IPv6 address between its brackets"},
        {"https://[127.0.0.1]/", NULL, NULL, "has no IPv6 address between its brackets"},
        {"https://h:0/", NULL, NULL, "has a port that is none"},
        {"https://h:65536/", NULL, NULL, "has a port that is none"},
        {"https://h:99999999999999999999/", NULL, NULL, "has a port that is none"},
        {"https://h:/", NULL, NULL, "has a port that is none"},
        {"https://h\r\nX: y/", NULL, NULL, "has a host that is none"},
        {"https://h/a b", NULL, NULL, "has a character that a URL can't have"},
        {"https://h/\x80", NULL, NULL, "has a character that a URL can't have"},
        {"https://h/#x", NULL, NULL, "must have no fragment (#)"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct url url;
        char text[URL_STR];
        const char *why = url_parse(cases[i].in, strlen(cases[i].in), &url);

        if (cases[i].why) {
            assert_non_null(why);
            assert_string_equal(why, cases[i].why);
            continue;
        }
        assert_null(why);
        assert_string_equal(url_format(&url, text), cases[i].out);
        assert_string_equal(url_authority(&url, text), cases[i].authority);
    }
}

static void test_lengths(void **state)
{
    char text[URL_STR + 100] = "https://";
    struct url url;

    (void)state;
    memset(text + 8, 'h', URL_HOST_MAX - 1);
    assert_null(url_parse(text, 8 + URL_HOST_MAX - 1, &url));
    text[8 + URL_HOST_MAX - 1] = 'h';
    assert_non_null(url_parse(text, 8 + URL_HOST_MAX, &url));
    strcpy(text, "https://h/");
    memset(text + 10, 'p', URL_TARGET_MAX);
    assert_null(url_parse(text, 9 + URL_TARGET_MAX - 1, &url));
    assert_non_null(url_parse(text, 9 + URL_TARGET_MAX, &url));
}

static void test_redirects(void **state)
{
    static const struct {
        const char *location, *to; /* NULL: refused */
        bool same;
    } cases[] = {
        {"/other?x=1", "https://feed.example:444/other?x=1", true},
        {"https://FEED.example:444/y", "https://feed.example:444/y", true},
        {"https://feed.example/y", "https://feed.example/y", false},
        {"http://feed.example:444/y", "http://feed.example:444/y", false},
        {"https://mirror.example:444/", "https://mirror.example:444/", false},
        {"//mirror.example/", NULL, false},
        {"relative", NULL, false},
        {"", NULL, false},
    };
    struct url from, to;
    char text[URL_STR];

    (void)state;
    assert_null(url_parse("https://feed.example:444/nodes", 30, &from));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *why = url_redirect(&from, cases[i].location, &to);

        assert_int_equal(why == NULL, cases[i].to != NULL);
        if (why)
            continue;
        assert_string_equal(url_format(&to, text), cases[i].to);
        assert_int_equal(url_same_origin(&from, &to), cases[i].same);
    }
}

static void test_loopback(void **state)
{
    static const struct {
        const char *url;
        bool loopback;
    } cases[] = {{"http://localhost/", true},          {"http://127.9.9.9/", true},       {"http://[::1]/", true},
                 {"http://localhost.example/", false}, {"http://128.0.0.1/", false},      {"http://[::2]/", false},
                 {"http://127.0.0.1.example/", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct url url;

        assert_null(url_parse(cases[i].url, strlen(cases[i].url), &url));
        assert_int_equal(url_loopback(&url), cases[i].loopback);
    }
}

static void test_requests(void **state)
{
    char out[200];
    struct http_write w;

    (void)state;
    http_write_start(&w, out, sizeof(out), "POST", "/x");
    http_write_field(&w, "Host", "h");
    size_t len = http_write_end(&w, "{}", 2);
    static const char expected[] = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";

    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(out, expected, len);
    http_write_start(&w, out, len - 1, "POST", "/x");
    http_write_field(&w, "Host", "h");
    assert_int_equal(http_write_end(&w, "{}", 2), 0);
    static const char *const spoilers[] = {"a\r\nX: y", "a\n", "\x7f", "\x01"};

    for (size_t i = 0; i < ARRAY_SIZE(spoilers); i++) {
        http_write_start(&w, out, sizeof(out), "GET", "/");
        http_write_field(&w, "Authorization", spoilers[i]);
        assert_int_equal(http_write_end(&w, NULL, 0), 0);
    }
    http_write_start(&w, out, sizeof(out), "GET", "/a b");
    assert_int_equal(http_write_end(&w, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),    cmocka_unit_test(test_lengths),  cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_loopback), cmocka_unit_test(test_requests),
    };

    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
