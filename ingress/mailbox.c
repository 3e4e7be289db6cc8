#include "ingress/mailbox.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/base/bug.h"

struct slot {
    atomic_size_t turn; /* == position: free for the writer of that position; == position + 1: holds its mail */
    struct mail mail;
};

struct mailbox {
    uv_async_t async;
    void (*fn)(void *ctx, const struct mail *mail);
    void *ctx;
    _Alignas(64) atomic_size_t tail; /* next position to write */
    _Alignas(64) size_t head;        /* next to read; the reader's alone */
    struct slot slots[MAILBOX_SLOTS];
};

_Static_assert((MAILBOX_SLOTS & (MAILBOX_SLOTS - 1)) == 0, "positions are masked");

static void take_all(struct mailbox *box)
{
    for (;;) {
        struct slot *slot = &box->slots[box->head & (MAILBOX_SLOTS - 1)];

        if (atomic_load_explicit(&slot->turn, memory_order_acquire) != box->head + 1)
            return;
        struct mail mail = slot->mail;

        atomic_store_explicit(&slot->turn, box->head + MAILBOX_SLOTS, memory_order_release);
        box->head++;
        box->fn(box->ctx, &mail);
    }
}

static void on_async(uv_async_t *async)
{
    take_all(container_of(async, struct mailbox, async));
}

struct mailbox *mailbox_new(uv_loop_t *loop, void (*fn)(void *ctx, const struct mail *mail), void *ctx)
{
    struct mailbox *box = aligned_alloc(64, (sizeof(*box) + 63) / 64 * 64);

    if (!box)
        return NULL;
    box->fn = fn;
    box->ctx = ctx;
    box->head = 0;
    atomic_init(&box->tail, 0);
    for (size_t i = 0; i < MAILBOX_SLOTS; i++)
        atomic_init(&box->slots[i].turn, i);
    if (uv_async_init(loop, &box->async, on_async) != 0) {
        free(box);
        return NULL;
    }
    return box;
}

bool mailbox_post(struct mailbox *box, int kind, void *data)
{
    size_t at = atomic_load_explicit(&box->tail, memory_order_relaxed);

    for (;;) {
        struct slot *slot = &box->slots[at & (MAILBOX_SLOTS - 1)];
        size_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);

        if (turn == at) {
            if (!atomic_compare_exchange_weak_explicit(&box->tail, &at, at + 1, memory_order_relaxed,
                                                       memory_order_relaxed))
                continue;
            slot->mail = (struct mail){kind, data};
            atomic_store_explicit(&slot->turn, at + 1, memory_order_release);
            uv_async_send(&box->async);
            return true;
        }
        if (turn < at)
            return false; /* a whole round behind: full */
        at = atomic_load_explicit(&box->tail, memory_order_relaxed);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_async_t *)handle, struct mailbox, async));
}

void mailbox_close(struct mailbox *box)
{
    take_all(box);
    uv_close((uv_handle_t *)&box->async, on_closed);
}
