#include "talk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

void talk_begin(struct talk *t, uint64_t seed)
{
    struct talk fresh = {.name = t->name, .apply = t->apply, .obey = t->obey, .ended = t->ended, .stream = t->stream};

    *t = fresh;
    if (!t->stream)
        t->stream = malloc(TALK_STREAM);
    BUG_ON(!t->stream);
    t->seed = seed;
    rng_seed(&t->rng, seed);
    rng_seed(&t->jitter, seed + 1);
    t->now = 1000 * TS_S;
}

void talk_deinit(struct talk *t)
{
    free(t->stream);
    t->stream = NULL;
}

/* ---- chance ---- */

void talk_fail(const struct talk *t, const char *what)
{
    fprintf(stderr, "%s: seed %" PRIu64 ": %s\n", t->name, t->seed, what);
    exit(1);
}

bool talk_dice(struct talk *t, unsigned in_10000)
{
    return rng_below(&t->rng, 10000) < in_10000;
}

bool talk_fault(struct talk *t, unsigned in_10000)
{
    return !t->calm && talk_dice(t, in_10000);
}

/* ---- bytes ---- */

void talk_put(struct talk *t, const char *bytes, size_t len)
{
    if (t->len + len > TALK_STREAM)
        return;
    memcpy(t->stream + t->len, bytes, len);
    t->len += len;
}

bool talk_request(struct talk *t, char out[TALK_REQUEST])
{
    const char *data;
    size_t len = feed_session_output(t->session, &data);

    if (len == 0)
        return false;
    BUG_ON(len >= TALK_REQUEST);
    memcpy(out, data, len);
    out[len] = 0;
    feed_session_sent(t->session, len);
    return true;
}

/* ---- steps ---- */

static bool offer(struct talk *t)
{
    bool must = t->op.kind == FEED_OP_ABORT || t->op.kind == FEED_OP_HEARTBEAT;

    t->held = !must && talk_dice(t, 300);
    if (t->held)
        feed_session_hold(t->session, true, t->now);
    else
        t->apply(&t->op);
    return !t->held;
}

void talk_hand_on(struct talk *t)
{
    size_t used;

    while (!t->held) {
        bool step = feed_session_input(t->session, t->piece + t->piece_used, t->piece_len - t->piece_used, &used, &t->op, t->now);

        t->piece_used += used;
        if (!step || !offer(t))
            break;
    }
    if (!t->held)
        t->piece_len = t->piece_used = 0;
}

void talk_let_go(struct talk *t)
{
    if (offer(t))
        feed_session_hold(t->session, false, t->now);
}

void talk_deliver(struct talk *t, unsigned small_in_10000, unsigned cut_in_10000)
{
    for (int i = 0; i < 4 && t->open && !t->held && t->sent < t->len; i++) {
        t->piece_len = MIN(t->len - t->sent, 1 + rng_below(&t->rng, talk_dice(t, small_in_10000) ? 20 : sizeof(t->piece)));
        memcpy(t->piece, t->stream + t->sent, t->piece_len);
        t->sent += t->piece_len;
        t->obey();
    }
    if (t->open && !t->held && ((t->cut_at_end && t->sent == t->len) || talk_fault(t, cut_in_10000))) {
        t->ended(talk_dice(t, 5000) ? "cut" : NULL);
        t->obey();
    }
}
