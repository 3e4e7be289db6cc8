/* tcp_window.c - see the header; arithmetic in positions, scaled only at the very end. */
#include "common/tcp/tcp_window.h"

#include "common/base/bug.h"
#include "common/ip/tcp_header.h"

#define ARRIVED_GAIN   4
#define ROUNDS_PER_RTT 2 /* a sender in slow start doubles each round trip: half of one is soon enough */

void tcp_window_init(struct tcp_window *w, size_t size_max)
{
    *w = (struct tcp_window){
        .round_since = TS_NEVER,
        .size = (uint32_t)MIN(size_max, (size_t)TCP_WINDOW_START),
    };
}

uint8_t tcp_window_shift_for(size_t size_max)
{
    uint8_t shift = 0;

    while (shift < TCP_WINDOW_SHIFT_MAX && ((size_t)UINT16_MAX << shift) < size_max)
        shift++;
    return shift;
}

void tcp_window_rtt(struct tcp_window *w, uint64_t rtt_ns)
{
    if (w->rtt_ns == 0 || rtt_ns < w->rtt_ns)
        w->rtt_ns = MAX(rtt_ns, (uint64_t)1);
    else
        w->rtt_ns += (rtt_ns - w->rtt_ns) / 16;
}

void tcp_window_arrived(struct tcp_window *w, size_t size_max, size_t bytes, size_t unread, ts_t now)
{
    if (w->round_since == TS_NEVER) {
        w->round_since = now; /* a round is what comes after its first moment */
        return;
    }
    uint64_t elapsed_ns = ts_since(now, w->round_since);

    w->round_bytes += bytes;
    if (w->rtt_ns == 0 || elapsed_ns < w->rtt_ns / ROUNDS_PER_RTT || elapsed_ns == 0)
        return;
    /* a round that lasted longer (the peer was silent) is worth only its share */
    double wanted = (double)ARRIVED_GAIN * (double)w->round_bytes * (double)w->rtt_ns / (double)elapsed_ns;

    if (wanted > w->size && unread <= w->size / 2)
        w->size = (uint32_t)MIN(wanted, (double)MIN(size_max, (size_t)UINT32_MAX / 2));
    w->round_since = now;
    w->round_bytes = 0;
}

static uint64_t edge_wanted(const struct tcp_window *w, uint64_t head, uint64_t next, bool scarce)
{
    uint64_t most = (uint64_t)UINT16_MAX << w->shift;
    uint32_t size = scarce ? MIN(w->size, TCP_WINDOW_SCARCE) : w->size;

    return MAX(w->edge, MIN(head + size, next + most));
}

bool tcp_window_due(const struct tcp_window *w, uint64_t head, uint64_t next, uint16_t mss, bool scarce, bool soon)
{
    uint64_t more = edge_wanted(w, head, next, scarce) - w->edge;
    uint64_t left = w->edge - MIN(w->edge, next);

    /* two segments are worth a packet only when the peer may be short of window; else the data's own ACKs say it */
    return more >= MIN((uint64_t)w->size / 2, 2 * (uint64_t)mss) &&
           ((more >= w->size / 4 && !soon) || left < MAX((uint64_t)w->size / (soon ? 8 : 4), 2 * (uint64_t)mss));
}

uint16_t tcp_window_offer(struct tcp_window *w, uint64_t head, uint64_t next, uint16_t mss, bool scarce)
{
    uint64_t wanted = edge_wanted(w, head, next, scarce);

    if (wanted - w->edge >= MIN((uint64_t)w->size / 2, (uint64_t)mss))
        w->edge = wanted;
    uint64_t left = w->edge > next ? w->edge - next : 0;
    uint64_t field = MIN(left >> w->shift, (uint64_t)UINT16_MAX);

    return (uint16_t)field;
}
