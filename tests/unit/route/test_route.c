/* test_route.c - which node a name and a port lead to, and how the answer is told when none may be used. */
#include "table.h"

#include <stdio.h>

#include "common/base/rng.h"

static void expect(const struct route_table *t, const char *name, const char *id)
{
    struct route_match m;
    enum route_result result = find(t, name, &m);

    if (!id) {
        assert_int_equal(result, ROUTE_UNKNOWN_NAME);
        assert_int_equal(m.count, 0);
        return;
    }
    assert_int_equal(result, ROUTE_OK);
    assert_int_equal(m.count, 1);
    assert_string_equal(m.candidates[0].node->id, id);
}

static void exact_before_wildcard_before_wider(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    const struct route_name exact[] = {{.name = "a.b.c"}}, near[] = {{.name = "*.b.c"}}, wide[] = {{.name = "*.c"}};
    struct route_node n;

    n = node_of("wide", wide, 1), add(t, &n);
    n = node_of("near", near, 1), add(t, &n);
    n = node_of("exact", exact, 1), add(t, &n);

    expect(t, "a.b.c", "exact");
    expect(t, "x.b.c", "near");
    expect(t, "y.x.b.c", "near"); /* any depth */
    expect(t, "x.a.b.c", "near"); /* an exact name hides nothing below it */
    expect(t, "b.c", "wide");     /* a wildcard is not its own base */
    expect(t, "x.c", "wide");
    expect(t, "c", NULL);
    expect(t, "d", NULL);
    expect(t, "", NULL);
    expect(t, ".b.c", NULL); /* the spelling wildcards are kept under */
    expect(t, ".", NULL);
    expect(t, "..", NULL);
    expect(t, "xb.c", "wide");
    route_table_free(t);
}

static void explains_each_node_of_the_most_specific_name(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    const struct route_name exact[] = {{.name = "a.b"}};
    const struct route_name wide[] = {{.name = "*.b", .target = "t.ts.net", .target_port = 1}};
    struct route_owner owners[ROUTE_NODES_PER_NAME];
    struct route_node n;

    n = node_of("open", exact, 1), add(t, &n);
    n = node_of("shut", exact, 1), n.consent = ROUTE_CONSENT_NO, add(t, &n);
    n = node_of("old", exact, 1), n.expires = 5, add(t, &n);
    n = node_of("wide", wide, 1), add(t, &n);

    assert_int_equal(route_explain(t, "a.b", 3, 443, 5, owners), 3);
    assert_string_equal(owners[0].node->id, "open");
    assert_int_equal(owners[0].result, ROUTE_OK);
    assert_string_equal(owners[1].node->id, "shut");
    assert_int_equal(owners[1].result, ROUTE_NOT_OPTED_IN);
    assert_string_equal(owners[2].node->id, "old");
    assert_int_equal(owners[2].result, ROUTE_EXPIRED);
    assert_string_equal(owners[2].rule->name, "a.b");

    assert_int_equal(route_explain(t, "c.b", 3, 80, 0, owners), 1);
    assert_string_equal(owners[0].rule->name, "*.b");
    assert_string_equal(owners[0].rule->target, "t.ts.net");
    assert_int_equal(owners[0].result, ROUTE_PORT_NOT_FUNNELLED);
    assert_int_equal(route_explain(t, "b", 1, 443, 0, owners), 0);
    assert_int_equal(route_explain(t, "", 0, 443, 0, owners), 0);
    route_table_free(t);
}

