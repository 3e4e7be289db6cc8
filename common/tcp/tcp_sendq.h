/* tcp_sendq.h - the bytes a connection still owes its peer: written, not yet acknowledged.
 *
 * Positions count the stream from 0, which is the SYN, so the first byte is at 1; they are 64 bit and never wrap.
 *
 *      acknowledged | sent, not acknowledged | not sent |
 *                  base                                end           */
#ifndef TCP_TCP_SENDQ_H
#define TCP_TCP_SENDQ_H

#include <sys/uio.h>

#include "common/base/stretch.h"

struct tcp_sendq {
    struct stretch bytes; /* bytes.base: first unacknowledged byte */
    uint64_t end;         /* where the next written byte goes; bytes.base <= end */
};

void tcp_sendq_init(struct tcp_sendq *q);
void tcp_sendq_deinit(struct tcp_sendq *q, struct pool *pool);

/* tcp_sendq_used - bytes held. */
static inline size_t tcp_sendq_used(const struct tcp_sendq *q)
{
    return (size_t)(q->end - q->bytes.base);
}

/* tcp_sendq_room - free places for the next bytes, at most `max` pieces and *bytes in all, which becomes what was
 * found. Returns pieces. Chunks taken and not filled go back with tcp_sendq_commit. */
int tcp_sendq_room(struct tcp_sendq *q, struct pool *pool, struct iovec *iov, int max, size_t *bytes);

/* tcp_sendq_commit - the first len bytes of that room were filled. */
void tcp_sendq_commit(struct tcp_sendq *q, struct pool *pool, size_t len);

/* tcp_sendq_write - copy up to len bytes in; returns how many: fewer only when memory is out. */
size_t tcp_sendq_write(struct tcp_sendq *q, struct pool *pool, const void *data, size_t len);

/* tcp_sendq_acked - everything before `upto` (<= end) arrived. */
void tcp_sendq_acked(struct tcp_sendq *q, struct pool *pool, uint64_t upto);

#endif
