/* box.h - NaCl's crypto_box: X25519, XSalsa20-Poly1305, as disco and DERP use it.
 *
 * The costly part depends on the two keys only, so it is done once a pair (box_shared) and kept. A box is the 16-byte
 * tag, then the ciphertext. Bernstein, "Cryptography in NaCl", 2009. */
#ifndef CRYPTO_BOX_H
#define CRYPTO_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOX_KEY_BYTES   32
#define BOX_NONCE_BYTES 24
#define BOX_TAG_BYTES   16

/* box_shared - the secret of two parties, the same from either side. 0, or ERR_CRYPTO for a public key of low order. */
int box_shared(uint8_t shared[BOX_KEY_BYTES], const uint8_t private_key[BOX_KEY_BYTES],
               const uint8_t public_key[BOX_KEY_BYTES]) __attribute__((warn_unused_result));

/* box_seal - out = tag, then len bytes of ciphertext. out must not overlap data. A nonce must never be used twice with
 * one secret; it is long enough to be random. */
void box_seal(uint8_t *out, const uint8_t *data, size_t len, const uint8_t nonce[BOX_NONCE_BYTES],
              const uint8_t shared[BOX_KEY_BYTES]);

/* box_open - the reverse: len counts the tag too, out takes len - BOX_TAG_BYTES bytes and must not overlap data. False
 * when it is not authentic: out then holds nothing of use. */
bool box_open(uint8_t *out, const uint8_t *data, size_t len, const uint8_t nonce[BOX_NONCE_BYTES],
              const uint8_t shared[BOX_KEY_BYTES]) __attribute__((warn_unused_result));

#endif
