/* feed_arena.h - memory for the JSON values of one row: taken piece after piece from one stretch, given back as a whole.
 *
 * jansson makes some forty allocations for a row and frees them again a moment later. Between begin and end the calling thread's allocations by jansson come from the given stretch, and from the
 * heap once it is used up; so what was made in between must be gone (json_decref) before the end. Other threads, and this
 * one outside of it, see nothing of it. */
#ifndef FEED_FEED_ARENA_H
#define FEED_FEED_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define FEED_ARENA_BYTES 12288 /* a row with a few names needs a third; on the stack */

struct feed_arena {
    size_t used;
    _Alignas(16) uint8_t bytes[FEED_ARENA_BYTES];
};

/* Not nested. */
void feed_arena_begin(struct feed_arena *arena);
void feed_arena_end(struct feed_arena *arena);

#endif
