/* ingress_config.c - the table of conf/ingress.yaml, and what concerns several of its keys at once. */
#include "ingress/ingress_config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/base/ts.h"
#include "common/config/config_checks.h"
#include "common/http/url.h"
#include "common/tailnet/tailnet_key.h"
#include "ingress/feed/feed_session.h"
#include "ingress/route/route_index.h"
#include "ingress/warm.h"

#define VALUES_BYTES_MAX ((size_t)64 << 20)
#define LABEL_MAX        63
#define MINUTE           (60 * TS_S)
#define DAY              (24 * 60 * MINUTE)
#define KIB              ((uint64_t)1 << 10)
#define MIB              ((uint64_t)1 << 20)

static const char *const worker_words[] = {"auto", NULL};
static const char *const protocol_words[] = {"tls", "tcp", NULL};
static const char *const proxy_words[] = {"off", "require", NULL};
static const char *const half_close_words[] = {"hold", "propagate", NULL};
static const char *const feed_words[] = {"file", "https", "etcd", "tailnet", NULL};
static const char *const transport_words[] = {"peerapi", "tcp", NULL};
static const char *const revoked_words[] = {"end", "keep", NULL};
static const char *const congestion_words[] = {"bbr", "cubic", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", "trace", NULL};
static const char *const access_words[] = {"off", "stdout", "stderr", NULL};

/* Checks. */

static void listen_check(struct config_check *at, void *value)
{
    struct ingress_config_listen *l = value;
    bool tcp = l->protocol == INGRESS_CONFIG_TCP, proxy = l->proxy_protocol == INGRESS_CONFIG_PROXY_REQUIRE;

    if (l->public_port == 0)
        l->public_port = l->address.port;
    if (tcp && l->target.port == 0)
        config_fault(at, "", "protocol tcp has no server name in it: it needs 'target', such as git.example.net:22");
    else if (tcp && !addr_is_none(&l->target.addr))
        config_fault(at, "target", "must begin with the name of a node, not an address");
    if (!tcp && l->target.port != 0)
        config_fault(at, "target", "has a meaning with protocol tcp only");
    if (proxy && l->proxy_from_count == 0)
        config_fault(at, "", "proxy_protocol require needs 'proxy_from': who may say where a visitor comes from "
                             "(everybody: [\"0.0.0.0/0\", \"::/0\"])");
    if (!proxy && l->proxy_from_count > 0)
        config_fault(at, "proxy_from", "has a meaning with proxy_protocol require only");
}

static void wireguard_check(struct config_check *at, void *value)
{
    const struct ingress_config_wireguard *w = value;

    config_check_per_family(at, "listen", w->listen, w->listen_count);
}

static void identity_check(struct config_check *at, void *value)
{
    const struct ingress_config_identity *i = value;

    config_check_label(at, "name", i->name);
    config_check_own_addresses(at, "addresses", i->addresses, i->addresses_count);
    if (*i->previous_key_file && strcmp(i->previous_key_file, i->key_file) == 0)
        config_fault(at, "previous_key_file", "is the same file as key_file");
}

/* a key that has a meaning with some types of feed only */
static void feed_only(struct config_check *at, const char *key, bool given, bool fits, const char *types)
{
    if (given && !fits)
        config_fault(at, key, "has a meaning with type %s only", types);
}

static void feed_urls_check(struct config_check *at, const struct ingress_config_feed *f)
{
    bool etcd = f->type == INGRESS_CONFIG_FEED_ETCD;

    if (f->urls_count == 0)
        config_fault(at, "urls", etcd ? "is missing: the members of etcd, such as [\"https://etcd1.example.net:2379\"]"
                                      : "is missing: where the stream is, such as [\"https://feed.example.net/nodes\"]");
    for (size_t i = 0; i < f->urls_count; i++) {
        const char *path = config_format(at, "urls[%zu]", i);
        struct url url;
        const char *why = url_parse(f->urls[i], strlen(f->urls[i]), &url);

        if (why)
            config_fault(at, path, "%s", why);
        else if (!url.secure && !f->plain && !url_loopback(&url))
            config_fault(at, path, "is http:// to another machine: whoever is on the way could write the feed. Use "
                                   "https://, or say 'plain: on'");
        else if (etcd && strcmp(url.target, "/") != 0)
            config_fault(at, path, "is a member of etcd, and has no path");
    }
}

/* what concerns the coordination server and the policy */
static void feed_join_check(struct config_check *at, const struct ingress_config_feed *f)
{
    const struct ingress_config_feed_tailnet *t = &f->tailnet;
    struct url url;
    const char *why = *f->url ? url_parse(f->url, strlen(f->url), &url) : NULL;

    if (!*f->url)
        config_fault(at, "", "'url' is missing: the coordination server's");
    else if (why)
        config_fault(at, "url", "%s", why);
    else if (strcmp(url.target, "/") != 0)
        config_fault(at, "url", "has a path: coordination servers stand at the root");
    if (t->names_count + t->tags_count + t->users_count == 0)
        config_fault(at, "tailnet", "admits no node: it needs 'tags', 'users' or 'names'");
    else if (!*t->public_suffix && t->names_count == 0)
        config_fault(at, "tailnet", "gives no node a name: it needs 'public_suffix' or 'names'");
}

static void feed_check(struct config_check *at, void *value)
{
    const struct ingress_config_feed *f = value;
    bool file = f->type == INGRESS_CONFIG_FEED_FILE, https = f->type == INGRESS_CONFIG_FEED_HTTPS;
    bool etcd = f->type == INGRESS_CONFIG_FEED_ETCD, tailnet = f->type == INGRESS_CONFIG_FEED_TAILNET;

    if (file && !*f->path)
        config_fault(at, "path", "is missing: the file of nodes");
    feed_only(at, "path", *f->path, file, "file");
    feed_only(at, "url", *f->url, tailnet, "tailnet");
    feed_only(at, "urls", f->urls_count > 0, https || etcd, "https or etcd");
    feed_only(at, "token_file", *f->token_file, https, "https");
    feed_only(at, "ca_file", *f->ca_file, !file, "https, etcd or tailnet");
    feed_only(at, "certificate", *f->certificate, https || etcd, "https or etcd");
    feed_only(at, "certificate_key", *f->certificate_key, https || etcd, "https or etcd");
    feed_only(at, "username", *f->username, etcd, "etcd");
    feed_only(at, "password_file", *f->password_file, etcd, "etcd");
    if (!*f->certificate != !*f->certificate_key)
        config_fault(at, *f->certificate ? "certificate_key" : "certificate", "is missing: one needs the other");
    if (etcd && !*f->username != !*f->password_file)
        config_fault(at, *f->username ? "password_file" : "username", "is missing: one needs the other");
    if (https || etcd)
        feed_urls_check(at, f);
    if (tailnet)
        feed_join_check(at, f);
}

static void admin_check(struct config_check *at, void *value)
{
    const struct ingress_config_admin *a = value;
    const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

    if (strlen(a->socket) >= room)
        config_fault(at, "socket", "is longer than the %zu bytes of a Unix socket's path", room - 1);
}

/* a target of a stock node: a name, and perhaps a port */
static bool target_ok(const char *target)
{
    size_t len = strcspn(target, ":");

    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", target[i]))
            return false;
    const char *port = target[len] ? target + len + 1 : "1";

    return len > 0 && strspn(port, "0123456789") == strlen(port) && *port && strlen(port) <= 5 && atoi(port) > 0 &&
           atoi(port) <= UINT16_MAX;
}

static void tailnet_name_check(struct config_check *at, void *value)
{
    const struct feed_tailnet_name *n = value;

    if (*n->target && !target_ok(n->target))
        config_fault(at, "target", "must be a name in lower case, perhaps with a port, as web.tail1234.ts.net:443");
}

static void feed_tailnet_check(struct config_check *at, void *value)
{
    struct ingress_config_feed_tailnet *t = value;

    config_check_label(at, "hostname", t->hostname);
    if (strchr(t->hostname, '.') || strchr(t->hostname, '_'))
        config_fault(at, "hostname", "is one label: letters, digits and hyphens");
    if (*t->server_key_text &&
        !tailnet_key_parse(TAILNET_KEY_MACHINE, t->server_key_text, strlen(t->server_key_text), t->server_key))
        config_fault(at, "server_key", "must be 'mkey:' and 64 hexadecimal digits, as GET /key of the server says it");
    if (t->proxy_protocol && t->transport != INGRESS_CONFIG_TRANSPORT_TCP)
        config_fault(at, "proxy_protocol", "has a meaning with transport tcp only: an offer says the visitor's address");
}

static void listen_once(struct config_check *at, const struct ingress_config *c)
{
    struct config_once *once = config_take(at, c->listen_count * sizeof(*once));

    for (size_t i = 0; i < c->listen_count && once; i++) {
        char text[ADDRPORT_STR];

        once[i].text = config_format(at, "%s", addrport_format(&c->listen[i].address, text));
        once[i].path = config_format(at, "listen[%zu].address", i);
    }
    config_check_once(at, once, c->listen_count);
}

static void identities_check(struct config_check *at, const struct ingress_config *c)
{
    bool brought = c->feed.type == INGRESS_CONFIG_FEED_TAILNET;

    if (!brought && c->identities_count == 0)
        config_fault(at, "", "'identities' is missing");
    if (brought && c->identities_count + c->tailnets_count > 0)
        config_fault(at, c->identities_count ? "identities" : "tailnets",
                     "with the tailnet feed the ingress gets its one identity from the coordination server");
    if (c->identities_count == 0)
        return;
    struct config_once *once = config_take(at, c->identities_count * sizeof(*once));
    size_t keys = 0;

    for (size_t i = 0; i < c->identities_count && once; i++) {
        once[i].text = c->identities[i].name;
        once[i].path = config_format(at, "identities[%zu].name", i);
        keys += *c->identities[i].previous_key_file ? 2 : 1;
    }
    config_check_once(at, once, c->identities_count);
    if (keys > INGRESS_CONFIG_KEYS_MAX)
        config_fault(at, "identities", "have %zu keys, previous ones included; %d are allowed", keys,
                     INGRESS_CONFIG_KEYS_MAX);
}

/* identity_find - index, or identities_count. "" is the first. */
static size_t identity_find(const struct ingress_config *c, const char *name)
{
    size_t i = 0;

    while (*name && i < c->identities_count && strcmp(c->identities[i].name, name) != 0)
        i++;
    return i;
}

static void tailnets_check(struct config_check *at, const struct ingress_config *c,
                           struct ingress_config_tailnet *tailnets)
{
    struct config_once *once = c->tailnets_count ? config_take(at, c->tailnets_count * sizeof(*once)) : NULL;

    for (size_t i = 0; i < c->tailnets_count && once; i++) {
        struct ingress_config_tailnet *t = &tailnets[i];

        once[i].text = t->name;
        once[i].path = config_format(at, "tailnets[%zu].name", i);
        t->identity = identity_find(c, t->identity_name);
        if (t->identity == c->identities_count)
            config_fault(at, config_format(at, "tailnets[%zu].identity", i), "there is no identity named '%s'",
                         t->identity_name);
    }
    config_check_once(at, once, c->tailnets_count);
}

static void root_check(struct config_check *at, void *value)
{
    struct ingress_config *c = value;

    listen_once(at, c);
    identities_check(at, c);
    tailnets_check(at, c, (struct ingress_config_tailnet *)c->tailnets); /* ours to complete until it is handed out */
}

/* The table. */

static const struct config_field listen_fields[] = {
    {"address", CONFIG_ADDRPORT, CONFIG_AT(struct ingress_config_listen, address), .flags = CONFIG_REQUIRED,
     .help = "where visitors are accepted; [::] takes IPv4 too; port 0: any"},
    {"protocol", CONFIG_ENUM, CONFIG_AT(struct ingress_config_listen, protocol), .def = "tls", .words = protocol_words,
     .help = "tls: the server name decides; tcp: everything goes to target"},
    {"public_port", CONFIG_INT, CONFIG_AT(struct ingress_config_listen, public_port), .min = 1, .max = 65535,
     .help = "the port visitors dial, where another one is mapped here; not given: the address's"},
    {"proxy_protocol", CONFIG_ENUM, CONFIG_AT(struct ingress_config_listen, proxy_protocol), .def = "off",
     .words = proxy_words, .help = "require: a PROXY v1 or v2 header comes first"},
    {"proxy_from", CONFIG_PREFIX, CONFIG_LIST_AT(struct ingress_config_listen, proxy_from),
     .help = "who may send that header; needed with require"},
    {"target", CONFIG_HOSTPORT, CONFIG_AT(struct ingress_config_listen, target),
     .help = "protocol tcp: the node's name, and the port offered to it"},
};
static CONFIG_TABLE(listen, struct ingress_config_listen, "public TCP listener", listen_check);

static const struct config_field hello_fields[] = {
    {"timeout", CONFIG_DURATION, CONFIG_AT(struct ingress_config_hello, timeout_ns), .def = "5s", .min = 100 * TS_MS,
     .max = 5 * MINUTE, .help = "a visitor's whole ClientHello must be here by then"},
    {"max_size", CONFIG_SIZE, CONFIG_AT(struct ingress_config_hello, size_bytes_max), .def = "16KiB", .min = KIB,
     .max = 64 * KIB, .help = "a larger ClientHello is refused"},
};
static CONFIG_TABLE(hello, struct ingress_config_hello, "ClientHello", NULL);

static const struct config_field offer_fields[] = {
    {"timeout", CONFIG_DURATION, CONFIG_AT(struct ingress_config_offer, timeout_ns), .def = "10s", .min = 100 * TS_MS,
     .max = 5 * MINUTE, .help = "connect, request and the node's 101 together"},
    {"warm", CONFIG_INT, CONFIG_AT(struct ingress_config_offer, warm), .def = "0", .max = WARM_NODE_MAX,
     .help = "connections kept open ahead to each node that had two visitors within a minute: an offer takes one round "
             "trip instead of two"},
};
static CONFIG_TABLE(offer, struct ingress_config_offer, "offer to a node", NULL);

static const struct config_field stream_fields[] = {
    {"half_close", CONFIG_ENUM, CONFIG_AT(struct ingress_config_stream, half_close), .def = "hold",
     .words = half_close_words,
     .help = "hold: a visitor's end-of-file waits for the node's side; propagate: it is passed on; feed and node may "
             "say otherwise"},
    {"half_close_timeout", CONFIG_DURATION, CONFIG_AT(struct ingress_config_stream, half_close_timeout_ns),
     .def = "60s", .min = TS_S, .max = DAY, .help = "hold no longer than this without a byte from the node"},
    {"idle_timeout", CONFIG_DURATION, CONFIG_AT(struct ingress_config_stream, idle_timeout_ns), .def = "1h",
     .min = TS_S, .max = 30 * DAY, .help = "end a stream after this long with nothing in either direction"},
};
static CONFIG_TABLE(stream, struct ingress_config_stream, "streams", NULL);

static const struct config_field wireguard_fields[] = {
    {"listen", CONFIG_ADDRPORT, CONFIG_LIST_AT(struct ingress_config_wireguard, listen), .flags = CONFIG_RESTART,
     .def = "[\"0.0.0.0:41641\", \"[::]:41641\"]", .list_min = 1, .list_max = 2,
     .help = "UDP, one address a family; port 0: any"},
    {"keepalive", CONFIG_DURATION, CONFIG_AT(struct ingress_config_wireguard, keepalive_ns), .def = "25s", .min = 0,
     .max = 65535 * TS_S, .help = "for nodes that ask for it in the feed; 0s: off"},
};
static CONFIG_TABLE(wireguard, struct ingress_config_wireguard, "WireGuard", wireguard_check);

static const struct config_field identity_fields[] = {
    {"name", CONFIG_STRING, CONFIG_AT(struct ingress_config_identity, name), .flags = CONFIG_REQUIRED, .min = 1,
     .max = LABEL_MAX, .help = "what tailnets, logs and metrics call it"},
    {"key_file", CONFIG_PATH, CONFIG_AT(struct ingress_config_identity, key_file), .flags = CONFIG_REQUIRED, .min = 1,
     .help = "private key, as funnel-ingress genkey writes it"},
    {"previous_key_file", CONFIG_PATH, CONFIG_AT(struct ingress_config_identity, previous_key_file),
     .help = "still answered while nodes learn the new key"},
    {"addresses", CONFIG_ADDR, CONFIG_LIST_AT(struct ingress_config_identity, addresses), .list_max = 64,
     .help = "own addresses inside the tunnels; not given: the ULA derived from the key"},
};
static CONFIG_TABLE(identity, struct ingress_config_identity, "identity", identity_check);

static const struct config_field tailnet_fields[] = {
    {"name", CONFIG_STRING, CONFIG_AT(struct ingress_config_tailnet, name), .flags = CONFIG_REQUIRED, .min = 1,
     .max = CONFIG_NAME_MAX, .help = "as the feed names it"},
    {"identity", CONFIG_STRING, CONFIG_AT(struct ingress_config_tailnet, identity_name), .max = LABEL_MAX,
     .help = "the identity that serves it; not given: the first"},
};
static CONFIG_TABLE(tailnet, struct ingress_config_tailnet, "tailnet", NULL);

static const struct config_field tailnet_name_fields[] = {
    {"name", CONFIG_NAME, CONFIG_AT(struct feed_tailnet_name, name), .flags = CONFIG_REQUIRED | CONFIG_WILDCARD,
     .help = "what visitors ask for; *.example.org too"},
    {"node", CONFIG_NAME, CONFIG_AT(struct feed_tailnet_name, node), .flags = CONFIG_REQUIRED,
     .help = "whom it leads to: the first label of a MagicDNS name, or all of it"},
    {"target", CONFIG_STRING, CONFIG_AT(struct feed_tailnet_name, target), .max = CONFIG_NAME_MAX + 6,
     .help = "what the node is told instead; not given: its MagicDNS name, at the visitor's port"},
};
static CONFIG_TABLE(tailnet_name, struct feed_tailnet_name, "name of a node", tailnet_name_check);

static const struct config_field feed_tailnet_fields[] = {
    {"hostname", CONFIG_STRING, CONFIG_AT(struct ingress_config_feed_tailnet, hostname), .flags = CONFIG_RESTART,
     .def = "funnel-ingress", .min = 1, .max = LABEL_MAX, .help = "what this ingress calls itself there"},
    {"auth_key_file", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed_tailnet, auth_key_file), .flags = CONFIG_RESTART,
     .help = "a pre-auth key, one line; not given: a URL is printed that somebody has to open"},
    {"server_key", CONFIG_STRING, CONFIG_AT(struct ingress_config_feed_tailnet, server_key_text), .flags = CONFIG_RESTART,
     .max = 69, .help = "the only one the server may have, mkey:…; not given: it is asked for"},
    {"ephemeral", CONFIG_BOOL, CONFIG_AT(struct ingress_config_feed_tailnet, ephemeral), .flags = CONFIG_RESTART,
     .def = "off", .help = "the server forgets this ingress when it stops; it then comes back under another address"},
    {"public_suffix", CONFIG_NAME, CONFIG_AT(struct ingress_config_feed_tailnet, public_suffix),
     .help = "laptop becomes laptop.<this>; not given: only names"},
    {"names", CONFIG_STRUCT, CONFIG_LIST_AT(struct ingress_config_feed_tailnet, names), .def = "[]",
     .sub = &tailnet_name_schema, .help = "custom and wildcard names; they admit their node, too"},
    {"tags", CONFIG_STRING, CONFIG_LIST_AT(struct ingress_config_feed_tailnet, tags), .def = "[]", .min = 5, .max = 255,
     .help = "nodes with one of these tags are admitted"},
    {"users", CONFIG_STRING, CONFIG_LIST_AT(struct ingress_config_feed_tailnet, users), .def = "[]", .min = 1, .max = 255,
     .help = "untagged nodes of these users are admitted"},
    {"ports", CONFIG_INT, CONFIG_LIST_AT(struct ingress_config_feed_tailnet, ports), .def = "[443]", .min = 1,
     .max = 65535, .list_min = 1, .help = "public ports on which visitors may be offered"},
    {"transport", CONFIG_ENUM, CONFIG_AT(struct ingress_config_feed_tailnet, transport), .def = "peerapi",
     .words = transport_words, .help = "peerapi: an offer, as Tailscale's Funnel makes it; tcp: a plain connection"},
    {"proxy_protocol", CONFIG_BOOL, CONFIG_AT(struct ingress_config_feed_tailnet, proxy_protocol), .def = "off",
     .help = "with tcp: the visitor's address in front, PROXY v2"},
};
static CONFIG_TABLE(feed_tailnet, struct ingress_config_feed_tailnet, "node of a tailnet", feed_tailnet_check);

