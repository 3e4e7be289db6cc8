/* netmap_node.c - one node out of its JSON, and what a patch changes of it. Field names are tailcfg's. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/rfc3339.h"
#include "common/tailnet/netmap_read.h"

#define OLD_DERP "127.3.3.40:" /* how servers wrote a home region before HomeDERP */

json_t *netmap_parse(struct json_slice slice)
{
    if (slice.len > NETMAP_VALUE_MAX)
        return NULL;
    return json_loadb(slice.at, slice.len, JSON_DECODE_ANY, NULL);
}

char *netmap_text(const json_t *object, const char *key, unsigned *left_out)
{
    const json_t *value = json_object_get(object, key);
    size_t len = json_string_length(value);

    if (len > NETMAP_TEXT_MAX) {
        ++*left_out;
        len = 0;
    }
    return strndup(len ? json_string_value(value) : "", len);
}

static bool read_key(const json_t *object, const char *name, enum tailnet_key_kind kind, uint8_t out[TAILNET_KEY_BYTES])
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) && tailnet_key_parse(kind, json_string_value(value), json_string_length(value), out);
}

static uint16_t read_port(const json_t *value)
{
    json_int_t n = json_integer_value(value);

    return n > 0 && n <= UINT16_MAX ? (uint16_t)n : 0;
}

/* "100.64.0.1/32": addresses with a wider prefix are nobody's own */
static bool read_own_address(const json_t *value, struct addr *out)
{
    struct prefix p;

    if (!json_is_string(value) || !prefix_parse(json_string_value(value), json_string_length(value), &p) || p.bits != 128)
        return false;
    *out = p.addr;
    return true;
}

static void read_addresses(const json_t *list, struct netmap_node *out, unsigned *left_out)
{
    size_t i;
    json_t *value;

    json_array_foreach(list, i, value)
    {
        if (out->addresses_count < NETMAP_ADDRS_MAX && read_own_address(value, &out->addresses[out->addresses_count]))
            out->addresses_count++;
        else
            ++*left_out;
    }
}

static bool read_endpoint(const json_t *value, struct addrport *out)
{
    return json_is_string(value) && addrport_parse(json_string_value(value), json_string_length(value), out) &&
           out->port != 0 && !addr_is_none(&out->addr);
}

/* the list that is there replaces the old one */
static int read_endpoints(const json_t *list, struct netmap_node *out, unsigned *left_out)
{
    struct addrport found[NETMAP_ENDPOINTS_MAX];
    uint8_t count = 0;
    size_t i;
    json_t *value;

    json_array_foreach(list, i, value)
    {
        struct addrport at;
        bool known = false;

        if (!read_endpoint(value, &at) || count == NETMAP_ENDPOINTS_MAX) {
            ++*left_out;
            continue;
        }
        for (unsigned k = 0; k < count; k++)
            known = known || addrport_equal(&found[k], &at);
        if (!known)
            found[count++] = at;
    }
    struct addrport *copy = NULL;

    if (count) {
        copy = malloc(count * sizeof(*copy));
        if (!copy)
            return ERR_NOMEM;
        memcpy(copy, found, count * sizeof(*copy));
    }
    free(out->endpoints);
    out->endpoints = copy;
    out->endpoints_count = count;
    return 0;
}

static int read_tags(const json_t *list, struct netmap_node *out, unsigned *left_out)
{
    size_t i, size = json_array_size(list);
    json_t *value;

    if (size == 0)
        return 0;
    out->tags = calloc(MIN(size, NETMAP_TAGS_MAX), sizeof(*out->tags));
    if (!out->tags)
        return ERR_NOMEM;
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value) || json_string_length(value) > NETMAP_TEXT_MAX || out->tags_count == NETMAP_TAGS_MAX) {
            ++*left_out;
            continue;
        }
        if (!(out->tags[out->tags_count] = strdup(json_string_value(value))))
            return ERR_NOMEM;
        out->tags_count++;
    }
    return 0;
}

static void read_hostinfo(const json_t *hostinfo, struct netmap_node *out)
{
    size_t i;
    json_t *service;

    out->ingress_enabled = json_is_true(json_object_get(hostinfo, "IngressEnabled"));
    json_array_foreach(json_object_get(hostinfo, "Services"), i, service)
    {
        const char *proto = json_string_value(json_object_get(service, "Proto"));
        uint16_t port = read_port(json_object_get(service, "Port"));

        if (proto && strcmp(proto, "peerapi4") == 0)
            out->peerapi4 = port;
        else if (proto && strcmp(proto, "peerapi6") == 0)
            out->peerapi6 = port;
    }
}

