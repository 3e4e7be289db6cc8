/* feed_row.c - the keys of a node, one reader each, in the order of docs/feed.md; then what concerns
 * several of them. */
#include "ingress/feed/feed_row.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/config/config_text.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/base/rfc3339.h"
#include "ingress/feed/feed_arena.h"

/* Where a name's canonical spelling is made: a trailing dot and ":65535" fit too. */
struct name_text {
    char name[CONFIG_NAME_MAX + 2];
    char target[CONFIG_NAME_MAX + 8];
};

/* The node being read and the memory behind its pointers. */
struct row {
    struct route_node node;
    struct addr addresses[ROUTE_ADDRESSES_MAX];
    struct addrport endpoints[ROUTE_ENDPOINTS_MAX];
    uint16_t ports[ROUTE_PORTS_MAX];
    uint8_t preshared_key[ROUTE_KEY_BYTES];
    struct route_name *names; /* on the heap, like the texts: most rows have one or two, some thousands */
    struct name_text *texts;
    bool no_memory;
};

/* ---- texts ---- */

/* Ids and tailnets appear in logs, metrics and error lines: visible ASCII, nothing that would need quoting there. */
static const char *read_word(struct feed_walk *walk, const json_t *value)
{
    const char *text = feed_text(walk, value);

    if (!text)
        return NULL;
    if (strlen(text) > ROUTE_ID_MAX) {
        feed_fault(walk, "is longer than %d characters", ROUTE_ID_MAX);
        return NULL;
    }
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\') {
            feed_fault(walk, "must be visible ASCII without spaces, quotes and backslashes");
            return NULL;
        }
    }
    return text;
}

static void read_id(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    const char *text = read_word(walk, value);

    if (!text)
        return;
    if (!*text)
        feed_fault(walk, "is empty");
    row->node.id = text;
}

static void read_tailnet(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    const char *text = read_word(walk, value);

    if (text)
        row->node.tailnet = text;
}

/* ---- keys ---- */

/* The text is never quoted: it may be a secret, or one pasted into the wrong place. */
static bool read_secret(struct feed_walk *walk, const json_t *value, uint8_t out[ROUTE_KEY_BYTES])
{
    const char *text = feed_text(walk, value);

    if (!text)
        return false;
    if (!key_parse(text, strlen(text), out)) {
        feed_fault(walk, "must be a key of 32 bytes: base64 (44 characters) or hexadecimal (64)");
        return false;
    }
    if (crypto_is_zero(out, ROUTE_KEY_BYTES)) {
        feed_fault(walk, "is all zero");
        return false;
    }
    return true;
}

static void read_key(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    const char *text = json_string_value(value);

    if (text && strncmp(text, "privkey:", 8) == 0)
        feed_fault(walk, "is a private key: it belongs on the node only; here goes the public one");
    else
        read_secret(walk, value, row->node.key);
}

static void read_preshared_key(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;

    if (read_secret(walk, value, row->preshared_key))
        row->node.preshared_key = row->preshared_key;
}

/* ---- addresses ---- */

/* Something one machine can have: not unspecified, multicast or broadcast. RFC 6890, RFC 4291 section 2.7. */
static bool is_unicast(const struct addr *a)
{
    if (addr_is_v4(a))
        return addr_v4_bytes(a)[0] != 0 && addr_v4_bytes(a)[0] < 224;
    return !addr_is_none(a) && a->b[0] != 0xff;
}

static void read_addresses(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    int count = feed_list_length(walk, value, ROUTE_ADDRESSES_MAX);

    for (int i = 0; i < count; i++) {
        size_t before = config_path_index(&walk->path, (size_t)i);
        const char *text = feed_text(walk, json_array_get(value, (size_t)i));
        struct addr *a = &row->addresses[i];

        if (text && (!addr_parse(text, strlen(text), a) || !is_unicast(a)))
            feed_fault(walk, "'%s' is not the address of a node", text);
        config_path_up(&walk->path, before);
    }
    row->node.addresses_count = (uint8_t)MAX(count, 0);
}

