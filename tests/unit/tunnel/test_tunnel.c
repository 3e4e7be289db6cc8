/* test_tunnel.c - two tunnels joined by a wire in invented time: a connect makes the session it needs, bytes cross both
 * ways, what does not belong is dropped by reason, and a restarted end is found again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/tunnel/path.h"
#include "common/tunnel/tsmp.h"
#include "common/tunnel/tunnel.h"

#define PORT     41112
#define DELAY_NS (5 * TS_MS)
#define WIRE_MAX 4096

struct side {
    struct tunnel *tunnel;
    struct tunnel_peer *peer;
    struct pool pool;
    struct rng rng;
    uint8_t private_key[32], public_key[32];
    struct addr addr;
    struct endpoint at;
    struct tcp_conn *conn;
    unsigned flags; /* of every TCP event so far */
    int error;
    unsigned ups;
    unsigned sendings;          /* reports of sending */
    unsigned by_udp, by_relay;  /* datagrams sent */
    unsigned initiations;       /* of them, to whomever */
    unsigned most;              /* datagrams a pull takes; 0: any number */
    uint8_t got[1 << 17];
    size_t got_len;
};

struct datagram {
    ts_t at;
    int to;
    struct endpoint from;
    size_t len;
    uint8_t bytes[TUNNEL_DATAGRAM_MAX];
};

struct world {
    struct side side[2];
    struct datagram wire[WIRE_MAX];
    size_t wire_first, wire_count;
    ts_t now;
    uint64_t wall;
    bool cut;
};

static void side_open(struct side *s, uint64_t seed)
{
    struct tunnel_config config = {.wg = {.rng = &s->rng, .handshakes_per_s = 1000}};

    rng_seed(&s->rng, seed);
    pool_init(&s->pool, 16384, 1024, 16);
    tcp_config_default(&config.tcp);
    config.tcp.rng = &s->rng;
    config.tcp.pool = &s->pool;
    s->tunnel = tunnel_new(&config);
    assert_non_null(s->tunnel);
    assert_int_equal(wg_identity_add(tunnel_wg(s->tunnel), s->private_key), 0);
    s->conn = NULL;
    s->flags = 0;
    s->got_len = 0;
}

static void side_peer(struct world *w, int which, bool endpoint, uint64_t keepalive_ns)
{
    struct side *s = &w->side[which], *other = &w->side[!which];
    struct tunnel_peer_config config = {
        .addrs_count = 1, .own_addrs_count = 1, .keepalive_ns = keepalive_ns, .reports = !endpoint};
    int err;

    memcpy(config.key, other->public_key, 32);
    memcpy(config.identity, s->public_key, 32);
    config.addrs[0] = other->addr;
    config.own_addrs[0] = s->addr;
    if (endpoint) {
        config.endpoints[0] = other->at;
        config.endpoints_count = 1;
    }
    s->peer = tunnel_peer_new(s->tunnel, &config, &err, w->now);
    assert_non_null(s->peer);
}

static struct world *world_new(void)
{
    static const uint8_t v4[2][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}};
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->now = 1000 * TS_S;
    w->wall = 1700000000 * TS_S;
    for (int i = 0; i < 2; i++) {
        struct side *s = &w->side[i];
        struct rng keys;

        rng_seed(&keys, 77 + (uint64_t)i);
        key_generate(&keys, s->private_key);
        assert_int_equal(key_public(s->private_key, s->public_key), 0);
        key_ula(s->public_key, &s->addr);
        s->at = (struct endpoint){.kind = ENDPOINT_UDP, .remote = {addr_v4(v4[i]), 41641}};
        side_open(s, 5 + (uint64_t)i);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        tcp_abort(w->side[i].conn, w->now);
        tunnel_free(w->side[i].tunnel);
        pool_deinit(&w->side[i].pool);
    }
    free(w);
}

