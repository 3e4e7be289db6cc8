#include "common/tailnet/derps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define STEADY_NS (10 * TS_S)

struct region {
    uint16_t id;
    struct derp_node *nodes; /* those that relay, in order of preference */
    size_t nodes_count;
    size_t node;                  /* the one in use, or to be tried next */
    struct derp_session *session; /* NULL: no stream, none wanted, or waiting to try again */
    bool open_due, close_due;     /* actions not yet taken; a close goes before an open */
    bool stream;                  /* the owner has one, or is opening it */
    bool told_up;
    unsigned failures; /* in a row: since a connection held for STEADY_NS */
    ts_t up_at;        /* 0: not */
    ts_t retry_at;     /* TS_NEVER: not waiting */
    ts_t used_at;      /* 0: never */
    ts_t down_since;   /* TS_NEVER: up, or not wanted */
    ts_t patience;     /* the server said it would be away until then */
};

struct derps {
    struct derps_config config;
    struct region *regions; /* by id */
    size_t regions_count;
    uint16_t home;
    uint64_t connects, failures, dropped;
};

static struct region *find(const struct derps *d, uint16_t id)
{
    size_t low = 0, high = d->regions_count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (d->regions[mid].id == id)
            return &d->regions[mid];
        if (d->regions[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static bool is_up(const struct region *r)
{
    return r->session && derp_session_up(r->session);
}

static bool wanted(const struct derps *d, const struct region *r, ts_t now)
{
    return r->id == d->home || (r->used_at != 0 && ts_since(now, r->used_at) < DERPS_IDLE_NS);
}

/* ---- one connection ---- */

static void lose(void *ctx, const uint8_t key[DERP_KEY_BYTES], const uint8_t *packet, size_t len)
{
    struct derps *d = ctx;

    d->dropped++;
    d->config.lost(d->config.ctx, key, packet, len);
}

static void drop_session(struct derps *d, struct region *r)
{
    if (r->session)
        derp_session_unsent(r->session, lose, d);
    derp_session_free(r->session);
    r->session = NULL;
    r->open_due = false;
    r->close_due = r->stream;
}

static void connect_now(struct derps *d, struct region *r, ts_t now)
{
    char host[DERP_HOST_MAX];
    const struct derp_node *node = &r->nodes[r->node];
    bool v6 = strchr(node->host, ':') != NULL;
    struct derp_session_config config = {.rng = d->config.rng,
                                         .node_private = d->config.node_private,
                                         .node_public = d->config.node_public,
                                         .host = host,
                                         .node = r->node > 0 ? node->name : NULL};

    snprintf(host, sizeof(host), node->derp_port == 443 ? "%s%.255s%s" : "%s%.255s%s:%u", v6 ? "[" : "", node->host,
             v6 ? "]" : "", node->derp_port);
    r->session = derp_session_new(&config, now);
    r->retry_at = r->session ? TS_NEVER : ts_add(now, DERPS_BACKOFF_MAX_NS);
    r->open_due = r->session != NULL;
    if (!r->session)
        return;
    d->connects++;
    if (r->down_since == TS_NEVER)
        r->down_since = now;
    derp_session_prefer(r->session, r->id == d->home);
}

/* it is wanted: there is a session, or there will be one */
static void ensure(struct derps *d, struct region *r, ts_t now)
{
    if (!r->session && r->retry_at == TS_NEVER && r->nodes_count > 0)
        connect_now(d, r, now);
}

static uint64_t backoff(struct derps *d, const struct region *r)
{
    unsigned doublings = MIN(r->failures - 1, 5u);
    uint64_t pause = MIN(DERPS_BACKOFF_MIN_NS << doublings, DERPS_BACKOFF_MAX_NS);

    return pause / 2 + rng_below(d->config.rng, pause / 2 + 1);
}

static void failed(struct derps *d, struct region *r, ts_t now)
{
    drop_session(d, r);
    d->failures++;
    r->failures = r->up_at != 0 && ts_since(now, r->up_at) >= STEADY_NS ? 1 : r->failures + 1;
    r->up_at = 0;
    if (r->down_since == TS_NEVER)
        r->down_since = now;
    if (r->failures > 1 || r->patience <= now) /* the one that restarts gets a second chance */
        r->node = r->nodes_count ? (r->node + 1) % r->nodes_count : 0;
    r->retry_at = ts_max(ts_add(now, backoff(d, r)), MIN(r->patience, ts_add(now, DERPS_RESTART_MAX_NS)));
}

static void let_go(struct derps *d, struct region *r)
{
    drop_session(d, r);
    r->retry_at = r->down_since = TS_NEVER;
    r->failures = 0;
    r->node = 0;
    r->up_at = r->used_at = 0;
}

/* ---- the map ---- */

static void node_deinit(struct derp_node *n)
{
    free(n->name);
    free(n->host);
    free(n->cert_name);
    free(n->ipv4);
    free(n->ipv6);
}

static void nodes_free(struct derp_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        node_deinit(&nodes[i]);
    free(nodes);
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

static bool node_copy(struct derp_node *to, const struct derp_node *from)
{
    *to = (struct derp_node){.name = copy(from->name),
                             .host = copy(from->host),
                             .cert_name = copy(from->cert_name),
                             .ipv4 = copy(from->ipv4),
                             .ipv6 = copy(from->ipv6),
                             .derp_port = from->derp_port,
                             .insecure = from->insecure};
    return to->name && to->host && to->cert_name && to->ipv4 && to->ipv6;
}

static bool region_copy(struct region *to, const struct derp_region *from)
{
    *to = (struct region){.id = from->id, .retry_at = TS_NEVER, .down_since = TS_NEVER};
    to->nodes = calloc(from->nodes_count ? from->nodes_count : 1, sizeof(*to->nodes));
    if (!to->nodes)
        return false;
    for (size_t i = 0; i < from->nodes_count; i++)
        if (!from->nodes[i].stun_only && from->nodes[i].derp_port != 0 &&
            !node_copy(&to->nodes[to->nodes_count++], &from->nodes[i]))
            return false;
    return true;
}

static bool node_same(const struct derp_node *a, const struct derp_node *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->cert_name, b->cert_name) == 0 && strcmp(a->ipv4, b->ipv4) == 0 &&
           strcmp(a->ipv6, b->ipv6) == 0 && a->derp_port == b->derp_port && a->insecure == b->insecure;
}

/* the connection moves into the new map, if there is the same node for it */
static void take_over(struct derps *d, struct region *to, struct region *from)
{
    size_t same = 0;

    while (same < to->nodes_count && (from->node >= from->nodes_count || !node_same(&to->nodes[same], &from->nodes[from->node])))
        same++;
    if (same == to->nodes_count) {
        drop_session(d, from);
        from->retry_at = TS_NEVER;
    }
    to->node = same < to->nodes_count ? same : 0;
    to->session = from->session;
    to->open_due = from->open_due;
    to->close_due = from->close_due;
    to->stream = from->stream;
    to->told_up = from->told_up;
    to->failures = from->failures;
    to->up_at = from->up_at;
    to->retry_at = from->retry_at;
    to->used_at = from->used_at;
    to->down_since = from->down_since;
    to->patience = from->patience;
    from->session = NULL;
}

/* A region that has left the map stays until its stream is closed and its going down is told. */
static bool lingers(const struct region *r)
{
    return r->stream || r->told_up;
}

static void regions_free(struct region *regions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        derp_session_free(regions[i].session);
        nodes_free(regions[i].nodes, regions[i].nodes_count);
    }
    free(regions);
}

static struct region *merge(struct derps *d, const struct derp_map *map, size_t *count)
{
    struct region *all = calloc(map->regions_count + d->regions_count + 1, sizeof(*all));
    size_t n = 0, old = 0;

    for (size_t i = 0; all && i <= map->regions_count; i++) {
        const struct derp_region *next = i < map->regions_count ? &map->regions[i] : NULL;

        for (; old < d->regions_count && (!next || d->regions[old].id < next->id); old++)
            if (lingers(&d->regions[old]))
                all[n++] = (struct region){.id = d->regions[old].id, .retry_at = TS_NEVER, .down_since = TS_NEVER};
        if (next && old < d->regions_count && d->regions[old].id == next->id)
            old++;
        if (next && !region_copy(&all[n++], next)) {
            regions_free(all, n);
            return NULL;
        }
    }
    *count = n;
    return all;
}

void derps_map_set(struct derps *d, const struct derp_map *map, ts_t now)
{
    size_t count = 0;
    struct region *all = map ? merge(d, map, &count) : NULL;

    if (!all)
        return;
    for (size_t i = 0; i < count; i++) {
        struct region *old = find(d, all[i].id);

        if (old)
            take_over(d, &all[i], old);
    }
    regions_free(d->regions, d->regions_count);
    d->regions = all;
    d->regions_count = count;
    for (size_t i = 0; i < count; i++)
        if (wanted(d, &all[i], now))
            ensure(d, &all[i], now);
}

void derps_home_set(struct derps *d, uint16_t region, ts_t now)
{
    struct region *was = find(d, d->home), *is = find(d, region);

    if (region == d->home)
        return;
    d->home = region;
    if (was && was->session) {
        derp_session_prefer(was->session, false);
        was->used_at = now; /* what is still on its way here comes by it */
    } else if (was && !wanted(d, was, now)) {
        let_go(d, was);
    }
    if (!is)
        return;
    if (is->session)
        derp_session_prefer(is->session, true);
    ensure(d, is, now);
}

/* ---- packets ---- */

bool derps_send(struct derps *d, const struct endpoint *to, const uint8_t *packet, size_t len, ts_t now)
{
    BUG_ON(to->kind != ENDPOINT_DERP);
    struct region *r = find(d, to->region);

    if (r && r->nodes_count > 0) {
        r->used_at = now;
        ensure(d, r, now);
    }
    if (r && r->session && derp_session_send(r->session, to->key, packet, len, now))
        return true;
    lose(d, to->key, packet, len);
    return false;
}

void derps_heard(struct derps *d, uint16_t region, ts_t now)
{
    struct region *r = find(d, region);

    if (r)
        r->used_at = now;
}

/* ---- streams ---- */

bool derps_action(struct derps *d, struct derps_action *out)
{
    for (size_t i = 0; i < d->regions_count; i++) {
        struct region *r = &d->regions[i];

        *out = (struct derps_action){.region = r->id};
        if (r->close_due) {
            r->close_due = r->stream = false;
            return true;
        }
        if (r->open_due) {
            r->open_due = false;
            r->stream = true;
            out->node = &r->nodes[r->node];
            return true;
        }
    }
    return false;
}

static void on_event(struct derps *d, struct region *r, const struct derp_event *event, ts_t now)
{
    switch (event->kind) {
    case DERP_EVENT_UP:
        r->up_at = now;
        r->down_since = TS_NEVER;
        r->patience = 0;
        break;
    case DERP_EVENT_RESTARTING:
        r->patience = ts_add(now, MIN(event->reconnect_ms * TS_MS, DERPS_RESTART_MAX_NS));
        break;
    case DERP_EVENT_FAILED:
        failed(d, r, now);
        break;
    default:
        break;
    }
}

size_t derps_input(struct derps *d, uint16_t region, const uint8_t *data, size_t len, struct derp_event *event, ts_t now)
{
    struct region *r = find(d, region);

    *event = (struct derp_event){0};
    if (!r || !r->session)
        return len; /* it is about to be closed */
    size_t used = derp_session_input(r->session, data, len, event, now);

    on_event(d, r, event, now);
    return used;
}

void derps_closed(struct derps *d, uint16_t region, ts_t now)
{
    struct region *r = find(d, region);

    if (!r)
        return;
    r->stream = r->close_due = false;
    if (r->session)
        failed(d, r, now);
    r->close_due = false;
}

const uint8_t *derps_output(const struct derps *d, uint16_t region, size_t *len)
{
    const struct region *r = find(d, region);

    *len = 0;
    return r && r->session && r->stream ? derp_session_output(r->session, len) : NULL;
}

void derps_sent(struct derps *d, uint16_t region, size_t len)
{
    struct region *r = find(d, region);

    if (r && r->session && len > 0)
        derp_session_sent(r->session, len);
}

uint16_t derps_next_output(const struct derps *d, uint16_t after)
{
    size_t len;

    for (size_t i = 0; i < d->regions_count; i++)
        if (d->regions[i].id > after && derps_output(d, d->regions[i].id, &len))
            return d->regions[i].id;
    return 0;
}

bool derps_change(struct derps *d, struct derps_change *out)
{
    for (size_t i = 0; i < d->regions_count; i++) {
        struct region *r = &d->regions[i];

        if (is_up(r) != r->told_up) {
            r->told_up = is_up(r);
            *out = (struct derps_change){r->id, r->told_up};
            return true;
        }
    }
    return false;
}

bool derps_failing(const struct derps *d, uint16_t region, ts_t now)
{
    const struct region *r = find(d, region);

    if (!r || r->nodes_count == 0)
        return true;
    return r->down_since != TS_NEVER && !is_up(r) && now >= r->patience &&
           ts_since(now, r->down_since) >= DERPS_FAILING_NS;
}

bool derps_up(const struct derps *d, uint16_t region)
{
    const struct region *r = find(d, region);

    return r && is_up(r);
}

/* ---- time ---- */

static ts_t deadline_of(const struct derps *d, const struct region *r, ts_t now)
{
    ts_t at = ts_min(r->retry_at, r->session ? derp_session_deadline(r->session) : TS_NEVER);

    if (r->id != d->home && r->used_at != 0)
        at = ts_min(at, ts_add(r->used_at, DERPS_IDLE_NS));
    /* the moment it counts as failing */
    if (r->id == d->home && r->down_since != TS_NEVER && !derps_failing(d, r->id, now))
        at = ts_min(at, ts_max(ts_add(r->down_since, DERPS_FAILING_NS), r->patience));
    return at;
}

ts_t derps_deadline(const struct derps *d, ts_t now)
{
    ts_t at = TS_NEVER;

    for (size_t i = 0; i < d->regions_count; i++)
        at = ts_min(at, deadline_of(d, &d->regions[i], now));
    return at;
}

bool derps_expire(struct derps *d, struct derp_event *event, uint16_t *region, ts_t now)
{
    for (size_t i = 0; i < d->regions_count; i++) {
        struct region *r = &d->regions[i];

        if (!wanted(d, r, now) && (r->session || r->retry_at != TS_NEVER || r->used_at != 0))
            let_go(d, r);
        if (now >= r->retry_at) {
            r->retry_at = TS_NEVER;
            ensure(d, r, now);
        }
        if (!r->session)
            continue;
        derp_session_expire(r->session, event, now);
        if (event->kind == DERP_EVENT_FAILED) {
            *region = r->id;
            failed(d, r, now);
            return true;
        }
    }
    return false;
}

/* ---- life ---- */

void derps_stats(const struct derps *d, struct derps_stats *out)
{
    *out = (struct derps_stats){.connects = d->connects, .failures = d->failures, .dropped = d->dropped};
    for (size_t i = 0; i < d->regions_count; i++) {
        const struct region *r = &d->regions[i];

        out->regions += r->nodes_count > 0;
        out->up += is_up(r);
    }
}

struct derps *derps_new(const struct derps_config *config)
{
    struct derps *d = calloc(1, sizeof(*d));

    if (d)
        d->config = *config;
    return d;
}

void derps_free(struct derps *d)
{
    if (!d)
        return;
    regions_free(d->regions, d->regions_count);
    free(d);
}
