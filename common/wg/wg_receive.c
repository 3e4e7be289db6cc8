/* wg_receive.c - what to do with a datagram. Nothing here trusts a byte before it has been authenticated, and a
 * message that is refused leaves no trace: state changes come last. Section 5.3, 5.4, 6. */
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/crypto.h"
#include "common/wg/wg_device.h"
#include "common/wg/wg_peer.h"

static const char *const in_names[] = {
#define X(name, text) [WG_IN_##name] = text,
    WG_IN_MAP(X)
#undef X
};

const char *wg_in_name(enum wg_in in)
{
    return in < WG_IN_COUNT ? in_names[in] : "?";
}

void wg_half_wipe(struct wg_half *half)
{
    crypto_wipe(half, sizeof(*half));
}

/* kind_of - the message type if the length fits it, else 0 */
static uint32_t kind_of(const uint8_t *datagram, size_t len)
{
    uint32_t kind = len >= 4 ? le32_get(datagram) : 0;

    switch (kind) {
    case WG_MESSAGE_INITIATION:
        return len == sizeof(struct wg_initiation_message) ? kind : 0;
    case WG_MESSAGE_RESPONSE:
        return len == sizeof(struct wg_response_message) ? kind : 0;
    case WG_MESSAGE_COOKIE:
        return len == sizeof(struct wg_cookie_message) ? kind : 0;
    case WG_MESSAGE_DATA:
        return len >= sizeof(struct wg_data_message) + WG_TAG_BYTES ? kind : 0;
    default:
        return 0;
    }
}

bool wg_datagram_index(const uint8_t *datagram, size_t len, uint32_t *index)
{
    switch (kind_of(datagram, len)) {
    case WG_MESSAGE_RESPONSE:
        *index = le32_get(datagram + offsetof(struct wg_response_message, receiver));
        return true;
    case WG_MESSAGE_COOKIE:
    case WG_MESSAGE_DATA:
        *index = le32_get(datagram + offsetof(struct wg_data_message, receiver));
        return true;
    default:
        return false;
    }
}

/* --- handshakes --- */

static struct wg_identity *identity_called(struct wg_device *dev, const uint8_t *message, size_t len)
{
    for (size_t i = 0; i < WG_IDENTITIES_MAX; i++) {
        struct wg_identity *identity = &dev->identities[i];

        if (identity->private_key && wg_cookie_mac1_ok(&identity->mac1, message, len))
            return identity;
    }
    return NULL;
}

/* admit - HANDSHAKE: go on; else the verdict. Under load a sender has to show that it gets what it is sent. */
static enum wg_in admit(struct wg_device *dev, const struct wg_identity *identity, const uint8_t *message, size_t len,
                        const struct endpoint *from, ts_t now)
{
    uint8_t cookie[WG_COOKIE_BYTES], nonce[WG_NONCE_BYTES];

    if (!wg_load_arrived(dev->load, now))
        return WG_IN_HANDSHAKE;
    if (wg_cookie_mac2_ok(&dev->cookies, message, len, &from->remote, now))
        return wg_load_handshake_take(dev->load, &from->remote.addr, now) ? WG_IN_HANDSHAKE : WG_IN_DROP_RATE;
    if (!wg_load_cookie_take(dev->load, &from->remote.addr, now))
        return WG_IN_DROP_RATE;
    struct wg_reply *reply = wg_device_reply_new(dev);
    const struct wg_macs *macs = (const void *)(message + len - sizeof(*macs));

    if (!reply)
        return WG_IN_DROP_FULL;
    *reply = (struct wg_reply){.to = *from, .len = sizeof(struct wg_cookie_message)};
    wg_cookie_make(wg_cookie_secret(&dev->cookies, now, false), &from->remote, cookie);
    rng_fill(dev->rng, nonce, sizeof(nonce));
    wg_cookie_reply_write((void *)reply->message, le32_get(message + 4), cookie, macs->mac1, identity->cookie_key,
                          nonce);
    wg_device_reply_add(dev);
    crypto_wipe(cookie, sizeof(cookie));
    return WG_IN_COOKIE;
}

static void authentic(struct wg_input *out, struct wg_peer *peer, bool roam)
{
    out->peer = peer;
    out->roam = roam;
}

static enum wg_in initiation(struct wg_device *dev, const uint8_t *datagram, size_t len, const struct endpoint *from,
                             struct wg_input *out, ts_t now)
{
    const struct wg_identity *identity = identity_called(dev, datagram, len);
    struct wg_half half = {.from = *from};
    struct wg_noise noise;

    if (!identity)
        return WG_IN_DROP_MAC1;
    enum wg_in verdict = admit(dev, identity, datagram, len, from, now);

