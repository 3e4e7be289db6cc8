/* tcp_conn_priv.h - a connection and its stack, seen from inside.
 *
 * Stream positions are 64-bit counts from the initial sequence number: 0 is the SYN, 1 the first byte, and the FIN
 * comes right after the last byte. Only parsing and emitting knows 32-bit sequence numbers, so nothing inside wraps.
 *
 * Who does what:
 *      tcp_stack.c     peers, listeners, look-up, whose turn it is to send, events, expiry
 *      tcp_conn.c      birth, state, death; what the owner calls
 *      tcp_input.c     a segment arrived (RFC 9293 section 3.10.7)
 *      tcp_ack.c       what its acknowledgement means for sending
 *      tcp_output.c    what to send next, and writing it
 *      tcp_sender.c    what is known of the path while there is something to send
 *      tcp_timers.c    what the deadlines mean
 *      tcp_mss.c       paths on which long segments vanish
 *
 * Every entry point ends with tcp_conn_settle: it puts the connection among those ready to send, or takes it out, sets
 * its timer, and frees it when nobody needs it. Nothing may touch a connection after that. */
#ifndef TCP_TCP_CONN_PRIV_H
#define TCP_TCP_CONN_PRIV_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/timerq.h"
#include "common/ip/tcp_header.h"
#include "common/tcp/tcp.h"
#include "common/tcp/tcp_ports.h"
#include "common/tcp/tcp_recvq.h"
#include "common/tcp/tcp_reply.h"
#include "common/tcp/tcp_rtt.h"
#include "common/tcp/tcp_sender.h"
#include "common/tcp/tcp_sendq.h"
#include "common/tcp/tcp_window.h"

#define TCP_MSS_DEFAULT        536 /* without the option, RFC 9293 section 3.7.1; ours never asks for less */
#define TCP_DELAYED_ACK_NS     (40 * TS_MS)
#define TCP_DELAYED_ACK_MIN_NS (5 * TS_MS) /* on paths shorter than that; else their round trip */
#define TCP_SYN_HELD_NS        (5 * TS_MS) /* a SYN-ACK waits so long for the answer to what came with the SYN */
#define TCP_SYN_BARE_NS        (3600 * TS_S) /* no bytes on a SYN after a peer did not take them */
#define TCP_SYN_BARE_LOST_NS   (60 * TS_S) /* and after one that was not answered */
#define TCP_SYN_OPTIONS_LEN    20
#define TCP_SYN_WAIT_NS        (600 * TS_S) /* how long a handshake's round trip tells about the next one's */
#define TCP_ACKS_AT_ONCE       16 /* acknowledgements that are not held back after a silence */
#define TCP_ACKS_MORE_MAX      64 /* segments that may come in one turn */
#define TCP_ACK_STRETCH        8  /* segments beyond a hole that one acknowledgement may answer, with SACK */
#define TCP_PACE_QUANTUM_NS    (1 * TS_MS)
#define TCP_PACE_LATE_NS       (10 * TS_MS) /* of a late timer, what is made good at most */
#define TCP_RETRY_NS           (10 * TS_MS) /* when memory is out and nothing else would wake us */
#define TCP_KEEPALIVE_EVERY_NS (75 * TS_S)
#define TCP_KEEPALIVE_PROBES   9
#define TCP_BURST              8 /* segments of one connection before the next one's turn */
#define TCP_PEER_BURST         48 /* and of one peer: what fits into one train of datagrams */
#define TCP_CHALLENGES_PER_S   100 /* to one peer; RFC 5961 section 7 */
#define TCP_PAWS_VALID_NS      (24 * 24 * 3600 * TS_S) /* RFC 7323 section 5.5 */
#define TCP_SEND_QUEUE_START   (256u * 1024) /* until the congestion window asks for more */

enum tcp_state {
    TCP_CLOSED = 0,
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK,
    TCP_TIME_WAIT, /* the network side lives on in a struct tcp_timewait */
    TCP_STATE_COUNT
};

enum tcp_timer {
    TCP_TIMER_SEND = 0, /* for what is in flight; see enum tcp_send_timer */
    TCP_TIMER_ACK,      /* delayed acknowledgement */
    TCP_TIMER_PACE,     /* nothing more goes out before */
    TCP_TIMER_LIFE,     /* user timeout, keepalive, or the end of an orphan */
    TCP_TIMER_COUNT
};

/* What the send timer waits for: one thing at a time. */
enum tcp_send_timer {
    TCP_SEND_RTO = 0,
    TCP_SEND_TLP,
    TCP_SEND_REORDER,
    TCP_SEND_PERSIST,
};

