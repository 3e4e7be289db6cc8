/* sim_feed.c - the map of nodes against a model of it, one feed a seed.
 *
 * A feed says whatever comes to it: nodes come, change, go, are withdrawn; they claim each other's keys, addresses and
 * crowded names, and swap them; snapshots repeat, contradict or leave out what was said, are broken off, go back in
 * revisions or are empty; rows are not valid, with an id or without. The map takes it in slices of random size, while
 * steps come at it that it may refuse. The model keeps lists and walks over all of them; it knows the rule for conflicts
 * (feed_map.h) and nothing of indexes, places, marks or slices. Whenever the map is at rest, both hold the same nodes
 * with the same rows, in the same order for every name, and the same rows wait.
 *
 * The failing seed is printed; a seed always gives the same feed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "ingress/feed/feed_map.h"
#include "seeds.h"

#define SEEDS_DEFAULT 300
#define STEPS         400
#define IDS           48
#define KEYS          40
#define ADDRESSES     30
#define CROWD_PERCENT 70 /* of nodes want the crowded name, so that more than 32 do */

/* What a row says, as far as the rule looks at it; port tells rows apart that claim the same. */
struct row {
    int id, key, address, name; /* address -1: derived from the key; name: 0 crowded, else a name of few */
    int port;
    bool open;
};

struct node {
    bool in, waits;
    bool revoked; /* in, as a tombstone */
    struct row row, left_out;
    uint64_t order;   /* among those of a name */
    uint64_t arrived; /* of left_out */
    int blocker;      /* id; -1: anybody */
    bool named;       /* by the snapshot being put in force */
};

static struct world {
    uint64_t seed;
    struct rng rng;
    struct route_table *table;
    struct feed_map *map;
    ts_t now;
    bool verbose;
    /* the model */
    struct node nodes[IDS];
    uint64_t orders, arrivals, revision;
    bool astray; /* a snapshot was refused: changes on top of it do not count */
    bool ending; /* a snapshot is put in force: who is not named holds nothing */
    int released[100000];
    size_t released_count;
} w;

static void fail(const char *what)
{
    fprintf(stderr, "sim_feed: seed %" PRIu64 ": %s\n", w.seed, what);
    exit(1);
}

static unsigned dice(unsigned n)
{
    return (unsigned)rng_below(&w.rng, n);
}

/* ---- the model ---- */

static bool weak(int id)
{
    return w.nodes[id].revoked || (w.ending && !w.nodes[id].named) || w.nodes[id].waits;
}

static bool same_address(const struct row *a, const struct row *b)
{
    return a->address >= 0 ? a->address == b->address : b->address < 0 && a->key == b->key;
}

static void model_leave(int id)
{
    w.nodes[id].in = w.nodes[id].revoked = false;
    w.released[w.released_count++] = id;
}

static void model_revoke(int id)
{
    w.nodes[id].waits = false;
    if (!w.nodes[id].in || w.nodes[id].revoked)
        return;
    w.nodes[id].revoked = true;
    w.released[w.released_count++] = id;
}

/* the holder that stands in the way and is not weak; IDS: none. *full: it is the name. With clear, weak ones go. */
static int in_the_way(const struct row *row, bool clear, bool *full)
{
    int last = -1, count = 0;

    *full = false;
    for (int pass = 0; pass < 2; pass++)
        for (int id = 0; id < IDS; id++) {
            const struct node *n = &w.nodes[id];

            if (!n->in || id == row->id || (pass ? !same_address(&n->row, row) : n->row.key != row->key))
                continue;
            if (!weak(id))
                return id;
            if (clear)
                model_leave(id);
        }
    if (row->name != 0 && row->name != 1)
        return IDS;
    for (int id = 0; id < IDS; id++) {
        if (!w.nodes[id].in || w.nodes[id].row.name != row->name)
            continue;
        if (id == row->id)
            return IDS; /* it has its place already */
        count++;
        if (weak(id) && (last < 0 || w.nodes[id].order > w.nodes[last].order))
            last = id;
    }
    if (count < ROUTE_NODES_PER_NAME)
        return IDS;
    *full = true;
    if (last < 0)
        return -1;
    if (clear)
        model_leave(last);
    return IDS;
}

static void model_put(const struct row *row, uint64_t order)
{
    struct node *n = &w.nodes[row->id];
    bool was = n->in, full;

    in_the_way(row, true, &full);
    n->row = *row;
    n->in = true;
    n->revoked = false;
    n->named = true;
    if (!was || order)
        n->order = order ? order : ++w.orders;
    if (was)
        w.released[w.released_count++] = row->id;
}

