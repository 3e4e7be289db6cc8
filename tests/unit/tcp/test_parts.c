/* test_parts.c - the small parts of the engine by themselves: round-trip time, receive window, send queue, initial
 * numbers, CUBIC. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"
#include "common/tcp/tcp_cc.h"
#include "common/tcp/tcp_isn.h"
#include "common/tcp/tcp_rtt.h"
#include "common/tcp/tcp_sendq.h"
#include "common/tcp/tcp_window.h"

/* RFC 6298 section 2 */
static void rtt(void **state)
{
    struct tcp_rtt r;

    (void)state;
    tcp_rtt_init(&r);
    assert_int_equal(tcp_rtt_rto(&r), TS_S);
    tcp_rtt_sample(&r, 400 * TS_MS, 1);
    assert_int_equal(r.srtt_ns, 400 * TS_MS);
    assert_int_equal(tcp_rtt_rto(&r), 1200 * TS_MS);
    tcp_rtt_sample(&r, 480 * TS_MS, 2);
    assert_int_equal(r.srtt_ns, 410 * TS_MS);
    assert_int_equal(r.var_ns, 170 * TS_MS);
    tcp_rtt_timed_out(&r);
    assert_int_equal(tcp_rtt_rto(&r), 2 * (410 + 4 * 170) * TS_MS);
    for (int i = 0; i < 300; i++)
        tcp_rtt_timed_out(&r);
    assert_int_equal(tcp_rtt_rto(&r), TCP_RTO_MAX_NS);
    for (int i = 0; i < 100; i++)
        tcp_rtt_sample(&r, TS_MS, 3);
    assert_int_equal(tcp_rtt_rto(&r), TCP_RTO_MIN_NS);
    assert_int_equal(r.min_ns, TS_MS);
    tcp_rtt_sample(&r, 9 * TS_MS, 3 + TCP_RTT_MIN_WINDOW_NS + 1); /* the old minimum is forgotten */
    assert_int_equal(r.min_ns, 9 * TS_MS);
}

static void window_edge(void **state)
{
    struct tcp_window w;
    struct rng rng;
    uint64_t head = 1, next = 1, edge = 1;

    (void)state;
    rng_seed(&rng, 3);
    tcp_window_init(&w, 1 << 20);
    w.shift = tcp_window_shift_for(1 << 20);
    assert_int_equal(w.shift, 5);
    w.edge = 1;
    for (int i = 0; i < 20000; i++) {
        uint16_t field = tcp_window_offer(&w, head, next, 1240, i % 100 < 20);
        uint64_t offered = next + ((uint64_t)field << w.shift);

        assert_true(w.edge >= edge); /* never back */
        assert_true(w.edge <= MAX(edge, head + w.size));
        assert_true(offered <= w.edge);
        edge = w.edge;
        next += rng_below(&rng, offered - next + 1);
        head += rng_below(&rng, next - head + 1);
    }
}

static void window_grows(void **state)
{
    struct tcp_window w;
    ts_t now = 1;

    (void)state;
    tcp_window_init(&w, 4 << 20);
    tcp_window_rtt(&w, 100 * TS_MS);
    for (; now < 3 * TS_S; now += 10 * TS_MS)
        tcp_window_arrived(&w, 4 << 20, 50000, 0, now);
    assert_in_range(w.size, 1900000, 2300000); /* four times the 500 kB of each round trip */
    for (; now < 6 * TS_S; now += 10 * TS_MS)
        tcp_window_arrived(&w, 4 << 20, 1000000, w.size, now);
    assert_in_range(w.size, 1900000, 2300000); /* a reader that does not keep up needs no more */
    for (; now < 9 * TS_S; now += 10 * TS_MS)
        tcp_window_arrived(&w, 4 << 20, 1000000, 0, now);
    assert_int_equal(w.size, 4 << 20);
}

static void sendq_model(void **state)
{
    struct tcp_sendq q;
    struct pool pool;
    struct rng rng;
    uint64_t acked = 1;

    (void)state;
    rng_seed(&rng, 4);
    pool_init(&pool, 128, 20, 4);
    tcp_sendq_init(&q);
    for (int i = 0; i < 20000; i++) {
        uint8_t data[500];
        size_t len = 1 + rng_below(&rng, sizeof(data)), n;

        for (size_t j = 0; j < len; j++)
            data[j] = (uint8_t)((q.end + j) * 7);
        if (rng_below(&rng, 2)) {
            n = tcp_sendq_write(&q, &pool, data, len);
            assert_true(n == len || pool.chunks_out == pool.chunks_max);
        } else {
            struct iovec iov[3];
            int pieces = tcp_sendq_room(&q, &pool, iov, 3, &len);
            size_t done = 0;

            for (int j = 0; j < pieces; done += iov[j++].iov_len)
                memcpy(iov[j].iov_base, data + done, iov[j].iov_len);
            assert_int_equal(done, len);
            tcp_sendq_commit(&q, &pool, rng_below(&rng, len + 1));
        }
        /* what was asked for and not filled is nobody's */
        assert_int_equal(pool.chunks_out, q.end == acked ? 0
                                                         : (q.end - 1) / pool.chunk_bytes - acked / pool.chunk_bytes + 1);
        for (uint64_t at = acked; at < q.end; at++) {
            uint8_t b;

            stretch_load(&q.bytes, &pool, at, &b, 1);
            assert_int_equal(b, (uint8_t)(at * 7));
        }
        acked += rng_below(&rng, q.end - acked + 1);
        tcp_sendq_acked(&q, &pool, acked);
        if (acked == q.end)
            assert_int_equal(pool.chunks_out, 0);
    }
    tcp_sendq_deinit(&q, &pool);
    pool_deinit(&pool);
}

