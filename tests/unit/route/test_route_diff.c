/* test_route_diff.c - what a reload, or time passing, means for each node. */
#include "table.h"

#include <stdio.h>

#include "ingress/route/route_diff.h"

/* The calls as text: "-id" removed, "~id:bits" changed, "!id" revoked, "+id" added. */
struct story {
    char text[256];
};

static void tell(struct story *s, const char *fmt, const char *id, unsigned bits)
{
    size_t at = strlen(s->text);
    char with_bits[16] = "";

    if (bits)
        snprintf(with_bits, sizeof(with_bits), ":%u", bits);
    snprintf(s->text + at, sizeof(s->text) - at, "%s%s%s%s", at ? " " : "", fmt, id, with_bits);
}

static void added(const struct route_node *now, void *ctx)
{
    tell(ctx, "+", now->id, 0);
}

static void removed(const struct route_node *was, void *ctx)
{
    tell(ctx, "-", was->id, 0);
}

static void changed(const struct route_node *was, const struct route_node *now, unsigned bits, void *ctx)
{
    assert_string_equal(was->id, now->id);
    tell(ctx, "~", now->id, bits);
}

static void revoked(const struct route_node *was, const struct route_node *now, void *ctx)
{
    assert_string_equal(was->id, now->id);
    tell(ctx, "!", now->id, 0);
}

static const struct route_diff_events all = {added, removed, changed, revoked};

static struct route_table *table_of(const struct route_node *nodes, size_t count)
{
    struct route_builder *b = builder_new();

    for (size_t i = 0; i < count; i++)
        add(b, &nodes[i]);
    return route_table_new(b);
}

static void expect(const struct route_node *was, size_t was_count, const struct route_node *now, size_t now_count,
                   const char *want)
{
    struct route_table *a = table_of(was, was_count), *b = table_of(now, now_count);
    struct story s = {""};

    route_diff(a, 100, b, 100, &all, &s);
    assert_string_equal(s.text, want);
    route_diff(a, 100, b, 100, &(const struct route_diff_events){0}, NULL);
    route_table_put(a);
    route_table_put(b);
}

static void comings_and_goings(void **state)
{
    (void)state;
    struct route_node a[] = {node_of("1", NULL, 0), node_of("2", NULL, 0)};
    struct route_node b[] = {node_of("3", NULL, 0), node_of("2", NULL, 0), node_of("4", NULL, 0)};

    expect(a, 2, a, 2, "");
    expect(a, 2, b, 3, "-1 +3 +4");
    expect(a, 0, a, 2, "+1 +2");
    expect(a, 2, a, 0, "-1 -2");
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

#define SEEN(change, want) (n = base, change, expect(&base, 1, &n, 1, want))
    SEEN((n.key[0] ^= 1, n.addresses = address, n.addresses_count = 1), "~n:3");
    SEEN(n.tailnet = "x", "~n:1");
    SEEN(n.preshared_key = secret_a, "~n:1");
    SEEN((n.addresses = address, n.addresses_count = 1), "~n:2");
    SEEN((n.endpoints = endpoint, n.endpoints_count = 1), "~n:4");
    SEEN(n.names = name_b, "~n:8");
    SEEN(n.names = target, "~n:8");
    SEEN(n.names_count = 0, "~n:8");
    SEEN(n.ports = port, "~n:8");
    SEEN(n.peerapi4 = 2, "~n:8");
    SEEN(n.peerapi6 = 2, "~n:8");
    SEEN(n.mtu = 1420, "~n:8");
    SEEN(n.keepalive = true, "~n:8");
    SEEN(n.consent = ROUTE_CONSENT_ASK, "~n:8");
    SEEN(n.transport = ROUTE_TCP, "~n:8");
    SEEN(n.proxy_protocol = ROUTE_PROXY_V2, "~n:8");
    SEEN(n.half_close = ROUTE_HALF_CLOSE_HOLD, "~n:8");
    SEEN(n.connections_max = 1, "~n:8");
    SEEN(n.expires = 200, "~n:8");
    SEEN(n.expires = 50, "~n:8 !n");
    SEEN(n.admin = false, "~n:8 !n");
    SEEN(n.consent = ROUTE_CONSENT_NO, "~n:8 !n");

    base.names = target;
    SEEN(n.names = target_port, "~n:8");
    base.preshared_key = secret_a;
    SEEN(n.preshared_key = secret_b, "~n:1");
    base.endpoints = endpoint, base.endpoints_count = 1;
    SEEN(n.endpoints = moved, "~n:4");
    base.admin = false; /* what was never open can't be revoked */
    SEEN(n.consent = ROUTE_CONSENT_NO, "~n:8");
#undef SEEN
}

static void expiry_is_a_diff_in_time(void **state)
{
    (void)state;
    struct route_node nodes[] = {node_of("never", NULL, 0), node_of("soon", NULL, 0), node_of("late", NULL, 0)};

    nodes[1].expires = 150;
    nodes[2].expires = 250;
    struct route_table *t = table_of(nodes, 3);
    struct story s = {""};

    assert_int_equal(route_expires_next(t, 100), 150);
    assert_int_equal(route_expires_next(t, 150), 250);
    assert_int_equal(route_expires_next(t, 250), 0);
    route_diff(t, 100, t, 149, &all, &s);
    assert_string_equal(s.text, "");
    route_diff(t, 149, t, 150, &all, &s);
    assert_string_equal(s.text, "!soon");
    route_diff(t, 150, t, 300, &all, &s);
    assert_string_equal(s.text, "!soon !late");
    route_table_put(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comings_and_goings),
        cmocka_unit_test(each_field_is_seen),
        cmocka_unit_test(expiry_is_a_diff_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