static const struct config_field feed_fields[] = {
    {"type", CONFIG_ENUM, CONFIG_AT(struct ingress_config_feed, type), .def = "file", .words = feed_words,
     .help = "where the nodes come from"},
    {"path", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed, path), .def = "",
     .help = "file: the file of nodes, see docs/feed.md"},
    {"urls", CONFIG_STRING, CONFIG_LIST_AT(struct ingress_config_feed, urls), .def = "[]", .min = 1, .max = 1024,
     .list_max = FEED_SESSION_URLS_MAX,
     .help = "https: where the stream of lines is; etcd: its members. The next one is tried when one fails"},
    {"token_file", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed, token_file), .def = "",
     .help = "https: a bearer token; read anew for each connection"},
    {"ca_file", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed, ca_file), .def = "",
     .help = "https, etcd, tailnet: the authorities trusted, in PEM; empty: those of this machine. For relays of a tailnet: "
             "besides those"},
    {"certificate", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed, certificate), .def = "",
     .help = "https, etcd: our own certificate, in PEM, for servers that ask for one"},
    {"certificate_key", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed, certificate_key), .def = "",
     .help = "its private key, in PEM"},
    {"username", CONFIG_STRING, CONFIG_AT(struct ingress_config_feed, username), .def = "", .max = 255,
     .help = "etcd: who we are there; empty: nobody asks"},
    {"password_file", CONFIG_PATH, CONFIG_AT(struct ingress_config_feed, password_file), .def = "",
     .help = "etcd: the password; read anew for each connection"},
    {"prefix", CONFIG_STRING, CONFIG_AT(struct ingress_config_feed, prefix), .def = "/funnel/nodes/", .min = 1,
     .max = 255, .help = "etcd: nodes are the keys that begin so; the rest of a key is the node's id"},
    {"silence", CONFIG_DURATION, CONFIG_AT(struct ingress_config_feed, silence_ns), .def = "45s", .min = TS_S,
     .max = DAY, .help = "https: a stream without a whole line for so long is given up; etcd: its watch is made anew"},
    {"plain", CONFIG_BOOL, CONFIG_AT(struct ingress_config_feed, plain), .def = "off",
     .help = "let http:// lead to other machines too: whoever is on the way can then write the feed"},
    {"url", CONFIG_STRING, CONFIG_AT(struct ingress_config_feed, url), .flags = CONFIG_RESTART, .max = 1024,
     .help = "tailnet: the coordination server; https:// or http://"},
    {"tailnet", CONFIG_STRUCT, CONFIG_AT(struct ingress_config_feed, tailnet), .sub = &feed_tailnet_schema,
     .help = "tailnet: the ingress as a node there, and whom it serves"},
    {"revoked_streams", CONFIG_ENUM, CONFIG_AT(struct ingress_config_feed, revoked_streams), .def = "end",
     .words = revoked_words, .help = "live streams of a node whose opt-in is withdrawn"},
    {"stale_limit", CONFIG_DURATION, CONFIG_AT(struct ingress_config_feed, stale_limit_ns), .def = "0s", .min = 0,
     .max = 366 * DAY, .help = "a feed that was silent for longer is not believed: visitors are refused; 0s: its last "
                               "word counts until it speaks again"},
    {"max_nodes", CONFIG_INT, CONFIG_AT(struct ingress_config_feed, nodes_max), .def = "2000000", .min = 1,
     .max = ROUTE_PLACES_MAX / 2, .help = "https, etcd, tailnet: a snapshot with more rows is refused, and so is a node more"},
    {"max_memory", CONFIG_SIZE, CONFIG_AT(struct ingress_config_feed, memory_bytes_max), .def = "2GiB", .min = MIB,
     .max = MIB << 20, .help = "https, etcd, tailnet: likewise, by what the rows take; for a while there are two maps"},
};
static CONFIG_TABLE(feed, struct ingress_config_feed, "feed of nodes", feed_check);

