/* test_addr.c - text to addresses and back, prefixes bit by bit. */
#include "common/base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"

static struct addr a(const char *text)
{
    struct addr out;

    if (!addr_parse(text, strlen(text), &out))
        fail_msg("not an address: %s", text);
    return out;
}

static void parse(void **state)
{
    static const char *const good[][2] = {
        {"192.0.2.1", "192.0.2.1"},   {"0.0.0.0", "0.0.0.0"},       {"255.255.255.255", "255.255.255.255"},
        {"2001:DB8::1", "2001:db8::1"}, {"::", "::"},               {"::ffff:192.0.2.1", "192.0.2.1"},
        {"1:0:0:2::3", "1:0:0:2::3"}, {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
    };
    static const char *const bad[] = {"",      "1",        "1.2.3",   "1.2.3.4.5", "1.2.3.256", "01.2.3.4", " 1.2.3.4",
                                      "1.2.3.4 ", "[::1]", ":::",     "1::2::3",   "::1%lo",    "12345::",  "a.example",
                                      "1:2:3:4:5:6:7:8:9", "2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:2001:db8"};
    char text[ADDR_STR];
    struct addr out;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        out = a(good[i][0]);
        assert_string_equal(addr_format(&out, text), good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (addr_parse(bad[i], strlen(bad[i]), &out))
            fail_msg("taken: %s", bad[i]);
    assert_false(addr_parse("1.2.3.4\0x", 9, &out));
    assert_true(addr_parse("1.2.3.45", 7, &out)); /* len rules, not the zero */
    assert_string_equal(addr_format(&out, text), "1.2.3.4");
}

static void families(void **state)
{
    struct addr v4 = a("192.0.2.1"), v6 = a("2001:db8::1"), none = a("::"), any = a("0.0.0.0");
    struct addr mapped = addr_v6(a("::ffff:192.0.2.1").b);

    (void)state;
    assert_true(addr_is_v4(&v4) && !addr_is_v4(&v6) && !addr_is_v4(&none) && addr_is_v4(&any));
    assert_true(addr_is_none(&none) && !addr_is_none(&any) && !addr_is_none(&v4));
    assert_true(addr_equal(&v4, &mapped) && !addr_equal(&v4, &v6));
    assert_memory_equal(addr_v4_bytes(&v4), "\xc0\x00\x02\x01", 4);
}

static void ports(void **state)
{
    static const char *const good[] = {"192.0.2.1:0", "192.0.2.1:65535", "[2001:db8::1]:443", "[::]:1"};
    static const char *const bad[] = {"",          "192.0.2.1",   "192.0.2.1:",     "192.0.2.1:65536", "192.0.2.1:01",
                                      "::1:443",   "[::1]",       "[::1]:",         "[::1:443",        "::1]:443",
                                      "[192.0.2.1]:443", "[]:1",  "a:1",            "192.0.2.1:-1",    "192.0.2.1: 1",
                                      ":1",        "[::1]443",    "192.0.2.1:1:2",  "192.0.2.1:999999"};
    char text[ADDRPORT_STR];
    struct addrport out;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(addrport_parse(good[i], strlen(good[i]), &out));
        assert_string_equal(addrport_format(&out, text), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (addrport_parse(bad[i], strlen(bad[i]), &out))
            fail_msg("taken: %s", bad[i]);
}

static void prefixes(void **state)
{
    static const char *const good[] = {"0.0.0.0/0", "10.0.0.0/8", "192.0.2.1", "192.0.2.1/32", "::/0", "2001:db8::/33"};
    static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "10.0.0.0/8/8",
                                      "2001:db8::1/64", "10.0.0.0/08", "10.0.0.0/-1"};
    struct prefix p;
    struct rng rng;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!prefix_parse(good[i], strlen(good[i]), &p))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (prefix_parse(bad[i], strlen(bad[i]), &p))
            fail_msg("taken: %s", bad[i]);
    assert_true(prefix_parse("0.0.0.0/0", 9, &p));
    struct addr v4 = a("203.0.113.1"), v6 = a("2001:db8::1");

    assert_true(prefix_holds(&p, &v4) && !prefix_holds(&p, &v6));
    rng_seed(&rng, 1);
    for (int round = 0; round < 2000; round++) { /* flipping one bit matters exactly when it lies in the prefix */
        struct addr other;
        unsigned flip = (unsigned)rng_below(&rng, 128);

        p.bits = (uint8_t)rng_below(&rng, 129);
        rng_fill(&rng, &p.addr, sizeof(p.addr));
        other = p.addr;
        assert_true(prefix_holds(&p, &other));
        other.b[flip / 8] ^= (uint8_t)(0x80 >> (flip % 8));
        assert_int_equal(prefix_holds(&p, &other), flip >= p.bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse),
        cmocka_unit_test(families),
        cmocka_unit_test(ports),
        cmocka_unit_test(prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
