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
    _Alignas(64) atomic_size_t head; /* next to read; only the reader moves it */
    struct slot slots[MAILBOX_SLOTS];
};

#define MAILS_A_TURN 1024 /* a quarter of the box, then the loop's other work */
#define MAILS_A_LOOK 64   /* so many between two looks at the clock */
#define TURN_NS      500000 /* no longer than this, even when mails are work */

_Static_assert((MAILBOX_SLOTS & (MAILBOX_SLOTS - 1)) == 0, "positions are masked");

static bool take(struct mailbox *box)
{
    size_t head = atomic_load_explicit(&box->head, memory_order_relaxed);
    struct slot *slot = &box->slots[head & (MAILBOX_SLOTS - 1)];

    if (atomic_load_explicit(&slot->turn, memory_order_acquire) != head + 1)
        return false;
    struct mail mail = slot->mail;

    atomic_store_explicit(&slot->turn, head + MAILBOX_SLOTS, memory_order_release);
    atomic_store_explicit(&box->head, head + 1, memory_order_relaxed);
    box->fn(box->ctx, &mail);
    return true;
}

static void on_async(uv_async_t *async)
{
    struct mailbox *box = container_of(async, struct mailbox, async);

    uint64_t began = uv_hrtime();

    for (int i = 1; i <= MAILS_A_TURN; i++) {
        if (!take(box))
            return;
        if (i % MAILS_A_LOOK == 0 && uv_hrtime() - began > TURN_NS)
            break;
    }
    uv_async_send(async); /* more: after other work had its turn */
}

struct mailbox *mailbox_new(uv_loop_t *loop, void (*fn)(void *ctx, const struct mail *mail), void *ctx)
{
    struct mailbox *box = aligned_alloc(64, (sizeof(*box) + 63) / 64 * 64);

    if (!box)
        return NULL;
    box->fn = fn;
    box->ctx = ctx;
    atomic_init(&box->head, 0);
    atomic_init(&box->tail, 0);
    for (size_t i = 0; i < MAILBOX_SLOTS; i++)
        atomic_init(&box->slots[i].turn, i);
    if (uv_async_init(loop, &box->async, on_async) != 0) {
        free(box);
        return NULL;
    }
    return box;
}

static bool post(struct mailbox *box, int kind, void *data)
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

bool mailbox_post(struct mailbox *box, int kind, void *data)
{
    return post(box, kind, data);
}

size_t mailbox_room(const struct mailbox *box)
{
    size_t head = atomic_load_explicit(&((struct mailbox *)box)->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&((struct mailbox *)box)->tail, memory_order_relaxed);

    return tail - head < MAILBOX_SLOTS ? MAILBOX_SLOTS - (tail - head) : 0;
}

bool mailbox_try(struct mailbox *box, int kind, void *data)
{
    size_t head = atomic_load_explicit(&box->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);

    /* read one after the other, so only nearly right, which is enough for keeping half of the box free */
    return tail - head < MAILBOX_SLOTS / 2 && post(box, kind, data);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_async_t *)handle, struct mailbox, async));
}

void mailbox_close(struct mailbox *box)
{
    if (!box)
        return;
    while (take(box))
        ;
    uv_close((uv_handle_t *)&box->async, on_closed);
}