static const struct config_field limits_fields[] = {
    {"connections", CONFIG_INT, CONFIG_AT(struct ingress_config_limits, connections), .def = "100000", .min = 1,
     .max = 10000000, .help = "visitors in all"},
    {"connections_per_source", CONFIG_INT, CONFIG_AT(struct ingress_config_limits, connections_per_source),
     .def = "256", .min = 1, .max = 10000000, .help = "per IPv4 address or IPv6 /64"},
    {"connections_per_node", CONFIG_INT, CONFIG_AT(struct ingress_config_limits, connections_per_node), .def = "4096",
     .min = 1, .max = 10000000, .help = "streams of one node"},
    {"pending_hellos", CONFIG_INT, CONFIG_AT(struct ingress_config_limits, pending_hellos), .def = "10000", .min = 1,
     .max = 10000000, .help = "visitors that have not said a name yet"},
    {"buffer_memory", CONFIG_SIZE, CONFIG_AT(struct ingress_config_limits, buffer_memory_bytes), .def = "256MiB",
     .min = MIB, .max = MIB << 20, .help = "bytes in flight, all workers together"},
};
static CONFIG_TABLE(limits, struct ingress_config_limits, "limits", NULL);

static const struct config_field drain_fields[] = {
    {"delay", CONFIG_DURATION, CONFIG_AT(struct ingress_config_drain, delay_ns), .def = "0s", .min = 0, .max = DAY,
     .help = "on SIGTERM: go on accepting this long (DNS and anycast withdraw), then close listeners"},
    {"timeout", CONFIG_DURATION, CONFIG_AT(struct ingress_config_drain, timeout_ns), .def = "60s", .min = 0,
     .max = 7 * DAY, .help = "live streams get this long, then end"},
};
static CONFIG_TABLE(drain, struct ingress_config_drain, "drain", NULL);

