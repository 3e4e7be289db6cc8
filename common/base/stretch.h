/* stretch.h - a stretch of a byte stream held in pooled chunks, addressed by stream offset.
 *
 * It backs both queues of the inner TCP: sending (append at the end, read anywhere, forget the acknowledged front)
 * and receiving (store at any offset ahead, read from the front). Which bytes are really there is the caller's
 * knowledge; a stretch only finds room. Chunks exist only where bytes were stored, so an empty one owns nothing.
 *
 *      base                                             base + limit
 *      |--chunk--|--chunk--|  (hole) |--chunk--|             |
 *
 * Offsets are 64 bit and never wrap. */
#ifndef BASE_STRETCH_H
#define BASE_STRETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/pool.h"

struct stretch {
    uint64_t base;   /* first offset still wanted */
    union {
        uint8_t **slots; /* ring of chunk pointers; NULL entries are holes */
        uint8_t *only;   /* the one slot where slots_count is 1: short streams need no ring */
    };
    uint32_t slots_count; /* power of two, or 0 */
    uint32_t chunks;      /* non-NULL slots */
};

void stretch_init(struct stretch *s, uint64_t base);

/* stretch_deinit - give every chunk back. */
void stretch_deinit(struct stretch *s, struct pool *pool);

/* stretch_room - where to store bytes for offset `at` (>= base), getting a chunk if there is none.
 * *out points into the chunk; returns how many bytes fit there (>= 1), or 0 when the pool is empty. */
size_t stretch_room(struct stretch *s, struct pool *pool, uint64_t at, uint8_t **out);

/* stretch_store - copy len bytes to offset `at`. Returns how many bytes were stored: fewer only when memory is out. */
size_t stretch_store(struct stretch *s, struct pool *pool, uint64_t at, const void *data, size_t len);

/* stretch_peek - the bytes at offset `at`: *out and how many lie together there, up to the chunk's end.
 * The caller knows that they were stored. 0: no chunk there. */
size_t stretch_peek(const struct stretch *s, const struct pool *pool, uint64_t at, const uint8_t **out);

/* stretch_load - copy [at, at + len), all of which must have been stored, to out. */
void stretch_load(const struct stretch *s, const struct pool *pool, uint64_t at, void *out, size_t len);

/* stretch_forget - nothing before `upto` is wanted any more; chunks that lie wholly before it go back.
 * Chunks that hold `upto` itself stay: call stretch_trim when the queue has run empty. */
void stretch_forget(struct stretch *s, struct pool *pool, uint64_t upto);

/* stretch_cut - nothing from `from` (>= base) on is wanted any more; chunks that lie wholly behind it go back. */
void stretch_cut(struct stretch *s, struct pool *pool, uint64_t from);

/* stretch_trim - nothing is stored at or after base: give every chunk and the slot array back. */
void stretch_trim(struct stretch *s, struct pool *pool);

#endif
