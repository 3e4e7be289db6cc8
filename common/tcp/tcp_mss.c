/* tcp_mss.c - paths on which long segments vanish and nobody says so. In the spirit of RFC 4821 (section 7.7, "black
 * holes"): the tunnel sees no ICMP, so the only sign is that a long segment times out again and again.
 *
 * Two timeouts in a row of a segment longer than the least step, while none of full length came through, and the next
 * smaller step is tried (four if one did before: then it is more likely chance than a new path): what is in flight is cut
 * anew and goes out from the initial window on. A path that is dead for a while looks the same, so once segments arrive again the full length is tried after half a minute, and when it
 * fails again every ten minutes: each trial in a real black hole costs about a second. The timeouts back off as ever.
 * docs/decisions/0041 */
#include "common/base/bug.h"
#include "common/tcp/tcp_conn_priv.h"

#define TIMEOUTS_MAX    2
#define TIMEOUTS_PROVEN 4            /* once full segments came through: on a lossy path two in a row are mere chance */
#define RETRY_FIRST_NS  (30 * TS_S)
#define RETRY_LATER_NS  (600 * TS_S) /* RFC 4821 section 7.7 */
#define STEP_MIN_SHARE  20           /* a step smaller than one part in so many finds no other path */

/* a payload IPv6 paths carry; two in between; what fits any IPv4 link still in use */
static const uint16_t steps[] = {1220, 1024, 536, 256};

/* the next step below what did not arrive; 0: there is none */
static uint16_t smaller(uint16_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (steps[i] <= len - len / STEP_MIN_SHARE)
            return steps[i];
    return 0;
}

bool tcp_mss_timed_out(struct tcp_conn *c, ts_t now)
{
    const struct tcp_sent *first = tcp_track_first(&c->tx->track);
    struct tcp_loss_ctx ctx = tcp_conn_loss(c, now);
    uint16_t mss = smaller(first->len);

    if (mss == 0) {
        c->mss_timeouts = 0; /* nothing arrives, however short */
        return false;
    }
    if (++c->mss_timeouts < (c->mss_proven ? TIMEOUTS_PROVEN : TIMEOUTS_MAX) || !tcp_loss_black_hole(&ctx, mss))
        return false;
    c->mss_timeouts = 0;
    c->mss_proven = false;
    if (c->mss == c->mss_agreed)
        c->mss_retry_at = ts_add(now, c->mss_tried_again ? RETRY_LATER_NS : RETRY_FIRST_NS);
    c->mss = mss;
    return true;
}

void tcp_mss_arrived(struct tcp_conn *c, uint16_t len, ts_t now)
{
    if (len >= c->mss) {
        c->mss_timeouts = 0;
        c->mss_proven |= c->mss == c->mss_agreed;
    }
    if (now < c->mss_retry_at)
        return;
    c->mss_retry_at = TS_NEVER;
    c->mss_tried_again = true;
    c->mss = c->tx->cc.mss = c->mss_agreed;
}
