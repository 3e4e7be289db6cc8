/* A segment arrived: RFC 9293 section 3.10.7, in its order, with RFC 7323 (timestamps) and RFC 5961 (blind attacks)
 * where they belong. */
#include <errno.h>

#include "common/base/bucket.h"
#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/ip/ip.h"
#include "common/tcp/tcp_conn_priv.h"

/* the 64-bit position of a sequence number of the peer's, nearest to what is expected next */
static int64_t position(const struct tcp_conn *c, uint32_t seq)
{
    uint64_t next = tcp_conn_rcv_next(c);

    return (int64_t)next + (int32_t)(seq - (c->irs + (uint32_t)next));
}

/* What a SYN says about the peer. Options count only if both sides sent them. */
static void take_syn_options(struct tcp_conn *c, const struct tcp_header *h, ts_t now)
{
    size_t headers = ip_header_len(&c->local.addr) + TCP_HEADER_MIN;
    uint16_t ours = (uint16_t)(c->peer->mtu - headers), theirs = h->mss ? h->mss : TCP_MSS_DEFAULT;

    c->irs = h->seq;
    c->ts_ok &= h->has_timestamp;
    c->sack_ok &= h->sack_permitted;
    c->shift_ok &= h->has_window_shift;
    c->snd_shift = c->shift_ok ? h->window_shift : 0;
    if (!c->shift_ok)
        c->window.shift = 0;
    /* a tiny MSS would cost us more than it gives the peer */
    c->mss = MAX(MIN(ours, theirs), (uint16_t)64);
    if (c->ts_ok) {
        c->mss = (uint16_t)(c->mss - TCP_TIMESTAMP_LEN);
        c->ts_recent = h->ts_value;
        c->ts_recent_at = now;
    }
    c->mss_agreed = c->mss;
    c->window.edge = 1; /* of a SYN that we sent: as it said */
    if (c->state == TCP_SYN_SENT)
        c->window.edge += MIN(c->window.size, (uint32_t)UINT16_MAX);
    c->snd_wl1 = 0;
    c->snd_wl2 = 0;
    c->snd_window_max = h->window;
    c->snd_edge = 1 + (uint64_t)h->window; /* a SYN's window is not scaled */
}

static void challenge(struct tcp_conn *c, ts_t now)
{
    /* a second's worth at once; a budget for all peers would let one spend it, and tell others by it what goes on */
    if (!bucket_draw(&c->peer->challenges_full_at, TS_S / TCP_CHALLENGES_PER_S, TS_S, now))
        return;
    c->ack_due = true;
    c->stack->stats.challenges++;
}

/* -- the synchronized states, section 3.10.7.4 ----------------------------------------------------------------- */

static bool paws_rejects(const struct tcp_conn *c, const struct tcp_header *h, ts_t now)
{
    if (!c->ts_ok || h->flags & TCP_RST)
        return false;
    if (!h->has_timestamp)
        return true; /* RFC 7323 section 3.2 */
    return (int32_t)(h->ts_value - c->ts_recent) < 0 && ts_since(now, c->ts_recent_at) < TCP_PAWS_VALID_NS;
}

/* First: the sequence number. A segment that begins at RCV.NXT is let in even when the window is closed: its bytes are
 * cut off, its ACK counts. */
static bool acceptable(const struct tcp_conn *c, int64_t at, uint64_t len)
{
    int64_t next = (int64_t)tcp_conn_rcv_next(c), edge = MAX((int64_t)c->window.edge, next);

    if (at == next)
        return true;
    if (len == 0)
        return at > next && at < edge;
    return at < edge && at + (int64_t)len > next;
}

