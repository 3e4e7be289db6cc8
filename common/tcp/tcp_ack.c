/* What an acknowledgement means for sending: bytes to forget, segments delivered or lost, time measured, the window. */
#include "common/base/bug.h"
#include "common/tcp/tcp_conn_priv.h"

/* the 64-bit position of a sequence number of ours, nearest to what is unacknowledged */
static uint64_t position(const struct tcp_conn *c, uint32_t seq)
{
    return c->snd_una + (uint64_t)(int64_t)(int32_t)(seq - (c->iss + (uint32_t)c->snd_una));
}

/* RFC 2883 section 4: the first block lies below the ACK, or inside the second block */
static bool dsack_seen(const struct tcp_header *h)
{
    const struct tcp_sack_block *b = h->sack;

    if (h->sack_count == 0)
        return false;
    if ((int32_t)(b[0].end - h->ack) <= 0)
        return true;
    return h->sack_count > 1 && (int32_t)(b[0].start - b[1].start) >= 0 && (int32_t)(b[1].end - b[0].end) >= 0;
}

static void take_sacks(struct tcp_conn *c, const struct tcp_header *h, struct tcp_delivery *d)
{
    for (uint8_t i = 0; c->sack_ok && i < h->sack_count; i++) {
        uint64_t start = position(c, h->sack[i].start), end = position(c, h->sack[i].end);

        if ((int64_t)(start - c->snd_una) >= 0 && start < end && end <= c->snd_nxt)
            tcp_track_sacked(&c->tx->track, start, end, d);
    }
}

/* RFC 9293 section 3.10.7.4, "SND.WND should be updated" */
static void take_window(struct tcp_conn *c, const struct tcp_header *h, uint64_t at, uint64_t ack)
{
    if (at < c->snd_wl1 || (at == c->snd_wl1 && ack < c->snd_wl2))
        return;
    uint32_t window = (uint32_t)h->window << c->snd_shift;

    c->snd_edge = ack + window;
    if (c->tx && window > c->snd_window_max)
        c->tx->window_grows = c->snd_nxt;
    c->snd_window_max = MAX(c->snd_window_max, window);
    c->snd_wl1 = at;
    c->snd_wl2 = ack;
}

/* What was sent again is timed by the timestamp, which tells which sending was answered. Not when una stays (RFC 7323
 * section 4.1) and not when it was in vain: the timestamp may then be one of long ago, whose answer was lost. */
static void take_rtt(struct tcp_conn *c, const struct tcp_header *h, const struct tcp_delivery *d, bool in_order,
                     ts_t now)
{
    if (d->rtt_ns) {
        tcp_rtt_sample(&c->rtt, d->rtt_ns, now);
    } else if (d->again && in_order && c->ts_ok && h->ts_echo) {
        uint32_t ms = tcp_conn_ts(c, now) - h->ts_echo;

        if (ms < TCP_RTO_MAX_NS / TS_MS)
            tcp_rtt_sample(&c->rtt, MAX(ms, 1u) * TS_MS, now);
    }
}

/* una moved: bytes go, the owner may hear of it */
static void forget_acked(struct tcp_conn *c, uint64_t ack, ts_t now)
{
    c->snd_una = ack;
    tcp_sendq_acked(&c->sendq, c->stack->config.pool, MIN(ack, c->sendq.end));
    c->persist_backoff = 0;
    c->stalled_since = ack < tcp_conn_owes(c) ? now : TS_NEVER;
    if (ack == tcp_conn_owes(c))
        tcp_conn_event(c, TCP_EVENT_DRAINED);
    tcp_stack_feed(c->stack);
}

void tcp_conn_tell_writable(struct tcp_conn *c)
{
    size_t limit = tcp_conn_send_limit(c);
    size_t used = tcp_sendq_used(&c->sendq);

    if (!c->write_wanted || !list_empty(&c->wait_link) || used > limit - limit / 4)
        return;
    c->write_wanted = false;
    if (tcp_can_write(c))
        tcp_conn_event(c, TCP_EVENT_WRITABLE);
}

