/* key.h - Curve25519 keys: text forms, making them, and the address that follows from one. */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/rng.h"

#define KEY_BYTES 32
#define KEY_STR   45 /* base64 of a key, with its zero */

/* key_parse - a key from its text: base64 in its one canonical form (44 characters, as wg(8) writes it) or 64 hex
 * digits, which "nodekey:" (a public key) or "privkey:" (a private one) may precede, as Tailscale writes it.
 * Takes the same time whatever the key is. False: not a key; out is then unspecified. */
bool key_parse(const char *text, size_t len, uint8_t out[KEY_BYTES]);

/* key_format - base64, with its zero. */
void key_format(const uint8_t key[KEY_BYTES], char out[KEY_STR]);

/* key_generate - a fresh private key, clamped (RFC 7748 section 5), as other tools expect to find it in a file. */
void key_generate(struct rng *rng, uint8_t out[KEY_BYTES]);

/* key_public - the public key of a private one. Returns 0, or ERR_CRYPTO (never for a clamped key). */
int key_public(const uint8_t private_key[KEY_BYTES], uint8_t public_key[KEY_BYTES])
    __attribute__((warn_unused_result));

/* key_ula - an address that follows from a public key, so that nobody has to hand one out:
 * fd, then the first 15 bytes of BLAKE2s-256("funnel-ingress ula v1" || public key). It is a unique local address
 * (RFC 4193: fd00::/8) whose whole rest, not only its 40 bits of global id, is taken from the hash. */
void key_ula(const uint8_t public_key[KEY_BYTES], struct addr *out);

#endif
