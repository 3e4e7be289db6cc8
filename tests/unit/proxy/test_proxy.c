/* test_proxy.c - both versions, read back as written, cut everywhere, and each kind of mistake. */
#include "common/proxy/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"

static struct addrport ap(const char *text)
{
    struct addrport out;

    assert_true(addrport_parse(text, strlen(text), &out));
    return out;
}

/* every shorter prefix wants more */
static void prefixes_want_more(const void *data, size_t len)
{
    struct proxy_header h;

    for (size_t i = 0; i < len; i++)
        assert_int_equal(proxy_parse(data, i, &h), PROXY_NEED_MORE);
}

static void v1(void **state)
{
    static const struct {
        const char *text, *src, *dst; /* src NULL: local; text of the addresses NULL: bad */
        enum proxy_result result;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n", "192.0.2.1:40000", "198.51.100.2:443", PROXY_OK},
        {"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", "[2001:db8::1]:1", "[::1]:65535", PROXY_OK},
        {"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 2\r\n", "192.0.2.1:0", "[::1]:2", PROXY_OK},
        {"PROXY UNKNOWN\r\n", NULL, NULL, PROXY_OK},
        {"PROXY UNKNOWN ffff:f...f 1 2 3\r\n", NULL, NULL, PROXY_OK},
        {"PROXY UNKNOWNS\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\rX", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4  192.0.2.1 198.51.100.2 40000 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 \r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 9\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 65536\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 040 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.1 ::1 40000 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP6 192.0.2.1 ::1 40000 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY TCP4 192.0.2.300 198.51.100.2 40000 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY UDP4 192.0.2.1 198.51.100.2 40000 443\r\n", NULL, NULL, PROXY_BAD},
        {"PROXY \r\n", NULL, NULL, PROXY_BAD},
        {"PROXY\r\n", NULL, NULL, PROXY_BAD},
        {"proxy TCP4", NULL, NULL, PROXY_BAD},
        {"GET / HTTP/1.1\r\n", NULL, NULL, PROXY_BAD},
        {"\x16\x03\x01", NULL, NULL, PROXY_BAD},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const uint8_t *data = (const uint8_t *)cases[i].text;
        size_t len = strlen(cases[i].text);
        struct proxy_header h;

        if (proxy_parse(data, len, &h) != cases[i].result)
            fail_msg("%s", cases[i].text);
        if (cases[i].result != PROXY_OK)
            continue;
        prefixes_want_more(data, len);
        assert_int_equal(h.consumed, len);
        assert_int_equal(h.local, !cases[i].src);
        if (cases[i].src) {
            struct addrport src = ap(cases[i].src), dst = ap(cases[i].dst);

            assert_true(addrport_equal(&h.src, &src));
            assert_true(addrport_equal(&h.dst, &dst));
        }
    }
}

static void v1_bound(void **state)
{
    char text[200];
    struct proxy_header h;

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_parse((uint8_t *)text, 105, &h), PROXY_NEED_MORE);
    assert_int_equal(proxy_parse((uint8_t *)text, 106, &h), PROXY_BAD);
    memcpy(text + 105, "\r\n", 2);
    assert_int_equal(proxy_parse((uint8_t *)text, sizeof(text), &h), PROXY_OK);
    assert_int_equal(h.consumed, PROXY_V1_BYTES);
    memcpy(text + 105, "x\r\n", 3);
    assert_int_equal(proxy_parse((uint8_t *)text, sizeof(text), &h), PROXY_BAD);
}

