/* wg_replay.h - which counters of a session were seen: a sliding window of bits. RFC 6479; section 5.4.6. */
#ifndef WG_WG_REPLAY_H
#define WG_WG_REPLAY_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define WG_REPLAY_BITS   8192
#define WG_REPLAY_WINDOW (WG_REPLAY_BITS - 64) /* one word is being cleared while the window moves */

struct wg_replay {
    uint64_t above; /* one more than the highest counter seen; 0: none yet */
    uint64_t seen[WG_REPLAY_BITS / 64];
};

static_assert((WG_REPLAY_BITS & (WG_REPLAY_BITS - 1)) == 0, "a counter's bit is found by masking");

/* wg_replay_take - mark an authenticated counter (below WG_REJECT_AFTER_MESSAGES) as seen. False: seen before, or too
 * far behind the highest to know. All zero is a fresh window. */
bool wg_replay_take(struct wg_replay *replay, uint64_t counter);

#endif
