/* wg_peer.c - a peer's life: its sessions and handshake attempts, and what its owner is told about them.
 *
 * An attempt is the time from wanting a session until there is one, or until 90 s have passed without. While it lasts
 * further wishes change nothing, so that giving up does come. Its initiations go out when pulled, and at most one
 * handshake message each 5 s: an attempt that comes too early waits for its moment instead of being dropped, so a lost
 * key confirmation heals by itself. */
#include "common/wg/wg_peer.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/aead.h"
#include "common/crypto/crypto.h"
#include "common/wg/wg_device.h"
#include "common/wg/wg_stamp.h"

static void queue(struct list *head, struct list *node)
{
    if (list_empty(node))
        list_append(head, node);
}

/* --- what the owner is told --- */

static void look(struct wg_peer *peer, ts_t now)
{
    bool up = wg_keypair_can_send(peer->keypairs.current, now);

    if (peer->up && !up)
        peer->went_down = peer->told_up;
    peer->up = up;
    if (peer->went_down || peer->gave_up || up != peer->told_up)
        queue(&peer->dev->telling, &peer->telling);
}

/* --- handshakes --- */

static void want(struct wg_peer *peer, bool *what)
{
    *what = true;
    queue(&peer->dev->sending, &peer->sending);
}

static void initiation_drop(struct wg_peer *peer)
{
    if (!peer->initiation)
        return;
    wg_index_remove(&peer->dev->indices, &peer->initiation->index);
    secret_pool_put(&peer->dev->initiation_pool, peer->initiation);
    peer->initiation = NULL;
}

static void attempt_end(struct wg_peer *peer)
{
    peer->attempt_at = TS_NEVER;
    peer->wants_initiation = false;
}

void wg_peer_initiate(struct wg_peer *peer, ts_t now)
{
    now = wg_device_clock(peer->dev, now);
    if (peer->attempt_at != TS_NEVER)
        return;
    peer->attempt_at = now;
    ts_t at = peer->handshake_sent_at == TS_NEVER ? now : ts_add(peer->handshake_sent_at, WG_REKEY_TIMEOUT_NS);

    if (at <= now)
        want(peer, &peer->wants_initiation);
    else
        wg_timers_handshake_asked(peer, at);
}

void wg_peer_retransmit(struct wg_peer *peer, ts_t now)
{
    if (peer->attempt_at == TS_NEVER)
        return;
    if (ts_since(now, peer->attempt_at) < WG_REKEY_ATTEMPT_NS) {
        want(peer, &peer->wants_initiation);
        return;
    }
    attempt_end(peer);
    wg_timers_gave_up(peer, now);
    peer->gave_up = true;
    look(peer, now);
}

bool wg_peer_initiation_make(struct wg_peer *peer, uint8_t *buf, ts_t now, uint64_t wall_ns)
{
    struct wg_device *dev = peer->dev;
    struct wg_initiation_message *m = (void *)buf;
    uint8_t stamp[WG_STAMP_BYTES];

    peer->wants_initiation = false;
    wg_timers_initiation_sent(peer, now);
    initiation_drop(peer);
    peer->initiation = secret_pool_get(&dev->initiation_pool);
    if (!peer->initiation)
        return false;
    struct wg_initiation *in = peer->initiation;

    wg_index_add(&dev->indices, &in->index, WG_INDEX_INITIATION, peer, peer->shard, dev->rng);
    peer->stamp_sent = wg_stamp_after(peer->stamp_sent, wall_ns);
    dev->stamp_last = MAX(dev->stamp_last, peer->stamp_sent);
    wg_stamp_write(peer->stamp_sent, stamp);
    rng_fill(dev->rng, in->ephemeral, sizeof(in->ephemeral));
    le32_put(m->type, WG_MESSAGE_INITIATION);
    le32_put(m->sender, in->index.value);
    int err = wg_noise_initiation_make(&in->noise, m, peer->identity, peer->public_key, peer->static_static,
                                       in->ephemeral, stamp);

    BUG_ON(err); /* wg_peer_new refused keys of low order */
    wg_cookie_sign(&peer->jar, peer->public_key, buf, sizeof(*m), now);
    peer->handshake_sent_at = now;
    wg_timers_any_sent(peer, now);
    return true;
}

/* --- sessions --- */

static void keypair_free(struct wg_peer *peer, struct wg_keypair *kp)
{
    if (!kp)
        return;
    wg_index_remove(&peer->dev->indices, &kp->index);
    wg_replay_deinit(&kp->replay);
    aead_key_wipe(kp->keys.send);
    aead_key_wipe(kp->keys.recv);
    secret_pool_put(&peer->dev->keypair_pool, kp);
}

static void sessions_changed(struct wg_peer *peer, struct wg_keypair *drop[2], ts_t now)
{
    struct wg_keypair *all[] = {peer->keypairs.next, peer->keypairs.current, peer->keypairs.previous};
    ts_t oldest = TS_NEVER;

    keypair_free(peer, drop[0]);
    keypair_free(peer, drop[1]);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i])
            oldest = ts_min(oldest, all[i]->born);
    wg_timers_sessions_changed(peer, oldest);
    look(peer, now);
}

