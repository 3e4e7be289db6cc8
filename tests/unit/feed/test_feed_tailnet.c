/* test_feed_tailnet.c - which nodes of a tailnet get which rows, and which steps come out of what changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_document.h"
#include "ingress/feed/feed_tailnet.h"
#include "ingress/route/route_table.h"

static const struct map_seed seed = {1, 2};
static const uint16_t ports[] = {443, 8443};
static const char *const tags[] = {"tag:funnel"};
static const char *const users[] = {"alice@example.net"};
static const struct feed_tailnet_name names[] = {
    {"www.example.org", "web", "web.tail.example:443"},
    {"*.apps.example.org", "web.tail.example", ""},
    {"given.funnel.example", "web", ""},
};
static const struct feed_tailnet_policy policy = {
    .public_suffix = "funnel.example", .names = names, .names_count = ARRAY_SIZE(names), .tags = tags, .tags_count = 1,
    .users = users, .users_count = 1, .ports = ports, .ports_count = 2};

struct world {
    struct netmap *map;
    struct netmap_changes changes;
    struct feed_tailnet *feed;
    ts_t now;
    uint64_t time;
    char story[4096];   /* "begin put:n2 end …" */
    json_t *last;       /* the last row */
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    w->map = netmap_new(&seed);
    w->feed = feed_tailnet_new(&policy, &seed);
    w->now = TS_S;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    feed_tailnet_free(w->feed);
    netmap_free(w->map);
    netmap_changes_deinit(&w->changes);
    json_decref(w->last);
    free(w);
    return 0;
}

/* a row must be one that the feed's own reader takes */
static void check_row(const char *row)
{
    struct config_errors *errors = calloc(1, sizeof(*errors));
    struct route_table *table;

    config_errors_init(errors);
    if (feed_document_parse("row", row, strlen(row), &seed, errors, &table) != 0)
        fail_msg("%s", row);
    route_table_free(table);
    free(errors);
}

static void pull(struct world *w)
{
    static const char *const kinds[] = {[FEED_OP_BEGIN] = "begin", [FEED_OP_PUT] = "put", [FEED_OP_REMOVE] = "remove",
                                        [FEED_OP_REVOKE] = "revoke", [FEED_OP_END] = "end"};
    struct feed_op op, again;

    *w->story = 0;
    while (feed_tailnet_next(w->feed, w->map, w->time, &op)) {
        size_t at = strlen(w->story);

        /* not taken: the same comes again */
        assert_true(feed_tailnet_next(w->feed, w->map, w->time, &again));
        assert_int_equal(op.kind, again.kind);
        at += (size_t)snprintf(w->story + at, sizeof(w->story) - at, "%s%s", at ? " " : "", kinds[op.kind]);
        if (op.kind == FEED_OP_PUT) {
            json_decref(w->last);
            w->last = json_loadb(op.text, op.text_len, 0, NULL);
            assert_non_null(w->last);
            check_row(op.text);
            snprintf(w->story + at, sizeof(w->story) - at, ":%s", json_string_value(json_object_get(w->last, "id")));
        } else if (op.id) {
            snprintf(w->story + at, sizeof(w->story) - at, ":%.*s", (int)op.id_len, op.id);
        }
        feed_tailnet_taken(w->feed);
    }
}

static void hear(struct world *w, const char *text, bool first)
{
    struct netmap_asides asides;

    netmap_changes_clear(&w->changes);
    assert_int_equal(netmap_apply(w->map, text, strlen(text), first, &w->changes, &asides), NETMAP_APPLIED);
    assert_int_equal(feed_tailnet_changed(w->feed, w->map, &w->changes, w->now), 0);
}

static void frame(struct world *w, const char *text, bool first)
{
    hear(w, text, first);
    pull(w);
}

#define SELF "\"Node\":{\"ID\":1,\"Name\":\"ingress.tail.example.\",\"Key\":\"nodekey:" "0000000000000000000000000000000000000000000000000000000000000001" "\"}," \
             "\"UserProfiles\":[{\"ID\":7,\"LoginName\":\"alice@example.net\"},{\"ID\":8,\"LoginName\":\"bob@example.net\"}]"

