/* tcp.h - the inner TCP engine: a whole TCP, both roles, over any packet carrier. No I/O, no clock.
 *
 *     tcp_stack_input(stack, peer, pkt, ...)  an IP packet came from this peer -> verdict
 *     tcp_stack_output(stack, buf, ...)       next IP packet and its peer; pull until 0
 *     tcp_stack_deadline / tcp_stack_expire   timers
 *     tcp_stack_event(stack, &event)          what the owner should know; take until false
 *
 * A connection is found by (peer, local address and port, remote address and port): two peers may use the same
 * addresses. A peer that can't be sent to at the moment is blocked (tcp_peer_block): it is not pulled, so nothing
 * piles up below TCP. RFC 9293 unless said otherwise. */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/addr.h"
#include "common/base/list.h"
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/base/ts.h"

struct tcp_stack;
struct tcp_conn;

enum tcp_congestion {
    TCP_CONGESTION_BBR = 0, /* draft-ietf-ccwg-bbr: by the rate the path delivers; docs/decisions/0040 */
    TCP_CONGESTION_CUBIC,   /* RFC 9438: by loss */
};

struct tcp_config {
    struct rng *rng;             /* borrowed */
    struct pool *pool;           /* borrowed: chunks for both queues of every connection */
    size_t recv_window_max;      /* most a connection may advertise, bytes (e.g. 6 MiB) */
    enum tcp_congestion congestion; /* of connections that begin to send from now on */
    size_t send_queue_max;       /* most unacknowledged and unsent bytes a connection may hold */
    uint32_t conns_max;          /* connections of any state in the stack, TIME-WAIT included */
    uint16_t port_first, port_last; /* own ports for active opens, e.g. 1024..65535 */
    uint64_t time_wait_ns;       /* 2 MSL; e.g. 60 s */
    uint64_t user_timeout_ns;    /* unacknowledged this long: the connection is dead. RFC 5482 */
    uint64_t keepalive_idle_ns;  /* idle this long: probe; 0: off */
};
/* tcp_config_default - sensible values for all but rng and pool. */
void tcp_config_default(struct tcp_config *config);

/* One peer of the stack, embedded by its owner. Fields are the engine's; `owner` may be read. */
struct tcp_peer {
    struct tcp_stack *stack;
    void *owner;
    uint16_t mtu; /* largest IP packet towards it */
    bool blocked;
    unsigned burst; /* segments sent in this turn */
    uint16_t replies_first, replies_last; /* slots of what no connection sends; first 0: there is none */
    struct list replies_wait;             /* they wait for company: among the stack's peers whose replies do */
    ts_t replies_due;                     /* not longer than until then */
    uint64_t syn_wait_ns;                 /* for the answer to a SYN: after what the last handshake took */
    ts_t syn_wait_until;                  /* so long that is believed */
    ts_t syn_bare_until;                  /* it did not take what rode on a SYN: none carries bytes before */
    struct tcp_conn *found;               /* whose segment came last; NULL: none that is still there */
    size_t conns_count;
    ts_t replies_full_at, challenges_full_at; /* its budgets of what answers strangers and doubtful segments */
    struct list conns;      /* all connections with it */
    struct list time_waits; /* and what is left of old ones */
    struct list ready;      /* connections that have something to send, in turn */
    struct list ready_link; /* among the stack's peers to be pulled: not blocked, something to send */
};

/* tcp_peer_init - mtu >= TCP_PEER_MTU_MIN. */
#define TCP_PEER_MTU_MIN 576
void tcp_peer_init(struct tcp_peer *peer, struct tcp_stack *stack, void *owner, uint16_t mtu);
/* tcp_peer_deinit - every connection with it ends at once, without a packet: those still held by their owner get a
 * TCP_EVENT_CLOSED with ERR_CLOSED. */
void tcp_peer_deinit(struct tcp_peer *peer, ts_t now);
/* tcp_peer_block - true: don't pull packets for it; false: go on. */
void tcp_peer_block(struct tcp_peer *peer, bool blocked);
/* tcp_peer_wants_output - some connection has a packet to send (whether or not blocked). */
bool tcp_peer_wants_output(const struct tcp_peer *peer);

struct tcp_stack *tcp_stack_new(const struct tcp_config *config);
/* tcp_stack_free - every peer must have been deinited; connections still held by owners go too. NULL is allowed. */
void tcp_stack_free(struct tcp_stack *stack);

