/* tcp_track.c - the scoreboard's two orders: by position, for acknowledgements (a ring and binary search), and by time
 * of sending, for RACK (a list through the ring). Each event costs in proportion to the segments whose state it
 * changes: the blocks a peer repeats in every SACK are remembered and not walked again. */
#include "common/tcp/tcp_track.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define RING_START 8 /* the ring is no more than malloc keeps ready, 1 KiB */
#define NONE       UINT32_MAX
#define KNOWN      4 /* sack blocks remembered */

/* Indexes count on without wrapping at the ring's size, so they stay right when the ring grows. */
struct tcp_track_ring {
    uint32_t first, end; /* segments in flight: [first, end) */
    uint32_t mask;       /* slots - 1 */
    uint32_t oldest, newest; /* ends of the list in sending order; NONE */
    uint32_t lost_from;      /* no segment before this index is lost */
    uint32_t guess_from;     /* tcp_track_duplicate: none before this index can be guessed */
    uint32_t sacked_count;
    uint64_t sacked_bytes, lost_bytes, travelling_bytes;
    uint64_t sacked_end; /* highest position sacked */
    /* The last blocks seen: a sender repeats and grows them, so only what lies outside needs a look. */
    struct {
        uint64_t start, end;
    } known[KNOWN];
    uint32_t known_next;
    struct tcp_sent slot[];
};

static struct tcp_sent *at(const struct tcp_track_ring *r, uint32_t index)
{
    return (struct tcp_sent *)&r->slot[index & r->mask];
}

static uint32_t index_of(const struct tcp_track_ring *r, const struct tcp_sent *s)
{
    return r->first + (((uint32_t)(s - r->slot) - r->first) & r->mask);
}

const struct tcp_track tcp_track_none = {NULL};

void tcp_track_init(struct tcp_track *t)
{
    t->ring = NULL;
}

void tcp_track_deinit(struct tcp_track *t)
{
    free(t->ring);
    t->ring = NULL;
}

static void ring_clear(struct tcp_track_ring *r, uint32_t slots)
{
    memset(r, 0, sizeof(*r));
    r->oldest = r->newest = NONE;
    r->mask = slots - 1;
}

/* A copy of `old` (or an empty ring) with this many slots. Indexes start at 0 again: a ring that never runs empty must
 * be renumbered before they reach NONE. */
static struct tcp_track_ring *ring_make(const struct tcp_track_ring *old, uint32_t slots)
{
    struct tcp_track_ring *r = malloc(sizeof(*r) + slots * sizeof(r->slot[0]));

    if (!r)
        return NULL;
    if (!old) {
        ring_clear(r, slots);
        return r;
    }
    *r = *old;
    r->mask = slots - 1;
    r->first = 0;
    r->end = old->end - old->first;
    r->lost_from = old->lost_from - old->first;
    r->guess_from = MAX(old->guess_from, old->first) - old->first;
    r->oldest = old->oldest == NONE ? NONE : old->oldest - old->first;
    r->newest = old->newest == NONE ? NONE : old->newest - old->first;
    for (uint32_t i = 0; i < r->end; i++) {
        struct tcp_sent *s = at(r, i);

        *s = *at(old, old->first + i);
        s->next = s->next == NONE ? NONE : s->next - old->first;
        s->prev = s->prev == NONE ? NONE : s->prev - old->first;
    }
    return r;
}

bool tcp_track_reserve(struct tcp_track *t)
{
    struct tcp_track_ring *r = t->ring;
    uint32_t count = r ? r->end - r->first : 0;
    bool full = !r || count > r->mask;

    if (!full && r->end < NONE - 2)
        return true;
    if (count >= TCP_TRACK_MAX)
        return false;
    struct tcp_track_ring *grown = ring_make(r, !r ? RING_START : (r->mask + 1) * (full ? 2 : 1));

    if (!grown)
        return false;
    free(r);
    t->ring = grown;
    return true;
}

static void link_newest(struct tcp_track_ring *r, struct tcp_sent *s)
{
    uint32_t index = index_of(r, s);

    s->prev = r->newest;
    s->next = NONE;
    if (r->newest != NONE)
        at(r, r->newest)->next = index;
    else
        r->oldest = index;
    r->newest = index;
    r->travelling_bytes += s->len;
}

/* a segment that was linked nowhere travels again, at its place by sending time */
static void link_by_time(struct tcp_track_ring *r, struct tcp_sent *s)
{
    uint32_t index = index_of(r, s), after = r->newest;

    while (after != NONE && at(r, after)->sent_at > s->sent_at)
        after = at(r, after)->prev;
    s->prev = after;
    s->next = after == NONE ? r->oldest : at(r, after)->next;
    if (s->next != NONE)
        at(r, s->next)->prev = index;
    else
        r->newest = index;
    if (after != NONE)
        at(r, after)->next = index;
    else
        r->oldest = index;
    r->travelling_bytes += s->len;
}