/* one node's JSON: id, name, user, tag or NULL, whether it wants to be funnelled to */
static const char *node(int id, const char *name, int user, const char *tag, bool wants)
{
    static char texts[4][1024];
    static unsigned next;
    char *out = texts[next++ % 4];

    snprintf(out, sizeof(texts[0]),
             "{\"ID\":%d,\"StableID\":\"n%d\",\"Name\":\"%s\",\"User\":%d,\"Key\":\"nodekey:%064x\",\"Addresses\":[\"100.64.%d.%d/32\","
             "\"fd7a::%x/128\"],\"Endpoints\":[\"192.0.2.1:%d\"],\"Tags\":[%s%s%s],\"Hostinfo\":{\"IngressEnabled\":%s,\"Services\":["
             "{\"Proto\":\"peerapi4\",\"Port\":%d}]}}",
             id, id, name, user, (unsigned)id, id >> 8, id & 255, (unsigned)id, id, tag ? "\"" : "", tag ? tag : "",
             tag ? "\"" : "", wants ? "true" : "false", 1000 + id);
    return out;
}

static void peers(struct world *w, bool first, const char *a, const char *b)
{
    char text[4096];

    snprintf(text, sizeof(text), "{%s,\"Peers\":[%s%s%s]}", SELF, a, b ? "," : "", b ? b : "");
    frame(w, text, first);
}

static const char *name_at(const struct world *w, size_t i, const char *key)
{
    const json_t *value = json_array_get(json_object_get(w->last, "names"), i);

    if (json_is_string(value))
        return strcmp(key, "name") == 0 ? json_string_value(value) : NULL;
    return json_string_value(json_object_get(value, key));
}

static bool is_willing(const struct world *w)
{
    return json_is_true(json_object_get(json_object_get(w->last, "funnel"), "node"));
}

static void test_who(void **state)
{
    struct world *w = *state;

    /* of these four alice's laptop and the tagged one are admitted; a tagged node is not alice's any more */
    frame(w, "{" SELF "}", true);
    assert_string_equal(w->story, "begin end");
    char text[4096];

    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s,%s,%s]}", node(2, "laptop.tail.example.", 7, NULL, true),
             node(3, "bobs.tail.example.", 8, NULL, true), node(4, "tagged.tail.example.", 7, "tag:other", true));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n2");
    assert_string_equal(name_at(w, 0, "name"), "laptop.funnel.example");
    assert_string_equal(name_at(w, 0, "target"), "laptop.tail.example");
    assert_int_equal(json_integer_value(json_object_get(w->last, "peerapi4")), 1002);
    assert_int_equal(json_array_size(json_object_get(w->last, "ports")), 2);
    assert_int_equal(json_array_size(json_object_get(w->last, "endpoints")), 0);
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(5, "srv.tail.example.", 8, "tag:funnel", true));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n5");
    assert_int_equal(feed_tailnet_rows(w->feed), 2);
    /* somebody else's domain: its label is not ours to give a name by */
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(6, "laptop.other.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "");
    /* without its own consent it has a closed row */
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(7, "shy.tail.example.", 7, NULL, false));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n7");
    assert_false(is_willing(w));
    assert_string_equal(name_at(w, 0, "name"), "shy.funnel.example");
}

static void test_table(void **state)
{
    struct world *w = *state;

    /* bob is not admitted, but the table names his node */
    peers(w, true, node(2, "web.tail.example.", 8, NULL, true), node(3, "given.tail.example.", 7, NULL, true));
    /* the name the table gave to web does not come from a label too: given has none */
    assert_string_equal(w->story, "begin put:n2 end");
    assert_int_equal(json_array_size(json_object_get(w->last, "names")), 3);
    assert_string_equal(name_at(w, 0, "name"), "www.example.org");
    assert_string_equal(name_at(w, 0, "target"), "web.tail.example:443");
    assert_string_equal(name_at(w, 1, "name"), "*.apps.example.org");
    assert_string_equal(name_at(w, 1, "target"), "web.tail.example");
    assert_string_equal(name_at(w, 2, "name"), "given.funnel.example");
}