static void take_events(struct world *w, struct side *s)
{
    struct tunnel_event e;

    while (tunnel_event(s->tunnel, &e, w->now)) {
        if (e.kind == TUNNEL_EVENT_UP)
            s->ups++;
        if (e.kind == TUNNEL_EVENT_SENDING)
            s->sendings++;
        if (e.kind != TUNNEL_EVENT_TCP)
            continue;
        s->flags |= e.tcp.flags;
        if (e.tcp.flags & TCP_EVENT_ACCEPTED)
            s->conn = e.tcp.conn;
        if (e.tcp.flags & TCP_EVENT_CLOSED)
            s->error = e.tcp.error;
        struct iovec iov;
        size_t bytes;

        while (!(e.tcp.flags & TCP_EVENT_CLOSED) && tcp_read_iov(e.tcp.conn, &iov, 1, &bytes) > 0 && bytes > 0) {
            assert_true(s->got_len + bytes <= sizeof(s->got));
            memcpy(s->got + s->got_len, iov.iov_base, bytes);
            s->got_len += bytes;
            tcp_consume(e.tcp.conn, bytes, w->now);
        }
    }
}

static void pull(struct world *w, int which)
{
    struct side *s = &w->side[which];
    uint8_t buf[TUNNEL_DATAGRAM_MAX];
    struct endpoint to;
    size_t len;

    tunnel_expire(s->tunnel, w->now);
    take_events(w, s);
    for (unsigned n = 0; s->most == 0 || n < s->most; n++) {
        len = tunnel_output(s->tunnel, buf, sizeof(buf), &to, w->now, w->wall);
        if (len == 0)
            break;
        s->initiations += buf[0] == 1;
        bool relay = to.kind == ENDPOINT_DERP;

        if (w->cut || (relay ? memcmp(to.key, w->side[!which].public_key, 32) != 0
                             : !addrport_equal(&to.remote, &w->side[!which].at.remote)))
            continue;
        s->by_udp += !relay;
        s->by_relay += relay;
        assert_true(w->wire_count < WIRE_MAX);
        struct datagram *d = &w->wire[(w->wire_first + w->wire_count++) % WIRE_MAX];

        d->at = w->now + DELAY_NS;
        d->to = !which;
        d->from = relay ? endpoint_derp(s->public_key, to.region) : s->at;
        d->len = len;
        memcpy(d->bytes, buf, len);
    }
    take_events(w, s); /* what sending made known */
}

static ts_t next_time(struct world *w)
{
    ts_t next = ts_min(tunnel_deadline(w->side[0].tunnel), tunnel_deadline(w->side[1].tunnel));

    if (w->wire_count > 0)
        next = ts_min(next, w->wire[w->wire_first].at);
    return next;
}

static void arrive(struct world *w)
{
    while (w->wire_count > 0 && w->wire[w->wire_first].at <= w->now) {
        struct datagram *d = &w->wire[w->wire_first];
        struct wg_half half;

        w->wire_first = (w->wire_first + 1) % WIRE_MAX;
        w->wire_count--;
        (void)tunnel_input(w->side[d->to].tunnel, d->bytes, d->len, &d->from, &half, w->now);
    }
}

/* run for `ns`, or until `done` says so */
static bool run(struct world *w, uint64_t ns, bool (*done)(struct world *w))
{
    ts_t end = w->now + ns;

    for (;;) {
        pull(w, 0);
        pull(w, 1);
        if (done && done(w))
            return true;
        ts_t next = ts_max(next_time(w), w->now);

        if (next > end)
            break;
        w->wall += next - w->now;
        w->now = next;
        arrive(w);
    }
    w->wall += end - w->now;
    w->now = end;
    return false;
}

static bool connected(struct world *w)
{
    return (w->side[0].flags & TCP_EVENT_CONNECTED) && w->side[1].conn;
}

static bool dial(struct world *w, uint64_t ns)
{
    int err;

    w->side[0].flags = 0;
    w->side[0].conn = tunnel_connect(w->side[0].peer, false, PORT, &w->side[0], &err, w->now);
    assert_non_null(w->side[0].conn);
    return run(w, ns, connected);
}

