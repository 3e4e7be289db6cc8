/* wg_device.c - identities, the answers and wishes waiting to be pulled, the events, and the clock. */
#include "common/wg/wg_device.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/wg/wg_peer.h"

struct wg_device *wg_device_new(const struct wg_config *config)
{
    struct wg_device *dev = calloc(1, sizeof(*dev));

    if (!dev)
        return NULL;
    dev->rng = config->rng;
    rng_seed(&dev->chance, rng_u64(dev->rng));
    dev->keepalive_passive_ns = config->keepalive_passive_ns ? config->keepalive_passive_ns : WG_KEEPALIVE_NS;
    dev->seed.k0 = rng_u64(dev->rng);
    dev->seed.k1 = rng_u64(dev->rng);
    map_init(&dev->peers);
    map_init(&dev->indices);
    timerq_init(&dev->timers);
    list_init(&dev->sending);
    list_init(&dev->telling);
    secret_pool_init(&dev->peer_pool, sizeof(struct wg_peer));
    secret_pool_init(&dev->keypair_pool, sizeof(struct wg_keypair));
    secret_pool_init(&dev->initiation_pool, sizeof(struct wg_initiation));
    dev->load_own = !config->load;
    dev->load = config->load ? config->load : wg_load_new(config->handshakes_per_s, dev->rng);
    if (!dev->load) {
        free(dev);
        return NULL;
    }
    memcpy(dev->cookies.seed, config->cookie_seed, sizeof(dev->cookies.seed));
    if (crypto_is_zero(dev->cookies.seed, sizeof(dev->cookies.seed)))
        rng_fill(dev->rng, dev->cookies.seed, sizeof(dev->cookies.seed));
    return dev;
}

void wg_device_free(struct wg_device *dev)
{
    struct map_node *n;

    if (!dev)
        return;
    while ((n = map_any(&dev->peers)))
        wg_peer_free(container_of(n, struct wg_peer, by_key));
    map_deinit(&dev->peers);
    map_deinit(&dev->indices);
    secret_pool_deinit(&dev->peer_pool);
    secret_pool_deinit(&dev->keypair_pool);
    secret_pool_deinit(&dev->initiation_pool);
    for (size_t i = 0; i < WG_IDENTITIES_MAX; i++)
        secret_free(dev->identities[i].private_key);
    if (dev->load_own)
        wg_load_free(dev->load);
    crypto_wipe(dev, sizeof(*dev));
    free(dev);
}

ts_t wg_device_clock(struct wg_device *dev, ts_t now)
{
    return dev->now = ts_max(dev->now, now);
}

uint64_t wg_device_key_hash(const struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES])
{
    return map_hash(&dev->seed, public_key, WG_KEY_BYTES);
}

/* --- identities --- */

struct wg_identity *wg_device_identity(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES])
{
    for (size_t i = 0; i < WG_IDENTITIES_MAX; i++) {
        struct wg_identity *identity = &dev->identities[i];

        if (identity->private_key && memcmp(identity->public_key, public_key, WG_KEY_BYTES) == 0)
            return identity;
    }
    return NULL;
}

int wg_identity_add(struct wg_device *dev, const uint8_t private_key[WG_KEY_BYTES])
{
    struct wg_identity *identity = dev->identities, *end = identity + WG_IDENTITIES_MAX;
    uint8_t public_key[WG_KEY_BYTES], mac1_key[WG_KEY_BYTES];

    if (crypto_is_zero(private_key, WG_KEY_BYTES) || key_public(private_key, public_key) != 0)
        return ERR_INVALID;
    if (wg_device_identity(dev, public_key))
        return ERR_EXISTS;
    while (identity < end && identity->private_key)
        identity++;
    if (identity == end)
        return ERR_FULL;
    identity->private_key = secret_new(private_key, WG_KEY_BYTES);
    if (!identity->private_key)
        return ERR_NOMEM;
    memcpy(identity->public_key, public_key, WG_KEY_BYTES);
    wg_cookie_mac1_key(public_key, mac1_key);
    blake2s_key_init(&identity->mac1, mac1_key, sizeof(mac1_key));
    wg_cookie_reply_key(public_key, identity->cookie_key);
    return 0;
}

int wg_identity_remove(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES])
{
    struct wg_identity *identity = wg_device_identity(dev, public_key);

    if (!identity)
        return ERR_NOT_FOUND;
    if (identity->peers)
        return ERR_WRONG_STATE;
    secret_free(identity->private_key);
    *identity = (struct wg_identity){0};
    return 0;
}

/* --- what goes out --- */

