/* bucket.h - a token bucket: `burst` at once, then `per_s` a second. */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdbool.h>

#include "common/base/ts.h"

struct bucket {
    uint64_t cost_ns;  /* time one token takes to grow back */
    uint64_t burst_ns; /* a full bucket, in time */
    ts_t full_at;      /* when the bucket will be full again */
};

/* bucket_init - full from the start; per_s and burst > 0. */
static inline void bucket_init(struct bucket *b, uint32_t per_s, uint32_t burst)
{
    b->cost_ns = TS_S / per_s;
    b->burst_ns = b->cost_ns * burst;
    b->full_at = 0;
}

/* bucket_draw - take one token from a bucket of which only `full_at` is kept, for those that come in great numbers and are
 * all alike; 0 at first. False when empty. */
static inline bool bucket_draw(ts_t *full_at, uint64_t cost_ns, uint64_t burst_ns, ts_t now)
{
    ts_t then = ts_max(*full_at, now) + cost_ns;

    if (then - now > burst_ns)
        return false;
    *full_at = then;
    return true;
}

/* bucket_take - take one token; false when empty. */
static inline bool bucket_take(struct bucket *b, ts_t now)
{
    return bucket_draw(&b->full_at, b->cost_ns, b->burst_ns, now);
}

#endif
