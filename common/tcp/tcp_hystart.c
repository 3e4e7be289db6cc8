/* HyStart++ (RFC 9406): leave slow start when round trips grow, before the queue overflows. When they do, slow start
 * goes on at a quarter of its pace for a few rounds and is resumed if it was a false alarm. */
#include "common/base/bug.h"
#include "common/tcp/tcp_cc.h"

/* RFC 9406 section 4.3 */
#define RTT_THRESH_MIN_US  4000u
#define RTT_THRESH_MAX_US  16000u
#define RTT_DIVISOR        8
#define SAMPLES_MIN        8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS         5
#define BURST_SEGMENTS     8 /* section 4.2: L, without pacing */

void tcp_hystart_init(struct tcp_hystart *h)
{
    *h = (struct tcp_hystart){.last_min_us = UINT32_MAX, .round_min_us = UINT32_MAX};
}

static void round_start(struct tcp_hystart *h, uint64_t nxt)
{
    h->last_min_us = h->round_min_us;
    h->round_min_us = UINT32_MAX;
    h->samples = 0;
    h->round_end = nxt;
}

static bool rtt_grew(const struct tcp_hystart *h)
{
    if (h->samples < SAMPLES_MIN || h->round_min_us == UINT32_MAX || h->last_min_us == UINT32_MAX)
        return false;
    uint32_t thresh = MIN(MAX(h->last_min_us / RTT_DIVISOR, RTT_THRESH_MIN_US), RTT_THRESH_MAX_US);

    return h->round_min_us >= h->last_min_us + thresh;
}

uint64_t tcp_hystart_grow(struct tcp_hystart *h, const struct tcp_cc_ack *ack, uint16_t mss, bool *leave)
{
    uint64_t grow = MIN(ack->delivered, (uint64_t)BURST_SEGMENTS * mss);

    *leave = false;
    if (ack->una >= h->round_end) {
        if (h->css_base_us && ++h->css_rounds >= CSS_ROUNDS)
            *leave = true;
        round_start(h, ack->nxt);
    }
    if (ack->rtt_ns) {
        h->round_min_us = (uint32_t)MIN((uint64_t)h->round_min_us, MAX(ack->rtt_ns / TS_US, (uint64_t)1));
        h->samples += h->samples < UINT8_MAX;
    }
    if (!h->css_base_us) {
        if (rtt_grew(h)) {
            h->css_base_us = h->round_min_us;
            h->css_rounds = 0;
        }
    } else if (h->samples >= SAMPLES_MIN && h->round_min_us < h->css_base_us) {
        h->css_base_us = 0; /* a false alarm */
    }
    return h->css_base_us ? grow / CSS_GROWTH_DIVISOR : grow;
}
