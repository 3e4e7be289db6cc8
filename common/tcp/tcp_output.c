/* What a connection sends next, and how it is written.
 *
 * The plan is a question without side effects: it decides whether the connection stands among the ready ones, and a
 * moment later what is written. Lost segments come before new ones; an acknowledgement rides on data when it can, but
 * one with SACK blocks goes alone, so that a segment's room never depends on it. There is no Nagle delay: a relay's
 * writer is another network, which has done its own waiting. */
#include "common/base/bug.h"
#include "common/ip/ip.h"
#include "common/tcp/tcp_conn_priv.h"

static bool sack_pending(const struct tcp_conn *c)
{
    return c->sack_ok && (c->recvq.early || c->dsack.start != c->dsack.end);
}

/* RFC 9293 section 3.8.6.2.1: how much of what is queued is worth sending into the peer's window */
static struct tcp_plan plan_new(const struct tcp_conn *c)
{
    struct tcp_plan plan = {.start = c->snd_nxt};
    uint64_t queued = tcp_conn_owes(c) - c->snd_nxt;
    uint64_t window = c->snd_edge > c->snd_nxt ? c->snd_edge - c->snd_nxt : 0;
    uint64_t bytes = c->sendq.end > c->snd_nxt ? c->sendq.end - c->snd_nxt : 0;
    uint64_t len = MIN(bytes, (uint64_t)c->mss);
    bool last = len == bytes;

    if (queued == 0)
        return plan;
    if (len > window && len > 0) {
        if (window == 0 || (window < c->snd_window_max / 2 && !c->override)) {
            plan.window_closed = true;
            return plan;
        }
        len = window;
        last = false;
    }
    if (last && c->fin_queued && len < window)
        len++; /* the FIN */
    if (len == 0) {
        plan.window_closed = true;
        return plan;
    }
    plan.kind = TCP_PLAN_NEW;
    plan.len = (uint16_t)len;
    return plan;
}

static bool cwnd_allows(const struct tcp_conn *c, uint64_t len)
{
    uint64_t pipe = tcp_track_pipe(tcp_conn_track(c));

    return pipe == 0 || pipe + len <= tcp_conn_cwnd(c);
}

static struct tcp_plan plan_data(const struct tcp_conn *c)
{
    struct tcp_plan plan = {0}, fresh = plan_new(c);
    struct tcp_sent *lost = c->tx ? tcp_track_lost(&c->tx->track) : NULL;

    if (lost) { /* as a probe with no regard to cwnd: RFC 8985 section 7.3 knows it outside of recovery only */
        if ((c->tlp_due && c->sack_ok) || (cwnd_allows(c, lost->len) && c->at[TCP_TIMER_PACE] == TS_NEVER))
            return (struct tcp_plan){TCP_PLAN_AGAIN, false, lost->start, lost->len, lost};
        return plan;
    }
    if (c->tlp_due) { /* RFC 8985 section 7.3: new data if there is any, else the last segment; no regard to cwnd */
        struct tcp_sent *last = tcp_track_last(tcp_conn_track(c));

        if (fresh.kind == TCP_PLAN_NEW)
            return fresh;
        if (last && last->flags & TCP_SENT_SACKED) /* in recovery: the repeat that got no answer */
            last = tcp_track_oldest(tcp_conn_track(c));
        if (last && !(last->flags & TCP_SENT_SACKED))
            return (struct tcp_plan){TCP_PLAN_TLP_AGAIN, false, last->start, last->len, last};
    }
    if (fresh.kind == TCP_PLAN_NEW && (!cwnd_allows(c, fresh.len) || c->at[TCP_TIMER_PACE] != TS_NEVER))
        return plan;
    return fresh;
}

/* a SYN-ACK that waits for the answer to what came with the SYN */
static bool syn_held(const struct tcp_conn *c)
{
    return c->state == TCP_SYN_RECEIVED && c->syn_tries == 0 && tcp_conn_owes(c) == 1 &&
           c->at[TCP_TIMER_ACK] != TS_NEVER && !c->ack_due;
}

