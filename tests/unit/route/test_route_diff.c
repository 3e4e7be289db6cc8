/* test_route_diff.c - every field of a row counts when two are compared. */
#include "table.h"

#include "ingress/route/route_diff.h"

static void expect(const struct route_node *was, const struct route_node *now, unsigned want)
{
    const struct route_node *a = route_row_new(was), *b = route_row_new(now);

    assert_int_equal(route_node_changed(a, b), want);
    assert_int_equal(route_node_changed(b, a), want);
    assert_int_equal(route_node_changed(a, a), 0);
    route_node_put(a);
    route_node_put(b);
}

static void each_field_is_seen(void **state)
{
    (void)state;
    const struct route_name name_a[] = {{.name = "a"}}, name_b[] = {{.name = "b"}};
    const struct route_name target[] = {{.name = "a", .target = "t", .target_port = 1}};
    const struct route_name target_port[] = {{.name = "a", .target = "t", .target_port = 2}};
    const struct addr address[] = {{{[0] = 0xfd, [15] = 1}}};
    const struct addrport endpoint[] = {{{{[0] = 0x20, [15] = 1}}, 1}}, moved[] = {{{{[0] = 0x20, [15] = 1}}, 2}};
    const uint16_t port[] = {8443};
    const uint8_t secret_a[ROUTE_KEY_BYTES] = {1}, secret_b[ROUTE_KEY_BYTES] = {2};
    struct route_node base = node_of("n", name_a, 1), n;

#define SEEN(change, want) (n = base, change, expect(&base, &n, want))
    SEEN((n.key[0] ^= 1, n.addresses = address, n.addresses_count = 1), 3);
    SEEN(n.tailnet = "x", 1);
    SEEN(n.preshared_key = secret_a, 1);
    SEEN((n.addresses = address, n.addresses_count = 1), 2);
    SEEN((n.endpoints = endpoint, n.endpoints_count = 1), 4);
    SEEN(n.names = name_b, 8);
    SEEN(n.names = target, 8);
    SEEN(n.names_count = 0, 8);
    SEEN(n.ports = port, 8);
    SEEN(n.peerapi4 = 2, 8);
    SEEN(n.peerapi6 = 2, 8);
    SEEN(n.mtu = 1420, 8);
    SEEN(n.keepalive = true, 8);
    SEEN(n.consent = ROUTE_CONSENT_ASK, 8);
    SEEN(n.transport = ROUTE_TCP, 8);
    SEEN(n.proxy_protocol = ROUTE_PROXY_V2, 8);
    SEEN(n.half_close = ROUTE_HALF_CLOSE_HOLD, 8);
    SEEN(n.connections_max = 1, 8);
    SEEN(n.expires = 200, 8);
    SEEN(n.expires = 50, 8);
    SEEN(n.admin = false, 8);
    SEEN(n.consent = ROUTE_CONSENT_NO, 8);

    base.names = target;
    SEEN(n.names = target_port, 8);
    base.preshared_key = secret_a;
    SEEN(n.preshared_key = secret_b, 1);
    base.endpoints = endpoint, base.endpoints_count = 1;
    SEEN(n.endpoints = moved, 4);
#undef SEEN
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