static void target_is_the_visitors_unless_rewritten(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    const struct route_name names[] = {{.name = "*.a"},
                                       {.name = "www.b", .target = "node.ts.net", .target_port = 8443}};
    struct route_node n = node_of("n", names, 2);
    struct route_match m;

    add(t, &n);

    assert_int_equal(find(t, "x.a", &m), ROUTE_OK);
    assert_int_equal(m.candidates[0].target_len, 3);
    assert_memory_equal(m.candidates[0].target, "x.a", 3);
    assert_int_equal(m.candidates[0].target_port, 443);
    assert_int_equal(find(t, "www.b", &m), ROUTE_OK);
    assert_int_equal(m.candidates[0].target_len, 11);
    assert_memory_equal(m.candidates[0].target, "node.ts.net", 11);
    assert_int_equal(m.candidates[0].target_port, 8443);
    route_table_free(t);
}

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        bool admin;
        enum route_consent consent;
        uint64_t expires;
        uint16_t port;
        enum route_result result;
    } cases[] = {
        {true, ROUTE_CONSENT_YES, 0, 443, ROUTE_OK},
        {true, ROUTE_CONSENT_ASK, 0, 443, ROUTE_OK},
        {true, ROUTE_CONSENT_NO, 0, 443, ROUTE_NOT_OPTED_IN},
        {false, ROUTE_CONSENT_YES, 0, 443, ROUTE_NOT_OPTED_IN},
        {false, ROUTE_CONSENT_ASK, 0, 443, ROUTE_NOT_OPTED_IN},
        {true, ROUTE_CONSENT_YES, 1001, 443, ROUTE_OK},
        {true, ROUTE_CONSENT_YES, 1000, 443, ROUTE_EXPIRED}, /* at that second it is over */
        {true, ROUTE_CONSENT_YES, 999, 443, ROUTE_EXPIRED},
        {false, ROUTE_CONSENT_YES, 999, 443, ROUTE_NOT_OPTED_IN},
        {true, ROUTE_CONSENT_YES, 0, 8443, ROUTE_PORT_NOT_FUNNELLED},
        {false, ROUTE_CONSENT_NO, 1, 8443, ROUTE_PORT_NOT_FUNNELLED},
    };
    const struct route_name names[] = {{.name = "a"}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct route_table *t = table_new();
        struct route_node n = node_of("n", names, 1);
        struct route_match m;

        n.admin = cases[i].admin;
        n.consent = cases[i].consent;
        n.expires = cases[i].expires;
        add(t, &n);

        assert_int_equal(route_find(t, "a", 1, cases[i].port, 1000, &m), cases[i].result);
        assert_int_equal(m.count, cases[i].result == ROUTE_OK);
        if (cases[i].port == 443)
            assert_int_equal(route_node_open(route_table_at(t, 0), 1000), cases[i].result == ROUTE_OK);
        route_table_free(t);
    }
}

/* Usable nodes keep the feed's order; unusable ones are passed over; the answer is that of the furthest. */
static void several_nodes_for_one_name(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    const struct route_name names[] = {{.name = "x"}, {.name = "*.x"}}, none[] = {{.name = "y"}};
    struct route_node n;
    struct route_match m;

    n = node_of("no", names, 2), n.admin = false, add(t, &n);
    n = node_of("two", names, 2), add(t, &n);
    n = node_of("old", names, 2), n.expires = 5, add(t, &n);
    n = node_of("four", names, 2), add(t, &n);
    n = node_of("y1", none, 1), n.expires = 5, add(t, &n);
    n = node_of("y2", none, 1), n.ports_count = 0, add(t, &n);
    n = node_of("y3", none, 1), n.consent = ROUTE_CONSENT_NO, add(t, &n);

    assert_int_equal(route_find(t, "a.x", 3, 443, 5, &m), ROUTE_OK);
    assert_int_equal(m.count, 2);
    assert_string_equal(m.candidates[0].node->id, "two");
    assert_string_equal(m.candidates[1].node->id, "four");
    assert_int_equal(route_find(t, "y", 1, 443, 5, &m), ROUTE_EXPIRED);
    assert_int_equal(m.count, 0);
    route_table_free(t);
}

/* Consent taken back from the exact name does not hand its visitors to whoever has the wildcard. */
static void specific_name_decides_alone(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    const struct route_name exact[] = {{.name = "a.x"}}, wide[] = {{.name = "*.x"}};
    struct route_node n;
    struct route_match m;

    n = node_of("exact", exact, 1), n.admin = false, add(t, &n);
    n = node_of("wide", wide, 1), add(t, &n);

    assert_int_equal(find(t, "a.x", &m), ROUTE_NOT_OPTED_IN);
    assert_int_equal(find(t, "b.x", &m), ROUTE_OK);
    route_table_free(t);
}

