/* test_netcheck.c - rounds of STUN against invented relays: own endpoints from the first answer on, the nearest region as
 * home, no fickleness, another home when the old one can't be connected to. */
#include "tests/unit/tailnet/vectors.h"

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/tailnet/netcheck.h"

#define REGIONS 3

struct world {
    struct netcheck *nc;
    struct rng rng;
    ts_t now;
    struct derp_node nodes[REGIONS];
    struct derp_region regions[REGIONS];
    struct derp_map map;
    uint64_t latency_ns[REGIONS]; /* 0: silent */
    unsigned asked[REGIONS];
};

static struct world *open_world(size_t regions)
{
    static char *const ips[REGIONS] = {(char *)"192.0.2.1", (char *)"192.0.2.2", (char *)"192.0.2.3"};
    struct world *w = calloc(1, sizeof(*w));

    rng_seed(&w->rng, 3);
    w->now = 1000 * TS_S;
    for (size_t i = 0; i < regions; i++) {
        w->nodes[i] = (struct derp_node){.name = (char *)"n", .host = (char *)"relay.example.com", .cert_name = (char *)"",
                                         .ipv4 = ips[i], .ipv6 = (char *)"none", .stun_test_ip = (char *)"",
                                         .stun_port = 3478, .derp_port = 443};
        w->regions[i] = (struct derp_region){
            .id = (uint16_t)(i + 1), .code = (char *)"r", .score_milli = 1000, .nodes = &w->nodes[i], .nodes_count = 1};
        w->latency_ns[i] = (i + 1) * 30 * TS_MS;
    }
    w->map = (struct derp_map){w->regions, regions};
    w->nc = netcheck_new(&w->rng);
    assert_non_null(w->nc);
    netcheck_map_set(w->nc, &w->map, w->now);
    return w;
}

static void close_world(struct world *w)
{
    netcheck_free(w->nc);
    free(w);
}

static void answer(struct world *w, const uint8_t *request, struct addrport mapped, ts_t at)
{
    uint8_t d[32] = {1, 1, 0, 12};

    memcpy(d + 4, request + 4, 16);
    memcpy(d + 20, (const uint8_t[]){0, 1, 0, 8, 0, 1}, 6);
    be16_put(d + 26, mapped.port);
    memcpy(d + 28, addr_v4_bytes(&mapped.addr), 4);
    netcheck_input(w->nc, d, sizeof(d), at);
}

/* until the round is over; returns the news of all of it */
static unsigned round_of(struct world *w, struct addrport mapped)
{
    struct { ts_t at; uint8_t request[STUN_REQUEST_BYTES]; } due[64];
    size_t count = 0;
    unsigned news = 0;

    memset(w->asked, 0, sizeof(w->asked));
    netcheck_start(w->nc, w->now);
    for (int steps = 0; !(news & NETCHECK_DONE); steps++) {
        struct endpoint to;
        uint8_t out[STUN_REQUEST_BYTES];

        assert_true(steps < 200);
        netcheck_expire(w->nc, w->now);
        while (netcheck_output(w->nc, out, &to, w->now)) {
            size_t region = addr_v4_bytes(&to.remote.addr)[3] - 1u;

            assert_int_equal(to.remote.port, 3478);
            w->asked[region]++;
            if (!w->latency_ns[region])
                continue;
            due[count].at = w->now + w->latency_ns[region];
            memcpy(due[count++].request, out, sizeof(out));
        }
        ts_t next = netcheck_deadline(w->nc);
        size_t first = count;

        for (size_t i = 0; i < count; i++)
            if (due[i].at <= next) {
                next = due[i].at;
                first = i;
            }
        news |= netcheck_news(w->nc);
        if (news & NETCHECK_DONE)
            break;
        assert_true(next != TS_NEVER);
        w->now = ts_max(w->now, next);
        if (first < count) {
            answer(w, due[first].request, mapped, w->now);
            due[first].at = TS_NEVER;
        }
        news |= netcheck_news(w->nc);
    }
    return news;
}

static void test_round(void **state)
{
    (void)state;
    struct world *w = open_world(3);
    struct addrport mapped = at("203.0.113.7:4567"), got[NETCHECK_MAPPED_MAX];

    assert_int_equal(netcheck_home(w->nc), 0);
    unsigned news = round_of(w, mapped);

    assert_int_equal(news, NETCHECK_DONE | NETCHECK_ENDPOINTS | NETCHECK_HOME);
    assert_int_equal(netcheck_home(w->nc), 1);
    assert_int_equal(netcheck_latency(w->nc, 2, w->now), 60 * TS_MS);
    assert_int_equal(netcheck_mapped(w->nc, got), 1);
    assert_true(addrport_equal(&got[0], &mapped));
    assert_int_equal(netcheck_deadline(w->nc), TS_NEVER);
    /* the mapping has changed */
    w->now += 25 * TS_S;
    mapped.port = 9;
    round_of(w, mapped);
    assert_int_equal(netcheck_mapped(w->nc, got), 1);
    assert_true(addrport_equal(&got[0], &mapped));
    close_world(w);
}

