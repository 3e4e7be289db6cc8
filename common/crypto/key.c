/* key.c - keys as text and as addresses. libsodium's codecs run in constant time and refuse non-canonical base64. */
#include "common/crypto/key.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/blake2s.h"

#define PREFIX_LEN (sizeof("nodekey:") - 1)

static const char ula_label[] = "funnel-ingress ula v1";

static_assert(sizeof("privkey:") == sizeof("nodekey:"), "both prefixes have one length");
static_assert(KEY_STR == sodium_base64_ENCODED_LEN(KEY_BYTES, sodium_base64_VARIANT_ORIGINAL), "text fits exactly");

static bool hex_parse(const char *text, size_t len, uint8_t out[KEY_BYTES])
{
    size_t made = 0;

    return len == 2 * KEY_BYTES && sodium_hex2bin(out, KEY_BYTES, text, len, NULL, &made, NULL) == 0 &&
           made == KEY_BYTES;
}

static bool base64_parse(const char *text, size_t len, uint8_t out[KEY_BYTES])
{
    size_t made = 0;

    return len == KEY_STR - 1 &&
           sodium_base642bin(out, KEY_BYTES, text, len, NULL, &made, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           made == KEY_BYTES;
}

bool key_parse(const char *text, size_t len, uint8_t out[KEY_BYTES])
{
    if (len >= PREFIX_LEN && (memcmp(text, "nodekey:", PREFIX_LEN) == 0 || memcmp(text, "privkey:", PREFIX_LEN) == 0))
        return hex_parse(text + PREFIX_LEN, len - PREFIX_LEN, out);
    return hex_parse(text, len, out) || base64_parse(text, len, out);
}

void key_format(const uint8_t key[KEY_BYTES], char out[KEY_STR])
{
    sodium_bin2base64(out, KEY_STR, key, KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
}

void key_generate(struct rng *rng, uint8_t out[KEY_BYTES])
{
    rng_fill(rng, out, KEY_BYTES);
    out[0] &= 248;
    out[31] = (out[31] & 127) | 64;
}

int key_public(const uint8_t private_key[KEY_BYTES], uint8_t public_key[KEY_BYTES])
{
    return crypto_scalarmult_base(public_key, private_key) == 0 ? 0 : ERR_CRYPTO;
}

void key_ula(const uint8_t public_key[KEY_BYTES], struct addr *out)
{
    uint8_t hash[BLAKE2S_BYTES], bytes[16] = {0xfd};

    blake2s_hash(hash, ula_label, sizeof(ula_label) - 1, public_key, KEY_BYTES);
    memcpy(bytes + 1, hash, sizeof(bytes) - 1);
    *out = addr_v6(bytes);
}
