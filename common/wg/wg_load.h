/* wg_load.h - when handshakes come too fast: are we under load, and does this source still get one? Section 5.3, 6.6.
 *
 * A handshake costs a hundred times what a packet does, and a stranger can ask for one. Above a number of handshakes
 * a second a sender must first prove by a cookie that it gets what is sent to its address; then that address (for
 * IPv6 its /64) gets a bounded number a second. The table of sources is of fixed size: a new source takes the place
 * of the one that has been quiet the longest among the few its hash allows. */
#ifndef WG_WG_LOAD_H
#define WG_WG_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/bucket.h"
#include "common/base/map.h"
#include "common/base/rng.h"

#define WG_LOAD_SETS 1024
#define WG_LOAD_WAYS 4

struct wg_load_source {
    uint64_t tag; /* seeded hash of the prefix; 0: empty */
    ts_t full_at; /* of its bucket */
};

struct wg_load {
    struct bucket arrivals; /* empty: more handshakes than wanted */
    bool always;            /* the limit is 0: every handshake is too many */
    ts_t until;             /* under load before this */
    struct map_seed seed;
    struct wg_load_source sources[WG_LOAD_SETS][WG_LOAD_WAYS];
};

/* wg_load_init - under load above handshakes_per_s; 0: always. */
void wg_load_init(struct wg_load *load, uint32_t handshakes_per_s, struct rng *rng);

/* wg_load_arrived - count a handshake message with a good mac1. True: under load, and for 1 s more. */
bool wg_load_arrived(struct wg_load *load, ts_t now);

/* wg_load_source_take - one more handshake of this source; false: over its limit. */
bool wg_load_source_take(struct wg_load *load, const struct addr *source, ts_t now);

#endif
