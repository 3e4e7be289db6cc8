/* crypto.c - thin calls into libsodium. */
#include "common/crypto/crypto.h"

#include <sodium.h>
#include <string.h>

#include "common/base/err.h"
#include "common/crypto/contexts.h"

int crypto_init(void)
{
    if (sodium_init() < 0)
        return ERR_CRYPTO;
    contexts_get();
    return 0;
}

static void system_fill(struct rng *rng, void *out, size_t len)
{
    (void)rng;
    randombytes_buf(out, len);
}

void crypto_rng(struct rng *rng)
{
    *rng = (struct rng){.fill = system_fill};
}

void crypto_wipe(void *secret, size_t len)
{
    sodium_memzero(secret, len);
}

/* memcpy leaves the last bytes it moved in vector registers; which ones depends on the length */
static void wipe_registers(void)
{
    static const uint8_t zeros[512];
    uint8_t to[sizeof(zeros)];

    for (volatile size_t len = 8; len <= sizeof(zeros); len *= 2) {
        memcpy(to, zeros, len);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
}

void crypto_wipe_stack(void)
{
    wipe_registers();
    sodium_stackzero((size_t)32 * 1024); /* deeper than reading and sending a key goes, sanitizers' frames included */
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

bool crypto_is_zero(const void *p, size_t len)
{
    return sodium_is_zero(p, len) == 1;
}

int crypto_dh(uint8_t out[CRYPTO_KEY_BYTES], const uint8_t private_key[CRYPTO_KEY_BYTES],
              const uint8_t public_key[CRYPTO_KEY_BYTES])
{
    return crypto_scalarmult(out, private_key, public_key) == 0 ? 0 : ERR_CRYPTO;
}
