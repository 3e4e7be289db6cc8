/* crypto.h - starting the cryptographic libraries, and the primitives that need no context of their own.
 *
 * common/crypto is the only door to libsodium and to libcrypto's primitives: X25519, XChaCha20-Poly1305, constant-time
 * comparison and guarded memory come from libsodium; BLAKE2s (which libsodium lacks) and the bulk ChaCha20-Poly1305
 * from OpenSSL. Which library does what may change here without anybody else noticing. */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/rng.h"

#define CRYPTO_KEY_BYTES 32

/* crypto_init - once a program, before anything else here. Returns 0 or ERR_CRYPTO (an algorithm is missing). */
int crypto_init(void);

/* crypto_rng - make `rng` the system's generator (getrandom behind libsodium); any thread may use it. */
void crypto_rng(struct rng *rng);

/* crypto_wipe - overwrite a secret; never optimised away. */
void crypto_wipe(void *secret, size_t len);

/* crypto_wipe_stack - overwrite what calls before this one may have left below the caller's frame and in the registers
 * that memcpy uses: compilers keep copies of what they move, and the dynamic linker and signals put registers on the
 * stack. Call it where a secret has passed through functions of the usual depth. */
void crypto_wipe_stack(void);

/* crypto_equal - are both runs of len bytes equal? Takes the same time wherever they differ. */
bool crypto_equal(const void *a, const void *b, size_t len);

/* crypto_is_zero - are all len bytes zero? Takes the same time whatever they are. */
bool crypto_is_zero(const void *p, size_t len);

/* crypto_dh - X25519 of a private and a public key (the private one is clamped on the way, RFC 7748 section 5).
 * Returns 0, or ERR_CRYPTO when the result is all zero: the public key is of low order, RFC 7748 section 6.1. */
int crypto_dh(uint8_t out[CRYPTO_KEY_BYTES], const uint8_t private_key[CRYPTO_KEY_BYTES],
              const uint8_t public_key[CRYPTO_KEY_BYTES]) __attribute__((warn_unused_result));

#endif