static void test_differences(void **state)
{
    struct world *w = *state;

    peers(w, true, node(2, "a.tail.example.", 7, NULL, true), node(3, "b.tail.example.", 7, NULL, true));
    assert_string_equal(w->story, "begin put:n2 put:n3 end");
    /* the same again, other endpoints, presence: no row differs */
    peers(w, false, node(2, "a.tail.example.", 7, NULL, true), node(3, "b.tail.example.", 7, NULL, true));
    assert_string_equal(w->story, "");
    frame(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Endpoints\":[\"192.0.2.9:9\"],\"Online\":false,\"DERPRegion\":4}]}", false);
    assert_string_equal(w->story, "");
    /* another key does */
    frame(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Key\":\"nodekey:" "00000000000000000000000000000000000000000000000000000000000000ff" "\"}]}", false);
    assert_string_equal(w->story, "put:n2");
    /* consent taken back; given again */
    char text[4096];

    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 7, NULL, false));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n3");
    assert_false(is_willing(w));
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n3");
    assert_true(is_willing(w));
    /* not admitted any more: withdrawn, once; admitted again with the very row it had */
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 8, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "revoke:n3");
    frame(w, text, false);
    assert_string_equal(w->story, "");
    assert_int_equal(feed_tailnet_rows(w->feed), 1);
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n3");
    /* a tombstone goes with its node */
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 8, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "revoke:n3");
    frame(w, "{\"PeersRemoved\":[3]}", false);
    assert_string_equal(w->story, "remove:n3");
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n3");
    /* removed: at once */
    frame(w, "{\"PeersRemoved\":[3]}", false);
    assert_string_equal(w->story, "remove:n3");
    /* expired, by the server's clock */
    frame(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"KeyExpiry\":\"2030-01-01T00:00:00Z\"}]}", false);
    assert_string_equal(w->story, "put:n2");
    assert_string_equal(json_string_value(json_object_get(w->last, "expires")), "2030-01-01T00:00:00Z");
    w->time = 1893456001;
    frame(w, "{\"OnlineChange\":{\"2\":true}}", false);
    assert_string_equal(w->story, "put:n2");
    assert_false(is_willing(w));
    assert_int_equal(feed_tailnet_rows(w->feed), 1);
}

/* a complete list in a running stream: who is absent is gone at once */
static void test_complete(void **state)
{
    struct world *w = *state;

    peers(w, true, node(2, "a.tail.example.", 7, NULL, true), node(3, "b.tail.example.", 7, NULL, true));
    peers(w, false, node(3, "b.tail.example.", 7, NULL, true), NULL);
    assert_string_equal(w->story, "remove:n2");
}