/* RFC 5681 section 2; the window must not have moved either. What answers our own repeats of an episode that is over is
 * no sign of another one: RFC 6582 section 3.2, step 2. */
static bool duplicate(const struct tcp_conn *c, const struct tcp_header *h, uint64_t ack, bool bare)
{
    const struct tcp_loss *loss = c->tx ? &c->tx->loss : NULL;
    bool told = loss && (loss->repair == TCP_REPAIR_RECOVERY ||
                         (loss->repair == TCP_REPAIR_NONE && c->snd_una > loss->recovery_end));

    return !c->sack_ok && told && bare && ack == c->snd_una &&
           ack + ((uint64_t)h->window << c->snd_shift) == c->snd_edge;
}

void tcp_conn_acked(struct tcp_conn *c, const struct tcp_header *h, uint64_t at, uint64_t ack, bool bare, ts_t now)
{
    struct tcp_delivery d = {.now = now, .rtt_min_ns = c->rtt.min_ns};
    uint64_t pipe_before = tcp_track_pipe(tcp_conn_track(c)), moved = ack > c->snd_una ? ack - c->snd_una : 0;
    bool dsack = c->sack_ok && dsack_seen(h), dup = duplicate(c, h, ack, bare);

    tcp_sender_limited(c);
    take_window(c, h, at, ack);
    if (c->snd_edge <= c->snd_nxt && c->stalled_since != TS_NEVER && tcp_track_empty(tcp_conn_track(c)))
        c->stalled_since = now; /* a closed window with a live peer is no timeout, RFC 9293 section 3.8.6.1 */
    if (tcp_track_empty(tcp_conn_track(c)))
        return; /* nothing it could tell about */
    if (moved) {
        tcp_track_acked(&c->tx->track, ack, &d);
        forget_acked(c, ack, now);
    }
    take_sacks(c, h, &d);
    if (dup)
        tcp_track_duplicate(&c->tx->track, &d);
    tcp_mss_arrived(c, d.newest.len, now);
    take_rtt(c, h, &d, moved > 0 && !dsack, now);

    struct tcp_sender *tx = c->tx;
    struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);
    struct tcp_rate_sample sample = tcp_rate_acked(&tx->rate, d.bytes, d.newest.len ? &d.newest.rate : NULL,
                                                   d.newest.sent_at, c->rtt.min_ns, now);

    if (moved && c->ts_ok && h->ts_echo)
        tcp_loss_eifel(&ctx, h->ts_echo);
    uint64_t wait_ns = tcp_loss_acked(&ctx, &d, moved, dsack);

    if (d.bytes > 0) {
        struct tcp_cc_ack cc_ack = {
            .now = now,
            .delivered = d.bytes,
            .rtt_ns = d.rtt_ns,
            .srtt_ns = c->rtt.srtt_ns,
            .una = c->snd_una,
            .nxt = c->snd_nxt,
            .pipe_before = pipe_before,
            .pipe = tcp_track_pipe(&tx->track),
            .recovery = tx->loss.repair == TCP_REPAIR_RECOVERY,
            .rate = sample,
            .delivered_total = tx->rate.delivered,
            .lost = sample.valid ? (uint32_t)tx->rate.lost - d.newest.rate.lost : 0,
        };

        tx->cc.ops->on_ack(&tx->cc, &cc_ack);
        if (tx->cc.holds_back)
            tcp_rate_limited(&tx->rate, cc_ack.pipe);
        c->tlp_due = false;
    }
    bool no_probe = c->tlp_due && tcp_track_lost_bytes(&tx->track) > 0; /* what is lost goes first, and may have to wait */

    if (no_probe)
        c->tlp_due = false;
    if (d.bytes > 0 || moved || no_probe)
        tcp_conn_send_timer_rearm(c, now);
    if (wait_ns && c->at[TCP_TIMER_SEND] > now + wait_ns) {
        c->send_timer = TCP_SEND_REORDER;
        c->at[TCP_TIMER_SEND] = now + wait_ns;
    }
    tcp_conn_tell_writable(c);
}
