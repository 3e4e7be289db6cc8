/* feed_map.c - snapshots, deltas, and rows that wait.
 *
 * Every node has a mark in the table: the number of the snapshot that named it last. While a snapshot is put in force, a
 * node with an older mark is on its way out and holds nothing against others. */
#include "ingress/feed/feed_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "ingress/feed/feed_row.h"
#include "ingress/route/route_diff.h"

#define DROPPED_A_STEP 8
#define EVENTS_MAX  1024 /* waiting to be taken, before a slice ends early */
#define SAID_AT_ONCE 20  /* log lines about rows; then one a second */

enum phase {
    IDLE = 0,
    STAGING,  /* between BEGIN and END */
    DROPPING, /* what was staged is not wanted */
    ENTERING, /* staged rows go in */
    SWEEPING, /* what it did not name goes out */
};

/* A row that was left out. */
struct waiting {
    struct map_node by_id;
    struct waiting *next, *prev; /* in the order of arrival */
    const struct route_node *row;
    uint32_t blocker; /* the place of who is in its way; ANYBODY */
};
#define ANYBODY UINT32_MAX

struct staged {
    const struct route_node *row; /* with a reference */
    bool same;                    /* it is the one in the table */
};

struct feed_map {
    struct feed_map_config config;
    enum phase phase;
    uint32_t serial;     /* of the snapshot */
    uint32_t orders;     /* the last place in a name that was given out */
    struct staged *staged;
    size_t staged_count, staged_room, at;
    size_t staged_nodes; /* those that are there */
    size_t staged_bytes; /* of rows that are not the table's */
    size_t waiting_bytes;
    bool over;           /* it is larger than allowed: nothing more of it is kept */
    bool unknown;        /* a row of it told not even its id */
    bool lost;           /* memory ran out: it can't be put in force */
    bool forgiven;
    bool astray;         /* a snapshot was refused: what its source says on top of it is not about this map */
    struct feed_point point; /* of the snapshot */
    uint32_t sweep;
    struct map waiting;
    struct waiting *first, *last;
    uint32_t *released;  /* places whose claims changed: who waits for them is tried again */
    size_t released_count, released_room;
    const struct route_node **tombs; /* a ring of references, the oldest first; some are no tombstones any more. NULL: none yet */
    size_t tombs_first, tombs_count;
    struct feed_event *events;
    size_t events_first, events_count, events_room;
    struct log_limit said;
    struct feed_map_stats stats;
};

struct feed_map *feed_map_new(const struct feed_map_config *config)
{
    struct feed_map *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->config = *config;
    feed_map_limits(m, config->nodes_max, config->bytes_max);
    m->serial = 1; /* 0 is the mark of who was never named */
    map_init(&m->waiting);
    m->orders = route_table_places(config->table);
    bucket_init(&m->said.bucket, 1, SAID_AT_ONCE);
    return m;
}

/* drop - so many of the staged rows; a million at once would take long. Returns whether there are more */
static bool staged_drop(struct feed_map *m, size_t rows)
{
    for (; rows > 0 && m->staged_count > m->at; rows--)
        route_node_put(m->staged[--m->staged_count].row);
    if (m->staged_count > m->at)
        return true;
    free(m->staged);
    m->staged = NULL;
    m->staged_count = m->staged_room = m->at = 0;
    return false;
}

static void waiting_drop(struct feed_map *m, struct waiting *w)
{
    map_remove(&m->waiting, &w->by_id);
    *(w->prev ? &w->prev->next : &m->first) = w->next;
    *(w->next ? &w->next->prev : &m->last) = w->prev;
    m->waiting_bytes -= route_row_bytes(w->row);
    route_node_put(w->row);
    free(w);
    m->stats.waiting--;
}

void feed_map_free(struct feed_map *m)
{
    struct feed_event event;

    if (!m)
        return;
    staged_drop(m, SIZE_MAX);
    while (m->first)
        waiting_drop(m, m->first);
    while (feed_map_event(m, &event))
        route_node_put(event.node);
    for (; m->tombs_count > 0; m->tombs_count--)
        route_node_put(m->tombs[m->tombs_first++ % FEED_TOMBSTONES_MAX]);
    map_deinit(&m->waiting);
    free(m->tombs);
    free(m->released);
    free(m->events);
    free(m);
}

