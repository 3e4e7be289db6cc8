/* wg_keypair.h - one session (two transport keys, a send counter, a replay window), and the three a peer may have.
 *
 *     next      we answered an initiation; may receive, must not send until a packet under it has come
 *     current   what we send with
 *     previous  what packets still in flight were sealed with
 *
 * A keypair lives in wiped, no-dump memory and is freed as soon as it is too old to receive, so that an idle peer
 * costs no key memory. Section 5.4.5, 5.4.6 and 6.2. */
#ifndef WG_WG_KEYPAIR_H
#define WG_WG_KEYPAIR_H

#include <stdbool.h>

#include "common/wg/wg_index.h"
#include "common/wg/wg_noise.h"
#include "common/wg/wg_replay.h"

/* section 6.1 */
#define WG_REKEY_AFTER_MESSAGES  ((uint64_t)1 << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - ((uint64_t)1 << 13)) /* 2^64 - 2^13 - 1 */
#define WG_REKEY_AFTER_NS        (120 * TS_S)
#define WG_REJECT_AFTER_NS       (180 * TS_S)

static_assert(WG_REJECT_AFTER_MESSAGES > WG_REKEY_AFTER_MESSAGES, "rekey before the end");
static_assert(UINT64_MAX - WG_REJECT_AFTER_MESSAGES > WG_REPLAY_WINDOW, "the replay window never wraps");

struct wg_keypair {
    struct wg_index index;     /* what the peer calls this session */
    uint32_t remote_index;     /* what we call it towards the peer */
    bool initiator;            /* we were; only the initiator renews a session by age */
    bool last_minute;          /* the renewal on receiving was asked for: once a session */
    ts_t born;
    ts_t heard_at;             /* a packet last came under it; `born` until then */
    uint64_t send_counter;     /* the next to use, from 0 */
    struct wg_keys keys;
    struct wg_replay replay;
};

struct wg_keypairs {
    struct wg_keypair *next, *current, *previous;
};

/* wg_keypair_can_send, wg_keypair_can_receive - young enough, and (to send) below the message limit. NULL: false. */
bool wg_keypair_can_send(const struct wg_keypair *kp, ts_t now);
bool wg_keypair_can_receive(const struct wg_keypair *kp, ts_t now);

/* wg_keypair_seal - make the datagram of the padded packet at buf + WG_HEADER_BYTES; returns its length.
 * Only while wg_keypair_can_send; uses up one counter. */
size_t wg_keypair_seal(struct wg_keypair *kp, uint8_t *buf, size_t padded_len);

enum wg_opened {
    WG_OPENED = 0,
    WG_OPENED_REPLAY, /* authentic, but its counter was seen or is out of the window */
    WG_OPENED_BAD,
};

/* wg_keypair_open - open a data message of len bytes in place and only then judge its counter. */
enum wg_opened wg_keypair_open(struct wg_keypair *kp, struct wg_data_message *m, size_t len, ts_t now);

/* How the three move; each gives back (through `drop`, up to two) what has to be freed.
 * After initiations have crossed, the peer may go on sending under what is `previous` here. Stock implementations
 * then drop that one at the next renewal and lose what is in flight. Here a responder keeps it, and of previous and
 * current the one the peer was last heard under stays as previous. A `next` that was not confirmed in time for the
 * peer's next try counts for nothing. */
void wg_keypairs_initiated(struct wg_keypairs *kps, struct wg_keypair *fresh, struct wg_keypair *drop[2]);
void wg_keypairs_responded(struct wg_keypairs *kps, struct wg_keypair *fresh, struct wg_keypair *drop[2]);

/* wg_keypairs_confirmed - a packet came under `next`: it is the current one now. */
void wg_keypairs_confirmed(struct wg_keypairs *kps, struct wg_keypair *drop[2]);

#endif
