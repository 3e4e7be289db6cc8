/* mailbox.h - bounded messages from any thread to one loop.
 *
 * The only way threads talk: a visitor handed over, a datagram that landed on the wrong worker, a new generation. A
 * bounded ring after Dmitry Vyukov's multi-producer queue, so a sender never waits and never takes a lock; a full box
 * says so and the sender decides. What strangers can cause in masses (datagrams, log lines) may fill half the box
 * only: visitors and orders always find room. One uv_async wakes the reader. */
#ifndef INGRESS_MAILBOX_H
#define INGRESS_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define MAILBOX_SLOTS 4096 /* power of two */

struct mail {
    int kind; /* the users' own enum */
    void *data; /* ownership moves with the mail */
};

struct mailbox;

/* mailbox_new - mails arrive at fn on the loop's thread. NULL: out of memory or no descriptor. */
struct mailbox *mailbox_new(uv_loop_t *loop, void (*fn)(void *ctx, const struct mail *mail), void *ctx);

/* mailbox_post - from any thread. False: full, nothing was taken. */
bool mailbox_post(struct mailbox *box, int kind, void *data);

/* mailbox_try - the same for what may be lost: false already when the box is half full. */
bool mailbox_try(struct mailbox *box, int kind, void *data);

/* mailbox_room - about how many mails still fit. From any thread. */
size_t mailbox_room(const struct mailbox *box);

/* mailbox_close - on the loop's thread, when nobody posts any more: hands what is left to fn, then frees the box once
 * the loop has run. NULL allowed. */
void mailbox_close(struct mailbox *box);

#endif
