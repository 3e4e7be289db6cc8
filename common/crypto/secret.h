/* secret.h - memory for secrets: kept out of core dumps and, where the system lets us, out of swap; wiped when freed.
 *
 * Few and long-lived secrets (all identity keys of one owner) get a block of their own between guard pages. Many and
 * short-lived ones (session keys) come in fixed-size pieces cut from larger such blocks: a block each would cost
 * 8 KiB. */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include <stddef.h>
#include <stdint.h>

/* secret_alloc - len bytes between guard pages, for secrets that come and go together; all zero. NULL: out of memory.
 * secret_seal - read-only from then on. */
void *secret_alloc(size_t len);
void secret_seal(void *secret);

/* secret_new - both for a copy of len bytes. NULL: out of memory. */
const void *secret_new(const void *data, size_t len);
void secret_free(const void *secret); /* wipes; NULL is allowed */

/* A pool of pieces of one size. Not thread-safe: one a device. Blocks go back to the system when they run empty. */
struct secret_block;
struct secret_pool {
    size_t piece_bytes;
    size_t pieces_out;          /* handed out now */
    struct secret_block *roomy; /* blocks with a free piece; the full ones are known by their pieces */
};

void secret_pool_init(struct secret_pool *pool, size_t piece_bytes);
void secret_pool_deinit(struct secret_pool *pool); /* every piece must have been put back */

/* secret_pool_get - a piece, all zero, aligned for any type; NULL: out of memory. */
void *secret_pool_get(struct secret_pool *pool);
void secret_pool_put(struct secret_pool *pool, void *piece); /* wipes it; NULL is allowed */

#endif
