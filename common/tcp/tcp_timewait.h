/* tcp_timewait.h - what is left of a connection whose FIN came first: enough to acknowledge a repeated FIN and to keep
 * its four-tuple from being taken too early. RFC 9293 section 3.6.1. All of a stack wait equally long, so a list in
 * order of entering is their timer. */
#ifndef TCP_TCP_TIMEWAIT_H
#define TCP_TCP_TIMEWAIT_H

#include "common/tcp/tcp_conn_priv.h"

struct tcp_timewait {
    struct map_node node;
    struct list order;     /* in tcp_stack.time_wait_order */
    struct list peer_link; /* in tcp_peer.time_waits */
    struct tcp_peer *peer;
    struct addrport local, remote;
    uint32_t snd_nxt, rcv_nxt;
    uint32_t ts_recent, ts_offset;
    uint32_t until_ms; /* since the stack's clock began, as a serial number */
    bool ts_ok;
};

/* tcp_timewait_enter - from now on `c`'s four-tuple is kept by a tcp_timewait, and c is detached. Without memory the
 * four-tuple is free at once. */
void tcp_timewait_enter(struct tcp_conn *c, ts_t now);
struct tcp_timewait *tcp_timewait_find(const struct tcp_stack *stack, const struct tcp_peer *peer,
                                       const struct addrport *local, const struct addrport *remote);
/* tcp_timewait_input - a segment for it. *reopen: a new connection may take its place (it is gone then). */
enum tcp_in tcp_timewait_input(struct tcp_timewait *tw, const struct tcp_header *h, size_t len, bool *reopen, ts_t now);
void tcp_timewait_free(struct tcp_timewait *tw);
/* tcp_timewait_expire - free those whose time is over and arm the stack's timer for the next. */
void tcp_timewait_expire(struct tcp_stack *stack, ts_t now);

#endif
