/* wg_noise.h - the Noise_IKpsk2 handshake as pure functions of keys and messages. Section 5.4.1 to 5.4.5.
 *
 * A `struct wg_noise` is the running state. Functions that open a stranger's message work on a copy of it and commit
 * at the end, so a refused message leaves no trace. All return 0 or ERR_CRYPTO: a tag did not match, or a public key
 * was of low order. Messages are filled or read except for type, indices and macs. */
#ifndef WG_WG_NOISE_H
#define WG_WG_NOISE_H

#include <stdint.h>

#include "common/crypto/blake2s.h"
#include "common/wg/wg_messages.h"

struct wg_noise {
    uint8_t chaining_key[32];
    uint8_t hash[32];
};

struct wg_keys {
    uint8_t send[WG_KEY_BYTES];
    uint8_t recv[WG_KEY_BYTES];
};

/* One of our static keys with what follows from it. */
struct wg_identity {
    const uint8_t *private_key; /* guarded memory; NULL: this place is free */
    uint8_t public_key[WG_KEY_BYTES];
    struct blake2s_key mac1;
    uint8_t cookie_key[WG_KEY_BYTES];
    unsigned peers; /* that initiate as this identity */
};

/* wg_noise_initiation_make - `e -> es -> s -> ss -> stamp` from our side. `ephemeral` is a fresh private key,
 * `static_static` the DH of both static keys. *noise is what wg_noise_response_open goes on from. */
int wg_noise_initiation_make(struct wg_noise *noise, struct wg_initiation_message *m,
                             const struct wg_identity *identity, const uint8_t peer_public[WG_KEY_BYTES],
                             const uint8_t static_static[WG_KEY_BYTES], const uint8_t ephemeral[WG_KEY_BYTES],
                             const uint8_t stamp[WG_STAMP_BYTES]);

/* The same message opened in two steps: first who claims to call, then - with the DH of both static keys - the proof
 * that it is so, and the stamp. */
int wg_noise_initiation_open(struct wg_noise *noise, const struct wg_initiation_message *m,
                             const struct wg_identity *identity, uint8_t peer_public[WG_KEY_BYTES]);
int wg_noise_initiation_prove(struct wg_noise *noise, const struct wg_initiation_message *m,
                              const uint8_t static_static[WG_KEY_BYTES], uint8_t stamp[WG_STAMP_BYTES]);

/* wg_noise_response_make - `e -> ee -> se -> psk -> empty` to an initiation opened and proven; gives the session's
 * keys and uses *noise up. `ephemeral` is a fresh private key of ours, `their_ephemeral` the initiation's. */
int wg_noise_response_make(struct wg_noise *noise, struct wg_response_message *m,
                           const uint8_t ephemeral[WG_KEY_BYTES], const uint8_t their_ephemeral[WG_KEY_BYTES],
                           const uint8_t peer_public[WG_KEY_BYTES], const uint8_t preshared[WG_KEY_BYTES],
                           struct wg_keys *keys);

/* wg_noise_response_open - the answer to our initiation; `ephemeral` is the one that initiation was made with. */
int wg_noise_response_open(const struct wg_noise *noise, const struct wg_response_message *m,
                           const struct wg_identity *identity, const uint8_t ephemeral[WG_KEY_BYTES],
                           const uint8_t preshared[WG_KEY_BYTES], struct wg_keys *keys);

#endif