static void unlink_sent(struct tcp_track_ring *r, struct tcp_sent *s)
{
    if (s->prev != NONE)
        at(r, s->prev)->next = s->next;
    else
        r->oldest = s->next;
    if (s->next != NONE)
        at(r, s->next)->prev = s->prev;
    else
        r->newest = s->prev;
    r->travelling_bytes -= s->len;
}

/* Take s out of whatever it counts as; the caller says what it is now. */
static void leave(struct tcp_track_ring *r, struct tcp_sent *s)
{
    if (s->flags & TCP_SENT_SACKED) {
        r->sacked_bytes -= s->len;
        r->sacked_count--;
    } else if (s->flags & TCP_SENT_LOST) {
        r->lost_bytes -= s->len;
    } else {
        unlink_sent(r, s);
    }
    s->flags &= (uint8_t)~(TCP_SENT_SACKED | TCP_SENT_LOST);
}

static void sack_one(struct tcp_track_ring *r, struct tcp_sent *s)
{
    leave(r, s);
    s->flags |= TCP_SENT_SACKED;
    r->sacked_bytes += s->len;
    r->sacked_count++;
    r->sacked_end = MAX(r->sacked_end, s->start + s->len);
}

struct tcp_sent *tcp_track_sent(struct tcp_track *t, uint64_t start, uint16_t len, ts_t now)
{
    struct tcp_track_ring *r = t->ring;

    BUG_ON(!r || r->end - r->first > r->mask || len == 0);
    struct tcp_sent *s = at(r, r->end++);

    *s = (struct tcp_sent){.start = start, .sent_at = now, .len = len};
    link_newest(r, s);
    return s;
}

void tcp_track_resent(struct tcp_track *t, struct tcp_sent *s, ts_t now)
{
    BUG_ON(s->flags & TCP_SENT_SACKED);
    leave(t->ring, s);
    s->flags |= TCP_SENT_AGAIN;
    s->sent_at = now;
    link_newest(t->ring, s);
}

static void deliver(const struct tcp_track_ring *r, const struct tcp_sent *s, struct tcp_delivery *d)
{
    uint64_t end = s->start + s->len, rtt_ns = ts_since(d->now, s->sent_at);
    bool again = s->flags & TCP_SENT_AGAIN;

    d->bytes += s->flags & TCP_SENT_COUNTED ? 0 : s->len;
    if (d->newest.len == 0 || s->sent_at > d->newest.sent_at ||
        (s->sent_at == d->newest.sent_at && s->start > d->newest.start))
        d->newest = *s;
    if (again)
        d->again = true;
    else if (end <= r->sacked_end)
        d->reordered = true;
    if (again && rtt_ns < d->rtt_min_ns)
        return; /* the first sending was answered: RFC 8985 section 6.2 step 2 */
    if (s->sent_at > d->newest_at || (s->sent_at == d->newest_at && end > d->newest_end)) {
        d->newest_at = s->sent_at;
        d->newest_end = end;
        d->rtt_ns = again ? 0 : MAX(rtt_ns, (uint64_t)1);
    }
}

void tcp_track_acked(struct tcp_track *t, uint64_t upto, struct tcp_delivery *d)
{
    struct tcp_track_ring *r = t->ring;

    while (r && r->first != r->end) {
        struct tcp_sent *s = at(r, r->first);

        if (s->start >= upto)
            break;
        if (s->start + s->len > upto) { /* acknowledged in part */
            uint16_t cut = (uint16_t)(upto - s->start);

            if (s->flags & TCP_SENT_SACKED)
                r->sacked_bytes -= cut;
            else if (s->flags & TCP_SENT_LOST)
                r->lost_bytes -= cut;
            else
                r->travelling_bytes -= cut;
            if (!(s->flags & (TCP_SENT_SACKED | TCP_SENT_COUNTED)))
                d->bytes += cut;
            s->start = upto;
            s->len = (uint16_t)(s->len - cut);
            memset(r->known, 0, sizeof(r->known)); /* a block that cut it before may hold it whole now */
            break;
        }
        if (!(s->flags & TCP_SENT_SACKED))
            deliver(r, s, d);
        leave(r, s);
        r->first++;
        if (r->lost_from < r->first)
            r->lost_from = r->first;
    }
    if (!r || r->first != r->end)
        return;
    if (r->mask == RING_START - 1)
        ring_clear(r, RING_START); /* the next segment will want one */
    else
        tcp_track_deinit(t);
}