static void a_connect_makes_its_session(void **state)
{
    struct world *w = world_new();
    uint8_t data[100000];

    (void)state;
    side_peer(w, 0, true, 0);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    ts_t begin = w->now;

    assert_true(dial(w, TS_S));
    /* one round trip for the handshake, one for the SYN, with the request riding on its ACK: no timer was needed */
    assert_true(w->now - begin <= 6 * DELAY_NS);
    rng_fill(&w->side[0].rng, data, sizeof(data));
    for (size_t sent = 0; sent < sizeof(data);) { /* more than the send queue takes at once */
        size_t n = tcp_write(w->side[0].conn, data + sent, sizeof(data) - sent, w->now);

        sent += n;
        assert_true(n > 0 || sent == sizeof(data));
        run(w, 200 * TS_MS, NULL);
    }
    assert_int_equal(w->side[1].got_len, sizeof(data));
    assert_memory_equal(w->side[1].got, data, sizeof(data));
    assert_int_equal(tcp_write(w->side[1].conn, data, 5000, w->now), 5000);
    run(w, TS_S, NULL);
    assert_int_equal(w->side[0].got_len, 5000);
    assert_int_equal(w->side[1].ups, 1);
    assert_true(addrport_equal(&(struct addrport){w->side[0].at.remote.addr, 41641},
                               &(struct addrport){tunnel_peer_endpoint(w->side[1].peer).remote.addr, 41641}));
    world_free(w);
}

static void a_connect_waits_for_a_peer_that_calls(void **state)
{
    struct world *w = world_new();
    int err = 0;

    (void)state;
    side_peer(w, 0, false, 0);
    side_peer(w, 1, true, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    assert_false(dial(w, 20 * TS_S)); /* nowhere to send to */
    tunnel_peer_initiate(w->side[1].peer, w->now);
    assert_true(run(w, 2 * TS_S, connected));
    assert_null(tunnel_connect(w->side[0].peer, true, PORT, NULL, &err, w->now)); /* neither side has IPv4 */
    assert_int_equal(err, ERR_NOT_FOUND);
    world_free(w);
}

static void a_foreign_inner_source_is_dropped(void **state)
{
    struct world *w = world_new();
    static const uint8_t other[16] = {0xfd, [15] = 9};
    int err;

    (void)state;
    side_peer(w, 0, true, 0);
    w->side[0].addr = addr_v6(other); /* side 1 is told another address than side 0 will use */
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    w->side[0].conn = tunnel_connect(w->side[0].peer, false, PORT, &w->side[0], &err, w->now);
    assert_false(run(w, 3 * TS_S, connected));
    assert_true(tunnel_stats(w->side[1].tunnel)->dropped[TUNNEL_DROP_SOURCE] >= 2);
    assert_int_equal(tcp_stack_deadline(tunnel_tcp(w->side[1].tunnel)), TS_NEVER); /* TCP never saw it */
    world_free(w);
}

static void a_restarted_peer_is_found_within_seconds(void **state)
{
    struct world *w = world_new();

    (void)state;
    side_peer(w, 0, true, 0);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    assert_true(dial(w, TS_S));
    run(w, 10 * TS_S, NULL);
    /* the node restarts: same key, no memory */
    tcp_abort(w->side[1].conn, w->now);
    tunnel_free(w->side[1].tunnel);
    pool_deinit(&w->side[1].pool);
    side_open(&w->side[1], 99);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    tcp_abort(w->side[0].conn, w->now);
    w->side[0].conn = NULL;
    run(w, 10 * TS_S, NULL);
    ts_t begin = w->now;

    assert_true(dial(w, 30 * TS_S));
    assert_true(w->now - begin < 4 * TS_S); /* WireGuard's own timer alone would take 15 s */
    world_free(w);
}

/* the worst moment: the handshake has to wait for REKEY_TIMEOUT, and the SYN's own timeout has doubled by then */
static void a_syn_goes_again_as_soon_as_there_is_a_session(void **state)
{
    struct world *w = world_new();

    (void)state;
    side_peer(w, 0, true, 0);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    assert_true(dial(w, TS_S));
    ts_t begin = w->now;

    tcp_abort(w->side[1].conn, w->now);
    tunnel_free(w->side[1].tunnel);
    pool_deinit(&w->side[1].pool);
    side_open(&w->side[1], 97);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(w->side[1].tunnel), PORT, 16, NULL), 0);
    tcp_abort(w->side[0].conn, w->now);
    w->side[0].conn = NULL;
    assert_true(dial(w, 30 * TS_S));
    assert_true(w->now - begin < 5500 * TS_MS); /* SYNs alone go at 0, 1, 3 and 7 s */
    world_free(w);
}

