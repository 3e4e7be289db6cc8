/* contexts.h - OpenSSL's contexts, one set a thread, made at its first use and freed when it ends. For this folder.
 *
 * Fetching an algorithm and making a context costs microseconds and an allocation; giving a kept one a new key costs
 * next to nothing. So keys live in 32 bytes each where they belong, and no peer pays for a context.
 * OpenSSL's types are named by their tags here: its headers and base/err.h both define ERR_WRONG_STATE, so a file includes
 * one or the other. */
#ifndef CRYPTO_CONTEXTS_H
#define CRYPTO_CONTEXTS_H

struct contexts {
    struct evp_cipher_ctx_st *seal; /* ChaCha20-Poly1305 */
    struct evp_cipher_ctx_st *open;
};

/* contexts_get - this thread's; never NULL: stops the program when its first use finds no memory. */
struct contexts *contexts_get(void);

#endif
