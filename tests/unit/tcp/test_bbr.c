/* test_bbr.c - BBR over a path of one queue: which state follows which, and what losses do in each. The path carries
 * 1000 segments a second and is 50 ms long, so 50 segments fill it. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/tcp/tcp_cc.h"
#include "common/tcp/tcp_rate.h"

#define MSS       1000u
#define RATE      1000000u /* bytes a second */
#define RTT_NS    (50 * TS_MS)
#define BDP       50000u
#define FLIGHT_MAX 1024

struct flying {
    ts_t sent_at, arrives_at; /* its acknowledgement, or that of one that tells of its loss */
    bool lost;
    struct tcp_rate_stamp stamp;
};

static struct {
    struct rng rng;
    struct tcp_cc cc;
    struct tcp_rate rate;
    struct flying flight[FLIGHT_MAX]; /* a ring */
    uint64_t first, end;              /* segments sent, segments answered */
    uint32_t queue_max;               /* segments that may wait; more are lost */
    unsigned lose_one_in;             /* of the path itself, evenly; 0: none */
    ts_t now, busy_until, pace_at;
    bool seen[TCP_BBR_STATE_COUNT]; /* since it was cleared */
} w;

static void begin(void)
{
    struct tcp_cc_start start = {.now = TS_S, .srtt_ns = RTT_NS, .mss = MSS, .sack = true, .rng = &w.rng};

    memset(&w, 0, sizeof(w));
    rng_seed(&w.rng, 3);
    w.now = start.now;
    w.queue_max = 1000;
    w.rate.delivered_at = w.now;
    tcp_cc_init(&w.cc, &tcp_bbr_ops, &start);
}

static uint64_t in_flight(void)
{
    return (w.end - w.first) * MSS;
}

static void send_one(void)
{
    struct flying *f = &w.flight[w.end % FLIGHT_MAX];
    uint64_t waiting = ts_since(w.busy_until, w.now) / TS_MS; /* one leaves each millisecond */
    bool restart = w.first == w.end;

    w.cc.ops->on_send(&w.cc, in_flight(), false, w.now);
    w.end++;
    *f = (struct flying){
        .sent_at = w.now,
        .lost = waiting >= w.queue_max || (w.lose_one_in && w.end % w.lose_one_in == 0),
        .stamp = tcp_rate_sent(&w.rate, in_flight(), restart, w.now),
    };
    if (!f->lost)
        w.busy_until = ts_max(w.busy_until, w.now) + TS_MS;
    f->arrives_at = ts_max(w.busy_until, w.now) + RTT_NS;
}

static void answer_one(void)
{
    struct flying *f = &w.flight[w.first % FLIGHT_MAX];
    uint64_t before = in_flight();

    w.first++;
    if (f->lost) {
        w.rate.lost += MSS;
        struct tcp_cc_lost lost = {
            .now = w.now,
            .start = (w.first - 1) * MSS,
            .len = MSS,
            .lost = (uint32_t)w.rate.lost - f->stamp.lost,
            .in_flight = f->stamp.in_flight,
            .delivered_total = w.rate.delivered,
        };

        w.cc.ops->on_lost(&w.cc, &lost);
        return;
    }
    struct tcp_cc_ack ack = {
        .now = w.now,
        .delivered = MSS,
        .rtt_ns = ts_since(w.now, f->sent_at),
        .srtt_ns = ts_since(w.now, f->sent_at),
        .una = w.first * MSS,
        .nxt = w.end * MSS,
        .pipe_before = before,
        .pipe = in_flight(),
        .rate = tcp_rate_acked(&w.rate, MSS, &f->stamp, f->sent_at, RTT_NS, w.now),
    };

    ack.delivered_total = w.rate.delivered;
    ack.lost = (uint32_t)w.rate.lost - f->stamp.lost;
    w.cc.ops->on_ack(&w.cc, &ack);
    if (w.cc.holds_back)
        tcp_rate_limited(&w.rate, ack.pipe);
    w.seen[w.cc.bbr.state] = true;
}

/* one tenth of a millisecond after the other, until the state is `state` or the time is over */
static bool until(enum tcp_bbr_state state, uint64_t patience_ns)
{
    ts_t end = w.now + patience_ns;

    memset(w.seen, 0, sizeof(w.seen));
    for (; w.now < end; w.now += TS_MS / 10) {
        while (w.first < w.end && w.flight[w.first % FLIGHT_MAX].arrives_at <= w.now) {
            answer_one();
            if (w.cc.bbr.state == state)
                return true;
        }
        while (w.pace_at <= w.now && in_flight() + MSS <= w.cc.cwnd && w.end - w.first < FLIGHT_MAX) {
            send_one();
            w.pace_at = ts_max(w.pace_at, w.now - TS_MS / 10) + MSS * TS_S / w.cc.ops->pacing_rate(&w.cc, RTT_NS);
        }
    }
    return false;
}

static void run(uint64_t ns)
{
    until(TCP_BBR_STATE_COUNT, ns);
}

static uint64_t best(void)
{
    return MAX(w.cc.bbr.max_bw_filter[0], w.cc.bbr.max_bw_filter[1]);
}

