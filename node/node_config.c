/* node_config.c - the table of conf/node.yaml, and what concerns several of its keys at once. */
#include "node/node_config.h"

#include <string.h>

#include "common/base/ts.h"
#include "common/config/config_checks.h"

#define VALUES_BYTES_MAX ((size_t)64 << 20)
#define LABEL_MAX        63

static const char *const tls_words[] = {"passthrough", "terminate", NULL};
static const char *const proxy_words[] = {"off", "v1", "v2", NULL};
static const char *const congestion_words[] = {"bbr", "cubic", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", "trace", NULL};

/* Checks. */

static void ingress_check(struct config_check *at, void *value)
{
    static const char private_prefix[] = "privkey:";
    static const uint8_t zero[KEY_BYTES];
    struct node_config_ingress *i = value;
    const char *text = i->public_key_text;

    config_check_label(at, "name", i->name);
    /* the text is not repeated: someone may have put a private key here */
    if (strncmp(text, private_prefix, sizeof(private_prefix) - 1) == 0)
        config_fault(at, "public_key", "is a private key; it must not be here");
    else if (!key_parse(text, strlen(text), i->public_key))
        config_fault(at, "public_key", "is not a key: base64 of 32 bytes, or 64 hex digits");
    else if (memcmp(i->public_key, zero, sizeof(zero)) == 0)
        config_fault(at, "public_key", "is all zero");
    config_check_own_addresses(at, "addresses", i->addresses, i->addresses_count);
}

static void service_check(struct config_check *at, void *value)
{
    const struct node_config_service *s = value;
    bool terminate = s->tls == NODE_CONFIG_TLS_TERMINATE;

    if (terminate && !*s->certificate)
        config_fault(at, "", "tls terminate needs 'certificate'");
    if (terminate && !*s->certificate_key)
        config_fault(at, "", "tls terminate needs 'certificate_key'");
    if (!terminate && *s->certificate)
        config_fault(at, "certificate", "has a meaning with tls terminate only");
    if (!terminate && *s->certificate_key)
        config_fault(at, "certificate_key", "has a meaning with tls terminate only");
}

static void ingresses_check(struct config_check *at, const struct node_config *c)
{
    struct config_once *names = config_take(at, c->ingresses_count * sizeof(*names));
    struct config_once *keys = config_take(at, c->ingresses_count * sizeof(*keys));

    for (size_t i = 0; i < c->ingresses_count && names && keys; i++) {
        char *key = config_take(at, KEY_STR);

        if (!key)
            return;
        key_format(c->ingresses[i].public_key, key);
        keys[i].text = key;
        keys[i].path = config_format(at, "ingresses[%zu].public_key", i);
        names[i].text = c->ingresses[i].name;
        names[i].path = config_format(at, "ingresses[%zu].name", i);
    }
    if (!names || !keys)
        return;
    config_check_once(at, names, c->ingresses_count);
    config_check_once(at, keys, c->ingresses_count);
}

/* services_check - what a visitor asks for, name and port, leads to one service */
static void services_check(struct config_check *at, const struct node_config *c)
{
    size_t count = 0, n = 0;

    for (size_t i = 0; i < c->services_count; i++)
        count += c->services[i].ports_count;
    struct config_once *once = config_take(at, count * sizeof(*once));

    for (size_t i = 0; i < c->services_count && once; i++) {
        const struct node_config_service *s = &c->services[i];

        for (size_t p = 0; p < s->ports_count; p++, n++) {
            once[n].text = config_format(at, "%s:%u", s->name, (unsigned)s->ports[p]);
            once[n].path = config_format(at, "services[%zu].ports[%zu]", i, p);
        }
    }
    config_check_once(at, once, count);
}

static void root_check(struct config_check *at, void *value)
{
    const struct node_config *c = value;

    config_check_own_addresses(at, "addresses", c->addresses, c->addresses_count);
    config_check_per_family(at, "listen", c->listen, c->listen_count);
    ingresses_check(at, c);
    services_check(at, c);
}

/* The table. */

static const struct config_field ingress_fields[] = {
    {"name", CONFIG_STRING, CONFIG_AT(struct node_config_ingress, name), .flags = CONFIG_REQUIRED, .min = 1,
     .max = LABEL_MAX, .help = "what the log calls it"},
    {"public_key", CONFIG_STRING, CONFIG_AT(struct node_config_ingress, public_key_text), .flags = CONFIG_REQUIRED,
     .min = 1, .help = "base64, or hex with nodekey: before it"},
    {"endpoint", CONFIG_HOSTPORT, CONFIG_AT(struct node_config_ingress, endpoint),
     .help = "host or address, and UDP port; optional when the ingress can reach us by itself"},
    {"addresses", CONFIG_ADDR, CONFIG_LIST_AT(struct node_config_ingress, addresses), .list_max = 64,
     .help = "its addresses inside the tunnel; not given: the ULA derived from its key"},
    {"preshared_key_file", CONFIG_PATH, CONFIG_AT(struct node_config_ingress, preshared_key_file),
     .help = "a key that both sides know besides, base64"},
    {"keepalive", CONFIG_DURATION, CONFIG_AT(struct node_config_ingress, keepalive_ns), .def = "25s", .min = 0,
     .max = 65535 * TS_S, .help = "keeps NAT open; 0s: off"},
};
static CONFIG_TABLE(ingress, struct node_config_ingress, "ingress", ingress_check);

static const struct config_field service_fields[] = {
    {"name", CONFIG_NAME, CONFIG_AT(struct node_config_service, name), .flags = CONFIG_REQUIRED | CONFIG_WILDCARD,
     .min = 1, .help = "public name, or \"*.example.net\""},
    {"ports", CONFIG_INT, CONFIG_LIST_AT(struct node_config_service, ports), .flags = CONFIG_REQUIRED, .min = 1,
     .max = 65535, .list_min = 1, .help = "public ports"},
    {"funnel", CONFIG_BOOL, CONFIG_AT(struct node_config_service, funnel), .def = "off",
     .help = "the node's half of the double opt-in"},
    {"forward", CONFIG_HOSTPORT, CONFIG_AT(struct node_config_service, forward),
     .flags = CONFIG_REQUIRED | CONFIG_UNIX, .help = "the local service"},
    {"tls", CONFIG_ENUM, CONFIG_AT(struct node_config_service, tls), .def = "passthrough", .words = tls_words,
     .help = "terminate: TLS ends here; passthrough: the local service ends it"},
    {"certificate", CONFIG_PATH, CONFIG_AT(struct node_config_service, certificate),
     .help = "PEM file, leaf first; needed with terminate; self-signed: funnel-node selfsigned NAME"},
    {"certificate_key", CONFIG_PATH, CONFIG_AT(struct node_config_service, certificate_key),
     .help = "PEM file; needed with terminate"},
    {"proxy_protocol", CONFIG_ENUM, CONFIG_AT(struct node_config_service, proxy_protocol), .def = "off",
     .words = proxy_words, .help = "header that tells the local service who the visitor is"},
    {"connect_timeout", CONFIG_DURATION, CONFIG_AT(struct node_config_service, connect_timeout_ns), .def = "5s",
     .min = 100 * TS_MS, .max = 300 * TS_S, .help = "how long the local service may take to accept"},
};
static CONFIG_TABLE(service, struct node_config_service, "service", service_check);

static const struct config_field tcp_fields[] = {
    {"congestion", CONFIG_ENUM, CONFIG_AT(struct node_config_tcp, congestion), .flags = CONFIG_RESTART, .def = "bbr",
     .words = congestion_words, .help = "how fast we send: bbr goes by the rate a path delivers, cubic by loss"},
};
static CONFIG_TABLE(tcp, struct node_config_tcp, "tcp", NULL);

static const struct config_field log_fields[] = {
    {"level", CONFIG_ENUM, CONFIG_AT(struct node_config_log, level), .def = "info", .words = level_words,
     .help = "how much is said on standard error"},
};
static CONFIG_TABLE(log, struct node_config_log, "log", NULL);

static const struct config_field node_config_fields[] = {
    {"key_file", CONFIG_PATH, CONFIG_AT(struct node_config, key_file), .flags = CONFIG_REQUIRED | CONFIG_RESTART,
     .min = 1, .help = "private key, as funnel-node genkey writes it"},
    {"addresses", CONFIG_ADDR, CONFIG_LIST_AT(struct node_config, addresses), .flags = CONFIG_RESTART, .list_max = 64,
     .help = "own addresses inside the tunnel; not given: the ULA derived from the key"},
    {"listen", CONFIG_ADDRPORT, CONFIG_LIST_AT(struct node_config, listen), .flags = CONFIG_RESTART,
     .def = "[\"0.0.0.0:0\", \"[::]:0\"]", .list_min = 1, .list_max = 2,
     .help = "UDP towards the ingresses, one address a family; port 0: any"},
    {"peerapi_port", CONFIG_INT, CONFIG_AT(struct node_config, peerapi_port), .flags = CONFIG_RESTART, .def = "41112",
     .min = 1, .max = 65535, .help = "TCP port of the peerapi, inside the tunnel only"},
    {"ingresses", CONFIG_STRUCT, CONFIG_LIST_AT(struct node_config, ingresses), .flags = CONFIG_REQUIRED,
     .list_min = 1, .sub = &ingress_schema, .help = "who may offer connections; nobody else can"},
    {"services", CONFIG_STRUCT, CONFIG_LIST_AT(struct node_config, services), .flags = CONFIG_REQUIRED, .list_min = 1,
     .list_max = 4096, .sub = &service_schema,
     .help = "what may be funnelled; nothing is accepted that does not stand here with funnel: on"},
    {"tcp", CONFIG_STRUCT, CONFIG_AT(struct node_config, tcp), .sub = &tcp_schema, .help = "connections inside the tunnels"},
    {"log", CONFIG_STRUCT, CONFIG_AT(struct node_config, log), .sub = &log_schema, .help = "what is written down"},
    {"state_dir", CONFIG_PATH, CONFIG_AT(struct node_config, state_dir), .flags = CONFIG_RESTART, .def = "",
     .help = "where the tunnel's time stamps outlive a restart; empty: not kept"},
};

CONFIG_TABLE(node_config, struct node_config, "funnel-node", root_check);

int node_config_load(const char *file_name, const char *text, size_t len, struct config_errors *errors,
                     struct node_config **out)
{
    struct config_arena *arena;
    void *config;
    int err = config_load_new(file_name, text, len, &node_config_schema, VALUES_BYTES_MAX, errors, &config, &arena);

    *out = config;
    if (*out)
        (*out)->arena = arena;
    return err;
}

void node_config_free(struct node_config *config)
{
    if (config)
        config_arena_free(config->arena);
}
