/* test_aead.c - both AEADs: round trips in place, every changed bit refused, and changing keys on one context. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto/aead.h"
#include "common/crypto/contexts.h"
#include "common/crypto/crypto.h"

static const uint8_t key[32] = {1, 2, 3}, other[32] = {4, 5, 6};

static void opens_what_was_sealed(void **state)
{
    for (size_t len = 0; len <= 1500; len += len < 70 ? 1 : 143) {
        uint8_t buf[1600], plain[1600];

        memset(plain, (int)len, sizeof(plain));
        memcpy(buf, plain, len);
        aead_seal(buf, buf, len, "ad", 2, len, key);
        assert_false(aead_open(plain, buf, len + AEAD_TAG_BYTES, "ad", 2, len + 1, key));
        assert_false(aead_open(plain, buf, len + AEAD_TAG_BYTES, "ad", 2, len, other));
        assert_false(aead_open(plain, buf, len + AEAD_TAG_BYTES, "aD", 2, len, key));
        assert_true(aead_open(buf, buf, len + AEAD_TAG_BYTES, "ad", 2, len, key));
        for (size_t i = 0; i < len; i++)
            assert_int_equal(buf[i], (uint8_t)len);
    }
    (void)state;
}

static void every_bit_counts(void **state)
{
    uint8_t sealed[8 + AEAD_TAG_BYTES], out[8];
    uint8_t nonce[XAEAD_NONCE_BYTES] = {7};

    for (int x = 0; x <= 1; x++) {
        if (x)
            xaead_seal(sealed, (const uint8_t *)"12345678", 8, NULL, 0, nonce, key);
        else
            aead_seal(sealed, (const uint8_t *)"12345678", 8, NULL, 0, 1, key);
        for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(x ? xaead_open(out, sealed, sizeof(sealed), NULL, 0, nonce, key)
                           : aead_open(out, sealed, sizeof(sealed), NULL, 0, 1, key));
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_true(x ? xaead_open(out, sealed, sizeof(sealed), NULL, 0, nonce, key)
                      : aead_open(out, sealed, sizeof(sealed), NULL, 0, 1, key));
        assert_memory_equal(out, "12345678", 8);
    }
    (void)state;
}

/* does a context hold these bytes? Beside the key it was given there is the cipher's own memory */
static bool holds(const struct contexts_aead *aead, const uint8_t bytes[AEAD_KEY_BYTES])
{
    return memcmp(aead->key, bytes, AEAD_KEY_BYTES) == 0 ||
           memmem(aead->ctx, malloc_usable_size(aead->ctx), bytes, AEAD_KEY_BYTES);
}

static void a_wiped_key_is_nowhere(void **state)
{
    const struct contexts *c = contexts_get();
    uint8_t mine[AEAD_KEY_BYTES], sealed[8 + AEAD_TAG_BYTES];

    memcpy(mine, key, sizeof(mine));
    aead_seal(sealed, (const uint8_t *)"12345678", 8, NULL, 0, 1, mine);
    assert_true(aead_open(sealed, sealed, sizeof(sealed), NULL, 0, 1, mine));
    assert_true(holds(&c->seal, key) && holds(&c->open, key));
    aead_key_wipe(mine);
    assert_false(holds(&c->seal, key));
    assert_false(holds(&c->open, key));
    assert_memory_equal(mine, ((uint8_t[AEAD_KEY_BYTES]){0}), sizeof(mine));
    aead_seal(sealed, (const uint8_t *)"12345678", 8, NULL, 0, 2, key); /* and works again */
    assert_true(aead_open(sealed, sealed, sizeof(sealed), NULL, 0, 2, key));
    assert_memory_equal(sealed, "12345678", 8);
    (void)state;
}

static void too_short_is_refused(void **state)
{
    uint8_t none[AEAD_TAG_BYTES] = {0}, out[1];

    for (size_t len = 0; len <= AEAD_TAG_BYTES; len++)
        assert_false(aead_open(out, none, len, NULL, 0, 0, key));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_was_sealed),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(a_wiped_key_is_nowhere),
        cmocka_unit_test(too_short_is_refused),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