struct tcp_conn {
    struct map_node node; /* in tcp_stack.conns while attached */
    struct list peer_link, ready_link, event_link;
    struct list wait_link; /* a writer without memory: in tcp_stack.starving; half open: in its listener's list */
    struct tcp_stack *stack;
    struct tcp_peer *peer; /* NULL once the peer is gone: closed then */
    void *ctx;
    struct addrport local, remote;
    struct timer timer; /* the earliest of at[] */
    ts_t at[TCP_TIMER_COUNT];

    enum tcp_state state : 8;
    enum tcp_send_timer send_timer : 8;
    unsigned events : 8;    /* enum tcp_event_flag, waiting to be taken */
    unsigned burst : 8;     /* segments sent in this turn */
    bool attached : 1;      /* found by segments */
    bool released : 1;      /* the owner is gone */
    bool passive : 1;       /* opened by the peer */
    bool announced : 1;     /* passive: its owner knows of it */
    bool port_taken : 1;    /* local port is from tcp_ports */
    bool ts_ok : 1, sack_ok : 1, shift_ok : 1; /* agreed options; in SYN_SENT: offered */
    bool syn_due : 1;
    bool ack_due : 1;
    bool rst_due : 1;
    bool probe_due : 1;     /* a keepalive or zero-window probe */
    bool tlp_due : 1;
    bool override : 1;      /* persist timer: send even a silly small segment */
    bool fin_queued : 1;    /* the owner is done writing */
    bool fin_received : 1;  /* the peer's FIN is in order */
    bool write_wanted : 1;  /* the owner found the queue full */
    bool mss_proven : 1;      /* segments of full length arrived */
    bool mss_tried_again : 1; /* after a black hole */
    bool pace_late : 1;     /* the pace's timer came late, and that is not made good yet */
    bool answers : 1;       /* bytes of ours follow those of the peer soon, and carry their acknowledgement */
    uint8_t snd_shift;      /* of the windows the peer sends */
    uint8_t syn_tries, keepalive_tries, persist_backoff;
    uint8_t acks_at_once;   /* so many more are not held back */
    uint8_t acks_more;      /* due after the next one: several segments out of order came in this turn */
    uint8_t mss_timeouts;   /* timeouts in a row of a full segment while nothing else came through; see tcp_mss.c */
    uint16_t mss;           /* payload of a full segment */
    uint16_t rcv_mss;       /* longest payload the peer sent */
    uint16_t mss_agreed;    /* what both sides' options allow; mss is less behind a black hole */
    uint16_t syn_bytes;     /* rode on the SYN */
    int16_t error;          /* why it is closed; all of err.h fit */

    uint32_t iss, irs;
    uint64_t snd_una, snd_nxt; /* positions; the FIN counts */
    uint64_t snd_edge;         /* first position the peer's window does not allow */
    uint64_t snd_wl1, snd_wl2; /* segment of the last window update: its position, its ACK */
    uint32_t snd_window_max;   /* largest window the peer ever offered */
    uint32_t rcv_unacked;      /* bytes received since our last ACK */
    struct tcp_sendq sendq;
    struct tcp_rtt rtt;
    struct tcp_sender *tx;     /* NULL: nothing is in flight, and nothing known but the round trip */
    ts_t pace_at;              /* when all that was sent will have left at the pace */
    ts_t stalled_since;        /* oldest unanswered thing; TS_NEVER: nothing is */
    ts_t mss_retry_at;         /* when full segments are tried again; TS_NEVER: they are in use */
    ts_t heard_at;             /* last segment from the peer */

    struct tcp_recvq recvq;
    struct tcp_window window;
    uint64_t rcv_fin;          /* position of the peer's FIN; UINT64_MAX: not known */
    ts_t rcv_bytes_at;         /* when bytes last came; 0: never */
    struct tcp_range dsack;    /* to be reported once; empty: none */
    uint64_t last_ack_sent;    /* position; RFC 7323 section 4.3 */
    uint32_t ts_recent;
    uint32_t ts_offset;        /* ours */
    ts_t ts_recent_at;

    uint64_t bytes_retransmitted;
};
_Static_assert(sizeof(struct tcp_conn) <= 552, "with its places in the maps an idle connection holds 600 bytes at most");

struct tcp_listener {
    struct tcp_listener *next;
    uint16_t port;
    uint32_t backlog, half_open_count;
    struct list half_open; /* connections whose handshake is not done */
    void *ctx;
};

