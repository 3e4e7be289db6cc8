/* contexts.c - the per-thread contexts and their end. */
#include "common/crypto/contexts.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <threads.h>

#include "common/base/bug.h"

static once_flag once = ONCE_FLAG_INIT;
static tss_t at_thread_end;
static _Thread_local struct contexts *mine;

static void contexts_free(void *p)
{
    struct contexts *c = p;

    EVP_CIPHER_CTX_free(c->seal.ctx);
    EVP_CIPHER_CTX_free(c->open.ctx);
    sodium_memzero(c, sizeof(*c));
    free(c);
    mine = NULL;
}

static void prepare(void)
{
    BUG_ON(tss_create(&at_thread_end, contexts_free) != thrd_success);
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
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);

    BUG_ON(!c);
    c->seal.ctx = cipher_new(cipher, 1);
    c->open.ctx = cipher_new(cipher, 0);
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
