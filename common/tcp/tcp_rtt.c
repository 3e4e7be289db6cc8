/* tcp_rtt.c - the arithmetic of RFC 6298 section 2, and a minimum that forgets when the path changes. */
#include "common/tcp/tcp_rtt.h"

#include "common/base/bug.h"

#define GRANULARITY_NS TS_MS /* RFC 6298's G: what our timers are good for */
#define BACKOFF_MAX    16

void tcp_rtt_init(struct tcp_rtt *rtt)
{
    *rtt = (struct tcp_rtt){.min_ns = UINT64_MAX};
}

void tcp_rtt_sample(struct tcp_rtt *rtt, uint64_t rtt_ns, ts_t now)
{
    if (rtt->srtt_ns == 0) {
        rtt->srtt_ns = rtt_ns;
        rtt->var_ns = rtt_ns / 2;
    } else {
        uint64_t off = rtt->srtt_ns > rtt_ns ? rtt->srtt_ns - rtt_ns : rtt_ns - rtt->srtt_ns;

        rtt->var_ns = rtt->var_ns - rtt->var_ns / 4 + off / 4;
        rtt->srtt_ns = rtt->srtt_ns - rtt->srtt_ns / 8 + rtt_ns / 8;
    }
    if (rtt_ns <= rtt->min_ns || ts_since(now, rtt->min_at) > TCP_RTT_MIN_WINDOW_NS) {
        rtt->min_ns = rtt_ns;
        rtt->min_at = now;
    }
    rtt->backoff = 0;
}

uint64_t tcp_rtt_rto(const struct tcp_rtt *rtt)
{
    uint64_t rto = TCP_RTO_INITIAL_NS;

    if (rtt->srtt_ns)
        rto = MAX(rtt->srtt_ns + MAX(GRANULARITY_NS, 4 * rtt->var_ns), TCP_RTO_MIN_NS);
    for (uint8_t i = 0; i < rtt->backoff && rto < TCP_RTO_MAX_NS; i++)
        rto *= 2;
    return MIN(rto, TCP_RTO_MAX_NS);
}

uint64_t tcp_rtt_pace(const struct tcp_rtt *rtt)
{
    return rtt->min_ns < rtt->srtt_ns / 2 ? 2 * rtt->min_ns : rtt->srtt_ns;
}

void tcp_rtt_timed_out(struct tcp_rtt *rtt)
{
    if (rtt->backoff < BACKOFF_MAX)
        rtt->backoff++;
}
