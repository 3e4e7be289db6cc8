/* test_paths.c - our engine and a peer of the test's own hand, in invented time: relay first, direct after a pong, both
 * when the trust ran out, relay again when nothing answers; pings answered, calls followed, changes of the netmap. */
#include "tests/unit/tailnet/vectors.h"

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/tailnet/paths.h"

#define HOME 7

struct world {
    struct paths *paths;
    struct rng rng;
    ts_t now;
    uint8_t disco[32], ours[32];       /* the peer's private key; our public one */
    uint8_t disco_public[32], key[32]; /* of the peer */
    uint8_t shared[32];
    struct addrport at[2];
    struct paths_peer_config config;
};

static void keypair(struct rng *rng, uint8_t private_key[32], uint8_t public_key[32])
{
    key_generate(rng, private_key);
    assert_int_equal(key_public(private_key, public_key), 0);
}

static struct world *open_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    struct paths_config config = {.rng = &w->rng};
    uint8_t node_private[32];

    rng_seed(&w->rng, 1);
    w->now = 1000 * TS_S;
    keypair(&w->rng, config.disco_private, w->ours);
    keypair(&w->rng, node_private, config.node_key);
    keypair(&w->rng, w->disco, w->disco_public);
    keypair(&w->rng, node_private, w->key);
    w->paths = paths_new(&config);
    assert_non_null(w->paths);
    assert_memory_equal(paths_disco_key(w->paths), w->ours, 32);
    assert_int_equal(box_shared(w->shared, w->disco, w->ours), 0);
    w->at[0] = at("192.0.2.1:41641");
    w->at[1] = at("10.1.2.3:41641");
    memcpy(w->config.key, w->key, 32);
    memcpy(w->config.disco, w->disco_public, 32);
    w->config.endpoints = w->at;
    w->config.endpoints_count = 2;
    w->config.home = HOME;
    assert_int_equal(paths_peer_set(w->paths, &w->config, w->now), 0);
    paths_region(w->paths, HOME, true, w->now);
    return w;
}

static void close_world(struct world *w)
{
    paths_free(w->paths);
    free(w);
}

static struct endpoint udp(struct addrport remote)
{
    return (struct endpoint){.kind = ENDPOINT_UDP, .remote = remote};
}

/* time passes, everything that comes out is thrown away but counted */
static unsigned pass(struct world *w, uint64_t ns)
{
    uint8_t buf[PATHS_DATAGRAM_MAX];
    struct endpoint to;
    unsigned out = 0;
    ts_t end = w->now + ns;

    for (;;) {
        ts_t next = ts_min(ts_max(paths_deadline(w->paths), w->now), end);

        w->now = next;
        paths_expire(w->paths, w->now);
        while (paths_output(w->paths, buf, &to, w->now))
            out++;
        if (paths_deadline(w->paths) > end)
            break;
    }
    w->now = end;
    return out;
}

/* the next datagram, opened as the peer does */
static bool pull(struct world *w, struct disco_message *m, struct endpoint *to)
{
    uint8_t buf[PATHS_DATAGRAM_MAX];
    size_t len = paths_output(w->paths, buf, to, w->now);

    if (len == 0)
        return false;
    assert_true(disco_looks_like(buf, len));
    assert_memory_equal(disco_sender(buf), w->ours, 32);
    assert_true(disco_open(buf, len, w->shared, m));
    return true;
}

static void say(struct world *w, const struct disco_message *m, struct endpoint from)
{
    uint8_t buf[DISCO_BYTES_MAX], nonce[24];

    rng_fill(&w->rng, nonce, sizeof(nonce));
    size_t len = disco_seal(buf, m, w->disco_public, nonce, w->shared);

    paths_input(w->paths, buf, len, &from, w->now);
}

static void pong(struct world *w, const struct disco_message *ping, struct endpoint from)
{
    struct disco_message m = {.type = DISCO_PONG, .source = at("203.0.113.1:1")};

    memcpy(m.txid, ping->txid, sizeof(m.txid));
    say(w, &m, from);
}

/* what was told last */
static struct paths_way told(struct world *w)
{
    struct paths_event e;

    assert_true(paths_event(w->paths, &e, w->now));
    assert_memory_equal(e.key, w->key, 32);
    assert_false(paths_event(w->paths, &e, w->now));
    return e.way;
}

static void quiet(struct world *w)
{
    struct paths_event e;

    assert_false(paths_event(w->paths, &e, w->now));
}

static void is_relay(struct paths_way way, uint16_t region)
{
    assert_int_equal(way.count, 1);
    assert_int_equal(way.to[0].kind, ENDPOINT_DERP);
    assert_int_equal(way.to[0].region, region);
}

static void is_direct(struct paths_way way, struct addrport remote, unsigned count)
{
    assert_int_equal(way.count, count);
    assert_int_equal(way.to[0].kind, ENDPOINT_UDP);
    assert_true(addrport_equal(&way.to[0].remote, &remote));
    if (count == 2)
        assert_int_equal(way.to[1].kind, ENDPOINT_DERP);
}

