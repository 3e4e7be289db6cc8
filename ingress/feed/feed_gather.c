#include "ingress/feed/feed_gather.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"

#define ROOM_MIN ((size_t)4 << 10)

void feed_gather_init(struct feed_gather *g, size_t line_max)
{
    *g = (struct feed_gather){.max = line_max};
}

void feed_gather_deinit(struct feed_gather *g)
{
    if (g->text)
        crypto_wipe(g->text, g->cap);
    free(g->text);
    feed_gather_init(g, g->max);
}

/* grow by hand: realloc would leave a copy behind */
static bool room(struct feed_gather *g, size_t more)
{
    if (g->len + more <= g->cap)
        return true;
    size_t cap = MAX(MAX(ROOM_MIN, g->cap * 2), g->len + more);
    char *text = malloc(cap);

    if (!text)
        return false;
    if (g->text) {
        memcpy(text, g->text, g->len);
        crypto_wipe(g->text, g->cap);
        free(g->text);
    }
    g->text = text;
    g->cap = cap;
    return true;
}

enum feed_gathered feed_gather(struct feed_gather *g, const char *data, size_t len, size_t *used, const char **line,
                               size_t *line_len)
{
    const char *end = len > 0 ? memchr(data, '\n', len) : NULL;
    size_t piece = end ? (size_t)(end - data) : len;

    if (g->given)
        g->len = g->given = 0;
    if (piece > g->max - g->len)
        return FEED_GATHERED_TOO_LONG;
    *used = piece + (end != NULL);
    if (end && g->len == 0) {
        *line = data;
        *line_len = piece;
        return FEED_GATHERED_LINE;
    }
    if (!room(g, piece))
        return FEED_GATHERED_NO_MEMORY;
    if (piece > 0)
        memcpy(g->text + g->len, data, piece);
    g->len += piece;
    return end ? feed_gather_rest(g, line, line_len) : FEED_GATHERED_NONE;
}

enum feed_gathered feed_gather_rest(struct feed_gather *g, const char **line, size_t *line_len)
{
    if (g->given || g->len == 0)
        return FEED_GATHERED_NONE;
    g->given = 1;
    *line = g->text;
    *line_len = g->len;
    return FEED_GATHERED_LINE;
}