struct tcp_plan tcp_conn_plan(const struct tcp_conn *c)
{
    struct tcp_plan plan = {0};

    if (c->rst_due) {
        plan.kind = TCP_PLAN_RST;
    } else if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED) {
        if (c->syn_due && !syn_held(c))
            plan.kind = TCP_PLAN_SYN;
        else if (c->ack_due && c->state == TCP_SYN_RECEIVED)
            plan.kind = TCP_PLAN_ACK;
    } else if (tcp_conn_synchronized(c)) {
        if (c->ack_due && sack_pending(c)) {
            plan.kind = TCP_PLAN_ACK;
            return plan;
        }
        plan = plan_data(c);
        if (plan.kind == TCP_PLAN_NOTHING && c->ack_due)
            plan.kind = TCP_PLAN_ACK;
        else if (plan.kind == TCP_PLAN_NOTHING && c->probe_due)
            plan.kind = TCP_PLAN_PROBE;
    }
    return plan;
}

/* -- writing --------------------------------------------------------------------------------------------------- */

static void put_syn_options(const struct tcp_conn *c, struct tcp_header *h, ts_t now)
{
    h->mss = (uint16_t)(c->peer->mtu - ip_header_len(&c->local.addr) - TCP_HEADER_MIN);
    h->has_window_shift = c->shift_ok;
    h->window_shift = c->window.shift;
    h->sack_permitted = c->sack_ok;
    h->has_timestamp = c->ts_ok;
    h->ts_value = tcp_conn_ts(c, now);
    h->ts_echo = h->flags & TCP_ACK ? c->ts_recent : 0;
}

static void put_sack(struct tcp_conn *c, struct tcp_header *h)
{
    struct tcp_range blocks[TCP_SACK_BLOCKS];
    int count = 0, most = c->ts_ok ? TCP_SACK_BLOCKS - 1 : TCP_SACK_BLOCKS;

    if (c->dsack.start != c->dsack.end)
        blocks[count++] = c->dsack; /* first, and once: RFC 2883 section 4 */
    count += tcp_recvq_sack(&c->recvq, blocks + count, most - count);
    c->dsack = (struct tcp_range){0};
    h->sack_count = (uint8_t)count;
    for (int i = 0; i < count; i++) {
        h->sack[i].start = c->irs + (uint32_t)blocks[i].start;
        h->sack[i].end = c->irs + (uint32_t)blocks[i].end;
    }
}

/* The ACK field and all that an acknowledgement settles. */
static void put_ack(struct tcp_conn *c, struct tcp_header *h, bool bare)
{
    uint64_t next = tcp_conn_rcv_next(c);
    uint8_t shift = c->window.shift;

    if (h->flags & TCP_SYN)
        c->window.shift = 0; /* the window of a SYN is never scaled, RFC 7323 section 2.2 */
    h->ack = c->irs + (uint32_t)next;
    h->window = tcp_window_offer(&c->window, c->recvq.bytes.base, next, c->mss, tcp_stack_scarce(c->stack, 4));
    c->window.shift = shift;
    c->last_ack_sent = next;
    c->rcv_unacked = 0;
    c->ack_due = c->acks_more > 0;
    c->acks_more -= bare && c->acks_more > 0;
    c->acks_at_once -= c->acks_at_once > 0;
    c->at[TCP_TIMER_ACK] = TS_NEVER;
}

/* One segment of this connection: its FIN or SYN by `flags`, and len bytes from position `start`; a SYN's bytes come after
 * it. */
