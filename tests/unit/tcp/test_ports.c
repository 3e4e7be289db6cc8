/* test_ports.c - own ports rest before they are used again, and what is known of a place is forgotten in time. */
#include "common/tcp/tcp_ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/err.h"

#define REST (60 * TS_S)

static struct addr local, other;
static struct addrport remote;

static void setup_addresses(void)
{
    addr_parse("10.0.0.1", 8, &local);
    addr_parse("10.0.0.2", 8, &other);
    addrport_parse("10.0.0.9:443", 12, &remote);
}

static int take(struct tcp_ports *p, ts_t now)
{
    return tcp_ports_take(p, &local, &remote, now);
}

static void put(struct tcp_ports *p, int port, ts_t now)
{
    struct addrport at = {local, (uint16_t)port};

    tcp_ports_put(p, &at, &remote, now);
}

static void rests(void **state)
{
    struct tcp_ports p;
    struct rng rng;
    bool seen[4] = {false};
    int port;

    (void)state;
    rng_seed(&rng, 1);
    tcp_ports_init(&p, 1000, 1003, REST, &rng);
    for (int i = 0; i < 4; i++) {
        port = take(&p, 0);
        assert_in_range(port, 1000, 1003);
        assert_false(seen[port - 1000]);
        seen[port - 1000] = true;
    }
    assert_int_equal(take(&p, 0), ERR_NO_PORTS);
    assert_true(tcp_ports_take(&p, &other, &remote, 0) > 0); /* another place has its own */
    put(&p, 1002, 10 * TS_MS);
    put(&p, 1000, 20 * TS_MS);
    assert_int_equal(take(&p, 10 * TS_MS + REST - 1), ERR_NO_PORTS);
    assert_int_equal(take(&p, 20 * TS_MS + REST), 1002); /* the one that rested longest */
    assert_int_equal(take(&p, 20 * TS_MS + REST), 1000);
    tcp_ports_deinit(&p);
}

/* a long-rested port comes before a new one, so that a quiet place knows few */
static void few(void **state)
{
    struct tcp_ports p;
    struct rng rng;
    int first, second;

    (void)state;
    rng_seed(&rng, 1);
    tcp_ports_init(&p, 1024, 65535, REST, &rng);
    int hold = take(&p, 0);

    first = take(&p, 0);
    put(&p, first, 0);
    second = take(&p, 2 * REST);
    assert_int_not_equal(first, second);
    put(&p, second, 2 * REST);
    assert_int_equal(take(&p, TCP_PORTS_REST_LONG * REST), first);
    put(&p, hold, 0);
    tcp_ports_deinit(&p);
}

static void forgets(void **state)
{
    struct tcp_ports p;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    tcp_ports_init(&p, 1024, 65535, REST, &rng);
    for (uint16_t i = 1; i <= 1000; i++) {
        struct addrport to = {other, i}, at = {local, 0};
        ts_t now = i * TS_S;
        int port = tcp_ports_take(&p, &local, &to, now);

        assert_true(port > 0);
        at.port = (uint16_t)port;
        tcp_ports_put(&p, &at, &to, now);
        assert_in_range(tcp_ports_places(&p), 1, 62);
    }
    tcp_ports_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rests),
        cmocka_unit_test(few),
        cmocka_unit_test(forgets),
    };

    setup_addresses();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