static void handshake_complete(struct wg_peer *peer)
{
    attempt_end(peer);
    wg_timers_handshake_complete(peer);
}

void wg_peer_session_initiated(struct wg_peer *peer, struct wg_keypair *kp, ts_t now)
{
    struct wg_keypair *drop[2];

    wg_index_move(&peer->dev->indices, &kp->index, &peer->initiation->index, WG_INDEX_KEYPAIR);
    initiation_drop(peer);
    wg_keypairs_initiated(&peer->keypairs, kp, drop);
    peer->derived_at = now;
    handshake_complete(peer);
    wg_timers_session_derived(peer, now);
    sessions_changed(peer, drop, now);
    wg_peer_keepalive(peer, now); /* the peer may not send before it has heard us under the new keys */
}

void wg_peer_session_responded(struct wg_peer *peer, struct wg_keypair *kp, ts_t now)
{
    struct wg_keypair *drop[2];

    wg_keypairs_responded(&peer->keypairs, kp, drop);
    peer->derived_at = now;
    peer->handshake_sent_at = now;
    wg_timers_session_derived(peer, now);
    wg_timers_any_sent(peer, now);
    sessions_changed(peer, drop, now);
}

void wg_peer_session_confirmed(struct wg_peer *peer, ts_t now)
{
    struct wg_keypair *drop[2];

    wg_keypairs_confirmed(&peer->keypairs, drop);
    handshake_complete(peer);
    sessions_changed(peer, drop, now);
}

void wg_peer_expire_sessions(struct wg_peer *peer, ts_t now)
{
    struct wg_keypair **all[] = {&peer->keypairs.next, &peer->keypairs.current, &peer->keypairs.previous};
    struct wg_keypair *none[2] = {NULL, NULL};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (wg_keypair_can_receive(*all[i], now))
            continue;
        keypair_free(peer, *all[i]);
        *all[i] = NULL;
    }
    sessions_changed(peer, none, now);
}

void wg_peer_wipe(struct wg_peer *peer, ts_t now)
{
    struct wg_keypair *drop[2] = {peer->keypairs.next, peer->keypairs.current};

    keypair_free(peer, peer->keypairs.previous);
    peer->keypairs = (struct wg_keypairs){0};
    initiation_drop(peer);
    crypto_wipe(&peer->jar, sizeof(peer->jar));
    sessions_changed(peer, drop, now);
}

void wg_peer_heard_from(struct wg_peer *peer, ts_t now)
{
    peer->heard_at = now;
    wg_timers_any_received(peer, now);
}

/* --- packets --- */

bool wg_peer_keepalive(struct wg_peer *peer, ts_t now)
{
    if (!wg_peer_can_send(peer, now))
        return false;
    want(peer, &peer->wants_keepalive);
    return true;
}

bool wg_peer_can_send(const struct wg_peer *peer, ts_t now)
{
    return wg_keypair_can_send(peer->keypairs.current, ts_max(now, peer->dev->now));
}

static size_t padded(size_t len, size_t mtu)
{
    size_t full = (len + WG_PADDING - 1) / WG_PADDING * WG_PADDING;

    return MAX(len, MIN(full, mtu));
}

int wg_peer_seal(struct wg_peer *peer, uint8_t *buf, size_t plaintext_len, size_t mtu, ts_t now)
{
    struct wg_keypair *kp = peer->keypairs.current;
    size_t padded_len = padded(plaintext_len, mtu);

    now = wg_device_clock(peer->dev, now);
    BUG_ON(padded_len > UINT16_MAX);
    if (!wg_keypair_can_send(kp, now)) {
        look(peer, now);
        wg_peer_initiate(peer, now);
        return ERR_NO_SESSION;
    }
    memset(buf + WG_HEADER_BYTES + plaintext_len, 0, padded_len - plaintext_len);
    size_t len = wg_keypair_seal(kp, buf, padded_len);

    peer->wants_keepalive = false;
    wg_timers_any_sent(peer, now);
    if (plaintext_len)
        wg_timers_data_sent(peer, now);
    if (kp->send_counter > WG_REKEY_AFTER_MESSAGES || (kp->initiator && ts_since(now, kp->born) >= WG_REKEY_AFTER_NS))
        wg_peer_initiate(peer, now);
    if (kp->send_counter >= WG_REJECT_AFTER_MESSAGES)
        look(peer, now); /* that was its last */
    return (int)len;
}

/* --- a peer's beginning and end --- */

struct wg_peer *wg_peer_new(struct wg_device *dev, const struct wg_peer_config *config, ts_t now, int *err)
{
    struct wg_identity *identity = wg_device_identity(dev, config->identity);
    struct wg_peer *peer;

