#include "ingress/feed_host.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "ingress/feed/feed_load.h"
#include "ingress/feed/feed_store.h"
#include "ingress/worker.h"

#define LOOK_NS       TS_S          /* at the file */
#define SLICE_ROWS    256           /* about 0.3 ms: then whatever else waits */
#define SLICE_NS      (500 * TS_US) /* and no slice begins another batch after this */
#define TIDY_NS       (10 * TS_MS)  /* rows nobody reads any more are freed as often, while there are some */
#define TIDY_ROWS     2000
#define STALE_LOOK_NS TS_S
#define SAID_AT_ONCE  20            /* log lines that a source causes; then one a second */
#define TRIM_ROWS     10000         /* so many changed at once: what the old ones took goes back to the system */
#define AGAIN_NS      (120 * TS_S)  /* until what there was no room for is asked for once more */
#define KEEP_NS       (10 * TS_S)   /* between two maps written to disk; a withdrawal does not wait for it */

/* what a file was when it was read: another one is another feed */
struct look {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    int err; /* 0, or why it could not be looked at */
};

/* A file on its way to the table. The thread has the upper part until it is joined. */
struct job {
    char *path;
    struct map_seed seed;
    struct route_table *table;
    struct config_errors errors;
    int rc;
    uv_async_t *done;

    struct look look;                     /* of the file, before it was read */
    const struct ingress_config *config; /* a reload's; NULL: the file has changed */
    uint32_t place;                       /* rows below are with the map */
};

struct feed_host {
    struct loop *loop;
    struct workers *workers;
    struct rng *rng;
    struct feed_host_listener listener;
    const struct ingress_config *config;
    struct route_table *table;
    struct feed_map *map;
    struct feed_sink sink;
    struct feed_source *source; /* whom to tell that there is room; NULL: the file */
    struct feed_source_status status;
    bool refused;      /* a step was not taken */
    ts_t again_at;     /* it is asked for a snapshot, because of what there was no room for; TS_NEVER: all is well */
    uv_async_t loaded; /* the thread has ended */
    pthread_t thread;
    bool thread_runs;
    struct job *job;   /* NULL: none */
    bool reload_next;  /* while a changed file was being read a reload came */
    const struct ingress_config *reload_config;
    bool working;      /* something is being put in force */
    bool trim_due;     /* much of it was: memory is given back when nobody reads the old rows any more */
    uint64_t trim_changes; /* rows that had changed by the last time */
    struct look seen;  /* at the last look */
    struct look taken; /* what the table is made of, or what was tried */
    bool stopped;
    struct loop_timer look, slice, tidy;

    bool live;                /* the source tells changes; else the feed is a file */
    const char *state_dir;    /* "": no map is kept */
    struct route_reader reader; /* of the thread that writes it */
    pthread_t keeper;
    bool keeping;
    atomic_bool kept;         /* the keeper has ended */
    int kept_rc;
    bool keep_failed;         /* the last time, and it was said */
    struct feed_disk_info keep, on_disk; /* being written; the one that stands, wall_ns 0: none */
    uint64_t keep_changes, disk_changes; /* what they are made of: feed_map's counts */
    uint64_t keep_revoked, tried_revoked;
    ts_t keep_at;
    struct log_limit said;    /* of what the source says of itself */
    bool cold;                /* the map came from disk, and the feed has not spoken yet */
};

/* ---- telling ---- */

static void log_source(enum log_level level, enum feed_source_state state, const char *where, const char *error)
{
    log_at(level, "feed", "event=source state=%s where=\"%s\"%s%s%s", feed_source_state_name(state), where,
           *error ? " error=\"" : "", error, *error ? "\"" : "");
}

static void say(struct feed_host *h, enum feed_source_state state, const char *error)
{
    if (h->status.state != state || strcmp(h->status.error, error) != 0)
        log_source(*error ? LOG_WARN : LOG_INFO, state, h->status.where, error);
    h->status.state = state;
    snprintf(h->status.error, sizeof(h->status.error), "%s", error);
}

static void on_say(void *ctx, const struct feed_source_status *status, ts_t now)
{
    struct feed_host *h = ctx;
    bool told = h->config && h->config->feed.type == INGRESS_CONFIG_FEED_TAILNET; /* it logs its own troubles */
    unsigned long unsaid;

    if ((h->status.state != status->state || (!told && strcmp(h->status.error, status->error) != 0)) &&
        log_allowed(&h->said, now, &unsaid))
        log_source(*status->error ? LOG_WARN : LOG_INFO, status->state, status->where, told ? "" : status->error);
    h->status = *status;
}