static void read_endpoints(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    int count = feed_list_length(walk, value, ROUTE_ENDPOINTS_MAX);

    for (int i = 0; i < count; i++) {
        size_t before = config_path_index(&walk->path, (size_t)i);
        const char *text = feed_text(walk, json_array_get(value, (size_t)i));
        struct addrport *ap = &row->endpoints[i];

        if (text && (!addrport_parse(text, strlen(text), ap) || !is_unicast(&ap->addr) || ap->port == 0))
            feed_fault(walk, "'%s' is not an address and port, as 192.0.2.1:41641 or [2001:db8::1]:41641", text);
        config_path_up(&walk->path, before);
    }
    row->node.endpoints_count = (uint8_t)MAX(count, 0);
}

/* ---- ports ---- */

static void read_port(struct feed_walk *walk, const json_t *value, uint16_t *out)
{
    uint64_t port;

    if (feed_number(walk, value, 1, 65535, &port))
        *out = (uint16_t)port;
}

static void read_peerapi4(struct feed_walk *walk, const json_t *value, void *out)
{
    read_port(walk, value, &((struct row *)out)->node.peerapi4);
}

static void read_peerapi6(struct feed_walk *walk, const json_t *value, void *out)
{
    read_port(walk, value, &((struct row *)out)->node.peerapi6);
}

static void read_ports(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    int count = feed_list_length(walk, value, ROUTE_PORTS_MAX);

    for (int i = 0; i < count; i++) {
        size_t before = config_path_index(&walk->path, (size_t)i);

        read_port(walk, json_array_get(value, (size_t)i), &row->ports[i]);
        for (int j = 0; j < i; j++) {
            if (row->ports[i] && row->ports[j] == row->ports[i]) {
                feed_fault(walk, "%u is there twice", row->ports[i]);
                break;
            }
        }
        config_path_up(&walk->path, before);
    }
    row->node.ports_count = (uint16_t)MAX(count, 0);
}

/* ---- names ---- */

/* The name being read and the room for its texts. */
struct name_place {
    struct route_name *name;
    struct name_text *text;
};

static void read_name_text(struct feed_walk *walk, const json_t *value, void *out)
{
    struct name_place *at = out;
    const char *given = feed_text(walk, value);

    if (!given)
        return;
    if (strlen(given) >= sizeof(at->text->name)) {
        feed_fault(walk, "'%.60s…' is longer than a DNS name may be", given);
        return;
    }
    strcpy(at->text->name, given);
    const char *why = config_text_name(at->text->name, true);

    if (why)
        feed_fault(walk, "'%s' %s", given, why);
    else
        at->name->name = at->text->name;
}

static void read_target(struct feed_walk *walk, const json_t *value, void *out)
{
    struct name_place *at = out;
    const char *given = feed_text(walk, value);
    struct config_hostport hp;

    if (!given)
        return;
    if (strlen(given) >= sizeof(at->text->target)) {
        feed_fault(walk, "'%.60s…' is longer than a DNS name and a port may be", given);
        return;
    }
    strcpy(at->text->target, given);
    if (!strchr(given, ':') && !config_text_name(at->text->target, false)) { /* the visitor's port goes with it */
        at->name->target = at->text->target;
        return;
    }
    if (config_text_hostport(at->text->target, &hp) || !addr_is_none(&hp.addr)) {
        feed_fault(walk, "'%s' must be a name and a port, as web.example.net:443, or a name alone", given);
        return;
    }
    at->name->target = hp.host;
    at->name->target_port = hp.port;
}

static const struct feed_key name_keys[] = {
    {"name", true, read_name_text},
    {"target", false, read_target},
};

static void read_names(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    int count = feed_list_length(walk, value, ROUTE_NAMES_MAX);

    if (count <= 0)
        return;
    row->names = calloc((size_t)count, sizeof(*row->names));
    row->texts = calloc((size_t)count, sizeof(*row->texts));
    if (!row->names || !row->texts) {
        row->no_memory = true;
        return;
    }
    for (int i = 0; i < count; i++) {
        const json_t *element = json_array_get(value, (size_t)i);
        size_t before = config_path_index(&walk->path, (size_t)i);
        struct name_place at = {&row->names[i], &row->texts[i]};

        if (json_is_object(element))
            feed_object(walk, element, name_keys, ARRAY_SIZE(name_keys), &at);
        else
            read_name_text(walk, element, &at);
        config_path_up(&walk->path, before);
    }
    row->node.names = row->names;
    row->node.names_count = (uint16_t)count;
}

