/* tcp_cc.h - congestion control behind a small interface: how much may travel, and how fast.
 *
 * An algorithm hears what happened on the path and keeps `cwnd`. Loss detection (tcp_loss) decides that something was
 * lost; the algorithm decides what that means. It sees bytes and time only, never a segment. */
#ifndef TCP_TCP_CC_H
#define TCP_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "common/base/ts.h"
#include "common/tcp/tcp_bbr.h"
#include "common/tcp/tcp_rate.h"

/* RFC 6928: ten segments, but no more than 14600 bytes unless two segments are larger */
static inline uint32_t tcp_cc_initial_window(uint16_t mss)
{
    uint32_t two = 2u * mss, most = two > 14600 ? two : 14600;

    return 10u * mss < most ? 10u * mss : most;
}

/* What one acknowledgement told. */
struct tcp_cc_ack {
    ts_t now;
    uint64_t delivered;  /* bytes newly acknowledged or sacked, > 0 */
    uint64_t rtt_ns;     /* 0: no sample */
    uint64_t srtt_ns;    /* 0: none yet */
    uint64_t una, nxt;   /* stream positions: what is acknowledged, what is sent */
    uint64_t pipe_before; /* bytes travelling before this acknowledgement */
    uint64_t pipe;        /* and after it */
    bool recovery;       /* losses are being repaired */
    struct tcp_rate_sample rate;
    uint64_t delivered_total; /* tcp_rate.delivered */
    uint32_t lost;            /* bytes marked lost since the sampled segment was sent */
};

/* One segment was marked lost. */
struct tcp_cc_lost {
    ts_t now;
    uint64_t start;           /* its position */
    uint32_t len;
    uint32_t lost;            /* bytes marked lost since it was sent, itself included */
    uint32_t in_flight;       /* when it was sent, itself included */
    bool limited;             /* sent while there was not enough to send */
    uint64_t delivered_total; /* tcp_rate.delivered */
};

struct tcp_cubic {
    uint64_t used_until; /* position: until it is acknowledged, the window counts as used up */
    ts_t epoch_at;    /* start of this congestion avoidance; 0: not begun */
    double w_est;     /* bytes; what Reno would have, RFC 9438 section 4.3 */
    double cwnd_part; /* bytes of growth not yet a whole byte */
    float w_max;      /* bytes; the window before the last reduction */
    float k_s;        /* seconds to reach w_max again */
};

/* HyStart++, RFC 9406 */
struct tcp_hystart {
    uint64_t round_end;    /* the round is over when this position is acknowledged */
    uint32_t last_min_us;  /* smallest rtt of the last round; UINT32_MAX: none */
    uint32_t round_min_us;
    uint32_t css_base_us;  /* smallest rtt when conservative slow start began; 0: not in it */
    uint8_t samples;       /* in this round, sticks at 255 */
    uint8_t css_rounds;
};

struct tcp_cc_ops;

struct tcp_cc {
    const struct tcp_cc_ops *ops;
    struct rng *rng;   /* borrowed */
    uint32_t cwnd;     /* bytes that may travel */
    uint32_t ssthresh; /* UINT32_MAX: not yet known */
    uint32_t undo_cwnd, undo_ssthresh; /* before the last reduction; 0: nothing to undo */
    uint16_t mss;
    bool sack;         /* more than one loss a round trip can be seen */
    bool holds_back;   /* after on_ack: what is sent from here on says little about the path */
    union {
        struct {
            struct tcp_cubic cubic;
            struct tcp_hystart hystart;
        };
        struct tcp_bbr bbr;
    };
};

/* What is known when sending begins. */
struct tcp_cc_start {
    ts_t now;
    uint64_t srtt_ns; /* 0: not measured yet */
    uint16_t mss;
    bool sack;
    struct rng *rng; /* borrowed for as long as the connection lives */
};

struct tcp_cc_ops {
    const char *name;
    bool keeps_window; /* the window holds in recovery too: no proportional rate reduction on top of it */
    void (*init)(struct tcp_cc *cc, const struct tcp_cc_start *start);
    /* on_send - a segment is about to go out; in_flight: bytes travelling without it; limited: as tcp_rate_limited */
    void (*on_send)(struct tcp_cc *cc, uint64_t in_flight, bool limited, ts_t now);
    void (*on_ack)(struct tcp_cc *cc, const struct tcp_cc_ack *ack);
    /* on_lost - for each segment; those an acknowledgement gave away come before its on_ack */
    void (*on_lost)(struct tcp_cc *cc, const struct tcp_cc_lost *lost);
    /* on_loss - the first loss of an episode; in_flight: bytes sent and not acknowledged */
    void (*on_loss)(struct tcp_cc *cc, uint64_t in_flight, ts_t now);
    /* on_rto - the retransmission timer fired for the first time since the last progress */
    void (*on_rto)(struct tcp_cc *cc, uint64_t in_flight, ts_t now);
    /* on_recovered - the episode is over, everything of it was repaired */
    void (*on_recovered)(struct tcp_cc *cc);
    /* on_undo - the last episode was a mistake */
    void (*on_undo)(struct tcp_cc *cc, ts_t now);
    /* pacing_rate - bytes a second to send at; 0: as fast as cwnd allows */
    uint64_t (*pacing_rate)(const struct tcp_cc *cc, uint64_t rtt_ns);
};

extern const struct tcp_cc_ops tcp_cubic_ops;
extern const struct tcp_cc_ops tcp_bbr_ops;

/* tcp_cc_init - the initial window and nothing learned. */
static inline void tcp_cc_init(struct tcp_cc *cc, const struct tcp_cc_ops *ops, const struct tcp_cc_start *start)
{
    *cc = (struct tcp_cc){
        .ops = ops,
        .rng = start->rng,
        .cwnd = tcp_cc_initial_window(start->mss),
        .ssthresh = UINT32_MAX,
        .mss = start->mss,
        .sack = start->sack,
    };
    ops->init(cc, start);
}

/* tcp_hystart_* - used by algorithms with a slow start. */
void tcp_hystart_init(struct tcp_hystart *h);
/* tcp_hystart_grow - by how many bytes slow start grows for this acknowledgement; *leave: slow start should end. */
uint64_t tcp_hystart_grow(struct tcp_hystart *h, const struct tcp_cc_ack *ack, uint16_t mss, bool *leave);

#endif
