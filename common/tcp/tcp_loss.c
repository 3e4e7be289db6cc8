/* tcp_loss.c - RFC 8985 in its own order: update, reordering window, detection; then the repair that follows.
 *
 *      lost found ---> RECOVERY (PRR paces by what arrives) ---> una passes recovery_end
 *      RTO fires  ---> RTO (slow start from one segment)    ---> the same
 *      an echo older than the first retransmission: all undone (Eifel) */
#include "common/tcp/tcp_loss.h"

#include "common/base/bug.h"

#define DUP_THRESH          3          /* RFC 8985 section 5.1 */
#define REORDER_PERSIST     16         /* section 6.2 step 4 */
#define TLP_MAX_ACK_DELAY_NS (200 * TS_MS) /* section 7.2: a lone segment may wait for a delayed ACK */
#define TLP_MIN_NS          (1 * TS_MS)
#define TLP_PROBES_MAX      2 /* before the timeout, the second after twice the time */

void tcp_loss_init(struct tcp_loss *loss)
{
    *loss = (struct tcp_loss){.reorder_mult = 1};
}

/* RFC 8985 section 6.2 step 4 */
static uint64_t reorder_window(const struct tcp_loss_ctx *c)
{
    const struct tcp_loss *loss = c->loss;

    if (!loss->reordering_seen &&
        (loss->repair != TCP_REPAIR_NONE || tcp_track_sacked_count(c->track) >= DUP_THRESH))
        return 0;
    if (c->rtt->min_ns == UINT64_MAX)
        return 0;
    return MIN(loss->reorder_mult * (c->rtt->min_ns / 4), c->rtt->srtt_ns);
}

static void reorder_window_adapt(const struct tcp_loss_ctx *c, bool dsack)
{
    struct tcp_loss *loss = c->loss;

    if (dsack && c->una >= loss->reorder_round_end) {
        loss->reorder_round_end = c->nxt; /* one step a round */
        loss->reorder_mult += loss->reorder_mult < 250;
        loss->reorder_persist = REORDER_PERSIST;
    }
}

static bool sent_after(ts_t at1, uint64_t end1, ts_t at2, uint64_t end2)
{
    return at1 > at2 || (at1 == at2 && end1 > end2);
}

static void lose(const struct tcp_loss_ctx *c, struct tcp_sent *s)
{
    if (s->flags & (TCP_SENT_SACKED | TCP_SENT_LOST))
        return;
    tcp_track_lose(c->track, s);
    c->rate->lost += s->len;
    struct tcp_cc_lost lost = {
        .now = c->now,
        .start = s->start,
        .len = s->len,
        .lost = (uint32_t)c->rate->lost - s->rate.lost,
        .in_flight = s->rate.in_flight,
        .limited = s->rate.limited,
        .delivered_total = c->rate->delivered,
    };

    c->cc->ops->on_lost(c->cc, &lost);
}

/* RFC 8985 section 6.2 step 5: mark what is lost; returns until when to wait for the next, 0: nothing waits */
static uint64_t detect(const struct tcp_loss_ctx *c)
{
    struct tcp_loss *loss = c->loss;
    uint64_t window_ns = reorder_window(c);

    for (struct tcp_sent *s = tcp_track_oldest(c->track), *later; s; s = later) {
        later = tcp_track_later(c->track, s);
        if (!sent_after(loss->rack_at, loss->rack_end, s->sent_at, s->start + s->len))
            break;
        uint64_t wait_ns = loss->rack_rtt_ns + window_ns, age_ns = ts_since(c->now, s->sent_at);

        if (age_ns < wait_ns)
            return wait_ns - age_ns; /* in order of sending: the rest waits longer */
        lose(c, s);
    }
    return 0;
}

/* -- repair ---------------------------------------------------------------------------------------------------- */

static void repair_begin(const struct tcp_loss_ctx *c, enum tcp_repair repair)
{
    struct tcp_loss *loss = c->loss;

    loss->repair = repair;
    loss->recovery_end = c->nxt;
    loss->undo_possible = true;
    loss->undo_stamp = 0;
    loss->tlp_out = 0;
}

static void repair_end(const struct tcp_loss_ctx *c)
{
    struct tcp_loss *loss = c->loss;

    loss->repair = TCP_REPAIR_NONE;
    if (loss->reorder_persist && --loss->reorder_persist == 0)
        loss->reorder_mult = 1;
    c->cc->ops->on_recovered(c->cc);
}

