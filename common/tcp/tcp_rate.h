/* tcp_rate.h - how fast the path delivers: one sample of bandwidth an acknowledgement.
 *
 * Each segment remembers, when it goes out, how much had been delivered by then and when. When it is acknowledged, what
 * was delivered in between, over the longer of the times it took to send and to be acknowledged, is a sample: never
 * more than the path can carry, and less only when there was not enough to send, which is marked.
 * draft-ietf-ccwg-bbr section 4.1; before that draft-cheng-iccrg-delivery-rate-estimation. */
#ifndef TCP_TCP_RATE_H
#define TCP_TCP_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ts.h"

struct tcp_rate {
    uint64_t delivered;     /* bytes acknowledged or sacked, ever */
    uint64_t lost;          /* bytes marked lost, ever */
    ts_t delivered_at;      /* when `delivered` last grew */
    ts_t first_sent_at;     /* when the segment that was last delivered had been sent */
    uint64_t limited_until; /* samples are application-limited until `delivered` passes this; 0: they are not */
};

/* What a segment remembers of the moment it was sent. */
struct tcp_rate_stamp {
    uint64_t delivered;
    ts_t delivered_at, first_sent_at;
    uint32_t lost;           /* low bits of tcp_rate.lost */
    uint32_t in_flight : 31; /* bytes travelling, itself included */
    uint32_t limited : 1;
};

struct tcp_rate_sample {
    uint64_t bytes_per_s;     /* 0: no reliable sample */
    uint64_t delivered;       /* bytes, in the sampled interval */
    uint64_t prior_delivered; /* tcp_rate.delivered when the interval began */
    uint32_t in_flight;       /* when the acknowledged segment was sent */
    bool limited;             /* there was not enough to send: the path may carry more */
    bool valid;               /* a whole segment was delivered; else all of this is 0 */
};

/* tcp_rate_sent - a segment goes out, for the first time or again. in_flight: bytes travelling with it; restart:
 * nothing travelled before it. */
struct tcp_rate_stamp tcp_rate_sent(struct tcp_rate *rate, uint64_t in_flight, bool restart, ts_t now);

/* tcp_rate_acked - `bytes` were newly delivered; stamp, sent_at: of the last sent segment among them, stamp NULL when
 * there is no whole one. min_rtt_ns: an interval shorter than that is no sample, UINT64_MAX: not known. */
struct tcp_rate_sample tcp_rate_acked(struct tcp_rate *rate, uint64_t bytes, const struct tcp_rate_stamp *stamp,
                                      ts_t sent_at, uint64_t min_rtt_ns, ts_t now);

/* tcp_rate_limited - for lack of data (or of will) less is sent than could be; in_flight: bytes travelling. */
void tcp_rate_limited(struct tcp_rate *rate, uint64_t in_flight);

#endif
