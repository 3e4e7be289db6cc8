/* feedbench.c - what the map of nodes costs: memory, a snapshot, deltas, look-ups meanwhile, the map on disk.
 *
 *     feedbench --nodes N --dir FOLDER [--seconds S]
 *
 * Nodes have two names, an address, a port and an endpoint, as JSON objects with their keys in base64. One thread writes,
 * as the server's main thread does; one reads, as a worker does, in turns of 100 look-ups. Prints a line "name value" a
 * figure. CPU is the writing thread's own, without making the text. */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/rng.h"
#include "common/base/ts.h"
#include "ingress/feed/feed_map.h"
#include "ingress/feed/feed_store.h"

#define BATCH       1000
#define ROW_BYTES   512
#define SLICE_ROWS  256
#define TURN        100
#define DELTAS_S    10000 /* a second, sustained */
#define BUCKETS     4096  /* of 10 ns: look-ups by their time */

static struct map_seed seed = {11, 12};
static size_t nodes = 1000000;
static char *text;
static size_t lens[BATCH];

static ts_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (ts_t)t.tv_sec * TS_S + (ts_t)t.tv_nsec;
}

static ts_t cpu(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static ts_t wall(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static double memory_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    malloc_trim(0);
    BUG_ON(!f || fscanf(f, "%ld %ld", &pages, &resident) != 2);
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void figure(const char *name, double value)
{
    printf("%s %.6g\n", name, value);
    fflush(stdout);
}

/* ---- the feed's text ---- */

static size_t write_row(char *out, size_t i, unsigned version)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char key[45] = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    for (size_t at = 10, left = i + 1; left > 0; left /= 64)
        key[at++] = digits[left % 64];
    return (size_t)snprintf(out, ROW_BYTES,
                            "{\"id\":\"n%07zu\",\"names\":[\"app-%07zu.nodes.example.net\",\"www-%07zu.nodes.example.net\"],"
                            "\"key\":\"%s\",\"peerapi6\":%u,\"endpoints\":[\"192.0.2.1:41641\"],\"ports\":[443],"
                            "\"funnel\":{\"admin\":true,\"node\":\"ask\"}}",
                            i, i, i, key, 41112 + version);
}

static ts_t put_batch(struct feed_map *map, size_t first, size_t count, unsigned version)
{
    for (size_t i = 0; i < count; i++)
        lens[i] = write_row(text + i * ROW_BYTES, first + i, version);
    ts_t began = cpu();

    for (size_t i = 0; i < count; i++) {
        const struct feed_op op = {.kind = FEED_OP_PUT, .text = text + i * ROW_BYTES, .text_len = lens[i]};

        BUG_ON(!feed_map_take(map, &op, 1, wall()));
    }
    return cpu() - began;
}

static void snapshot(struct feed_map *map, struct route_table *table, unsigned version, const char *name)
{
    const struct feed_op begin = {.kind = FEED_OP_BEGIN}, end = {.kind = FEED_OP_END, .revision = version};
    ts_t spent = 0, longest = 0;
    char label[64];

    feed_map_take(map, &begin, 1, wall());
    for (size_t i = 0; i < nodes; i += BATCH)
        spent += put_batch(map, i, MIN(BATCH, nodes - i), version);
    feed_map_take(map, &end, 1, wall());
    for (bool more = true; more;) {
        ts_t began = cpu();

        more = feed_map_step(map, SLICE_ROWS, 1, wall());
        route_table_reclaim(table, 2000);
        longest = MAX(longest, cpu() - began);
        spent += cpu() - began;
    }
    BUG_ON(route_node_count(table) != nodes);
    figure(name, (double)spent / TS_S);
    snprintf(label, sizeof(label), "%s_slice_us", name);
    figure(label, (double)longest / TS_US);
}

/* ---- the reader ---- */

static struct reading {
    const struct route_table *table;
    struct route_reader reader;
    atomic_bool stop;
    uint64_t looked;
    uint64_t took[BUCKETS];
    ts_t turn_max; /* of the thread's own time */
} reading;

static void *read_names(void *arg)
{
    struct rng rng;

    (void)arg;
    rng_seed(&rng, 5);
    while (!atomic_load_explicit(&reading.stop, memory_order_relaxed)) {
        ts_t began = cpu();

        route_reader_enter(&reading.reader);
        for (int i = 0; i < TURN; i++) {
            struct route_match match;
            char name[64];
            int len = snprintf(name, sizeof(name), "app-%07u.nodes.example.net", (unsigned)rng_below(&rng, nodes));
            ts_t at = wall();

            BUG_ON(route_find(reading.table, name, (size_t)len, 443, 1, &match) != ROUTE_OK || match.count != 1);
            at = wall() - at;
            reading.took[MIN(at / 10, BUCKETS - 1)]++;
        }
        route_reader_leave(&reading.reader);
        reading.looked += TURN;
        reading.turn_max = MAX(reading.turn_max, cpu() - began);
    }
    return NULL;
}

static double percentile(double share)
{
    uint64_t below = (uint64_t)((double)reading.looked * share), seen = 0;

    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += reading.took[i]) >= below)
            return (double)i * 10 + 10;
    return BUCKETS * 10;
}

