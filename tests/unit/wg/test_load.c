/* test_load.c - floods: cookies both ways, the limit of a source, the bounded queue of answers, early initiations,
 * and the stamps of our own. */
#include "tests/unit/wg/pair.h"

#include "common/wg/wg_stamp.h"

/* always under load: the first initiation is answered by a cookie, the next carries it and is taken; and the same for
 * the response when the initiator is under load too */
static void cookies_both_ways(void **state)
{
    struct pair p;
    struct datagram d;

    pair_keys(&p);
    end_start(&p, &p.a, 0, true);
    end_start(&p, &p.b, 0, true);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    assert_true(crypto_is_zero(d.bytes + 132, 16));
    assert_int_equal(given(&p, &p.b, &d), WG_IN_COOKIE);
    assert_int_equal(p.b.dev->keypair_pool.pieces_out, 0);
    made(&p, &p.b, &d);
    assert_null(d.out.peer);
    assert_true(d.out.reply);
    assert_int_equal(d.len, 64);
    assert_int_equal(given(&p, &p.a, &d), WG_IN_COOKIE);
    assert_false(p.a.in.roam);
    assert_null(p.a.in.peer);
    assert_int_equal(given(&p, &p.a, &d), WG_IN_DROP_COOKIE); /* one each mac1 */
    assert_int_equal(settle(&p), 0);                          /* nothing is sent again at once */
    pass(&p, 11 * TS_S); /* the second initiation carries a mac2; its response gets a cookie; the third goes through */
    assert_true(sent(&p, &p.a));
    assert_true(sent(&p, &p.b));
    pair_stop(&p);
    (void)state;
}

/* a cookie is good for its address only, and for a while only */
static void cookie_is_bound_to_its_source(void **state)
{
    struct wg_cookie_source source = {.seed = {1}}, other_source = {.seed = {2}};
    struct addrport from = {.addr = addr_v4((uint8_t[]){192, 0, 2, 1}), .port = 5000}, else_where = from;
    struct wg_cookie_jar jar = {.cookie_until = TS_NEVER};
    uint8_t message[148] = {1}, public_key[32] = {3};
    ts_t now = 1000 * TS_S;

    wg_cookie_make(wg_cookie_secret(&source, now, false), &from, jar.cookie);
    wg_cookie_sign(&jar, public_key, message, sizeof(message), now);
    assert_true(wg_cookie_mac2_ok(&source, message, sizeof(message), &from, now));
    assert_true(wg_cookie_mac2_ok(&source, message, sizeof(message), &from, now + WG_COOKIE_AGE_NS));
    assert_false(wg_cookie_mac2_ok(&source, message, sizeof(message), &from, now + 2 * WG_COOKIE_AGE_NS));
    assert_false(wg_cookie_mac2_ok(&other_source, message, sizeof(message), &from, now));
    else_where.port++;
    assert_false(wg_cookie_mac2_ok(&source, message, sizeof(message), &else_where, now));
    else_where = from;
    else_where.addr.b[15]++;
    assert_false(wg_cookie_mac2_ok(&source, message, sizeof(message), &else_where, now));
    message[10] ^= 1;
    assert_false(wg_cookie_mac2_ok(&source, message, sizeof(message), &from, now));
    (void)state;
}

static struct addr v6(uint8_t net, uint8_t host)
{
    return addr_v6((uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 0, 0, net, [15] = host});
}

static void load_is_measured_and_sticky(void **state)
{
    struct rng rng;
    ts_t now = 10 * TS_S;
    int under = 0;

    rng_seed(&rng, 1);
    struct wg_load *load = wg_load_new(100, &rng);

    for (int i = 0; i < 1000; i++, now += 10 * TS_MS) /* just what is wanted */
        under += wg_load_arrived(load, now);
    assert_int_equal(under, 0);
    for (int i = 0; i < 400; i++, now += TS_MS) /* ten times that */
        under += wg_load_arrived(load, now);
    assert_in_range(under, 370, 375); /* a quarter of a second's worth may come at once */
    assert_true(wg_load_arrived(load, now));
    assert_false(wg_load_arrived(load, now + 3 * TS_S));
    wg_load_limit_set(load, 1000); /* they have become cheaper */
    now += 10 * TS_S;
    for (int i = under = 0; i < 400; i++, now += TS_MS)
        under += wg_load_arrived(load, now);
    assert_int_equal(under, 0);
    wg_load_free(load);
    (void)state;
}