    if (verdict != WG_IN_HANDSHAKE)
        return verdict;
    if (wg_noise_initiation_open(&noise, (const void *)datagram, identity, half.static_public) != 0) {
        verdict = WG_IN_DROP_CRYPTO;
        goto out;
    }
    memcpy(half.identity_public, identity->public_key, WG_KEY_BYTES);
    memcpy(half.message, datagram, len);
    memcpy(half.hash, noise.hash, sizeof(half.hash));
    memcpy(half.chaining_key, noise.chaining_key, sizeof(half.chaining_key));
    struct wg_peer *peer = wg_peer_find(dev, half.static_public);

    if (peer) {
        verdict = wg_peer_input_half(peer, &half, out, now);
    } else {
        verdict = WG_IN_HALF;
        out->half = half;
    }
out:
    crypto_wipe(&noise, sizeof(noise));
    wg_half_wipe(&half);
    return verdict;
}

/* prove - does the half's caller hold the key it claims? Gives the state to answer from, and its stamp. */
static bool prove(struct wg_peer *peer, const struct wg_half *half, struct wg_noise *noise,
                  uint8_t stamp[WG_STAMP_BYTES])
{
    const struct wg_identity *identity = wg_device_identity(peer->dev, half->identity_public);
    uint8_t shared[CRYPTO_KEY_BYTES];
    bool ok = false;

    if (identity == peer->identity)
        memcpy(shared, peer->static_static, sizeof(shared));
    else if (!identity || crypto_dh(shared, identity->private_key, peer->public_key) != 0)
        goto out;
    memcpy(noise->hash, half->hash, sizeof(noise->hash));
    memcpy(noise->chaining_key, half->chaining_key, sizeof(noise->chaining_key));
    ok = wg_noise_initiation_prove(noise, (const void *)half->message, shared, stamp) == 0;
out:
    crypto_wipe(shared, sizeof(shared));
    return ok;
}

/* answer - the response and its session. Returns HANDSHAKE or why not; then nothing has changed. */
static enum wg_in answer(struct wg_peer *peer, const struct wg_half *half, struct wg_noise *noise, ts_t now)
{
    struct wg_device *dev = peer->dev;
    const struct wg_initiation_message *question = (const void *)half->message;
    struct wg_reply *reply = wg_device_reply_new(dev);
    struct wg_keypair *kp = reply ? secret_pool_get(&dev->keypair_pool) : NULL;
    uint8_t ephemeral[WG_KEY_BYTES];

    if (!kp)
        return WG_IN_DROP_FULL;
    *reply = (struct wg_reply){.peer = peer, .to = half->from, .len = sizeof(struct wg_response_message)};
    struct wg_response_message *m = (void *)reply->message;

    rng_fill(dev->rng, ephemeral, sizeof(ephemeral));
    int err = wg_noise_response_make(noise, m, ephemeral, question->ephemeral, peer->public_key, peer->preshared_key,
                                     &kp->keys);

    crypto_wipe(ephemeral, sizeof(ephemeral));
    if (err) {
        secret_pool_put(&dev->keypair_pool, kp);
        return WG_IN_DROP_CRYPTO;
    }
    wg_index_add(&dev->indices, &kp->index, WG_INDEX_KEYPAIR, peer, peer->shard, dev->rng);
    kp->remote_index = le32_get(question->sender);
    kp->born = kp->heard_at = now;
    le32_put(m->type, WG_MESSAGE_RESPONSE);
    le32_put(m->sender, kp->index.value);
    le32_put(m->receiver, kp->remote_index);
    wg_cookie_sign(&peer->jar, peer->public_key, reply->message, sizeof(*m), now);
    wg_device_reply_add(dev);
    wg_peer_session_responded(peer, kp, now);
    return WG_IN_HANDSHAKE;
}

enum wg_in wg_peer_input_half(struct wg_peer *peer, const struct wg_half *half, struct wg_input *out, ts_t now)
{
    uint8_t stamp[WG_STAMP_BYTES];
    struct wg_noise noise;
    enum wg_in verdict;

    now = wg_device_clock(peer->dev, now);
    authentic(out, NULL, false);
    BUG_ON(memcmp(half->static_public, peer->public_key, WG_KEY_BYTES) != 0);
    if (!prove(peer, half, &noise, stamp)) {
        verdict = WG_IN_DROP_CRYPTO;
    } else if (memcmp(stamp, peer->stamp_heard, sizeof(stamp)) <= 0 ||
               (peer->initiation_heard_at != TS_NEVER &&
                ts_since(now, peer->initiation_heard_at) < WG_INITIATION_PERIOD_NS)) {
        verdict = WG_IN_DROP_REPLAY;
        authentic(out, peer, false);
    } else {
        verdict = answer(peer, half, &noise, now);
    }
    crypto_wipe(&noise, sizeof(noise));
    if (verdict != WG_IN_HANDSHAKE)
        return verdict;
    memcpy(peer->stamp_heard, stamp, sizeof(stamp));
    peer->initiation_heard_at = now;
    wg_load_proven(peer->dev->load, &half->from.remote.addr, now);
    wg_peer_heard_from(peer, now);
    authentic(out, peer, true);
    return WG_IN_HANDSHAKE;
}

