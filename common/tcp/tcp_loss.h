/* tcp_loss.h - what was lost, and when to ask: RACK-TLP (RFC 8985), proportional rate reduction (RFC 6937), and the
 * undoing of mistakes by timestamps (Eifel, RFC 3522 and 4015).
 *
 * RACK: a segment is lost when one sent later arrived and a reordering window has passed. TLP: when the tail of a
 * flight goes unanswered, one probe goes out before the retransmission timeout does. */
#ifndef TCP_TCP_LOSS_H
#define TCP_TCP_LOSS_H

#include "common/tcp/tcp_cc.h"
#include "common/tcp/tcp_rtt.h"
#include "common/tcp/tcp_track.h"

enum tcp_repair {
    TCP_REPAIR_NONE = 0,
    TCP_REPAIR_RECOVERY, /* fast recovery: the rate follows what arrives */
    TCP_REPAIR_RTO,      /* after a timeout: slow start from one segment */
};

struct tcp_loss {
    /* RACK, RFC 8985 section 5.2 */
    ts_t rack_at;        /* when the newest delivered segment was sent; 0: none */
    uint64_t rack_end;   /* where it ends */
    uint64_t rack_rtt_ns;
    uint64_t reorder_round_end; /* the D-SACK of this round was counted until una reaches it */
    uint8_t reorder_mult;    /* reordering window in quarters of the smallest rtt */
    uint8_t reorder_persist; /* recoveries until it is reset */
    bool reordering_seen;

    enum tcp_repair repair : 8;
    bool undo_possible;      /* timestamps may yet tell that it was a mistake */
    uint8_t tlp_out;         /* so many probes are in flight */
    bool tlp_again;          /* one of them was a retransmission, and all there was of a repair */
    uint32_t undo_stamp;     /* our timestamp at the first retransmission of this episode; 0: none yet */
    uint64_t recovery_end;   /* SND.NXT when the repair began */
    uint64_t tlp_end;        /* SND.NXT when the first of them went out */
    /* PRR */
    uint32_t prr_delivered, prr_out, prr_flight, prr_cwnd; /* bytes */
};

/* What the connection knows beside the scoreboard when it calls. */
struct tcp_loss_ctx {
    struct tcp_loss *loss;
    struct tcp_track *track;
    struct tcp_rtt *rtt;
    struct tcp_cc *cc;
    struct tcp_rate *rate;
    uint64_t una, nxt;
    bool sack; /* the peer says what it has beyond holes */
    ts_t now;
};

void tcp_loss_init(struct tcp_loss *loss);

/* tcp_loss_acked - after the scoreboard took in an acknowledgement: update RACK, mark losses, begin or end repair.
 * d: what was newly delivered; una_moved: bytes by which una moved; dsack: a duplicate was reported.
 * Returns how long until tcp_loss_reorder_timeout should be called, 0: no need. */
uint64_t tcp_loss_acked(const struct tcp_loss_ctx *c, const struct tcp_delivery *d, uint64_t una_moved, bool dsack);

/* tcp_loss_reorder_timeout - the reordering window of some segment passed. Returns as tcp_loss_acked. */
uint64_t tcp_loss_reorder_timeout(const struct tcp_loss_ctx *c);

/* tcp_loss_rto - the retransmission timer fired: everything old enough is lost, RFC 8985 section 6.3. */
void tcp_loss_rto(const struct tcp_loss_ctx *c);

/* tcp_loss_black_hole - segments of the present size do not arrive: everything goes out again in smaller ones, from the
 * initial window on. False: no memory. */
bool tcp_loss_black_hole(const struct tcp_loss_ctx *c, uint16_t mss);

/* tcp_loss_eifel - an acknowledgement moved una and echoes this timestamp: undo when it answers the first sending of
 * what was sent again. */
void tcp_loss_eifel(const struct tcp_loss_ctx *c, uint32_t ts_echo);

/* tcp_loss_cwnd - how many bytes may travel now. */
uint32_t tcp_loss_cwnd(const struct tcp_loss *loss, const struct tcp_cc *cc);

/* tcp_loss_sent - bytes went out; again: a retransmission; stamp: our timestamp on it. */
void tcp_loss_sent(struct tcp_loss *loss, uint64_t bytes, bool again, uint32_t stamp);

/* tcp_loss_probe_ns - when the tail should be probed, counted from the last sending; 0: no probe in this state.
 * RFC 8985 section 7.2, but also in fast recovery, and more than once: docs/decisions/0044. */
uint64_t tcp_loss_probe_ns(const struct tcp_loss_ctx *c);

/* tcp_loss_probed - a tail loss probe went out. */
void tcp_loss_probed(const struct tcp_loss_ctx *c, bool again);

#endif
