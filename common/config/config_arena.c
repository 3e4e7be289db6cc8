/* config_arena.c - blocks in a list; pieces are cut from the newest. */
#include "common/config/config_arena.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define BLOCK_BYTES ((size_t)16 * 1024)

struct block {
    struct block *next;
    size_t size, used; /* bytes of data[] */
    max_align_t data[];
};

struct config_arena {
    struct block *newest;
    size_t limit, held; /* bytes; held counts the data of all blocks */
};

struct config_arena *config_arena_new(size_t limit_bytes)
{
    struct config_arena *arena = calloc(1, sizeof(*arena));

    if (arena)
        arena->limit = limit_bytes;
    return arena;
}

void config_arena_free(struct config_arena *arena)
{
    struct block *next;

    if (!arena)
        return;
    for (struct block *b = arena->newest; b; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

void *config_arena_take(struct config_arena *arena, size_t size)
{
    const size_t align = sizeof(max_align_t);
    struct block *b = arena->newest;

    if (size > arena->limit)
        return NULL;
    size = (size + align - 1) / align * align;
    if (!b || b->size - b->used < size) {
        size_t block_size = MAX(size, BLOCK_BYTES);

        if (block_size > arena->limit - arena->held)
            return NULL;
        b = calloc(1, sizeof(*b) + block_size);
        if (!b)
            return NULL;
        b->size = block_size;
        b->next = arena->newest;
        arena->newest = b;
        arena->held += block_size;
    }
    void *piece = (char *)b->data + b->used;

    b->used += size;
    return piece;
}

char *config_arena_text(struct config_arena *arena, const char *text, size_t len)
{
    char *copy = config_arena_take(arena, len + 1);

    if (copy)
        memcpy(copy, text, len);
    return copy;
}