static void who_is_silent_for_two_intervals_is_called(void **state)
{
    struct world *w = world_new();

    (void)state;
    side_peer(w, 0, true, 10 * TS_S);
    side_peer(w, 1, false, 10 * TS_S);
    tunnel_peer_initiate(w->side[0].peer, w->now);
    run(w, TS_S, NULL);
    assert_int_equal(w->side[1].ups, 1);
    /* side 1 forgets everything; side 0 must notice by silence alone, though it has nothing to send but keepalives */
    tunnel_free(w->side[1].tunnel);
    pool_deinit(&w->side[1].pool);
    side_open(&w->side[1], 98);
    w->side[1].ups = 0;
    side_peer(w, 1, false, 10 * TS_S);
    run(w, 28 * TS_S, NULL);
    assert_int_equal(w->side[1].ups, 1);
    world_free(w);
}

static bool connected0(struct world *w)
{
    return w->side[0].flags & TCP_EVENT_CONNECTED;
}

/* a stock node: disco says where it is sent to, first the relay, then both, then its address */
static void a_guided_peer_goes_where_it_is_told(void **state)
{
    struct world *w = world_new();
    struct side *s = &w->side[0], *other = &w->side[1];
    struct endpoint ways[2];
    int err;

    (void)state;
    side_peer(w, 0, false, 0);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(other->tunnel), PORT, 16, NULL), 0);
    s->conn = tunnel_connect(s->peer, false, PORT, NULL, &err, w->now);
    assert_non_null(s->conn);
    assert_false(run(w, 900 * TS_MS, connected0));
    assert_int_equal(s->sendings, 1); /* "it wants to be sent to" */
    assert_int_equal(s->by_udp + s->by_relay, 0);

    ways[0] = endpoint_derp(other->public_key, 7);
    tunnel_peer_guide(s->peer, ways, 1);
    assert_true(run(w, 100 * TS_MS, connected0)); /* at once, not with TCP's next try */
    assert_int_equal(s->by_udp, 0);
    assert_true(s->by_relay >= 2 && other->by_relay >= 2); /* the answers come the same way */

    ways[1] = ways[0];
    ways[0] = other->at;
    unsigned before = s->by_relay;

    tunnel_peer_guide(s->peer, ways, 2);
    assert_int_equal(tcp_write(s->conn, "both", 4, w->now), 4);
    run(w, 500 * TS_MS, NULL);
    assert_int_equal(s->by_udp, s->by_relay - before);
    assert_true(s->by_udp >= 1);
    assert_int_equal(other->got_len, 4); /* and the second copy is a replay */

    tunnel_peer_guide(s->peer, ways, 1);
    before = s->by_relay;
    assert_int_equal(tcp_write(s->conn, "one", 3, w->now), 3);
    run(w, 10 * TS_S, NULL);
    assert_int_equal(s->by_relay, before);
    assert_int_equal(other->got_len, 7);

    /* what comes through the relay does not move us there */
    tunnel_peer_guide(other->peer, &(struct endpoint){.kind = ENDPOINT_DERP}, 0);
    ways[1] = endpoint_derp(s->public_key, 7);
    tunnel_peer_guide(other->peer, &ways[1], 1);
    assert_int_equal(tcp_write(other->conn, "back", 4, w->now), 4);
    run(w, 10 * TS_S, NULL);
    assert_int_equal(s->got_len, 4);
    assert_int_equal(s->by_relay, before);
    assert_true(s->sendings >= 3 && s->sendings < 25); /* once a second at most */
    world_free(w);
}

/* who asked before there was a way, and gave up, does not keep the next one from asking */
static void a_way_that_comes_late_serves_the_next(void **state)
{
    struct world *w = world_new();
    struct side *s = &w->side[0], *other = &w->side[1];
    struct endpoint way = other->at;
    int err;

    (void)state;
    side_peer(w, 0, false, 0);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(other->tunnel), PORT, 16, NULL), 0);
    s->conn = tunnel_connect(s->peer, false, PORT, NULL, &err, w->now);
    assert_non_null(s->conn);
    assert_false(run(w, 900 * TS_MS, connected0));
    tcp_abort(s->conn, w->now);
    s->conn = NULL;
    run(w, TS_S, NULL);
    tunnel_peer_guide(s->peer, &way, 1);
    run(w, TS_S, NULL);
    s->conn = tunnel_connect(s->peer, false, PORT, NULL, &err, w->now);
    assert_non_null(s->conn);
    assert_true(run(w, 100 * TS_MS, connected0));
    world_free(w);
}

