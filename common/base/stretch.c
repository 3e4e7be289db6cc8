#include "common/base/stretch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

/* Chunk k holds the offsets [k * chunk_bytes, (k + 1) * chunk_bytes) and lies in slot k mod slots_count. */

void stretch_init(struct stretch *s, uint64_t base)
{
    *s = (struct stretch){.base = base};
}

static void slots_free(struct stretch *s)
{
    if (s->slots_count > 1)
        free(s->slots);
    s->slots = NULL;
}

static uint8_t **slot_of(const struct stretch *s, uint64_t chunk)
{
    return s->slots_count == 1 ? (uint8_t **)&s->only : &s->slots[chunk & (s->slots_count - 1)];
}

void stretch_trim(struct stretch *s, struct pool *pool)
{
    for (uint32_t i = 0; i < s->slots_count && s->chunks; i++)
        if (*slot_of(s, i)) {
            pool_put(pool, *slot_of(s, i));
            s->chunks--;
        }
    slots_free(s);
    s->slots_count = 0;
    s->chunks = 0;
}

void stretch_deinit(struct stretch *s, struct pool *pool)
{
    stretch_trim(s, pool);
}

/* make the ring long enough that chunk numbers [first, last] have slots of their own */
static bool grow(struct stretch *s, uint64_t first, uint64_t last)
{
    uint64_t want = last - first + 1;
    uint32_t count = MAX(s->slots_count, 4u);

    if (want <= s->slots_count)
        return true;
    if (want == 1) {
        s->only = NULL;
        s->slots_count = 1;
        return true;
    }
    while (count < want) {
        if (count >= (uint32_t)1 << 30)
            return false;
        count *= 2;
    }
    uint8_t **slots = calloc(count, sizeof(*slots));

    if (!slots)
        return false;
    for (uint64_t c = first; s->slots_count && c < first + s->slots_count; c++)
        slots[c & (count - 1)] = *slot_of(s, c);
    slots_free(s);
    s->slots = slots;
    s->slots_count = count;
    return true;
}

size_t stretch_room(struct stretch *s, struct pool *pool, uint64_t at, uint8_t **out)
{
    BUG_ON(at < s->base);
    uint64_t chunk = at / pool->chunk_bytes;
    size_t in = (size_t)(at % pool->chunk_bytes);

    if (!grow(s, s->base / pool->chunk_bytes, chunk))
        return 0;
    uint8_t **slot = slot_of(s, chunk);

    if (!*slot) {
        *slot = pool_get(pool);
        if (!*slot)
            return 0;
        s->chunks++;
    }
    *out = *slot + in;
    return pool->chunk_bytes - in;
}

size_t stretch_store(struct stretch *s, struct pool *pool, uint64_t at, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        uint8_t *to;
        size_t n = stretch_room(s, pool, at + done, &to);

        if (n == 0)
            break;
        n = MIN(n, len - done);
        memcpy(to, (const uint8_t *)data + done, n);
        done += n;
    }
    return done;
}

size_t stretch_peek(const struct stretch *s, const struct pool *pool, uint64_t at, const uint8_t **out)
{
    uint64_t chunk = at / pool->chunk_bytes;
    size_t in = (size_t)(at % pool->chunk_bytes);

    if (at < s->base || chunk - s->base / pool->chunk_bytes >= s->slots_count)
        return 0;
    const uint8_t *c = *slot_of(s, chunk);

    if (!c)
        return 0;
    *out = c + in;
    return pool->chunk_bytes - in;
}

void stretch_load(const struct stretch *s, const struct pool *pool, uint64_t at, void *out, size_t len)
{
    uint8_t *to = out;

    while (len > 0) {
        const uint8_t *from;
        size_t n = stretch_peek(s, pool, at, &from);

        BUG_ON(n == 0);
        n = MIN(n, len);
        memcpy(to, from, n);
        to += n;
        at += n;
        len -= n;
    }
}

void stretch_forget(struct stretch *s, struct pool *pool, uint64_t upto)
{
    BUG_ON(upto < s->base);
    uint64_t first = s->base / pool->chunk_bytes, keep = upto / pool->chunk_bytes;

    for (uint64_t c = first; s->chunks && c < keep && c - first < s->slots_count; c++) {
        uint8_t **slot = slot_of(s, c);

        if (*slot) {
            pool_put(pool, *slot);
            *slot = NULL;
            s->chunks--;
        }
    }
    s->base = upto;
}

void stretch_cut(struct stretch *s, struct pool *pool, uint64_t from)
{
    BUG_ON(from < s->base);
    uint64_t first = s->base / pool->chunk_bytes;
    uint64_t cut = from / pool->chunk_bytes + (from % pool->chunk_bytes != 0);

    for (uint64_t c = cut; s->chunks && c - first < s->slots_count; c++) {
        uint8_t **slot = slot_of(s, c);

        if (*slot) {
            pool_put(pool, *slot);
            *slot = NULL;
            s->chunks--;
        }
    }
}