const struct feed_map_stats *feed_map_stats(const struct feed_map *m)
{
    return &m->stats;
}

bool feed_map_busy(const struct feed_map *m)
{
    return m->phase >= DROPPING;
}

void feed_map_limits(struct feed_map *m, size_t nodes_max, size_t bytes_max)
{
    m->config.nodes_max = nodes_max ? nodes_max : SIZE_MAX;
    m->config.bytes_max = bytes_max ? bytes_max : SIZE_MAX;
}

void feed_map_forgive(struct feed_map *m)
{
    m->forgiven = true;
}

/* ---- telling ---- */

/* said - into its place in the status, and into the log as long as there is not too much of it */
static void __attribute__((format(printf, 5, 6))) say(struct feed_map *m, char out[FEED_MAP_TEXT], const char *event,
                                                      ts_t now, const char *fmt, ...)
{
    char quoted[FEED_MAP_TEXT + 64];
    unsigned long left_out;
    va_list args;

    va_start(args, fmt);
    vsnprintf(out, FEED_MAP_TEXT, fmt, args);
    va_end(args);
    if (log_allowed(&m->said, now, &left_out))
        log_warn("feed", "event=%s error=%s unsaid=%lu", event, log_quote(quoted, sizeof(quoted), out, strlen(out)),
                 left_out);
}

/* room - for one more in a list; false: out of memory */
static bool room(void **list, size_t *have, size_t count, size_t bytes)
{
    if (count < *have)
        return true;
    size_t more = *have ? *have * 2 : 64;
    void *grown = realloc(*list, more * bytes);

    if (!grown)
        return false;
    *list = grown;
    *have = more;
    return true;
}

static void add_event(struct feed_map *m, enum feed_event_kind kind, const struct route_node *node)
{
    if (!route_table_watched(m->config.table, route_node_place(node)))
        return;
    if (m->events_first > 0 && m->events_first + m->events_count == m->events_room) {
        memmove(m->events, m->events + m->events_first, m->events_count * sizeof(*m->events));
        m->events_first = 0;
    }
    /* one that is lost leaves a connected node with its old row until it connects anew: better than to end here */
    if (room((void **)&m->events, &m->events_room, m->events_first + m->events_count, sizeof(*m->events)))
        m->events[m->events_first + m->events_count++] = (struct feed_event){kind, route_node_get(node)};
    else
        log_error("feed", "event=lost node=\"%s\" error=\"%s\"", node->id, err_str(ERR_NOMEM));
}

bool feed_map_event(struct feed_map *m, struct feed_event *out)
{
    if (m->events_count == 0)
        return false;
    *out = m->events[m->events_first++];
    if (--m->events_count == 0)
        m->events_first = 0;
    return true;
}

/* ---- in and out of the table ---- */

static const struct route_node *by_id(const struct feed_map *m, const char *id, size_t len)
{
    return route_node_by_id(m->config.table, id, len);
}

static uint32_t *mark(const struct feed_map *m, const struct route_node *node)
{
    return route_table_mark(m->config.table, route_node_place(node));
}

static struct waiting *waiting_of(const struct feed_map *m, const char *id, size_t len)
{
    if (!m->first)
        return NULL;
    for (struct map_node *n = map_first(&m->waiting, map_hash(&m->config.seed, id, len)); n; n = map_next(n)) {
        struct waiting *w = container_of(n, struct waiting, by_id);

        if (strlen(w->row->id) == len && memcmp(w->row->id, id, len) == 0)
            return w;
    }
    return NULL;
}

static void release(struct feed_map *m, uint32_t place)
{
    if (!m->first)
        return;
    if (room((void **)&m->released, &m->released_room, m->released_count, sizeof(*m->released)))
        m->released[m->released_count++] = place;
}

static void leave(struct feed_map *m, const struct route_node *node, enum feed_event_kind kind)
{
    uint32_t place = route_node_place(node);

    m->stats.revoked += kind == FEED_EVENT_REVOKED;
    route_node_get(node);
    route_table_leave(m->config.table, node);
    add_event(m, kind, node); /* only now: who began to watch before would else see the row, and not be told */
    route_table_unwatch(m->config.table, place);
    route_node_put(node);
    m->stats.left++;
    release(m, place);
}