/* one ping to each address; *pings[i] is the one to at[i] */
static void take_pings(struct world *w, struct disco_message pings[2])
{
    struct endpoint to;
    bool seen[2] = {false, false};

    for (int i = 0; i < 2; i++) {
        struct disco_message m;

        assert_true(pull(w, &m, &to));
        assert_int_equal(m.type, DISCO_PING);
        assert_true(m.has_node_key);
        int which = addrport_equal(&to.remote, &w->at[1]);

        assert_true(addrport_equal(&to.remote, &w->at[which]));
        assert_false(seen[which]);
        seen[which] = true;
        pings[which] = m;
    }
}

static void test_relay_then_direct(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct disco_message m, pings[2];
    struct endpoint to;
    uint64_t latency;

    quiet(w);
    assert_int_equal(paths_deadline(w->paths), TS_NEVER); /* nobody talks: nothing to do */
    paths_sending(w->paths, w->key, false, w->now);
    is_relay(told(w), HOME);
    take_pings(w, pings);
    assert_false(pull(w, &m, &to)); /* the call waits for our own endpoints */
    assert_true(paths_freshen(w->paths));
    assert_false(paths_freshen(w->paths));
    struct addrport own = at("198.51.100.9:999");

    paths_own(w->paths, &own, 1, w->now);
    assert_true(pull(w, &m, &to));
    assert_int_equal(m.type, DISCO_CALL_ME_MAYBE);
    assert_int_equal(to.kind, ENDPOINT_DERP);
    assert_memory_equal(to.key, w->key, 32);
    assert_int_equal(m.endpoints_count, 1);
    assert_true(addrport_equal(&m.endpoints[0], &own));

    w->now += 20 * TS_MS;
    pong(w, &pings[0], udp(w->at[0]));
    is_direct(told(w), w->at[0], 1);
    paths_way(w->paths, w->key, &latency, w->now);
    assert_int_equal(latency, 20 * TS_MS);
    w->now += TS_MS;
    pong(w, &pings[1], udp(w->at[1])); /* about as fast, and private */
    is_direct(told(w), w->at[1], 1);
    pong(w, &pings[1], udp(w->at[1])); /* twice: nothing waits for it */
    quiet(w);
    close_world(w);
}

static void direct(struct world *w)
{
    struct disco_message pings[2];

    paths_own(w->paths, NULL, 0, w->now);
    paths_sending(w->paths, w->key, false, w->now);
    take_pings(w, pings);
    pong(w, &pings[1], udp(w->at[1]));
    is_direct(told(w), w->at[1], 1);
}

/* a node that left the map and came back has a new link on its worker, which knows nothing */
static void test_told_again(void **state)
{
    (void)state;
    struct world *w = open_world();

    direct(w);
    paths_sending(w->paths, w->key, false, w->now);
    quiet(w);
    paths_sending(w->paths, w->key, true, w->now);
    is_direct(told(w), w->at[1], 1);
    quiet(w);
    close_world(w);
}

static void test_trust(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct disco_message m;
    struct endpoint to;

    direct(w);
    /* while data goes the address in use is pinged each 3 s, and an answer renews the trust */
    for (int i = 0; i < 10; i++) {
        w->now += PATHS_HEARTBEAT_NS;
        paths_sending(w->paths, w->key, false, w->now);
        paths_expire(w->paths, w->now);
        bool answered = false;

        while (pull(w, &m, &to))
            if (m.type == DISCO_PING && addrport_equal(&to.remote, &w->at[1])) {
                pong(w, &m, to);
                answered = true;
            }
        assert_true(answered);
        quiet(w);
    }
    /* no more answers: both, then the relay alone */
    ts_t last = w->now;

    pass(w, PATHS_TRUST_NS);
    is_direct(told(w), w->at[1], 2);
    pass(w, last + PATHS_HEARTBEAT_NS + PATHS_PING_TIMEOUT_NS - w->now);
    is_relay(told(w), HOME);
    close_world(w);
}

static void test_idle(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct paths_stats s;
    unsigned sent;

    direct(w);
    pass(w, PATHS_SESSION_NS + PATHS_HEARTBEAT_NS);
    sent = pass(w, PATHS_SESSION_NS);
    assert_int_equal(sent, 0); /* the session is over: silence */
    struct paths_event e;

    while (paths_event(w->paths, &e, w->now))
        ;
    pass(w, PATHS_IDLE_NS);
    while (paths_event(w->paths, &e, w->now))
        is_relay(e.way, HOME);
    pass(w, TS_S);
    paths_stats(w->paths, &s, w->now);
    assert_int_equal(s.talks, 0);
    assert_int_equal(paths_deadline(w->paths), TS_NEVER);
    close_world(w);
}

