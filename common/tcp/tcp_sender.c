#include "common/tcp/tcp_sender.h"

#include <stdlib.h>

#include "common/tcp/tcp_conn_priv.h"

static const struct tcp_cc_ops *const algorithms[] = {
    [TCP_CONGESTION_BBR] = &tcp_bbr_ops,
    [TCP_CONGESTION_CUBIC] = &tcp_cubic_ops,
};

const struct tcp_cc_ops *tcp_sender_algorithm(const struct tcp_conn *c)
{
    if (c->tx)
        return c->tx->cc.ops;
    return c->sack_ok ? algorithms[c->stack->config.congestion] : &tcp_cubic_ops;
}

struct tcp_sender *tcp_sender_wake(struct tcp_conn *c, ts_t now)
{
    struct tcp_cc_start start = {
        .now = now,
        .srtt_ns = c->rtt.srtt_ns,
        .mss = c->mss,
        .sack = c->sack_ok,
        .rng = c->stack->config.rng,
    };

    struct tcp_sender *tx;

    if (c->tx)
        return c->tx;
    tx = calloc(1, sizeof(*tx));
    if (!tx)
        return NULL;
    tcp_track_init(&tx->track);
    tcp_loss_init(&tx->loss);
    tx->rate.delivered_at = now;
    tcp_cc_init(&tx->cc, tcp_sender_algorithm(c), &start);
    if (c->snd_nxt <= 1u + c->syn_bytes && c->syn_tries > 1)
        tx->cc.cwnd = c->mss; /* a SYN was lost: RFC 5681 section 3.1 */
    c->tx = tx;
    return tx;
}

void tcp_sender_drop(struct tcp_conn *c)
{
    if (!c->tx)
        return;
    tcp_track_deinit(&c->tx->track);
    free(c->tx);
    c->tx = NULL;
}

/* It knows more of the path than a new one would assume. */
static bool learned(const struct tcp_conn *c)
{
    const struct tcp_rate *rate = &c->tx->rate;

    return rate->lost > 0 || rate->delivered > tcp_cc_initial_window(c->mss);
}

ts_t tcp_sender_rest_at(const struct tcp_conn *c)
{
    if (!c->tx || c->snd_una < tcp_conn_owes(c))
        return TS_NEVER;
    return ts_add(c->tx->rate.delivered_at, learned(c) ? TCP_SENDER_KEEP_NS : tcp_rtt_rto(&c->rtt));
}

void tcp_sender_limited(struct tcp_conn *c)
{
    if (!c->tx || tcp_track_lost_bytes(&c->tx->track) > 0)
        return;
    uint64_t pipe = tcp_track_pipe(&c->tx->track);
    bool no_more = c->snd_nxt >= tcp_conn_owes(c);
    /* a peer's window that grows no more is a bound like the path's: BBR's Startup has to end in it */
    bool no_room = c->snd_nxt + c->mss > c->snd_edge && c->snd_una < c->tx->window_grows;

    if ((no_more || no_room) && pipe + (no_more ? 0 : c->mss) < tcp_conn_cwnd(c))
        tcp_rate_limited(&c->tx->rate, pipe);
}
