/* wg_replay.c - the bits form a ring; moving ahead clears the words the window newly covers, at most all of them. */
#include "common/wg/wg_replay.h"

#include <stdlib.h>

#include "common/base/bug.h"

#define WORDS (WG_REPLAY_BITS / 64)

void wg_replay_deinit(struct wg_replay *replay)
{
    free(replay->seen);
    *replay = (struct wg_replay){0};
}

static bool window_make(struct wg_replay *replay)
{
    replay->seen = calloc(WORDS, sizeof(*replay->seen));
    if (replay->seen)
        replay->seen[0] = replay->first;
    return replay->seen;
}

static bool mark(uint64_t *word, uint64_t counter)
{
    uint64_t bit = (uint64_t)1 << counter % 64;
    bool fresh = !(*word & bit);

    *word |= bit;
    return fresh;
}

bool wg_replay_take(struct wg_replay *replay, uint64_t counter)
{
    if (!replay->seen && counter < 64) {
        replay->above = MAX(replay->above, counter + 1);
        return mark(&replay->first, counter);
    }
    if (!replay->seen && !window_make(replay))
        return false;
    if (counter >= replay->above) {
        uint64_t steps = counter / 64 - (replay->above ? (replay->above - 1) / 64 : 0);

        for (uint64_t i = 0; i < MIN(steps, WORDS); i++)
            replay->seen[(counter / 64 - i) % WORDS] = 0;
        replay->above = counter + 1;
    } else if (replay->above - 1 - counter > WG_REPLAY_WINDOW) {
        return false;
    }
    return mark(&replay->seen[counter / 64 % WORDS], counter);
}
