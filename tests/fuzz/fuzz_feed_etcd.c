/* fuzz_feed_etcd.c - any bytes as etcd's answers: the first byte cuts, a line is an answer, and after each the next
 * question is asked, so that pages, watches and their mixtures are reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct feed_dialect *d)
{
    static char out[16384];
    struct http_write w = {.out = out, .cap = sizeof(out)};
    struct url url = {.target = "/", .host = "e"};
    const char *body;
    size_t len;

    d->ask(d, &url, &w, &body, &len);
    BUG_ON(http_write_end(&w, body, len) == 0);
}

static void take(bool *open, const struct feed_op *op)
{
    BUG_ON(op->kind < FEED_OP_BEGIN || op->kind > FEED_OP_HEARTBEAT || op->kind == FEED_OP_ABORT);
    BUG_ON(op->kind == FEED_OP_BEGIN && *open);
    BUG_ON(op->kind == FEED_OP_END && !*open);
    BUG_ON(*open && op->kind != FEED_OP_PUT && op->kind != FEED_OP_REVOKE && op->kind != FEED_OP_END);
    BUG_ON((op->kind == FEED_OP_REMOVE || op->kind == FEED_OP_REVOKE) && op->id_len == 0);
    if (op->kind == FEED_OP_BEGIN || op->kind == FEED_OP_END)
        *open = op->kind == FEED_OP_BEGIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed_dialect *d = feed_etcd_new(&(struct feed_etcd_config){.prefix = "/n/", .username = ""});
    struct feed_op op;
    bool open = false;
    enum feed_heard heard = FEED_HEARD_ALL;

    if (!d)
        abort();
    ask(d);
    for (size_t at = 0; at < size && heard != FEED_HEARD_BAD;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t n = end ? (size_t)(end - data) - at : size - at, done = 0, used;

        while ((heard = d->hear(d, (const char *)data + at + done, n - done, &used, &op)) == FEED_HEARD_OP) {
            done += used;
            take(&open, &op);
        }
        while (heard != FEED_HEARD_BAD && (heard = d->end(d, &op)) == FEED_HEARD_OP)
            take(&open, &op);
        at += n + 1;
        if (heard != FEED_HEARD_BAD)
            ask(d);
        else if (data[0] & 1) { /* another connection */
            BUG_ON(d->lost(d, 0) != open);
            open = false;
            ask(d);
            heard = FEED_HEARD_ALL;
        }
    }
    BUG_ON(d->lost(d, 0) != open);
    d->free(d);
    return 0;
}
