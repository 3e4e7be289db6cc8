/* wg_load.h - when handshakes come too fast: are we under load, and who still gets what? Section 5.3, 6.6.
 *
 * A handshake costs a hundred times what a packet does, and a stranger can ask for one. Above a number of handshakes
 * a second a sender must first prove by a cookie that it gets what is sent to its address; then that address (for
 * IPv6 its /64) gets a bounded number a second, and all of them together no more than that first number. Cookies are
 * bounded too: at 50,000 initiations a second, answering each took more time than everything else (a datagram to
 * somewhere else each, 5 µs of system call). Sources where a peer was lately have cookies of their own kept for them.
 *
 * All of it is of fixed size, and may be shared by the devices of several threads: atomics without locks, off the
 * packet path. In the table of sources a new one takes the place of the one that has been quiet the longest among the
 * few its hash allows; two threads at once may lose a count there, and nothing else. */
#ifndef WG_WG_LOAD_H
#define WG_WG_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/wg/wg.h"
#include "common/wg/wg_known.h"

#define WG_LOAD_SETS 1024
#define WG_LOAD_WAYS 4

struct wg_load_source {
    _Atomic uint64_t tag; /* seeded hash of the prefix; 0: empty */
    _Atomic ts_t full_at; /* of its bucket */
};

struct wg_load {
    _Atomic uint64_t handshake_ns; /* one a so long is what we want; 0: none, we are always under load */
    _Atomic ts_t until;            /* under load before this */
    /* when each bucket will be full again */
    _Atomic ts_t arrivals;         /* empty: more handshakes than wanted */
    _Atomic ts_t work;             /* handshakes gone on with under load */
    _Atomic ts_t cookies, cookies_known;
    struct map_seed seed;
    struct wg_known known;
    struct wg_load_source sources[WG_LOAD_SETS][WG_LOAD_WAYS];
};

/* wg_load_arrived - count a handshake message with a good mac1. True: under load, and for 1 s more. */
bool wg_load_arrived(struct wg_load *load, ts_t now);

/* wg_load_cookie_take - one more cookie for this source; false: enough for now. */
bool wg_load_cookie_take(struct wg_load *load, const struct addr *source, ts_t now);

/* wg_load_handshake_take - under load, one more handshake of this source, which returned a cookie; false: over its
 * limit or everybody's. */
bool wg_load_handshake_take(struct wg_load *load, const struct addr *source, ts_t now);

/* wg_load_proven - an authentic handshake message came from this source. */
void wg_load_proven(struct wg_load *load, const struct addr *source, ts_t now);

#endif
