/* ts2021.c - the handshake step by step under its Noise tokens, and records. */
#include "common/tailnet/ts2021.h"

#include <stdio.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"

static const char protocol[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s"; /* 33 bytes: hashed, not padded */

/* where the parts of the messages are */
enum { E_AT = 5, SEALED_AT = E_AT + 32, TAG_AT = SEALED_AT + 48, RESPONSE_TAG_AT = TS2021_HEAD_BYTES + 32 };

static void mix_hash(struct ts2021 *t, const void *data, size_t len)
{
    blake2s_hash(t->hash, t->hash, sizeof(t->hash), data, len);
}

static int mix_dh(struct ts2021 *t, uint8_t key[32], const uint8_t *private_key, const uint8_t *public_key)
{
    uint8_t shared[CRYPTO_KEY_BYTES];
    int err = crypto_dh(shared, private_key, public_key);

    if (!err)
        blake2s_kdf(t->chaining_key, key, NULL, t->chaining_key, shared, sizeof(shared));
    crypto_wipe(shared, sizeof(shared));
    return err;
}

static void start(struct ts2021 *t, const uint8_t server[32], uint16_t version)
{
    char prologue[64];
    int len = snprintf(prologue, sizeof(prologue), "Tailscale Control Protocol v%u", version);

    blake2s_hash(t->hash, protocol, sizeof(protocol) - 1, NULL, 0);
    memcpy(t->chaining_key, t->hash, sizeof(t->chaining_key));
    mix_hash(t, prologue, (size_t)len);
    mix_hash(t, server, 32);
}

int ts2021_start(struct ts2021 *t, const uint8_t machine[TS2021_KEY_BYTES], const uint8_t server[TS2021_KEY_BYTES],
                 const uint8_t ephemeral[TS2021_KEY_BYTES], uint16_t version, uint8_t out[TS2021_INITIATION_BYTES])
{
    uint8_t key[AEAD_KEY_BYTES] = {0}, machine_public[32];
    int err;

    *t = (struct ts2021){0};
    memcpy(t->machine, machine, 32);
    memcpy(t->ephemeral, ephemeral, 32);
    be16_put(out, version);
    out[2] = TS2021_INITIATION;
    be16_put(out + 3, TS2021_INITIATION_BYTES - E_AT);
    start(t, server, version);
    if ((err = key_public(t->ephemeral, out + E_AT)) || (err = key_public(t->machine, machine_public)))
        goto out;
    mix_hash(t, out + E_AT, 32);                                                            /* e */
    if ((err = mix_dh(t, key, t->ephemeral, server)))                                       /* es */
        goto out;
    aead_seal(out + SEALED_AT, machine_public, 32, t->hash, sizeof(t->hash), 0, key);       /* s */
    mix_hash(t, out + SEALED_AT, 48);
    if ((err = mix_dh(t, key, t->machine, server)))                                         /* ss */
        goto out;
    aead_seal(out + TAG_AT, machine_public, 0, t->hash, sizeof(t->hash), 0, key);           /* no payload */
    mix_hash(t, out + TAG_AT, TS2021_TAG_BYTES);
out:
    aead_key_wipe(key);
    return err;
}

int ts2021_finish(struct ts2021 *t, const uint8_t response[TS2021_RESPONSE_BYTES])
{
    const uint8_t *e = response + TS2021_HEAD_BYTES, *tag = response + RESPONSE_TAG_AT;
    uint8_t key[AEAD_KEY_BYTES] = {0}, nothing[1];
    int err = ERR_CRYPTO;

    if (response[0] != TS2021_RESPONSE || be16_get(response + 1) != TS2021_RESPONSE_BYTES - TS2021_HEAD_BYTES)
        goto out;
    mix_hash(t, e, 32);                                                                     /* e */
    if (mix_dh(t, key, t->ephemeral, e) || mix_dh(t, key, t->machine, e))                   /* ee, se */
        goto out;
    if (!aead_open(nothing, tag, TS2021_TAG_BYTES, t->hash, sizeof(t->hash), 0, key))       /* no payload */
        goto out;
    mix_hash(t, tag, TS2021_TAG_BYTES);
    blake2s_kdf(t->send_key, t->receive_key, NULL, t->chaining_key, NULL, 0);
    err = 0;
out:
    aead_key_wipe(key);
    crypto_wipe(t->ephemeral, sizeof(t->ephemeral));
    crypto_wipe(t->machine, sizeof(t->machine));
    crypto_wipe(t->chaining_key, sizeof(t->chaining_key));
    return err;
}

/* aead.h counts little-endian; here the same eight bytes stand the other way round */
static uint64_t big_endian(uint64_t counter)
{
    uint8_t bytes[8];

    be64_put(bytes, counter);
    return le64_get(bytes);
}

size_t ts2021_seal(struct ts2021 *t, uint8_t *out, const uint8_t *plain, size_t len)
{
    BUG_ON(len > TS2021_PLAIN_MAX);
    aead_seal(out + TS2021_HEAD_BYTES, plain, len, NULL, 0, big_endian(t->sent++), t->send_key);
    out[0] = TS2021_RECORD;
    be16_put(out + 1, (uint16_t)(len + TS2021_TAG_BYTES));
    return TS2021_HEAD_BYTES + len + TS2021_TAG_BYTES;
}

int ts2021_open(struct ts2021 *t, uint8_t *frame, size_t len, const uint8_t **plain)
{
    uint8_t *sealed = frame + TS2021_HEAD_BYTES;

    if (len < TS2021_HEAD_BYTES + TS2021_TAG_BYTES || frame[0] != TS2021_RECORD ||
        be16_get(frame + 1) != len - TS2021_HEAD_BYTES)
        return ERR_INVALID;
    if (!aead_open(sealed, sealed, len - TS2021_HEAD_BYTES, NULL, 0, big_endian(t->received), t->receive_key))
        return ERR_CRYPTO;
    t->received++;
    *plain = sealed;
    return (int)(len - TS2021_HEAD_BYTES - TS2021_TAG_BYTES);
}

void ts2021_wipe(struct ts2021 *t)
{
    aead_key_wipe(t->send_key);
    aead_key_wipe(t->receive_key);
    crypto_wipe(t, sizeof(*t));
}

static size_t take(struct ts2021_frames *frames, const uint8_t *data, size_t len, size_t upto)
{
    size_t n = frames->len < upto ? MIN(len, upto - frames->len) : 0;

    memcpy(frames->bytes + frames->len, data, n);
    frames->len += n;
    return n;
}

int ts2021_frames_feed(struct ts2021_frames *frames, const uint8_t *data, size_t len, size_t *used)
{
    *used = take(frames, data, len, TS2021_HEAD_BYTES);
    if (frames->len < TS2021_HEAD_BYTES)
        return 0;
    size_t whole = TS2021_HEAD_BYTES + (size_t)be16_get(frames->bytes + 1);

    if (whole > TS2021_FRAME_MAX)
        return ERR_TOO_LARGE;
    *used += take(frames, data + *used, len - *used, whole);
    if (frames->len < whole)
        return 0;
    frames->len = 0;
    return (int)whole;
}
