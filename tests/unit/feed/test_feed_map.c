/* test_feed_map.c - what a feed says, and what becomes of the nodes: a line a word, and after each of them who is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_map.h"

#define UNIX_NOW 1000
#define KEY_OF_W "00000000000000000000000000000000000000000000000000000000000000ff"
#define OPEN     ",\"funnel\":{\"admin\":true,\"node\":true}"
#define CLOSED   ",\"funnel\":{\"admin\":true,\"node\":false}"
#define EXPIRED  OPEN ",\"expires\":\"1970-01-01T00:16:40Z\"" /* now */

enum verb {
    BEGIN = FEED_OP_BEGIN, /* as the ops */
    PUT,
    REMOVE,
    REVOKE,
    END,
    ABORT,
    HEARTBEAT,
    RAW,     /* PUT of `rest` as it stands */
    FORGIVE, /* an operator's word */
    RESTART, /* another map over the same table, which was read from disk at this revision */
};

/* Nodes are "a", "b", "c", with the names a.test, b.test, c.test. */
struct step {
    enum verb verb;
    const char *id;
    char key;         /* of PUT */
    const char *rest; /* of PUT: opt-in and expiry */
    uint64_t revision;
    /* what is found under the three names: "o" ok, "n" not opted in, "x" expired, "-" nobody; */
    const char *found;
    const char *events; /* and what those who watch are told: "Ca" a changed, "Da" removed, "Ra" revoked */
};

static struct route_table *table;
static struct feed_map *map;

static void map_make(uint64_t revision)
{
    const struct feed_map_config config = {.table = table, .name = "test", .live = true, .seed = {3, 4}};

    feed_map_free(map);
    for (uint32_t i = 0; i < route_table_places(table); i++)
        *route_table_mark(table, i) = 0; /* rows from disk were named by no snapshot */
    map = feed_map_new(&config);
    assert_non_null(map);
    feed_map_resume(map, &(struct feed_point){.revision = revision});
}

static void say(const struct step *s, ts_t now)
{
    char text[512];
    struct feed_op op = {.kind = (enum feed_op_kind)s->verb, .id = s->id, .id_len = s->id ? strlen(s->id) : 0,
                         .text = text, .revision = s->revision};

    if (s->verb == RESTART || s->verb == FORGIVE) {
        s->verb == RESTART ? map_make(s->revision) : feed_map_forgive(map);
        return;
    }
    if (s->verb == RAW) {
        op.kind = FEED_OP_PUT;
        snprintf(text, sizeof(text), "%s", s->rest);
    } else if (s->verb == PUT) {
        snprintf(text, sizeof(text),
                 "{\"id\":\"%s\",\"names\":[\"%s.test\"],\"key\":\"%064x\",\"peerapi6\":1,\"ports\":[443]%s}", s->id,
                 s->id, (unsigned)s->key, s->rest);
    }
    op.text_len = strlen(text) * (op.kind == FEED_OP_PUT);
    assert_true(feed_map_take(map, &op, UNIX_NOW, now));
    while (feed_map_step(map, 1, UNIX_NOW, now))
        ;
}

static void look(char found[4])
{
    static const char letters[] = {[ROUTE_UNKNOWN_NAME] = '-', [ROUTE_NOT_OPTED_IN] = 'n', [ROUTE_EXPIRED] = 'x',
                                   [ROUTE_STALE] = 's', [ROUTE_OK] = 'o'};
    struct route_match match;

    for (int i = 0; i < 3; i++) {
        const char name[] = {(char)('a' + i), '.', 't', 'e', 's', 't', 0};
        const struct route_node *node = route_node_by_id(table, name, 1);

        found[i] = letters[route_find(table, name, 6, 443, UNIX_NOW, &match)];
        if (node && !node->revoked) /* as links do */
            route_table_watch(table, node);
    }
    found[3] = 0;
}

static void listen(char *out, size_t cap)
{
    static const char kinds[] = {[FEED_EVENT_CHANGED] = 'C', [FEED_EVENT_REMOVED] = 'D', [FEED_EVENT_REVOKED] = 'R'};
    struct feed_event event;
    size_t len = 0;

    out[0] = 0;
    while (feed_map_event(map, &event)) {
        len += (size_t)snprintf(out + len, cap - len, "%c%s", kinds[event.kind], event.node->id);
        route_node_put(event.node);
    }
}

