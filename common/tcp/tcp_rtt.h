/* tcp_rtt.h - the round-trip time of a path and the retransmission timeout made from it. RFC 6298. */
#ifndef TCP_TCP_RTT_H
#define TCP_TCP_RTT_H

#include "common/base/ts.h"

#define TCP_RTO_INITIAL_NS (1 * TS_S)     /* RFC 6298 section 2.1 */
#define TCP_RTO_MIN_NS     (200 * TS_MS)  /* below the RFC's 1 s, as Linux and gVisor: delayed ACKs are 40 ms there */
#define TCP_RTO_MAX_NS     (60 * TS_S)    /* RFC 6298 section 2.5 */
#define TCP_RTT_MIN_WINDOW_NS (10 * TS_S) /* how long a minimum is believed */

struct tcp_rtt {
    uint64_t srtt_ns; /* 0: no sample yet */
    uint64_t var_ns;
    uint64_t min_ns; /* smallest sample of the last TCP_RTT_MIN_WINDOW_NS; UINT64_MAX: none */
    ts_t min_at;     /* when it was seen */
    uint8_t backoff; /* timeouts in a row; each doubles the RTO */
};

void tcp_rtt_init(struct tcp_rtt *rtt);

/* tcp_rtt_sample - a segment sent once was acknowledged after rtt_ns (> 0). Ends the backoff. */
void tcp_rtt_sample(struct tcp_rtt *rtt, uint64_t rtt_ns, ts_t now);

/* tcp_rtt_rto - the timeout, backed off. */
uint64_t tcp_rtt_rto(const struct tcp_rtt *rtt);

/* tcp_rtt_pace - the round trip that a window is spread over: the smoothed one, but at most twice the shortest. A few
 * answers that were held back on a short path would else slow the pace to a hundredth, and it would stay there, since
 * segments that leave one by one are answered late. What waits longer in a queue is paced by its own answers. */
uint64_t tcp_rtt_pace(const struct tcp_rtt *rtt);

/* tcp_rtt_timed_out - the timer fired: back off. */
void tcp_rtt_timed_out(struct tcp_rtt *rtt);

#endif
