/* feed_arena.c - jansson's allocation functions are the process's: ours pass on to the heap wherever no arena is open. */
#include "ingress/feed/feed_arena.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/base/bug.h"

#define ALIGN 16

static _Thread_local struct feed_arena *open_arena;

static void *take(size_t bytes)
{
    struct feed_arena *a = open_arena;

    if (!a || bytes > sizeof(a->bytes) - a->used)
        return malloc(bytes);
    void *at = a->bytes + a->used;

    a->used = MIN((a->used + bytes + ALIGN - 1) / ALIGN * ALIGN, sizeof(a->bytes));
    return at;
}

static void give(void *what)
{
    uintptr_t at = (uintptr_t)what, first = open_arena ? (uintptr_t)open_arena->bytes : 0;

    if (!first || at < first || at >= first + sizeof(open_arena->bytes))
        free(what);
}

/* before there are threads, which would not all see it at once */
static void __attribute__((constructor)) install(void)
{
    json_set_alloc_funcs(take, give);
}

void feed_arena_begin(struct feed_arena *arena)
{
    BUG_ON(open_arena);
    arena->used = 0;
    open_arena = arena;
}

void feed_arena_end(struct feed_arena *arena)
{
    BUG_ON(open_arena != arena);
    open_arena = NULL;
}