/* the first segment that starts at or after `pos`; r->end when there is none */
static uint32_t segment_from(const struct tcp_track_ring *r, uint64_t pos)
{
    uint32_t low = r->first, high = r->end;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (at(r, mid)->start < pos)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* sack the segments that start in [from, before) and end by `end` */
static void sack_some(struct tcp_track_ring *r, uint64_t from, uint64_t before, uint64_t end, struct tcp_delivery *d)
{
    for (uint32_t i = segment_from(r, from); i != r->end; i++) {
        struct tcp_sent *s = at(r, i);

        if (s->start >= before || s->start + s->len > end)
            break;
        if (s->flags & TCP_SENT_SACKED)
            continue;
        deliver(r, s, d);
        sack_one(r, s);
    }
}

void tcp_track_sacked(struct tcp_track *t, uint64_t start, uint64_t end, struct tcp_delivery *d)
{
    struct tcp_track_ring *r = t->ring;

    if (!r)
        return;
    /* the widest block seen that lies inside this one needs no second look */
    uint32_t best = KNOWN;

    for (uint32_t i = 0; i < KNOWN; i++) {
        uint64_t width = r->known[i].end - r->known[i].start;

        if (width > 0 && r->known[i].start >= start && r->known[i].end <= end &&
            (best == KNOWN || width > r->known[best].end - r->known[best].start))
            best = i;
    }
    if (best == KNOWN) {
        sack_some(r, start, end, end, d);
        best = r->known_next++ % KNOWN;
    } else {
        /* segments may straddle the known block's edges: only those inside it were marked */
        uint64_t after = r->known[best].end;
        uint32_t i = segment_from(r, after);

        sack_some(r, start, r->known[best].start, end, d);
        if (i != r->first && at(r, i - 1)->start + at(r, i - 1)->len > after)
            i--;
        if (i != r->end)
            sack_some(r, MAX(at(r, i)->start, start), end, end, d);
    }
    r->known[best].start = start;
    r->known[best].end = end;
}

/* the earliest segment after the first that is neither sacked nor lost; NULL: none */
static struct tcp_sent *guess(struct tcp_track_ring *r)
{
    r->guess_from = MAX(r->guess_from, r->first + 1);
    for (; r->guess_from < r->end; r->guess_from++) {
        struct tcp_sent *s = at(r, r->guess_from);

        if (!(s->flags & (TCP_SENT_SACKED | TCP_SENT_LOST)))
            return s;
    }
    return NULL;
}

void tcp_track_duplicate(struct tcp_track *t, struct tcp_delivery *d)
{
    struct tcp_sent *s = t->ring && t->ring->first != t->ring->end ? guess(t->ring) : NULL;

    if (!s)
        return;
    deliver(t->ring, s, d);
    d->rtt_ns = 0;
    d->reordered = false;
    sack_one(t->ring, s);
}

struct tcp_sent *tcp_track_missing(struct tcp_track *t)
{
    struct tcp_track_ring *r = t->ring;
    struct tcp_sent *first = tcp_track_first(t), *other;

    if (!first || !(first->flags & TCP_SENT_SACKED))
        return first;
    leave(r, first);
    first->flags |= TCP_SENT_COUNTED;
    link_by_time(r, first);
    other = guess(r);
    if (other)
        sack_one(r, other);
    return first;
}

bool tcp_track_resegment(struct tcp_track *t, uint16_t len_max)
{
    struct tcp_track_ring *old = t->ring, *r;
    uint32_t slots = RING_START, count = 0;

    for (uint32_t i = old ? old->first : 0; old && i != old->end; i++)
        count += (uint32_t)(at(old, i)->len + len_max - 1) / len_max;
    while (slots < count)
        slots *= 2;
    if (count == 0 || count > TCP_TRACK_MAX || !(r = ring_make(NULL, slots)))
        return false;
    r->sacked_end = old->sacked_end;
    for (uint32_t i = old->first; i != old->end; i++) {
        struct tcp_sent piece = *at(old, i);
        uint16_t left = piece.len;

        for (; left > 0; left = (uint16_t)(left - piece.len), piece.start += piece.len) {
            piece.len = MIN(left, len_max);
            if (piece.flags & TCP_SENT_SACKED) {
                r->sacked_bytes += piece.len;
                r->sacked_count++;
            } else {
                piece.flags |= TCP_SENT_LOST;
                r->lost_bytes += piece.len;
            }
            *at(r, r->end++) = piece;
        }
    }
    free(old);
    t->ring = r;
    return true;
}

void tcp_track_lose(struct tcp_track *t, struct tcp_sent *s)
{
    struct tcp_track_ring *r = t->ring;

    if (s->flags & (TCP_SENT_SACKED | TCP_SENT_LOST))
        return;
    unlink_sent(r, s);
    s->flags |= TCP_SENT_LOST;
    r->lost_bytes += s->len;
    r->lost_from = MIN(r->lost_from, index_of(r, s));
}

struct tcp_sent *tcp_track_oldest(const struct tcp_track *t)
{
    return t->ring && t->ring->oldest != NONE ? at(t->ring, t->ring->oldest) : NULL;
}

struct tcp_sent *tcp_track_later(const struct tcp_track *t, const struct tcp_sent *s)
{
    return s->next != NONE ? at(t->ring, s->next) : NULL;
}

struct tcp_sent *tcp_track_first(const struct tcp_track *t)
{
    return t->ring && t->ring->end != t->ring->first ? at(t->ring, t->ring->first) : NULL;
}

struct tcp_sent *tcp_track_last(const struct tcp_track *t)
{
    return t->ring && t->ring->end != t->ring->first ? at(t->ring, t->ring->end - 1) : NULL;
}

struct tcp_sent *tcp_track_lost(struct tcp_track *t)
{
    struct tcp_track_ring *r = t->ring;

    if (!r || r->lost_bytes == 0)
        return NULL;
    while (!(at(r, r->lost_from)->flags & TCP_SENT_LOST)) {
        r->lost_from++;
        BUG_ON(r->lost_from >= r->end);
    }
    return at(r, r->lost_from);
}

static void travel_again(struct tcp_track *t, uint8_t flag)
{
    struct tcp_track_ring *r = t->ring;

    for (uint32_t i = r ? r->first : 0; r && i != r->end; i++) {
        struct tcp_sent *s = at(r, i);

        if (!(s->flags & flag))
            continue;
        leave(r, s);
        link_by_time(r, s);
    }
}

void tcp_track_renege(struct tcp_track *t)
{
    travel_again(t, TCP_SENT_SACKED);
    if (t->ring) {
        memset(t->ring->known, 0, sizeof(t->ring->known));
        t->ring->sacked_end = 0;
        t->ring->guess_from = 0;
    }
}

void tcp_track_unlose(struct tcp_track *t)
{
    travel_again(t, TCP_SENT_LOST);
}

bool tcp_track_empty(const struct tcp_track *t)
{
    return !t->ring || t->ring->first == t->ring->end;
}

uint64_t tcp_track_pipe(const struct tcp_track *t)
{
    return t->ring ? t->ring->travelling_bytes : 0;
}

uint64_t tcp_track_lost_bytes(const struct tcp_track *t)
{
    return t->ring ? t->ring->lost_bytes : 0;
}

uint64_t tcp_track_sacked_bytes(const struct tcp_track *t)
{
    return t->ring ? t->ring->sacked_bytes : 0;
}

uint32_t tcp_track_sacked_count(const struct tcp_track *t)
{
    return t->ring ? t->ring->sacked_count : 0;
}

void tcp_track_check(const struct tcp_track *t, uint64_t una, uint64_t nxt)
{
    const struct tcp_track_ring *r = t->ring;
    uint64_t sacked = 0, lost = 0, travelling = 0, pos = una;
    uint32_t linked = 0, prev = NONE, count = 0, sacked_count = 0;

    for (uint32_t i = r ? r->first : 0; r && i != r->end; i++) {
        const struct tcp_sent *s = at(r, i);

        BUG_ON(s->start != pos || s->len == 0);
        BUG_ON((s->flags & TCP_SENT_LOST) && (s->flags & TCP_SENT_SACKED));
        BUG_ON((s->flags & TCP_SENT_LOST) && i < r->lost_from);
        pos += s->len;
        if (s->flags & TCP_SENT_SACKED) {
            sacked += s->len;
            sacked_count++;
        } else if (s->flags & TCP_SENT_LOST) {
            lost += s->len;
        } else {
            travelling += s->len;
            count++;
        }
    }
    BUG_ON(pos != nxt);
    if (!r)
        return;
    BUG_ON(sacked != r->sacked_bytes || lost != r->lost_bytes || travelling != r->travelling_bytes);
    BUG_ON(sacked_count != r->sacked_count);
    for (uint32_t i = r->oldest; i != NONE; prev = i, i = at(r, i)->next, linked++) {
        const struct tcp_sent *s = at(r, i);

        BUG_ON(s->prev != prev || linked > count);
        BUG_ON(prev != NONE && at(r, prev)->sent_at > s->sent_at);
    }
    BUG_ON(linked != count || r->newest != prev);
}
