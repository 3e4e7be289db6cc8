/* blake2s.c - BLAKE2s by OpenSSL: EVP_MD for the hash, EVP_MAC for the keyed forms. A failure here would be a mistake
 * of ours (the algorithms were fetched when the thread's contexts were made), so it is a BUG_ON. */
#include "common/crypto/blake2s.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/contexts.h"
#include "common/crypto/crypto.h"

void blake2s_hash(uint8_t out[BLAKE2S_BYTES], const void *a, size_t a_len, const void *b, size_t b_len)
{
    EVP_MD_CTX *ctx = contexts_get()->hash;

    BUG_ON(EVP_DigestInit_ex2(ctx, NULL, NULL) != 1 || EVP_DigestUpdate(ctx, a, a_len) != 1 ||
           EVP_DigestUpdate(ctx, b, b_len) != 1 || EVP_DigestFinal_ex(ctx, out, NULL) != 1);
}

static void keyed(EVP_MAC_CTX *ctx, uint8_t *out, size_t out_len, const void *key, size_t key_len, const void *a,
                  size_t a_len, const void *b, size_t b_len)
{
    size_t made = 0;

    BUG_ON(EVP_MAC_init(ctx, key, key_len, NULL) != 1 || EVP_MAC_update(ctx, a, a_len) != 1 ||
           EVP_MAC_update(ctx, b, b_len) != 1 || EVP_MAC_final(ctx, out, &made, out_len) != 1 || made != out_len);
}

void blake2s_mac(uint8_t out[BLAKE2S_MAC_BYTES], const void *key, size_t key_len, const void *a, size_t a_len,
                 const void *b, size_t b_len)
{
    keyed(contexts_get()->mac, out, BLAKE2S_MAC_BYTES, key, key_len, a, a_len, b, b_len);
}

void blake2s_kdf(uint8_t t1[BLAKE2S_BYTES], uint8_t *t2, uint8_t *t3, const uint8_t ck[BLAKE2S_BYTES], const void *in,
                 size_t in_len)
{
    EVP_MAC_CTX *hmac = contexts_get()->hmac;
    uint8_t prk[BLAKE2S_BYTES], block[BLAKE2S_BYTES];
    uint8_t *outs[] = {t1, t2, t3};

    BUG_ON(!t2 && t3);
    keyed(hmac, prk, sizeof(prk), ck, BLAKE2S_BYTES, in, in_len, NULL, 0);
    for (uint8_t n = 1; n <= 3 && outs[n - 1]; n++) {
        keyed(hmac, block, sizeof(block), prk, sizeof(prk), block, n == 1 ? 0 : sizeof(block), &n, 1);
        memcpy(outs[n - 1], block, sizeof(block));
    }
    crypto_wipe(prk, sizeof(prk));
    crypto_wipe(block, sizeof(block));
}
