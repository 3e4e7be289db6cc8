/* test_warm.c - what makes a node's connections be opened ahead, which of them an offer gets, and when they are closed. The
 * connections are a real stack's, whose packets go nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "ingress/warm.h"

#define BEGIN (100 * TS_S)

struct world {
    struct rng rng;
    struct pool chunks;
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct warm_pool pool;
    struct warm_node *node, *other;
};

static void world_init(struct world *w)
{
    struct tcp_config config;

    rng_seed(&w->rng, 7);
    pool_init(&w->chunks, 16384, 64, 4);
    tcp_config_default(&config);
    config.rng = &w->rng;
    config.pool = &w->chunks;
    w->stack = tcp_stack_new(&config);
    assert_non_null(w->stack);
    tcp_peer_init(&w->peer, w->stack, NULL, 1280);
    warm_pool_init(&w->pool);
    w->node = warm_node_new();
    w->other = warm_node_new();
    assert_true(w->node && w->other);
}

static uint32_t open_conns(const struct world *w)
{
    struct tcp_stack_stats stats;

    tcp_stack_stats(w->stack, &stats);
    return stats.conns;
}

/* nothing of the pool's may be left open */
static void world_free(struct world *w)
{
    warm_close_all(&w->pool, BEGIN);
    assert_int_equal(w->pool.count + w->pool.ready, 0);
    assert_int_equal(w->node->count + w->other->count, 0);
    assert_int_equal(open_conns(w), 0);
    tcp_peer_deinit(&w->peer, BEGIN);
    tcp_stack_free(w->stack);
    pool_deinit(&w->chunks);
    free(w->node);
    free(w->other);
}

static struct tcp_conn *add(struct world *w, struct warm_node *node, ts_t now)
{
    static const uint8_t from[4] = {100, 64, 0, 1}, to[4] = {100, 64, 0, 2};
    struct tcp_dial dial = {.peer = &w->peer, .local = addr_v4(from), .remote = {addr_v4(to), 41112}};
    int err;
    struct tcp_conn *conn = tcp_connect(w->stack, &dial, &err, now);

    assert_non_null(conn);
    assert_true(warm_add(&w->pool, node, conn, now));
    return conn;
}

static void happens(struct world *w, struct warm_node *node, struct tcp_conn *conn, unsigned flags)
{
    struct tcp_event event = {.conn = conn, .flags = flags};

    warm_event(&w->pool, node, &event, BEGIN);
}

static void two_visitors_soon_are_demand(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    assert_int_equal(warm_accepted(&w.pool, w.node, 4, BEGIN), 0);
    assert_int_equal(warm_accepted(&w.pool, w.node, 4, BEGIN + WARM_NS), 0); /* too late */
    assert_int_equal(warm_accepted(&w.pool, w.other, 4, BEGIN + WARM_NS), 0); /* another node */
    assert_int_equal(warm_accepted(&w.pool, w.node, 0, BEGIN + WARM_NS + 1), 0); /* switched off */
    assert_int_equal(warm_accepted(&w.pool, w.node, 4, BEGIN + WARM_NS + 2), WARM_STEP);
    world_free(&w);
}

static void only_what_is_missing_is_opened(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    warm_accepted(&w.pool, w.node, 3, BEGIN);
    for (int missing = 3; missing >= 0; missing--) {
        assert_int_equal(warm_accepted(&w.pool, w.node, 3, BEGIN), MIN(missing, WARM_STEP)); /* a few an offer */
        if (missing > 0)
            add(&w, w.node, BEGIN);
    }
    assert_int_equal(warm_accepted(&w.pool, w.node, 1, BEGIN), 0); /* the limit was lowered */
    world_free(&w);
}

static void a_worker_has_a_bound(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (int i = 0; i < WARM_POOL_MAX - 1; i++)
        add(&w, w.other, BEGIN);
    warm_accepted(&w.pool, w.node, 4, BEGIN);
    assert_int_equal(warm_accepted(&w.pool, w.node, 4, BEGIN), 1);
    add(&w, w.node, BEGIN);
    assert_int_equal(warm_accepted(&w.pool, w.node, 4, BEGIN), 0);
    world_free(&w);
}

static void an_offer_gets_the_oldest_that_is_ready(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    struct tcp_conn *first = add(&w, w.node, BEGIN), *second = add(&w, w.node, BEGIN);
    struct tcp_conn *third = add(&w, w.node, BEGIN), *foreign = add(&w, w.other, BEGIN);

    assert_null(warm_take(&w.pool, w.node)); /* they are still connecting */
    happens(&w, w.node, third, TCP_EVENT_CONNECTED);
    happens(&w, w.node, second, TCP_EVENT_CONNECTED);
    happens(&w, w.other, foreign, TCP_EVENT_CONNECTED);
    assert_int_equal(w.pool.ready, 3);
    assert_ptr_equal(warm_take(&w.pool, w.node), second);
    assert_ptr_equal(warm_take(&w.pool, w.node), third);
    assert_null(warm_take(&w.pool, w.node));
    assert_int_equal(w.pool.ready, 1);
    assert_int_equal(w.pool.hits, 2);
    assert_int_equal(w.pool.misses, 2);
    assert_int_equal(w.pool.count, 2);
    happens(&w, w.node, second, TCP_EVENT_CLOSED); /* nobody's here: it is left alone */
    happens(&w, w.node, first, TCP_EVENT_SYN_TIMEOUT);
    assert_int_equal(w.node->count, 1);
    tcp_abort(second, BEGIN);
    tcp_abort(third, BEGIN);
    world_free(&w);
}

static void what_ends_or_speaks_is_closed(void **state)
{
    static const unsigned flags[] = {TCP_EVENT_CLOSED, TCP_EVENT_EOF, TCP_EVENT_READABLE,
                                     TCP_EVENT_CONNECTED | TCP_EVENT_READABLE};
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
        struct tcp_conn *conn = add(&w, w.node, BEGIN);

        happens(&w, w.node, conn, flags[i]);
        assert_null(warm_take(&w.pool, w.node));
        assert_int_equal(w.node->count, 0);
        assert_int_equal(open_conns(&w), 0);
    }
    world_free(&w);
}

static void none_is_kept_for_long(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    add(&w, w.node, BEGIN);
    add(&w, w.other, BEGIN + 10);
    warm_expire(&w.pool, BEGIN + WARM_NS - 1);
    assert_int_equal(w.pool.count, 2);
    warm_expire(&w.pool, BEGIN + WARM_NS);
    assert_int_equal(w.node->count, 0);
    assert_int_equal(w.other->count, 1);
    assert_int_equal(open_conns(&w), 1);
    warm_expire(&w.pool, BEGIN + WARM_NS + 10);
    assert_int_equal(w.pool.count, 0);
    world_free(&w);
}

static void one_node_is_closed_without_the_others(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    add(&w, w.node, BEGIN);
    add(&w, w.other, BEGIN);
    add(&w, w.node, BEGIN);
    warm_close(&w.pool, w.node, BEGIN);
    assert_int_equal(w.node->count, 0);
    assert_int_equal(w.other->count, 1);
    assert_int_equal(w.pool.count, 1);
    assert_int_equal(open_conns(&w), 1);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_visitors_soon_are_demand),
        cmocka_unit_test(only_what_is_missing_is_opened),
        cmocka_unit_test(a_worker_has_a_bound),
        cmocka_unit_test(an_offer_gets_the_oldest_that_is_ready),
        cmocka_unit_test(what_ends_or_speaks_is_closed),
        cmocka_unit_test(none_is_kept_for_long),
        cmocka_unit_test(one_node_is_closed_without_the_others),
    };
    return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