/* ---- what became of nodes that workers hold ---- */

/* What can't be posted yet waits in the map, which then enters no more. */
static void post_events(struct feed_host *h)
{
    static const enum mail_kind kinds[] = {[FEED_EVENT_CHANGED] = MAIL_NODE_CHANGED,
                                           [FEED_EVENT_REMOVED] = MAIL_NODE_REMOVED,
                                           [FEED_EVENT_REVOKED] = MAIL_NODE_REVOKED};
    struct feed_event event;

    while (feed_map_event(h->map, &event)) {
        struct worker *worker = h->workers->list ? worker_of(h->workers, event.node->shard) : NULL;

        if (!worker || !mailbox_post(worker->mailbox, kinds[event.kind], (void *)event.node))
            route_node_put(event.node);
    }
}

/* the workers have room for what a slice can bring */
static bool workers_have_room(const struct feed_host *h)
{
    for (unsigned i = 0; h->workers->list && i < h->workers->count; i++)
        if (mailbox_room(h->workers->list[i].mailbox) < 2 * SLICE_ROWS)
            return false;
    return true;
}

/* ---- slices ---- */

static bool step_rows(struct feed_host *h)
{
    struct job *job = h->job;
    size_t rows = SLICE_ROWS;

    while (rows > 0 && job->place < route_table_places(job->table)) {
        const struct route_node *row = route_table_at(job->table, job->place++);

        if (row && feed_map_take_row(h->map, route_node_get(row)))
            rows--;
    }
    return job->place < route_table_places(job->table);
}

static void job_free(struct job *job)
{
    if (!job)
        return;
    route_table_free(job->table);
    free(job->path);
    free(job);
}

/* a table takes long to free: on a thread of its own, if there is one to be had */
static void *free_table(void *arg)
{
    job_free(arg);
    malloc_trim(0); /* what parsing took is as much as the table */
    return NULL;
}

static void join(struct feed_host *h)
{
    if (h->thread_runs)
        pthread_join(h->thread, NULL);
    h->thread_runs = false;
}

static void job_done(struct feed_host *h)
{
    struct job *job = h->job;

    h->job = NULL;
    h->taken = job->look;
    join(h);
    if (pthread_create(&h->thread, NULL, free_table, job) == 0)
        h->thread_runs = true;
    else
        free_table(job);
}

static void *trim(void *arg)
{
    malloc_trim(0);
    return arg;
}

/* on a thread, for it takes as long as there is much; it has nothing of ours, and nobody waits for it */
static void trim_if_due(struct feed_host *h)
{
    pthread_t thread;

    if (!h->trim_due || h->working || route_table_epoch(h->table)->count > 0)
        return;
    h->trim_due = false;
    if (pthread_create(&thread, NULL, trim, NULL) == 0)
        pthread_detach(thread);
}

static void settled(struct feed_host *h, ts_t now)
{
    const struct feed_map_stats *stats = feed_map_stats(h->map);

    uint64_t changes = stats->entered + stats->left;

    h->working = false;
    h->trim_due = h->trim_due || changes - h->trim_changes >= TRIM_ROWS;
    h->trim_changes = changes;
    log_info("feed", "event=applied nodes=%zu entered=%llu left=%llu waiting=%zu", route_node_count(h->table),
             (unsigned long long)stats->entered, (unsigned long long)stats->left, stats->waiting);
    h->listener.settled(h->listener.ctx, now);
}

/* one batch; false: all is done */
static bool work(struct feed_host *h, ts_t now)
{
    if (h->job && h->job->table && !feed_map_busy(h->map)) {
        if (step_rows(h))
            return true;
        const struct feed_op end = {.kind = FEED_OP_END};

        feed_map_take(h->map, &end, loop_wall() / TS_S, now);
        job_done(h);
        return true;
    }
    return feed_map_step(h->map, SLICE_ROWS, loop_wall() / TS_S, now);
}