static void v1_written(void **state)
{
    static const char *const pairs[][3] = {
        {"192.0.2.1:40000", "198.51.100.2:443", "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n"},
        {"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"},
        {"192.0.2.1:40000", "[::1]:443", "PROXY TCP6 ::ffff:192.0.2.1 ::1 40000 443\r\n"},
        {"[::1]:443", "192.0.2.1:40000", "PROXY TCP6 ::1 ::ffff:192.0.2.1 443 40000\r\n"},
        {"[::]:0", "192.0.2.1:40000", "PROXY UNKNOWN\r\n"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct addrport src = ap(pairs[i][0]), dst = ap(pairs[i][1]);
        char out[PROXY_V1_BYTES + 1];
        struct proxy_header h;
        size_t n = proxy_v1_write(out, sizeof(out), &src, &dst);

        assert_int_equal(n, strlen(pairs[i][2]));
        assert_memory_equal(out, pairs[i][2], n);
        assert_int_equal(proxy_parse((uint8_t *)out, n, &h), PROXY_OK);
        assert_true(h.local || (addrport_equal(&h.src, &src) && addrport_equal(&h.dst, &dst)));
        for (size_t cap = 0; cap <= n; cap++)
            assert_int_equal(proxy_v1_write(out, cap, &src, &dst), 0);
    }
}

static void v2_written(void **state)
{
    static const char *const pairs[][2] = {{"192.0.2.1:40000", "198.51.100.2:443"},
                                           {"[2001:db8::1]:1", "[::1]:2"},
                                           {"192.0.2.1:40000", "[::1]:443"},
                                           {"[::]:0", "192.0.2.1:1"}};
    static const uint8_t tcp4[] = {'\r', '\n', '\r', '\n', 0,   '\r', '\n', 'Q',  'U', 'I', 'T',  '\n', 0x21, 0x11,
                                   0,    16,   192,  0,    2,   1,    198,  51,   100, 2,   0x9c, 0x40, 1,    0xbb,
                                   2,    0,    1,    'a'};
    char name[PROXY_AUTHORITY_MAX + 1];

    (void)state;
    memset(name, 'n', sizeof(name));
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
        for (size_t named = 0; named <= sizeof(name); named++) {
            struct addrport src = ap(pairs[i][0]), dst = ap(pairs[i][1]);
            uint8_t out[PROXY_V2_WRITE_BYTES + 4];
            struct proxy_header h;
            size_t n = proxy_v2_write(out, sizeof(out), &src, &dst, named ? name : NULL, named);

            assert_in_range(n, 16, PROXY_V2_WRITE_BYTES);
            assert_int_equal(proxy_v2_write(out, n - 1, &src, &dst, named ? name : NULL, named), 0);
            memcpy(out + n, "more", 4);
            assert_int_equal(proxy_parse(out, n + 4, &h), PROXY_OK);
            prefixes_want_more(out, n);
            assert_int_equal(h.consumed, n);
            assert_int_equal(h.local, addr_is_none(&src.addr));
            assert_true(h.local || (addrport_equal(&h.src, &src) && addrport_equal(&h.dst, &dst)));
        }
    struct addrport src = ap(pairs[0][0]), dst = ap(pairs[0][1]);
    uint8_t out[PROXY_V2_WRITE_BYTES];

    assert_int_equal(proxy_v2_write(out, sizeof(out), &src, &dst, "a", 1), sizeof(tcp4));
    assert_memory_equal(out, tcp4, sizeof(tcp4));
}

static void v2_bent(void **state)
{
    struct addrport src = ap("192.0.2.1:40000"), dst = ap("198.51.100.2:443");
    uint8_t good[5000] = {0}, bent[5000];
    size_t n = proxy_v2_write(good, sizeof(good), &src, &dst, "a.example", 9);
    struct proxy_header h;
    static const struct {
        size_t at;
        uint8_t value;
        enum proxy_result result;
        bool local;
    } cases[] = {
        {0, 'x', PROXY_BAD, false},   {11, 'x', PROXY_BAD, false}, {12, 0x11, PROXY_BAD, false},
        {12, 0x22, PROXY_BAD, false}, {12, 0x20, PROXY_OK, true},  {13, 0x00, PROXY_OK, true},
        {13, 0x12, PROXY_OK, true},   {13, 0x31, PROXY_OK, true},  {13, 0x21, PROXY_BAD, false},
        {15, 11, PROXY_BAD, false},   {15, 12, PROXY_OK, false},   {15, 13, PROXY_BAD, false},
        {15, 14, PROXY_BAD, false},   {15, 15, PROXY_BAD, false},  {30, 10, PROXY_BAD, false},
        {30, 8, PROXY_BAD, false},    {14, 0x10, PROXY_BAD, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        memcpy(bent, good, n);
        bent[cases[i].at] = cases[i].value;
        if (proxy_parse(bent, n, &h) != cases[i].result)
            fail_msg("case %zu", i);
        if (cases[i].result == PROXY_OK)
            assert_int_equal(h.local, cases[i].local);
    }
    memcpy(bent, good, 16);
    bent[13] = 0;
    memset(bent + 16, 0, sizeof(bent) - 16);
    be16_put(bent + 14, PROXY_MAX_BYTES - 16); /* the largest one taken, and one more */
    assert_int_equal(proxy_parse(bent, PROXY_MAX_BYTES, &h), PROXY_OK);
    assert_int_equal(h.consumed, PROXY_MAX_BYTES);
    be16_put(bent + 14, PROXY_MAX_BYTES - 15);
    assert_int_equal(proxy_parse(bent, 16, &h), PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v1),         cmocka_unit_test(v1_bound), cmocka_unit_test(v1_written),
        cmocka_unit_test(v2_written), cmocka_unit_test(v2_bent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
