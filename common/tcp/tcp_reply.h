/* tcp_reply.h - segments that no connection sends: resets for unknown connections, ACKs of TIME-WAIT.
 *
 * A stranger's segment costs at most one slot; when the slots are taken or its peer's rate is reached, nothing is said.
 * Each peer has a rate of its own: what one of them floods takes no reset of another's. Only as many as have their whole
 * burst in one turn of the loop fill all slots. Replies wait with their peer and go when its turn comes, after what its
 * connections send: so they share its train of datagrams, which a short one ends.
 * The ACK that begins a TIME-WAIT is owed, once a connection, and asks no rate. Nobody waits for it but the peer's own
 * LAST-ACK, so it lets others find company for TCP_REPLY_WAIT_NS. */
#ifndef TCP_TCP_REPLY_H
#define TCP_TCP_REPLY_H

#include "common/ip/tcp_header.h"
#include "common/tcp/tcp.h"

#define TCP_REPLY_SLOTS 256
#define TCP_REPLY_PER_S 200 /* to one peer */
#define TCP_REPLY_BURST 32
#define TCP_REPLY_WAIT_NS (5 * TS_MS)

struct tcp_reply {
    struct tcp_peer *peer;
    uint16_t next; /* slot number of the peer's next one, or of the next free one; 0: none */
    struct addrport local, remote;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    bool has_timestamp;
    uint32_t ts_value, ts_echo;
};

struct tcp_replies {
    struct tcp_reply slot[TCP_REPLY_SLOTS]; /* slot number n lies at n - 1 */
    uint16_t free;                          /* 0: all are taken */
};

void tcp_replies_init(struct tcp_replies *r);

/* tcp_replies_owe - one that may wait for company; all slots are taken, or the peer is blocked: it is left out. */
void tcp_replies_owe(struct tcp_replies *r, const struct tcp_reply *reply, ts_t now);

/* tcp_replies_add - one that goes now, from the peer's budget; false: that is spent, or see above. */
bool tcp_replies_add(struct tcp_replies *r, const struct tcp_reply *reply, ts_t now);

/* tcp_replies_reset - answer this segment with a reset, RFC 9293 section 3.10.7.1; never one reset with another. */
bool tcp_replies_reset(struct tcp_replies *r, struct tcp_peer *peer, const struct addrport *local,
                       const struct addrport *remote, const struct tcp_header *h, size_t payload_len, ts_t now);

/* tcp_replies_go - this peer's wait no longer. */
void tcp_replies_go(struct tcp_peer *peer);

/* tcp_replies_expire - nor do those that waited long enough. */
void tcp_replies_expire(struct tcp_stack *stack, ts_t now);

/* tcp_replies_output - write this peer's next one to buf. Returns its length, or 0. */
size_t tcp_replies_output(struct tcp_replies *r, struct tcp_peer *peer, uint8_t *buf, size_t cap);

/* tcp_replies_forget - drop those for this peer. */
void tcp_replies_forget(struct tcp_replies *r, struct tcp_peer *peer);

#endif