static void recovery_begin(const struct tcp_loss_ctx *c)
{
    struct tcp_loss *loss = c->loss;

    repair_begin(c, TCP_REPAIR_RECOVERY);
    c->cc->ops->on_loss(c->cc, c->nxt - c->una, c->now);
    loss->prr_delivered = 0;
    loss->prr_out = 0;
    loss->prr_flight = (uint32_t)MAX(c->nxt - c->una, (uint64_t)1);
    loss->prr_cwnd = (uint32_t)tcp_track_pipe(c->track) + c->cc->mss;
}

/* RFC 6937 section 3, with the slow-start reduction bound where una moves and nothing new was found lost */
static void prr_update(const struct tcp_loss_ctx *c, uint64_t delivered, bool safe)
{
    struct tcp_loss *loss = c->loss;
    uint64_t pipe = tcp_track_pipe(c->track), target = c->cc->cwnd, may = 0;

    loss->prr_delivered += (uint32_t)delivered;
    if (pipe > target) {
        uint64_t share = ((uint64_t)loss->prr_delivered * target + loss->prr_flight - 1) / loss->prr_flight;

        may = share > loss->prr_out ? share - loss->prr_out : 0;
    } else {
        uint64_t owed = loss->prr_delivered > loss->prr_out ? loss->prr_delivered - loss->prr_out : 0;

        may = MAX(owed, delivered) + (safe ? c->cc->mss : 0);
        may = MIN(may, target - pipe);
    }
    if (loss->prr_out == 0)
        may = MAX(may, (uint64_t)c->cc->mss); /* the first retransmission does not wait */
    loss->prr_cwnd = (uint32_t)MIN(pipe + may, (uint64_t)UINT32_MAX);
}

static void probe_answered(const struct tcp_loss_ctx *c, bool dsack)
{
    struct tcp_loss *loss = c->loss;

    if (!loss->tlp_out || c->una < loss->tlp_end)
        return;
    loss->tlp_out = 0;
    /* RFC 8985 section 7.4: the probe repaired a loss nobody else saw, so the window must shrink all the same */
    if (loss->tlp_again && !dsack && loss->repair == TCP_REPAIR_NONE)
        c->cc->ops->on_loss(c->cc, c->cc->cwnd, c->now);
}

uint64_t tcp_loss_acked(const struct tcp_loss_ctx *c, const struct tcp_delivery *d, uint64_t una_moved, bool dsack)
{
    struct tcp_loss *loss = c->loss;
    uint64_t lost_before = tcp_track_lost_bytes(c->track);

    if (d->newest_at && sent_after(d->newest_at, d->newest_end, loss->rack_at, loss->rack_end)) {
        loss->rack_at = d->newest_at;
        loss->rack_end = d->newest_end;
        loss->rack_rtt_ns = ts_since(c->now, d->newest_at);
    }
    loss->reordering_seen |= d->reordered;
    reorder_window_adapt(c, dsack);
    if (loss->repair != TCP_REPAIR_NONE && c->una >= loss->recovery_end)
        repair_end(c);
    probe_answered(c, dsack);
    if (!c->sack && una_moved > 0 && loss->repair == TCP_REPAIR_RECOVERY) {
        struct tcp_sent *missing = tcp_track_missing(c->track); /* a partial acknowledgement, RFC 6582 */

        if (missing)
            lose(c, missing);
    }

    uint64_t wait_ns = detect(c);
    uint64_t lost = tcp_track_lost_bytes(c->track);

    if (lost > 0 && loss->repair == TCP_REPAIR_NONE)
        recovery_begin(c);
    if (loss->repair == TCP_REPAIR_RECOVERY)
        prr_update(c, d->bytes, una_moved > 0 && lost <= lost_before);
    return wait_ns;
}

uint64_t tcp_loss_reorder_timeout(const struct tcp_loss_ctx *c)
{
    uint64_t wait_ns = detect(c);

    if (tcp_track_lost_bytes(c->track) > 0 && c->loss->repair == TCP_REPAIR_NONE)
        recovery_begin(c);
    if (c->loss->repair == TCP_REPAIR_RECOVERY)
        prr_update(c, 0, false);
    return wait_ns;
}