static void three_endpoints(struct world *w, size_t live, struct endpoint way[3])
{
    const struct endpoint *at = &w->side[1].at;

    side_peer(w, 0, false, 0);
    side_peer(w, 1, false, 0);
    for (uint16_t i = 0; i < 3; i++)
        way[i] = (struct endpoint){.kind = ENDPOINT_UDP, .remote = {at->remote.addr, i}};
    way[live] = *at;
    tunnel_peer_endpoints_set(w->side[0].peer, way, 3);
    tunnel_peer_initiate(w->side[0].peer, w->now);
}

/* a handshake goes to one endpoint after another, 10 ms apart */
static void endpoints_are_called_in_turn(void **state)
{
    struct world *w = world_new();
    struct tunnel *t = w->side[0].tunnel;
    struct endpoint way[3], to;
    uint8_t buf[TUNNEL_DATAGRAM_MAX];

    (void)state;
    three_endpoints(w, 0, way);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tunnel_output(t, buf, sizeof(buf), &to, w->now, w->wall), 148);
        assert_int_equal(buf[0], 1);
        assert_true(endpoint_same_remote(&to, &way[i]));
        assert_int_equal(tunnel_output(t, buf, sizeof(buf), &to, w->now, w->wall), 0);
        if (i < 2)
            assert_true(tunnel_deadline(t) == w->now + 10 * TS_MS);
        w->now += 10 * TS_MS;
        tunnel_expire(t, w->now);
        assert_true(tunnel_deadline(t) > w->now); /* also while it can't be pulled: a full socket must not spin its loop */
    }
    assert_true(tunnel_deadline(t) > w->now + TS_S);
    world_free(w);
}

/* and to no more of them once it is answered, which takes two DELAY_NS here */
static void who_answers_ends_the_call(void **state)
{
    (void)state;
    for (size_t live = 0; live < 3; live++) {
        struct world *w = world_new();
        struct endpoint way[3];

        three_endpoints(w, live, way);
        run(w, TS_S, NULL);
        assert_int_equal(w->side[0].ups, 1);
        /* the calls up to it, and what confirms the session */
        assert_int_equal(tunnel_stats(w->side[0].tunnel)->datagrams_out, live + 1 + 1);
        world_free(w);
    }
}

/* a peer may go while some of its endpoints are uncalled */
static void a_call_ends_with_its_peer(void **state)
{
    struct world *w = world_new();
    struct endpoint way[3];

    (void)state;
    three_endpoints(w, 2, way);
    run(w, 5 * TS_MS, NULL);
    tunnel_peer_free(w->side[0].peer, w->now);
    run(w, TS_S, NULL);
    assert_int_equal(tunnel_stats(w->side[0].tunnel)->datagrams_out, 1);
    world_free(w);
}

/* where there is always more data than the socket takes, a handshake goes all the same */
static void handshakes_go_between_data(void **state)
{
    struct world *w = world_new();
    struct side *s = &w->side[0], *other = &w->side[1];
    struct tunnel_peer_config config = {.endpoints = {{.kind = ENDPOINT_UDP}}, .endpoints_count = 1};
    struct tcp_conn *conns[20];
    static const uint8_t data[65536];
    int err;

    (void)state;
    side_peer(w, 0, true, 0);
    side_peer(w, 1, false, 0);
    assert_int_equal(tcp_listen(tunnel_tcp(other->tunnel), PORT, 32, NULL), 0);
    assert_true(dial(w, TS_S));
    for (size_t i = 0; i < ARRAY_SIZE(conns); i++)
        conns[i] = tunnel_connect(s->peer, false, PORT, NULL, &err, w->now);
    memcpy(config.identity, s->public_key, 32);
    rng_fill(&s->rng, config.key, 32);
    struct tunnel_peer *third = tunnel_peer_new(s->tunnel, &config, &err, w->now);

    assert_non_null(third);
    s->most = 5; /* each millisecond */
    for (int ms = 0; ms < 1020; ms++) {
        if (ms == 1000) {
            s->initiations = 0;
            tunnel_peer_initiate(third, w->now);
        }
        for (size_t i = 0; i < ARRAY_SIZE(conns); i++)
            tcp_write(conns[i], data, sizeof(data), w->now);
        w->now += TS_MS;
        arrive(w);
        pull(w, 0);
        pull(w, 1);
        other->got_len = 0;
    }
    assert_int_equal(s->initiations, 1);
    for (size_t i = 0; i < ARRAY_SIZE(conns); i++)
        tcp_abort(conns[i], w->now);
    world_free(w);
}

