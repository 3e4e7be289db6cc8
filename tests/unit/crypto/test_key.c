/* test_key.c - text forms of keys (accepted, refused, and back), key pairs, and the address that follows from a key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"

#define HEX "57a399d11aac7a4f900601713a05255973d24a6cdb8107e148015775bc8df067"

static void hex_and_prefixes(void **state)
{
    const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {HEX, true},
        {"nodekey:" HEX, true},
        {"privkey:" HEX, true},
        {"57A399D11AAC7A4F900601713A05255973D24A6CDB8107E148015775BC8DF067", true},
        {"discokey:" HEX, false},
        {"nodekey:", false},
        {"nodekey:nodekey:" HEX, false},
        {HEX "0", false},
        {HEX "00", false},
        {"57a399d11aac7a4f900601713a05255973d24a6cdb8107e148015775bc8df06", false},
        {"57a399d11aac7a4f900601713a05255973d24a6cdb8107e148015775bc8df06g", false},
        {" " HEX, false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t key[KEY_BYTES];

        assert_int_equal(key_parse(cases[i].text, strlen(cases[i].text), key), cases[i].ok);
        if (cases[i].ok) {
            assert_int_equal(key[0], 0x57);
            assert_int_equal(key[31], 0x67);
        }
    }
    (void)state;
}

/* 43 characters carry 258 bits: the two spare ones must be zero, else one key would have four texts */
static void base64_is_canonical(void **state)
{
    uint8_t key[KEY_BYTES], again[KEY_BYTES];
    char text[KEY_STR], prefixed[64];

    for (int i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t)(i * 7 + 1);
    key_format(key, text);
    assert_int_equal(strlen(text), KEY_STR - 1);
    assert_true(key_parse(text, KEY_STR - 1, again));
    assert_memory_equal(key, again, KEY_BYTES);
    text[42]++;
    assert_false(key_parse(text, KEY_STR - 1, again));
    text[42]--;
    assert_false(key_parse(text, KEY_STR - 2, again)); /* without its '=' */
    strcpy(prefixed, "nodekey:");
    strcat(prefixed, text);
    assert_false(key_parse(prefixed, strlen(prefixed), again));
    text[5] = '\n';
    assert_false(key_parse(text, KEY_STR - 1, again));
    (void)state;
}

/* RFC 7748 section 5.2, first vector; and both sides of an exchange agree */
static void agrees_with_rfc7748(void **state)
{
    uint8_t a[32], b[32], a_pub[32], b_pub[32], expect[32], shared[32];

    assert_true(key_parse("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", 64, a));
    assert_true(key_parse("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", 64, b_pub));
    assert_true(key_parse("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552", 64, expect));
    assert_int_equal(crypto_dh(shared, a, b_pub), 0);
    assert_memory_equal(shared, expect, sizeof(shared));

    memset(b, 0x42, sizeof(b));
    assert_int_equal(key_public(a, a_pub), 0);
    assert_int_equal(key_public(b, b_pub), 0);
    assert_int_equal(crypto_dh(shared, a, b_pub), 0);
    assert_int_equal(crypto_dh(expect, b, a_pub), 0);
    assert_memory_equal(shared, expect, sizeof(shared));
    (void)state;
}

static void low_order_points_are_refused(void **state)
{
    uint8_t a[32] = {1}, low[32] = {0}, out[32];

    assert_int_not_equal(crypto_dh(out, a, low), 0);
    low[0] = 1;
    assert_int_not_equal(crypto_dh(out, a, low), 0);
    (void)state;
}

static void generated_keys_are_clamped(void **state)
{
    struct rng rng;
    uint8_t a[32], b[32], pub[32];

    crypto_rng(&rng);
    key_generate(&rng, a);
    key_generate(&rng, b);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(a[0] & 7, 0);
    assert_int_equal(a[31] & 0xc0, 0x40);
    assert_int_equal(key_public(a, pub), 0);
    assert_false(crypto_is_zero(pub, sizeof(pub)));
    (void)state;
}

static void address_follows_from_key(void **state)
{
    uint8_t key[KEY_BYTES], hash[32];
    struct addr a, b;

    assert_true(key_parse(HEX, 64, key));
    key_ula(key, &a);
    blake2s_hash(hash, "funnel-ingress ula v1", 21, key, sizeof(key));
    assert_int_equal(a.b[0], 0xfd);
    assert_memory_equal(a.b + 1, hash, 15);
    key[0] ^= 1;
    key_ula(key, &b);
    assert_false(addr_equal(&a, &b));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_and_prefixes),
        cmocka_unit_test(base64_is_canonical),
        cmocka_unit_test(agrees_with_rfc7748),
        cmocka_unit_test(low_order_points_are_refused),
        cmocka_unit_test(generated_keys_are_clamped),
        cmocka_unit_test(address_follows_from_key),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