static void source_limit(void **state)
{
    struct addr a = addr_v4((uint8_t[]){192, 0, 2, 1}), b = addr_v4((uint8_t[]){192, 0, 2, 2});
    struct addr same_net[2] = {v6(1, 1), v6(1, 2)}, else_net = v6(2, 1);
    struct rng rng;
    ts_t now = 10 * TS_S;
    int allowed = 0;

    rng_seed(&rng, 1);
    struct wg_load *load = wg_load_new(100, &rng);

    for (int i = 0; i < 100; i++)
        allowed += wg_load_handshake_take(load, &a, now);
    assert_int_equal(allowed, 5);
    assert_true(wg_load_handshake_take(load, &b, now));
    for (int i = 0; i < 1000; i++, now += TS_MS)
        allowed += wg_load_handshake_take(load, &a, now);
    assert_in_range(allowed, 5 + 19, 5 + 20);
    for (int i = 0; i < 100; i++)
        wg_load_handshake_take(load, &same_net[i % 2], now);
    assert_false(wg_load_handshake_take(load, &same_net[0], now));
    assert_true(wg_load_handshake_take(load, &else_net, now));
    wg_load_free(load);
    (void)state;
}

/* sources of any number get no more handshakes together than the limit, and a greedy one takes nothing from the rest */
static void limit_of_all(void **state)
{
    struct addr greedy = v6(9, 9);
    struct rng rng;
    ts_t now = 10 * TS_S;
    int allowed = 0;

    rng_seed(&rng, 1);
    struct wg_load *load = wg_load_new(100, &rng);

    for (int i = 0; i < 3000; i++, now += TS_MS) {
        struct addr from = addr_v4((uint8_t[]){192, 0, (uint8_t)(i >> 8), (uint8_t)i});

        allowed += wg_load_handshake_take(load, &from, now);
    }
    assert_in_range(allowed, 320, 330);
    now += 10 * TS_S;
    for (int i = 0; i < 1000; i++)
        wg_load_handshake_take(load, &greedy, now);
    assert_true(wg_load_handshake_take(load, &(struct addr){{1}}, now));
    wg_load_free(load);
    (void)state;
}

/* cookies for strangers run out; a source where a peer was within the hour still gets one */
static void cookies_are_capped(void **state)
{
    struct addr peer = v6(7, 7);
    struct rng rng;
    ts_t now = 10 * TS_S;
    int given = 0, passed = 0;

    rng_seed(&rng, 1);
    struct wg_load *load = wg_load_new(100, &rng);

    wg_load_proven(load, &peer, now);
    for (int i = 0; i < 50000; i++, now += TS_S / 50000) {
        struct addr from = addr_v4((uint8_t[]){10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i});

        given += wg_load_cookie_take(load, &from, now);
    }
    assert_in_range(given, 4000, 4300);
    for (int i = 0; i < 100; i++)
        passed += wg_load_cookie_take(load, &peer, now);
    assert_int_equal(passed, 100);
    for (int hour = 1; hour <= 3; hour++) { /* forgotten in the second hour after, once others are heard of */
        now += 3600 * TS_S;
        wg_load_proven(load, &(struct addr){{(uint8_t)hour}}, now);
        while (wg_load_cookie_take(load, &(struct addr){{0xff}}, now))
            ;
        assert_int_equal(wg_load_cookie_take(load, &peer, now), hour == 1);
    }
    wg_load_free(load);
    (void)state;
}

/* a flood of initiations whose answers nobody pulls is refused at the bound, and leaves no state behind */
static void answers_are_bounded(void **state)
{
    static struct datagram d;
    struct pair p;
    int cookies = 0;

    pair_keys(&p);
    end_start(&p, &p.a, 1000, true);
    end_start(&p, &p.b, 0, true);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    for (int i = 0; i < WG_REPLIES_MAX + 50; i++, p.now += TS_MS) /* slow enough for the limit of cookies */
        cookies += given(&p, &p.b, &d) == WG_IN_COOKIE;
    assert_int_equal(cookies, WG_REPLIES_MAX);
    assert_int_equal(p.b.last, WG_IN_DROP_FULL);
    assert_int_equal(drop(&p, &p.b), WG_REPLIES_MAX);
    assert_int_equal(given(&p, &p.b, &d), WG_IN_COOKIE);
    pair_stop(&p);
    (void)state;
}

