#include "ingress/tailnet_map.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/statefile.h"
#include "ingress/tailnet_keys.h"

#define FILE_NAME "map"
#define A_STEP    300 /* nodes: about 2 ms */

/* ---- reading ---- */

char *tailnet_map_read(const char *state_dir, const char *server, size_t *len, int *rc)
{
    char dir[TAILNET_KEYS_PATH];
    size_t line = strlen(server) + 1;
    char *text = NULL;

    *rc = -ENAMETOOLONG;
    if (tailnet_keys_folder(state_dir, dir))
        text = statefile_load(dir, FILE_NAME, TAILNET_MAP_BYTES_MAX, len, rc);
    *rc = *rc == -ENOENT ? 0 : *rc;
    if (!text)
        return NULL;
    if (*len <= line || memcmp(text, server, line - 1) != 0 || text[line - 1] != '\n') {
        free(text);
        return NULL;
    }
    *len -= line;
    memmove(text, text + line, *len);
    return text;
}

/* ---- writing ---- */

struct tailnet_map_writer {
    char dir[TAILNET_KEYS_PATH];
    FILE *file; /* in memory: text, once it is closed */
    char *text;
    size_t len;
    int64_t *ids;
    size_t count, room, at;
    bool (*want)(const struct netmap_node *node, void *ctx);
    void *ctx;
    bool first; /* no node is written yet */
    int rc;
    pthread_t thread;
    bool syncing;
    atomic_bool synced;
};

static json_t *key_text(enum tailnet_key_kind kind, const uint8_t key[TAILNET_KEY_BYTES])
{
    char text[TAILNET_KEY_STR];

    return json_string(tailnet_key_format(kind, key, text));
}

static json_t *addresses_of(const struct netmap_node *node)
{
    json_t *list = json_array();
    char text[ADDR_STR + 4];

    for (unsigned i = 0; list && i < node->addresses_count; i++) {
        addr_format(&node->addresses[i], text);
        strcat(text, addr_is_v4(&node->addresses[i]) ? "/32" : "/128");
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *endpoints_of(const struct netmap_node *node)
{
    json_t *list = json_array();
    char text[ADDRPORT_STR];

    for (unsigned i = 0; list && i < node->endpoints_count; i++)
        json_array_append_new(list, json_string(addrport_format(&node->endpoints[i], text)));
    return list;
}

static json_t *relay_json(const struct derp_node *n)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b}", "Name", n->name, "HostName", n->host, "CertName",
                     n->cert_name, "IPv4", n->ipv4, "IPv6", n->ipv6, "STUNTestIP", n->stun_test_ip, "STUNPort",
                     n->stun_port ? n->stun_port : -1, "DERPPort", n->derp_port ? n->derp_port : -1, "STUNOnly",
                     (int)n->stun_only, "InsecureForTests", (int)n->insecure);
}

static json_t *relays_json(const struct derp_map *map)
{
    json_t *regions = json_object(), *scores = json_object();

    for (size_t i = 0; regions && scores && i < map->regions_count; i++) {
        const struct derp_region *r = &map->regions[i];
        json_t *nodes = json_array();
        char id[8];

        for (size_t k = 0; nodes && k < r->nodes_count; k++)
            json_array_append_new(nodes, relay_json(&r->nodes[k]));
        snprintf(id, sizeof(id), "%u", r->id);
        json_object_set_new(regions, id, json_pack("{s:s, s:b, s:o}", "RegionCode", r->code, "NoMeasureNoHome",
                                                   (int)r->no_home, "Nodes", nodes));
        json_object_set_new(scores, id, json_real(r->score_milli / 1000.0));
    }
    return json_pack("{s:o, s:{s:o}}", "Regions", regions, "HomeParams", "RegionScore", scores);
}