void tcp_loss_rto(const struct tcp_loss_ctx *c)
{
    struct tcp_loss *loss = c->loss;
    struct tcp_sent *first = tcp_track_first(c->track);
    uint64_t wait_ns = loss->rack_rtt_ns + reorder_window(c);

    if (!first)
        return;
    /* what was sacked can't be what una waits for: the peer threw it away */
    if (first->flags & TCP_SENT_SACKED)
        tcp_track_renege(c->track);
    for (struct tcp_sent *s = tcp_track_oldest(c->track), *later; s; s = later) {
        later = tcp_track_later(c->track, s);
        if (s == first || ts_since(c->now, s->sent_at) >= wait_ns)
            lose(c, s);
    }
    /* a second timeout of the same data reduces nothing further: RFC 5681 section 3.1 */
    if (loss->repair != TCP_REPAIR_RTO || c->una >= loss->recovery_end) {
        repair_begin(c, TCP_REPAIR_RTO);
        c->cc->ops->on_rto(c->cc, c->nxt - c->una, c->now);
    } else {
        c->cc->cwnd = c->cc->mss;
    }
    /* what is too young to be lost still counts as travelling: the retransmission goes out beside it */
    c->cc->cwnd = MAX(c->cc->cwnd, (uint32_t)tcp_track_pipe(c->track) + c->cc->mss);
    tcp_rtt_timed_out(c->rtt);
}

bool tcp_loss_black_hole(const struct tcp_loss_ctx *c, uint16_t mss)
{
    if (!tcp_track_resegment(c->track, mss))
        return false;
    c->cc->ops->on_undo(c->cc, c->now);
    c->cc->mss = mss;
    c->cc->cwnd = tcp_cc_initial_window(mss); /* nothing was learned about the path since it began */
    c->loss->undo_possible = false;
    return true;
}

void tcp_loss_eifel(const struct tcp_loss_ctx *c, uint32_t ts_echo)
{
    struct tcp_loss *loss = c->loss;

    if (loss->repair == TCP_REPAIR_NONE || !loss->undo_possible || !loss->undo_stamp)
        return;
    loss->undo_possible = false; /* only the first answer can tell */
    if ((int32_t)(ts_echo - loss->undo_stamp) >= 0)
        return;
    tcp_track_unlose(c->track);
    c->cc->ops->on_undo(c->cc, c->now);
    loss->repair = TCP_REPAIR_NONE;
    loss->reordering_seen = true;
    c->rtt->backoff = 0;
}

uint32_t tcp_loss_cwnd(const struct tcp_loss *loss, const struct tcp_cc *cc)
{
    return loss->repair == TCP_REPAIR_RECOVERY && !cc->ops->keeps_window ? loss->prr_cwnd : cc->cwnd;
}

void tcp_loss_sent(struct tcp_loss *loss, uint64_t bytes, bool again, uint32_t stamp)
{
    if (loss->repair == TCP_REPAIR_RECOVERY)
        loss->prr_out += (uint32_t)bytes;
    if (again && loss->repair != TCP_REPAIR_NONE && !loss->undo_stamp)
        loss->undo_stamp = stamp ? stamp : 1;
}

uint64_t tcp_loss_probe_ns(const struct tcp_loss_ctx *c)
{
    const struct tcp_loss *loss = c->loss;
    const struct tcp_sent *last = tcp_track_last(c->track);

    if (!last || loss->repair == TCP_REPAIR_RTO || loss->tlp_out >= (c->sack ? TLP_PROBES_MAX : 1))
        return 0;
    if (loss->repair == TCP_REPAIR_NONE && tcp_track_sacked_bytes(c->track) > 0)
        return 0; /* losses are about to be found */
    if (c->rtt->srtt_ns == 0)
        return 0; /* no sample: the timeout of one second is the probe */
    uint64_t wait_ns = MAX(2 * c->rtt->srtt_ns, TLP_MIN_NS) << loss->tlp_out;

    return last == tcp_track_first(c->track) ? wait_ns + TLP_MAX_ACK_DELAY_NS : wait_ns;
}

void tcp_loss_probed(const struct tcp_loss_ctx *c, bool again)
{
    bool first = c->loss->tlp_out++ == 0;

    c->loss->tlp_end = first ? c->nxt : c->loss->tlp_end;
    /* a repair has shrunk the window already */
    c->loss->tlp_again = (again && c->loss->repair == TCP_REPAIR_NONE) || (!first && c->loss->tlp_again);
}