static void play(const struct step *steps, size_t count)
{
    static const struct map_seed seed = {1, 2};
    char found[4], events[64];

    table = route_table_new(&seed);
    assert_non_null(table);
    map = NULL;
    map_make(0);
    for (size_t i = 0; i < count; i++) {
        say(&steps[i], (ts_t)(i + 1) * TS_S);
        look(found);
        listen(events, sizeof(events));
        if (strcmp(found, steps[i].found) != 0 || strcmp(events, steps[i].events ? steps[i].events : "") != 0)
            fail_msg("step %zu: found %s, events \"%s\"", i, found, events);
    }
}

static void done(void)
{
    feed_map_free(map);
    map = NULL;
    route_table_free(table);
}

#define PLAY(...) play((const struct step[]){__VA_ARGS__}, ARRAY_SIZE(((const struct step[]){__VA_ARGS__})))

/* a and b, as of revision 5; invisible until the snapshot is complete */
#define A_AND_B                                                                                                        \
    {BEGIN, .found = "---"}, {PUT, "a", 1, OPEN, .found = "---"}, {PUT, "b", 2, OPEN, .found = "---"},                 \
        {END, .revision = 5, .found = "oo-"}

static void who_goes_and_how(void **state)
{
    (void)state;
    PLAY(A_AND_B,
         {REVOKE, "a", .found = "no-", .events = "Ra"},
         {REVOKE, "a", .found = "no-"},
         {REMOVE, "b", .found = "n--", .events = "Db"},
         {REMOVE, "b", .found = "n--"},
         {REVOKE, "b", .found = "n--"}, /* nobody knows what its names were */
         {PUT, "a", 1, OPEN, .found = "o--"},
         {PUT, "a", 1, CLOSED, .found = "n--", .events = "CaRa"}, /* there, and closed: another answer than nobody's */
         {PUT, "a", 1, EXPIRED, .found = "x--", .events = "Ca"});
    assert_int_equal(feed_map_stats(map)->revoked, 2);
    done();
}

static void a_tombstone_lies_until(void **state)
{
    (void)state;
    PLAY(A_AND_B,
         {REVOKE, "a", .found = "no-", .events = "Ra"},
         {REMOVE, "a", .found = "-o-"}, /* it is removed, */
         {PUT, "a", 1, OPEN, .found = "oo-"},
         {REVOKE, "a", .found = "no-", .events = "Ra"},
         {PUT, "c", 1, OPEN, .found = "-oo"}, /* somebody else has what it had, */
         {PUT, "a", 4, OPEN, .found = "ooo"},
         {REVOKE, "a", .found = "noo", .events = "Ra"},
         {RESTART, .revision = 5, .found = "noo"}, /* (it was on disk) */
         {BEGIN, .found = "noo"}, {PUT, "b", 2, OPEN, .found = "noo"}, {PUT, "c", 1, OPEN, .found = "noo"},
         {REVOKE, "a", .found = "noo"}, {END, .revision = 6, .found = "noo"},
         {BEGIN, .found = "noo"}, {PUT, "b", 2, OPEN, .found = "noo"}, {END, .revision = 7, .found = "-o-", .events = "Dc"});
    assert_int_equal(route_node_count(table), 1); /* … or a snapshot does not name it */
    done();
}

/* a wildcard above it is not asked while it lies there; of very many the oldest go */
static void tombstones_are_counted(void **state)
{
    char text[256], id[16], name[32];
    struct route_match match;

    (void)state;
    PLAY({PUT, "a", 1, OPEN, .found = "o--"},
         {RAW, .rest = "{\"id\":\"w\",\"names\":[\"*.many\"],\"key\":\"" KEY_OF_W "\",\"peerapi6\":1,\"ports\":[443]" OPEN "}",
          .found = "o--"});
    for (unsigned i = 0; i <= FEED_TOMBSTONES_MAX; i++) {
        int len = snprintf(text, sizeof(text),
                           "{\"id\":\"m%u\",\"names\":[\"m%u.many\"],\"key\":\"%064x\",\"peerapi6\":1,\"ports\":[443]%s}", i, i,
                           0x1000 + i, OPEN);
        const struct feed_op put = {.kind = FEED_OP_PUT, .text = text, .text_len = (size_t)len};
        const struct feed_op revoke = {.kind = FEED_OP_REVOKE, .id = id, .id_len = (size_t)snprintf(id, sizeof(id), "m%u", i)};

        assert_true(feed_map_take(map, &put, UNIX_NOW, TS_S));
        assert_true(feed_map_take(map, &revoke, UNIX_NOW, TS_S));
    }
    assert_int_equal(route_node_count(table), 2);
    snprintf(name, sizeof(name), "m%u.many", FEED_TOMBSTONES_MAX);
    assert_int_equal(route_find(table, name, strlen(name), 443, UNIX_NOW, &match), ROUTE_NOT_OPTED_IN);
    assert_int_equal(route_find(table, "m1.many", 7, 443, UNIX_NOW, &match), ROUTE_NOT_OPTED_IN);
    assert_int_equal(route_find(table, "m0.many", 7, 443, UNIX_NOW, &match), ROUTE_OK);
    assert_string_equal(match.candidates[0].node->id, "w");
    done();
}