static void a_tsmp_refusal_is_read(void **state)
{
    static const uint8_t refusal[] = {0x21, 0x06, 0x41, 0xc3, 0x50, 0x01, 0xbb}; /* vectors: tsmp.json */
    struct tsmp_refusal out;

    (void)state;
    assert_true(tsmp_refusal_parse(refusal, sizeof(refusal), &out));
    assert_int_equal(out.source_port, 50000);
    assert_int_equal(out.destination_port, 443);
    assert_int_equal(out.reason, 'A');
    for (size_t n = 0; n < sizeof(refusal); n++)
        assert_false(tsmp_refusal_parse(refusal, n, &out));
    assert_false(tsmp_refusal_parse((const uint8_t *)"\x70\x01\x02\x03\x04\x05\x06\x07\x08", 9, &out)); /* a ping */
}

static void handshakes_fan_out_until_someone_answers(void **state)
{
    struct path path;
    struct endpoint out[TUNNEL_ENDPOINTS_MAX + 1], two[2] = {{.kind = ENDPOINT_UDP, .remote.port = 1},
                                                             {.kind = ENDPOINT_UDP, .remote.port = 2}},
                    three = {.kind = ENDPOINT_UDP, .remote.port = 3};

    (void)state;
    path_init(&path);
    assert_false(path_known(&path));
    assert_int_equal(path_handshake(&path, out), 0);
    assert_int_equal(path_candidates_set(&path, two, 2), 0);
    assert_int_equal(path_handshake(&path, out), 2);
    assert_int_equal(path_data(&path, out), 0);
    assert_true(path_heard(&path, &two[1]));
    assert_false(path_heard(&path, &two[1]));
    assert_int_equal(path_data(&path, out), 1);
    assert_int_equal(out[0].remote.port, 2);
    assert_int_equal(path_handshake(&path, out), 1); /* it answered last time: it alone */
    assert_int_equal(path_handshake(&path, out), 2); /* it did not: the others too, each once */
    assert_int_equal(out[0].remote.port, 2);
    assert_int_equal(out[1].remote.port, 1);
    assert_false(path_heard(&path, &two[1]));
    assert_int_equal(path_candidates_set(&path, two, 2), 0);
    assert_int_equal(path_handshake(&path, out), 1); /* nothing new was said */
    assert_false(path_heard(&path, &two[1]));
    assert_int_equal(path_candidates_set(&path, &three, 1), 0);
    assert_int_equal(path_handshake(&path, out), 2); /* it may have moved there */
    assert_int_equal(out[1].remote.port, 3);
    path_deinit(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connect_makes_its_session),
        cmocka_unit_test(a_connect_waits_for_a_peer_that_calls),
        cmocka_unit_test(a_foreign_inner_source_is_dropped),
        cmocka_unit_test(a_restarted_peer_is_found_within_seconds),
        cmocka_unit_test(a_syn_goes_again_as_soon_as_there_is_a_session),
        cmocka_unit_test(who_is_silent_for_two_intervals_is_called),
        cmocka_unit_test(a_guided_peer_goes_where_it_is_told),
        cmocka_unit_test(a_way_that_comes_late_serves_the_next),
        cmocka_unit_test(endpoints_are_called_in_turn),
        cmocka_unit_test(who_answers_ends_the_call),
        cmocka_unit_test(a_call_ends_with_its_peer),
        cmocka_unit_test(handshakes_go_between_data),
        cmocka_unit_test(a_tsmp_refusal_is_read),
        cmocka_unit_test(handshakes_fan_out_until_someone_answers),
    };

    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