static enum wg_in response(struct wg_device *dev, const uint8_t *datagram, size_t len, const struct endpoint *from,
                           struct wg_input *out, ts_t now)
{
    const struct wg_response_message *m = (const void *)datagram;
    const struct wg_identity *identity = identity_called(dev, datagram, len);

    if (!identity)
        return WG_IN_DROP_MAC1;
    enum wg_in verdict = admit(dev, identity, datagram, len, from, now);

    if (verdict != WG_IN_HANDSHAKE)
        return verdict;
    const struct wg_index *index = wg_index_find(&dev->indices, le32_get(m->receiver));

    if (!index || index->kind != WG_INDEX_INITIATION || index->peer->identity != identity)
        return WG_IN_DROP_UNKNOWN_INDEX;
    struct wg_peer *peer = index->peer;
    struct wg_keypair *kp = secret_pool_get(&dev->keypair_pool);

    if (!kp)
        return WG_IN_DROP_FULL;
    if (wg_noise_response_open(&peer->initiation->noise, m, identity, peer->initiation->ephemeral,
                               peer->preshared_key, &kp->keys) != 0) {
        secret_pool_put(&dev->keypair_pool, kp);
        return WG_IN_DROP_CRYPTO;
    }
    kp->remote_index = le32_get(m->sender);
    kp->initiator = true;
    kp->born = kp->heard_at = now;
    wg_load_proven(dev->load, &from->remote.addr, now);
    wg_peer_heard_from(peer, now);
    wg_peer_session_initiated(peer, kp, now);
    authentic(out, peer, true);
    return WG_IN_HANDSHAKE;
}

static enum wg_in cookie(struct wg_device *dev, const uint8_t *datagram, ts_t now)
{
    const struct wg_cookie_message *m = (const void *)datagram;
    const struct wg_index *index = wg_index_find(&dev->indices, le32_get(m->receiver));

    if (!index)
        return WG_IN_DROP_UNKNOWN_INDEX;
    return wg_cookie_take(&index->peer->jar, index->peer->public_key, m, now) ? WG_IN_COOKIE : WG_IN_DROP_COOKIE;
}

/* --- packets --- */

static enum wg_in data(struct wg_device *dev, uint8_t *datagram, size_t len, struct wg_input *out, ts_t now)
{
    struct wg_data_message *m = (void *)datagram;
    struct wg_index *index = wg_index_find(&dev->indices, le32_get(m->receiver));

    if (!index || index->kind != WG_INDEX_KEYPAIR)
        return WG_IN_DROP_UNKNOWN_INDEX;
    struct wg_keypair *kp = container_of(index, struct wg_keypair, index);
    struct wg_peer *peer = index->peer;

    if (!wg_keypair_can_receive(kp, now))
        return WG_IN_DROP_EXPIRED;
    switch (wg_keypair_open(kp, m, len, now)) {
    case WG_OPENED_BAD:
        return WG_IN_DROP_CRYPTO;
    case WG_OPENED_REPLAY:
        authentic(out, peer, false);
        return WG_IN_DROP_REPLAY;
    case WG_OPENED:
        break;
    }
    authentic(out, peer, true);
    if (kp == peer->keypairs.next)
        wg_peer_session_confirmed(peer, now);
    wg_peer_heard_from(peer, now);
    kp = peer->keypairs.current;
    if (kp && kp->initiator && !kp->last_minute && ts_since(now, kp->born) >= WG_LAST_MINUTE_NS) {
        kp->last_minute = true;
        wg_peer_initiate(peer, now);
    }
    out->plaintext = m->sealed;
    out->plaintext_len = len - sizeof(*m) - WG_TAG_BYTES;
    if (!out->plaintext_len)
        return WG_IN_KEEPALIVE;
    wg_timers_data_received(peer, now);
    return WG_IN_DATA;
}

enum wg_in wg_device_input(struct wg_device *dev, uint8_t *datagram, size_t len, const struct endpoint *from,
                           struct wg_input *out, ts_t now)
{
    now = wg_device_clock(dev, now);
    authentic(out, NULL, false);
    out->plaintext = NULL;
    out->plaintext_len = 0;
    switch (kind_of(datagram, len)) {
    case WG_MESSAGE_INITIATION:
        return initiation(dev, datagram, len, from, out, now);
    case WG_MESSAGE_RESPONSE:
        return response(dev, datagram, len, from, out, now);
    case WG_MESSAGE_COOKIE:
        return cookie(dev, datagram, now);
    case WG_MESSAGE_DATA:
        return data(dev, datagram, len, out, now);
    default:
        return WG_IN_DROP_MALFORMED;
    }
}
