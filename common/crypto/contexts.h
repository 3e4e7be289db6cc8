/* contexts.h - OpenSSL's contexts, one set a thread, made at its first use and freed when it ends. For this folder.
 *
 * Fetching an algorithm and making a context costs microseconds and an allocation; giving a kept one a new key costs
 * next to nothing. So keys live in 32 bytes each where they belong, and no peer pays for a context.
 * OpenSSL's types are named by their tags here: its headers and base/err.h both define ERR_WRONG_STATE, so a file includes
 * one or the other. */
#ifndef CRYPTO_CONTEXTS_H
#define CRYPTO_CONTEXTS_H

#include <stdbool.h>
#include <stdint.h>

struct contexts_aead {
    struct evp_cipher_ctx_st *ctx;
    uint8_t key[32]; /* what ctx was given last, if `keyed`: it need not be given again */
    bool keyed;
};

struct contexts {
    struct contexts_aead seal; /* ChaCha20-Poly1305 */
    struct contexts_aead open;
};

/* contexts_get - this thread's; never NULL: stops the program when its first use finds no memory. */
struct contexts *contexts_get(void);

#endif