static void test_answers(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct disco_message ping = {.type = DISCO_PING, .txid = {1, 2, 3}, .has_node_key = true}, m;
    struct endpoint from = udp(at("203.0.113.5:5555")), to;
    const struct endpoint relayed = endpoint_derp(w->key, 9);
    struct addrport by_relay = at("127.3.3.40:9");
    struct paths_stats s;

    memcpy(ping.node_key, w->key, 32);
    say(w, &ping, from);
    assert_true(pull(w, &m, &to));
    assert_int_equal(m.type, DISCO_PONG);
    assert_true(endpoint_equal(&to, &from));
    assert_true(addrport_equal(&m.source, &from.remote));
    assert_memory_equal(m.txid, ping.txid, sizeof(m.txid));
    say(w, &ping, from); /* repeated */
    assert_false(pull(w, &m, &to));
    ping.txid[0]++;
    say(w, &ping, relayed);
    assert_true(pull(w, &m, &to));
    assert_true(endpoint_equal(&to, &relayed));
    assert_true(addrport_equal(&m.source, &by_relay));
    /* its source is known now, and where it spoke through a relay it is answered */
    paths_region(w->paths, 9, true, w->now);
    paths_sending(w->paths, w->key, false, w->now);
    is_relay(told(w), 9);
    unsigned to_source = 0;

    while (pull(w, &m, &to))
        to_source += m.type == DISCO_PING && addrport_equal(&to.remote, &from.remote);
    assert_int_equal(to_source, 1);
    paths_gone(w->paths, w->key, 9, w->now);
    is_relay(told(w), HOME);
    /* strangers */
    uint8_t other[32] = {1};
    const struct endpoint foreign = endpoint_derp(other, 9);

    ping.txid[0]++;
    say(w, &ping, foreign); /* a relay's source that is not that peer */
    uint8_t junk[100] = "TS\xf0\x9f\x92\xac";

    paths_input(w->paths, junk, sizeof(junk), &from, w->now);
    memcpy(junk + 6, w->disco_public, 32);
    paths_input(w->paths, junk, sizeof(junk), &from, w->now);
    paths_stats(w->paths, &s, w->now);
    assert_int_equal(s.unknown, 2);
    assert_int_equal(s.forged, 1);
    close_world(w);
}

static void test_call(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct disco_message call = {.type = DISCO_CALL_ME_MAYBE, .endpoints_count = 3}, m;
    struct endpoint to;
    unsigned pings = 0;

    call.endpoints[0] = at("203.0.113.8:1");
    call.endpoints[1] = at("[fe80::1]:2");
    call.endpoints[2] = at("224.0.0.1:2");
    say(w, &call, udp(w->at[0])); /* by UDP it means nothing */
    assert_false(pull(w, &m, &to));
    say(w, &call, endpoint_derp(w->key, HOME));
    while (pull(w, &m, &to))
        pings += m.type == DISCO_PING;
    assert_int_equal(pings, 3); /* the usable one and the two of the netmap */
    for (int i = 0; i < 100; i++) {
        say(w, &call, endpoint_derp(w->key, HOME));
        while (pull(w, &m, &to))
            pings++;
    }
    assert_true(pings <= 3 * 4); /* a peer can't make us ping for ever */
    close_world(w);
}

static void test_netmap(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct disco_message m;
    struct endpoint to;
    struct paths_event e;

    direct(w);
    /* the peer started again */
    keypair(&w->rng, w->disco, w->disco_public);
    assert_int_equal(box_shared(w->shared, w->disco, w->ours), 0);
    memcpy(w->config.disco, w->disco_public, 32);
    w->now += 6 * TS_S;
    assert_int_equal(paths_peer_set(w->paths, &w->config, w->now), 0);
    is_relay(told(w), HOME);
    unsigned pings = 0;

    while (pull(w, &m, &to))
        pings += m.type == DISCO_PING;
    assert_int_equal(pings, 2); /* for which its new key was used */
    w->config.home = 8;
    assert_int_equal(paths_peer_set(w->paths, &w->config, w->now), 0);
    is_relay(told(w), 8);
    paths_sweep_begin(w->paths);
    paths_sweep_end(w->paths);
    assert_false(paths_peer_known(w->paths, w->key));
    assert_false(paths_event(w->paths, &e, w->now));
    paths_sending(w->paths, w->key, false, w->now);
    quiet(w);
    close_world(w);
}

static void test_no_disco(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct disco_message m;
    struct endpoint to;

    memset(w->config.disco, 0, 32);
    assert_int_equal(paths_peer_set(w->paths, &w->config, w->now), 0);
    paths_sending(w->paths, w->key, false, w->now);
    is_relay(told(w), HOME);
    assert_false(pull(w, &m, &to));
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relay_then_direct), cmocka_unit_test(test_trust),  cmocka_unit_test(test_idle),
        cmocka_unit_test(test_answers),           cmocka_unit_test(test_call),   cmocka_unit_test(test_netmap),
        cmocka_unit_test(test_no_disco),          cmocka_unit_test(test_told_again),
    };

    return crypto_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