/* sections 5.3.1 and 5.3.2: the rate doubles each round until it grows no more, then the queue that made goes */
static void startup(void **state)
{
    (void)state;
    begin();
    run(3 * RTT_NS + RTT_NS / 2); /* two rounds of answers and the third begun */
    assert_int_equal(w.cc.bbr.state, TCP_BBR_STARTUP);
    assert_true(w.cc.cwnd >= 4 * 10 * MSS);
    assert_true(until(TCP_BBR_DRAIN, TS_S));
    assert_in_range(best(), RATE * 95 / 100, RATE * 105 / 100);
    assert_true(in_flight() > BDP * 3 / 2);
    run(1); /* the pace of draining is that of the next acknowledgement */
    assert_true(w.cc.ops->pacing_rate(&w.cc, RTT_NS) < RATE * 3 / 4);
    assert_true(until(TCP_BBR_CRUISE, TS_S)); /* drained, so DOWN is over as soon as it begins */
    assert_in_range(in_flight(), BDP / 2, BDP * 11 / 10);
    assert_in_range(w.cc.bbr.min_rtt_ns, RTT_NS, RTT_NS + 2 * TS_MS);
}

/* section 5.3.3: DOWN, CRUISE, REFILL, UP and DOWN again, in this order, within 62 rounds; no queue while cruising */
static void probes(void **state)
{
    (void)state;
    begin();
    assert_true(until(TCP_BBR_CRUISE, 3 * TS_S));
    run(RTT_NS * 4);
    assert_int_equal(w.cc.bbr.state, TCP_BBR_CRUISE);
    assert_in_range(in_flight(), BDP * 8 / 10, BDP * 12 / 10);
    assert_true(until(TCP_BBR_REFILL, 4 * TS_S));
    assert_false(w.seen[TCP_BBR_UP]);
    assert_true(until(TCP_BBR_UP, 4 * RTT_NS));
    assert_true(until(TCP_BBR_DOWN, TS_S));
    assert_false(w.seen[TCP_BBR_CRUISE] || w.seen[TCP_BBR_REFILL]);
    assert_true(until(TCP_BBR_CRUISE, TS_S));
    assert_in_range(best(), RATE * 95 / 100, RATE * 105 / 100);
}

/* section 5.3.4: the shortest round trip is five seconds old: half a path's fill for 200 ms, then all of it again */
static void probe_rtt(void **state)
{
    ts_t began;

    (void)state;
    begin();
    assert_true(until(TCP_BBR_CRUISE, 3 * TS_S));
    w.cc.bbr.probe_rtt_min_ns -= TS_MS; /* a path that was shorter once: nothing refreshes that */
    w.cc.bbr.min_rtt_ns = w.cc.bbr.probe_rtt_min_ns;
    assert_true(until(TCP_BBR_PROBE_RTT, 6 * TS_S));
    began = w.now;
    run(3 * RTT_NS);
    assert_int_equal(w.cc.bbr.state, TCP_BBR_PROBE_RTT);
    assert_in_range(w.cc.cwnd, BDP * 4 / 10, BDP * 6 / 10);
    assert_true(in_flight() <= w.cc.cwnd);
    assert_true(until(TCP_BBR_CRUISE, TS_S));
    assert_in_range(w.now - began, 200 * TS_MS, 200 * TS_MS + 3 * RTT_NS);
    assert_true(w.cc.cwnd >= BDP);
    assert_in_range(w.cc.bbr.probe_rtt_min_ns, RTT_NS, RTT_NS + 2 * TS_MS);
}

/* decision 0040: two in a hundred change nothing, one in ten lowers both short-term bounds until the next probe */
static void losses_in_cruise(void **state)
{
    (void)state;
    begin();
    assert_true(until(TCP_BBR_CRUISE, 3 * TS_S));
    w.lose_one_in = 50;
    run(4 * RTT_NS);
    assert_int_equal(w.cc.bbr.state, TCP_BBR_CRUISE);
    assert_true(w.cc.bbr.bw_shortterm == UINT64_MAX);
    w.lose_one_in = 10;
    run(3 * RTT_NS);
    assert_in_range(w.cc.bbr.bw_shortterm, RATE / 2, RATE * 99 / 100);
    assert_true(w.cc.bbr.inflight_shortterm < w.cc.cwnd + BDP && w.cc.bbr.inflight_shortterm != TCP_BBR_NO_BOUND);
    assert_true(w.cc.ops->pacing_rate(&w.cc, RTT_NS) < RATE);
    w.lose_one_in = 0;
    assert_true(until(TCP_BBR_REFILL, 4 * TS_S));
    assert_true(w.cc.bbr.bw_shortterm == UINT64_MAX && w.cc.bbr.inflight_shortterm == TCP_BBR_NO_BOUND);
}

/* a probe that loses too much ends at once, and what was in flight bounds what comes after it */
static void losses_while_probing(void **state)
{
    uint32_t bound;

    (void)state;
    begin();
    assert_true(until(TCP_BBR_UP, 6 * TS_S));
    assert_true(w.cc.bbr.inflight_longterm == TCP_BBR_NO_BOUND);
    w.queue_max = 3;
    assert_true(until(TCP_BBR_DOWN, 20 * RTT_NS));
    bound = w.cc.bbr.inflight_longterm;
    assert_in_range(bound, BDP * 7 / 10, BDP * 13 / 10);
    assert_true(until(TCP_BBR_CRUISE, TS_S));
    run(2 * RTT_NS);
    assert_int_equal(w.cc.bbr.state, TCP_BBR_CRUISE);
    assert_true(w.cc.cwnd <= bound - bound / 10); /* headroom for others: section 5.5.7 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(startup),          cmocka_unit_test(probes),
        cmocka_unit_test(probe_rtt),        cmocka_unit_test(losses_in_cruise),
        cmocka_unit_test(losses_while_probing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
