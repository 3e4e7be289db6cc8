/* test_derps.c - which relay connections are held: the home always, others while used; again after a break, node by node,
 * with pauses; a map that changes. The server's side of the stream is the test's own hand. */
#include "tests/unit/tailnet/vectors.h"

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/tailnet/derps.h"

struct world {
    struct derps *derps;
    struct rng rng;
    ts_t now;
    uint8_t node_private[32], node_public[32], server_private[32], server_public[32], shared[32], peer[32];
    struct derp_node nodes[3];
    struct derp_region regions[2]; /* 1: two nodes, 2: one */
    struct derp_map map;
    unsigned opened[3]; /* streams asked for, by node */
    unsigned closed;
    bool open[3]; /* by region */
    char lost[64]; /* what came back, one behind the other */
};

static void lose(void *ctx, const uint8_t key[DERP_KEY_BYTES], const uint8_t *packet, size_t len)
{
    struct world *w = ctx;

    assert_memory_equal(key, w->peer, DERP_KEY_BYTES);
    assert_true(strlen(w->lost) + len < sizeof(w->lost));
    strncat(w->lost, (const char *)packet, len);
}

static struct world *open_world(void)
{
    static char *const names[] = {(char *)"1a", (char *)"1b", (char *)"2a"};
    struct world *w = calloc(1, sizeof(*w));

    rng_seed(&w->rng, 3);
    w->now = 1000 * TS_S;
    w->node_private[0] = 8;
    w->server_private[0] = 16;
    w->peer[0] = 7;
    assert_int_equal(crypto_dh(w->node_public, w->node_private, (const uint8_t[32]){9}), 0);
    assert_int_equal(crypto_dh(w->server_public, w->server_private, (const uint8_t[32]){9}), 0);
    assert_int_equal(box_shared(w->shared, w->server_private, w->node_public), 0);
    for (int i = 0; i < 3; i++)
        w->nodes[i] = (struct derp_node){.name = names[i], .host = names[i], .cert_name = (char *)"", .ipv4 = (char *)"",
                                         .ipv6 = (char *)"", .stun_test_ip = (char *)"", .derp_port = 443};
    w->regions[0] = (struct derp_region){.id = 1, .nodes = &w->nodes[0], .nodes_count = 2};
    w->regions[1] = (struct derp_region){.id = 2, .nodes = &w->nodes[2], .nodes_count = 1};
    w->map = (struct derp_map){w->regions, 2};
    const struct derps_config config = {
        .rng = &w->rng, .node_private = w->node_private, .node_public = w->node_public, .lost = lose, .ctx = w};

    w->derps = derps_new(&config);
    assert_non_null(w->derps);
    derps_map_set(w->derps, &w->map, w->now);
    return w;
}

static void close_world(struct world *w)
{
    derps_free(w->derps);
    free(w);
}

static void act(struct world *w)
{
    struct derps_action a;

    while (derps_action(w->derps, &a)) {
        if (!a.node) {
            w->closed++;
            w->open[a.region] = false;
            continue;
        }
        w->opened[strcmp(a.node->name, "1a") == 0 ? 0 : strcmp(a.node->name, "1b") == 0 ? 1 : 2]++;
        w->open[a.region] = true;
    }
}

static struct derp_event feed(struct world *w, uint16_t region, const void *bytes, size_t len)
{
    struct derp_event event, last = {0};

    for (size_t i = 0; i < len;) {
        i += derps_input(w->derps, region, (const uint8_t *)bytes + i, len - i, &event, w->now);
        if (event.kind != DERP_EVENT_NONE)
            last = event;
    }
    return last;
}

static size_t pull(struct world *w, uint16_t region, uint8_t *out, size_t cap)
{
    const uint8_t *bytes;
    size_t len, all = 0;

    while ((bytes = derps_output(w->derps, region, &len))) {
        assert_true(all + len <= cap);
        memcpy(out + all, bytes, len);
        all += len;
        derps_sent(w->derps, region, len);
    }
    return all;
}