/* bury - the row in the table is a tombstone: so many are kept, and of more the oldest leaves. False: no memory */
static bool bury(struct feed_map *m, const struct route_node *row)
{
    if (!m->tombs && !(m->tombs = calloc(FEED_TOMBSTONES_MAX, sizeof(const struct route_node *))))
        return false;
    if (m->tombs_count == FEED_TOMBSTONES_MAX) {
        const struct route_node *oldest = m->tombs[m->tombs_first];

        m->tombs_first = (m->tombs_first + 1) % FEED_TOMBSTONES_MAX;
        m->tombs_count--;
        if (route_table_at(m->config.table, route_node_place(oldest)) == oldest)
            leave(m, oldest, FEED_EVENT_REMOVED);
        route_node_put(oldest);
    }
    m->tombs[(m->tombs_first + m->tombs_count++) % FEED_TOMBSTONES_MAX] = route_node_get(row);
    return true;
}

/* withdraw - the node is withdrawn: a tombstone is left in its place, so that visitors are told so, and not brought to whoever
 * has a wildcard above its names. It holds nothing against others. */
static void withdraw(struct feed_map *m, const struct route_node *node)
{
    struct route_node closed = *node;
    const struct route_node *was, *row;

    if (node->revoked)
        return;
    closed.revoked = true;
    row = route_row_new(&closed);
    if (row && route_table_enter(m->config.table, row, &was) != 0) {
        route_node_put(row);
        row = NULL;
    }
    if (!row || !bury(m, row)) { /* without memory for it the node goes without a trace */
        leave(m, row ? row : node, FEED_EVENT_REVOKED);
        return;
    }
    m->stats.entered++;
    m->stats.revoked++;
    add_event(m, FEED_EVENT_REVOKED, row);
    route_table_unwatch(m->config.table, route_node_place(row)); /* to those who are connected it is gone */
    release(m, route_node_place(row));
}

void feed_map_resume(struct feed_map *m, const struct feed_point *point)
{
    m->stats.point = *point;
    for (uint32_t place = 0; place < route_table_places(m->config.table); place++) {
        const struct route_node *row = route_table_at(m->config.table, place);

        if (row && row->revoked && !bury(m, row))
            leave(m, row, FEED_EVENT_REMOVED);
    }
}

/* weak - what it holds, it holds until somebody else claims it */
static bool weak(const struct feed_map *m, const struct route_node *node)
{
    return node->revoked || (m->phase >= ENTERING && *mark(m, node) != m->serial) || waiting_of(m, node->id, strlen(node->id));
}

struct way {
    struct feed_map *map;
    const struct route_node *row;
    struct route_conflict conflict; /* what is in the way; kind NONE: nothing */
    bool met;                       /* a weak holder was met */
    bool clear;                     /* take weak holders out of the way */
};

/* the weak one of a full name that stands last; NULL: all of them hold */
static const struct route_node *weak_of_name(const struct feed_map *m, const struct route_name *name)
{
    struct route_owner owners[ROUTE_NODES_PER_NAME];
    char text[300] = "x"; /* any name below a wildcard */
    const char *asked = name->name;

    if (name->name[0] == '*') {
        snprintf(text + 1, sizeof(text) - 1, "%s", name->name + 1);
        asked = text;
    }
    for (size_t i = route_explain(m->config.table, asked, strlen(asked), 0, 0, owners); i-- > 0;)
        if (strcmp(owners[i].rule->name, name->name) == 0 && weak(m, owners[i].node))
            return owners[i].node;
    return NULL;
}

static bool on_conflict(const struct route_conflict *conflict, void *ctx)
{
    struct way *way = ctx;
    struct feed_map *m = way->map;
    const struct route_node *holder = conflict->other;

    if (conflict->kind == ROUTE_CONFLICT_NAME_FULL)
        holder = weak_of_name(m, &way->row->names[conflict->index]);
    else if (!weak(m, holder))
        holder = NULL;
    if (!holder) {
        way->conflict = *conflict;
        return false;
    }
    way->met = true;
    if (way->clear)
        leave(m, holder, FEED_EVENT_REMOVED);
    return true;
}