static void test_home_is_not_fickle(void **state)
{
    (void)state;
    struct world *w = open_world(3);
    struct addrport mapped = at("203.0.113.7:4567");

    round_of(w, mapped);
    assert_int_equal(netcheck_home(w->nc), 1);
    w->latency_ns[0] = 30 * TS_MS;
    w->latency_ns[1] = 25 * TS_MS; /* better, not by a third */
    w->now += NETCHECK_ALL_NS;
    round_of(w, mapped);
    assert_int_equal(netcheck_home(w->nc), 1);
    w->latency_ns[1] = 12 * TS_MS; /* by more than a third and 10 ms */
    w->now += 25 * TS_S;
    round_of(w, mapped);
    assert_int_equal(netcheck_home(w->nc), 2);
    /* who can't be told, stays */
    netcheck_stay(w->nc, true, w->now);
    w->latency_ns[2] = TS_MS;
    w->now += NETCHECK_ALL_NS;
    round_of(w, mapped);
    assert_int_equal(netcheck_home(w->nc), 2);
    netcheck_stay(w->nc, false, w->now);
    assert_int_equal(netcheck_home(w->nc), 3);
    close_world(w);
}

static void test_home_dies(void **state)
{
    (void)state;
    struct world *w = open_world(3);
    struct addrport mapped = at("203.0.113.7:4567");

    round_of(w, mapped);
    netcheck_failing(w->nc, 1, w->now);
    assert_int_equal(netcheck_news(w->nc), NETCHECK_HOME);
    assert_int_equal(netcheck_home(w->nc), 2);
    w->now += 25 * TS_S;
    round_of(w, mapped); /* it answers STUN all the same: not again so soon */
    assert_int_equal(netcheck_home(w->nc), 2);
    netcheck_failing(w->nc, 2, w->now);
    netcheck_failing(w->nc, 3, w->now + 1);
    netcheck_failing(w->nc, 1, w->now + 2); /* all: never stuck with none */
    assert_true(netcheck_home(w->nc) != 0);
    w->now += NETCHECK_ALL_NS + TS_S;
    round_of(w, mapped);
    assert_int_equal(netcheck_home(w->nc), 1);
    close_world(w);
}

static void test_no_stun(void **state)
{
    (void)state;
    struct world *w = open_world(2);
    struct addrport got[NETCHECK_MAPPED_MAX];
    ts_t began = w->now;

    memset(w->latency_ns, 0, sizeof(w->latency_ns));
    unsigned news = round_of(w, at("203.0.113.7:4567"));

    assert_true(news & NETCHECK_HOME); /* some relay is better than none */
    assert_true(netcheck_home(w->nc) != 0);
    assert_int_equal(netcheck_mapped(w->nc, got), 0);
    assert_int_equal(w->asked[0], NETCHECK_TRIES);
    assert_int_equal(w->now - began, NETCHECK_ROUND_NS);
    close_world(w);
    w = open_world(1); /* one region: nothing to measure */
    assert_int_equal(netcheck_home(w->nc), 1);
    assert_int_equal(netcheck_news(w->nc), NETCHECK_HOME);
    close_world(w);
}

/* one that never answers keeps nobody waiting for a home */
static void test_early_home(void **state)
{
    (void)state;
    struct world *w = open_world(3);
    uint8_t out[STUN_REQUEST_BYTES];
    struct endpoint to;
    ts_t began = w->now;

    netcheck_start(w->nc, w->now);
    while (netcheck_output(w->nc, out, &to, w->now))
        if (addr_v4_bytes(&to.remote.addr)[3] == 3)
            answer(w, out, at("203.0.113.7:4567"), w->now + 40 * TS_MS);
    assert_int_equal(netcheck_home(w->nc), 0); /* nearer ones may be about to answer */
    while (netcheck_home(w->nc) == 0) {
        w->now = netcheck_deadline(w->nc);
        assert_true(w->now - began <= TS_S);
        netcheck_expire(w->nc, w->now);
        while (netcheck_output(w->nc, out, &to, w->now))
            ;
    }
    assert_int_equal(netcheck_home(w->nc), 3);
    close_world(w);
}

static void test_names(void **state)
{
    (void)state;
    struct world *w = open_world(1);
    uint8_t out[STUN_REQUEST_BYTES];
    struct endpoint to;
    struct addrport found = at("198.51.100.5:0");

    w->nodes[0].ipv4 = (char *)"";
    netcheck_map_set(w->nc, &w->map, w->now);
    assert_string_equal(netcheck_unresolved(w->nc), "relay.example.com");
    assert_null(netcheck_unresolved(w->nc));
    netcheck_resolved(w->nc, "relay.example.com", NULL, 0); /* it failed: asked for again, but not at once */
    assert_null(netcheck_unresolved(w->nc));
    netcheck_start(w->nc, w->now);
    assert_string_equal(netcheck_unresolved(w->nc), "relay.example.com");
    assert_null(netcheck_unresolved(w->nc));
    netcheck_resolved(w->nc, "relay.example.com", &found.addr, 1);
    while (!(netcheck_news(w->nc) & NETCHECK_DONE)) {
        w->now = netcheck_deadline(w->nc);
        netcheck_expire(w->nc, w->now);
    }
    netcheck_start(w->nc, w->now);
    assert_null(netcheck_unresolved(w->nc));
    assert_int_equal(netcheck_output(w->nc, out, &to, w->now), STUN_REQUEST_BYTES);
    assert_true(addr_equal(&to.remote.addr, &found.addr));
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),   cmocka_unit_test(test_home_is_not_fickle), cmocka_unit_test(test_home_dies),
        cmocka_unit_test(test_no_stun), cmocka_unit_test(test_early_home),         cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
