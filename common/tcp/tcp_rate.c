/* tcp_rate.c - the draft's OnPacketSent, UpdateRateSample, GenerateRateSample and MarkConnectionAppLimited. */
#include "common/tcp/tcp_rate.h"

#include "common/base/bug.h"

struct tcp_rate_stamp tcp_rate_sent(struct tcp_rate *rate, uint64_t in_flight, bool restart, ts_t now)
{
    if (restart)
        rate->first_sent_at = rate->delivered_at = now;
    return (struct tcp_rate_stamp){
        .delivered = rate->delivered,
        .delivered_at = rate->delivered_at,
        .first_sent_at = rate->first_sent_at,
        .lost = (uint32_t)rate->lost,
        .in_flight = (uint32_t)MIN(in_flight, (uint64_t)INT32_MAX),
        .limited = rate->limited_until != 0,
    };
}

struct tcp_rate_sample tcp_rate_acked(struct tcp_rate *rate, uint64_t bytes, const struct tcp_rate_stamp *stamp,
                                      ts_t sent_at, uint64_t min_rtt_ns, ts_t now)
{
    struct tcp_rate_sample sample = {0};

    rate->delivered += bytes;
    if (bytes > 0)
        rate->delivered_at = now;
    if (rate->limited_until && rate->delivered > rate->limited_until)
        rate->limited_until = 0;
    if (!stamp)
        return sample;
    rate->first_sent_at = sent_at;
    sample = (struct tcp_rate_sample){
        .delivered = rate->delivered - stamp->delivered,
        .prior_delivered = stamp->delivered,
        .in_flight = stamp->in_flight,
        .limited = stamp->limited,
        .valid = true,
    };
    uint64_t interval_ns = MAX(ts_since(sent_at, stamp->first_sent_at), ts_since(now, stamp->delivered_at));

    if (interval_ns > 0 && (min_rtt_ns == UINT64_MAX || interval_ns >= min_rtt_ns))
        sample.bytes_per_s = (uint64_t)((double)sample.delivered * TS_S / (double)interval_ns);
    return sample;
}

void tcp_rate_limited(struct tcp_rate *rate, uint64_t in_flight)
{
    rate->limited_until = MAX(rate->delivered + in_flight, (uint64_t)1);
}
