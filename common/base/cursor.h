/* cursor.h - reading untrusted bytes with a sticky error: parse straight down, ask cursor_ok once at the end.
 *
 * A read past the end gives 0 or NULL and marks the cursor; every later read fails too. Nothing is copied: pointers
 * point into the bytes given to cursor_init and live as long as those. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/bytes.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* some read went past the end */
};

static inline void cursor_init(struct cursor *c, const void *data, size_t len)
{
    c->at = data;
    c->end = c->at + len;
    c->failed = false;
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

static inline bool cursor_ok(const struct cursor *c)
{
    return !c->failed;
}

/* cursor_take - the next len bytes, or NULL. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t len)
{
    if (c->failed || cursor_left(c) < len) {
        c->failed = true;
        c->at = c->end;
        return NULL;
    }
    const uint8_t *p = c->at;

    c->at += len;
    return p;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 1);

    return p ? *p : 0;
}

static inline uint16_t cursor_be16(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 2);

    return p ? be16_get(p) : 0;
}

static inline uint32_t cursor_be24(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 3);

    return p ? (uint32_t)p[0] << 16 | be16_get(p + 1) : 0;
}

static inline uint32_t cursor_be32(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 4);

    return p ? be32_get(p) : 0;
}

/* cursor_sub - a cursor over the next len bytes, which `c` skips; failed if they are not there. */
static inline struct cursor cursor_sub(struct cursor *c, size_t len)
{
    struct cursor sub;
    const uint8_t *p = cursor_take(c, len);

    cursor_init(&sub, p ? p : c->at, p ? len : 0);
    sub.failed = !p;
    return sub;
}

#endif
