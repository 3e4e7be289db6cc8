/* tcp_recvq.c - reassembly. Bytes go to their place in the stretch at once, whatever their order; only the list of
 * ranges says what is there. Segments arrive mostly in order, so the common case touches no list. */
#include "common/tcp/tcp_recvq.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define RANGES_START 8
#define RECENT       4 /* as many as a segment without timestamps can report */

struct tcp_early {
    uint32_t count, room;
    uint64_t recent[RECENT]; /* positions last stored, newest first; 0: none (0 is the SYN, never early) */
    struct tcp_range range[]; /* ascending, never touching */
};

void tcp_recvq_init(struct tcp_recvq *q)
{
    stretch_init(&q->bytes, 1);
    q->next = 1;
    q->early = NULL;
}

void tcp_recvq_deinit(struct tcp_recvq *q, struct pool *pool)
{
    stretch_deinit(&q->bytes, pool);
    q->bytes.base = q->next;
    free(q->early);
    q->early = NULL;
}

/* index of the first range that ends at or after `at`: the one `at` touches or lies in, or the next one */
static uint32_t range_find(const struct tcp_early *e, uint64_t at)
{
    uint32_t low = 0, high = e->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (e->range[mid].end < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool early_reserve(struct tcp_recvq *q)
{
    struct tcp_early *e = q->early;
    uint32_t room = e ? e->room : 0;

    if (e && e->count < room)
        return true;
    if (room >= TCP_RECVQ_RANGES_MAX)
        return false;
    room = room ? room * 2 : RANGES_START;
    e = realloc(e, sizeof(*e) + room * sizeof(e->range[0]));
    if (!e)
        return false;
    if (!q->early)
        memset(e, 0, sizeof(*e));
    e->room = room;
    q->early = e;
    return true;
}

static void recent_note(struct tcp_early *e, uint64_t at)
{
    memmove(e->recent + 1, e->recent, (RECENT - 1) * sizeof(e->recent[0]));
    e->recent[0] = at;
}

/* Merge r into the list; room for one more is there. Returns what of r was in the list before, first piece. */
static struct tcp_range early_add(struct tcp_early *e, struct tcp_range r)
{
    struct tcp_range duplicate = {0};
    uint32_t first = range_find(e, r.start), last = first;
    uint64_t start = r.start, end = r.end;

    for (; last < e->count && e->range[last].start <= end; last++) {
        struct tcp_range both = {MAX(r.start, e->range[last].start), MIN(r.end, e->range[last].end)};

        if (both.start < both.end && duplicate.start == duplicate.end)
            duplicate = both;
        start = MIN(start, e->range[last].start);
        end = MAX(end, e->range[last].end);
    }
    memmove(&e->range[first + 1], &e->range[last], (e->count - last) * sizeof(e->range[0]));
    e->range[first] = (struct tcp_range){start, end};
    e->count = e->count - (last - first) + 1;
    recent_note(e, r.start);
    return duplicate;
}

/* `next` moved to `upto`: what was early and touches it is in order now. */
static uint64_t early_join(struct tcp_recvq *q, uint64_t upto, struct tcp_range *duplicate)
{
    struct tcp_early *e = q->early;
    uint32_t gone = 0;

    for (; gone < e->count && e->range[gone].start <= upto; gone++) {
        if (e->range[gone].start < upto && duplicate->start == duplicate->end)
            *duplicate = (struct tcp_range){e->range[gone].start, MIN(upto, e->range[gone].end)};
        upto = MAX(upto, e->range[gone].end);
    }
    memmove(e->range, e->range + gone, (e->count - gone) * sizeof(e->range[0]));
    e->count -= gone;
    if (e->count == 0) {
        free(e);
        q->early = NULL;
    }
    return upto;
}

/* Give up all early bytes, from position `from` on, for the sake of those in order. */
static bool early_drop(struct tcp_recvq *q, struct pool *pool, uint64_t from)
{
    if (!q->early)
        return false;
    stretch_cut(&q->bytes, pool, from);
    free(q->early);
    q->early = NULL;
    return true;
}

static void insert_early(struct tcp_recvq *q, struct pool *pool, struct tcp_range r, const uint8_t *data,
                         size_t keep_chunks, struct tcp_recvq_result *result)
{
    result->refused = true;
    if (pool->chunks_max - pool->chunks_out <= keep_chunks)
        return;
    if (!early_reserve(q))
        return;
    size_t stored = stretch_store(&q->bytes, pool, r.start, data, (size_t)(r.end - r.start));

    r.end = r.start + stored;
    if (stored > 0) {
        result->duplicate = early_add(q->early, r);
        result->early = true;
        result->refused = false;
    } else if (q->early->count == 0) {
        free(q->early);
        q->early = NULL;
    }
}

struct tcp_recvq_result tcp_recvq_insert(struct tcp_recvq *q, struct pool *pool, uint64_t at, const void *data,
                                         size_t len, size_t keep_chunks)
{
    struct tcp_recvq_result result = {0};
    const uint8_t *from = data;
    uint64_t end = at + len;

    if (at < q->next) {
        uint64_t known = MIN(end, q->next);

        result.duplicate = (struct tcp_range){at, known};
        from += known - at;
        at = known;
    }
    if (at == end)
        return result;
    if (at > q->next) {
        insert_early(q, pool, (struct tcp_range){at, end}, from, keep_chunks, &result);
        return result;
    }
    size_t stored = stretch_store(&q->bytes, pool, at, from, (size_t)(end - at));

    if (at + stored < end && early_drop(q, pool, at + stored))
        stored += stretch_store(&q->bytes, pool, at + stored, from + stored, (size_t)(end - at) - stored);
    result.refused = stored == 0;
    if (stored > 0) {
        uint64_t before = q->next;

        q->next = q->early ? early_join(q, at + stored, &result.duplicate) : at + stored;
        result.in_order = (size_t)(q->next - before);
    }
    return result;
}

void tcp_recvq_consumed(struct tcp_recvq *q, struct pool *pool, size_t len)
{
    BUG_ON(len > tcp_recvq_readable(q));
    stretch_forget(&q->bytes, pool, q->bytes.base + len);
    if (q->bytes.base == q->next && !q->early)
        stretch_trim(&q->bytes, pool);
}

int tcp_recvq_sack(const struct tcp_recvq *q, struct tcp_range *out, int max)
{
    const struct tcp_early *e = q->early;
    int count = 0;

    for (int i = 0; e && i < RECENT && count < max; i++) {
        uint32_t at = e->recent[i] ? range_find(e, e->recent[i]) : e->count;
        bool known = at == e->count || e->range[at].start > e->recent[i];

        for (int j = 0; j < count && !known; j++)
            known = out[j].start == e->range[at].start;
        if (!known)
            out[count++] = e->range[at];
    }
    return count;
}

uint64_t tcp_recvq_end(const struct tcp_recvq *q)
{
    return q->early ? q->early->range[q->early->count - 1].end : q->next;
}

uint64_t tcp_recvq_early_bytes(const struct tcp_recvq *q, uint32_t *ranges)
{
    uint64_t bytes = 0;
    uint32_t count = q->early ? q->early->count : 0;

    for (uint32_t i = 0; i < count; i++)
        bytes += q->early->range[i].end - q->early->range[i].start;
    if (ranges)
        *ranges = count;
    return bytes;
}

void tcp_recvq_check(const struct tcp_recvq *q)
{
    uint64_t at = q->next;

    BUG_ON(q->bytes.base > q->next);
    BUG_ON(q->early && q->early->count == 0);
    for (uint32_t i = 0; q->early && i < q->early->count; i++) {
        BUG_ON(q->early->range[i].start <= at || q->early->range[i].start >= q->early->range[i].end);
        at = q->early->range[i].end;
    }
    BUG_ON(q->bytes.base == q->next && !q->early && q->bytes.chunks);
}
