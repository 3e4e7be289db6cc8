/* test_blake2s.c - the hash against RFC 7693, HKDF against the WireGuard vectors, and the 16-byte MAC being its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <threads.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"

/* RFC 7693 appendix B; in one part, and cut in two at every place */
static void hash_of_abc(void **state)
{
    uint8_t expect[32], out[32];

    assert_true(key_parse("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982", 64, expect));
    for (size_t cut = 0; cut <= 3; cut++) {
        blake2s_hash(out, "abc", cut, (const char *)"abc" + cut, 3 - cut);
        assert_memory_equal(out, expect, sizeof(out));
    }
    (void)state;
}

static void hash_may_overwrite_its_input(void **state)
{
    uint8_t a[32] = {1, 2, 3}, b[32];

    blake2s_hash(b, a, sizeof(a), "x", 1);
    blake2s_hash(a, a, sizeof(a), "x", 1);
    assert_memory_equal(a, b, sizeof(a));
    (void)state;
}

/* the digest length is part of BLAKE2s' input: a 16-byte MAC is no prefix of a longer digest, and keys of both
 * lengths that the protocol uses give different ones */
static void mac_depends_on_every_part(void **state)
{
    uint8_t key[32] = {9}, a[16], b[16];

    blake2s_mac(a, key, 32, "message", 7, NULL, 0);
    blake2s_mac(b, key, 32, "mess", 4, "age", 3);
    assert_memory_equal(a, b, sizeof(a));
    blake2s_mac(b, key, 16, "message", 7, NULL, 0);
    assert_memory_not_equal(a, b, sizeof(a));
    key[31] = 1;
    blake2s_mac(b, key, 32, "message", 7, NULL, 0);
    assert_memory_not_equal(a, b, sizeof(a));
    (void)state;
}

static size_t unhex(const json_t *object, const char *name, uint8_t *out)
{
    const char *hex = json_string_value(json_object_get(object, name));

    if (!hex || !*hex)
        return 0;
    assert_int_equal(strlen(hex), 64);
    assert_true(key_parse(hex, 64, out));
    return 32;
}

static void kdf_vectors(void **state)
{
    json_t *all = json_load_file(TEST_VECTORS "/wireguard_misc.json", 0, NULL), *one;
    size_t i;

    assert_non_null(all);
    assert_int_not_equal(json_array_size(json_object_get(all, "kdf")), 0);
    json_array_foreach(json_object_get(all, "kdf"), i, one)
    {
        uint8_t ck[32], in[32], expect[3][32] = {{0}}, t[3][32];
        const char *names[] = {"t1", "t2", "t3"};
        int n = 0;

        unhex(one, "chaining_key", ck);
        size_t in_len = unhex(one, "input", in);

        while (n < 3 && unhex(one, names[n], expect[n]))
            n++;
        blake2s_kdf(t[0], n > 1 ? t[1] : NULL, n > 2 ? t[2] : NULL, ck, in, in_len);
        for (int k = 0; k < n; k++)
            assert_memory_equal(t[k], expect[k], 32);
        blake2s_kdf(ck, NULL, NULL, ck, in, in_len); /* over its own salt */
        assert_memory_equal(ck, expect[0], 32);
    }
    json_decref(all);
    (void)state;
}

static int hash_elsewhere(void *out)
{
    blake2s_hash(out, "abc", 3, NULL, 0);
    return 0;
}

/* contexts are made and freed with a thread (the leak checker watches) */
static void threads_have_their_own(void **state)
{
    uint8_t here[32], there[32];
    thrd_t thread;

    assert_int_equal(thrd_create(&thread, hash_elsewhere, there), thrd_success);
    hash_elsewhere(here);
    thrd_join(thread, NULL);
    assert_memory_equal(here, there, sizeof(here));
    (void)state;
}

/* a kept key gives the MACs that the key gives */
static void kept_key(void **state)
{
    uint8_t key[32], message[200], expect[BLAKE2S_MAC_BYTES], mac[BLAKE2S_MAC_BYTES];
    struct blake2s_key kept;

    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 7);
    for (size_t len = 1; len <= sizeof(message); len++) {
        size_t key_len = 1 + len % sizeof(key);

        memset(key, (int)len, sizeof(key));
        blake2s_key_init(&kept, key, key_len);
        blake2s_mac(expect, key, key_len, message, len, NULL, 0);
        blake2s_key_mac(&kept, mac, message, len / 3, message + len / 3, len - len / 3);
        assert_memory_equal(mac, expect, sizeof(mac));
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_key),
        cmocka_unit_test(hash_of_abc),
        cmocka_unit_test(hash_may_overwrite_its_input),
        cmocka_unit_test(mac_depends_on_every_part),
        cmocka_unit_test(kdf_vectors),
        cmocka_unit_test(threads_have_their_own),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
