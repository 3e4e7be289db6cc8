/* wg_peer.h - a peer as the engine's files see it. The public part of it is in wg.h. */
#ifndef WG_WG_PEER_H
#define WG_WG_PEER_H

#include "common/base/list.h"
#include "common/wg/wg_cookie.h"
#include "common/wg/wg_keypair.h"
#include "common/wg/wg_timers.h"

/* Our own initiation under way. The other role keeps no state between messages: an initiation of the peer's is
 * answered in the call that brought it. So crossing initiations can't take each other's state away. */
struct wg_initiation {
    struct wg_index index;
    struct wg_noise noise;
    uint8_t ephemeral[WG_KEY_BYTES];
};

struct wg_peer {
    struct map_node by_key;
    struct wg_device *dev;
    struct wg_identity *identity; /* that initiates to it */
    void *owner;
    uint8_t public_key[WG_KEY_BYTES];
    uint8_t preshared_key[WG_KEY_BYTES];
    uint8_t static_static[WG_KEY_BYTES]; /* DH of `identity` and public_key */
    uint8_t shard;

    struct wg_keypairs keypairs;
    struct wg_initiation *initiation; /* NULL: none sent, or it was answered */
    struct wg_cookie_jar jar;

    uint8_t stamp_heard[WG_STAMP_BYTES]; /* greatest accepted; outlives sessions */
    ts_t initiation_heard_at;            /* TS_NEVER: none */
    uint64_t stamp_sent;                 /* the last of ours, or what the next must be greater than */

    ts_t attempt_at;        /* since when we try to get a session; TS_NEVER: we don't */
    ts_t handshake_sent_at; /* last initiation or response; TS_NEVER: none */
    ts_t heard_at;          /* 0: never */
    ts_t derived_at;        /* 0: never */

    uint64_t keepalive_ns; /* persistent; 0: off */
    struct wg_timers timers;

    /* what wg_device_output shall make */
    struct list sending; /* in the device's, while it wants something */
    bool wants_initiation;
    bool wants_keepalive;

    /* what wg_device_event shall tell */
    struct list telling; /* in the device's, while there may be something to tell */
    bool up;           /* could send when last looked at */
    bool told_up;      /* what the owner believes */
    bool went_down;    /* since the owner was told up */
    bool gave_up;
};

/* wg_peer_keepalive - have an empty packet sent, unless something else is sent first. False: no session for it. */
bool wg_peer_keepalive(struct wg_peer *peer, ts_t now);

/* wg_peer_retransmit - the time for the attempt's next initiation, or for giving up. */
void wg_peer_retransmit(struct wg_peer *peer, ts_t now);

/* wg_peer_initiation_make - write the next initiation (148 bytes). False: out of memory; it is tried again later. */
bool wg_peer_initiation_make(struct wg_peer *peer, uint8_t *buf, ts_t now, uint64_t wall_ns);

/* wg_peer_heard_from - something authenticated came. */
void wg_peer_heard_from(struct wg_peer *peer, ts_t now);

/* wg_peer_session_* - a session of ours, or of the peer's, was derived; the keypair is the peer's from here on.
 * wg_peer_session_confirmed: a packet came under `next`. */
void wg_peer_session_initiated(struct wg_peer *peer, struct wg_keypair *kp, ts_t now);
void wg_peer_session_responded(struct wg_peer *peer, struct wg_keypair *kp, ts_t now);
void wg_peer_session_confirmed(struct wg_peer *peer, ts_t now);

/* wg_peer_expire_sessions - free what is too old to receive. wg_peer_wipe - forget every session and handshake. */
void wg_peer_expire_sessions(struct wg_peer *peer, ts_t now);
void wg_peer_wipe(struct wg_peer *peer, ts_t now);

#endif
