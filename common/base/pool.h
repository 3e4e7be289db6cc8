/* pool.h - chunks of one size, drawn while bytes are in flight and put back after.
 *
 * One pool a worker; not thread-safe. Freed chunks are kept for the next taker up to a limit, the rest goes back to
 * the heap, so a burst does not hold memory for ever. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool {
    size_t chunk_bytes;
    size_t chunks_max;  /* never more than this many handed out */
    size_t chunks_out;  /* handed out now */
    size_t chunks_peak; /* most ever handed out */
    size_t spare_max;   /* free chunks kept for reuse */
    size_t spare_count;
    void *spare; /* list through the chunks' first bytes */
};

/* pool_init - chunks of chunk_bytes (>= sizeof(void *)), at most chunks_max at once, spare_max kept when free. */
void pool_init(struct pool *pool, size_t chunk_bytes, size_t chunks_max, size_t spare_max);

/* pool_deinit - frees the spares; every chunk must have been put back. */
void pool_deinit(struct pool *pool);

/* pool_get - an uninitialised chunk, or NULL at the limit or when the machine has no memory. */
void *pool_get(struct pool *pool);
void pool_put(struct pool *pool, void *chunk);

#endif
