/* tcp_recvq.c - reassembly. Bytes go to their place in the stretch at once, whatever their order; only the list of
 * ranges says what is there. Segments arrive mostly in order, so the common case touches no list. */
#include "common/tcp/tcp_recvq.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define RANGES_START 8
#define TOLD         4  /* as many as a segment without timestamps can report */
#define NEWS         64 /* ranges that may change before a report; of more the oldest is not reported */

/* Ranges are named by a position inside them: they grow and merge. */
struct tcp_early {
    uint32_t count, room;
    uint32_t news_first, news_count;
    uint64_t news[NEWS];      /* a ring: changed and not reported since, oldest first */
    uint64_t told[TOLD];      /* last reported, newest first; 0: none (0 is the SYN, never early) */
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

/* the range that position `at` lies in; NULL: it is in order by now */
static const struct tcp_range *range_of(const struct tcp_early *e, uint64_t at)
{
    uint32_t index = range_find(e, at + 1);

    return index < e->count && e->range[index].start <= at ? &e->range[index] : NULL;
}

static void news_add(struct tcp_early *e, uint64_t at)
{
    uint64_t last = e->news_count ? e->news[(e->news_first + e->news_count - 1) % NEWS] : 0;

    if (last && range_of(e, last) == range_of(e, at))
        return;
    if (e->news_count == NEWS) {
        e->news_first = (e->news_first + 1) % NEWS;
        e->news_count--;
    }
    e->news[(e->news_first + e->news_count++) % NEWS] = at;
}

static uint64_t news_take(struct tcp_early *e)
{
    uint64_t at = e->news[e->news_first];

    e->news_first = (e->news_first + 1) % NEWS;
    e->news_count--;
    return at;
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
    news_add(e, r.start);
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

static int report(const struct tcp_early *e, uint64_t at, struct tcp_range *out, int count)
{
    const struct tcp_range *range = at ? range_of(e, at) : NULL;

    for (int i = 0; i < count && range; i++)
        if (out[i].start == range->start)
            range = NULL;
    if (range)
        out[count++] = *range;
    return count;
}

int tcp_recvq_sack(struct tcp_recvq *q, struct tcp_range *out, int max)
{
    struct tcp_early *e = q->early;
    int count = 0;

    while (e && count == 0 && e->news_count > 0)
        count = report(e, news_take(e), out, 0);
    for (int i = 0; e && i < TOLD && count < max; i++)
        count = report(e, e->told[i], out, count);
    for (int i = 0; e && i < TOLD; i++)
        e->told[i] = i < count ? out[i].start : 0;
    return count;
}

bool tcp_recvq_news(const struct tcp_recvq *q)
{
    return q->early && q->early->news_count > 0;
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