struct tcp_stack {
    struct tcp_config config;
    struct map conns, time_waits;
    struct map_seed map_seed, isn_secret, ts_secret;
    struct list ready_peers; /* whose turn it is; blocked ones are not here */
    struct list events;      /* connections with events */
    struct list starving;    /* writers waiting for memory, longest first */
    struct list replies_wait; /* peers whose replies wait for company, longest first */
    struct list orphans;     /* connections whose peer is gone but not their owner, by peer_link */
    struct list time_wait_order; /* oldest first */
    struct timerq timers;
    struct timer time_wait_timer, replies_timer;
    struct tcp_listener *listeners;
    struct tcp_ports ports;
    struct tcp_replies replies;
    ts_t now; /* never goes back */
    struct tcp_stack_stats stats;
};

/* -- tcp_stack.c */
ts_t tcp_stack_clock(struct tcp_stack *stack, ts_t now);
uint64_t tcp_stack_hash(const struct tcp_stack *stack, const struct tcp_peer *peer, const struct addrport *local,
                        const struct addrport *remote);
struct tcp_conn *tcp_stack_find(const struct tcp_stack *stack, const struct tcp_peer *peer,
                                const struct addrport *local, const struct addrport *remote);
struct tcp_listener *tcp_stack_listener(const struct tcp_stack *stack, uint16_t port);
/* tcp_stack_full - conns_max is reached, even after giving up the oldest TIME-WAIT. */
bool tcp_stack_full(struct tcp_stack *stack);
/* tcp_stack_feed - chunks may have come back: wake as many starving writers as can be served. */
void tcp_stack_feed(struct tcp_stack *stack);
void tcp_peer_ready(struct tcp_peer *peer);

/* The budget is the pool's. As it is spent, those go without who can wait most easily, in this order:
 *      half     receive windows grow no more
 *      3/4      writers wait (two stacks whose memory is all in send queues would wait for one another for ever), and
 *               windows are offered only TCP_WINDOW_SCARCE: what was offered before is honoured
 *      7/8      bytes beyond a hole are refused, and come again: nobody can read them yet
 *      all      bytes in order push out early ones of the same connection (tcp_recvq); after that they too are refused
 * Nothing that was acknowledged, and no connection, is given up. */
static inline size_t tcp_stack_chunks_free(const struct tcp_stack *stack)
{
    return stack->config.pool->chunks_max - stack->config.pool->chunks_out;
}

static inline size_t tcp_stack_chunks_kept(const struct tcp_stack *stack, bool from_writers)
{
    return stack->config.pool->chunks_max / (from_writers ? 4 : 8);
}

/* tcp_stack_scarce - the share 1/part of the budget or less is left. */
static inline bool tcp_stack_scarce(const struct tcp_stack *stack, size_t part)
{
    return tcp_stack_chunks_free(stack) <= stack->config.pool->chunks_max / part;
}

/* -- tcp_conn.c */
/* tcp_conn_new - in state CLOSED, attached; NULL: no memory or too many. */
struct tcp_conn *tcp_conn_new(struct tcp_peer *peer, const struct addrport *local, const struct addrport *remote,
                              ts_t now);
/* tcp_conn_settle - see the top. */
void tcp_conn_settle(struct tcp_conn *c);
/* tcp_conn_state_set - the only writer of `state`. */
void tcp_conn_state_set(struct tcp_conn *c, enum tcp_state to, const char *cause);
/* tcp_conn_detach - no segment finds it any more; its port rests. */
void tcp_conn_detach(struct tcp_conn *c);
/* tcp_conn_announce - passive: its owner hears of it, and owns it. */
void tcp_conn_announce(struct tcp_conn *c);
/* tcp_conn_syn_acked - the peer acknowledged everything before `ack`: the SYN, and what rode on it or a part of that. */
void tcp_conn_syn_acked(struct tcp_conn *c, uint64_t ack, ts_t now);
/* tcp_conn_established - the handshake is done. */
void tcp_conn_established(struct tcp_conn *c, ts_t now);
/* tcp_conn_close - dead: queues go, the owner hears of `error` (0: an orderly end). */
void tcp_conn_close(struct tcp_conn *c, int error, const char *cause);
/* tcp_conn_reset - the same, and the peer hears of it too. */
void tcp_conn_reset(struct tcp_conn *c, int error, const char *cause);
/* tcp_conn_orphan - its peer goes: close without a packet, and settle. */
void tcp_conn_orphan(struct tcp_conn *c);
/* tcp_conn_not_half_open - the handshake is over, one way or the other. */
void tcp_conn_not_half_open(struct tcp_conn *c);
void tcp_conn_event(struct tcp_conn *c, unsigned flags);
const char *tcp_state_name(enum tcp_state state);

/* tcp_conn_owes - position after the last thing to be sent: bytes, then the FIN. */
static inline uint64_t tcp_conn_owes(const struct tcp_conn *c)
{
    return c->sendq.end + c->fin_queued;
}

/* tcp_conn_rcv_next - RCV.NXT as a position. */
static inline uint64_t tcp_conn_rcv_next(const struct tcp_conn *c)
{
    return c->recvq.next + c->fin_received;
}