static void on_slice(struct loop_timer *t, ts_t now)
{
    struct feed_host *h = container_of(t, struct feed_host, slice);
    bool more = true;

    for (ts_t at = now; more && ts_since(at, now) < SLICE_NS && workers_have_room(h); at = loop_now()) {
        more = work(h, at);
        post_events(h);
        route_table_reclaim(h->table, 2 * SLICE_ROWS); /* what this batch replaced, when its readers have gone */
    }
    if (more) {
        /* after the loop has looked at everything else; when workers lag, a moment later */
        loop_timer_arm(h->loop, t, ts_add(now, workers_have_room(h) ? SLICE_NS : TS_MS));
        return;
    }
    settled(h, now);
    if (h->refused && h->source) {
        h->refused = false;
        h->source->go_on(h->source, now);
    }
}

static void begin_work(struct feed_host *h, ts_t now)
{
    h->working = true;
    loop_timer_arm(h->loop, &h->slice, now);
}

/* ---- the map on disk ---- */

static void *keep(void *arg)
{
    struct feed_host *h = arg;

    h->kept_rc = feed_store_write(h->state_dir, h->table, &h->reader, &h->keep);
    atomic_store(&h->kept, true);
    return NULL;
}

static void keeper_join(struct feed_host *h)
{
    if (!h->keeping)
        return;
    pthread_join(h->keeper, NULL);
    route_reader_deinit(&h->reader);
    h->keeping = false;
    h->tried_revoked = h->keep_revoked;
    if (h->kept_rc != 0 && !h->keep_failed)
        log_warn("feed", "event=map_not_kept state_dir=\"%s\" error=\"%s\"", h->state_dir, err_str(h->kept_rc));
    h->keep_failed = h->kept_rc != 0;
    if (h->keep_failed)
        return; /* once more after KEEP_NS */
    h->on_disk = h->keep;
    h->disk_changes = h->keep_changes;
}

/* due - the map on disk is not what the feed says any more */
static void keep_if_due(struct feed_host *h, ts_t now)
{
    const struct feed_map_stats *stats = feed_map_stats(h->map);
    uint64_t changes = stats->entered + stats->left;

    if (h->keeping && atomic_load(&h->kept))
        keeper_join(h);
    if (!h->live || !*h->state_dir || h->keeping || h->working || stats->told_at == 0 ||
        (changes == h->disk_changes && stats->point.revision == h->on_disk.point.revision) ||
        (stats->revoked == h->tried_revoked && now < h->keep_at))
        return;
    h->keep = (struct feed_disk_info){.point = stats->point, .wall_ns = loop_wall()};
    h->keep_changes = changes;
    h->keep_revoked = stats->revoked;
    h->keep_at = ts_add(now, KEEP_NS);
    atomic_store(&h->kept, false);
    route_reader_init(&h->reader, route_table_epoch(h->table));
    h->keeping = pthread_create(&h->keeper, NULL, keep, h) == 0;
    if (!h->keeping)
        route_reader_deinit(&h->reader);
}

/* ask_again - what there was no room for is missing until it is told once more */
static void ask_again(struct feed_host *h, ts_t now)
{
    if (!feed_map_stats(h->map)->starved)
        h->again_at = TS_NEVER;
    else if (h->again_at == TS_NEVER)
        h->again_at = ts_add(now, AGAIN_NS);
    else if (now >= h->again_at && h->source) {
        h->again_at = TS_NEVER;
        h->source->again(h->source, now);
    }
}

static void on_tidy(struct loop_timer *t, ts_t now)
{
    struct feed_host *h = container_of(t, struct feed_host, tidy);
    uint64_t limit = h->config->feed.stale_limit_ns;
    struct feed_report report;

    route_table_reclaim(h->table, TIDY_ROWS);
    feed_host_report(h, &report, now);
    bool stopped = limit > 0 && report.age_ns > limit;

    if (stopped != h->stopped)
        log_warn("feed", "event=%s age_s=%llu", stopped ? "stale_limit" : "fresh_again",
                 (unsigned long long)(report.age_ns / TS_S));
    h->stopped = stopped;
    route_table_stop(h->table, stopped);
    keep_if_due(h, now);
    trim_if_due(h);
    ask_again(h, now);
    loop_timer_arm(h->loop, t, ts_add(now, report.retired || h->working ? TIDY_NS : STALE_LOOK_NS));
}

/* ---- steps of other sources ---- */

