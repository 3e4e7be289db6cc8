/* What the deadlines of a connection mean.
 *
 *   SEND  something in flight: the reordering window (RACK), a tail loss probe, or the retransmission timeout; nothing
 *         in flight but the peer's window closed: the persist timer. Armed when a segment goes out, never while it only
 *         waits to go out: a blocked peer lets no timer burn.
 *   ACK   an acknowledgement was held back.
 *   PACE  sending was held back.
 *   LIFE  the user timeout while anything is unanswered, else keepalive or the end of an idle sender. */
#include <errno.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/tcp/tcp_conn_priv.h"

void tcp_conn_send_timer_rearm(struct tcp_conn *c, ts_t now)
{
    const struct tcp_track *track = tcp_conn_track(c);

    if (tcp_track_empty(track) || tcp_track_pipe(track) + tcp_track_sacked_bytes(track) == 0) {
        c->at[TCP_TIMER_SEND] = TS_NEVER; /* nothing is out there; what is lost goes out first */
        return;
    }
    struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);
    uint64_t probe_ns = tcp_loss_probe_ns(&ctx), rto_ns = tcp_rtt_rto(&c->rtt);
    bool probe = probe_ns && probe_ns < rto_ns;

    c->send_timer = probe ? TCP_SEND_TLP : TCP_SEND_RTO;
    c->at[TCP_TIMER_SEND] = ts_add(now, probe ? probe_ns : rto_ns);
}

/* A running RTO is not put off by sending more (RFC 6298 section 5.1), but a probe may come before it; a probe is put
 * off (RFC 8985 section 7.2). */
void tcp_conn_send_timer_sent(struct tcp_conn *c, bool probe, ts_t now)
{
    bool running = c->at[TCP_TIMER_SEND] != TS_NEVER && !probe;

    if (running && c->send_timer == TCP_SEND_RTO) {
        struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);
        uint64_t probe_ns = tcp_loss_probe_ns(&ctx);

        if (probe_ns && now + probe_ns < c->at[TCP_TIMER_SEND]) {
            c->send_timer = TCP_SEND_TLP;
            c->at[TCP_TIMER_SEND] = now + probe_ns;
        }
    } else if (!running || c->send_timer != TCP_SEND_REORDER) {
        tcp_conn_send_timer_rearm(c, now);
    }
}

static ts_t keepalive_at(const struct tcp_conn *c)
{
    uint64_t idle_ns = c->stack->config.keepalive_idle_ns;

    if (!idle_ns || c->released)
        return TS_NEVER;
    return ts_add(c->heard_at, idle_ns + c->keepalive_tries * MIN(idle_ns, TCP_KEEPALIVE_EVERY_NS));
}

ts_t tcp_conn_life_at(const struct tcp_conn *c)
{
    const struct tcp_config *config = &c->stack->config;

    if (c->state == TCP_TIME_WAIT || (c->state == TCP_CLOSED && !c->rst_due))
        return TS_NEVER;
    if (c->stalled_since != TS_NEVER)
        return ts_add(c->stalled_since, config->user_timeout_ns);
    /* whichever is first: if keepalive waited for the sender's end, many of its probes might be due at once */
    if (c->tx)
        return ts_min(tcp_sender_rest_at(c), keepalive_at(c));
    if (c->released) /* FIN-WAIT-2 of an orphan: its peer may forget to close */
        return ts_add(c->heard_at, config->time_wait_ns);
    return keepalive_at(c);
}

static void life_over(struct tcp_conn *c, ts_t now)
{
    if (c->state == TCP_CLOSED) {
        c->rst_due = false; /* the peer can't be told */
    } else if (c->stalled_since == TS_NEVER && tcp_sender_rest_at(c) <= now) {
        tcp_sender_drop(c); /* keepalive's turn comes with the next look at the deadline */
    } else if (c->stalled_since != TS_NEVER || c->keepalive_tries >= TCP_KEEPALIVE_PROBES) {
        tcp_conn_reset(c, -ETIMEDOUT, "no answer");
    } else if (c->released) {
        tcp_conn_close(c, 0, "orphan");
    } else {
        c->keepalive_tries++;
        c->probe_due = true;
    }
}

static void send_timer_over(struct tcp_conn *c, ts_t now)
{
    if (!tcp_conn_synchronized(c)) {
        tcp_rtt_timed_out(&c->rtt);
        c->syn_due = true;
        tcp_conn_event(c, TCP_EVENT_SYN_TIMEOUT);
        return;
    }
    tcp_sender_limited(c);
    switch (c->send_timer) {
    case TCP_SEND_RTO: {
        struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);

        tcp_loss_rto(&ctx);
        if (!tcp_track_empty(ctx.track) && tcp_mss_timed_out(c, now))
            log_debug("tcp", "port=%u event=black_hole mss=%u", c->local.port, c->mss);
        c->at[TCP_TIMER_PACE] = TS_NEVER;
        c->pace_at = now;
        break;
    }
    case TCP_SEND_TLP:
        c->tlp_due = true;
        if (!tcp_plan_is_data(tcp_conn_plan(c).kind)) { /* nothing to probe with */
            c->tlp_due = false;
            c->send_timer = TCP_SEND_RTO;
            c->at[TCP_TIMER_SEND] = ts_add(now, tcp_rtt_rto(&c->rtt));
        }
        break;
    case TCP_SEND_REORDER: {
        struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);
        uint64_t wait_ns = tcp_loss_reorder_timeout(&ctx);

        if (wait_ns)
            c->at[TCP_TIMER_SEND] = ts_add(now, wait_ns);
        else
            tcp_conn_send_timer_rearm(c, now);
        break;
    }
    case TCP_SEND_PERSIST:
        c->persist_backoff += c->persist_backoff < 16;
        if (c->snd_edge > c->snd_nxt)
            c->override = true;
        else
            c->probe_due = true;
        break;
    }
}

void tcp_conn_expire(struct tcp_conn *c, ts_t now)
{
    for (int i = 0; i < TCP_TIMER_COUNT; i++) {
        if (c->at[i] > now)
            continue;
        c->at[i] = TS_NEVER;
        switch ((enum tcp_timer)i) {
        case TCP_TIMER_SEND:
            send_timer_over(c, now);
            break;
        case TCP_TIMER_ACK:
            c->ack_due = true;
            c->answers = false;
            break;
        case TCP_TIMER_PACE:
            c->pace_late = true; /* the plan looks again */
            break;
        case TCP_TIMER_LIFE:
            life_over(c, now);
            break;
        case TCP_TIMER_COUNT:
            break;
        }
    }
}
