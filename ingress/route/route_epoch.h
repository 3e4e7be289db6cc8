/* route_epoch.h - when memory that readers may still look at is free again: quiescent states.
 *
 *      writer   takes something out of reach; route_epoch_retire; now and then route_epoch_reclaim
 *      reader   route_reader_enter … looks … route_reader_leave, at the latest at the end of a loop turn
 *
 * A reader writes down the epoch in which it entered; while it is away it holds nothing up, so a worker asleep in poll
 * counts as quiescent. What was retired in epoch e is freed once every reader is away or entered later than e. Any
 * number of retired things wait in a queue of the writer's: nobody ever waits for anybody. Why not liburcu:
 * docs/decisions/0050. McKenney and Slingwine, "Read-copy update", 1998; Hart et al., "Performance of memory reclamation
 * for lockless synchronization", 2007. */
#ifndef ROUTE_ROUTE_EPOCH_H
#define ROUTE_ROUTE_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUTE_READERS_MAX 72 /* workers, and a few threads that read beside them */

/* One thread's place. */
struct route_reader {
    _Atomic uint64_t seen; /* the epoch it entered in; ROUTE_AWAY */
    struct route_epoch *epoch;
    bool in; /* the reader's own */
    char apart[64]; /* what follows is not on the writer's way when it looks at us */
};

#define ROUTE_AWAY UINT64_MAX

struct route_retired {
    void *what;
    void (*release)(void *what);
    uint64_t epoch : 48; /* more than a lifetime of them */
    uint64_t cost : 16;
};

struct route_epoch {
    _Atomic uint64_t now;
    _Atomic(struct route_reader *) readers[ROUTE_READERS_MAX];
    struct route_retired *retired; /* a ring */
    size_t room, first, count;
};

void route_epoch_init(struct route_epoch *epoch);

/* route_epoch_deinit - no reader is left: frees all that waits. */
void route_epoch_deinit(struct route_epoch *epoch);

/* route_epoch_retire - `what` can't be reached any more by readers who enter from now on: release it when no other is
 * left. cost: of its release, in such of a row (1). Writer only. Out of memory for the queue it waits for the readers, which end their turns within milliseconds. */
void route_epoch_retire(struct route_epoch *epoch, void *what, void (*release)(void *what), uint16_t cost);

/* route_epoch_reclaim - release what nobody can hold any more, until it has cost `most`. Returns how many still wait. */
size_t route_epoch_reclaim(struct route_epoch *epoch, size_t most);

/* route_reader_init - before the thread that reads is started, by the writer. deinit: after its end. */
void route_reader_init(struct route_reader *reader, struct route_epoch *epoch);
void route_reader_deinit(struct route_reader *reader);

/* route_reader_enter - from here on what is found stays valid until leave; again while in: nothing. Loads of what the
 * writer takes out of reach must be sequentially consistent: either the writer sees us here, or we see that it is gone. */
static inline void route_reader_enter(struct route_reader *reader)
{
    if (reader->in)
        return;
    reader->in = true;
    atomic_store(&reader->seen, atomic_load(&reader->epoch->now));
}

static inline void route_reader_leave(struct route_reader *reader)
{
    if (!reader->in)
        return;
    reader->in = false;
    atomic_store_explicit(&reader->seen, ROUTE_AWAY, memory_order_release);
}

#endif