static uint16_t read_home(const json_t *value)
{
    const char *old = json_string_value(json_object_get(value, "DERP"));
    uint16_t home = read_port(json_object_get(value, "HomeDERP"));

    if (home || !old || strncmp(old, OLD_DERP, strlen(OLD_DERP)) != 0)
        return home;
    unsigned long region = strtoul(old + strlen(OLD_DERP), NULL, 10);

    return region <= UINT16_MAX ? (uint16_t)region : 0;
}

/* Go writes its zero time, of year 1, where it means never */
static uint64_t read_time(const json_t *value)
{
    uint64_t seconds;

    return json_is_string(value) && rfc3339_parse(json_string_value(value), &seconds) ? seconds : 0;
}

static void read_address(const json_t *value, struct addr *out)
{
    if (!json_is_string(value) || !addr_parse(json_string_value(value), json_string_length(value), out))
        *out = (struct addr){0};
}

static void tidy_name(char *name)
{
    size_t len = strlen(name);

    if (len && name[len - 1] == '.')
        name[len - 1] = 0;
    for (; *name; name++)
        *name = (char)tolower((unsigned char)*name);
}

int netmap_node_read(const json_t *value, struct netmap_node *out, unsigned *left_out)
{
    *out = (struct netmap_node){0};
    out->id = json_integer_value(json_object_get(value, "ID"));
    if (out->id == 0 || !read_key(value, "Key", TAILNET_KEY_NODE, out->key))
        return ERR_INVALID;
    out->stable_id = netmap_text(value, "StableID", left_out);
    out->name = netmap_text(value, "Name", left_out);
    if (!out->stable_id || !out->name || read_tags(json_object_get(value, "Tags"), out, left_out) != 0 ||
        read_endpoints(json_object_get(value, "Endpoints"), out, left_out) != 0)
        return ERR_NOMEM;
    tidy_name(out->name);
    out->user = json_integer_value(json_object_get(value, "User"));
    if (!read_key(value, "DiscoKey", TAILNET_KEY_DISCO, out->disco))
        memset(out->disco, 0, sizeof(out->disco));
    read_addresses(json_object_get(value, "Addresses"), out, left_out);
    read_hostinfo(json_object_get(value, "Hostinfo"), out);
    out->home_derp = read_home(value);
    out->online = !json_is_false(json_object_get(value, "Online"));
    out->expired = json_is_true(json_object_get(value, "Expired"));
    out->authorized = json_is_true(json_object_get(value, "MachineAuthorized"));
    out->jailed = json_is_true(json_object_get(value, "IsJailed"));
    out->wireguard_only = json_is_true(json_object_get(value, "IsWireGuardOnly"));
    out->key_expiry = read_time(json_object_get(value, "KeyExpiry"));
    read_address(json_object_get(value, "SelfNodeV4MasqAddrForThisPeer"), &out->masquerade4);
    read_address(json_object_get(value, "SelfNodeV6MasqAddrForThisPeer"), &out->masquerade6);
    return 0;
}

int netmap_node_patch(const json_t *value, struct netmap_node *node, unsigned *left_out)
{
    const json_t *endpoints = json_object_get(value, "Endpoints"), *online = json_object_get(value, "Online");
    const json_t *expiry = json_object_get(value, "KeyExpiry"), *region = json_object_get(value, "DERPRegion");

    /* pieces first that can fail */
    if (json_is_array(endpoints) && read_endpoints(endpoints, node, left_out) != 0)
        return ERR_NOMEM;
    if (read_port(region))
        node->home_derp = read_port(region);
    if (json_is_boolean(online))
        node->online = json_is_true(online);
    if (json_is_string(expiry))
        node->key_expiry = read_time(expiry);
    uint8_t key[TAILNET_KEY_BYTES];

    if (read_key(value, "Key", TAILNET_KEY_NODE, key))
        memcpy(node->key, key, sizeof(key));
    if (read_key(value, "DiscoKey", TAILNET_KEY_DISCO, key))
        memcpy(node->disco, key, sizeof(key));
    return 0;
}

void netmap_node_deinit(struct netmap_node *node)
{
    for (unsigned i = 0; i < node->tags_count; i++)
        free(node->tags[i]);
    free(node->tags);
    free(node->endpoints);
    free(node->stable_id);
    free(node->name);
    *node = (struct netmap_node){0};
}

bool netmap_node_gone(const struct netmap_node *node, uint64_t control_time)
{
    return node->expired || (node->key_expiry && control_time && node->key_expiry <= control_time);
}
