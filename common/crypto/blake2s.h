/* blake2s.h - BLAKE2s-256 (RFC 7693) in the three ways WireGuard uses it: hash, 16-byte keyed MAC, and HKDF.
 *
 * Every function takes its message in two parts, either of which may be empty (NULL, 0): that is all the protocol
 * needs, and nobody has to join buffers first. No call allocates. */
#ifndef CRYPTO_BLAKE2S_H
#define CRYPTO_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2S_BYTES     32
#define BLAKE2S_MAC_BYTES 16
#define BLAKE2S_BLOCK_BYTES 64

/* blake2s_hash - out = BLAKE2s-256(a || b). out may be a or b. */
void blake2s_hash(uint8_t out[BLAKE2S_BYTES], const void *a, size_t a_len, const void *b, size_t b_len);

/* blake2s_mac - keyed BLAKE2s with a 16-byte digest (not a shortened longer one) over a || b; key_len 1 to 32. */
void blake2s_mac(uint8_t out[BLAKE2S_MAC_BYTES], const void *key, size_t key_len, const void *a, size_t a_len,
                 const void *b, size_t b_len);

/* A MAC key that is used often, with its own block compressed already: a third of a MAC over a handshake message.
 * As secret as the key. */
struct blake2s_key {
    uint32_t h[8];
};

/* blake2s_key_init - key of 1 to 32 bytes. blake2s_key_mac - blake2s_mac under it; a || b may not be empty. */
void blake2s_key_init(struct blake2s_key *key, const void *bytes, size_t len);
void blake2s_key_mac(const struct blake2s_key *key, uint8_t out[BLAKE2S_MAC_BYTES], const void *a, size_t a_len,
                     const void *b, size_t b_len);

/* blake2s_kdf - HKDF (RFC 5869) over HMAC-BLAKE2s with salt `ck`, input `in`, empty info: the first one, two or three
 * blocks. t2 and t3 may be NULL (t3 must be when t2 is). Any of them may be ck's own memory. */
void blake2s_kdf(uint8_t t1[BLAKE2S_BYTES], uint8_t *t2, uint8_t *t3, const uint8_t ck[BLAKE2S_BYTES], const void *in,
                 size_t in_len);

#endif
