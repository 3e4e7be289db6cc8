/* tcp_recvq.h - the bytes a peer sent: put in order, held until read.
 *
 * Positions count the peer's stream from 0, which is its SYN. What is in order needs no list; what came early is a
 * sorted list of ranges that exists only while there is a hole.
 *
 *      read | in order, to be read | hole | early | hole | early |
 *         base                   next                                    */
#ifndef TCP_TCP_RECVQ_H
#define TCP_TCP_RECVQ_H

#include "common/base/stretch.h"

#define TCP_RECVQ_RANGES_MAX 1024 /* early ranges kept; a segment that would make one more is dropped */

struct tcp_range {
    uint64_t start, end; /* end exclusive */
};

struct tcp_early; /* the early ranges, private to tcp_recvq.c */

struct tcp_recvq {
    struct stretch bytes; /* bytes.base: first unread byte */
    uint64_t next;        /* first byte not yet here: RCV.NXT without the FIN */
    struct tcp_early *early; /* NULL: everything is in order */
};

struct tcp_recvq_result {
    size_t in_order;            /* bytes by which `next` moved */
    bool early;                 /* stored beyond a hole */
    bool refused;               /* no memory: treat the segment as lost */
    struct tcp_range duplicate; /* first stretch that was here before (RFC 2883); start == end: none */
};

void tcp_recvq_init(struct tcp_recvq *q);
void tcp_recvq_deinit(struct tcp_recvq *q, struct pool *pool);

/* tcp_recvq_readable - bytes in order and unread. */
static inline size_t tcp_recvq_readable(const struct tcp_recvq *q)
{
    return (size_t)(q->next - q->bytes.base);
}

/* tcp_recvq_insert - bytes of the peer's stream from position `at`, already cut to the window. When memory is out,
 * early bytes are given up for those in order (RFC 2018 section 8 lets a receiver do so); keep_chunks: early bytes are
 * refused when the pool could then hand out fewer than this many more. */
struct tcp_recvq_result tcp_recvq_insert(struct tcp_recvq *q, struct pool *pool, uint64_t at, const void *data,
                                         size_t len, size_t keep_chunks);

/* tcp_recvq_consumed - len more bytes were read (<= readable). */
void tcp_recvq_consumed(struct tcp_recvq *q, struct pool *pool, size_t len);

/* tcp_recvq_sack - the early ranges to report: first one that changed and was not reported since, of several the one
 * that changed first, as if each segment had been answered when it came; then those reported last, so that each is
 * told in as many segments as one has room for (RFC 2018 section 4). Returns how many. */
int tcp_recvq_sack(struct tcp_recvq *q, struct tcp_range *out, int max);

/* tcp_recvq_news - there is a range that changed and was not reported since. */
bool tcp_recvq_news(const struct tcp_recvq *q);

/* tcp_recvq_end - first position after everything that is here, early bytes too. */
uint64_t tcp_recvq_end(const struct tcp_recvq *q);

/* tcp_recvq_early_bytes - how many bytes wait beyond holes; *ranges in how many pieces (may be NULL). */
uint64_t tcp_recvq_early_bytes(const struct tcp_recvq *q, uint32_t *ranges);

/* tcp_recvq_check - the queue's invariants. */
void tcp_recvq_check(const struct tcp_recvq *q);

#endif
