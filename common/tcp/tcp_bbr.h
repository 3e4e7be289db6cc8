/* tcp_bbr.h - what BBR knows of a path; the algorithm is tcp_bbr.c, its interface tcp_cc.h.
 *
 * Names are the draft's (draft-ietf-ccwg-bbr) where it has one. Rates are bytes a second, volumes bytes. */
#ifndef TCP_TCP_BBR_H
#define TCP_TCP_BBR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ts.h"

enum tcp_bbr_state {
    TCP_BBR_STARTUP = 0, /* double the rate each round trip until it stops helping */
    TCP_BBR_DRAIN,       /* let the queue go that startup made */
    TCP_BBR_DOWN,        /* from here on ProbeBW: a little slower than the path */
    TCP_BBR_CRUISE,      /* as fast as the path */
    TCP_BBR_REFILL,      /* fill the pipe before probing, and forget short-term losses */
    TCP_BBR_UP,          /* faster than the path: is there more? */
    TCP_BBR_PROBE_RTT,   /* little in flight for a moment, to see the path without its queue */
    TCP_BBR_STATE_COUNT
};

/* What acknowledgements coming in now tell of a bandwidth probe. */
enum tcp_bbr_acks {
    TCP_BBR_ACKS_INIT = 0,
    TCP_BBR_ACKS_REFILLING,
    TCP_BBR_ACKS_STARTING,
    TCP_BBR_ACKS_FEEDBACK,
    TCP_BBR_ACKS_STOPPING,
};

#define TCP_BBR_NO_BOUND UINT32_MAX

struct tcp_bbr {
    enum tcp_bbr_state state : 8;
    enum tcp_bbr_acks ack_phase : 8;
    enum tcp_bbr_state undo_state : 8; /* STATE_COUNT: nothing to go back to */
    uint8_t full_bw_count;
    uint8_t probe_up_rounds;
    uint8_t loss_ranges;        /* separate losses in this round, sticks at 255 */
    bool round_start : 1;
    bool loss_round_start : 1;
    bool loss_in_round : 1;
    bool recovering : 1;
    bool full_bw_reached : 1, full_bw_now : 1;
    bool is_bw_probe_sample : 1;
    bool prev_probe_too_high : 1, prev_probe_precautionary : 1;
    bool probe_rtt_expired : 1, probe_rtt_round_done : 1;
    bool idle_restart : 1;
    bool cwnd_limited : 1, cwnd_limited_before : 1; /* in this round, in the one before */

    uint64_t pacing_rate;
    uint64_t delivered;         /* tcp_rate.delivered, as last told */
    uint64_t round_end;         /* next_round_delivered */
    uint64_t loss_round_end;    /* loss_round_delivered */
    uint32_t round_count, drain_start_round, rounds_since_probe_up;

    uint64_t max_bw_filter[2];  /* best of this probing cycle and of the one before */
    uint64_t bw_shortterm;      /* UINT64_MAX: no bound */
    uint64_t bw_latest, full_bw;
    uint32_t inflight_longterm, inflight_shortterm; /* TCP_BBR_NO_BOUND */
    uint64_t inflight_latest;

    uint64_t undo_bw_shortterm;
    uint32_t undo_inflight_shortterm, undo_inflight_longterm;
    uint32_t prior_cwnd;

    uint64_t min_rtt_ns;        /* UINT64_MAX: none yet */
    ts_t min_rtt_at;
    uint64_t probe_rtt_min_ns;  /* UINT64_MAX: none yet */
    ts_t probe_rtt_min_at;
    ts_t probe_rtt_done_at;     /* 0: not draining yet */

    ts_t cycle_at;
    uint64_t probe_wait_ns;
    uint64_t probe_up_acked, probe_up_acked_per_inc;

    ts_t extra_since;
    uint64_t extra_delivered;
    uint64_t extra_acked[2];    /* most of this half of the filter's window, and of the one before */
    uint32_t extra_round;       /* when this half began */

    uint64_t lost_end;          /* where the last lost segment ended */
};

#endif
