/* wg_device.h - a device as the engine's files see it. The public part of it is in wg.h. */
#ifndef WG_WG_DEVICE_H
#define WG_WG_DEVICE_H

#include "common/base/list.h"
#include "common/base/timerq.h"
#include "common/crypto/secret.h"
#include "common/wg/wg_cookie.h"
#include "common/wg/wg_load.h"
#include "common/wg/wg_noise.h"

#define WG_REPLIES_MAX 256 /* answers waiting to be pulled: one receive batch and room; more are dropped */

/* A response or cookie reply, made when its question came. */
struct wg_reply {
    struct wg_peer *peer; /* NULL: a cookie reply */
    struct endpoint to;
    size_t len; /* 0: its peer was freed meanwhile */
    uint8_t message[sizeof(struct wg_response_message)];
};

static_assert(sizeof(struct wg_cookie_message) <= sizeof(struct wg_response_message), "a reply holds either");

struct wg_device {
    struct rng *rng;
    struct rng chance; /* for what nobody gains by guessing: asking the system costs a call */
    uint64_t keepalive_passive_ns;
    ts_t now; /* time never runs backwards in here */

    struct wg_identity identities[WG_IDENTITIES_MAX];
    struct map_seed seed;
    struct map peers;   /* by public key */
    struct map indices; /* of handshakes and sessions */
    struct timerq timers;
    struct list sending; /* peers that want an initiation or keepalive sent */
    struct list telling; /* peers with events */

    struct secret_pool peer_pool, keypair_pool, initiation_pool;

    struct wg_cookie_source cookies;
    struct wg_load *load;
    bool load_own;

    uint64_t stamp_floor; /* every stamp of a new peer is greater: from disk, or of peers now freed */
    uint64_t stamp_last;  /* the greatest ever sent or set as floor */

    size_t replies_first, replies_count;
    struct wg_reply replies[WG_REPLIES_MAX];
};

/* wg_device_clock - `now`, or the latest time seen if that is later. Every public call goes through it. */
ts_t wg_device_clock(struct wg_device *dev, ts_t now);

/* wg_device_identity - by public key; NULL: none of ours. */
struct wg_identity *wg_device_identity(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES]);

/* wg_device_reply_new - the next free place among the replies, or NULL when full. It counts once wg_device_reply_add
 * is called. */
struct wg_reply *wg_device_reply_new(struct wg_device *dev);
void wg_device_reply_add(struct wg_device *dev);

/* wg_device_replies_forget - the peer is going: what waits for it is not sent. */
void wg_device_replies_forget(struct wg_device *dev, const struct wg_peer *peer);

uint64_t wg_device_key_hash(const struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES]);

#endif
