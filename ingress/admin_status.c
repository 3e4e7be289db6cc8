#include "ingress/admin_status.h"

#include "common/base/ts.h"

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *seconds(uint64_t ns)
{
    return json_real((double)(ns / TS_MS) / 1000.0);
}

/* text_or_null - what never happened is null */
static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *feed_object(const struct feed_report *r, ts_t now)
{
    const struct feed_map_stats *map = r->map;
    const struct feed_source_status *source = r->source;
    json_t *out = json_object();

    json_object_set_new(out, "type", json_string(r->type));
    json_object_set_new(out, "where", json_string(source->where));
    json_object_set_new(out, "state", json_string(r->state));
    json_object_set_new(out, "source", json_string(feed_source_state_name(source->state)));
    json_object_set_new(out, "error", text_or_null(source->error));
    json_object_set_new(out, "retry_in_s",
                        source->retry_at == TS_NEVER ? json_null() : seconds(ts_since(source->retry_at, now)));
    json_object_set_new(out, "heard", json_boolean(r->heard));
    json_object_set_new(out, "age_s", strcmp(r->state, "empty") == 0 ? json_null() : seconds(r->age_ns));
    json_object_set_new(out, "kept_age_s", r->kept_age_ns == UINT64_MAX ? json_null() : seconds(r->kept_age_ns));
    json_object_set_new(out, "revision", number(map->point.revision));
    json_object_set_new(out, "nodes", number(r->nodes));
    json_object_set_new(out, "left_out", number(map->waiting));
    json_object_set_new(out, "snapshots", number(map->snapshots));
    json_object_set_new(out, "deltas", number(map->deltas));
    json_object_set_new(out, "snapshots_aborted", number(map->aborted));
    json_object_set_new(out, "snapshots_refused", number(map->refused));
    json_object_set_new(out, "bad_rows", number(map->rows_bad));
    json_object_set_new(out, "conflicts", number(map->conflicts));
    json_object_set_new(out, "last_bad_row", text_or_null(map->fault));
    json_object_set_new(out, "last_conflict", text_or_null(map->conflict));
    json_object_set_new(out, "last_refusal", text_or_null(map->refusal));
    return out;
}

struct list_paths {
    const struct underlay *underlay;
    json_t *out;
    ts_t now;
};

static void list_path(const uint8_t key[PATHS_KEY_BYTES], void *ctx)
{
    struct list_paths *list = ctx;
    char name[TAILNET_KEY_STR], way[UNDERLAY_WAY];

    if (json_array_size(list->out) < ADMIN_STATUS_PATHS)
        json_array_append_new(list->out, json_pack("{s:s, s:s}", "key", tailnet_key_format(TAILNET_KEY_NODE, key, name),
                                                   "way", underlay_way(list->underlay, key, way, list->now)));
}

static json_t *tailnet_object(const struct underlay *underlay, ts_t now)
{
    struct underlay_stats s;
    struct list_paths list = {underlay, json_array(), now};
    json_t *out = json_object();

    underlay_stats(underlay, &s, now);
    underlay_each(underlay, list_path, &list);
    json_object_set_new(out, "home", number(s.home));
    json_object_set_new(out, "home_latency_s", seconds(s.home_latency_ns));
    json_object_set_new(out, "relays", number(s.derps.up));
    json_object_set_new(out, "peers", number(s.paths.peers));
    json_object_set_new(out, "talked_to", number(s.paths.talks));
    json_object_set_new(out, "direct", number(s.paths.direct));
    json_object_set_new(out, "paths", list.out);
    return out;
}

json_t *admin_status(const struct metrics_sample *sum, const struct generation *generation,
                     const struct feed_report *feed, const struct underlay *underlay, ts_t now)
{
    json_t *out = json_object();

    json_object_set_new(out, "version", json_string(FUNNEL_VERSION));
    json_object_set_new(out, "generation", number(generation->number));
    json_object_set_new(out, "serving", json_boolean(!feed->stopped));
    json_object_set_new(out, "feed", feed_object(feed, now));
    if (underlay)
        json_object_set_new(out, "tailnet", tailnet_object(underlay, now));
    json_object_set_new(out, "nodes_connected", number(sum->links));
    json_object_set_new(out, "streams", number(sum->flows));
    return out;
}