static enum tcp_in input_reset(struct tcp_conn *c, int64_t at, ts_t now)
{
    if (at != (int64_t)tcp_conn_rcv_next(c)) {
        challenge(c, now); /* RFC 5961 section 3.2 */
        return TCP_IN_CHALLENGED;
    }
    c->stack->stats.resets_in++;
    if (c->state == TCP_SYN_RECEIVED)
        tcp_conn_close(c, -ECONNREFUSED, "reset in handshake");
    else if (c->state == TCP_LAST_ACK && c->snd_una >= c->sendq.end)
        tcp_conn_close(c, 0, "reset instead of the last ACK");
    else
        tcp_conn_close(c, -ECONNRESET, "reset");
    return TCP_IN_OK;
}

/* Our FIN is acknowledged. False: the connection is no more. */
static bool fin_acked(struct tcp_conn *c)
{
    switch (c->state) {
    case TCP_FIN_WAIT_1:
        tcp_conn_state_set(c, TCP_FIN_WAIT_2, "FIN acknowledged");
        return true;
    case TCP_CLOSING:
        tcp_conn_state_set(c, TCP_TIME_WAIT, "FIN acknowledged");
        return false;
    case TCP_LAST_ACK:
        tcp_conn_close(c, 0, "FIN acknowledged");
        return false;
    default:
        return true;
    }
}

static void last_ack_of_fin_wait_2(struct tcp_conn *c, ts_t now)
{
    /* the ACK of the peer's FIN is TIME-WAIT's first act: it goes out as a reply, the connection is not needed */
    struct tcp_reply reply = {
        .peer = c->peer,
        .local = c->local,
        .remote = c->remote,
        .seq = c->iss + (uint32_t)c->snd_nxt,
        .ack = c->irs + (uint32_t)tcp_conn_rcv_next(c),
        .flags = TCP_ACK,
        .has_timestamp = c->ts_ok,
        .ts_value = tcp_conn_ts(c, now),
        .ts_echo = c->ts_recent,
    };

    tcp_replies_owe(&c->stack->replies, &reply, now); /* lost: the FIN comes again */
    tcp_conn_state_set(c, TCP_TIME_WAIT, "FIN");
}

/* How long an acknowledgement may wait for company: about what the sender waits anyway. */
static uint64_t ack_delay_ns(const struct tcp_conn *c)
{
    return MIN(MAX(c->rtt.min_ns, TCP_DELAYED_ACK_MIN_NS), TCP_DELAYED_ACK_NS);
}

static void ack_soon(struct tcp_conn *c, ts_t now)
{
    if (c->at[TCP_TIMER_ACK] == TS_NEVER)
        c->at[TCP_TIMER_ACK] = now + ack_delay_ns(c);
}

/* What arrived in order completes the peer's FIN. Who answers soon may answer this with a FIN too: then one segment ends
 * it. Not when bytes of a segment before it wait for an acknowledgement, which makes two. */
static void fin_arrived(struct tcp_conn *c, bool second, ts_t now)
{
    c->fin_received = true;
    if (c->answers && !second && c->state == TCP_ESTABLISHED)
        ack_soon(c, now);
    else
        c->ack_due = true;
    tcp_conn_event(c, TCP_EVENT_EOF);
    switch (c->state) {
    case TCP_ESTABLISHED:
        tcp_conn_state_set(c, TCP_CLOSE_WAIT, "FIN");
        break;
    case TCP_FIN_WAIT_1:
        tcp_conn_state_set(c, TCP_CLOSING, "FIN");
        break;
    case TCP_FIN_WAIT_2:
        last_ack_of_fin_wait_2(c, now);
        break;
    default:
        break;
    }
}

/* Bytes came. After a silence their sender begins anew, from one segment if it lost its window, or is at its very
 * beginning: then it should not wait for acknowledgements that wait for a second segment. One whose bytes we answer with
 * ours gets them with those. */
static bool ack_at_once(struct tcp_conn *c, size_t len, ts_t now)
{
    if (!c->rcv_bytes_at || ts_since(now, c->rcv_bytes_at) >= TCP_RTO_MIN_NS)
        c->acks_at_once = TCP_ACKS_AT_ONCE;
    c->rcv_bytes_at = now;
    c->rcv_mss = (uint16_t)MAX(c->rcv_mss, len);
    return c->acks_at_once > 0 && !c->answers;
}