static void nodes_by_id_key_and_index(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    char ids[200][8];

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        snprintf(ids[i], sizeof(ids[i]), "n%zu", i);
        struct route_node n = node_of(ids[i], NULL, 0);

        add(t, &n);
    }

    assert_int_equal(route_node_count(t), ARRAY_SIZE(ids));
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        const struct route_node *n = route_table_at(t, (uint32_t)i);

        assert_string_equal(n->id, ids[i]);
        assert_ptr_not_equal(n->id, ids[i]);
        assert_ptr_equal(route_node_by_id(t, ids[i], strlen(ids[i])), n);
        assert_ptr_equal(route_node_by_key(t, n->key), n);
        assert_int_equal(n->shard, route_shard(ids[i], strlen(ids[i])));
    }
    assert_null(route_node_by_id(t, "n", 1));
    assert_null(route_node_by_key(t, (const uint8_t[ROUTE_KEY_BYTES]){0}));
    route_table_free(t);
    route_table_free(NULL);
}

static void empty_table_serves_nobody(void **state)
{
    (void)state;
    struct route_table *t = table_new();
    struct route_match m;

    assert_int_equal(find(t, "a", &m), ROUTE_UNKNOWN_NAME);
    assert_null(route_node_by_id(t, "a", 1));
    assert_int_equal(route_node_count(t), 0);
    route_table_free(t);
}

/* Written down: machines of different versions must agree. FNV-1a of "" and "a" are 811c9dc5 and e40c292c. */
static void add_numbered(struct route_table *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char id[16], text[24];
        const struct route_name name = {.name = text};

        snprintf(id, sizeof(id), "n%u", i);
        snprintf(text, sizeof(text), "n%u.test", i);
        const struct route_node node = node_of(id, &name, 1);

        add(t, &node);
    }
    assert_int_equal(route_node_count(t), count);
}

/* few are left in a large index: what takes its place must hold all that comes while it is copied, too */
static void grows_again_after_it_shrank(void **state)
{
    (void)state;
    for (unsigned full = 10; full <= 1280; full *= 2) { /* five eighths: one more, and indexes are exchanged */
        struct route_table *t = table_new();

        add_numbered(t, full);
        for (uint32_t place = 0; place < full; place++)
            route_table_leave(t, route_table_at(t, place));
        add_numbered(t, full);
        route_table_free(t);
    }
}

static void shards_never_change(void **state)
{
    (void)state;
    assert_int_equal(route_shard("", 0), 0x81 ^ 0x1c ^ 0x9d ^ 0xc5);
    assert_int_equal(route_shard("a", 1), 0xe4 ^ 0x0c ^ 0x29 ^ 0x2c);
    unsigned hits[256] = {0};

    for (unsigned i = 0; i < 25600; i++) {
        char id[16];

        hits[route_shard(id, (size_t)snprintf(id, sizeof(id), "node-%u", i))]++;
    }
    for (unsigned i = 0; i < 256; i++)
        assert_in_range(hits[i], 50, 200); /* 100 expected */
}

/* Random names and claims against a walk over all of them. */
static const struct route_node *naive(const struct route_table *t, const char *name)
{
    const struct route_node *best = NULL;
    size_t best_len = 0;

    for (size_t i = 0; i < route_node_count(t); i++) {
        const struct route_node *n = route_table_at(t, (uint32_t)i);

        for (size_t j = 0; j < n->names_count; j++) {
            const char *claim = n->names[j].name;
            size_t len = strlen(claim), name_len = strlen(name);

            if (strcmp(claim, name) == 0)
                return n;
            if (claim[0] == '*' && name_len >= len && strcmp(name + name_len - (len - 1), claim + 1) == 0 &&
                len > best_len) {
                best = n;
                best_len = len;
            }
        }
    }
    return best;
}