/* initiations of one peer that come within 20 ms are dropped, though their stamps are newer */
static void initiations_too_fast(void **state)
{
    struct pair p;
    struct datagram d;

    pair_start(&p);
    for (int i = 0; i < 3; i++) {
        p.a.peer->attempt_at = TS_NEVER;
        p.a.peer->handshake_sent_at = TS_NEVER;
        wg_peer_initiate(p.a.peer, p.now);
        assert_true(made(&p, &p.a, &d));
        assert_int_equal(given(&p, &p.b, &d), i == 1 ? WG_IN_DROP_REPLAY : WG_IN_HANDSHAKE);
        p.now += i == 1 ? 10 * TS_MS : 11 * TS_MS;
    }
    pair_stop(&p);
    (void)state;
}

static void stamps_only_move_forward(void **state)
{
    struct rng rng;
    uint64_t at = WALL_START, last = 0;

    rng_seed(&rng, 3);
    for (int i = 0; i < 100000; i++) {
        uint8_t before[12], after[12];
        uint64_t next;

        at += rng_below(&rng, 80 * TS_MS);
        if (i % 100 == 0)
            at -= 500 * TS_MS; /* a clock that steps back */
        next = wg_stamp_after(last, at);
        wg_stamp_write(last, before);
        wg_stamp_write(next, after);
        assert_true(memcmp(before, after, sizeof(before)) < 0);
        assert_int_equal(be32_get(after + 8) & 0xffffff, 0);
        assert_true(be32_get(after + 8) < TS_S);
        last = next;
    }
    assert_true(last < at + TS_S);
    (void)state;
}

/* a restart with a clock that went back: the floor kept on disk makes the peer listen at once */
static void floor_survives_a_restart(void **state)
{
    for (int kept = 0; kept <= 1; kept++) {
        struct pair p;
        struct datagram d;
        uint64_t floor;

        pair_start(&p);
        connect_by(&p, &p.a);
        floor = wg_device_stamp_last(p.a.dev);
        assert_true(floor > WALL_START);
        wg_device_free(p.a.dev);
        end_start(&p, &p.a, 1000, false);
        if (kept)
            wg_device_stamp_floor_set(p.a.dev, floor);
        assert_int_equal(wg_device_stamp_last(p.a.dev), kept ? floor : 0);
        struct wg_peer_config pc = peer_config(&p, &p.a);
        int err;

        p.a.peer = wg_peer_new(p.a.dev, &pc, p.now, &err);
        p.now += TS_S;
        wg_peer_initiate(p.a.peer, p.now);
        d.len = wg_device_output(p.a.dev, d.bytes, sizeof(d.bytes), &d.out, p.now, WALL_START - 3600 * TS_S);
        assert_int_equal(given(&p, &p.b, &d), kept ? WG_IN_HANDSHAKE : WG_IN_DROP_REPLAY);
        pair_stop(&p);
    }
    (void)state;
}

/* the window against a naive model */
static void replay_against_a_model(void **state)
{
    static bool seen[70000];
    struct wg_replay replay = {0};
    struct rng rng;
    uint64_t top = 0;
    bool any = false;

    rng_seed(&rng, 4);
    for (int i = 0; i < 200000 && top < 60000; i++) {
        uint64_t back = rng_below(&rng, rng_below(&rng, 50) ? 20 : 9000), ahead = rng_below(&rng, 500) ? 2 : 400;
        uint64_t counter = (top > back ? top - back : 0) + rng_below(&rng, ahead) * (rng_below(&rng, 2));
        bool expect = !seen[counter] && (!any || counter > top || top - counter <= WG_REPLAY_WINDOW);

        assert_int_equal(wg_replay_take(&replay, counter), expect);
        if (expect) {
            seen[counter] = any = true;
            top = MAX(top, counter);
        }
    }
    assert_true(top > 20000);
    wg_replay_deinit(&replay);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cookies_both_ways),
        cmocka_unit_test(cookie_is_bound_to_its_source),
        cmocka_unit_test(load_is_measured_and_sticky),
        cmocka_unit_test(source_limit),
        cmocka_unit_test(limit_of_all),
        cmocka_unit_test(cookies_are_capped),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(initiations_too_fast),
        cmocka_unit_test(stamps_only_move_forward),
        cmocka_unit_test(floor_survives_a_restart),
        cmocka_unit_test(replay_against_a_model),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
