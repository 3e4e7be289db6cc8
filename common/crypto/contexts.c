/* contexts.c - the per-thread contexts and their end. */
#include "common/crypto/contexts.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <threads.h>

#include "common/base/bug.h"
#include "common/crypto/blake2s.h"

static once_flag once = ONCE_FLAG_INIT;
static tss_t at_thread_end;
static _Thread_local struct contexts *mine;

static void contexts_free(void *p)
{
    struct contexts *c = p;

    EVP_MD_CTX_free(c->hash);
    EVP_MAC_CTX_free(c->mac);
    EVP_MAC_CTX_free(c->hmac);
    EVP_CIPHER_CTX_free(c->seal);
    EVP_CIPHER_CTX_free(c->open);
    free(c);
    mine = NULL;
}

static void prepare(void)
{
    BUG_ON(tss_create(&at_thread_end, contexts_free) != thrd_success);
}

static EVP_MAC_CTX *mac_new(const char *name, const OSSL_PARAM *params)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, name, NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac); /* the context holds it now */
    BUG_ON(!ctx || EVP_MAC_CTX_set_params(ctx, params) != 1);
    return ctx;
}

static EVP_CIPHER_CTX *cipher_new(const EVP_CIPHER *cipher, int seal)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    BUG_ON(!cipher || !ctx || EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, seal) != 1);
    return ctx;
}

static struct contexts *contexts_new(void)
{
    struct contexts *c = calloc(1, sizeof(*c));
    EVP_MD *md = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    size_t mac_len = BLAKE2S_MAC_BYTES;
    char digest[] = "BLAKE2S-256";
    OSSL_PARAM mac_params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &mac_len), OSSL_PARAM_construct_end()};
    OSSL_PARAM hmac_params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                OSSL_PARAM_construct_end()};

    BUG_ON(!c || !md);
    c->hash = EVP_MD_CTX_new();
    BUG_ON(!c->hash || EVP_DigestInit_ex2(c->hash, md, NULL) != 1);
    c->mac = mac_new("BLAKE2SMAC", mac_params);
    c->hmac = mac_new("HMAC", hmac_params);
    c->seal = cipher_new(cipher, 1);
    c->open = cipher_new(cipher, 0);
    EVP_MD_free(md);
    EVP_CIPHER_free(cipher);
    return c;
}

struct contexts *contexts_get(void)
{
    if (!mine) {
        call_once(&once, prepare);
        mine = contexts_new();
        BUG_ON(tss_set(at_thread_end, mine) != thrd_success);
    }
    return mine;
}
