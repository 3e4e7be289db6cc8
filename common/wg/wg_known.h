/* wg_known.h - has a handshake from this source been authentic lately? A set that may say yes by mistake, never no.
 *
 * When more initiations come than can be answered by cookies, sources where a peer of ours was not long ago go before
 * those that nobody ever proved to exist: so a flood from forged addresses does not cost the peers their sessions. Two
 * Bloom filters (Bloom 1970) take turns; the older one is emptied every WG_KNOWN_TURN. Any thread may use it; a bit
 * lost when two of them turn it at once only makes a source a stranger. */
#ifndef WG_WG_KNOWN_H
#define WG_WG_KNOWN_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/ts.h"

/* 100,000 sources set a third of the bits; a stranger then passes for one of them once in 90 times */
#define WG_KNOWN_BITS   (1u << 20)
#define WG_KNOWN_HASHES 4
#define WG_KNOWN_TURN   (3600 * TS_S)

struct wg_known {
    _Atomic ts_t turned_at;
    _Atomic unsigned newer; /* which of the two is added to */
    _Atomic uint64_t bits[2][WG_KNOWN_BITS / 64];
};

/* wg_known_add, wg_known_has - a source by the seeded hash of its prefix. All zero is the empty set. */
void wg_known_add(struct wg_known *known, uint64_t hash, ts_t now);
bool wg_known_has(const struct wg_known *known, uint64_t hash);

#endif
