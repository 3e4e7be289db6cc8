/* derp_map_read.c - the relays out of a DERPMap. Field names are tailcfg's. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/tailnet/netmap_read.h"

#define STUN_PORT     3478
#define DERP_PORT     443
#define SCORE_MILLI   1000 /* when nothing is said */
#define SCORE_MAX     100.0

static_assert(DERP_MAP_TEXT_MAX == NETMAP_TEXT_MAX, "one bound for all texts");

/* -1 says none; 0, or nothing, the usual one */
static uint16_t port_of(const json_t *value, uint16_t usual)
{
    json_int_t n = json_integer_value(value);

    return n == 0 ? usual : n > 0 && n <= UINT16_MAX ? (uint16_t)n : 0;
}

static bool read_relay(const json_t *value, struct derp_node *out)
{
    unsigned left_out = 0;

    out->name = netmap_text(value, "Name", &left_out);
    out->host = netmap_text(value, "HostName", &left_out);
    out->cert_name = netmap_text(value, "CertName", &left_out);
    out->ipv4 = netmap_text(value, "IPv4", &left_out);
    out->ipv6 = netmap_text(value, "IPv6", &left_out);
    out->stun_test_ip = netmap_text(value, "STUNTestIP", &left_out);
    out->stun_port = port_of(json_object_get(value, "STUNPort"), STUN_PORT);
    out->derp_port = port_of(json_object_get(value, "DERPPort"), DERP_PORT);
    out->stun_only = json_is_true(json_object_get(value, "STUNOnly"));
    out->insecure = json_is_true(json_object_get(value, "InsecureForTests"));
    return out->name && out->host && out->cert_name && out->ipv4 && out->ipv6 && out->stun_test_ip;
}

static bool read_region(uint16_t id, const json_t *value, struct derp_region *out)
{
    const json_t *nodes = json_object_get(value, "Nodes");
    size_t count = MIN(json_array_size(nodes), DERP_MAP_NODES_MAX);
    unsigned left_out = 0;

    *out = (struct derp_region){.id = id, .score_milli = SCORE_MILLI};
    out->code = netmap_text(value, "RegionCode", &left_out);
    out->no_home = json_is_true(json_object_get(value, "NoMeasureNoHome")) || json_is_true(json_object_get(value, "Avoid"));
    out->nodes = calloc(count + 1, sizeof(*out->nodes));
    if (!out->code || !out->nodes)
        return false;
    while (out->nodes_count < count) {
        size_t i = out->nodes_count++;

        if (!read_relay(json_array_get(nodes, i), &out->nodes[i]))
            return false;
    }
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct derp_region *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static uint16_t region_id(const char *key)
{
    char *end;
    unsigned long id = strtoul(key, &end, 10);

    return *end == 0 && id <= UINT16_MAX ? (uint16_t)id : 0;
}

static int read_regions(const json_t *regions, struct derp_map *out)
{
    const char *key;
    json_t *value;

    out->regions = calloc(MIN(json_object_size(regions), DERP_MAP_REGIONS_MAX) + 1, sizeof(*out->regions));
    if (!out->regions)
        return ERR_NOMEM;
    json_object_foreach((json_t *)regions, key, value)
    {
        uint16_t id = region_id(key);

        if (!json_is_object(value) || id == 0 || derp_map_region(out, id) || out->regions_count == DERP_MAP_REGIONS_MAX)
            continue;
        if (!read_region(id, value, &out->regions[out->regions_count++]))
            return ERR_NOMEM;
    }
    if (out->regions_count)
        qsort(out->regions, out->regions_count, sizeof(*out->regions), by_id);
    return 0;
}

static void read_scores(const json_t *scores, struct derp_map *map)
{
    for (size_t i = 0; i < map->regions_count; i++)
        map->regions[i].score_milli = SCORE_MILLI;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)scores, key, value)
    {
        double score = json_number_value(value);
        const struct derp_region *region = derp_map_region(map, region_id(key));

        if (region && score > 0 && score <= SCORE_MAX)
            map->regions[region - map->regions].score_milli = (uint32_t)(score * SCORE_MILLI);
    }
}

int derp_map_read(const json_t *value, struct derp_map *map)
{
    const json_t *regions = json_object_get(value, "Regions"), *home = json_object_get(value, "HomeParams");
    struct derp_map fresh = {0};

    if (json_is_object(regions)) {
        if (read_regions(regions, &fresh) != 0) {
            derp_map_deinit(&fresh);
            return ERR_NOMEM;
        }
        for (size_t i = 0; i < fresh.regions_count; i++) {
            const struct derp_region *old = derp_map_region(map, fresh.regions[i].id);

            fresh.regions[i].score_milli = old ? old->score_milli : SCORE_MILLI;
        }
        derp_map_deinit(map);
        *map = fresh;
    }
    if (json_is_object(home))
        read_scores(json_object_get(home, "RegionScore"), map);
    return 0;
}
