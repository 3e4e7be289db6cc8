/* contexts.h - OpenSSL's ChaCha20-Poly1305 and its contexts, one set a thread, made at its first use and freed when it
 * ends. For this folder.
 *
 * Fetching an algorithm and making a context costs microseconds and an allocation; giving a kept one a new key costs
 * next to nothing. So keys live in 32 bytes each where they belong, and no peer pays for a context. */
#ifndef CRYPTO_CONTEXTS_H
#define CRYPTO_CONTEXTS_H

#include <openssl/core_dispatch.h>
#include <stdbool.h>
#include <stdint.h>

/* The cipher's own functions, as its provider publishes them; see provider-cipher(7) for each. */
struct contexts_cipher {
    OSSL_FUNC_cipher_newctx_fn *newctx;
    OSSL_FUNC_cipher_freectx_fn *freectx;
    OSSL_FUNC_cipher_encrypt_init_fn *encrypt_init;
    OSSL_FUNC_cipher_decrypt_init_fn *decrypt_init;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *final;
    OSSL_FUNC_cipher_get_ctx_params_fn *params_get;
    OSSL_FUNC_cipher_set_ctx_params_fn *params_set;
};

struct contexts_aead {
    void *ctx;
    uint8_t key[32]; /* what ctx was given last, if `keyed`: it need not be given again */
    bool keyed;
};

struct contexts {
    const struct contexts_cipher *cipher; /* shared */
    struct contexts_aead seal;
    struct contexts_aead open;
};

/* contexts_get - this thread's; never NULL: stops the program when its first use finds no memory. */
struct contexts *contexts_get(void);

#endif