static void a_snapshot_says_who_is_there(void **state)
{
    (void)state;
    PLAY(A_AND_B,
         {BEGIN, .found = "oo-"},
         {PUT, "b", 2, OPEN, .found = "oo-"},
         {PUT, "c", 3, OPEN, .found = "oo-"},
         {REMOVE, "b", .found = "oo-"}, /* no word of a snapshot's */
         {REVOKE, "c", .found = "oo-"}, /* the later word */
         {END, .revision = 6, .found = "-on", .events = "Da"},
         /* to withdraw is right at once, also where the snapshot is void, or not believed */
         {BEGIN, .found = "-on"}, {REVOKE, "b", .found = "-nn", .events = "Rb"}, {ABORT, .found = "-nn"},
         {PUT, "b", 2, OPEN, .found = "-on"},
         {BEGIN, .found = "-on"}, {REVOKE, "b", .found = "-nn", .events = "Rb"}, {END, .revision = 1, .found = "-nn"});
    assert_int_equal(feed_map_stats(map)->point.revision, 6);
    done();
}

static void snapshots_that_do_not_count(void **state)
{
    (void)state;
    PLAY(A_AND_B,
         {BEGIN, .found = "oo-"}, {PUT, "c", 3, OPEN, .found = "oo-"}, {ABORT, .found = "oo-"},
         {BEGIN, .found = "oo-"}, {PUT, "c", 3, OPEN, .found = "oo-"}, {END, .revision = 4, .found = "oo-"},
         {BEGIN, .found = "oo-"}, {END, .revision = 6, .found = "oo-"},
         /* who can't be read may be anybody: nobody is taken for absent */
         {BEGIN, .found = "oo-"}, {RAW, .rest = "{", .found = "oo-"}, {PUT, "a", 1, OPEN, .found = "oo-"},
         {END, .revision = 7, .found = "oo-"},
         /* a known one with a bad row goes on as it was */
         {BEGIN, .found = "oo-"}, {RAW, .rest = "{\"id\":\"b\"}", .found = "oo-"}, {END, .revision = 8, .found = "-o-",
                                                                                  .events = "Da"},
         {FORGIVE, .found = "-o-"}, {BEGIN, .found = "-o-"}, {END, .revision = 1, .found = "---", .events = "Db"});
    const struct feed_map_stats *stats = feed_map_stats(map);

    assert_int_equal(stats->aborted, 1);
    assert_int_equal(stats->refused, 2);
    assert_int_equal(stats->rows_bad, 2);
    assert_int_equal(stats->point.revision, 1);
    done();
}

static void how_old_it_is(void **state)
{
    (void)state;
    PLAY(A_AND_B, {HEARTBEAT, .revision = 6, .found = "oo-"}, {HEARTBEAT, .revision = 3, .found = "oo-"});
    assert_int_equal(feed_map_stats(map)->point.revision, 6);
    assert_int_equal(feed_map_stats(map)->told_at, 5 * TS_S); /* the one that goes back is no news */
    route_table_stop(table, true);
    char found[4];

    look(found);
    assert_string_equal(found, "sss");
    done();
}

