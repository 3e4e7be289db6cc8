/* test_timers.c - what happens when nothing does: each timer of section 6, on a virtual clock. */
#include "tests/unit/wg/pair.h"

/* What one end sends in a stretch of silence, with the other end unreachable. */
static int sent_within(struct pair *p, struct end *e, uint64_t dur_ns, ts_t *first)
{
    ts_t end = p->now + dur_ns;
    int n = 0;

    for (;;) {
        int now_sent = drop(p, e);

        if (now_sent && !n)
            *first = p->now;
        n += now_sent;
        ts_t next = wg_device_deadline(e->dev);

        if (next > end)
            break;
        p->now = ts_max(p->now, next);
        wg_device_expire(e->dev, p->now);
    }
    p->now = end;
    return n;
}

static void retransmits_then_gives_up(void **state)
{
    struct pair p;
    ts_t start, first = 0, wiped;
    struct datagram d, again;

    pair_start(&p);
    start = p.now;
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    assert_int_equal(sent_within(&p, &p.a, 4900 * TS_MS, &first), 0);
    wg_peer_initiate(p.a.peer, p.now); /* changes nothing: an attempt is under way */
    assert_int_equal(sent_within(&p, &p.a, 500 * TS_MS, &first), 1);
    assert_in_range(first - start, WG_REKEY_TIMEOUT_NS, WG_REKEY_TIMEOUT_NS + WG_JITTER_NS);
    int more = sent_within(&p, &p.a, 95 * TS_S, &first);

    assert_in_range(more, 15, 17);
    assert_int_equal(p.a.gave_ups, 1);
    assert_int_equal(sent_within(&p, &p.a, 60 * TS_S, &first), 0);
    assert_non_null(p.a.peer->initiation); /* until wiped */
    wiped = p.now + WG_WIPE_NS;
    sent_within(&p, &p.a, wiped - p.now, &first);
    assert_null(p.a.peer->initiation);

    wg_peer_initiate(p.a.peer, p.now); /* a new wish is a new attempt, with a new stamp and key */
    assert_true(made(&p, &p.a, &again));
    assert_memory_not_equal(d.bytes + 8, again.bytes + 8, 32);
    given(&p, &p.b, &again);
    settle(&p);
    assert_true(sent(&p, &p.a));
    pair_stop(&p);
    (void)state;
}

/* with packets sealed all the while, giving up still comes */
static void wishes_do_not_prolong_an_attempt(void **state)
{
    struct pair p;
    struct datagram d;
    ts_t first;

    pair_start(&p);
    for (int s = 0; s < 100; s++) {
        assert_false(sealed(&p, &p.a, 1, 10, &d));
        sent_within(&p, &p.a, TS_S, &first);
    }
    assert_int_equal(p.a.gave_ups, 1);
    pair_stop(&p);
    (void)state;
}

/* data received is answered within 10 s by an empty packet, once; keepalives are answered by nothing */
static void passive_keepalive(void **state)
{
    struct pair p;
    ts_t start;

    pair_start(&p);
    connect_by(&p, &p.a);
    start = p.now;
    assert_true(sent(&p, &p.a));
    pass(&p, 5 * TS_S);
    assert_true(sent(&p, &p.a));
    assert_int_equal(pass(&p, 4 * TS_S), 0);
    assert_int_equal(pass(&p, start + 11 * TS_S - p.now), 1);
    assert_int_equal(p.a.last, WG_IN_KEEPALIVE);
    assert_int_equal(pass(&p, 60 * TS_S), 0);
    pair_stop(&p);
    (void)state;
}

/* an answer that is sent anyway makes the keepalive unnecessary */
static void answered_needs_no_keepalive(void **state)
{
    struct pair p;

    pair_start(&p);
    connect_by(&p, &p.a);
    assert_true(sent(&p, &p.a));
    pass(&p, 9 * TS_S);
    assert_true(sent(&p, &p.b)); /* stops b's timer, starts a's */
    assert_int_equal(pass(&p, 9 * TS_S), 0);
    assert_int_equal(pass(&p, 2 * TS_S), 1);
    assert_int_equal(p.b.last, WG_IN_KEEPALIVE);
    pair_stop(&p);
    (void)state;
}

/* data sent and nothing heard for 15 s: initiate */
static void silence_after_data_initiates(void **state)
{
    struct pair p;
    struct datagram d;
    ts_t first = 0, start;

    pair_start(&p);
    connect_by(&p, &p.a);
    start = p.now;
    assert_true(sealed(&p, &p.b, 1, 10, &d)); /* the responder, so no renewal by age comes in between */
    sent_within(&p, &p.b, 16 * TS_S, &first);
    assert_in_range(first - start, 15 * TS_S, 15 * TS_S + WG_JITTER_NS);
    pair_stop(&p);
    (void)state;
}

