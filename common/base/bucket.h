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

/* bucket_take - take one token; false when empty. */
static inline bool bucket_take(struct bucket *b, ts_t now)
{
    ts_t full_at = ts_max(b->full_at, now) + b->cost_ns;

    if (full_at - now > b->burst_ns)
        return false;
    b->full_at = full_at;
    return true;
}

#endif
