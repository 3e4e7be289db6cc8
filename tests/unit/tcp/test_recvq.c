/* test_recvq.c - the receive queue beside a flat array that knows which bytes came; small chunks and a small pool make
 * holes, merging and running out of memory common. */
#include "common/tcp/tcp_recvq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"

#define SPAN   20000
#define WINDOW 900
#define CHUNK  64

static uint8_t value(uint64_t at)
{
    return (uint8_t)(at * 131 >> 3);
}

static void read_some(struct tcp_recvq *q, struct pool *pool, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const uint8_t *p;

        assert_true(stretch_peek(&q->bytes, pool, q->bytes.base + i, &p) > 0);
        assert_int_equal(*p, value(q->bytes.base + i));
    }
    tcp_recvq_consumed(q, pool, len);
}

static void model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        static bool have[SPAN + WINDOW];
        struct tcp_recvq q;
        struct pool pool;
        struct rng rng;
        bool poor = seed % 3 == 0;

        memset(have, 0, sizeof(have));
        rng_seed(&rng, seed);
        pool_init(&pool, CHUNK, poor ? 8 : 100, 4);
        tcp_recvq_init(&q);
        while (q.next < SPAN - WINDOW) {
            uint8_t data[200];
            uint64_t base = q.bytes.base, at = base + rng_below(&rng, WINDOW - sizeof(data));
            size_t len = 1 + rng_below(&rng, sizeof(data));
            uint64_t next = q.next;
            bool early = false;

            if (rng_below(&rng, 3) == 0)
                at = q.next - rng_below(&rng, q.next - base + 1);
            for (size_t i = 0; i < len; i++)
                data[i] = value(at + i);

            struct tcp_recvq_result r = tcp_recvq_insert(&q, &pool, at, data, len, poor ? 2 : 0);

            tcp_recvq_check(&q);
            for (uint64_t i = r.duplicate.start; i < r.duplicate.end; i++)
                assert_true(have[i] && i >= at && i < at + len);
            if (!poor) {
                assert_false(r.refused);
                for (uint64_t i = at; i < at + len; i++)
                    have[i] = true;
                while (have[next] || next == 0)
                    next++;
                assert_int_equal(q.next, MAX(next, q.next));
                assert_false(have[q.next]);
                for (uint64_t i = q.next; i < base + WINDOW; i++)
                    early |= have[i];
                assert_int_equal(early, q.early != NULL);
            } else {
                memset(have, 1, q.next);
                memset(have + q.next, 1, WINDOW); /* what is kept early is the queue's business */
                assert_true(r.refused || r.in_order || r.early || at + len <= next);
            }
            if (rng_below(&rng, 4) == 0)
                read_some(&q, &pool, rng_below(&rng, tcp_recvq_readable(&q) + 1));
            if (poor && pool.chunks_out == pool.chunks_max)
                read_some(&q, &pool, tcp_recvq_readable(&q));
        }
        read_some(&q, &pool, tcp_recvq_readable(&q));
        tcp_recvq_deinit(&q, &pool);
        assert_int_equal(pool.chunks_out, 0);
        pool_deinit(&pool);
    }
}

static void put(struct tcp_recvq *q, struct pool *pool, uint64_t at, size_t len)
{
    uint8_t data[100] = {0};

    assert_false(tcp_recvq_insert(q, pool, at, data, len, 0).refused);
}

static void expect(struct tcp_recvq *q, int max, int count, const uint64_t want[][2])
{
    struct tcp_range r[4];

    assert_int_equal(tcp_recvq_sack(q, r, max), count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(r[i].start, want[i][0]);
        assert_int_equal(r[i].end, want[i][1]);
    }
}

/* RFC 2018 section 4: the block that changed first, then those told last */
static void sack_order(void **state)
{
    struct tcp_recvq q;
    struct pool pool;

    (void)state;
    pool_init(&pool, CHUNK, 100, 4);
    tcp_recvq_init(&q);
    put(&q, &pool, 101, 10);
    expect(&q, 4, 1, (const uint64_t[][2]){{101, 111}});
    put(&q, &pool, 201, 10);
    expect(&q, 4, 2, (const uint64_t[][2]){{201, 211}, {101, 111}});
    put(&q, &pool, 301, 10);
    expect(&q, 2, 2, (const uint64_t[][2]){{301, 311}, {201, 211}});
    put(&q, &pool, 111, 10);
    expect(&q, 4, 3, (const uint64_t[][2]){{101, 121}, {301, 311}, {201, 211}});
    put(&q, &pool, 1, 100);
    assert_int_equal(q.next, 121);
    assert_false(tcp_recvq_news(&q));
    expect(&q, 4, 2, (const uint64_t[][2]){{301, 311}, {201, 211}});
    tcp_recvq_deinit(&q, &pool);
    pool_deinit(&pool);
}

/* what came together is told one after the other, in the order of its coming, and nothing is left out */
static void sack_news(void **state)
{
    struct tcp_recvq q;
    struct pool pool;

    (void)state;
    pool_init(&pool, CHUNK, 100, 4);
    tcp_recvq_init(&q);
    for (uint64_t at = 101; at <= 501; at += 100)
        for (uint64_t piece = 0; piece < 50; piece += 10)
            put(&q, &pool, at + piece, 10);
    expect(&q, 3, 1, (const uint64_t[][2]){{101, 151}});
    expect(&q, 3, 2, (const uint64_t[][2]){{201, 251}, {101, 151}});
    expect(&q, 3, 3, (const uint64_t[][2]){{301, 351}, {201, 251}, {101, 151}});
    put(&q, &pool, 351, 50); /* merges two, one of them not told yet */
    expect(&q, 3, 3, (const uint64_t[][2]){{301, 451}, {201, 251}, {101, 151}});
    assert_true(tcp_recvq_news(&q));
    put(&q, &pool, 1, 100); /* in order now, and no news any more */
    expect(&q, 3, 3, (const uint64_t[][2]){{501, 551}, {301, 451}, {201, 251}});
    tcp_recvq_deinit(&q, &pool);
    pool_deinit(&pool);
}

/* an idle queue owns nothing */
static void idle(void **state)
{
    struct tcp_recvq q;
    struct pool pool;

    (void)state;
    pool_init(&pool, CHUNK, 100, 4);
    tcp_recvq_init(&q);
    put(&q, &pool, 1, 100);
    tcp_recvq_consumed(&q, &pool, 100);
    assert_int_equal(pool.chunks_out, 0);
    assert_int_equal(q.bytes.slots_count, 0);
    pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
        cmocka_unit_test(sack_order),
        cmocka_unit_test(sack_news),
        cmocka_unit_test(idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