static const struct config_field tcp_fields[] = {
    {"congestion", CONFIG_ENUM, CONFIG_AT(struct ingress_config_tcp, congestion), .flags = CONFIG_RESTART, .def = "bbr",
     .words = congestion_words, .help = "how fast we send: bbr goes by the rate a path delivers, cubic by loss"},
};
static CONFIG_TABLE(tcp, struct ingress_config_tcp, "tcp", NULL);

static const struct config_field log_fields[] = {
    {"level", CONFIG_ENUM, CONFIG_AT(struct ingress_config_log, level), .def = "info", .words = level_words,
     .help = "how much is said on standard error"},
    {"access", CONFIG_ENUM, CONFIG_AT(struct ingress_config_log, access), .def = "stdout", .words = access_words,
     .help = "one JSON line a stream"},
    {"client_address", CONFIG_BOOL, CONFIG_AT(struct ingress_config_log, client_address), .def = "on",
     .help = "visitors' addresses in the access log"},
};
static CONFIG_TABLE(log, struct ingress_config_log, "log", NULL);

static const struct config_field admin_fields[] = {
    {"socket", CONFIG_PATH, CONFIG_AT(struct ingress_config_admin, socket), .flags = CONFIG_RESTART, .def = "",
     .help = "Unix socket through which funnel-ingress probe and metrics ask the running ingress; empty: none"},
};
static CONFIG_TABLE(admin, struct ingress_config_admin, "administration", admin_check);

