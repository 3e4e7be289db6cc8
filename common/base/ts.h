/* ts.h - monotonic time as every engine sees it.
 *
 * ts_t is nanoseconds of a clock that only moves forward (CLOCK_BOOTTIME in the programs, invented time in
 * simulations). Engines never read a clock: `now` is the last parameter of every call that needs it.
 * Durations are plain uint64_t nanoseconds with the unit in their name (rto_ns) or a TS_* multiple. */
#ifndef BASE_TS_H
#define BASE_TS_H

#include <stdint.h>

typedef uint64_t ts_t;

#define TS_NEVER UINT64_MAX
#define TS_US    ((uint64_t)1000)
#define TS_MS    ((uint64_t)1000000)
#define TS_S     ((uint64_t)1000000000)

/* ts_add - the moment `dur_ns` after `t`; sticks at TS_NEVER instead of wrapping. */
static inline ts_t ts_add(ts_t t, uint64_t dur_ns)
{
    return t > TS_NEVER - dur_ns ? TS_NEVER : t + dur_ns;
}

/* ts_since - nanoseconds from `then` to `now`; 0 when `then` lies ahead. */
static inline uint64_t ts_since(ts_t now, ts_t then)
{
    return now > then ? now - then : 0;
}

static inline ts_t ts_min(ts_t a, ts_t b)
{
    return a < b ? a : b;
}

static inline ts_t ts_max(ts_t a, ts_t b)
{
    return a > b ? a : b;
}

#endif
