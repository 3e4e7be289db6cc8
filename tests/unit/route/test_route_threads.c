/* test_route_threads.c - one writer and several readers on one table. Each reader finds every node that stays, whole and
 * never half changed, however rows are exchanged, taken out and put back, and indexes grow under it; what it found stays
 * readable until it leaves. Meant for the thread and address sanitizers. */
#include "table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/rng.h"

#define STAYING 64
#define COMING  3000 /* so that each index grows several times */
#define READERS 3
#define ROUNDS  20000

static struct route_table *table;
static struct route_reader readers[READERS];
static atomic_bool done;

/* version v of a node: its two names, its key and its port belong together */
static const struct route_node *row_of(unsigned i, unsigned version)
{
    char id[16], stays[32], changes[48];

    snprintf(id, sizeof(id), "n%u", i);
    snprintf(stays, sizeof(stays), "n%u.test", i);
    snprintf(changes, sizeof(changes), "v%u.n%u.test", version % 7, i);
    const struct route_name names[] = {{.name = version % 2 ? stays : changes}, {.name = version % 2 ? changes : stays}};
    struct route_node node = node_of(id, names, 2);

    node.peerapi6 = (uint16_t)(1 + version % 7);
    node.key[20] = (uint8_t)(version % 7);
    const struct route_node *row = route_row_new(&node);

    assert_non_null(row);
    return row;
}

static void *read_on(void *arg)
{
    struct route_reader *reader = arg;
    struct rng rng;

    rng_seed(&rng, (uint64_t)(uintptr_t)arg);
    while (!atomic_load(&done)) {
        char name[32], changes[48];
        unsigned i = (unsigned)rng_below(&rng, STAYING);
        struct route_match m;

        route_reader_enter(reader);
        snprintf(name, sizeof(name), "n%u.test", i);
        BUG_ON(find(table, name, &m) != ROUTE_OK || m.count != 1);
        const struct route_node *n = m.candidates[0].node;

        snprintf(changes, sizeof(changes), "v%u.n%u.test", n->peerapi6 - 1u, i);
        BUG_ON(n->key[20] != n->peerapi6 - 1u);
        BUG_ON(strcmp(n->names[0].name, changes) != 0 && strcmp(n->names[1].name, changes) != 0);
        BUG_ON(strtoul(n->id + 1, NULL, 10) != i);
        snprintf(name, sizeof(name), "n%u", (unsigned)rng_below(&rng, STAYING + COMING));
        n = route_node_by_id(table, name, strlen(name));
        BUG_ON(n && strcmp(n->id, name) != 0);
        if (n && rng_below(&rng, 8) == 0) { /* kept beyond the turn */
            route_node_get(n);
            route_reader_leave(reader);
            BUG_ON(strcmp(n->id, name) != 0);
            route_node_put(n);
        }
        route_reader_leave(reader);
    }
    return NULL;
}

static void change(unsigned i, unsigned version)
{
    const struct route_node *was;

    assert_int_equal(route_table_enter(table, row_of(i, version), &was), 0);
}

static void readers_see_whole_rows(void **state)
{
    pthread_t threads[READERS];
    struct rng rng;

    (void)state;
    table = table_new();
    rng_seed(&rng, 3);
    for (unsigned i = 0; i < STAYING; i++)
        change(i, 0);
    for (int i = 0; i < READERS; i++) {
        route_reader_init(&readers[i], route_table_epoch(table));
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = STAYING + (unsigned)rng_below(&rng, COMING);
        char id[16];

        change((unsigned)rng_below(&rng, STAYING), round);
        snprintf(id, sizeof(id), "n%u", i);
        const struct route_node *n = route_node_by_id(table, id, strlen(id));

        if (n && rng_below(&rng, 3) == 0)
            route_table_leave(table, n);
        else
            change(i, round);
        if (round % 16 == 0)
            route_table_reclaim(table, 64);
    }
    atomic_store(&done, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        route_reader_deinit(&readers[i]);
    }
    route_table_reclaim(table, SIZE_MAX);
    assert_int_equal(route_table_epoch(table)->count, 0);
    route_table_free(table);
}

static void what_a_reader_may_hold_is_not_freed(void **state)
{
    const struct route_node *was;
    struct route_reader reader;

    (void)state;
    table = table_new();
    route_reader_init(&reader, route_table_epoch(table));
    change(1, 0);
    route_reader_enter(&reader);
    change(1, 1);
    route_table_reclaim(table, SIZE_MAX);
    assert_int_equal(route_table_epoch(table)->count, 1); /* it entered before */
    route_reader_leave(&reader);
    route_reader_enter(&reader);
    route_table_reclaim(table, SIZE_MAX);
    assert_int_equal(route_table_epoch(table)->count, 0); /* it came after */
    route_reader_leave(&reader);
    assert_int_equal(route_table_enter(table, row_of(1, 2), &was), 0);
    assert_non_null(was);
    route_reader_deinit(&reader);
    route_table_free(table);
}

/* Either the writer learns that somebody holds the row, or who takes it learns that it has changed. */
static void watching_tells_what_is_in_force(void **state)
{
    (void)state;
    table = table_new();
    change(1, 0);
    const struct route_node *first = route_node_by_id(table, "n1", 2);

    route_node_get(first);
    assert_false(route_table_watched(table, route_node_place(first)));
    assert_ptr_equal(route_table_watch(table, first), first);
    assert_true(route_table_watched(table, route_node_place(first)));
    change(1, 1);
    const struct route_node *second = route_node_by_id(table, "n1", 2);

    assert_ptr_equal(route_table_watch(table, first), second);
    route_table_leave(table, second);
    route_table_unwatch(table, route_node_place(first));
    assert_null(route_table_watch(table, first));
    change(2, 0); /* the place is another node's now */
    assert_null(route_table_watch(table, first));
    route_node_put(first);
    route_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_rows),
        cmocka_unit_test(what_a_reader_may_hold_is_not_freed),
        cmocka_unit_test(watching_tells_what_is_in_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
