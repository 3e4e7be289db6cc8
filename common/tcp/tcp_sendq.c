/* tcp_sendq.c - a stretch and its end: which bytes were sent is the scoreboard's knowledge, not the queue's. */
#include "common/tcp/tcp_sendq.h"

#include "common/base/bug.h"

void tcp_sendq_init(struct tcp_sendq *q)
{
    stretch_init(&q->bytes, 1);
    q->end = 1;
}

void tcp_sendq_deinit(struct tcp_sendq *q, struct pool *pool)
{
    stretch_deinit(&q->bytes, pool);
    q->bytes.base = q->end;
}

int tcp_sendq_room(struct tcp_sendq *q, struct pool *pool, struct iovec *iov, int max, size_t *bytes)
{
    size_t found = 0, wanted = *bytes;
    int pieces = 0;

    while (pieces < max && found < wanted) {
        uint8_t *at;
        size_t n = stretch_room(&q->bytes, pool, q->end + found, &at);

        if (n == 0)
            break;
        n = MIN(n, wanted - found);
        iov[pieces++] = (struct iovec){.iov_base = at, .iov_len = n};
        found += n;
    }
    *bytes = found;
    return pieces;
}

void tcp_sendq_commit(struct tcp_sendq *q, struct pool *pool, size_t len)
{
    q->end += len;
    if (q->end == q->bytes.base)
        stretch_trim(&q->bytes, pool);
    else
        stretch_cut(&q->bytes, pool, q->end); /* room that was asked for and not used */
}

size_t tcp_sendq_write(struct tcp_sendq *q, struct pool *pool, const void *data, size_t len)
{
    size_t n = stretch_store(&q->bytes, pool, q->end, data, len);

    tcp_sendq_commit(q, pool, n);
    return n;
}

void tcp_sendq_acked(struct tcp_sendq *q, struct pool *pool, uint64_t upto)
{
    BUG_ON(upto > q->end);
    stretch_forget(&q->bytes, pool, upto);
    if (upto == q->end)
        stretch_trim(&q->bytes, pool);
}