static pthread_t start_reading(void)
{
    pthread_t thread;

    memset(reading.took, 0, sizeof(reading.took));
    reading.looked = 0;
    reading.turn_max = 0;
    atomic_store(&reading.stop, false);
    BUG_ON(pthread_create(&thread, NULL, read_names, NULL) != 0);
    return thread;
}

static void stop_reading(pthread_t thread, const char *when, ts_t passed)
{
    char label[64];

    atomic_store(&reading.stop, true);
    pthread_join(thread, NULL);
    snprintf(label, sizeof(label), "lookups_per_s_%s", when);
    figure(label, (double)reading.looked * TS_S / (double)passed);
    snprintf(label, sizeof(label), "lookup_p50_ns_%s", when);
    figure(label, percentile(0.5));
    snprintf(label, sizeof(label), "lookup_p999_ns_%s", when);
    figure(label, percentile(0.999));
    snprintf(label, sizeof(label), "reader_turn_max_us_%s", when);
    figure(label, (double)reading.turn_max / TS_US);
}

/* ---- deltas ---- */

static void deltas(struct feed_map *map, struct route_table *table, unsigned seconds)
{
    struct rng rng;
    ts_t began = wall(), spent = 0, longest = 0;
    uint64_t count = 0;

    rng_seed(&rng, 6);
    while (wall() - began < seconds * TS_S) {
        while (count * TS_S / DELTAS_S > wall() - began)
            usleep(200);
        size_t len = write_row(text, rng_below(&rng, nodes), 10 + (unsigned)(count % 1000));
        const struct feed_op op = {.kind = FEED_OP_PUT, .text = text, .text_len = len};
        ts_t at = cpu();

        BUG_ON(!feed_map_take(map, &op, 1, wall()));
        if (count % 64 == 0)
            route_table_reclaim(table, 2000);
        at = cpu() - at;
        spent += at;
        longest = MAX(longest, at);
        count++;
    }
    figure("feed_delta_us", (double)spent / (double)count / TS_US);
    figure("feed_delta_max_us", (double)longest / TS_US);
    figure("feed_deltas_per_s", (double)count * TS_S / (double)(wall() - began));
}

/* ---- the map on disk ---- */

static void disk(const char *dir, const struct route_table *table)
{
    struct feed_disk_info info = {.point = {1, 0}, .wall_ns = 1}, read;
    struct route_table *copy = route_table_new(&seed);
    ts_t began = cpu(), at = wall();

    BUG_ON(!copy || feed_store_write(dir, table, &reading.reader, &info) != 0);
    figure("disk_write_cpu_s", (double)(cpu() - began) / TS_S);
    figure("disk_write_s", (double)(wall() - at) / TS_S);
    began = cpu(), at = wall();
    BUG_ON(feed_store_load(dir, copy, &read) != 0 || route_node_count(copy) != route_node_count(table));
    figure("cold_start_s", (double)(wall() - at) / TS_S);
    figure("cold_start_cpu_s", (double)(cpu() - began) / TS_S);
    route_table_free(copy);
}

int main(int argc, char **argv)
{
    const char *dir = NULL;
    unsigned seconds = 5;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--nodes") == 0)
            nodes = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    if (argc % 2 == 0 || !dir || nodes == 0) {
        fprintf(stderr, "usage: feedbench --nodes N --dir FOLDER [--seconds S]\n");
        return 2;
    }
    text = malloc(BATCH * ROW_BYTES);
    struct route_table *table = route_table_new(&seed);
    struct feed_map_config config = {.table = table, .name = "bench", .live = true, .seed = seed};
    struct feed_map *map = feed_map_new(&config);
    double before = memory_bytes();

    BUG_ON(!text || !table || !map);
    snapshot(map, table, 1, "feed_snapshot_cpu_s");
    route_table_reclaim(table, SIZE_MAX);
    figure("feed_node_bytes", (memory_bytes() - before) / (double)nodes);
    snapshot(map, table, 1, "feed_snapshot_unchanged_cpu_s");
    reading.table = table;
    route_reader_init(&reading.reader, route_table_epoch(table));
    ts_t began = wall();
    pthread_t thread = start_reading();

    sleep(seconds);
    stop_reading(thread, "quiet", wall() - began);
    began = wall();
    thread = start_reading();
    deltas(map, table, seconds);
    stop_reading(thread, "deltas", wall() - began);
    began = wall();
    thread = start_reading();
    snapshot(map, table, 2, "feed_snapshot_changed_cpu_s");
    stop_reading(thread, "snapshot", wall() - began);
    route_table_reclaim(table, SIZE_MAX);
    figure("feed_node_bytes_after", (memory_bytes() - before) / (double)nodes);
    disk(dir, table);
    route_reader_deinit(&reading.reader);
    feed_map_free(map);
    route_table_free(table);
    free(text);
    return 0;
}
