/* contexts.c - the per-thread contexts and their end. */
#include "common/crypto/contexts.h"

#include <openssl/core.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <threads.h>

#include "common/base/bug.h"

#define CIPHER "ChaCha20-Poly1305"

static once_flag once = ONCE_FLAG_INIT;
static tss_t at_thread_end;
static const OSSL_PROVIDER *provider; /* whose cipher it is */
static struct contexts_cipher cipher;
static _Thread_local struct contexts *mine;

static void contexts_free(void *p)
{
    struct contexts *c = p;

    cipher.freectx(c->seal.ctx);
    cipher.freectx(c->open.ctx);
    sodium_memzero(c, sizeof(*c));
    free(c);
    mine = NULL;
}

/* an algorithm has its names in one string, with colons between them */
static bool named(const char *names, const char *name)
{
    size_t len = strlen(name);

    while (strncasecmp(names, name, len) != 0 || (names[len] != ':' && names[len] != 0)) {
        const char *colon = strchr(names, ':');

        if (!colon)
            return false;
        names = colon + 1;
    }
    return true;
}

static void take(const OSSL_DISPATCH *d)
{
    for (; d->function_id != 0; d++)
        switch (d->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX:
            cipher.newctx = OSSL_FUNC_cipher_newctx(d);
            break;
        case OSSL_FUNC_CIPHER_FREECTX:
            cipher.freectx = OSSL_FUNC_cipher_freectx(d);
            break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
            cipher.encrypt_init = OSSL_FUNC_cipher_encrypt_init(d);
            break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT:
            cipher.decrypt_init = OSSL_FUNC_cipher_decrypt_init(d);
            break;
        case OSSL_FUNC_CIPHER_UPDATE:
            cipher.update = OSSL_FUNC_cipher_update(d);
            break;
        case OSSL_FUNC_CIPHER_FINAL:
            cipher.final = OSSL_FUNC_cipher_final(d);
            break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
            cipher.params_get = OSSL_FUNC_cipher_get_ctx_params(d);
            break;
        case OSSL_FUNC_CIPHER_SET_CTX_PARAMS:
            cipher.params_set = OSSL_FUNC_cipher_set_ctx_params(d);
            break;
        default:
            break;
        }
}

/* EVP says whose cipher it would use; the functions are taken from there, for as long as the program runs. */
static void cipher_find(void)
{
    EVP_CIPHER *fetched = EVP_CIPHER_fetch(NULL, CIPHER, NULL);
    int no_cache;

    BUG_ON(!fetched);
    provider = EVP_CIPHER_get0_provider(fetched);
    const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_cache);

    while (a && a->algorithm_names && !named(a->algorithm_names, CIPHER))
        a++;
    BUG_ON(!a || !a->algorithm_names);
    take(a->implementation);
    BUG_ON(!cipher.newctx || !cipher.freectx || !cipher.encrypt_init || !cipher.decrypt_init || !cipher.update ||
           !cipher.final || !cipher.params_get || !cipher.params_set);
    EVP_CIPHER_free(fetched);
}

static void prepare(void)
{
    cipher_find();
    BUG_ON(tss_create(&at_thread_end, contexts_free) != thrd_success);
}

static struct contexts *contexts_new(void)
{
    struct contexts *c = calloc(1, sizeof(*c));
    void *of = OSSL_PROVIDER_get0_provider_ctx(provider);

    BUG_ON(!c);
    c->cipher = &cipher;
    c->seal.ctx = cipher.newctx(of);
    c->open.ctx = cipher.newctx(of);
    BUG_ON(!c->seal.ctx || !c->open.ctx);
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