/* Verdicts of input; all but OK are counted by the caller. */
#define TCP_IN_MAP(X)                                                                                                  \
    X(OK, "ok")                                                                                                        \
    X(NOT_TCP, "not_tcp")                 /* another protocol (the packet was well-formed IP) */                       \
    X(MALFORMED, "malformed")             /* IP or TCP header lengths, options overrun */                              \
    X(FRAGMENT, "fragment")                                                                                            \
    X(CHECKSUM, "checksum")                                                                                            \
    X(UNKNOWN, "unknown_connection")      /* no such connection; a reset may follow, rate limited */                   \
    X(REFUSED, "refused_syn")             /* SYN to a port nobody listens on, or no room; a reset follows */           \
    X(OUT_OF_WINDOW, "out_of_window")                                                                                  \
    X(PAWS, "paws")                       /* RFC 7323 section 5 */                                                     \
    X(CHALLENGED, "challenged")           /* RFC 5961: a challenge ACK is sent, rate limited */

enum tcp_in {
#define X(name, text) TCP_IN_##name,
    TCP_IN_MAP(X)
#undef X
        TCP_IN_COUNT
};
const char *tcp_in_name(enum tcp_in in);

/* tcp_stack_input - one IPv4 or IPv6 packet of exactly len bytes (longer buffers: the IP length counts) from peer.
 * The bytes are borrowed for the call. Which source addresses the peer may use was checked by the caller. */
enum tcp_in tcp_stack_input(struct tcp_stack *stack, struct tcp_peer *peer, const uint8_t *packet, size_t len,
                            ts_t now);

/* tcp_stack_ready - the peer whose packet tcp_stack_output would write next; NULL when there is none. The carrier looks
 * at it before it pulls, and blocks the peer when it can't be sent to. */
struct tcp_peer *tcp_stack_ready(const struct tcp_stack *stack);

/* tcp_stack_output - write the next IP packet to buf (cap >= the peer's mtu) and say whom it is for.
 * Returns its length, 0 when nothing is to be sent now. */
size_t tcp_stack_output(struct tcp_stack *stack, uint8_t *buf, size_t cap, struct tcp_peer **peer, ts_t now);

ts_t tcp_stack_deadline(const struct tcp_stack *stack);
void tcp_stack_expire(struct tcp_stack *stack, ts_t now);

enum tcp_event_flag {
    TCP_EVENT_CONNECTED = 1 << 0, /* the handshake is done */
    TCP_EVENT_ACCEPTED = 1 << 1,  /* a new connection of a listener: take it (tcp_conn_ctx_set) or abort it. Before it
                                     is CONNECTED when its SYN brought bytes: what is answered at once rides on the
                                     SYN-ACK */
    TCP_EVENT_READABLE = 1 << 2,  /* bytes to read came */
    TCP_EVENT_WRITABLE = 1 << 3,  /* room in the send queue after it was full */
    TCP_EVENT_EOF = 1 << 4,       /* the peer's FIN came in order (bytes before it may still wait to be read) */
    TCP_EVENT_CLOSED = 1 << 5,    /* dead: reset, timed out, refused; see error. Must still be released.
                                     Not after an orderly end: EOF and DRAINED say that */
    TCP_EVENT_DRAINED = 1 << 6,   /* all that was written, and the FIN if any, is acknowledged */
    TCP_EVENT_SYN_TIMEOUT = 1 << 7, /* a SYN went unanswered and is being sent again */
};

struct tcp_event {
    struct tcp_conn *conn;
    void *ctx;      /* the connection's; for ACCEPTED the listener's */
    unsigned flags; /* enum tcp_event_flag */
    int error;      /* with CLOSED: -ECONNRESET, -ECONNREFUSED, -ETIMEDOUT, ERR_CLOSED */
};
/* tcp_stack_event - next event; events of one connection are merged until taken. No events come for a connection after
 * tcp_release or tcp_abort. */
bool tcp_stack_event(struct tcp_stack *stack, struct tcp_event *out);

struct tcp_dial {
    struct tcp_peer *peer;
    struct addr local;      /* one of our own addresses */
    struct addrport remote; /* same family */
    void *ctx;
};
/* tcp_connect - start an active open from an own port: the least recently used free one for (local, remote), RFC 6056.
 * NULL and *err: ERR_NO_PORTS, ERR_NOMEM, ERR_FULL. */
struct tcp_conn *tcp_connect(struct tcp_stack *stack, const struct tcp_dial *dial, int *err, ts_t now);