static void tell_conflict(struct feed_map *m, const struct route_node *row, const struct route_conflict *c, ts_t now)
{
    static const char *const things[] = {[ROUTE_CONFLICT_KEY] = "its key", [ROUTE_CONFLICT_ADDRESS] = "its address"};

    m->stats.conflicts++;
    if (c->kind == ROUTE_CONFLICT_NAME_FULL)
        say(m, m->stats.conflict, "conflict", now, "node '%s' is left out: %d other nodes have the name '%s'", row->id,
            ROUTE_NODES_PER_NAME, row->names[c->index].name);
    else
        say(m, m->stats.conflict, "conflict", now, "node '%s' is left out: node '%s' has %s", row->id, c->other->id,
            things[c->kind]);
}

/* wait - the row (its reference is taken) comes in when its way is free */
static void wait(struct feed_map *m, const struct route_node *row, const struct route_conflict *c, uint64_t unix_now,
                 ts_t now)
{
    struct waiting *w = m->stats.waiting < FEED_WAITING_MAX ? calloc(1, sizeof(*w)) : NULL;
    const struct route_node *was = by_id(m, row->id, strlen(row->id));

    tell_conflict(m, row, c, now);
    if (was && !route_node_open(row, unix_now))
        withdraw(m, was);
    else if (was && w)
        release(m, route_node_place(was)); /* from here on it is weak */
    if (!w) {
        route_node_put(row);
        return;
    }
    w->row = row;
    m->waiting_bytes += route_row_bytes(row);
    w->blocker = c->other ? route_node_place(c->other) : ANYBODY;
    w->prev = m->last;
    *(m->last ? &m->last->next : &m->first) = w;
    m->last = w;
    map_insert(&m->waiting, &w->by_id, map_hash(&m->config.seed, row->id, strlen(row->id)));
    m->stats.waiting++;
}

/* put - the row (its reference is taken) is in nobody's way */
static void put(struct feed_map *m, const struct route_node *row, uint32_t order, uint64_t unix_now, ts_t now)
{
    const struct route_node *was;
    unsigned long unsaid;
    int err = route_table_enter(m->config.table, row, &was);

    if (err != 0) {
        m->stats.starved = true;
        if (log_allowed(&m->said, now, &unsaid))
            log_error("feed", "event=not_entered node=\"%s\" error=\"%s\" unsaid=%lu", row->id, err_str(err), unsaid);
        route_node_put(row);
        return;
    }
    m->stats.entered++;
    *mark(m, row) = m->serial;
    if (!was || order)
        route_table_order_set(m->config.table, route_node_place(row), order ? order : ++m->orders);
    if (!was)
        return;
    add_event(m, FEED_EVENT_CHANGED, was);
    if (route_node_open(was, unix_now) && !route_node_open(row, unix_now)) {
        m->stats.revoked++;
        add_event(m, FEED_EVENT_REVOKED, row);
    }
    release(m, route_node_place(row));
}

static void make_way(struct feed_map *m, struct way *way)
{
    way->clear = true;
    if (way->met)
        (void)route_table_conflicts(m->config.table, way->row, on_conflict, way);
}

/* enter - as far as nothing is in its way; returns whether it is in. The reference is taken. */
static bool enter(struct feed_map *m, const struct route_node *row, uint32_t order, uint64_t unix_now, ts_t now)
{
    struct way way = {.map = m, .row = row};

    if (!route_table_conflicts(m->config.table, row, on_conflict, &way)) {
        wait(m, row, &way.conflict, unix_now, now);
        return false;
    }
    make_way(m, &way);
    put(m, row, order, unix_now, now);
    return true;
}

/* those whose way may be free now, in the order of arrival; each that comes in may free the way of others */
static void retry(struct feed_map *m, uint64_t unix_now, ts_t now)
{
    for (size_t i = 0; i < m->released_count; i++) {
        struct waiting *next;

        for (struct waiting *w = m->first; w; w = next) {
            struct way way = {.map = m, .row = w->row};

            next = w->next;
            if (w->blocker != ANYBODY && w->blocker != m->released[i])
                continue;
            if (!route_table_conflicts(m->config.table, w->row, on_conflict, &way)) {
                w->blocker = way.conflict.other ? route_node_place(way.conflict.other) : ANYBODY;
                continue;
            }
            const struct route_node *row = route_node_get(w->row);

            waiting_drop(m, w);
            make_way(m, &way);
            put(m, row, 0, unix_now, now);
        }
    }
    m->released_count = 0;
}

/* the newest word about a node: what waited for it counts no more */
static void forget_waiting(struct feed_map *m, const char *id, size_t len)
{
    struct waiting *w = waiting_of(m, id, len);

    if (w)
        waiting_drop(m, w);
}