static size_t emit(struct tcp_conn *c, uint8_t *buf, uint8_t flags, uint64_t start, uint16_t len, ts_t now)
{
    struct tcp_header h = {
        .src_port = c->local.port,
        .dst_port = c->remote.port,
        .seq = c->iss + (uint32_t)start,
        .flags = flags,
    };
    size_t ip_len = ip_header_len(&c->local.addr), header_len;

    if (flags & TCP_ACK) {
        bool sack = len == 0 && sack_pending(c) && !(flags & (TCP_SYN | TCP_RST));

        put_ack(c, &h, len == 0);
        if (sack)
            put_sack(c, &h);
        c->ack_due |= sack && tcp_recvq_news(&c->recvq);
    } else if (flags & TCP_SYN) {
        h.window = (uint16_t)MIN(c->window.size, (uint32_t)UINT16_MAX);
    }
    if (flags & TCP_SYN) {
        put_syn_options(c, &h, now);
    } else if (c->ts_ok) {
        h.has_timestamp = true;
        h.ts_value = tcp_conn_ts(c, now);
        h.ts_echo = c->ts_recent;
    }
    header_len = tcp_header_len(&h);
    BUG_ON(ip_len + header_len + len > c->peer->mtu);
    ip_header_write(buf, &c->local.addr, &c->remote.addr, IP_PROTOCOL_TCP, header_len + len);
    tcp_header_write(&h, buf + ip_len);
    if (len > 0)
        stretch_load(&c->sendq.bytes, c->stack->config.pool, start + !!(flags & TCP_SYN), buf + ip_len + header_len, len);
    tcp_checksum_put(buf + ip_len, header_len + len,
                     ip_pseudo_sum(&c->local.addr, &c->remote.addr, IP_PROTOCOL_TCP, header_len + len));
    return ip_len + header_len + len;
}

/* Bytes leave at the pace: what is ahead of it by more than a quantum waits until it has caught up. A quantum of
 * delay in being called is made good, and more of it when the timer was late, else a busy host would take its own turns
 * for the path's speed: measuring half of what it could send, sending half of that, and so on. */
static void pace(struct tcp_conn *c, uint16_t len, ts_t now)
{
    uint64_t rate = c->tx->cc.ops->pacing_rate(&c->tx->cc, tcp_rtt_pace(&c->rtt));
    uint64_t late_ns = c->pace_late ? MAX(TCP_PACE_QUANTUM_NS, MIN(TCP_PACE_LATE_NS, c->rtt.srtt_ns / 4))
                                    : TCP_PACE_QUANTUM_NS;

    if (!rate)
        return;
    c->pace_at = ts_max(c->pace_at, now - MIN(now, late_ns)) + len * TS_S / rate;
    if (c->pace_at >= now)
        c->pace_late = false;
    if (c->pace_at > now + TCP_PACE_QUANTUM_NS)
        c->at[TCP_TIMER_PACE] = c->pace_at;
}

static size_t emit_data(struct tcp_conn *c, uint8_t *buf, const struct tcp_plan *plan, ts_t now)
{
    bool again = plan->kind != TCP_PLAN_NEW;
    uint64_t end = plan->start + plan->len;
    bool fin = end > c->sendq.end;
    uint16_t bytes = (uint16_t)(plan->len - fin);
    uint8_t flags = TCP_ACK;

    struct tcp_sender *tx = tcp_sender_wake(c, now);

    if (!tx || (!again && !tcp_track_reserve(&tx->track))) {
        c->at[TCP_TIMER_PACE] = now + TCP_RETRY_NS;
        if (c->tlp_due) { /* which heeds no pace: the timeout is left */
            c->tlp_due = false;
            c->send_timer = TCP_SEND_RTO;
            c->at[TCP_TIMER_SEND] = ts_add(now, tcp_rtt_rto(&c->rtt));
        }
        return 0;
    }
    uint64_t pipe = tcp_track_pipe(&tx->track);
    struct tcp_sent *sent = plan->sent;

    tx->cc.ops->on_send(&tx->cc, pipe, tx->rate.limited_until != 0, now);
    if (fin)
        flags |= TCP_FIN;
    if (bytes > 0 && plan->start + bytes == c->sendq.end)
        flags |= TCP_PSH; /* nothing follows for now */

    size_t len = emit(c, buf, flags, plan->start, bytes, now);
    bool probe = c->tlp_due;

    if (again) {
        tcp_track_resent(&tx->track, sent, now);
        c->bytes_retransmitted += plan->len;
        c->stack->stats.retransmits++;
    } else {
        sent = tcp_track_sent(&tx->track, plan->start, plan->len, now);
        c->snd_nxt = end;
        c->answers |= c->rcv_bytes_at && ts_since(now, c->rcv_bytes_at) < TCP_DELAYED_ACK_NS;
    }
    sent->rate = tcp_rate_sent(&tx->rate, tcp_track_pipe(&tx->track), pipe == 0, now);
    c->override = false;
    c->tlp_due = false;
    c->probe_due = false;
    tcp_loss_sent(&tx->loss, plan->len, again, tcp_conn_ts(c, now));
    pace(c, plan->len, now);
    if (probe) {
        struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);

        tcp_loss_probed(&ctx, again);
    }
    tcp_conn_send_timer_sent(c, probe, now);
    return len;
}

