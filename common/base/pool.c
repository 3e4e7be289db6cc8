#include "common/base/pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

void pool_init(struct pool *pool, size_t chunk_bytes, size_t chunks_max, size_t spare_max)
{
    BUG_ON(chunk_bytes < sizeof(void *));
    *pool = (struct pool){.chunk_bytes = chunk_bytes, .chunks_max = chunks_max, .spare_max = spare_max};
}

void pool_deinit(struct pool *pool)
{
    BUG_ON(pool->chunks_out != 0);
    while (pool->spare) {
        void *chunk = pool->spare;

        memcpy(&pool->spare, chunk, sizeof(void *));
        free(chunk);
    }
    pool->spare_count = 0;
}

void *pool_get(struct pool *pool)
{
    void *chunk = pool->spare;

    if (pool->chunks_out >= pool->chunks_max)
        return NULL;
    if (chunk) {
        memcpy(&pool->spare, chunk, sizeof(void *));
        pool->spare_count--;
    } else {
        chunk = malloc(pool->chunk_bytes);
        if (!chunk)
            return NULL;
    }
    pool->chunks_out++;
    pool->chunks_peak = MAX(pool->chunks_peak, pool->chunks_out);
    return chunk;
}

void pool_put(struct pool *pool, void *chunk)
{
    BUG_ON(!chunk || pool->chunks_out == 0);
    pool->chunks_out--;
    if (pool->spare_count >= pool->spare_max) {
        free(chunk);
        return;
    }
    memcpy(chunk, &pool->spare, sizeof(void *));
    pool->spare = chunk;
    pool->spare_count++;
}