/* ---- deltas ---- */

/* too_much - there is no room for one more, or for a larger one; said */
static bool too_much(struct feed_map *m, const struct route_node *row, const struct route_node *was, ts_t now)
{
    size_t nodes = route_node_count(m->config.table), bytes = route_table_bytes(m->config.table) + m->waiting_bytes;
    size_t more = route_row_bytes(row), less = was ? route_row_bytes(was) : 0;
    bool many = (!was || was->revoked) && nodes >= m->config.nodes_max;

    if (!many && (more <= less || bytes + more - less <= m->config.bytes_max))
        return false;
    /* not starved: a snapshot would be refused for it, and then nothing of what follows counted */
    m->stats.conflicts++;
    if (many)
        say(m, m->stats.conflict, "left_out", now, "node '%s' is left out: the map has %zu nodes, and feed.max_nodes is %zu",
            row->id, nodes, m->config.nodes_max);
    else
        say(m, m->stats.conflict, "left_out", now,
            "node '%s' is left out: the map's rows take %zu MiB, and feed.max_memory is %zu MiB", row->id, bytes >> 20,
            m->config.bytes_max >> 20);
    return true;
}

static void delta_put(struct feed_map *m, const struct route_node *row, uint64_t unix_now, ts_t now)
{
    const struct route_node *was = by_id(m, row->id, strlen(row->id));

    forget_waiting(m, row->id, strlen(row->id));
    if (was && route_node_changed(was, row) == 0) {
        route_node_put(row);
    } else if (too_much(m, row, was, now)) {
        if (was && !route_node_open(row, unix_now))
            withdraw(m, was);
        route_node_put(row);
    } else
        enter(m, row, 0, unix_now, now);
}

static void delta_remove(struct feed_map *m, const struct feed_op *op)
{
    const struct route_node *was = by_id(m, op->id, op->id_len);

    forget_waiting(m, op->id, op->id_len);
    if (was)
        leave(m, was, FEED_EVENT_REMOVED);
}

/* ---- snapshots ---- */

static bool stage(struct feed_map *m, const struct route_node *row, bool same)
{
    size_t bytes = same ? 0 : route_row_bytes(row);

    /* a reload may have lowered a limit below what is staged */
    m->over = m->over || m->staged_count >= m->config.nodes_max || m->staged_bytes + bytes > m->config.bytes_max;
    if (m->over) {
        route_node_put(row);
        return false;
    }
    if (!room((void **)&m->staged, &m->staged_room, m->staged_count, sizeof(*m->staged))) {
        route_node_put(row);
        m->lost = true;
        return false;
    }
    m->staged[m->staged_count++] = (struct staged){row, same};
    m->staged_nodes += !row->revoked;
    m->staged_bytes += bytes;
    return true;
}

bool feed_map_take_row(struct feed_map *m, const struct route_node *row)
{
    BUG_ON(m->phase != STAGING);
    const struct route_node *was = by_id(m, row->id, strlen(row->id));
    bool named = was && *mark(m, was) == m->serial; /* before, in this snapshot: the later word counts */
    bool same = was && !named && route_node_changed(was, row) == 0;

    if (was)
        *mark(m, was) = m->serial;
    if (!same)
        return stage(m, row, false);
    route_node_put(row);
    return stage(m, route_node_get(was), true);
}

/* take_revoke - at any time, and at once: to withdraw a node is right whatever becomes of the snapshot that says so. In a
 * snapshot the node is named by it, and a row of its that was staged before is not the last word. */
static void take_revoke(struct feed_map *m, const struct feed_op *op)
{
    const struct route_node *was = by_id(m, op->id, op->id_len);
    char id[ROUTE_ID_MAX + 1];

    forget_waiting(m, op->id, op->id_len);
    if (was)
        withdraw(m, was);
    if (m->phase != STAGING || op->id_len > ROUTE_ID_MAX)
        return;
    was = by_id(m, op->id, op->id_len);
    if (was)
        *mark(m, was) = m->serial;
    memcpy(id, op->id, op->id_len);
    id[op->id_len] = 0;
    const struct route_node *row = route_row_new(&(struct route_node){.id = id, .tailnet = "", .revoked = true});

    if (row)
        stage(m, row, false);
    else
        m->lost = true;
}

