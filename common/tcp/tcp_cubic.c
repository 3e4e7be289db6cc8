/* CUBIC, RFC 9438, with the slow start of RFC 9406 and fast convergence.
 *
 * After a loss the window grows again along a cubic curve of real time that is flat around the window at which the
 * loss came, so long paths regain their rate as fast as short ones. Where Reno would be ahead, it is followed. */
#include "common/base/bug.h"
#include "common/tcp/tcp_cc.h"

#define C    0.4 /* segments a second cubed, section 5 */
#define BETA 0.7 /* section 4.6 */
#define ALPHA (3.0 * (1.0 - BETA) / (1.0 + BETA)) /* section 4.3 */
#define CWND_MIN_SEGMENTS 2u

/* Newton's method; x >= 0 */
static double cube_root(double x)
{
    double y = x > 1 ? x : 1;

    for (int i = 0; i < 200 && x > 0; i++) {
        double better = (2 * y + x / (y * y)) / 3;

        if (y - better < 1e-9 * y)
            return better;
        y = better;
    }
    return x > 0 ? y : 0;
}

static void init(struct tcp_cc *cc, const struct tcp_cc_start *start)
{
    (void)start;
    cc->cubic = (struct tcp_cubic){0};
    tcp_hystart_init(&cc->hystart);
}

/* segment by segment nothing matters here: what is sent, what is lost, when all is repaired */
static void on_send(struct tcp_cc *cc, uint64_t in_flight, bool limited, ts_t now)
{
    (void)cc, (void)in_flight, (void)limited, (void)now;
}

static void on_lost(struct tcp_cc *cc, const struct tcp_cc_lost *lost)
{
    (void)cc, (void)lost;
}

static void on_recovered(struct tcp_cc *cc)
{
    (void)cc;
}

static void epoch_start(struct tcp_cc *cc, ts_t now)
{
    struct tcp_cubic *q = &cc->cubic;

    q->epoch_at = now ? now : 1;
    q->w_est = cc->cwnd;
    q->cwnd_part = 0;
    q->w_max = MAX(q->w_max, (float)cc->cwnd);
    q->k_s = (float)cube_root(((double)q->w_max - cc->cwnd) / cc->mss / C); /* figure 2 */
}

static double w_cubic(const struct tcp_cc *cc, double t_s)
{
    double d = t_s - (double)cc->cubic.k_s;

    return C * d * d * d * cc->mss + (double)cc->cubic.w_max; /* figure 1 */
}

static void congestion_avoidance(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    struct tcp_cubic *q = &cc->cubic;
    double cwnd = cc->cwnd, segments = (double)ack->delivered / cc->mss;

    if (!q->epoch_at)
        epoch_start(cc, ack->now);
    double t_s = (double)ts_since(ack->now, q->epoch_at) / TS_S;
    double target = w_cubic(cc, t_s + (double)ack->srtt_ns / TS_S); /* section 4.2 */

    target = MIN(MAX(target, cwnd), 1.5 * cwnd);
    q->w_est += (q->w_est < (double)q->w_max ? ALPHA : 1.0) * segments * cc->mss * cc->mss / cwnd;
    if (w_cubic(cc, t_s) < q->w_est) {
        if (q->w_est > cwnd)
            cc->cwnd = (uint32_t)MIN(q->w_est, (double)(UINT32_MAX / 2)); /* section 4.3: Reno is ahead */
        return;
    }
    q->cwnd_part += (target - cwnd) / cwnd * segments * cc->mss; /* sections 4.4, 4.5 */
    if (q->cwnd_part >= 1) {
        uint32_t whole = (uint32_t)MIN(q->cwnd_part, cwnd);

        cc->cwnd = MIN(cc->cwnd + whole, UINT32_MAX / 2);
        q->cwnd_part -= whole;
    }
}

static void on_ack(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    bool slow_start = cc->cwnd < cc->ssthresh;
    uint64_t filled = slow_start ? 2 * ack->pipe_before : ack->pipe_before + cc->mss;
    bool leave = false;

    if (filled >= cc->cwnd)
        cc->cubic.used_until = ack->nxt;
    if (ack->recovery)
        return;
    /* A window that is not used says nothing about the path, RFC 9438 section 5.8. Once full it was used for a round
     * trip: of acknowledgements that come together only the first finds it full. */
    if (ack->una > cc->cubic.used_until) {
        cc->cubic.epoch_at = 0;
        return;
    }
    if (!slow_start) {
        congestion_avoidance(cc, ack);
        return;
    }
    uint64_t grow = tcp_hystart_grow(&cc->hystart, ack, cc->mss, &leave);

    cc->cwnd = (uint32_t)MIN(cc->cwnd + grow, (uint64_t)MIN(cc->ssthresh, UINT32_MAX / 2));
    if (leave)
        cc->ssthresh = cc->cwnd;
}

/* section 4.6 and 4.7 */
static void reduce(struct tcp_cc *cc, uint64_t in_flight)
{
    double cwnd = cc->cwnd;
    uint64_t base = MIN((uint64_t)cc->cwnd, MAX(in_flight, 1)); /* not what was never used */

    cc->undo_cwnd = cc->cwnd;
    cc->undo_ssthresh = cc->ssthresh;
    cc->cubic.w_max = (float)(cwnd < (double)cc->cubic.w_max ? cwnd * (1 + BETA) / 2 : cwnd); /* fast convergence */
    cc->cubic.epoch_at = 0;
    cc->ssthresh = MAX((uint32_t)((double)base * BETA), CWND_MIN_SEGMENTS * cc->mss);
}

static void on_loss(struct tcp_cc *cc, uint64_t in_flight, ts_t now)
{
    (void)now;
    reduce(cc, in_flight);
    cc->cwnd = cc->ssthresh;
}

static void on_rto(struct tcp_cc *cc, uint64_t in_flight, ts_t now)
{
    (void)now;
    reduce(cc, in_flight);
    cc->cwnd = cc->mss; /* RFC 5681 section 3.1 */
    tcp_hystart_init(&cc->hystart);
}

static void on_undo(struct tcp_cc *cc, ts_t now)
{
    (void)now;
    if (!cc->undo_cwnd)
        return;
    cc->cwnd = MAX(cc->cwnd, cc->undo_cwnd);
    cc->ssthresh = cc->undo_ssthresh;
    cc->cubic.w_max = MAX(cc->cubic.w_max, (float)cc->cwnd);
    cc->cubic.epoch_at = 0;
    cc->undo_cwnd = 0;
}

/* Bursts cost a drop-tail queue more than they gain: twice the rate in slow start, a fifth more after, as Linux. */
static uint64_t pacing_rate(const struct tcp_cc *cc, uint64_t rtt_ns)
{
    if (rtt_ns < TS_MS)
        return 0; /* too short a path for the timer's quantum */
    double rate = (double)cc->cwnd * TS_S / (double)rtt_ns;

    return (uint64_t)(rate * (cc->cwnd < cc->ssthresh / 2 ? 2.0 : 1.2));
}

const struct tcp_cc_ops tcp_cubic_ops = {
    .name = "cubic",
    .init = init,
    .on_send = on_send,
    .on_ack = on_ack,
    .on_lost = on_lost,
    .on_loss = on_loss,
    .on_rto = on_rto,
    .on_recovered = on_recovered,
    .on_undo = on_undo,
    .pacing_rate = pacing_rate,
};
