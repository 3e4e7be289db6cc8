/* secret.c - both kinds of secret memory, on libsodium's guarded allocations (no dump, locked where allowed).
 *
 *     block  |piece|piece|piece| ... |   64 KiB between guard pages
 *     piece  |its block, free next|data ...|
 */
#include "common/crypto/secret.h"

#include <sodium.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define BLOCK_BYTES ((size_t)64 * 1024)

struct piece {
    struct secret_block *block;
    struct piece *free_next;
    alignas(max_align_t) uint8_t data[];
};

struct secret_block {
    uint8_t *memory;
    struct piece *free_first;
    size_t pieces_out;
    struct secret_block *next, *prev; /* among the blocks with a free piece */
};

void *secret_alloc(size_t len)
{
    void *secret = sodium_malloc(len);

    if (secret)
        memset(secret, 0, len);
    return secret;
}

void secret_seal(void *secret)
{
    BUG_ON(sodium_mprotect_readonly(secret) != 0);
}

const void *secret_new(const void *data, size_t len)
{
    void *secret = secret_alloc(len);

    if (!secret)
        return NULL;
    memcpy(secret, data, len);
    secret_seal(secret);
    return secret;
}

void secret_free(const void *secret)
{
    sodium_free((void *)(uintptr_t)secret); /* makes it writable and wipes it first */
}

void secret_pool_init(struct secret_pool *pool, size_t piece_bytes)
{
    size_t align = alignof(max_align_t);

    *pool = (struct secret_pool){.piece_bytes = sizeof(struct piece) + (piece_bytes + align - 1) / align * align};
    BUG_ON(pool->piece_bytes > BLOCK_BYTES);
}

static void link_block(struct secret_pool *pool, struct secret_block *block)
{
    block->prev = NULL;
    block->next = pool->roomy;
    if (block->next)
        block->next->prev = block;
    pool->roomy = block;
}

static void unlink_block(struct secret_pool *pool, struct secret_block *block)
{
    *(block->prev ? &block->prev->next : &pool->roomy) = block->next;
    if (block->next)
        block->next->prev = block->prev;
}

static void block_free(struct secret_pool *pool, struct secret_block *block)
{
    unlink_block(pool, block);
    sodium_free(block->memory);
    free(block);
}

static void block_new(struct secret_pool *pool)
{
    struct secret_block *block = calloc(1, sizeof(*block));

    if (!block)
        return;
    block->memory = sodium_malloc(BLOCK_BYTES);
    if (!block->memory) {
        free(block);
        return;
    }
    for (size_t at = 0; at + pool->piece_bytes <= BLOCK_BYTES; at += pool->piece_bytes) {
        struct piece *piece = (void *)(block->memory + at);

        piece->block = block;
        piece->free_next = block->free_first;
        block->free_first = piece;
    }
    link_block(pool, block);
}

void secret_pool_deinit(struct secret_pool *pool)
{
    BUG_ON(pool->pieces_out);
    while (pool->roomy)
        block_free(pool, pool->roomy);
}

void *secret_pool_get(struct secret_pool *pool)
{
    if (!pool->roomy)
        block_new(pool);
    struct secret_block *block = pool->roomy;

    if (!block)
        return NULL;
    struct piece *piece = block->free_first;

    BUG_ON(!piece); /* that is what makes a block roomy */
    block->free_first = piece->free_next;
    if (!block->free_first)
        unlink_block(pool, block);
    block->pieces_out++;
    pool->pieces_out++;
    memset(piece->data, 0, pool->piece_bytes - sizeof(*piece));
    return piece->data;
}

void secret_pool_put(struct secret_pool *pool, void *data)
{
    if (!data)
        return;
    struct piece *piece = container_of(data, struct piece, data);
    struct secret_block *block = piece->block;

    sodium_memzero(data, pool->piece_bytes - sizeof(*piece));
    if (!block->free_first)
        link_block(pool, block);
    piece->free_next = block->free_first;
    block->free_first = piece;
    pool->pieces_out--;
    if (--block->pieces_out == 0 && (block->next || block->prev))
        block_free(pool, block); /* another block has room: the last one stays for the next taker */
}