static void snapshot_begin(struct feed_map *m)
{
    staged_drop(m, SIZE_MAX); /* of a source that begins again without a word: none of ours does */
    m->phase = STAGING;
    m->serial++;
    m->unknown = m->lost = m->over = m->stats.starved = false;
    m->staged_nodes = m->staged_bytes = 0;
}

static void snapshot_abort(struct feed_map *m)
{
    m->phase = DROPPING;
    m->stats.aborted++;
}

/* refused - the snapshot is not believed: the map stays as it is */
static bool refused(struct feed_map *m, const struct feed_op *op, ts_t now)
{
    size_t nodes = route_node_count(m->config.table);
    bool back = op->revision && op->revision < m->stats.point.revision, empty = m->config.live && m->staged_nodes == 0;

    if (m->lost)
        say(m, m->stats.refusal, "refused", now, "out of memory for a snapshot of more than %zu nodes",
            m->staged_count);
    else if (m->over && m->staged_count >= m->config.nodes_max)
        say(m, m->stats.refusal, "refused", now, "a snapshot of more than %zu rows, which is feed.max_nodes",
            m->config.nodes_max);
    else if (m->over)
        say(m, m->stats.refusal, "refused", now, "a snapshot whose rows take more than %zu MiB, which is feed.max_memory",
            m->config.bytes_max >> 20);
    else if (back && !m->forgiven)
        say(m, m->stats.refusal, "refused", now, "revision %" PRIu64 " is older than the map's %" PRIu64, op->revision,
            m->stats.point.revision);
    else if (empty && nodes > 0 && !m->forgiven)
        say(m, m->stats.refusal, "refused", now, "a snapshot without nodes, while the map has %zu", nodes);
    else
        return false;
    m->stats.refused++;
    m->stats.starved = m->lost || m->over;
    m->phase = DROPPING;
    m->astray = true;
    return true;
}

static void snapshot_end(struct feed_map *m, const struct feed_op *op, ts_t now)
{
    if (refused(m, op, now))
        return;
    m->forgiven = m->astray = false;
    m->point = (struct feed_point){op->revision, op->origin};
    m->phase = ENTERING;
    m->at = 0;
    m->sweep = 0;
    m->orders = 0;
    /* what waited from before counts only if the snapshot says it again */
    while (!m->unknown && m->first)
        waiting_drop(m, m->first);
}

/* one of the staged, at its place among the others */
static void step_enter(struct feed_map *m, uint64_t unix_now, ts_t now)
{
    struct staged *s = &m->staged[m->at++];
    const struct route_node *row = s->row;

    m->orders++;
    s->row = NULL;
    if (s->same) {
        const struct route_node *node = route_table_at(m->config.table, route_node_place(row));

        if (node != row) /* it had to make way meanwhile, and may be back */
            node = by_id(m, row->id, strlen(row->id));
        if (node)
            route_table_order_set(m->config.table, route_node_place(node), m->orders);
        route_node_put(row);
        return;
    }
    forget_waiting(m, row->id, strlen(row->id));
    if (row->revoked) {
        const struct route_node *was = by_id(m, row->id, strlen(row->id));

        if (was)
            withdraw(m, was);
        route_node_put(row);
        return;
    }
    enter(m, row, m->orders, unix_now, now);
}

static void step_sweep(struct feed_map *m)
{
    const struct route_node *node = route_table_at(m->config.table, m->sweep++);

    if (node && *mark(m, node) != m->serial)
        leave(m, node, FEED_EVENT_REMOVED);
}

static void snapshot_done(struct feed_map *m)
{
    staged_drop(m, 0); /* all are in the table, or wait */
    m->phase = IDLE;
    m->stats.snapshots++;
    m->stats.point = m->point;
}

bool feed_map_step(struct feed_map *m, size_t rows, uint64_t unix_now, ts_t now)
{
    for (; rows > 0 && feed_map_busy(m) && m->events_count < EVENTS_MAX; rows--) {
        if (m->phase == DROPPING) {
            if (!staged_drop(m, DROPPED_A_STEP))
                m->phase = IDLE;
        } else if (m->phase == ENTERING && m->at < m->staged_count)
            step_enter(m, unix_now, now);
        else if (m->phase == ENTERING)
            m->phase = SWEEPING;
        else if (!m->unknown && m->sweep < route_table_places(m->config.table))
            step_sweep(m);
        else
            snapshot_done(m);
        retry(m, unix_now, now);
    }
    return feed_map_busy(m);
}