    now = wg_device_clock(dev, now);
    *err = !identity ? ERR_NOT_FOUND : wg_peer_find(dev, config->public_key) ? ERR_EXISTS : 0;
    if (*err)
        return NULL;
    peer = secret_pool_get(&dev->peer_pool);
    if (!peer) {
        *err = ERR_NOMEM;
        return NULL;
    }
    if (crypto_dh(peer->static_static, identity->private_key, config->public_key) != 0) {
        secret_pool_put(&dev->peer_pool, peer);
        *err = ERR_INVALID;
        return NULL;
    }
    peer->dev = dev;
    peer->identity = identity;
    peer->owner = config->owner;
    memcpy(peer->public_key, config->public_key, sizeof(peer->public_key));
    memcpy(peer->preshared_key, config->preshared_key, sizeof(peer->preshared_key));
    memcpy(peer->stamp_heard, config->stamp_heard, sizeof(peer->stamp_heard));
    peer->shard = config->shard;
    peer->initiation_heard_at = peer->attempt_at = peer->handshake_sent_at = TS_NEVER;
    peer->stamp_sent = dev->stamp_floor;
    list_init(&peer->sending);
    list_init(&peer->telling);
    wg_timers_init(&peer->timers);
    identity->peers++;
    map_insert(&dev->peers, &peer->by_key, wg_device_key_hash(dev, peer->public_key));
    peer->keepalive_ns = config->keepalive_ns;
    if (peer->keepalive_ns)
        wg_timers_persistent_set(peer, ts_add(now, peer->keepalive_ns));
    return peer;
}

void wg_peer_initiation_lost(struct wg_peer *peer, ts_t now)
{
    now = wg_device_clock(peer->dev, now);
    if (peer->attempt_at == TS_NEVER || !peer->initiation)
        return;
    wg_timers_initiation_lost(peer, ts_max(now, ts_add(peer->handshake_sent_at, WG_INITIATION_AGAIN_NS)));
}

int wg_peer_identity_set(struct wg_peer *peer, const uint8_t identity[WG_KEY_BYTES], ts_t now)
{
    struct wg_identity *to = wg_device_identity(peer->dev, identity);
    uint8_t static_static[WG_KEY_BYTES];

    now = wg_device_clock(peer->dev, now);
    if (!to)
        return ERR_NOT_FOUND;
    if (to == peer->identity)
        return 0;
    int err = crypto_dh(static_static, to->private_key, peer->public_key);

    if (err == 0) {
        memcpy(peer->static_static, static_static, sizeof(peer->static_static));
        peer->identity->peers--;
        to->peers++;
        peer->identity = to;
        initiation_drop(peer); /* nobody may answer it as the one we were */
        attempt_end(peer);
        peer->handshake_sent_at = TS_NEVER;
        wg_peer_initiate(peer, now);
    }
    crypto_wipe(static_static, sizeof(static_static));
    return err ? ERR_INVALID : 0;
}

void wg_peer_free(struct wg_peer *peer)
{
    if (!peer)
        return;
    struct wg_device *dev = peer->dev;

    wg_peer_wipe(peer, dev->now);
    wg_timers_deinit(peer);
    list_remove(&peer->sending);
    list_remove(&peer->telling);
    wg_device_replies_forget(dev, peer);
    map_remove(&dev->peers, &peer->by_key);
    dev->stamp_floor = MAX(dev->stamp_floor, peer->stamp_sent); /* the same key may come back as a new peer */
    peer->identity->peers--;
    secret_pool_put(&dev->peer_pool, peer);
}

struct wg_peer *wg_peer_find(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES])
{
    struct map_node *n = map_first(&dev->peers, wg_device_key_hash(dev, public_key));

    for (; n; n = map_next(n)) {
        struct wg_peer *peer = container_of(n, struct wg_peer, by_key);

        if (memcmp(peer->public_key, public_key, WG_KEY_BYTES) == 0)
            return peer;
    }
    return NULL;
}

void *wg_peer_owner(const struct wg_peer *peer)
{
    return peer->owner;
}

const uint8_t *wg_peer_key(const struct wg_peer *peer)
{
    return peer->public_key;
}

const uint8_t *wg_peer_stamp_heard(const struct wg_peer *peer)
{
    return peer->stamp_heard;
}

void wg_peer_keepalive_set(struct wg_peer *peer, uint64_t keepalive_ns, ts_t now)
{
    bool was_off = peer->keepalive_ns == 0;

    if (keepalive_ns == peer->keepalive_ns)
        return; /* setting it again must not put off the next one */
    now = wg_device_clock(peer->dev, now);
    peer->keepalive_ns = keepalive_ns;
    wg_timers_persistent_set(peer, !keepalive_ns ? TS_NEVER : was_off ? now : ts_add(now, keepalive_ns));
}

ts_t wg_peer_heard(const struct wg_peer *peer)
{
    return peer->heard_at;
}

ts_t wg_peer_handshake_at(const struct wg_peer *peer)
{
    return peer->derived_at;
}
