/* test_route_builder.c - what two nodes may not share, and that a refused node leaves no trace. */
#include "table.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/crypto/key.h"

static void refuse(struct route_table *t, const struct route_node *node, enum route_conflict_kind kind,
                   size_t index, const char *other)
{
    struct route_conflict c;

    assert_int_equal(route_builder_add(t, node, &c), ERR_EXISTS);
    assert_int_equal(c.kind, kind);
    assert_int_equal(c.index, index);
    if (other)
        assert_string_equal(c.other->id, other);
    else
        assert_null(c.other);
}

static struct addr address(const char *text)
{
    struct addr a;

    assert_true(addr_parse(text, strlen(text), &a));
    return a;
}

static void ids_and_keys_are_unique(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    struct route_node one = node_of("one", NULL, 0), other = node_of("other", NULL, 0);

    add(t, &one);
    other.id = "one";
    other.tailnet = "elsewhere"; /* ids and keys are so across tailnets */
    refuse(t, &other, ROUTE_CONFLICT_ID, 0, "one");
    other.id = "two";
    memcpy(other.key, one.key, sizeof(one.key));
    refuse(t, &other, ROUTE_CONFLICT_KEY, 0, "one");

    assert_int_equal(route_node_count(t), 1);
    route_table_free(t);
}

static void addresses_are_unique_in_a_tailnet(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    struct addr shared = address("100.64.0.1");
    struct addr both[] = {address("100.64.0.2"), shared}, twice[] = {address("fd00::1"), address("fd00::1")};
    struct route_node one = node_of("one", NULL, 0), two = node_of("two", NULL, 0);

    one.addresses = &shared, one.addresses_count = 1, one.tailnet = "home";
    add(t, &one);
    two.addresses = both, two.addresses_count = 2, two.tailnet = "home";
    refuse(t, &two, ROUTE_CONFLICT_ADDRESS, 1, "one");
    two.tailnet = "work";
    add(t, &two);
    struct route_node three = node_of("three", NULL, 0);

    three.addresses = twice, three.addresses_count = 2;
    refuse(t, &three, ROUTE_CONFLICT_ADDRESS, 1, NULL);
    route_table_free(t);
}

static void derived_addresses_count(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    struct route_node one = node_of("one", NULL, 0), two = node_of("two", NULL, 0);
    struct addr ula;

    add(t, &one);
    key_ula(one.key, &ula);
    two.addresses = &ula, two.addresses_count = 1;
    refuse(t, &two, ROUTE_CONFLICT_ADDRESS, 0, "one");
    const struct route_node *n = route_table_at(t, 0);

    assert_int_equal(n->addresses_count, 1);
    assert_true(addr_equal(&n->addresses[0], &ula));
    route_table_free(t);
}

static void names_are_shared_up_to_a_bound_but_not_repeated(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    const struct route_name shared[] = {{.name = "own"}, {.name = "*.x"}};
    const struct route_name twice[] = {{.name = "new"}, {.name = "*.x"}, {.name = "*.x"}};
    struct route_match m;

    for (int i = 0; i < ROUTE_NODES_PER_NAME; i++) {
        char id[16];

        snprintf(id, sizeof(id), "n%d", i);
        struct route_node n = node_of(id, shared + 1, 1);

        if (i == ROUTE_NODES_PER_NAME - 1) {
            struct route_node bad = node_of("bad", twice, 3);

            refuse(t, &bad, ROUTE_CONFLICT_NAME, 2, NULL);
        }
        add(t, &n);
    }
    struct route_node full = node_of("full", shared, 2);

    refuse(t, &full, ROUTE_CONFLICT_NAME_FULL, 1, NULL);

    assert_int_equal(find(t, "own", &m), ROUTE_UNKNOWN_NAME); /* taken back with the node */
    assert_int_equal(find(t, "new", &m), ROUTE_UNKNOWN_NAME);
    assert_int_equal(find(t, "a.x", &m), ROUTE_OK);
    assert_int_equal(m.count, ROUTE_NODES_PER_NAME);
    for (int i = 0; i < ROUTE_NODES_PER_NAME; i++) {
        char id[16];

        snprintf(id, sizeof(id), "n%d", i);
        assert_string_equal(m.candidates[i].node->id, id);
    }
    route_table_free(t);
}

/* Every part of a row is the table's own. */
static void rows_are_copies(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    char id[] = "id", tailnet[] = "net", name[] = "*.x", target[] = "t";
    struct route_name names[] = {{.name = name, .target = target, .target_port = 9}};
    struct addr addresses[] = {address("100.64.0.1"), address("fd00::1")};
    struct addrport endpoints[] = {{address("192.0.2.1"), 1}, {address("2001:db8::1"), 2}};
    uint16_t ports[] = {443, 8443, 10000};
    uint8_t secret[ROUTE_KEY_BYTES];
    struct route_node n = node_of(id, names, 1);

    memset(secret, 7, sizeof(secret));
    n.tailnet = tailnet;
    n.addresses = addresses, n.addresses_count = 2;
    n.endpoints = endpoints, n.endpoints_count = 2;
    n.ports = ports, n.ports_count = 3;
    n.preshared_key = secret;
    add(t, &n);
    memset(id, 'z', 2), memset(tailnet, 'z', 3), memset(name, 'z', 3), memset(target, 'z', 1);
    memset(addresses, 1, sizeof(addresses)), memset(endpoints, 1, sizeof(endpoints)), memset(ports, 1, sizeof(ports));
    memset(secret, 1, sizeof(secret)), memset(names, 0, sizeof(names));
    const struct route_node *r = route_node_by_id(t, "id", 2);

    assert_non_null(r);
    assert_string_equal(r->tailnet, "net");
    assert_string_equal(r->names[0].name, "*.x");
    assert_string_equal(r->names[0].target, "t");
    assert_int_equal(r->names[0].target_port, 9);
    struct addr second = address("fd00::1"), remote = address("2001:db8::1");

    assert_true(addr_equal(&r->addresses[1], &second));
    assert_true(addr_equal(&r->endpoints[1].addr, &remote));
    assert_int_equal(r->endpoints[1].port, 2);
    assert_int_equal(r->ports[2], 10000);
    assert_int_equal(r->preshared_key[31], 7);
    route_table_free(t);
}

static void table_can_be_dropped(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    struct route_node n = node_of("n", NULL, 0);

    add(t, &n);
    route_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_keys_are_unique),
        cmocka_unit_test(addresses_are_unique_in_a_tailnet),
        cmocka_unit_test(derived_addresses_count),
        cmocka_unit_test(names_are_shared_up_to_a_bound_but_not_repeated),
        cmocka_unit_test(rows_are_copies),
        cmocka_unit_test(table_can_be_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