static bool on_take(void *ctx, const struct feed_op *op, ts_t now)
{
    struct feed_host *h = ctx;
    bool tells_nobody = op->kind == FEED_OP_ABORT || op->kind == FEED_OP_HEARTBEAT; /* these are always taken */
    bool taken = (tells_nobody || workers_have_room(h)) && feed_map_take(h->map, op, loop_wall() / TS_S, now);

    post_events(h);
    if (feed_map_busy(h->map) && !h->working)
        begin_work(h, now);
    if (!taken) {
        h->refused = true;
        if (!h->working) /* the workers lag: as soon as they have read their mail */
            begin_work(h, ts_add(now, TS_MS));
    }
    return taken;
}

const struct feed_sink *feed_host_sink(struct feed_host *h)
{
    return &h->sink;
}

void feed_host_source_set(struct feed_host *h, struct feed_source *source)
{
    h->source = source;
}

/* ---- the file ---- */

static struct look look_at(const char *path)
{
    struct look look = {.err = 0};
    struct stat st;

    if (stat(path, &st) != 0) {
        look.err = -errno;
        return look;
    }
    look.device = st.st_dev;
    look.inode = st.st_ino;
    look.size = st.st_size;
    look.changed = st.st_mtim;
    return look;
}

static bool same(const struct look *a, const struct look *b)
{
    return a->err == b->err && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static void *load(void *arg)
{
    struct job *job = arg;

    job->rc = feed_load(job->path, &job->seed, &job->errors, &job->table);
    uv_async_send(job->done);
    return NULL;
}

/* begin_load - false: out of memory or threads */
static bool begin_load(struct feed_host *h, const char *path, const struct ingress_config *config)
{
    struct job *job = calloc(1, sizeof(*job));

    join(h);
    if (!job || !(job->path = strdup(path))) {
        job_free(job);
        return false;
    }
    config_errors_init(&job->errors);
    rng_fill(h->rng, &job->seed, sizeof(job->seed));
    job->look = look_at(path);
    job->config = config;
    job->done = &h->loaded;
    if (pthread_create(&h->thread, NULL, load, job) != 0) {
        job_free(job);
        return false;
    }
    h->thread_runs = true;
    h->job = job;
    return true;
}

static void say_errors(const struct config_errors *errors)
{
    char quoted[CONFIG_ERROR_STR + 64];

    for (size_t i = 0; i < MIN(errors->count, (size_t)CONFIG_ERRORS_MAX); i++)
        log_warn("feed", "event=invalid error=%s",
                 log_quote(quoted, sizeof(quoted), errors->line[i], strlen(errors->line[i])));
}

static void on_loaded(uv_async_t *async)
{
    struct feed_host *h = container_of(async, struct feed_host, loaded);
    struct job *job = h->job;
    ts_t now = loop_now();

    if (!job || job->place > 0 || h->working)
        return; /* woken twice */
    join(h);
    h->status.attempts++;
    if (job->rc == 0) {
        const struct feed_op begin = {.kind = FEED_OP_BEGIN};

        if (job->config)
            h->config = job->config;
        feed_map_forgive(h->map); /* a file is what somebody wrote just now */
        feed_map_take(h->map, &begin, loop_wall() / TS_S, now);
        snprintf(h->status.where, sizeof(h->status.where), "%s", job->path);
        say(h, FEED_SOURCE_CONNECTED, "");
        begin_work(h, now);
        if (job->config)
            h->listener.loaded(h->listener.ctx, 0, NULL, now);
        return;
    }
    h->job = NULL;
    if (job->config) {
        h->listener.loaded(h->listener.ctx, job->rc, &job->errors, now);
    } else {
        h->taken = job->look;
        say_errors(&job->errors);
        if (job->errors.count == 0) {
            say(h, FEED_SOURCE_RETRYING, err_str(job->rc));
        } else { /* said just now, line by line */
            h->status.state = FEED_SOURCE_RETRYING;
            snprintf(h->status.error, sizeof(h->status.error), "%.*s", (int)sizeof(h->status.error) - 1, job->errors.line[0]);
        }
    }
    job_free(job);
}

void feed_host_reload(struct feed_host *h, const struct ingress_config *config)
{
    h->reload_config = config;
    h->reload_next = true;
    loop_timer_arm(h->loop, &h->look, loop_now());
}

static void look_for_change(struct feed_host *h, ts_t now)
{
    const char *path = h->config->feed.path;
    struct look look = look_at(path);
    bool still = same(&look, &h->seen), new = !same(&look, &h->taken);
    const struct feed_op alive = {.kind = FEED_OP_HEARTBEAT};

    h->seen = look;
    if (look.err != 0) {
        say(h, FEED_SOURCE_RETRYING, err_str(look.err));
        h->taken = look; /* when it is back it is read again, whatever it is then */
    }
    if (look.err == 0 && !new && h->status.state == FEED_SOURCE_CONNECTED)
        feed_map_take(h->map, &alive, loop_wall() / TS_S, now);
    if (look.err == 0 && new && still)
        begin_load(h, path, NULL);
}

/* set_limits - those of the configuration in force; a file has its own, before it gets here */
static void set_limits(struct feed_host *h)
{
    if (h->live)
        feed_map_limits(h->map, h->config->feed.nodes_max, h->config->feed.memory_bytes_max);
}

static void on_look(struct loop_timer *t, ts_t now)
{
    struct feed_host *h = container_of(t, struct feed_host, look);
    struct config_errors *errors;

    loop_timer_arm(h->loop, t, ts_add(now, h->reload_next ? LOOK_NS / 100 : LOOK_NS));
    if (h->live && h->reload_next) { /* what the source itself needs to know, its owner tells it */
        h->reload_next = false;
        h->config = h->reload_config;
        set_limits(h);
        feed_map_forgive(h->map);
        h->listener.loaded(h->listener.ctx, 0, NULL, now);
        return;
    }
    if (h->live || h->job || h->working)
        return; /* one after the other */
    if (!h->reload_next) {
        look_for_change(h, now);
        return;
    }
    h->reload_next = false;
    if (begin_load(h, h->reload_config->feed.path, h->reload_config))
        return;
    errors = calloc(1, sizeof(*errors));
    BUG_ON(!errors);
    config_errors_init(errors);
    config_errors_add(errors, (struct config_place){0}, "feed.path", "%s", err_str(ERR_NOMEM));
    h->listener.loaded(h->listener.ctx, ERR_NOMEM, errors, now);
    free(errors);
}

/* ---- life ---- */

struct feed_host *feed_host_new(struct loop *loop, struct workers *workers, struct rng *rng,
                                const struct feed_host_listener *listener)
{
    struct feed_host *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->loop = loop;
    h->workers = workers;
    h->rng = rng;
    h->listener = *listener;
    h->sink = (struct feed_sink){.take = on_take, .say = on_say, .ctx = h};
    h->status.retry_at = h->again_at = TS_NEVER;
    bucket_init(&h->said.bucket, 1, SAID_AT_ONCE);
    loop_timer_init(&h->look, on_look);
    loop_timer_init(&h->slice, on_slice);
    loop_timer_init(&h->tidy, on_tidy);
    if (uv_async_init(&loop->uv, &h->loaded, on_loaded) == 0)
        return h;
    free(h);
    return NULL;
}

static bool use_table(struct feed_host *h, const char *name)
{
    struct feed_map_config config = {.table = h->table, .name = name, .live = h->live};

    rng_fill(h->rng, &config.seed, sizeof(config.seed));
    h->map = feed_map_new(&config);
    h->workers->routes = h->table;
    return h->map != NULL;
}

static const char *age_text(uint64_t wall_ns, char out[32])
{
    uint64_t now = loop_wall();

    snprintf(out, 32, "%llu s", (unsigned long long)(now > wall_ns ? (now - wall_ns) / TS_S : 0));
    return out;
}

/* give_back - what filling a table took besides: indexes it outgrew, and texts. Nobody reads it yet. */
static void give_back(struct route_table *table)
{
    route_table_reclaim(table, SIZE_MAX);
    malloc_trim(0);
}

/* start_cold - with what is kept, so that visitors are served before the feed has answered */
static int start_cold(struct feed_host *h, const struct ingress_config *config)
{
    struct map_seed seed;
    char age[32];
    int rc = -ENOENT;

    rng_fill(h->rng, &seed, sizeof(seed));
    h->live = true;
    h->config = config;
    h->table = route_table_new(&seed);
    if (!h->table)
        return ERR_NOMEM;
    if (*h->state_dir)
        rc = feed_store_load(h->state_dir, h->table, &h->on_disk);
    if (rc == 0) {
        give_back(h->table);
        h->cold = true;
        log_info("feed", "event=cold_start nodes=%zu age=\"%s\" revision=%llu", route_node_count(h->table),
                 age_text(h->on_disk.wall_ns, age), (unsigned long long)h->on_disk.point.revision);
    } else {
        if (rc != -ENOENT)
            log_warn("feed", "event=map_ignored state_dir=\"%s\" error=\"%s\" note=\"nobody is served until the feed "
                             "has spoken\"",
                     h->state_dir, rc == ERR_INVALID ? "damaged or cut" : err_str(rc));
        h->on_disk = (struct feed_disk_info){0};
        route_table_free(h->table);
        h->table = route_table_new(&seed);
        if (!h->table)
            return ERR_NOMEM;
    }
    if (!use_table(h, "feed"))
        return ERR_NOMEM;
    set_limits(h);
    feed_map_resume(h->map, &h->on_disk.point);
    return 0;
}

int feed_host_start(struct feed_host *h, const struct ingress_config *config, struct config_errors *errors)
{
    h->state_dir = strdup(config->state_dir);
    if (!h->state_dir)
        return ERR_NOMEM;
    if (config->feed.type != INGRESS_CONFIG_FEED_FILE)
        return start_cold(h, config);
    const struct feed_op alive = {.kind = FEED_OP_HEARTBEAT};
    struct map_seed seed;
    ts_t now = loop_now();

    rng_fill(h->rng, &seed, sizeof(seed));
    h->seen = h->taken = look_at(config->feed.path);
    int rc = feed_load(config->feed.path, &seed, errors, &h->table);

    if (rc != 0)
        return rc;
    give_back(h->table);
    h->config = config;
    if (!use_table(h, "feed"))
        return ERR_NOMEM;
    snprintf(h->status.where, sizeof(h->status.where), "%s", config->feed.path);
    h->status.state = FEED_SOURCE_CONNECTED;
    h->status.attempts = 1;
    feed_map_take(h->map, &alive, loop_wall() / TS_S, now);
    return 0;
}

void feed_host_watch(struct feed_host *h, ts_t now)
{
    loop_timer_arm(h->loop, &h->look, ts_add(now, LOOK_NS));
    loop_timer_arm(h->loop, &h->tidy, ts_add(now, STALE_LOOK_NS));
}

bool feed_host_busy(const struct feed_host *h)
{
    return h->working;
}

void feed_host_report(struct feed_host *h, struct feed_report *out, ts_t now)
{
    static const char *const types[] = {[INGRESS_CONFIG_FEED_FILE] = "file", [INGRESS_CONFIG_FEED_HTTPS] = "https",
                                        [INGRESS_CONFIG_FEED_ETCD] = "etcd", [INGRESS_CONFIG_FEED_TAILNET] = "tailnet"};
    const struct feed_map_stats *map = feed_map_stats(h->map);
    bool connected = h->status.state == FEED_SOURCE_CONNECTED;
    uint64_t wall = loop_wall(), written = h->on_disk.wall_ns;
    uint64_t kept = written ? (wall > written ? wall - written : 0) : UINT64_MAX;

    *out = (struct feed_report){
        .type = types[h->config->feed.type],
        .heard = map->told_at != 0,
        .source = &h->status,
        .map = map,
        .state = h->working                     ? "loading"
                 : map->told_at == 0 && h->cold ? "cold"
                 : map->told_at == 0            ? "empty"
                 : connected && !h->stopped     ? "current"
                                                : "stale",
        .age_ns = map->told_at ? ts_since(now, map->told_at) : h->cold ? kept : 0,
        .kept_age_ns = kept,
        .stopped = h->stopped,
        .nodes = route_node_count(h->table),
        .retired = route_table_epoch(h->table)->count,
        .turn_max_ns = h->loop->turn_max_ns,
    };
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_async_t *)handle, struct feed_host, loaded));
}

void feed_host_free(struct feed_host *h)
{
    if (!h)
        return;
    loop_timer_arm(h->loop, &h->look, TS_NEVER);
    loop_timer_arm(h->loop, &h->slice, TS_NEVER);
    loop_timer_arm(h->loop, &h->tidy, TS_NEVER);
    join(h);
    keeper_join(h);
    free((char *)h->state_dir);
    job_free(h->job);
    feed_map_free(h->map);
    route_table_free(h->table);
    h->workers->routes = NULL;
    uv_close((uv_handle_t *)&h->loaded, on_closed);
}
