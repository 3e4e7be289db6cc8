/* wg_noise.c - the handshake, step by step under its Noise tokens. i initiator, r responder, s static, e ephemeral. */
#include "common/wg/wg_noise.h"

#include <string.h>

#include "common/base/err.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

static void mix_hash(struct wg_noise *n, const void *data, size_t len)
{
    blake2s_hash(n->hash, n->hash, sizeof(n->hash), data, len);
}

/* mix_key - chaining key, and with `key` given also a message key. */
static void mix_key(struct wg_noise *n, uint8_t *key, const void *data, size_t len)
{
    blake2s_kdf(n->chaining_key, key, NULL, n->chaining_key, data, len);
}

static int mix_dh(struct wg_noise *n, uint8_t *key, const uint8_t *private_key, const uint8_t *public_key)
{
    uint8_t shared[CRYPTO_KEY_BYTES];
    int err = crypto_dh(shared, private_key, public_key);

    if (!err)
        mix_key(n, key, shared, sizeof(shared));
    crypto_wipe(shared, sizeof(shared));
    return err;
}

/* a handshake key seals one message only, so its counter is always 0 */
static void seal(struct wg_noise *n, const uint8_t *key, uint8_t *out, const void *data, size_t len)
{
    aead_seal(out, data, len, n->hash, sizeof(n->hash), 0, key);
    mix_hash(n, out, len + WG_TAG_BYTES);
}

static int open_sealed(struct wg_noise *n, const uint8_t *key, void *out, const uint8_t *sealed, size_t len)
{
    if (!aead_open(out, sealed, len, n->hash, sizeof(n->hash), 0, key))
        return ERR_CRYPTO;
    mix_hash(n, sealed, len);
    return 0;
}

static void start(struct wg_noise *n, const uint8_t responder_public[WG_KEY_BYTES])
{
    blake2s_hash(n->chaining_key, construction, sizeof(construction) - 1, NULL, 0);
    blake2s_hash(n->hash, n->chaining_key, sizeof(n->chaining_key), identifier, sizeof(identifier) - 1);
    mix_hash(n, responder_public, WG_KEY_BYTES);
}

static void mix_ephemeral(struct wg_noise *n, const uint8_t public_key[WG_KEY_BYTES])
{
    mix_key(n, NULL, public_key, WG_KEY_BYTES);
    mix_hash(n, public_key, WG_KEY_BYTES);
}

static void mix_psk(struct wg_noise *n, uint8_t key[WG_KEY_BYTES], const uint8_t preshared[WG_KEY_BYTES])
{
    uint8_t tau[BLAKE2S_BYTES];

    blake2s_kdf(n->chaining_key, tau, key, n->chaining_key, preshared, WG_KEY_BYTES);
    mix_hash(n, tau, sizeof(tau));
    crypto_wipe(tau, sizeof(tau));
}

int wg_noise_initiation_make(struct wg_noise *noise, struct wg_initiation_message *m,
                             const struct wg_identity *identity, const uint8_t peer_public[WG_KEY_BYTES],
                             const uint8_t static_static[WG_KEY_BYTES], const uint8_t ephemeral[WG_KEY_BYTES],
                             const uint8_t stamp[WG_STAMP_BYTES])
{
    uint8_t key[AEAD_KEY_BYTES] = {0};
    int err = key_public(ephemeral, m->ephemeral);

    start(noise, peer_public);
    if (err)
        goto out;
    mix_ephemeral(noise, m->ephemeral);                      /* e */
    err = mix_dh(noise, key, ephemeral, peer_public);        /* es */
    if (err)
        goto out;
    seal(noise, key, m->sealed_static, identity->public_key, WG_KEY_BYTES); /* s */
    mix_key(noise, key, static_static, WG_KEY_BYTES);                       /* ss */
    seal(noise, key, m->sealed_stamp, stamp, WG_STAMP_BYTES);
out:
    aead_key_wipe(key);
    return err;
}

int wg_noise_initiation_open(struct wg_noise *noise, const struct wg_initiation_message *m,
                             const struct wg_identity *identity, uint8_t peer_public[WG_KEY_BYTES])
{
    uint8_t key[AEAD_KEY_BYTES] = {0};
    int err;

    start(noise, identity->public_key);
    mix_ephemeral(noise, m->ephemeral);                                /* e */
    err = mix_dh(noise, key, identity->private_key, m->ephemeral);     /* es */
    if (!err)
        err = open_sealed(noise, key, peer_public, m->sealed_static, sizeof(m->sealed_static)); /* s */
    aead_key_wipe(key);
    return err;
}

int wg_noise_initiation_prove(struct wg_noise *noise, const struct wg_initiation_message *m,
                              const uint8_t static_static[WG_KEY_BYTES], uint8_t stamp[WG_STAMP_BYTES])
{
    uint8_t key[AEAD_KEY_BYTES] = {0};

    mix_key(noise, key, static_static, WG_KEY_BYTES); /* ss */
    int err = open_sealed(noise, key, stamp, m->sealed_stamp, sizeof(m->sealed_stamp));

    aead_key_wipe(key);
    return err;
}

int wg_noise_response_make(struct wg_noise *noise, struct wg_response_message *m,
                           const uint8_t ephemeral[WG_KEY_BYTES], const uint8_t their_ephemeral[WG_KEY_BYTES],
                           const uint8_t peer_public[WG_KEY_BYTES], const uint8_t preshared[WG_KEY_BYTES],
                           struct wg_keys *keys)
{
    uint8_t key[AEAD_KEY_BYTES] = {0};
    int err = key_public(ephemeral, m->ephemeral);

    if (err)
        goto out;
    mix_ephemeral(noise, m->ephemeral); /* e */
    err = mix_dh(noise, NULL, ephemeral, their_ephemeral); /* ee */
    if (!err)
        err = mix_dh(noise, NULL, ephemeral, peer_public); /* se */
    if (err)
        goto out;
    mix_psk(noise, key, preshared); /* psk */
    seal(noise, key, m->sealed_empty, NULL, 0);
    blake2s_kdf(keys->recv, keys->send, NULL, noise->chaining_key, NULL, 0); /* first key: initiator to responder */
out:
    aead_key_wipe(key);
    crypto_wipe(noise, sizeof(*noise));
    return err;
}

int wg_noise_response_open(const struct wg_noise *noise, const struct wg_response_message *m,
                           const struct wg_identity *identity, const uint8_t ephemeral[WG_KEY_BYTES],
                           const uint8_t preshared[WG_KEY_BYTES], struct wg_keys *keys)
{
    struct wg_noise n = *noise;
    uint8_t key[AEAD_KEY_BYTES] = {0}, none[1];

    mix_ephemeral(&n, m->ephemeral);                    /* e */
    int err = mix_dh(&n, NULL, ephemeral, m->ephemeral); /* ee */

    if (!err)
        err = mix_dh(&n, NULL, identity->private_key, m->ephemeral); /* se */
    if (err)
        goto out;
    mix_psk(&n, key, preshared); /* psk */
    err = open_sealed(&n, key, none, m->sealed_empty, sizeof(m->sealed_empty));
    if (!err)
        blake2s_kdf(keys->send, keys->recv, NULL, n.chaining_key, NULL, 0);
out:
    aead_key_wipe(key);
    crypto_wipe(&n, sizeof(n));
    return err;
}
