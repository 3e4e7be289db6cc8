/* node_config.h - conf/node.yaml, checked and typed.
 *
 * A node_config is immutable: a reload makes another one and swaps one pointer. Everything it points to lives and dies
 * with it. Names and defaults of the keys are in the table in node_config.c and nowhere else. */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/config/config_text.h"
#include "common/crypto/key.h"
#include "common/tcp/tcp.h"

enum node_config_tls {
    NODE_CONFIG_TLS_PASSTHROUGH = 0, /* the local service ends TLS */
    NODE_CONFIG_TLS_TERMINATE,       /* TLS ends here */
};

enum node_config_proxy {
    NODE_CONFIG_PROXY_OFF = 0,
    NODE_CONFIG_PROXY_V1,
    NODE_CONFIG_PROXY_V2,
};

struct node_config_ingress {
    const char *name;
    const char *public_key_text;   /* as the file has it */
    uint8_t public_key[KEY_BYTES]; /* what it says */
    struct config_hostport endpoint; /* UDP; port 0: it reaches us by itself */
    const struct addr *addresses;  /* its own inside the tunnel; none: the ULA derived from its key */
    size_t addresses_count;
    const char *preshared_key_file; /* "": none */
    uint64_t keepalive_ns;          /* 0: off */
};

struct node_config_service {
    const char *name; /* exact or "*.example.net", lower case */
    const uint16_t *ports;
    size_t ports_count; /* >= 1 */
    bool funnel;        /* the node's half of the double opt-in */
    struct config_hostport forward; /* host and port, or unix_path */
    enum node_config_tls tls;
    const char *certificate; /* PEM files; both "" with passthrough */
    const char *certificate_key;
    enum node_config_proxy proxy_protocol; /* what the local service gets to see first */
    uint64_t connect_timeout_ns;
};

struct node_config_tcp {
    enum tcp_congestion congestion; /* inside the tunnels */
};

struct node_config_log {
    enum log_level level;
};

struct node_config {
    const char *key_file;
    const struct addr *addresses; /* own ones inside the tunnel; none: the ULA derived from the key */
    size_t addresses_count;
    const struct addrport *listen; /* UDP, one a family at most; port 0: any */
    size_t listen_count;
    uint16_t peerapi_port;
    const struct node_config_ingress *ingresses;
    size_t ingresses_count; /* >= 1 */
    const struct node_config_service *services;
    size_t services_count; /* >= 1 */
    struct node_config_tcp tcp;
    struct node_config_log log;
    const char *state_dir; /* "": nothing is kept */
    struct config_arena *arena; /* holds all of this */
};

/* node_config_schema - the table, for config_print, config_reference and config_changed. */
extern const struct config_schema node_config_schema;

/* node_config_load - read and check a file's text (len bytes, borrowed for the call). file_name is named in errors and
 * its folder is where relative paths start. Returns 0 and *out, to be freed with node_config_free; or ERR_INVALID or
 * ERR_NOMEM, *out NULL and the reasons in errors (initialised by the caller). */
int node_config_load(const char *file_name, const char *text, size_t len, struct config_errors *errors,
                     struct node_config **out);
void node_config_free(struct node_config *config);

#endif