/* When to acknowledge: every second full segment, at once what is out of order or fills a hole (RFC 5681 section 4.2),
 * else a little later; and see above. Of segments that come together while there is a hole each gets an acknowledgement
 * when the sender has nothing but their number to go by. With SACK it gets one for each range that changed (see
 * tcp_recvq_sack), and one for so many segments at least, which keeps its sending even: more would say nothing, and
 * leave at the same moment. */
static void ack_schedule(struct tcp_conn *c, size_t len, bool at_once, ts_t now)
{
    c->rcv_unacked += (uint32_t)len;
    if (at_once && c->ack_due && (!c->sack_ok || c->rcv_unacked / c->mss / TCP_ACK_STRETCH > c->acks_more))
        c->acks_more += c->acks_more < TCP_ACKS_MORE_MAX;
    if (ack_at_once(c, len, now) || at_once || c->rcv_unacked >= 2u * MIN(c->mss, MAX(c->rcv_mss, TCP_MSS_DEFAULT)))
        c->ack_due = true;
    else
        ack_soon(c, now);
}

/* The segment's bytes and FIN, from position `at`; when memory is out it counts as lost. */
static void input_text(struct tcp_conn *c, uint64_t at, const uint8_t *payload, size_t len, bool fin, ts_t now)
{
    bool hole = c->recvq.early, second = c->at[TCP_TIMER_ACK] != TS_NEVER;
    size_t unread = tcp_recvq_readable(&c->recvq);
    struct tcp_recvq_result r = {0};

    if (c->fin_received) { /* nothing can come after; a repeated FIN is acknowledged again */
        c->ack_due = true;
        return;
    }
    if (c->rcv_fin != UINT64_MAX && at + len > c->rcv_fin)
        len = at < c->rcv_fin ? (size_t)(c->rcv_fin - at) : 0;
    if (at + len > c->window.edge) {
        len = at < c->window.edge ? (size_t)(c->window.edge - at) : 0;
        fin = false; /* it lay behind what was cut */
        c->ack_due = true;
    }
    if (len > 0) {
        r = tcp_recvq_insert(&c->recvq, c->stack->config.pool, at, payload, len,
                             tcp_stack_chunks_kept(c->stack, false));
        if (r.refused)
            return;
        if (c->sack_ok && r.duplicate.start != r.duplicate.end)
            c->dsack = r.duplicate;
        ack_schedule(c, len, hole || r.early || r.in_order == 0, now);
        if ((r.in_order || r.early) && !tcp_stack_scarce(c->stack, 2))
            tcp_window_arrived(&c->window, c->stack->config.recv_window_max, len, unread, now);
        if (r.in_order)
            tcp_conn_event(c, TCP_EVENT_READABLE);
    }
    if (fin && c->rcv_fin == UINT64_MAX && at + len >= tcp_recvq_end(&c->recvq)) /* an end before known bytes: a lie */
        c->rcv_fin = at + len;
    if (c->rcv_fin == c->recvq.next)
        fin_arrived(c, second, now);
    else if (fin)
        c->ack_due = true;
}

static void take_timestamp(struct tcp_conn *c, const struct tcp_header *h, int64_t at, size_t len, ts_t now)
{
    if (!c->ts_ok || !h->has_timestamp)
        return;
    /* RFC 7323 section 4.3 */
    if ((int32_t)(h->ts_value - c->ts_recent) >= 0 && at <= (int64_t)c->last_ack_sent) {
        c->ts_recent = h->ts_value;
        c->ts_recent_at = now;
    }
    if (len > 0 && h->ts_echo) {
        uint32_t ms = tcp_conn_ts(c, now) - h->ts_echo;

        if (ms < TCP_RTO_MAX_NS / TS_MS)
            tcp_window_rtt(&c->window, MAX(ms, 1u) * TS_MS);
    }
}