/* tcp_listen - accept connections to this port on any local address from any peer. At most `backlog` half-open ones.
 * Returns 0 or ERR_EXISTS / ERR_FULL. */
int tcp_listen(struct tcp_stack *stack, uint16_t port, uint32_t backlog, void *ctx);
void tcp_listen_stop(struct tcp_stack *stack, uint16_t port);

void tcp_conn_ctx_set(struct tcp_conn *conn, void *ctx);
struct tcp_peer *tcp_conn_peer(const struct tcp_conn *conn);
void tcp_conn_local(const struct tcp_conn *conn, struct addrport *out);
void tcp_conn_remote(const struct tcp_conn *conn, struct addrport *out);

/* tcp_write_room - up to `max` pieces of free send queue to fill in place; returns pieces, 0 when the queue is full or
 * memory is out (a WRITABLE event follows). Valid until the next call on the stack. `*bytes` is their sum. */
int tcp_write_room(struct tcp_conn *conn, struct iovec *iov, int max, size_t *bytes);
/* tcp_write_commit - the first `len` bytes of that room are to be sent. Call it with 0 when nothing was filled, so that
 * the room's memory goes back. */
void tcp_write_commit(struct tcp_conn *conn, size_t len, ts_t now);
/* tcp_write - copy bytes into the send queue; returns how many were taken (0: full, WRITABLE follows). */
size_t tcp_write(struct tcp_conn *conn, const void *data, size_t len, ts_t now);
/* tcp_can_write - connecting (what is written in the turn of tcp_connect rides on the SYN where the peer takes it, else
 * on the handshake's ACK), established or closed only by the peer, and tcp_shutdown not called. */
bool tcp_can_write(const struct tcp_conn *conn);

/* tcp_read_iov - pieces of received bytes in order, not consumed. Returns pieces; valid until the next call. */
int tcp_read_iov(const struct tcp_conn *conn, struct iovec *iov, int max, size_t *bytes);
/* tcp_consume - the first len received bytes are done with; opens the window (an ACK may follow). */
void tcp_consume(struct tcp_conn *conn, size_t len, ts_t now);
size_t tcp_readable(const struct tcp_conn *conn);
/* tcp_eof - the peer's FIN came and every byte before it was consumed. */
bool tcp_eof(const struct tcp_conn *conn);

/* tcp_shutdown - FIN after what is queued; reading goes on. */
void tcp_shutdown(struct tcp_conn *conn, ts_t now);
/* tcp_release - the owner is done: shutdown if not yet, finish in the background (unread or later data: reset, as
 * RFC 9293 section 3.10.4 and RFC 2525 advise), then free. The pointer is dead for the owner. NULL is allowed. */
void tcp_release(struct tcp_conn *conn, ts_t now);
/* tcp_abort - reset, and released at once. NULL is allowed. */
void tcp_abort(struct tcp_conn *conn, ts_t now);

/* tcp_peer_refused - the carrier says that this SYN was refused (a TSMP rejection): the pending connect to `remote`
 * from own `local` ends with -ECONNREFUSED. */
void tcp_peer_refused(struct tcp_peer *peer, const struct addrport *local, const struct addrport *remote, ts_t now);

/* tcp_peer_answers - the carrier hears the peer again after a silence (its session was lost and is new, say): every SYN
 * of ours that still waits for its answer is sent again at once, not when its timeout ends. */
void tcp_peer_answers(struct tcp_peer *peer, ts_t now);

struct tcp_conn_info { /* not tcp_info: the system has one */
    const char *state;      /* RFC 9293 name */
    const char *congestion; /* "bbr", "cubic" */
    uint64_t srtt_ns, rto_ns;
    uint64_t bytes_sent, bytes_received, bytes_retransmitted;
    uint32_t cwnd_bytes, in_flight_bytes;
    uint64_t pacing_bytes_per_s; /* 0: not paced */
    uint16_t mss;
};
void tcp_conn_info(const struct tcp_conn *conn, struct tcp_conn_info *out);

struct tcp_stack_stats {
    uint32_t conns, time_wait;
    uint64_t segments_in, segments_out, retransmits, resets_out, resets_in, challenges;
};
void tcp_stack_stats(const struct tcp_stack *stack, struct tcp_stack_stats *out);

/* tcp_conn_check - every invariant between the queues, the scoreboard and the counters; tests call it each step. */
void tcp_conn_check(const struct tcp_conn *conn);

#endif