/* the stream of the region opens, and the server lets us in */
static void log_in(struct world *w, uint16_t region)
{
    static const char http[] = "HTTP/1.1 101 S\r\n\r\n", json[] = "{\"version\":2}";
    uint8_t frame[128], nonce[24] = {1}, said[4096];

    act(w);
    assert_true(w->open[region]);
    assert_true(pull(w, region, said, sizeof(said)) > 0);
    feed(w, region, http, sizeof(http) - 1);
    derp_frame_header_put(frame, DERP_SERVER_KEY, 40);
    memcpy(frame + 5, "DERP\xf0\x9f\x94\x91", 8);
    memcpy(frame + 13, w->server_public, 32);
    feed(w, region, frame, 45);
    derp_frame_header_put(frame, DERP_SERVER_INFO, 24 + 16 + sizeof(json) - 1);
    memcpy(frame + 5, nonce, 24);
    box_seal(frame + 29, (const uint8_t *)json, sizeof(json) - 1, nonce, w->shared);
    assert_int_equal(feed(w, region, frame, 45 + sizeof(json) - 1).kind, DERP_EVENT_UP);
}

static void expire(struct world *w)
{
    struct derp_event event;
    uint16_t region;

    while (derps_expire(w->derps, &event, &region, w->now))
        ;
    act(w);
}

static bool change(struct world *w, uint16_t region)
{
    struct derps_change c;

    assert_true(derps_change(w->derps, &c));
    assert_int_equal(c.region, region);
    assert_int_equal(c.up, derps_up(w->derps, region));
    assert_false(derps_change(w->derps, &c));
    return c.up;
}

static void test_home_and_others(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct endpoint to = endpoint_derp(w->peer, 2), nowhere = endpoint_derp(w->peer, 9);
    uint8_t said[4096];

    act(w);
    assert_int_equal(w->opened[0] + w->opened[1] + w->opened[2], 0); /* nothing is wanted */
    derps_home_set(w->derps, 1, w->now);
    log_in(w, 1);
    assert_true(change(w, 1));
    assert_int_equal(w->opened[0], 1);
    size_t len = pull(w, 1, said, sizeof(said));

    assert_memory_equal(said + len - 6, "\x07\0\0\0\1\1", 6); /* it knows that it is our home */

    assert_false(derps_send(w->derps, &nowhere, said, 4, w->now));
    assert_true(derps_send(w->derps, &to, (const uint8_t *)"wait", 4, w->now)); /* until there is a connection */
    log_in(w, 2);
    assert_true(change(w, 2));
    len = pull(w, 2, said, sizeof(said));
    assert_memory_equal(said + len - 4, "wait", 4);
    w->now += DERPS_IDLE_NS - 1;
    expire(w);
    assert_true(derps_up(w->derps, 2));
    derps_heard(w->derps, 2, w->now);
    w->now += DERPS_IDLE_NS - 1;
    expire(w);
    assert_true(derps_up(w->derps, 2)); /* hearing is use, too */
    w->now += 1;
    feed(w, 1, "\x06\0\0\0\0", 5);
    expire(w);
    assert_false(change(w, 2));
    assert_false(w->open[2]);
    assert_true(derps_up(w->derps, 1)); /* the home stays */

    derps_home_set(w->derps, 2, w->now);
    log_in(w, 2);
    len = pull(w, 1, said, sizeof(said));
    assert_memory_equal(said + len - 6, "\x07\0\0\0\1\0", 6);
    w->now += DERPS_IDLE_NS;
    expire(w);
    assert_false(derps_up(w->derps, 1));
    close_world(w);
}

