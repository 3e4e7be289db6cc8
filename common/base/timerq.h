/* timerq.h - deadlines in order: an intrusive pairing heap.
 *
 * The node lives in the caller's struct, so arming a timer needs no memory and can't fail. Equal deadlines fire in the
 * order they were armed, which keeps replays of a simulation stable. Fredman et al., "The pairing heap", 1986. */
#ifndef BASE_TIMERQ_H
#define BASE_TIMERQ_H

#include <stdbool.h>

#include "common/base/ts.h"

struct timer {
    ts_t at;        /* TS_NEVER when not armed */
    uint64_t order; /* breaks ties: position in the order of arming */
    struct timer *child, *next, *prev; /* prev: left sibling, or the parent of a first child */
};

struct timerq {
    struct timer *root;
    uint64_t armed; /* how many were ever armed */
};

void timerq_init(struct timerq *q);

/* timer_init - not armed. Must come before every other use of the timer. */
void timer_init(struct timer *t);

/* timerq_arm - fire at `at`; moves the timer if it was armed, disarms it for TS_NEVER. */
void timerq_arm(struct timerq *q, struct timer *t, ts_t at);

/* timerq_disarm - does nothing when not armed. */
void timerq_disarm(struct timerq *q, struct timer *t);

/* timerq_next - the earliest deadline, TS_NEVER when none. */
ts_t timerq_next(const struct timerq *q);

/* timerq_pop - take out and return the earliest timer if it is due (at <= now), else NULL. */
struct timer *timerq_pop(struct timerq *q, ts_t now);

static inline bool timer_armed(const struct timer *t)
{
    return t->at != TS_NEVER;
}

#endif
