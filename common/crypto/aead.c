/* aead.c - ChaCha20-Poly1305 by OpenSSL's implementation (10.9 Gbit/s a core at 1,280 bytes where libsodium does 8.5), the
 * XChaCha20 form through libsodium. EVP looks lengths up by name at each nonce; so the cipher's functions are called as EVP
 * would call them (contexts.h; decision 0081 has the figures), and a thread's context keeps the key it had last, because
 * packets come in trains of one session. */
#include "common/crypto/aead.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <sodium.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/contexts.h"

#define NONCE_BYTES 12

/* in constant time, by words: sodium_memcmp goes by bytes, and took as long as a twelfth of the cipher */
static bool same_key(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y, differ = 0;

    for (size_t at = 0; at < AEAD_KEY_BYTES; at += sizeof(x)) {
        memcpy(&x, a + at, sizeof(x));
        memcpy(&y, b + at, sizeof(y));
        differ |= x ^ y;
    }
    return differ == 0;
}

typedef int init_fn(void *ctx, const unsigned char *key, size_t key_len, const unsigned char *nonce, size_t nonce_len,
                    const OSSL_PARAM params[]);

/* the context is for this key and packet; a changed key is 32 bytes copied, there is no key schedule */
static void prepare(const struct contexts_cipher *cipher, struct contexts_aead *aead, init_fn *init, uint64_t counter,
                    const uint8_t *key, const void *ad, size_t ad_len)
{
    uint8_t nonce[NONCE_BYTES] = {0};
    bool same = aead->keyed && same_key(aead->key, key);
    size_t n;

    le64_put(nonce + 4, counter);
    BUG_ON(init(aead->ctx, same ? NULL : key, same ? 0 : AEAD_KEY_BYTES, nonce, sizeof(nonce), NULL) != 1);
    if (!same) {
        memcpy(aead->key, key, sizeof(aead->key));
        aead->keyed = true;
    }
    BUG_ON(ad_len && cipher->update(aead->ctx, NULL, &n, ad_len, ad, ad_len) != 1);
}

void aead_seal(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len, uint64_t counter,
               const uint8_t key[AEAD_KEY_BYTES])
{
    struct contexts *c = contexts_get();
    void *ctx = c->seal.ctx;
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, out + len, AEAD_TAG_BYTES), OSSL_PARAM_END};
    size_t n;

    prepare(c->cipher, &c->seal, c->cipher->encrypt_init, counter, key, ad, ad_len);
    BUG_ON(len && c->cipher->update(ctx, out, &n, len, data, len) != 1);
    BUG_ON(c->cipher->final(ctx, out + len, &n, 0) != 1);
    BUG_ON(c->cipher->params_get(ctx, tag) != 1);
}

bool aead_open(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len, uint64_t counter,
               const uint8_t key[AEAD_KEY_BYTES])
{
    struct contexts *c = contexts_get();
    void *ctx = c->open.ctx;
    uint8_t theirs[AEAD_TAG_BYTES], none[1];
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, theirs, sizeof(theirs)), OSSL_PARAM_END};
    size_t n;

    if (len < AEAD_TAG_BYTES)
        return false;
    len -= AEAD_TAG_BYTES;
    memcpy(theirs, data + len, sizeof(theirs));
    prepare(c->cipher, &c->open, c->cipher->decrypt_init, counter, key, ad, ad_len);
    BUG_ON(c->cipher->params_set(ctx, tag) != 1);
    BUG_ON(len && c->cipher->update(ctx, out, &n, len, data, len) != 1);
    return c->cipher->final(ctx, none, &n, 0) == 1;
}

void aead_key_wipe(uint8_t key[AEAD_KEY_BYTES])
{
    static const uint8_t none[AEAD_KEY_BYTES];
    const struct contexts *c = contexts_get();
    uint8_t packet[1 + AEAD_TAG_BYTES] = {0};

    /* a packet under another key takes the place of all that a context holds of this one */
    if (c->seal.keyed && same_key(c->seal.key, key))
        aead_seal(packet, packet, 1, NULL, 0, 0, none);
    if (c->open.keyed && same_key(c->open.key, key))
        (void)!aead_open(packet, packet, sizeof(packet), NULL, 0, 0, none);
    sodium_memzero(key, AEAD_KEY_BYTES);
}

void xaead_seal(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len,
                const uint8_t nonce[XAEAD_NONCE_BYTES], const uint8_t key[AEAD_KEY_BYTES])
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, data, len, ad, ad_len, NULL, nonce, key);
}

bool xaead_open(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len,
                const uint8_t nonce[XAEAD_NONCE_BYTES], const uint8_t key[AEAD_KEY_BYTES])
{
    return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, data, len, ad, ad_len, nonce, key) == 0;
}