/* ---- consent and rules ---- */

static void read_admin(struct feed_walk *walk, const json_t *value, void *out)
{
    feed_bool(walk, value, &((struct row *)out)->node.admin);
}

static void read_consent(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    const char *text = json_string_value(value);

    if (json_is_boolean(value))
        row->node.consent = json_is_true(value) ? ROUTE_CONSENT_YES : ROUTE_CONSENT_NO;
    else if (text && strcmp(text, "ask") == 0)
        row->node.consent = ROUTE_CONSENT_ASK;
    else
        feed_fault(walk, "must be true, false or \"ask\"");
}

static const struct feed_key funnel_keys[] = {
    {"admin", true, read_admin},
    {"node", true, read_consent},
};

static void read_funnel(struct feed_walk *walk, const json_t *value, void *out)
{
    feed_object(walk, value, funnel_keys, ARRAY_SIZE(funnel_keys), out);
}

static void read_expires(struct feed_walk *walk, const json_t *value, void *out)
{
    struct row *row = out;
    const char *text = feed_text(walk, value);

    if (text && (!rfc3339_parse(text, &row->node.expires) || row->node.expires == 0))
        feed_fault(walk, "'%s' is not a time after 1970, as 2030-01-01T00:00:00Z", text);
}

static void read_mtu(struct feed_walk *walk, const json_t *value, void *out)
{
    uint64_t mtu;

    if (feed_number(walk, value, ROUTE_MTU_MIN, ROUTE_MTU_MAX, &mtu))
        ((struct row *)out)->node.mtu = (uint16_t)mtu;
}

static void read_keepalive(struct feed_walk *walk, const json_t *value, void *out)
{
    feed_bool(walk, value, &((struct row *)out)->node.keepalive);
}

static void read_transport(struct feed_walk *walk, const json_t *value, void *out)
{
    static const char *const words[] = {[ROUTE_PEERAPI] = "peerapi", [ROUTE_TCP] = "tcp"};
    size_t word;

    if (feed_word(walk, value, words, ARRAY_SIZE(words), &word))
        ((struct row *)out)->node.transport = (enum route_transport)word;
}

static void read_proxy_protocol(struct feed_walk *walk, const json_t *value, void *out)
{
    static const char *const words[] = {[ROUTE_PROXY_OFF] = "off", [ROUTE_PROXY_V1] = "v1", [ROUTE_PROXY_V2] = "v2"};
    size_t word;

    if (feed_word(walk, value, words, ARRAY_SIZE(words), &word))
        ((struct row *)out)->node.proxy_protocol = (enum route_proxy_protocol)word;
}

static void read_half_close(struct feed_walk *walk, const json_t *value, void *out)
{
    static const char *const words[] = {[ROUTE_HALF_CLOSE_DEFAULT] = "default",
                                        [ROUTE_HALF_CLOSE_HOLD] = "hold",
                                        [ROUTE_HALF_CLOSE_PROPAGATE] = "propagate"};
    size_t word;

    if (feed_word(walk, value, words, ARRAY_SIZE(words), &word))
        ((struct row *)out)->node.half_close = (enum route_half_close)word;
}

static void read_connections(struct feed_walk *walk, const json_t *value, void *out)
{
    uint64_t connections;

    if (feed_number(walk, value, 1, UINT32_MAX, &connections))
        ((struct row *)out)->node.connections_max = (uint32_t)connections;
}

static const struct feed_key limits_keys[] = {
    {"connections", false, read_connections},
};

static void read_limits(struct feed_walk *walk, const json_t *value, void *out)
{
    feed_object(walk, value, limits_keys, ARRAY_SIZE(limits_keys), out);
}

static const struct feed_key row_keys[] = {
    {"id", true, read_id},
    {"tailnet", false, read_tailnet},
    {"names", true, read_names},
    {"key", true, read_key},
    {"preshared_key", false, read_preshared_key},
    {"addresses", false, read_addresses},
    {"peerapi4", false, read_peerapi4},
    {"peerapi6", false, read_peerapi6},
    {"endpoints", false, read_endpoints},
    {"ports", true, read_ports},
    {"funnel", true, read_funnel},
    {"expires", false, read_expires},
    {"mtu", false, read_mtu},
    {"keepalive", false, read_keepalive},
    {"transport", false, read_transport},
    {"proxy_protocol", false, read_proxy_protocol},
    {"half_close", false, read_half_close},
    {"limits", false, read_limits},
};

