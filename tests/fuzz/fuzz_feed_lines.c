/* fuzz_feed_lines.c - any bytes as a stream of lines, cut at will: steps in a legal order, the same for every cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* what a run told, as a hash, and its last word */
struct run {
    uint64_t hash;
    enum feed_heard last;
    bool open, begun;
};

static void mix(struct run *r, const void *data, size_t len)
{
    const uint8_t *b = data;

    for (size_t i = 0; i < len; i++)
        r->hash = (r->hash ^ b[i]) * 0x100000001b3u;
}

static void take(struct run *r, const struct feed_op *op)
{
    BUG_ON(op->kind < FEED_OP_BEGIN || op->kind > FEED_OP_HEARTBEAT || op->kind == FEED_OP_ABORT);
    BUG_ON(op->kind == FEED_OP_BEGIN && r->open);
    BUG_ON(op->kind == FEED_OP_END && !r->open);
    BUG_ON(r->open && op->kind != FEED_OP_PUT && op->kind != FEED_OP_REVOKE && op->kind != FEED_OP_END);
    BUG_ON(!r->begun && op->kind != FEED_OP_BEGIN);
    r->begun = true;
    if (op->kind == FEED_OP_BEGIN || op->kind == FEED_OP_END)
        r->open = op->kind == FEED_OP_BEGIN;
    mix(r, &op->kind, sizeof(op->kind));
    mix(r, &op->revision, sizeof(op->revision));
    mix(r, op->text, op->text_len);
    mix(r, op->id, op->id_len);
}

static struct run play(const uint8_t *data, size_t size, size_t piece)
{
    struct feed_dialect *d = feed_lines_new();
    struct run r = {0};

    if (!d)
        abort();
    for (size_t at = 0; at < size && r.last != FEED_HEARD_BAD; at += piece) {
        size_t n = MIN(piece, size - at), used, done = 0;
        struct feed_op op;

        do {
            r.last = d->hear(d, (const char *)data + at + done, n - done, &used, &op);
            done += used;
            BUG_ON(done > n);
            if (r.last == FEED_HEARD_OP)
                take(&r, &op);
        } while (r.last == FEED_HEARD_OP);
        BUG_ON(r.last == FEED_HEARD_ALL && done != n);
    }
    BUG_ON(d->lost(d, 0) != r.open);
    d->free(d);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole = play(data, size, size ? size : 1), cut = play(data, size, 3);

    BUG_ON(whole.hash != cut.hash || whole.last != cut.last);
    return 0;
}