/* ---- steps ---- */

/* bears - the row has the id that its source knows it by: under another one nobody could remove it */
static bool bears(const struct route_node *row, const struct feed_op *op)
{
    return !op->id || (strlen(row->id) == op->id_len && memcmp(row->id, op->id, op->id_len) == 0);
}

static void take_put(struct feed_map *m, const struct feed_op *op, uint64_t unix_now, ts_t now)
{
    struct config_errors errors;
    struct feed_walk walk;
    char id[ROUTE_ID_MAX + 1];

    if (m->phase == STAGING && m->over)
        return; /* it is refused in any case */
    config_errors_init(&errors);
    feed_walk_init(&walk, m->config.name, &errors);
    walk.place.line = (unsigned)op->line;
    const struct route_node *row = feed_row_parse(&walk, op->text, op->text_len, id);

    if (row && !bears(row, op)) {
        config_errors_add(&errors, walk.place, "id", "'%s' is not the one of its key", row->id);
        route_node_put(row);
        row = NULL;
    }
    if (!row && op->id && op->id_len <= ROUTE_ID_MAX && !memchr(op->id, 0, op->id_len)) {
        memcpy(id, op->id, op->id_len);
        id[op->id_len] = 0;
    }
    if (row && m->phase == STAGING) {
        feed_map_take_row(m, row);
        return;
    }
    if (row) {
        delta_put(m, row, unix_now, now);
        return;
    }
    const char *key = op->id ? op->id : "";
    int key_len = (int)MIN(op->id ? op->id_len : 0, (size_t)ROUTE_ID_MAX);

    m->stats.rows_bad++;
    m->stats.starved = m->stats.starved || (!row && errors.count == 0);
    m->lost = m->lost || (m->phase == STAGING && errors.count == 0);
    say(m, m->stats.fault, "bad_row", now, "%s%.*s%s%s", key_len ? "key '" : "", key_len, key, key_len ? "': " : "",
        errors.count ? errors.line[0] : err_str(ERR_NOMEM));
    for (char *c = m->stats.fault; *c; c++) /* a key may be any bytes */
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    const struct route_node *was = by_id(m, id, strlen(id));

    if (m->phase != STAGING)
        return;
    if (!id[0] || waiting_of(m, id, strlen(id)))
        m->unknown = true;
    else if (was && *mark(m, was) != m->serial) {
        *mark(m, was) = m->serial; /* it is named, and goes on as it was */
        stage(m, route_node_get(was), true);
    }
}

bool feed_map_take(struct feed_map *m, const struct feed_op *op, uint64_t unix_now, ts_t now)
{
    bool staging = m->phase == STAGING, delta = !staging;

    if (feed_map_busy(m) && op->kind != FEED_OP_HEARTBEAT && op->kind != FEED_OP_ABORT)
        return false;
    /* to withdraw a node is right in any case; all else waits for a snapshot that is believed, and the map ages */
    if (m->astray && !staging && op->kind != FEED_OP_BEGIN && op->kind != FEED_OP_REVOKE)
        return true;
    switch (op->kind) {
    case FEED_OP_BEGIN:
        snapshot_begin(m);
        delta = false;
        break;
    case FEED_OP_PUT:
        take_put(m, op, unix_now, now);
        break;
    case FEED_OP_REMOVE:
        if (!staging) /* a snapshot says who is there */
            delta_remove(m, op);
        break;
    case FEED_OP_REVOKE:
        take_revoke(m, op);
        break;
    case FEED_OP_END:
        delta = false;
        if (!staging)
            break;
        snapshot_end(m, op, now);
        if (m->phase == ENTERING)
            m->stats.told_at = now;
        break;
    case FEED_OP_ABORT:
        delta = false;
        if (staging)
            snapshot_abort(m);
        break;
    case FEED_OP_HEARTBEAT:
        delta = false;
        if (op->revision && op->revision < m->stats.point.revision)
            break; /* it goes back: not a word that counts */
        if (!staging && !feed_map_busy(m) && op->revision)
            m->stats.point.revision = op->revision;
        m->stats.told_at = now;
        break;
    }
    if (delta) {
        m->stats.deltas++;
        if (!m->astray)
            m->stats.told_at = now;
        retry(m, unix_now, now);
    }
    return true;
}