/* ---- the row as a whole ---- */

static bool has_family(const struct row *row, bool v4)
{
    for (size_t i = 0; i < row->node.addresses_count; i++)
        if (addr_is_v4(&row->addresses[i]) == v4)
            return true;
    return !v4 && row->node.addresses_count == 0; /* the derived one is IPv6 */
}

/* What concerns several fields; asked only once each is right by itself. */
static void check_together(struct feed_walk *walk, const struct row *row)
{
    const struct route_node *n = &row->node;

    if (n->transport == ROUTE_PEERAPI && !n->peerapi4 && !n->peerapi6)
        feed_fault(walk, "'peerapi4' or 'peerapi6' must be given, or transport \"tcp\"");
    if (n->transport == ROUTE_PEERAPI && n->proxy_protocol != ROUTE_PROXY_OFF)
        feed_fault(walk, "'proxy_protocol' needs transport \"tcp\": the peerapi tells the visitor's address itself");
    if (n->peerapi4 && !has_family(row, true))
        feed_fault(walk, "'peerapi4' needs an IPv4 address in 'addresses'");
    if (n->peerapi6 && !has_family(row, false))
        feed_fault(walk, "'peerapi6' needs an IPv6 address in 'addresses'");
}

/* which of its own it says twice */
static void tell_twice(struct feed_walk *walk, const struct route_node *node)
{
    size_t index, before;
    enum route_conflict_kind kind = route_row_twice(node, &index);

    if (kind == ROUTE_CONFLICT_NONE)
        return;
    before = config_path_down(&walk->path, kind == ROUTE_CONFLICT_NAME ? "names" : "addresses");
    config_path_index(&walk->path, index);
    if (kind == ROUTE_CONFLICT_NAME)
        feed_fault(walk, "'%s' is there twice", node->names[index].name);
    else
        feed_fault(walk, "is there twice");
    config_path_up(&walk->path, before);
}

const struct route_node *feed_row_new(struct feed_walk *walk, const json_t *value)
{
    size_t faults = walk->errors->count;
    struct row row = {.node = {.tailnet = "", .mtu = ROUTE_MTU_MIN}};
    const struct route_node *made = NULL;

    row.node.addresses = row.addresses;
    row.node.endpoints = row.endpoints;
    row.node.ports = row.ports;
    feed_object(walk, value, row_keys, ARRAY_SIZE(row_keys), &row);
    if (walk->errors->count == faults)
        check_together(walk, &row);
    if (walk->errors->count == faults && !row.no_memory)
        tell_twice(walk, &row.node);
    if (walk->errors->count == faults && !row.no_memory)
        made = route_row_new(&row.node);
    crypto_wipe(row.preshared_key, sizeof(row.preshared_key));
    free(row.names);
    free(row.texts);
    return made;
}

void feed_row_syntax(struct feed_walk *walk, const json_error_t *error, unsigned first_line)
{
    const char *near = strstr(error->text, " near '");
    int shown = near ? (int)(near - error->text) : (int)strlen(error->text);
    struct config_place place = walk->place;

    place.line = first_line + (error->line > 0 ? (unsigned)error->line - 1 : 0);
    place.column = error->column > 0 ? (unsigned)error->column : 1;
    config_errors_add(walk->errors, place, "", "%.*s", shown, error->text);
}

/* a duplicate key would else win silently over the one before it */
const struct route_node *feed_row_parse(struct feed_walk *walk, const char *text, size_t len, char *id_out)
{
    json_error_t error;
    struct feed_arena arena;

    feed_arena_begin(&arena);
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    const char *id = json_string_value(json_object_get(object, "id"));
    const struct route_node *row = NULL;

    id_out[0] = 0;
    if (object)
        row = feed_row_new(walk, object);
    else
        feed_row_syntax(walk, &error, walk->place.line);
    if (!row && id && strlen(id) <= ROUTE_ID_MAX)
        strcpy(id_out, id);
    json_decref(object);
    feed_arena_end(&arena);
    return row;
}
