/* HyStart++ (RFC 9406): leave slow start when round trips grow, before the queue overflows. When they do, slow start
 * goes on at a quarter of its pace for a few rounds and is resumed if it was a false alarm. */
#include "common/base/bug.h"
#include "common/tcp/tcp_cc.h"

/* RFC 9406 section 4.3 */
#define RTT_THRESH_MIN_NS  (4 * TS_MS)
#define RTT_THRESH_MAX_NS  (16 * TS_MS)
#define RTT_DIVISOR        8
#define SAMPLES_MIN        8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS         5
#define BURST_SEGMENTS     8 /* section 4.2: L, without pacing */

void tcp_hystart_init(struct tcp_hystart *h)
{
    *h = (struct tcp_hystart){.last_min_ns = UINT64_MAX, .round_min_ns = UINT64_MAX};
}

static void round_start(struct tcp_hystart *h, uint64_t nxt)
{
    h->last_min_ns = h->round_min_ns;
    h->round_min_ns = UINT64_MAX;
    h->samples = 0;
    h->round_end = nxt;
}

static bool rtt_grew(const struct tcp_hystart *h)
{
    if (h->samples < SAMPLES_MIN || h->round_min_ns == UINT64_MAX || h->last_min_ns == UINT64_MAX)
        return false;
    uint64_t thresh = MIN(MAX(h->last_min_ns / RTT_DIVISOR, RTT_THRESH_MIN_NS), RTT_THRESH_MAX_NS);

    return h->round_min_ns >= h->last_min_ns + thresh;
}

uint64_t tcp_hystart_grow(struct tcp_hystart *h, const struct tcp_cc_ack *ack, uint16_t mss, bool *leave)
{
    uint64_t grow = MIN(ack->delivered, (uint64_t)BURST_SEGMENTS * mss);

    *leave = false;
    if (ack->una >= h->round_end) {
        if (h->css_base_ns && ++h->css_rounds >= CSS_ROUNDS)
            *leave = true;
        round_start(h, ack->nxt);
    }
    if (ack->rtt_ns) {
        h->round_min_ns = MIN(h->round_min_ns, ack->rtt_ns);
        h->samples += h->samples < UINT8_MAX;
    }
    if (!h->css_base_ns) {
        if (rtt_grew(h)) {
            h->css_base_ns = h->round_min_ns;
            h->css_rounds = 0;
        }
    } else if (h->samples >= SAMPLES_MIN && h->round_min_ns < h->css_base_ns) {
        h->css_base_ns = 0; /* a false alarm */
    }
    return h->css_base_ns ? grow / CSS_GROWTH_DIVISOR : grow;
}