static void initial_numbers(void **state)
{
    struct map_seed secret = {1, 2}, other = {3, 4};
    struct addrport a = {.port = 1}, b = {.port = 2};
    uint32_t first = tcp_isn(&secret, &a, &b, TS_S);

    (void)state;
    assert_int_equal(tcp_isn(&secret, &a, &b, 2 * TS_S) - first, 250000); /* a tick each 4 us */
    assert_int_not_equal(tcp_isn(&other, &a, &b, TS_S), first);
    assert_int_not_equal(tcp_isn(&secret, &b, &a, TS_S), first);
    assert_int_equal(tcp_ts_offset(&secret, &a.addr, &b.addr), tcp_ts_offset(&secret, &a.addr, &b.addr));
}

static void ack(struct tcp_cc *cc, uint64_t bytes, ts_t now, uint64_t rtt_ns)
{
    struct tcp_cc_ack a = {
        .now = now, .delivered = bytes, .rtt_ns = rtt_ns, .srtt_ns = rtt_ns, .pipe_before = cc->cwnd, .una = now};

    a.nxt = now + rtt_ns;
    cc->ops->on_ack(cc, &a);
}

/* Slow start doubles; after a loss 0.7 of the window is left, and the old one is back after K seconds. */
static void cubic(void **state)
{
    struct tcp_cc cc;
    struct tcp_cc_start begin = {.mss = 1000, .sack = true};
    ts_t now = TS_S;

    (void)state;
    tcp_cc_init(&cc, &tcp_cubic_ops, &begin);
    assert_int_equal(cc.cwnd, 10000);
    for (int i = 0; i < 5; i++, now += 50 * TS_MS)
        for (uint32_t n = cc.cwnd / 1000; n > 0; n--)
            ack(&cc, 1000, now, 50 * TS_MS);
    assert_int_equal(cc.cwnd, 320000);
    cc.ops->on_loss(&cc, cc.cwnd, now);
    assert_in_range(cc.cwnd, 223000, 225000);
    double k_s = 0;
    ts_t start = now;

    for (; cc.cwnd < 319000 && now < start + 20 * TS_S; now += 50 * TS_MS) {
        for (uint32_t n = cc.cwnd / 1000; n > 0; n--)
            ack(&cc, 1000, now, 50 * TS_MS);
        k_s = (double)cc.cubic.k_s;
    }
    assert_in_range((uint64_t)(k_s * 1000), 6200, 6230); /* cube root of 96 / 0.4 */
    assert_in_range(now - start, 4 * TS_S, 7 * TS_S);
    cc.ops->on_loss(&cc, cc.cwnd, now);
    uint32_t cut = cc.cwnd;

    cc.ops->on_undo(&cc, now);
    assert_true(cc.cwnd > cut);
    cc.ops->on_rto(&cc, cc.cwnd, now);
    assert_int_equal(cc.cwnd, 1000);
}

/* round trips that grow end slow start before anything is lost, RFC 9406 */
static void hystart(void **state)
{
    struct tcp_cc cc;
    struct tcp_cc_start begin = {.mss = 1000, .sack = true};
    uint64_t rtt_ns = 50 * TS_MS;
    ts_t now = TS_S;

    (void)state;
    tcp_cc_init(&cc, &tcp_cubic_ops, &begin);
    for (int round = 0; round < 14; round++, now += rtt_ns) {
        for (uint32_t n = cc.cwnd / 1000; n > 0; n--)
            ack(&cc, 1000, now, rtt_ns);
        if (round >= 4)
            rtt_ns += 10 * TS_MS;
    }
    assert_true(cc.ssthresh < UINT32_MAX);
    assert_in_range(cc.cwnd, 300000, 4000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtt),         cmocka_unit_test(window_edge),     cmocka_unit_test(window_grows),
        cmocka_unit_test(sendq_model), cmocka_unit_test(initial_numbers), cmocka_unit_test(cubic),
        cmocka_unit_test(hystart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
