/* aead.h - authenticated encryption: ChaCha20-Poly1305 (RFC 8439) for handshakes and packets, XChaCha20-Poly1305
 * (draft-irtf-cfrg-xchacha) for cookie replies. No call allocates. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_BYTES    32
#define AEAD_TAG_BYTES    16
#define XAEAD_NONCE_BYTES 24

/* aead_seal - out = ciphertext of len bytes, then the tag. The nonce is four zero bytes and the counter,
 * little-endian, as WireGuard and Noise count. out may be data (in place) but not overlap it otherwise.
 * A counter must never be used twice with one key. len < INT_MAX. */
void aead_seal(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len, uint64_t counter,
               const uint8_t key[AEAD_KEY_BYTES]);

/* aead_open - the reverse: len counts the tag too. False when it is not authentic: out then holds nothing of use.
 * out may be data. */
bool aead_open(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len, uint64_t counter,
               const uint8_t key[AEAD_KEY_BYTES]) __attribute__((warn_unused_result));

/* aead_key_wipe - of a key that was used with these two, on this thread: with it goes what they keep for the next
 * packet. */
void aead_key_wipe(uint8_t key[AEAD_KEY_BYTES]);

/* xaead_seal, xaead_open - the same with a 24-byte nonce, which may be random. */
void xaead_seal(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len,
                const uint8_t nonce[XAEAD_NONCE_BYTES], const uint8_t key[AEAD_KEY_BYTES]);
bool xaead_open(uint8_t *out, const uint8_t *data, size_t len, const void *ad, size_t ad_len,
                const uint8_t nonce[XAEAD_NONCE_BYTES], const uint8_t key[AEAD_KEY_BYTES])
    __attribute__((warn_unused_result));

#endif