/* a map that comes back without a node keeps its name for a while; other nodes may take its place at once */
static void test_blink(void **state)
{
    struct world *w = *state;

    peers(w, true, node(2, "a.tail.example.", 7, NULL, true), node(3, "b.tail.example.", 7, NULL, true));
    frame(w, "{" SELF "}", true);
    assert_string_equal(w->story, "");
    assert_int_equal(feed_tailnet_rows(w->feed), 2);
    assert_int_equal(feed_tailnet_deadline(w->feed), w->now + FEED_TAILNET_GRACE_NS);
    /* one is back in time */
    char text[4096];

    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(2, "a.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "");
    w->now += FEED_TAILNET_GRACE_NS;
    feed_tailnet_expire(w->feed, w->now);
    pull(w);
    assert_string_equal(w->story, "remove:n3");
    assert_int_equal(feed_tailnet_deadline(w->feed), TS_NEVER);
    /* the other one registered anew: another id, the old name */
    frame(w, "{" SELF "}", true);
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(12, "a.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "remove:n2 put:n12");
}

static void test_tcp(void **state)
{
    struct world *w = *state;
    struct feed_tailnet_policy tcp = policy;

    peers(w, true, node(2, "a.tail.example.", 7, NULL, false), NULL);
    assert_string_equal(w->story, "begin put:n2 end");
    assert_false(is_willing(w));
    tcp.tcp = tcp.proxy_protocol = true;
    assert_int_equal(feed_tailnet_policy(w->feed, &tcp, w->map), 0);
    pull(w);
    assert_string_equal(w->story, "put:n2");
    assert_string_equal(json_string_value(json_object_get(w->last, "transport")), "tcp");
    assert_string_equal(json_string_value(json_object_get(w->last, "proxy_protocol")), "v2");
    assert_string_equal(name_at(w, 0, "name"), "a.funnel.example");
    assert_null(name_at(w, 0, "target"));
    assert_int_equal(feed_tailnet_policy(w->feed, &policy, w->map), 0);
    pull(w);
    assert_string_equal(w->story, "put:n2");
    assert_false(is_willing(w));
    tcp.users_count = 0;
    tcp.names_count = 0;
    assert_int_equal(feed_tailnet_policy(w->feed, &tcp, w->map), 0);
    pull(w);
    assert_string_equal(w->story, "revoke:n2");
    assert_int_equal(feed_tailnet_policy(w->feed, &tcp, w->map), 0);
    pull(w);
    assert_string_equal(w->story, "");
}

/* steps are not taken for a while, and the server goes on */
static void test_held_up(void **state)
{
    struct world *w = *state;
    struct feed_op op;
    char come[4096];

    frame(w, "{" SELF "}", true);
    snprintf(come, sizeof(come), "{\"PeersChanged\":[%s]}", node(2, "a.tail.example.", 7, NULL, true));
    hear(w, come, false);
    assert_true(feed_tailnet_next(w->feed, w->map, w->time, &op));
    assert_int_equal(op.kind, FEED_OP_PUT);
    hear(w, "{\"PeersRemoved\":[2]}", false); /* while its row is on offer */
    pull(w);
    assert_string_equal(w->story, "put:n2 remove:n2");
    snprintf(come, sizeof(come), "{\"PeersChanged\":[%s]}", node(3, "b.tail.example.", 7, NULL, true));
    frame(w, come, false);
    assert_string_equal(w->story, "put:n3");
    for (int i = 0; i < 20000; i++) {
        hear(w, "{\"PeersRemoved\":[3]}", false);
        hear(w, come, false);
        assert_in_range(feed_tailnet_listed(w->feed), 0, 2000);
    }
    hear(w, "{\"PeersRemoved\":[3]}", false);
    assert_int_equal(feed_tailnet_policy(w->feed, &policy, w->map), 0); /* looks at all, also at who has left */
    pull(w);
    assert_string_equal(w->story, "remove:n3");
}

/* the map comes back without a node whose new row waits to be taken: it has its time, and goes by what it is called now */
static void test_blink_while_held_up(void **state)
{
    struct world *w = *state;
    struct feed_op op;
    char text[4096];

    peers(w, true, node(2, "a.tail.example.", 7, NULL, true), node(3, "b.tail.example.", 7, NULL, true));
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(2, "c.tail.example.", 7, NULL, true));
    hear(w, text, false);
    assert_true(feed_tailnet_next(w->feed, w->map, w->time, &op));
    assert_int_equal(op.kind, FEED_OP_PUT);
    frame(w, "{" SELF "}", true);
    assert_string_equal(w->story, "put:n2");
    assert_int_equal(feed_tailnet_deadline(w->feed), w->now + FEED_TAILNET_GRACE_NS);
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(12, "c.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "remove:n2 put:n12");
    snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", node(13, "a.tail.example.", 7, NULL, true));
    frame(w, text, false);
    assert_string_equal(w->story, "put:n13");
    w->now += FEED_TAILNET_GRACE_NS;
    feed_tailnet_expire(w->feed, w->now);
    pull(w);
    assert_string_equal(w->story, "remove:n3");
}

/* all nodes of a large tailnet register anew while the old ones may still come back */
static void test_many_blink(void **state)
{
    enum { NODES = 5000 };
    struct world *w = *state;
    char text[4096], name[32];

    frame(w, "{" SELF "}", true);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < NODES; i++) {
            snprintf(name, sizeof(name), "n%d.tail.example.", i);
            int id = 10 + round * NODES + i;
            const char *one = node(id, name, 7, NULL, true);

            snprintf(text, sizeof(text), "{\"PeersChanged\":[%s]}", one);
            hear(w, text, false);
            pull(w);
            snprintf(name, sizeof(name), "remove:n%d put:n%d", id - NODES, id);
            if (round == 1)
                assert_string_equal(w->story, name);
        }
        if (round == 0)
            frame(w, "{" SELF "}", true);
    }
    assert_int_equal(feed_tailnet_deadline(w->feed), TS_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_differences, setup, teardown),
        cmocka_unit_test_setup_teardown(test_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blink_while_held_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_blink, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
