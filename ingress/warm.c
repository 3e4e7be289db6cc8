#include "ingress/warm.h"

#include <stdlib.h>

#include "common/base/bug.h"

struct warm_conn {
    struct list of_pool, of_node;
    struct warm_node *node;
    struct tcp_conn *conn;
    ts_t opened_at;
    bool ready;
};

void warm_pool_init(struct warm_pool *pool)
{
    *pool = (struct warm_pool){0};
    list_init(&pool->conns);
}

struct warm_node *warm_node_new(void)
{
    struct warm_node *node = calloc(1, sizeof(*node));

    if (node)
        list_init(&node->conns);
    return node;
}

static struct tcp_conn *take_out(struct warm_pool *pool, struct warm_conn *w)
{
    struct tcp_conn *conn = w->conn;

    list_remove(&w->of_pool);
    list_remove(&w->of_node);
    pool->count--;
    pool->ready -= w->ready;
    w->node->count--;
    free(w);
    return conn;
}

size_t warm_accepted(const struct warm_pool *pool, struct warm_node *node, size_t per_node, ts_t now)
{
    bool demand = node->accepted_at && ts_since(now, node->accepted_at) < WARM_NS;

    node->accepted_at = now;
    if (!demand || node->count >= per_node)
        return 0;
    return MIN(MIN(per_node - node->count, WARM_POOL_MAX - pool->count), WARM_STEP);
}

bool warm_add(struct warm_pool *pool, struct warm_node *node, struct tcp_conn *conn, ts_t now)
{
    struct warm_conn *w = malloc(sizeof(*w));

    if (!w) {
        tcp_abort(conn, now);
        return false;
    }
    *w = (struct warm_conn){.node = node, .conn = conn, .opened_at = now};
    list_append(&pool->conns, &w->of_pool);
    list_append(&node->conns, &w->of_node);
    pool->count++;
    node->count++;
    return true;
}

void warm_event(struct warm_pool *pool, struct warm_node *node, const struct tcp_event *event, ts_t now)
{
    for (struct list *l = node->conns.next; l != &node->conns; l = l->next) {
        struct warm_conn *w = container_of(l, struct warm_conn, of_node);

        if (w->conn != event->conn)
            continue;
        if (event->flags & TCP_EVENT_CONNECTED) {
            w->ready = true;
            pool->ready++;
        }
        /* nothing was asked: what it says can't be an answer */
        if (event->flags & (TCP_EVENT_CLOSED | TCP_EVENT_EOF | TCP_EVENT_READABLE))
            tcp_abort(take_out(pool, w), now);
        return;
    }
}

struct tcp_conn *warm_take(struct warm_pool *pool, struct warm_node *node)
{
    for (struct list *l = node->conns.next; l != &node->conns; l = l->next) {
        struct warm_conn *w = container_of(l, struct warm_conn, of_node);

        if (!w->ready)
            continue;
        pool->hits++;
        return take_out(pool, w);
    }
    pool->misses++;
    return NULL;
}

void warm_expire(struct warm_pool *pool, ts_t now)
{
    while (!list_empty(&pool->conns)) {
        struct warm_conn *w = container_of(pool->conns.next, struct warm_conn, of_pool);

        if (ts_since(now, w->opened_at) < WARM_NS)
            return;
        tcp_abort(take_out(pool, w), now);
    }
}

void warm_close(struct warm_pool *pool, struct warm_node *node, ts_t now)
{
    while (!list_empty(&node->conns))
        tcp_abort(take_out(pool, container_of(node->conns.next, struct warm_conn, of_node)), now);
}

void warm_close_all(struct warm_pool *pool, ts_t now)
{
    while (!list_empty(&pool->conns))
        tcp_abort(take_out(pool, container_of(pool->conns.next, struct warm_conn, of_pool)), now);
}