static void cold_start(void **state)
{
    (void)state;
    PLAY(A_AND_B,
         {RESTART, .revision = 5, .found = "oo-"}, /* serves at once */
         {PUT, "c", 3, OPEN, .found = "ooo"}, /* resumed: deltas without a snapshot */
         {BEGIN, .found = "ooo"}, {PUT, "b", 2, OPEN, .found = "ooo"}, {END, .revision = 4, .found = "ooo"},
         {REMOVE, "a", .found = "ooo"}, {HEARTBEAT, .revision = 9, .found = "ooo"}, /* said of what was refused */
         {BEGIN, .found = "ooo"}, {PUT, "b", 2, OPEN, .found = "ooo"}, {END, .revision = 6, .found = "-o-",
                                                                        .events = "DaDc"});
    assert_int_equal(feed_map_stats(map)->refused, 1);
    done();
}

static void who_holds_keeps(void **state)
{
    (void)state;
    PLAY(A_AND_B,
         {PUT, "c", 1, OPEN, .found = "oo-"}, /* a's key */
         {PUT, "b", 1, OPEN, .found = "oo-"}, /* goes on with its own */
         {REMOVE, "a", .found = "-oo", .events = "Da"}, /* the longest waiting comes in */
         {PUT, "a", 2, OPEN, .found = "o-o", .events = "Db"}, /* b waits: what it held is free to others */
         {REMOVE, "c", .found = "oo-", .events = "Dc"},
         {PUT, "b", 2, CLOSED, .found = "on-", .events = "Rb"}, /* a conflict keeps no consent alive that is gone */
         {REMOVE, "a", .found = "-n-", .events = "Da"});
    assert_int_equal(feed_map_stats(map)->waiting, 0);
    assert_int_equal(feed_map_stats(map)->conflicts, 3);
    done();
}

static void a_bad_row_is_told_with_its_key(void **state)
{
    (void)state;
    PLAY(A_AND_B);
    const struct feed_op bad = {.kind = FEED_OP_PUT, .text = "{\"id\":7}", .text_len = 8, .id = "a\xff\n", .id_len = 3};

    assert_true(feed_map_take(map, &bad, UNIX_NOW, 0));
    assert_non_null(strstr(feed_map_stats(map)->fault, "key 'a?" "?': "));
    done();
}

static void put_names(const char *id, unsigned key, unsigned names)
{
    static char text[1 << 20];
    int len = snprintf(text, sizeof(text), "{\"id\":\"%s\",\"names\":[", id);

    for (unsigned i = 0; i < names; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%s\"n%u.%s.test\"", i ? "," : "", i, id);
    len += snprintf(text + len, sizeof(text) - (size_t)len, "],\"key\":\"%064x\",\"peerapi6\":1,\"ports\":[443]" OPEN "}", key);
    assert_true(feed_map_take(map, &(struct feed_op){.kind = FEED_OP_PUT, .text = text, .text_len = (size_t)len}, UNIX_NOW, 0));
}

static void no_more_nodes_than_allowed(void **state)
{
    (void)state;
    PLAY(A_AND_B);
    const struct feed_map_stats *stats = feed_map_stats(map);
    char found[4];

    feed_map_limits(map, 2, 0);
    say(&(struct step){PUT, "c", 3, OPEN, 0, NULL, NULL}, 0);
    look(found);
    assert_string_equal(found, "oo-");
    assert_non_null(strstr(stats->conflict, "'c' is left out: the map has 2 nodes, and feed.max_nodes is 2"));
    assert_false(stats->starved);
    say(&(struct step){PUT, "a", 1, CLOSED, 0, NULL, NULL}, 0); /* who is there may change */
    say(&(struct step){REVOKE, "b", 0, NULL, 0, NULL, NULL}, 0);
    say(&(struct step){PUT, "c", 3, OPEN, 0, NULL, NULL}, 0); /* a tombstone takes nobody's place */
    look(found);
    assert_string_equal(found, "nno");
    say(&(struct step){BEGIN, NULL, 0, NULL, 0, NULL, NULL}, 0);
    assert_false(stats->starved);
    say(&(struct step){PUT, "a", 1, OPEN, 0, NULL, NULL}, 0);
    say(&(struct step){PUT, "b", 2, OPEN, 0, NULL, NULL}, 0);
    say(&(struct step){PUT, "c", 3, OPEN, 0, NULL, NULL}, 0);
    say(&(struct step){END, NULL, 0, NULL, 9, NULL, NULL}, 0);
    look(found);
    assert_string_equal(found, "nno"); /* the old map stays */
    assert_string_equal(stats->refusal, "a snapshot of more than 2 rows, which is feed.max_nodes");
    assert_true(stats->starved);
    feed_map_limits(map, 3, 0);
    say(&(struct step){BEGIN, NULL, 0, NULL, 0, NULL, NULL}, 0);
    say(&(struct step){PUT, "a", 1, OPEN, 0, NULL, NULL}, 0);
    say(&(struct step){PUT, "b", 2, OPEN, 0, NULL, NULL}, 0);
    say(&(struct step){PUT, "c", 3, OPEN, 0, NULL, NULL}, 0);
    say(&(struct step){END, NULL, 0, NULL, 9, NULL, NULL}, 0);
    look(found);
    assert_string_equal(found, "ooo");
    assert_false(stats->starved);
    done();
}

