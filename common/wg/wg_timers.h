/* wg_timers.h - everything a peer does because time passed, told as what happened. Section 6.
 *
 * Callers say "data sent" or "session derived"; only wg_timers.c knows which deadlines that moves.
 *
 *     timer          armed by                                stopped by               when due
 *     RETRANSMIT     an initiation sent: 5 s + 0..333 ms;    handshake complete       initiate again; 90 s: give up
 *                    it is known to be lost: 30 ms
 *     KEEPALIVE      data received: 10 s                     anything sent            send an empty packet
 *     NEW_HANDSHAKE  data sent: 15 s + 0..333 ms             anything received        initiate: nobody answers
 *     PERSISTENT     anything sent or received: configured   -                        send an empty packet
 *     EXPIRE         a session derived: 180 s                -                        free sessions too old to use
 *     WIPE           a session derived, giving up: 540 s     -                        forget every secret
 *
 * A keepalive is not data, else two peers would keep each other awake for ever.
 * All six share one place in the device's heap. A deadline that moves later (most do so with every packet) leaves the
 * heap alone: the place then fires early once, finds nothing due and arms itself for the real next one. */
#ifndef WG_WG_TIMERS_H
#define WG_WG_TIMERS_H

#include "common/base/timerq.h"
#include "common/wg/wg.h"

/* section 6.1 */
#define WG_REKEY_TIMEOUT_NS     (5 * TS_S)
#define WG_REKEY_ATTEMPT_NS     (90 * TS_S)
#define WG_KEEPALIVE_NS         (10 * TS_S)
#define WG_JITTER_NS            (TS_S / 3) /* section 6.4 says "jitter"; both stock ones add up to 333 ms */
#define WG_LAST_MINUTE_NS       (WG_REJECT_AFTER_NS - WG_KEEPALIVE_NS - WG_REKEY_TIMEOUT_NS)
#define WG_WIPE_NS              (3 * WG_REJECT_AFTER_NS)
#define WG_INITIATION_PERIOD_NS (20 * TS_MS) /* stock: initiations of a peer that come faster are dropped */
#define WG_INITIATION_AGAIN_NS  (30 * TS_MS) /* that, and what the path may take longer or less long */

enum wg_timer {
    WG_TIMER_RETRANSMIT = 0,
    WG_TIMER_KEEPALIVE,
    WG_TIMER_NEW_HANDSHAKE,
    WG_TIMER_PERSISTENT,
    WG_TIMER_EXPIRE,
    WG_TIMER_WIPE,
    WG_TIMER_COUNT
};

struct wg_timers {
    struct timer timer; /* in the device's heap, at or before the earliest of `due` */
    ts_t due[WG_TIMER_COUNT];
};

void wg_timers_init(struct wg_timers *timers);
void wg_timers_deinit(struct wg_peer *peer);

void wg_timers_data_sent(struct wg_peer *peer, ts_t now);
void wg_timers_data_received(struct wg_peer *peer, ts_t now);
/* any_* - anything authenticated, handshakes and keepalives included */
void wg_timers_any_sent(struct wg_peer *peer, ts_t now);
void wg_timers_any_received(struct wg_peer *peer, ts_t now);

/* wg_timers_handshake_asked - an attempt began that may send its first initiation only at `at`. */
void wg_timers_handshake_asked(struct wg_peer *peer, ts_t at);
void wg_timers_initiation_sent(struct wg_peer *peer, ts_t now);
/* wg_timers_initiation_lost - the next one at `at`, not after the timeout. */
void wg_timers_initiation_lost(struct wg_peer *peer, ts_t at);
void wg_timers_handshake_complete(struct wg_peer *peer);
void wg_timers_session_derived(struct wg_peer *peer, ts_t now);
/* wg_timers_sessions_changed - `oldest` is when the oldest session left was born; TS_NEVER: none is left. */
void wg_timers_sessions_changed(struct wg_peer *peer, ts_t oldest);
void wg_timers_gave_up(struct wg_peer *peer, ts_t now);
void wg_timers_persistent_set(struct wg_peer *peer, ts_t first);

/* wg_timers_fire - this timer has come up in the device's heap. */
void wg_timers_fire(struct timer *timer, ts_t now);

#endif
