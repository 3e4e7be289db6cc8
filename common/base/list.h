/* list.h - an intrusive doubly linked ring. The head is a link too; an unlinked node points at itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

/* list_init - an empty head, or a node in no list. */
static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

/* list_empty - for a head: nothing in it; for a node: in no list. */
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* list_append - put an unlinked node at the end. */
static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* list_remove - take a node out of whatever list it is in; harmless when in none. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* list_move - take a node out of whatever list it is in, and put it at the end of this one. */
static inline void list_move(struct list *head, struct list *node)
{
    list_remove(node);
    list_append(head, node);
}

/* list_first - NULL when empty. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

#endif
