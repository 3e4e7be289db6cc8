/* tailnet.h - the ingress as an ordinary node of a tailnet, on the server's main thread. SHELL.
 *
 *      coordination server <--secure_stream--> control --netmap--> feed_tailnet --steps--> map of nodes
 *                                                 |                         \--> the paths (disco, DERP), by events
 *                                                 +--keys--> state_dir/tailnet
 *
 * It decides nothing: what is said to the server is control's business, who may be funnelled feed_tailnet's. */
#ifndef INGRESS_TAILNET_H
#define INGRESS_TAILNET_H

#include "common/config/config_errors.h"
#include "common/net/resolver.h"
#include "common/tailnet/control.h"
#include "common/tunnel/tunnel.h"
#include "ingress/feed/feed_source.h"
#include "ingress/ingress_config.h"

/* Who we are in the tailnet. */
struct tailnet_identity {
    const uint8_t *key;      /* private node key */
    const uint8_t *previous; /* the one before, NULL: none. Sessions under it go on */
    struct addr addrs[TUNNEL_ADDRS_MAX];
    size_t addrs_count;      /* 0: not known before the first map */
};

struct tailnet_events {
    struct feed_sink sink;
    /* our key or our addresses are others than before */
    void (*identity)(void *ctx, const struct tailnet_identity *identity, ts_t now);
    /* the map changed; changes are borrowed for the call. NULL: not wanted */
    void (*netmap)(void *ctx, const struct netmap *netmap, const struct netmap_changes *changes, ts_t now);
    /* how we stand with the server, when that changed. NULL: not wanted */
    void (*state)(void *ctx, enum control_state state, ts_t now);
    /* tailnet_log_out is through */
    void (*ended)(void *ctx, ts_t now);
    void *ctx;
};

/* What must be read before the sandbox closes: the authorities and the auth key. */
struct tailnet_files {
    struct ssl_ctx_st *tls; /* NULL: the URL is http */
    char *auth_key;         /* "" without one */
};

/* tailnet_files_read - 0, or ERR_INVALID with errors filled. */
int tailnet_files_read(const struct ingress_config_feed *config, struct tailnet_files *out, struct config_errors *errors)
    __attribute__((warn_unused_result));
void tailnet_files_deinit(struct tailnet_files *files); /* wipes */

struct tailnet;

/* tailnet_new - begin to join. config is borrowed until the next tailnet_config; files and events are copied (files->tls
 * by reference). NULL: out of memory, or the state can't be read (logged). */
struct tailnet *tailnet_new(struct loop *loop, struct resolver *resolver, struct rng *rng,
                            const struct ingress_config_feed *config, const char *state_dir,
                            const struct tailnet_files *files, const struct tailnet_events *events, ts_t now);
void tailnet_free(struct tailnet *tailnet); /* NULL allowed; no event follows */

/* tailnet_config - a reload: the policy follows it; what belongs to the connection needs a restart. */
void tailnet_config(struct tailnet *tailnet, const struct ingress_config_feed *config, ts_t now);

struct feed_source *tailnet_source(struct tailnet *tailnet);

/* tailnet_control - for the paths: the map, the server's clock. tailnet_whereabouts - where we are found changed. */
const struct control *tailnet_control(const struct tailnet *tailnet);
void tailnet_whereabouts(struct tailnet *tailnet, const struct control_whereabouts *whereabouts, ts_t now);

/* tailnet_log_out - the process is about to end; `ended` follows within seconds, perhaps before this returns. */
void tailnet_log_out(struct tailnet *tailnet, ts_t now);

#endif
