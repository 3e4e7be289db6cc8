#include "ingress/limits.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

struct limits *limits_new(struct rng *rng)
{
    struct limits *limits = calloc(1, sizeof(*limits));

    if (limits)
        rng_fill(rng, &limits->seed, sizeof(limits->seed));
    return limits;
}

void limits_free(struct limits *limits)
{
    free(limits);
}

/* the source's slot in each row */
static void slots(struct limits *limits, const struct addr *source, atomic_uint *out[LIMITS_ROWS])
{
    struct addr a = *source;

    if (!addr_is_v4(&a))
        memset(a.b + 8, 0, 8); /* one site's /64 is one source */
    uint64_t hash = map_hash(&limits->seed, a.b, sizeof(a.b));

    for (int row = 0; row < LIMITS_ROWS; row++)
        out[row] = &limits->sources[row][(hash >> (row * 32)) % LIMITS_SLOTS];
}

static void source_leave(struct limits *limits, const struct addr *source)
{
    atomic_uint *slot[LIMITS_ROWS];

    slots(limits, source, slot);
    for (int row = 0; row < LIMITS_ROWS; row++)
        BUG_ON(atomic_fetch_sub_explicit(slot[row], 1, memory_order_relaxed) == 0);
}

/* counts first, then looks: two workers at once may both be refused at the edge, never both let in */
static bool source_enter(struct limits *limits, const struct addr *source, unsigned max)
{
    atomic_uint *slot[LIMITS_ROWS];
    unsigned least = UINT32_MAX;

    slots(limits, source, slot);
    for (int row = 0; row < LIMITS_ROWS; row++) {
        unsigned before = atomic_fetch_add_explicit(slot[row], 1, memory_order_relaxed);

        least = MIN(least, before);
    }
    if (least < max)
        return true;
    source_leave(limits, source);
    return false;
}

enum limits_verdict limits_enter(struct limits *limits, const struct addr *source, unsigned connections_max,
                                 unsigned per_source_max, unsigned pending_max)
{
    if (atomic_fetch_add_explicit(&limits->connections, 1, memory_order_relaxed) >= connections_max)
        goto total;
    if (atomic_fetch_add_explicit(&limits->pending_hellos, 1, memory_order_relaxed) >= pending_max)
        goto pending;
    if (source_enter(limits, source, per_source_max))
        return LIMITS_OK;
    limits_hello_done(limits);
    atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
    return LIMITS_SOURCE;

pending:
    limits_hello_done(limits);
total:
    atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
    return LIMITS_TOTAL;
}

void limits_hello_done(struct limits *limits)
{
    BUG_ON(atomic_fetch_sub_explicit(&limits->pending_hellos, 1, memory_order_relaxed) == 0);
}

void limits_leave(struct limits *limits, const struct addr *source)
{
    source_leave(limits, source);
    BUG_ON(atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed) == 0);
}

enum limits_verdict limits_move(struct limits *limits, const struct addr *from, const struct addr *to,
                                unsigned per_source_max)
{
    if (!source_enter(limits, to, per_source_max))
        return LIMITS_SOURCE;
    source_leave(limits, from);
    return LIMITS_OK;
}