/* tcp_conn_ts - our timestamp clock, 1 ms a tick. RFC 7323 section 5.4. */
static inline uint32_t tcp_conn_ts(const struct tcp_conn *c, ts_t now)
{
    return (uint32_t)(now / TS_MS) + c->ts_offset;
}

static inline bool tcp_conn_synchronized(const struct tcp_conn *c)
{
    return c->state >= TCP_ESTABLISHED && c->state <= TCP_LAST_ACK;
}

/* tcp_conn_track - the scoreboard, an empty one when there is none. */
static inline const struct tcp_track *tcp_conn_track(const struct tcp_conn *c)
{
    return c->tx ? &c->tx->track : &tcp_track_none;
}

/* tcp_conn_cwnd - bytes that may travel now. */
static inline uint32_t tcp_conn_cwnd(const struct tcp_conn *c)
{
    return c->tx ? tcp_loss_cwnd(&c->tx->loss, &c->tx->cc) : tcp_cc_initial_window(c->mss);
}

/* tcp_conn_send_limit - bytes the send queue may hold now. */
size_t tcp_conn_send_limit(const struct tcp_conn *c);
/* tcp_conn_loss - what tcp_loss_* need; only with a sender. */
struct tcp_loss_ctx tcp_conn_loss(struct tcp_conn *c, ts_t now);

/* -- tcp_input.c */
enum tcp_in tcp_conn_input(struct tcp_conn *c, const struct tcp_header *h, const uint8_t *payload, size_t len,
                           ts_t now);
/* tcp_listener_input - a SYN for a listener, and what came with it. */
enum tcp_in tcp_listener_input(struct tcp_listener *l, struct tcp_peer *peer, const struct addrport *local,
                               const struct addrport *remote, const struct tcp_header *h, const uint8_t *payload,
                               size_t len, ts_t now);

/* -- tcp_mss.c */
/* tcp_mss_timed_out - the retransmission timer fired; true: the segments are smaller from now on. */
bool tcp_mss_timed_out(struct tcp_conn *c, ts_t now);
/* tcp_mss_arrived - a segment of this length did; perhaps it is time to try longer ones again. */
void tcp_mss_arrived(struct tcp_conn *c, uint16_t len, ts_t now);

/* -- tcp_ack.c */
/* tcp_conn_acked - an acceptable acknowledgement of everything before `ack`, in a segment at position `at`; bare:
 * there is nothing else in it. */
void tcp_conn_acked(struct tcp_conn *c, const struct tcp_header *h, uint64_t at, uint64_t ack, bool bare, ts_t now);
/* tcp_conn_tell_writable - an owner who waits hears of it when enough room came back to be worth his while. */
void tcp_conn_tell_writable(struct tcp_conn *c);

/* -- tcp_output.c */
enum tcp_plan_kind {
    TCP_PLAN_NOTHING = 0,
    TCP_PLAN_RST,
    TCP_PLAN_SYN,
    TCP_PLAN_ACK,
    TCP_PLAN_AGAIN, /* a lost segment */
    TCP_PLAN_TLP_AGAIN,
    TCP_PLAN_NEW,
    TCP_PLAN_PROBE, /* an old sequence number, to be answered with an ACK */
};
static inline bool tcp_plan_is_data(enum tcp_plan_kind kind)
{
    return kind == TCP_PLAN_AGAIN || kind == TCP_PLAN_TLP_AGAIN || kind == TCP_PLAN_NEW;
}

struct tcp_plan {
    enum tcp_plan_kind kind;
    bool window_closed; /* NOTHING: there is something, but the peer's window keeps it */
    uint64_t start;
    uint16_t len; /* a FIN counted as one */
    struct tcp_sent *sent;
};
/* tcp_conn_plan - what this connection would send now. */
struct tcp_plan tcp_conn_plan(const struct tcp_conn *c);
/* tcp_conn_output - write the planned packet; 0: there is none. */
size_t tcp_conn_output(struct tcp_conn *c, uint8_t *buf, size_t cap, ts_t now);

/* -- tcp_timers.c */
/* tcp_conn_send_timer_rearm - something was delivered: what to wait for next. */
void tcp_conn_send_timer_rearm(struct tcp_conn *c, ts_t now);
/* tcp_conn_send_timer_sent - a segment went out; probe: a tail loss probe. */
void tcp_conn_send_timer_sent(struct tcp_conn *c, bool probe, ts_t now);
/* tcp_conn_life_at - the deadline of TCP_TIMER_LIFE in this state. */
ts_t tcp_conn_life_at(const struct tcp_conn *c);
void tcp_conn_expire(struct tcp_conn *c, ts_t now);

#endif