struct wg_reply *wg_device_reply_new(struct wg_device *dev)
{
    if (dev->replies_count == WG_REPLIES_MAX)
        return NULL;
    return &dev->replies[(dev->replies_first + dev->replies_count) % WG_REPLIES_MAX];
}

void wg_device_reply_add(struct wg_device *dev)
{
    BUG_ON(dev->replies_count == WG_REPLIES_MAX);
    dev->replies_count++;
}

void wg_device_replies_forget(struct wg_device *dev, const struct wg_peer *peer)
{
    for (size_t i = 0; i < dev->replies_count; i++) {
        struct wg_reply *reply = &dev->replies[(dev->replies_first + i) % WG_REPLIES_MAX];

        if (reply->peer == peer)
            *reply = (struct wg_reply){0};
    }
}

static bool reply_take(struct wg_device *dev, uint8_t *buf, struct wg_output *out)
{
    while (dev->replies_count) {
        const struct wg_reply *reply = &dev->replies[dev->replies_first];

        dev->replies_first = (dev->replies_first + 1) % WG_REPLIES_MAX;
        dev->replies_count--;
        if (!reply->len)
            continue;
        memcpy(buf, reply->message, reply->len);
        *out = (struct wg_output){.peer = reply->peer, .reply = true, .to = reply->to, .len = reply->len};
        return true;
    }
    return false;
}

static size_t keepalive_make(struct wg_peer *peer, uint8_t *buf, ts_t now)
{
    peer->wants_keepalive = false;
    if (!wg_keypair_can_send(peer->keypairs.current, now))
        return 0;
    return (size_t)wg_peer_seal(peer, buf, 0, 0, now);
}

/* wish_take - the next peer's initiation or keepalive; a peer that wants both comes up again. */
static bool wish_take(struct wg_device *dev, uint8_t *buf, struct wg_output *out, ts_t now, uint64_t wall_ns)
{
    struct list *first;

    while ((first = list_first(&dev->sending))) {
        struct wg_peer *peer = container_of(first, struct wg_peer, sending);
        size_t len = 0;

        list_remove(first);
        if (peer->wants_initiation) {
            if (wg_peer_initiation_make(peer, buf, now, wall_ns))
                len = sizeof(struct wg_initiation_message);
        } else if (peer->wants_keepalive) {
            len = keepalive_make(peer, buf, now);
        }
        if (peer->wants_keepalive)
            list_append(&dev->sending, &peer->sending);
        if (len) {
            *out = (struct wg_output){.peer = peer, .len = len};
            return true;
        }
    }
    return false;
}

size_t wg_device_output(struct wg_device *dev, uint8_t *buf, size_t cap, struct wg_output *out, ts_t now,
                        uint64_t wall_ns)
{
    BUG_ON(cap < WG_HANDSHAKE_BYTES_MAX);
    now = wg_device_clock(dev, now);
    if (!reply_take(dev, buf, out) && !wish_take(dev, buf, out, now, wall_ns))
        *out = (struct wg_output){0};
    return out->len;
}

void wg_device_stamp_floor_set(struct wg_device *dev, uint64_t wall_ns)
{
    dev->stamp_floor = MAX(dev->stamp_floor, wall_ns);
    dev->stamp_last = MAX(dev->stamp_last, wall_ns);
}

uint64_t wg_device_stamp_last(const struct wg_device *dev)
{
    return dev->stamp_last;
}

/* --- time and events --- */

ts_t wg_device_deadline(const struct wg_device *dev)
{
    return timerq_next(&dev->timers);
}

void wg_device_expire(struct wg_device *dev, ts_t now)
{
    struct timer *timer;

    now = wg_device_clock(dev, now);
    while ((timer = timerq_pop(&dev->timers, now)))
        wg_timers_fire(timer, now);
}

static enum wg_event_kind event_of(struct wg_peer *peer)
{
    if (peer->went_down) {
        peer->went_down = peer->told_up = false;
        return WG_EVENT_DOWN;
    }
    if (peer->gave_up) {
        peer->gave_up = false;
        return WG_EVENT_GAVE_UP;
    }
    if (peer->up && !peer->told_up) {
        peer->told_up = true;
        return WG_EVENT_UP;
    }
    return 0;
}

bool wg_device_event(struct wg_device *dev, struct wg_event *out)
{
    struct list *first;

    while ((first = list_first(&dev->telling))) {
        struct wg_peer *peer = container_of(first, struct wg_peer, telling);

        out->peer = peer;
        out->kind = event_of(peer);
        if (out->kind)
            return true;
        list_remove(first);
    }
    return false;
}