static void model_enter(const struct row *row, uint64_t order)
{
    struct node *n = &w.nodes[row->id];
    bool full;
    int blocker = in_the_way(row, false, &full);

    if (blocker == IDS) {
        model_put(row, order);
        return;
    }
    if (n->in && !row->open)
        model_revoke(row->id);
    else if (n->in)
        w.released[w.released_count++] = row->id;
    n->waits = true;
    n->left_out = *row;
    n->arrived = ++w.arrivals;
    n->blocker = full ? -1 : blocker;
}

static void model_retry(void)
{
    for (size_t i = 0; i < w.released_count; i++) {
        uint64_t after = 0;

        for (;;) {
            struct node *next = NULL;
            bool full;

            for (int id = 0; id < IDS; id++)
                if (w.nodes[id].waits && w.nodes[id].arrived > after &&
                    (!next || w.nodes[id].arrived < next->arrived))
                    next = &w.nodes[id];
            if (!next)
                break;
            after = next->arrived;
            if (next->blocker >= 0 && next->blocker != w.released[i])
                continue;
            int blocker = in_the_way(&next->left_out, false, &full);

            if (blocker != IDS) {
                next->blocker = full ? -1 : blocker;
                continue;
            }
            next->waits = false;
            model_put(&next->left_out, 0);
        }
    }
    w.released_count = 0;
}

static bool same_row(const struct row *a, const struct row *b)
{
    return a->key == b->key && same_address(a, b) && a->name == b->name && a->port == b->port && a->open == b->open;
}

static void model_delta(const struct row *row)
{
    struct node *n = &w.nodes[row->id];

    n->waits = false;
    if (!n->in || n->revoked || !same_row(&n->row, row))
        model_enter(row, 0);
    model_retry();
}

/* ---- rows as text ---- */

static void key_of(int key, uint8_t out[ROUTE_KEY_BYTES])
{
    memset(out, 0, ROUTE_KEY_BYTES);
    out[0] = 1;
    out[1] = (uint8_t)key;
}

static struct row random_row(void)
{
    struct row row = {.id = (int)dice(IDS), .key = (int)dice(KEYS), .address = dice(3) ? -1 : (int)dice(ADDRESSES),
                      .port = 1 + (int)dice(3), .open = dice(10) > 0};

    if (dice(4)) /* mostly what is its own */
        row.key = 100 + row.id;
    row.name = dice(100) < CROWD_PERCENT ? (int)dice(2) : 2 + (int)dice(20);
    return row;
}