/* the initiator renews at 120 s when it sends, and at 165 s when it only receives; the responder never by age */
static void renewal_by_age(void **state)
{
    const struct {
        bool initiator, sends;
        uint64_t age;
        int initiations;
    } cases[] = {
        {true, true, 119 * TS_S, 0},   {true, true, 120 * TS_S, 1},   {false, true, 121 * TS_S, 0},
        {true, false, 164 * TS_S, 0},  {true, false, 166 * TS_S, 1},  {false, false, 170 * TS_S, 0},
        {false, true, 179 * TS_S, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pair p;
        struct datagram d;
        int initiations = 0;

        pair_start(&p);
        connect_by(&p, &p.a);
        struct end *e = cases[i].initiator ? &p.a : &p.b;

        p.now = p.a.peer->keypairs.current->born + cases[i].age;
        assert_true(sealed(&p, cases[i].sends ? e : other(&p, e), 1, 10, &d));
        given(&p, cases[i].sends ? other(&p, e) : e, &d);
        for (int twice = 0; twice < 2 && !cases[i].sends; twice++)
            given(&p, e, &d);
        while (made(&p, e, &d))
            initiations += d.len == WG_HANDSHAKE_BYTES_MAX;
        assert_int_equal(initiations, cases[i].initiations);
        pair_stop(&p);
    }
    (void)state;
}

/* at 180 s a session is over for both directions, its memory is gone, and the owner is told */
static void sessions_expire(void **state)
{
    struct pair p;
    struct datagram late, d;

    pair_start(&p);
    connect_by(&p, &p.a);
    ts_t born = p.a.peer->keypairs.current->born;

    p.now = born + WG_REJECT_AFTER_NS - 1;
    assert_true(wg_peer_can_send(p.b.peer, p.now));
    assert_true(sealed(&p, &p.b, 1, 10, &late));
    p.now++;
    assert_int_equal(given(&p, &p.a, &late), WG_IN_DROP_EXPIRED);
    assert_false(wg_peer_can_send(p.a.peer, p.now));
    wg_device_expire(p.a.dev, p.now);
    assert_int_equal(given(&p, &p.a, &late), WG_IN_DROP_UNKNOWN_INDEX);
    assert_int_equal(p.a.dev->keypair_pool.pieces_out, 0);
    events(&p.a);
    assert_int_equal(p.a.downs, 1);
    assert_false(sealed(&p, &p.b, 1, 10, &d));
    pass(&p, TS_S);
    assert_int_equal(p.b.downs, 1);
    assert_int_equal(p.b.ups, 2);
    assert_true(sent(&p, &p.b));
    pair_stop(&p);
    (void)state;
}

/* down and up again before anybody looked: both are told, in that order */
static void a_missed_outage_is_told(void **state)
{
    struct pair p;
    struct wg_event event;
    struct datagram d;

    pair_start(&p);
    connect_by(&p, &p.a);
    p.now += WG_REJECT_AFTER_NS;
    assert_false(sealed(&p, &p.a, 1, 10, &d));
    made(&p, &p.a, &d);
    given(&p, &p.b, &d);
    made(&p, &p.b, &d);
    given(&p, &p.a, &d);
    assert_true(wg_device_event(p.a.dev, &event));
    assert_int_equal(event.kind, WG_EVENT_DOWN);
    assert_true(wg_device_event(p.a.dev, &event));
    assert_int_equal(event.kind, WG_EVENT_UP);
    assert_false(wg_device_event(p.a.dev, &event));
    pair_stop(&p);
    (void)state;
}

static void persistent_keepalive(void **state)
{
    struct pair p;

    pair_start(&p);
    connect_by(&p, &p.a);
    assert_int_equal(pass(&p, 100 * TS_S), 0);
    wg_peer_keepalive_set(p.b.peer, 25 * TS_S, p.now);
    assert_int_equal(pass(&p, TS_S), 1); /* at once, then each 25 s */
    assert_int_equal(pass(&p, 25 * TS_S), 1);
    assert_int_equal(pass(&p, 20 * TS_S), 0);
    /* and through the night: sessions end and are made anew without anybody sending data */
    for (int i = 0; i < 400; i++)
        assert_in_range(pass(&p, 25 * TS_S), 1, 7);
    assert_true(ts_since(p.now, wg_peer_heard(p.a.peer)) <= 26 * TS_S);
    wg_peer_keepalive_set(p.b.peer, 0, p.now);
    pass(&p, 400 * TS_S);
    assert_int_equal(pass(&p, 400 * TS_S), 0);
    assert_int_equal(p.a.dev->keypair_pool.pieces_out, 0);
    pair_stop(&p);
    (void)state;
}

/* two ends that have nothing to say fall silent and forget their keys */
static void idle_peers_fall_silent(void **state)
{
    struct pair p;

    pair_start(&p);
    connect_by(&p, &p.a);
    assert_true(sent(&p, &p.a));
    assert_true(sent(&p, &p.b));
    assert_in_range(pass(&p, 30 * TS_S), 1, 2);
    assert_int_equal(pass(&p, 3600 * TS_S), 0);
    assert_int_equal(wg_device_deadline(p.a.dev), TS_NEVER);
    assert_int_equal(wg_device_deadline(p.b.dev), TS_NEVER);
    assert_int_equal(p.a.downs, 1);
    pair_stop(&p);
    (void)state;
}

/* time handed in may stand still or step back; inside it does not */
static void time_never_runs_backwards(void **state)
{
    struct pair p;

    pair_start(&p);
    p.now = 1000 * TS_S;
    connect_by(&p, &p.a);
    p.now = TS_S;
    assert_true(sent(&p, &p.a));
    assert_int_equal(wg_peer_heard(p.b.peer), 1000 * TS_S);
    pair_stop(&p);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retransmits_then_gives_up),
        cmocka_unit_test(wishes_do_not_prolong_an_attempt),
        cmocka_unit_test(passive_keepalive),
        cmocka_unit_test(answered_needs_no_keepalive),
        cmocka_unit_test(silence_after_data_initiates),
        cmocka_unit_test(renewal_by_age),
        cmocka_unit_test(sessions_expire),
        cmocka_unit_test(a_missed_outage_is_told),
        cmocka_unit_test(persistent_keepalive),
        cmocka_unit_test(idle_peers_fall_silent),
        cmocka_unit_test(time_never_runs_backwards),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
