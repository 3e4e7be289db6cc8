/* ingress_config.h - conf/ingress.yaml, checked and typed.
 *
 * An ingress_config is immutable: a reload makes another one and swaps one pointer. Everything it points to lives and
 * dies with it. Names and defaults of the keys are in the table in ingress_config.c and nowhere else. */
#ifndef INGRESS_CONFIG_H
#define INGRESS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/config/config_text.h"
#include "common/tcp/tcp.h"
#include "ingress/feed/feed_tailnet.h"

#define INGRESS_CONFIG_KEYS_MAX    8  /* identity keys, previous ones included */
#define INGRESS_CONFIG_WORKERS_MAX 64

enum ingress_config_protocol {
    INGRESS_CONFIG_TLS = 0, /* the server name decides */
    INGRESS_CONFIG_TCP,     /* all goes to one target */
};

enum ingress_config_proxy {
    INGRESS_CONFIG_PROXY_OFF = 0,
    INGRESS_CONFIG_PROXY_REQUIRE, /* a PROXY header comes first, from proxy_from only */
};

enum ingress_config_half_close {
    INGRESS_CONFIG_HALF_CLOSE_HOLD = 0,
    INGRESS_CONFIG_HALF_CLOSE_PROPAGATE,
};

enum ingress_config_revoked {
    INGRESS_CONFIG_REVOKED_END = 0,
    INGRESS_CONFIG_REVOKED_KEEP,
};

enum ingress_config_access {
    INGRESS_CONFIG_ACCESS_OFF = 0,
    INGRESS_CONFIG_ACCESS_STDOUT,
    INGRESS_CONFIG_ACCESS_STDERR,
};

struct ingress_config_listen {
    struct addrport address;
    enum ingress_config_protocol protocol;
    uint16_t public_port; /* the port visitors dial; 0: the one that was bound for port 0 */
    enum ingress_config_proxy proxy_protocol;
    const struct prefix *proxy_from; /* who may send the header; not empty with PROXY_REQUIRE */
    size_t proxy_from_count;
    struct config_hostport target; /* PROTOCOL_TCP: the name and port offered; else host is "" */
};

struct ingress_config_hello {
    uint64_t timeout_ns;
    uint64_t size_bytes_max;
};

struct ingress_config_offer {
    uint64_t timeout_ns; /* connect, request and 101 together */
    uint32_t warm;       /* connections opened ahead to a node in demand; warm.h */
};

struct ingress_config_stream {
    enum ingress_config_half_close half_close;
    uint64_t half_close_timeout_ns;
    uint64_t idle_timeout_ns;
};

struct ingress_config_wireguard {
    const struct addrport *listen; /* one a family at most */
    size_t listen_count;
    uint64_t keepalive_ns; /* 0: off */
};

struct ingress_config_identity {
    const char *name;
    const char *key_file;
    const char *previous_key_file; /* "" when there is none */
    const struct addr *addresses;  /* none: the ULA derived from the key */
    size_t addresses_count;
};

struct ingress_config_tailnet {
    const char *name;
    const char *identity_name; /* "": the first identity */
    size_t identity;           /* index into identities */
};

enum ingress_config_feed_type {
    INGRESS_CONFIG_FEED_FILE = 0,
    INGRESS_CONFIG_FEED_HTTPS,
    INGRESS_CONFIG_FEED_ETCD,
    INGRESS_CONFIG_FEED_TAILNET,
};

enum ingress_config_transport {
    INGRESS_CONFIG_TRANSPORT_PEERAPI = 0,
    INGRESS_CONFIG_TRANSPORT_TCP,
};

struct ingress_config_feed_tailnet {
    const char *hostname;
    const char *auth_key_file; /* "": somebody opens a URL */
    const char *server_key_text;
    uint8_t server_key[32]; /* all zero: asked for */
    bool ephemeral;
    const char *public_suffix; /* "" */
    const struct feed_tailnet_name *names;
    size_t names_count;
    const char *const *tags;
    size_t tags_count;
    const char *const *users;
    size_t users_count;
    const uint16_t *ports;
    size_t ports_count;
    enum ingress_config_transport transport;
    bool proxy_protocol;
};

struct ingress_config_feed {
    enum ingress_config_feed_type type;
    const char *path; /* FEED_FILE; else "" */
    const char *url;  /* tailnet: a URL that url_parse takes */
    /* https and etcd, and ca_file tailnet, too; "" where not given */
    const char *const *urls; /* each a URL that url_parse takes */
    size_t urls_count;
    const char *token_file;      /* https */
    const char *ca_file, *certificate, *certificate_key;
    const char *username;        /* etcd */
    const char *password_file;
    const char *prefix;
    uint64_t silence_ns;
    bool plain; /* http:// to other machines too */
    struct ingress_config_feed_tailnet tailnet;
    enum ingress_config_revoked revoked_streams;
    uint64_t stale_limit_ns; /* 0: the last good map is served for ever */
    uint32_t nodes_max;      /* of a live feed */
    uint64_t memory_bytes_max;
};

struct ingress_config_limits {
    uint32_t connections;
    uint32_t connections_per_source;
    uint32_t connections_per_node;
    uint32_t pending_hellos;
    uint64_t buffer_memory_bytes;
};

struct ingress_config_drain {
    uint64_t delay_ns;
    uint64_t timeout_ns;
};

struct ingress_config_tcp {
    enum tcp_congestion congestion; /* inside the tunnels */
};

struct ingress_config_log {
    enum log_level level;
    enum ingress_config_access access;
    bool client_address;
};

struct ingress_config_admin {
    const char *socket; /* "": none */
};

struct ingress_config {
    const char *user;  /* "": stay who we are */
    bool sandbox;      /* restrict the server's files and system calls */
    unsigned workers;  /* 0: one a core */
    const struct ingress_config_listen *listen;
    size_t listen_count; /* >= 1 */
    struct ingress_config_hello hello;
    struct ingress_config_offer offer;
    struct ingress_config_stream stream;
    struct ingress_config_wireguard wireguard;
    const struct ingress_config_identity *identities;
    size_t identities_count; /* >= 1; 0 with the tailnet feed, which brings its own */
    const struct ingress_config_tailnet *tailnets;
    size_t tailnets_count;
    struct ingress_config_feed feed;
    struct ingress_config_limits limits;
    struct ingress_config_drain drain;
    struct ingress_config_tcp tcp;
    struct ingress_config_log log;
    const char *state_dir; /* "": nothing is kept */
    struct ingress_config_admin admin;
    struct config_arena *arena; /* holds all of this */
};

/* ingress_config_schema - the table, for config_print, config_reference and config_changed. */
extern const struct config_schema ingress_config_schema;

/* ingress_config_load - read and check a file's text (len bytes, borrowed for the call). file_name is named in errors
 * and its folder is where relative paths start. Returns 0 and *out, to be freed with ingress_config_free; or
 * ERR_INVALID or ERR_NOMEM, *out NULL and the reasons in errors (initialised by the caller). */
int ingress_config_load(const char *file_name, const char *text, size_t len, struct config_errors *errors,
                        struct ingress_config **out);
void ingress_config_free(struct ingress_config *config);

/* ingress_config_tailnet_identity - index of the identity that serves a tailnet: the listed one, or the first. */
size_t ingress_config_tailnet_identity(const struct ingress_config *config, const char *tailnet, size_t len);

#endif