static void text_of(const struct row *row, char out[1024])
{
    uint8_t key[ROUTE_KEY_BYTES];
    char hex[2 * ROUTE_KEY_BYTES + 1], address[64] = "";

    key_of(row->key, key);
    for (size_t i = 0; i < sizeof(key); i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    if (row->address >= 0)
        snprintf(address, sizeof(address), ",\"addresses\":[\"fd00::%x\"]", row->address + 1);
    snprintf(out, 1024,
             "{\"id\":\"n%d\",\"names\":[\"%s.test\"],\"key\":\"%s\"%s,\"peerapi6\":%d,\"ports\":[443],"
             "\"funnel\":{\"admin\":%s,\"node\":true}}",
             row->id, row->name == 0 ? "crowd" : row->name == 1 ? "*.crowd" : (const char[]){'a' + (char)row->name, 0},
             hex, address, row->port, row->open ? "true" : "false");
}

/* ---- both at once ---- */

static void settle(void)
{
    while (feed_map_step(w.map, 1 + dice(20), 0, w.now)) {
        const struct feed_op op = {.kind = FEED_OP_PUT, .text = "{}", .text_len = 2};

        if (feed_map_take(w.map, &op, 0, w.now))
            fail("a step was taken while a snapshot was being put in force");
        route_table_reclaim(w.table, dice(10));
    }
}

static void take(const struct feed_op *op)
{
    w.now += TS_MS;
    if (!feed_map_take(w.map, op, 0, w.now))
        fail("a step was refused at rest");
}

static void take_row(const struct row *row)
{
    char text[1024];

    text_of(row, text);
    take(&(struct feed_op){.kind = FEED_OP_PUT, .text = text, .text_len = strlen(text)});
    if (w.verbose)
        printf("  put %s\n", text);
}

static void take_away(const struct row *row, bool revoke)
{
    char id[16];

    snprintf(id, sizeof(id), "n%d", row->id);
    take(&(struct feed_op){.kind = revoke ? FEED_OP_REVOKE : FEED_OP_REMOVE, .id = id, .id_len = strlen(id)});
    if (w.verbose)
        printf("  %s %s\n", revoke ? "revoke" : "remove", id);
}

static void do_delta(void)
{
    struct row row = random_row();

    if (dice(10) < 7) {
        take_row(&row);
        if (!w.astray)
            model_delta(&row);
        return;
    }
    bool revoke = dice(2) == 0;

    take_away(&row, revoke);
    if (w.astray && !revoke)
        return;
    w.nodes[row.id].waits = false;
    if (revoke)
        model_revoke(row.id);
    else if (w.nodes[row.id].in)
        model_leave(row.id);
    model_retry();
}

/* not valid: the node stays as it is */
static void do_bad(void)
{
    static const char *const texts[] = {"", "{", "{\"id\":\"n1\"}", "{\"id\":7}", "[]", "{\"id\":\"n1\",\"id\":\"n2\"}"};
    const char *text = texts[dice(ARRAY_SIZE(texts))];

    if (dice(2)) { /* a row under a key that is another node's */
        struct row row = random_row();
        char good[1024];

        text_of(&row, good);
        take(&(struct feed_op){
            .kind = FEED_OP_PUT, .text = good, .text_len = strlen(good), .id = "elsewhere", .id_len = 9});
        return;
    }
    take(&(struct feed_op){.kind = FEED_OP_PUT, .text = text, .text_len = strlen(text)});
}

/* swap - two nodes exchange keys, one step after the other */
static void do_swap(void)
{
    int a = (int)dice(IDS), b = (int)dice(IDS);

    if (a == b || !w.nodes[a].in || !w.nodes[b].in)
        return;
    struct row x = w.nodes[a].row, y = w.nodes[b].row;
    int key = x.key;

    x.key = y.key;
    y.key = key;
    take_row(&x);
    take_row(&y);
    if (w.astray)
        return;
    model_delta(&x);
    model_delta(&y);
}

/* What a snapshot says of one node: a row, one that was in force when it was said, or that it is withdrawn. */
enum said { NEW = 0, KEPT, WITHDRAWN };

static void model_snapshot(struct row *rows, const enum said *said, size_t count, bool unknown)
{
    w.ending = true;
    w.orders = 0;
    for (int id = 0; id < IDS && !unknown; id++)
        w.nodes[id].waits = false;
    for (size_t i = 0; i < count; i++) {
        w.orders++;
        if (said[i] == WITHDRAWN) {
            model_revoke(rows[i].id);
        } else if (said[i] == KEPT) { /* as it was when it was said */
            if (w.nodes[rows[i].id].in)
                w.nodes[rows[i].id].order = w.orders;
        } else {
            w.nodes[rows[i].id].waits = false;
            model_enter(&rows[i], w.orders);
        }
        model_retry();
    }
    for (int id = 0; id < IDS && !unknown; id++)
        if (w.nodes[id].in && !w.nodes[id].named) {
            model_leave(id);
            model_retry();
        }
    w.ending = false;
}

static void do_snapshot(void)
{
    struct row rows[2 * IDS];
    enum said how[2 * IDS];
    bool named[IDS] = {false}, unknown = false;
    size_t count = 0, puts = 0, said = dice(8) ? dice(2 * IDS) : 0;
    uint64_t revision = dice(8) ? w.revision + dice(5) : dice(100);

    take(&(struct feed_op){.kind = FEED_OP_BEGIN});
    if (w.verbose)
        printf(" snapshot of %zu, revision %" PRIu64 "\n", said, revision);
    for (size_t i = 0; i < said; i++) {
        struct row row = random_row();

        if (w.nodes[row.id].in && dice(3))
            row = w.nodes[row.id].row; /* said again */
        if (dice(12) == 0) { /* at once, whatever becomes of the snapshot */
            take_away(&row, true);
            model_revoke(row.id);
            how[count] = WITHDRAWN;
        } else {
            take_row(&row);
            how[count] = w.nodes[row.id].in && !w.nodes[row.id].revoked && !named[row.id] &&
                         same_row(&w.nodes[row.id].row, &row);
            puts++;
        }
        named[row.id] = true;
        rows[count++] = row;
    }
    if (dice(10) == 0) { /* not even an id */
        take(&(struct feed_op){.kind = FEED_OP_PUT, .text = "{", .text_len = 1});
        unknown = true;
    }
    if (dice(6) == 0) {
        take(&(struct feed_op){.kind = FEED_OP_ABORT});
        settle();
        model_retry(); /* what it withdrew is */
        return;
    }
    size_t nodes = 0;

    for (int id = 0; id < IDS; id++)
        nodes += w.nodes[id].in && !w.nodes[id].revoked;
    bool believed = (!revision || revision >= w.revision) && (puts > 0 || nodes == 0);

    uint64_t refused = feed_map_stats(w.map)->refused;

    take(&(struct feed_op){.kind = FEED_OP_END, .revision = revision});
    if (believed != (feed_map_stats(w.map)->refused == refused))
        fail(believed ? "a snapshot was not believed" : "a snapshot was believed that should not be");
    settle();
    w.astray = !believed;
    if (!believed) {
        model_retry();
        return;
    }
    for (int id = 0; id < IDS; id++)
        w.nodes[id].named = named[id];
    model_snapshot(rows, how, count, unknown);
    w.revision = revision;
}

/* ---- comparing ---- */

static void compare_node(int id)
{
    const struct node *n = &w.nodes[id];
    char text[16];
    uint8_t key[ROUTE_KEY_BYTES];

    snprintf(text, sizeof(text), "n%d", id);
    const struct route_node *node = route_node_by_id(w.table, text, strlen(text));

    if (!node != !n->in)
        fail(node ? "a node is there that should not be" : "a node is missing");
    if (!node)
        return;
    key_of(n->row.key, key);
    if (memcmp(node->key, key, sizeof(key)) != 0 || node->peerapi6 != n->row.port || node->admin != n->row.open ||
        node->revoked != n->revoked)
        fail("a node has another row");
    if (route_node_by_key(w.table, key) != node)
        fail("a key does not lead to its node");
}

static void compare_name(int name)
{
    struct route_owner owners[ROUTE_NODES_PER_NAME];
    const char *text = name == 0 ? "crowd.test" : name == 1 ? "x.crowd.test" : NULL;
    char own[] = "?.test";
    uint64_t before = 0;
    size_t want = 0;

    own[0] = (char)('a' + name);
    text = text ? text : own;
    size_t count = route_explain(w.table, text, strlen(text), 443, 0, owners);

    for (int id = 0; id < IDS; id++)
        want += w.nodes[id].in && w.nodes[id].row.name == name;
    if (count != want)
        fail("a name has another number of nodes");
    for (size_t i = 0; i < count; i++) {
        const struct node *n = &w.nodes[atoi(owners[i].node->id + 1)];

        if (n->order < before)
            fail("the nodes of a name are in another order");
        before = n->order;
    }
}

static void compare(void)
{
    size_t in = 0, waiting = 0;

    for (int id = 0; id < IDS; id++) {
        compare_node(id);
        in += w.nodes[id].in && !w.nodes[id].revoked;
        waiting += w.nodes[id].waits;
    }
    for (int name = 0; name < 22; name++)
        compare_name(name);
    if (route_node_count(w.table) != in)
        fail("another number of nodes");
    if (feed_map_stats(w.map)->waiting != waiting)
        fail("another number of rows wait");
}

static void run(uint64_t seed)
{
    struct map_seed hash_seed;
    uint64_t revision;

    memset(&w.nodes, 0, sizeof(w.nodes));
    w.seed = seed;
    w.astray = false;
    w.orders = w.arrivals = w.revision = w.released_count = 0;
    w.now = TS_S;
    rng_seed(&w.rng, seed);
    rng_fill(&w.rng, &hash_seed, sizeof(hash_seed));
    w.table = route_table_new(&hash_seed);
    struct feed_map_config config = {.table = w.table, .name = "sim", .seed = hash_seed, .live = true};

    w.map = feed_map_new(&config);
    BUG_ON(!w.table || !w.map);
    for (int i = 0; i < STEPS; i++) {
        unsigned what = dice(100);

        if (w.verbose)
            printf("step %d\n", i);
        if (what < 4) {
            do_snapshot();
        } else if (what < 8) {
            do_bad();
        } else if (what < 12) {
            do_swap();
        } else if (what < 14) {
            revision = w.revision + dice(3);
            take(&(struct feed_op){.kind = FEED_OP_HEARTBEAT, .revision = revision});
            w.revision = revision && !w.astray ? revision : w.revision;
        } else {
            do_delta();
        }
        route_table_reclaim(w.table, dice(20));
        compare();
    }
    feed_map_free(w.map);
    route_table_free(w.table);
}

static void quiet(enum log_level level, const char *area, const char *line, size_t len, void *ctx)
{
    (void)level;
    (void)area;
    (void)ctx;
    if (w.verbose)
        printf("  log %.*s\n", (int)len, line);
}

int main(int argc, char **argv)
{
    struct seeds seeds;

    if (!seeds_read(&seeds, SEEDS_DEFAULT, argc, argv))
        return 2;
    w.verbose = seeds.one;
    log_init(quiet, NULL, LOG_INFO);
    for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; seed++)
        run(seed);
    printf("sim_feed: %" PRIu64 " feeds of %d steps, each like the model\n", seeds.count, STEPS);
    return 0;
}
