#include "common/base/timerq.h"

#include <stddef.h>

#include "common/base/bug.h"

void timerq_init(struct timerq *q)
{
    *q = (struct timerq){0};
}

void timer_init(struct timer *t)
{
    *t = (struct timer){.at = TS_NEVER};
}

static bool before(const struct timer *a, const struct timer *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (before(b, a)) {
        struct timer *t = a;

        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* the two-pass pairing of a list of siblings */
static struct timer *pair(struct timer *first)
{
    struct timer *pairs = NULL, *root = NULL;

    while (first) {
        struct timer *a = first, *b = a->next;

        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs; /* a stack of pairs, last one first */
        pairs = a;
    }
    while (pairs) {
        struct timer *p = pairs;

        pairs = p->next;
        p->next = p->prev = NULL;
        root = meld(root, p);
    }
    return root;
}

void timerq_disarm(struct timerq *q, struct timer *t)
{
    if (!timer_armed(t))
        return;
    struct timer *rest = pair(t->child);

    if (t == q->root) {
        q->root = rest;
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next)
            t->next->prev = t->prev;
        q->root = meld(q->root, rest);
    }
    timer_init(t);
}

void timerq_arm(struct timerq *q, struct timer *t, ts_t at)
{
    if (t->at == at)
        return;
    timerq_disarm(q, t);
    if (at == TS_NEVER)
        return;
    t->at = at;
    t->order = q->armed++;
    q->root = meld(q->root, t);
}

ts_t timerq_next(const struct timerq *q)
{
    return q->root ? q->root->at : TS_NEVER;
}

struct timer *timerq_pop(struct timerq *q, ts_t now)
{
    struct timer *t = q->root;

    if (!t || t->at > now)
        return NULL;
    timerq_disarm(q, t);
    return t;
}
