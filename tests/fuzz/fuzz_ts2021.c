/* fuzz_ts2021.c - any bytes as what a coordination server sends: Noise frames come out the same in any pieces (the first
 * byte says how long), nothing that was not sealed opens, and the session takes all of it without harm, from the key
 * fetch on. */
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/tailnet/control.h"
#include "common/tailnet/ts2021.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAMES_MAX 256

static size_t cut(const uint8_t *data, size_t size, size_t piece, int lengths[FRAMES_MAX])
{
    static struct ts2021_frames frames;
    size_t count = 0, used;

    frames.len = 0;
    for (size_t at = 0; at < size && count < FRAMES_MAX; at += used) {
        size_t n = MIN(piece, size - at);
        int got = ts2021_frames_feed(&frames, data + at, n, &used);

        BUG_ON(used > n || (got == 0 && used != n) || frames.len > TS2021_FRAME_MAX);
        if (got == 0)
            continue;
        lengths[count++] = got;
        if (got < 0)
            break;
        struct ts2021 keys = {0};
        const uint8_t *plain;

        BUG_ON(ts2021_open(&keys, frames.bytes, (size_t)got, &plain) > 0 && keys.received != 1);
    }
    return count;
}

static void session(const uint8_t *data, size_t size, size_t piece, bool pinned)
{
    static const uint8_t server[32] = {9};
    static uint8_t out[8192];
    struct control_keys keys = {.machine = {8, [31] = 64}};
    struct map_seed seed = {1, 2};
    struct rng rng;
    ts_t now = TS_S;

    rng_seed(&rng, 1);
    const struct control_config config = {.rng = &rng, .seed = &seed, .host = "h", .hostname = "n", .auth_key = "k",
                                          .server_key = pinned ? server : NULL};
    struct control *c = control_new(&config, &keys, now);

    BUG_ON(!c);
    control_expire(c, now);
    BUG_ON(!(control_take(c) & CONTROL_CONNECT));
    control_connected(c, now);
    for (size_t at = 0; at < size; at += piece) {
        while (control_output(c, out, sizeof(out), now) > 0)
            ;
        control_input(c, data + at, MIN(piece, size - at), now);
        if (control_take(c) & CONTROL_CLOSE)
            break;
    }
    control_closed(c, "the end", now);
    BUG_ON(control_state(c) == CONTROL_ONLINE || control_deadline(c) == TS_NEVER);
    control_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int whole[FRAMES_MAX], pieces[FRAMES_MAX];

    if (size == 0)
        return 0;
    size_t piece = 1 + data[0] % 64, count = cut(data + 1, size - 1, size, whole);

    BUG_ON(cut(data + 1, size - 1, piece, pieces) != count || memcmp(whole, pieces, count * sizeof(*whole)) != 0);
    session(data + 1, size - 1, piece, false);
    session(data + 1, size - 1, size, true);
    return 0;
}
