#include "ingress/route/route_epoch.h"

#include <stdlib.h>

#include "common/base/bug.h"

#define ROOM_MIN   64
#define EPOCH_MASK ((UINT64_C(1) << 48) - 1)

void route_epoch_init(struct route_epoch *epoch)
{
    *epoch = (struct route_epoch){.room = 0};
    atomic_init(&epoch->now, 1);
}

/* the oldest epoch that somebody is in; ROUTE_AWAY: nobody is */
static uint64_t oldest(struct route_epoch *epoch)
{
    uint64_t least = ROUTE_AWAY;

    for (size_t i = 0; i < ROUTE_READERS_MAX; i++) {
        struct route_reader *reader = atomic_load(&epoch->readers[i]);
        uint64_t seen = reader ? atomic_load(&reader->seen) : ROUTE_AWAY;

        least = MIN(least, seen);
    }
    return least;
}

/* Returns what it cost. */
static size_t release_first(struct route_epoch *epoch)
{
    struct route_retired *r = &epoch->retired[epoch->first];

    epoch->first = (epoch->first + 1) & (epoch->room - 1);
    epoch->count--;
    r->release(r->what);
    return r->cost;
}

size_t route_epoch_reclaim(struct route_epoch *epoch, size_t most)
{
    if (epoch->count == 0)
        return 0;
    /* from here on readers enter an epoch in which nothing of the queue could be reached */
    atomic_fetch_add(&epoch->now, 1);
    uint64_t least = oldest(epoch);

    for (size_t spent = 0; spent < most && epoch->count > 0 && epoch->retired[epoch->first].epoch < least;)
        spent += release_first(epoch);
    return epoch->count;
}

static bool grow(struct route_epoch *epoch)
{
    size_t room = epoch->room ? epoch->room * 2 : ROOM_MIN;
    struct route_retired *ring = malloc(room * sizeof(*ring));

    if (!ring)
        return false;
    for (size_t i = 0; i < epoch->count; i++)
        ring[i] = epoch->retired[(epoch->first + i) & (epoch->room - 1)];
    free(epoch->retired);
    epoch->retired = ring;
    epoch->room = room;
    epoch->first = 0;
    return true;
}

void route_epoch_retire(struct route_epoch *epoch, void *what, void (*release)(void *what), uint16_t cost)
{
    while (epoch->count == epoch->room && !grow(epoch)) {
        if (epoch->count == 0) { /* not even a first ring */
            uint64_t then = atomic_fetch_add(&epoch->now, 1);

            while (oldest(epoch) <= then)
                ;
            release(what);
            return;
        }
        route_epoch_reclaim(epoch, 1);
    }
    epoch->retired[(epoch->first + epoch->count++) & (epoch->room - 1)] =
        (struct route_retired){what, release, atomic_load(&epoch->now) & EPOCH_MASK, cost};
}

void route_epoch_deinit(struct route_epoch *epoch)
{
    while (epoch->count > 0)
        release_first(epoch);
    free(epoch->retired);
    epoch->retired = NULL;
    epoch->room = 0;
}

void route_reader_init(struct route_reader *reader, struct route_epoch *epoch)
{
    size_t i = 0;

    atomic_init(&reader->seen, ROUTE_AWAY);
    reader->epoch = epoch;
    reader->in = false;
    while (i < ROUTE_READERS_MAX && atomic_load(&epoch->readers[i]))
        i++;
    BUG_ON(i == ROUTE_READERS_MAX);
    atomic_store(&epoch->readers[i], reader);
}

void route_reader_deinit(struct route_reader *reader)
{
    for (size_t i = 0; reader->epoch && i < ROUTE_READERS_MAX; i++)
        if (atomic_load(&reader->epoch->readers[i]) == reader)
            atomic_store(&reader->epoch->readers[i], NULL);
    reader->epoch = NULL;
}