/* -- SYN-SENT, RFC 9293 section 3.10.7.3 ----------------------------------------------------------------------- */

static enum tcp_in input_syn_sent(struct tcp_conn *c, const struct tcp_header *h, const uint8_t *payload, size_t len,
                                  ts_t now)
{
    uint32_t taken = h->ack - (c->iss + 1); /* of what rode on the SYN */
    bool ack_ok = (h->flags & TCP_ACK) && taken <= c->syn_bytes && c->snd_nxt == 1;

    if ((h->flags & TCP_ACK) && !ack_ok) {
        if (h->flags & TCP_RST)
            return TCP_IN_OUT_OF_WINDOW;
        if (tcp_replies_reset(&c->stack->replies, c->peer, &c->local, &c->remote, h, 0, now))
            c->stack->stats.resets_out++;
        return TCP_IN_OUT_OF_WINDOW;
    }
    if (h->flags & TCP_RST) {
        if (!ack_ok)
            return TCP_IN_OUT_OF_WINDOW;
        c->stack->stats.resets_in++;
        tcp_conn_close(c, -ECONNREFUSED, "refused");
        return TCP_IN_OK;
    }
    if (!(h->flags & TCP_SYN))
        return TCP_IN_OUT_OF_WINDOW;
    c->heard_at = now;
    take_syn_options(c, h, now);
    if (!ack_ok) { /* simultaneous open */
        tcp_conn_state_set(c, TCP_SYN_RECEIVED, "simultaneous open");
        c->syn_due = true;
        return TCP_IN_OK;
    }
    c->snd_edge += taken; /* its window begins at its ACK */
    c->ack_due = true; /* rides on the first data, if some is queued */
    tcp_conn_syn_acked(c, 1 + (uint64_t)taken, now);
    if (len > 0)
        input_text(c, 1, payload, len, false, now);
    return TCP_IN_OK;
}

/* -- LISTEN, section 3.10.7.2 ---------------------------------------------------------------------------------- */

/* Bytes came with the SYN. The owner has them at once, and the SYN-ACK waits a little for his answer: then a question and
 * its answer are one round trip. RFC 9293 section 3.4 has them wait for the handshake's end, lest an old SYN be taken for
 * a new one; here none comes twice. Without memory it is as if none had come. */
static void input_early(struct tcp_conn *c, const uint8_t *payload, size_t len, ts_t now)
{
    c->window.edge = 1 + len;
    (void)tcp_recvq_insert(&c->recvq, c->stack->config.pool, 1, payload, len, tcp_stack_chunks_kept(c->stack, false));
    c->window.edge = c->recvq.next;
    if (c->recvq.next == 1)
        return;
    (void)ack_at_once(c, len, now);
    tcp_conn_announce(c);
    tcp_conn_event(c, TCP_EVENT_READABLE);
    c->at[TCP_TIMER_ACK] = ts_add(now, TCP_SYN_HELD_NS);
}

enum tcp_in tcp_listener_input(struct tcp_listener *l, struct tcp_peer *peer, const struct addrport *local,
                               const struct addrport *remote, const struct tcp_header *h, const uint8_t *payload,
                               size_t len, ts_t now)
{
    struct tcp_conn *c = tcp_conn_new(peer, local, remote, now);

    if (!c)
        return TCP_IN_REFUSED;
    c->passive = true;
    c->answers = true; /* who is called is asked something */
    list_append(&l->half_open, &c->wait_link);
    l->half_open_count++;
    c->ts_ok = c->sack_ok = c->shift_ok = true;
    c->window.shift = tcp_window_shift_for(c->stack->config.recv_window_max);
    take_syn_options(c, h, now);
    c->syn_due = true;
    c->stalled_since = now;
    tcp_conn_state_set(c, TCP_SYN_RECEIVED, "SYN for a listener");
    if (len > 0)
        input_early(c, payload, len, now);
    tcp_conn_settle(c);
    return TCP_IN_OK;
}