static void random_name(struct rng *rng, char *out)
{
    size_t labels = 1 + rng_below(rng, 4);

    *out = 0;
    for (size_t i = 0; i < labels; i++) {
        char label[3] = {(char)('a' + rng_below(rng, 3)), 0};

        if (i)
            strcat(out, ".");
        strcat(out, label);
    }
}

static void like_a_naive_search(void **state)
{
    (void)state;
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 100; round++) {
        struct route_table *t = table_new();

        for (int i = 0; i < 12; i++) {
            char id[16], name[32] = "*.";
            bool wildcard = rng_below(&rng, 2);
            struct route_conflict conflict;

            snprintf(id, sizeof(id), "%d", i);
            random_name(&rng, wildcard ? name + 2 : name);
            struct route_node n = node_of(id, &(const struct route_name){.name = name}, 1);

            assert_int_equal(route_builder_add(t, &n, &conflict), 0);
        }

        for (int i = 0; i < 200; i++) {
            char name[32];
            struct route_match m;

            random_name(&rng, name);
            const struct route_node *want = naive(t, name);
            enum route_result result = find(t, name, &m);

            assert_int_equal(result, want ? ROUTE_OK : ROUTE_UNKNOWN_NAME);
            if (want)
                assert_ptr_equal(m.candidates[0].node, want);
        }
        route_table_free(t);
    }
}

static void results_have_names(void **state)
{
    (void)state;
    assert_string_equal(route_result_name(ROUTE_OK), "ok");
    assert_string_equal(route_result_name(ROUTE_UNKNOWN_NAME), "unknown_name");
    assert_string_equal(route_result_name(ROUTE_EXPIRED), "expired");
}

/* thousands of names that change their places in the row, go and come: each is found where it is, and no other */
static void names_move_within_a_row(void **state)
{
    enum { NAMES = 4000 };
    static char texts[NAMES + 1][24];
    static struct route_name names[NAMES];
    struct route_table *t = table_new();
    const struct route_node *was;
    struct route_match m;

    (void)state;
    for (size_t i = 0; i <= NAMES; i++)
        snprintf(texts[i], sizeof(texts[i]), "n%zu.test", i);
    for (size_t turn = 0; turn < 3; turn++) { /* in order; backwards; all one further, with one gone and one new */
        for (size_t i = 0; i < NAMES; i++)
            names[i] = (struct route_name){.name = texts[turn == 0 ? i : turn == 1 ? NAMES - 1 - i : i + 1]};
        const struct route_node node = node_of("n", names, NAMES);

        assert_int_equal(route_table_enter(t, route_row_new(&node), &was), 0);
        route_table_reclaim(t, SIZE_MAX);
        for (size_t i = 0; i <= NAMES; i++)
            assert_int_equal(find(t, texts[i], &m), i == (turn == 2 ? 0 : NAMES) ? ROUTE_UNKNOWN_NAME : ROUTE_OK);
    }
    const struct route_node few = node_of("n", &names[7], 1);

    assert_int_equal(route_table_enter(t, route_row_new(&few), &was), 0);
    for (size_t i = 0; i <= NAMES; i++)
        assert_int_equal(find(t, texts[i], &m), i == 8 ? ROUTE_OK : ROUTE_UNKNOWN_NAME);
    route_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_before_wildcard_before_wider),
        cmocka_unit_test(explains_each_node_of_the_most_specific_name),
        cmocka_unit_test(target_is_the_visitors_unless_rewritten),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(several_nodes_for_one_name),
        cmocka_unit_test(specific_name_decides_alone),
        cmocka_unit_test(nodes_by_id_key_and_index),
        cmocka_unit_test(empty_table_serves_nobody),
        cmocka_unit_test(grows_again_after_it_shrank),
        cmocka_unit_test(shards_never_change),
        cmocka_unit_test(like_a_naive_search),
        cmocka_unit_test(results_have_names),
        cmocka_unit_test(names_move_within_a_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
