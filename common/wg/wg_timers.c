/* wg_timers.c - see the table in the header. */
#include "common/wg/wg_timers.h"

#include "common/base/bug.h"
#include "common/wg/wg_device.h"
#include "common/wg/wg_peer.h"

static_assert(WG_REKEY_AFTER_NS < WG_LAST_MINUTE_NS && WG_LAST_MINUTE_NS < WG_REJECT_AFTER_NS, "section 6.2");
static_assert(WG_KEEPALIVE_NS + WG_REKEY_TIMEOUT_NS < WG_REKEY_AFTER_NS, "an answer is missed before keys are old");
static_assert(WG_REKEY_TIMEOUT_NS < WG_REKEY_ATTEMPT_NS, "there is a second try");

void wg_timers_init(struct wg_timers *timers)
{
    timer_init(&timers->timer);
    for (int t = 0; t < WG_TIMER_COUNT; t++)
        timers->due[t] = TS_NEVER;
}

void wg_timers_deinit(struct wg_peer *peer)
{
    timerq_disarm(&peer->dev->timers, &peer->timers.timer);
}

static void arm(struct wg_peer *peer, enum wg_timer which, ts_t at)
{
    peer->timers.due[which] = at;
    if (at < peer->timers.timer.at)
        timerq_arm(&peer->dev->timers, &peer->timers.timer, at);
}

static void stop(struct wg_peer *peer, enum wg_timer which)
{
    peer->timers.due[which] = TS_NEVER;
}

static void arm_if_stopped(struct wg_peer *peer, enum wg_timer which, ts_t at)
{
    if (peer->timers.due[which] == TS_NEVER)
        arm(peer, which, at);
}

static uint64_t jitter(struct wg_peer *peer)
{
    return rng_below(&peer->dev->chance, WG_JITTER_NS);
}

/* anything authenticated, either way */
static void traversed(struct wg_peer *peer, ts_t now)
{
    if (peer->keepalive_ns)
        arm(peer, WG_TIMER_PERSISTENT, ts_add(now, peer->keepalive_ns));
}

void wg_timers_data_sent(struct wg_peer *peer, ts_t now)
{
    if (peer->timers.due[WG_TIMER_NEW_HANDSHAKE] == TS_NEVER)
        arm(peer, WG_TIMER_NEW_HANDSHAKE, ts_add(now, WG_KEEPALIVE_NS + WG_REKEY_TIMEOUT_NS + jitter(peer)));
}

/* Stock implementations remember further data and send a second keepalive for it. The first one already follows that
 * data and answers it, so here it does not. */
void wg_timers_data_received(struct wg_peer *peer, ts_t now)
{
    arm_if_stopped(peer, WG_TIMER_KEEPALIVE, ts_add(now, peer->dev->keepalive_passive_ns));
}

void wg_timers_any_sent(struct wg_peer *peer, ts_t now)
{
    stop(peer, WG_TIMER_KEEPALIVE);
    traversed(peer, now);
}

void wg_timers_any_received(struct wg_peer *peer, ts_t now)
{
    stop(peer, WG_TIMER_NEW_HANDSHAKE);
    traversed(peer, now);
}

void wg_timers_handshake_asked(struct wg_peer *peer, ts_t at)
{
    arm(peer, WG_TIMER_RETRANSMIT, ts_add(at, jitter(peer)));
}

void wg_timers_initiation_sent(struct wg_peer *peer, ts_t now)
{
    arm(peer, WG_TIMER_RETRANSMIT, ts_add(now, WG_REKEY_TIMEOUT_NS + jitter(peer)));
}

void wg_timers_initiation_lost(struct wg_peer *peer, ts_t at)
{
    arm(peer, WG_TIMER_RETRANSMIT, at);
}

void wg_timers_handshake_complete(struct wg_peer *peer)
{
    stop(peer, WG_TIMER_RETRANSMIT);
}

void wg_timers_session_derived(struct wg_peer *peer, ts_t now)
{
    arm(peer, WG_TIMER_WIPE, ts_add(now, WG_WIPE_NS));
}

void wg_timers_sessions_changed(struct wg_peer *peer, ts_t oldest)
{
    arm(peer, WG_TIMER_EXPIRE, ts_add(oldest, WG_REJECT_AFTER_NS));
}

void wg_timers_gave_up(struct wg_peer *peer, ts_t now)
{
    stop(peer, WG_TIMER_RETRANSMIT);
    arm_if_stopped(peer, WG_TIMER_WIPE, ts_add(now, WG_WIPE_NS));
}

void wg_timers_persistent_set(struct wg_peer *peer, ts_t first)
{
    arm(peer, WG_TIMER_PERSISTENT, first);
}

static void due(struct wg_peer *peer, enum wg_timer which, ts_t now)
{
    stop(peer, which);
    switch (which) {
    case WG_TIMER_RETRANSMIT:
        wg_peer_retransmit(peer, now);
        break;
    case WG_TIMER_KEEPALIVE:
        wg_peer_keepalive(peer, now);
        break;
    case WG_TIMER_NEW_HANDSHAKE:
        wg_peer_initiate(peer, now);
        break;
    case WG_TIMER_PERSISTENT:
        arm(peer, WG_TIMER_PERSISTENT, ts_add(now, peer->keepalive_ns)); /* also when nothing can be sent */
        if (!wg_peer_keepalive(peer, now))
            wg_peer_initiate(peer, now);
        break;
    case WG_TIMER_EXPIRE:
        wg_peer_expire_sessions(peer, now);
        break;
    case WG_TIMER_WIPE:
        wg_peer_wipe(peer, now);
        break;
    case WG_TIMER_COUNT:
        BUG_ON(true);
    }
}

void wg_timers_fire(struct timer *timer, ts_t now)
{
    struct wg_peer *peer = container_of(timer, struct wg_peer, timers.timer);
    ts_t next = TS_NEVER;

    for (int t = 0; t < WG_TIMER_COUNT; t++)
        if (peer->timers.due[t] <= now)
            due(peer, t, now);
    for (int t = 0; t < WG_TIMER_COUNT; t++)
        next = ts_min(next, peer->timers.due[t]);
    timerq_arm(&peer->dev->timers, timer, next);
}