static void test_again(void **state)
{
    (void)state;
    struct world *w = open_world();
    ts_t began = w->now;

    derps_home_set(w->derps, 1, w->now);
    assert_false(derps_failing(w->derps, 1, w->now));
    while (w->now < began + 60 * TS_S) {
        act(w);
        if (w->open[1]) {
            w->open[1] = false;
            derps_closed(w->derps, 1, w->now); /* refused */
        }
        ts_t next = derps_deadline(w->derps, w->now);

        assert_true(next > w->now && next != TS_NEVER);
        w->now = next;
        expire(w);
    }
    unsigned tries = w->opened[0] + w->opened[1];

    assert_in_range(tries, 12, 35); /* pauses of up to 5 s */
    assert_true(w->opened[0] >= tries / 2 - 1 && w->opened[1] >= tries / 2 - 1); /* in turn */
    assert_true(derps_failing(w->derps, 1, w->now));
    if (!w->open[1]) {
        w->now = derps_deadline(w->derps, w->now);
        expire(w);
    }
    log_in(w, 1);
    assert_false(derps_failing(w->derps, 1, w->now));
    assert_true(change(w, 1));
    /* one that restarts is left in peace for so long as it said */
    feed(w, 1, "\x15\0\0\0\x08\0\0\x0b\xb8\0\0\x0b\xb8", 13);
    derps_closed(w->derps, 1, w->now);
    assert_false(change(w, 1));
    assert_true(derps_deadline(w->derps, w->now) >= w->now + 3 * TS_S);
    close_world(w);
}

static void test_map(void **state)
{
    (void)state;
    struct world *w = open_world();

    derps_home_set(w->derps, 1, w->now);
    log_in(w, 1);
    assert_true(change(w, 1));
    derps_map_set(w->derps, &w->map, w->now); /* nothing new: nothing happens */
    act(w);
    assert_int_equal(w->closed, 0);
    assert_true(derps_up(w->derps, 1));
    w->regions[0].nodes++; /* the node in use is gone */
    w->regions[0].nodes_count = 1;
    derps_map_set(w->derps, &w->map, w->now);
    assert_false(derps_up(w->derps, 1));
    act(w);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->opened[1], 1);
    assert_false(change(w, 1));
    log_in(w, 1);
    assert_true(change(w, 1));
    w->map.regions_count = 0; /* and now the region */
    derps_map_set(w->derps, &w->map, w->now);
    act(w);
    assert_int_equal(w->closed, 2);
    assert_false(change(w, 1));
    assert_true(derps_failing(w->derps, 1, w->now));
    assert_int_equal(derps_deadline(w->derps, w->now), TS_NEVER);
    close_world(w);
}

/* what waits for a connection that is refused, and what finds no room or region, comes back; what was taken does not */
static void test_lost(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct endpoint to = endpoint_derp(w->peer, 2), nowhere = endpoint_derp(w->peer, 9);
    struct derps_stats stats;
    uint8_t said[4096];
    size_t len;

    assert_false(derps_send(w->derps, &nowhere, (const uint8_t *)"a ", 2, w->now));
    assert_string_equal(w->lost, "a ");
    assert_true(derps_send(w->derps, &to, (const uint8_t *)"b ", 2, w->now));
    assert_true(derps_send(w->derps, &to, (const uint8_t *)"c ", 2, w->now));
    act(w);
    assert_string_equal(w->lost, "a ");
    derps_closed(w->derps, 2, w->now);
    assert_string_equal(w->lost, "a b c ");
    w->now = derps_deadline(w->derps, w->now);
    expire(w);
    log_in(w, 2);
    pull(w, 2, said, sizeof(said));
    assert_true(derps_send(w->derps, &to, (const uint8_t *)"d ", 2, w->now));
    assert_true(derps_send(w->derps, &to, (const uint8_t *)"e ", 2, w->now));
    assert_non_null(derps_output(w->derps, 2, &len));
    derps_sent(w->derps, 2, len - 1 - (DERP_SEND_HEADER + 2)); /* all but the last byte of d */
    derps_closed(w->derps, 2, w->now);
    assert_string_equal(w->lost, "a b c e ");
    derps_stats(w->derps, &stats);
    assert_int_equal(stats.dropped, 4);
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_home_and_others),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_lost),
    };

    return crypto_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