static const struct config_field ingress_config_fields[] = {
    {"user", CONFIG_STRING, CONFIG_AT(struct ingress_config, user), .flags = CONFIG_RESTART, .def = "", .max = 255,
     .help = "drop to this user after binding; empty: stay who we are"},
    {"sandbox", CONFIG_BOOL, CONFIG_AT(struct ingress_config, sandbox), .flags = CONFIG_RESTART, .def = "on",
     .help = "let the server open no file but the feed and state_dir, and make no system call it does not need"},
    {"workers", CONFIG_INT, CONFIG_AT(struct ingress_config, workers), .flags = CONFIG_RESTART, .def = "1", .min = 1,
     .max = INGRESS_CONFIG_WORKERS_MAX, .words = worker_words, .help = "event loops; auto: one a core"},
    {"listen", CONFIG_STRUCT, CONFIG_LIST_AT(struct ingress_config, listen), .flags = CONFIG_REQUIRED, .list_min = 1,
     .list_max = 64, .sub = &listen_schema, .help = "public TCP"},
    {"hello", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, hello), .sub = &hello_schema,
     .help = "a visitor's first bytes"},
    {"offer", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, offer), .sub = &offer_schema,
     .help = "asking a node whether it takes a stream"},
    {"stream", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, stream), .sub = &stream_schema,
     .help = "streams once a node took them"},
    {"wireguard", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, wireguard), .sub = &wireguard_schema,
     .help = "the tunnels' outside"},
    {"identities", CONFIG_STRUCT, CONFIG_LIST_AT(struct ingress_config, identities), .def = "[]",
     .list_max = INGRESS_CONFIG_KEYS_MAX, .sub = &identity_schema,
     .help = "who we are inside the tunnels; each region its own; none with the tailnet feed, which brings one"},
    {"tailnets", CONFIG_STRUCT, CONFIG_LIST_AT(struct ingress_config, tailnets), .def = "[]", .list_max = 65536,
     .sub = &tailnet_schema, .help = "which identity serves a tailnet; unlisted ones get the first identity"},
    {"feed", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, feed), .flags = CONFIG_REQUIRED, .sub = &feed_schema,
     .help = "which nodes exist"},
    {"limits", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, limits), .sub = &limits_schema,
     .help = "how much outsiders may use"},
    {"drain", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, drain), .sub = &drain_schema, .help = "how we stop"},
    {"tcp", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, tcp), .sub = &tcp_schema, .help = "connections inside the tunnels"},
    {"log", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, log), .sub = &log_schema, .help = "what is written down"},
    {"state_dir", CONFIG_PATH, CONFIG_AT(struct ingress_config, state_dir), .flags = CONFIG_RESTART, .def = "",
     .help = "what outlives a restart: the tunnel's time stamps, where nodes were heard from, a live feed's map; "
             "empty: nothing is kept"},
    {"admin", CONFIG_STRUCT, CONFIG_AT(struct ingress_config, admin), .sub = &admin_schema,
     .help = "for the operator of this machine"},
};

CONFIG_TABLE(ingress_config, struct ingress_config, "funnel-ingress", root_check);

int ingress_config_load(const char *file_name, const char *text, size_t len, struct config_errors *errors,
                        struct ingress_config **out)
{
    struct config_arena *arena;
    void *config;
    int err = config_load_new(file_name, text, len, &ingress_config_schema, VALUES_BYTES_MAX, errors, &config, &arena);

    *out = config;
    if (*out)
        (*out)->arena = arena;
    return err;
}

void ingress_config_free(struct ingress_config *config)
{
    if (config)
        config_arena_free(config->arena);
}

size_t ingress_config_tailnet_identity(const struct ingress_config *config, const char *tailnet, size_t len)
{
    for (size_t i = 0; i < config->tailnets_count; i++)
        if (strlen(config->tailnets[i].name) == len && memcmp(config->tailnets[i].name, tailnet, len) == 0)
            return config->tailnets[i].identity;
    return 0;
}