/* write_json - takes the reference; NULL counts as out of memory */
static void write_json(struct tailnet_map_writer *w, json_t *value)
{
    if (!value || json_dumpf(value, w->file, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        w->rc = ERR_NOMEM;
    json_decref(value);
}

static void write_head(struct tailnet_map_writer *w, const char *server, const struct netmap *map)
{
    const struct netmap_node *self = netmap_self(map);

    fprintf(w->file, "%s\n{\"Node\":", server);
    write_json(w, json_pack("{s:I, s:s, s:o, s:o}", "ID", (json_int_t)self->id, "Name", self->name, "Key",
                            key_text(TAILNET_KEY_NODE, self->key), "Addresses", addresses_of(self)));
    fputs(",\"DERPMap\":", w->file);
    write_json(w, relays_json(netmap_derp(map)));
    fputs(",\"Peers\":[", w->file);
}

static void write_node(struct tailnet_map_writer *w, const struct netmap_node *node)
{
    if (!w->first)
        fputc(',', w->file);
    w->first = false;
    write_json(w, json_pack("{s:I, s:o, s:o, s:o, s:i, s:b}", "ID", (json_int_t)node->id, "Key",
                            key_text(TAILNET_KEY_NODE, node->key), "DiscoKey", key_text(TAILNET_KEY_DISCO, node->disco),
                            "Endpoints", endpoints_of(node), "HomeDERP", (int)node->home_derp, "IsWireGuardOnly",
                            (int)node->wireguard_only));
}

static void add_wanted(const struct netmap_node *node, void *ctx)
{
    struct tailnet_map_writer *w = ctx;

    if (!w->want(node, w->ctx))
        return;
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        int64_t *grown = realloc(w->ids, room * sizeof(*grown));

        if (!grown) {
            w->rc = ERR_NOMEM;
            return;
        }
        w->ids = grown;
        w->room = room;
    }
    w->ids[w->count++] = node->id;
}

struct tailnet_map_writer *tailnet_map_begin(const char *state_dir, const char *server, const struct netmap *map,
                                             bool (*want)(const struct netmap_node *node, void *ctx), void *ctx, int *rc)
{
    struct tailnet_map_writer *w = calloc(1, sizeof(*w));

    BUG_ON(!netmap_self(map));
    *rc = ERR_NOMEM;
    if (!w)
        return NULL;
    w->first = true;
    w->want = want;
    w->ctx = ctx;
    if (!tailnet_keys_folder(state_dir, w->dir)) {
        *rc = -ENAMETOOLONG;
        tailnet_map_free(w);
        return NULL;
    }
    w->file = open_memstream(&w->text, &w->len);
    if (!w->file) {
        tailnet_map_free(w);
        return NULL;
    }
    *rc = 0;
    write_head(w, server, map);
    netmap_each_peer(map, add_wanted, w);
    return w;
}

/* on a thread: the disk may take its time */
static void *sync_file(void *arg)
{
    struct tailnet_map_writer *w = arg;

    w->rc = statefile_write(w->dir, FILE_NAME, w->text, w->len);
    atomic_store(&w->synced, true);
    return NULL;
}

/* false: out of memory */
static bool close_text(struct tailnet_map_writer *w)
{
    fputs("]}", w->file);
    bool good = !ferror(w->file);

    good = fclose(w->file) == 0 && good;
    w->file = NULL;
    return good;
}

bool tailnet_map_step(struct tailnet_map_writer *w, const struct netmap *map, int *rc)
{
    if (w->syncing) {
        *rc = w->rc;
        return !atomic_load(&w->synced);
    }
    for (size_t i = 0; i < A_STEP && w->at < w->count && w->rc == 0; i++) {
        const struct netmap_node *node = netmap_peer(map, w->ids[w->at++]);

        if (node)
            write_node(w, node);
    }
    if (w->at < w->count && w->rc == 0)
        return true;
    if (w->rc == 0 && !close_text(w))
        w->rc = ERR_NOMEM;
    int err = w->rc ? 0 : pthread_create(&w->thread, NULL, sync_file, w);

    w->syncing = w->rc == 0 && err == 0;
    *rc = err ? -err : w->rc;
    return w->syncing;
}

bool tailnet_map_syncing(const struct tailnet_map_writer *w)
{
    return w->syncing;
}

void tailnet_map_free(struct tailnet_map_writer *w)
{
    if (!w)
        return;
    if (w->syncing)
        pthread_join(w->thread, NULL);
    if (w->file)
        fclose(w->file);
    free(w->text);
    free(w->ids);
    free(w);
}