static void no_more_memory_than_allowed(void **state)
{
    const struct feed_op begin = {.kind = FEED_OP_BEGIN}, end = {.kind = FEED_OP_END, .revision = 9};
    char id[16], found[4];

    (void)state;
    PLAY(A_AND_B);
    const struct feed_map_stats *stats = feed_map_stats(map);

    feed_map_limits(map, 0, 1 << 20);
    for (unsigned i = 0; i < 20; i++) { /* rows of some 130 KB each */
        snprintf(id, sizeof(id), "big%u", i);
        put_names(id, 100 + i, 4000);
    }
    assert_in_range(route_table_bytes(table), 1 << 19, 1 << 20);
    assert_in_range(route_node_count(table), 5, 12);
    assert_non_null(strstr(stats->conflict, "and feed.max_memory is 1 MiB"));
    put_names("big0", 100, 1); /* a smaller one is always welcome */
    assert_int_equal(route_node_by_id(table, "big0", 4)->names_count, 1);
    /* rows that wait count too: all of these claim a's key */
    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "wait%u", i);
        put_names(id, 1, 4000);
    }
    assert_in_range(stats->waiting, 0, 3);
    assert_true(feed_map_take(map, &begin, UNIX_NOW, 0));
    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "big%u", i);
        put_names(id, 100 + i, 4000);
    }
    assert_true(feed_map_take(map, &end, UNIX_NOW, 0));
    while (feed_map_step(map, 1, UNIX_NOW, 0))
        ;
    assert_string_equal(stats->refusal, "a snapshot whose rows take more than 1 MiB, which is feed.max_memory");
    look(found);
    assert_string_equal(found, "oo-");
    done();
}

/* an operator lowers a limit while a snapshot comes that is beyond it already */
static void a_limit_that_comes_late(void **state)
{
    const struct feed_op begin = {.kind = FEED_OP_BEGIN}, end = {.kind = FEED_OP_END, .revision = 9};
    char id[16], found[4];

    (void)state;
    for (int bytes = 0; bytes < 2; bytes++) {
        PLAY(A_AND_B);
        const struct feed_map_stats *stats = feed_map_stats(map);

        assert_true(feed_map_take(map, &begin, UNIX_NOW, 0));
        for (unsigned i = 0; i < 10; i++) {
            if (i == 5)
                feed_map_limits(map, bytes ? 0 : 3, bytes ? 1 << 10 : 0);
            snprintf(id, sizeof(id), "node%u", i);
            put_names(id, 100 + i, 20);
        }
        assert_true(feed_map_take(map, &end, UNIX_NOW, 0));
        while (feed_map_step(map, 1, UNIX_NOW, 0))
            ;
        assert_string_equal(stats->refusal, bytes ? "a snapshot whose rows take more than 0 MiB, which is feed.max_memory"
                                                  : "a snapshot of more than 3 rows, which is feed.max_nodes");
        look(found);
        assert_string_equal(found, "oo-");
        done();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_goes_and_how),
        cmocka_unit_test(a_tombstone_lies_until),
        cmocka_unit_test(tombstones_are_counted),
        cmocka_unit_test(a_snapshot_says_who_is_there),
        cmocka_unit_test(snapshots_that_do_not_count),
        cmocka_unit_test(how_old_it_is),
        cmocka_unit_test(cold_start),
        cmocka_unit_test(who_holds_keeps),
        cmocka_unit_test(a_bad_row_is_told_with_its_key),
        cmocka_unit_test(no_more_nodes_than_allowed),
        cmocka_unit_test(no_more_memory_than_allowed),
        cmocka_unit_test(a_limit_that_comes_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