/* -- all of them ----------------------------------------------------------------------------------------------- */

enum tcp_in tcp_conn_input(struct tcp_conn *c, const struct tcp_header *h, const uint8_t *payload, size_t len, ts_t now)
{
    bool fin = h->flags & TCP_FIN;

    if (c->state == TCP_SYN_SENT)
        return input_syn_sent(c, h, payload, len, now);

    int64_t at = position(c, h->seq);

    if (c->state == TCP_SYN_RECEIVED && at == 0 && h->flags & TCP_SYN) {
        if (!(h->flags & TCP_ACK)) { /* the SYN again: so the SYN-ACK again */
            c->syn_due = true;
            return TCP_IN_OK;
        }
        at = 1; /* a simultaneous open's SYN-ACK: the SYN is old, the rest is not */
    }
    if (paws_rejects(c, h, now)) {
        challenge(c, now);
        return TCP_IN_PAWS;
    }
    if (!acceptable(c, at, len + fin)) {
        if (!(h->flags & TCP_RST)) {
            /* a repeat of what we have means that our ACK was lost: say it again, with a D-SACK (RFC 2883) */
            if (c->sack_ok && len > 0 && at + (int64_t)len <= (int64_t)c->recvq.next && at > 0)
                c->dsack = (struct tcp_range){(uint64_t)at, (uint64_t)at + len};
            c->ack_due = true;
            c->heard_at = now;
            c->keepalive_tries = 0;
        }
        return TCP_IN_OUT_OF_WINDOW;
    }
    if (h->flags & TCP_RST)
        return input_reset(c, at, now);
    if (h->flags & TCP_SYN && at != 1) {
        challenge(c, now); /* RFC 5961 section 4.2 */
        return TCP_IN_CHALLENGED;
    }
    if (!(h->flags & TCP_ACK))
        return TCP_IN_OUT_OF_WINDOW;

    uint64_t una = c->snd_una;
    int64_t ack = (int64_t)una + (int32_t)(h->ack - (c->iss + (uint32_t)una));

    if (c->state == TCP_SYN_RECEIVED) {
        if (ack < 1 || ack > 1 + (int64_t)c->syn_bytes) {
            if (tcp_replies_reset(&c->stack->replies, c->peer, &c->local, &c->remote, h, len, now))
                c->stack->stats.resets_out++;
            return TCP_IN_OUT_OF_WINDOW;
        }
        tcp_conn_syn_acked(c, (uint64_t)ack, now);
        una = c->snd_una;
    }
    /* RFC 5961 section 5.2 */
    if (ack > (int64_t)c->snd_nxt || ack < (int64_t)una - (int64_t)MAX(c->snd_window_max, UINT16_MAX)) {
        challenge(c, now);
        return TCP_IN_CHALLENGED;
    }
    c->heard_at = now;
    c->keepalive_tries = 0;
    take_timestamp(c, h, at, len, now);
    if (ack >= (int64_t)una) {
        tcp_conn_acked(c, h, (uint64_t)MAX(at, 0), (uint64_t)ack, len == 0 && !fin, now);
        if (c->fin_queued && c->snd_una == tcp_conn_owes(c) && !fin_acked(c))
            return TCP_IN_OK;
    }
    if ((len == 0 && !fin) || !tcp_conn_synchronized(c))
        return TCP_IN_OK;
    if (c->released && len > 0 && at + (int64_t)len > (int64_t)c->recvq.next) {
        tcp_conn_reset(c, 0, "bytes for a released connection"); /* RFC 9293 section 3.10.4, RFC 2525 section 2.17 */
        return TCP_IN_OK;
    }
    /* at < 1 only for a repeated SYN's position, which carries no byte of ours */
    size_t skip = at < 1 ? MIN((size_t)(1 - at), len) : 0;

    input_text(c, (uint64_t)(at + (int64_t)skip), payload + skip, len - skip, fin, now);
    return TCP_IN_OK;
}
