/* wg_replay.h - which counters of a session were seen: a sliding window of bits. RFC 6479; section 5.4.6.
 *
 * The window is most of what a session takes. A node that only keeps its session alive sends fewer packets than one
 * word has bits, so the window is made when a counter beyond that word comes. */
#ifndef WG_WG_REPLAY_H
#define WG_WG_REPLAY_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define WG_REPLAY_BITS   8192
#define WG_REPLAY_WINDOW (WG_REPLAY_BITS - 64) /* one word is being cleared while the window moves */

struct wg_replay {
    uint64_t above; /* one more than the highest counter seen; 0: none yet */
    uint64_t first; /* counters 0 to 63, while there is no window */
    uint64_t *seen; /* WG_REPLAY_BITS / 64 words, or NULL */
};

static_assert((WG_REPLAY_BITS & (WG_REPLAY_BITS - 1)) == 0, "a counter's bit is found by masking");

/* wg_replay_take - mark an authenticated counter (below WG_REJECT_AFTER_MESSAGES) as seen. False: seen before, too far
 * behind the highest to know, or no memory for the window. All zero is a fresh window. */
bool wg_replay_take(struct wg_replay *replay, uint64_t counter);
void wg_replay_deinit(struct wg_replay *replay);

#endif