/* How many of the queue's bytes ride on the SYN; RFC 9293 section 3.4 allows it. Only on the first one, and not to a peer
 * that did not take them; on a SYN-ACK where the SYN brought some. Behind WireGuard's replay window no old SYN comes
 * back, which is what TCP Fast Open (RFC 7413) has its cookies for. */
static uint16_t syn_bytes(const struct tcp_conn *c, ts_t now)
{
    size_t most = MIN(c->mss, c->peer->mtu - ip_header_len(&c->local.addr) - TCP_HEADER_MIN) - TCP_SYN_OPTIONS_LEN;
    bool taken = c->state == TCP_SYN_SENT ? now >= c->peer->syn_bare_until : c->recvq.next > 1;

    if (c->syn_tries > 0 || !taken)
        return 0;
    if (c->state == TCP_SYN_RECEIVED)
        most = MIN(most, (size_t)(c->snd_edge - 1));
    return (uint16_t)MIN((size_t)(c->sendq.end - 1), most);
}

/* A second for the first one, RFC 6298 section 2.1, or less where the peer's last handshake tells the path's round trip
 * (RFC 9040): twice the timeout that came of it, as its answer may take a little longer than an acknowledgement. */
static uint64_t syn_timeout(const struct tcp_conn *c, ts_t now)
{
    uint64_t rto_ns = tcp_rtt_rto(&c->rtt);

    return now < c->peer->syn_wait_until ? MIN(rto_ns, c->peer->syn_wait_ns << c->rtt.backoff) : rto_ns;
}

static size_t emit_syn(struct tcp_conn *c, uint8_t *buf, ts_t now)
{
    uint8_t flags = c->state == TCP_SYN_SENT ? TCP_SYN : TCP_SYN | TCP_ACK;
    uint16_t bytes = syn_bytes(c, now);
    size_t len = emit(c, buf, flags, 0, bytes, now);

    c->syn_bytes = MAX(c->syn_bytes, bytes);
    c->syn_due = false;
    c->syn_tries += c->syn_tries < UINT8_MAX;
    c->snd_nxt = 1;
    c->pace_at = now; /* until the handshake is done: when the SYN went out */
    c->send_timer = TCP_SEND_RTO;
    c->at[TCP_TIMER_SEND] = now + syn_timeout(c, now);
    return len;
}

size_t tcp_conn_output(struct tcp_conn *c, uint8_t *buf, size_t cap, ts_t now)
{
    struct tcp_plan plan = tcp_conn_plan(c);

    BUG_ON(cap < c->peer->mtu);
    switch (plan.kind) {
    case TCP_PLAN_NOTHING:
        return 0;
    case TCP_PLAN_RST:
        c->rst_due = false;
        c->stack->stats.resets_out++;
        return emit(c, buf, TCP_RST | TCP_ACK, c->snd_nxt, 0, now);
    case TCP_PLAN_SYN:
        return emit_syn(c, buf, now);
    case TCP_PLAN_ACK:
        return emit(c, buf, TCP_ACK, c->snd_nxt, 0, now);
    case TCP_PLAN_PROBE:
        c->probe_due = false;
        return emit(c, buf, TCP_ACK, c->snd_una - 1, 0, now);
    case TCP_PLAN_AGAIN:
    case TCP_PLAN_TLP_AGAIN:
    case TCP_PLAN_NEW:
        return emit_data(c, buf, &plan, now);
    }
    return 0;
}
