/* tcp_reply.h - segments that no connection sends: resets for unknown connections, ACKs of TIME-WAIT.
 *
 * A stranger's segment costs at most one slot; when the slots are taken or the rate is reached, nothing is said. */
#ifndef TCP_TCP_REPLY_H
#define TCP_TCP_REPLY_H

#include "common/base/bucket.h"
#include "common/ip/tcp_header.h"
#include "common/tcp/tcp.h"

#define TCP_REPLY_SLOTS 64
#define TCP_REPLY_PER_S 200 /* and as many at once as there are slots */

struct tcp_reply {
    struct tcp_peer *peer;
    struct addrport local, remote;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    bool has_timestamp;
    uint32_t ts_value, ts_echo;
};

struct tcp_replies {
    struct tcp_reply slot[TCP_REPLY_SLOTS];
    uint32_t first, count;
    struct bucket rate;
};

void tcp_replies_init(struct tcp_replies *r);

/* tcp_replies_add - false: not now. */
bool tcp_replies_add(struct tcp_replies *r, const struct tcp_reply *reply, ts_t now);

/* tcp_replies_reset - answer this segment with a reset, RFC 9293 section 3.10.7.1; never one reset with another. */
bool tcp_replies_reset(struct tcp_replies *r, struct tcp_peer *peer, const struct addrport *local,
                       const struct addrport *remote, const struct tcp_header *h, size_t payload_len, ts_t now);

/* tcp_replies_output - write the next one to buf; those to a blocked peer are dropped. Returns its length, or 0. */
size_t tcp_replies_output(struct tcp_replies *r, uint8_t *buf, size_t cap, struct tcp_peer **peer);

/* tcp_replies_peer - the peer of the reply that tcp_replies_output would write; NULL: none. */
struct tcp_peer *tcp_replies_peer(const struct tcp_replies *r);

/* tcp_replies_forget - drop those for this peer. */
void tcp_replies_forget(struct tcp_replies *r, const struct tcp_peer *peer);

#endif
