/* wg_queue.h - a first-in first-out queue through the members, each at most once: peers with something to send, peers
 * with something to tell. Bounded by the number of peers, and needs no memory. */
#ifndef WG_WG_QUEUE_H
#define WG_WG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct wg_queue_node {
    struct wg_queue_node *next, *prev;
    bool queued;
};

struct wg_queue {
    struct wg_queue_node *first, *last;
};

/* wg_queue_add - at the end; does nothing when it is queued already. */
static inline void wg_queue_add(struct wg_queue *q, struct wg_queue_node *n)
{
    if (n->queued)
        return;
    *n = (struct wg_queue_node){.prev = q->last, .queued = true};
    *(q->last ? &q->last->next : &q->first) = n;
    q->last = n;
}

/* wg_queue_remove - does nothing when it is not queued. */
static inline void wg_queue_remove(struct wg_queue *q, struct wg_queue_node *n)
{
    if (!n->queued)
        return;
    *(n->prev ? &n->prev->next : &q->first) = n->next;
    *(n->next ? &n->next->prev : &q->last) = n->prev;
    *n = (struct wg_queue_node){0};
}

#endif
