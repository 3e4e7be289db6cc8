#include "ingress/membership.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/secret.h"
#include "common/net/stream.h"
#include "common/net/tls.h"

struct membership {
    const struct ingress_config *config;
    struct loop *loop;
    struct workers *workers;
    struct rng *rng;
    struct membership_owner owner;
    struct resolver *resolver;
    struct tailnet_files files;
    struct ssl_ctx_st *relay_tls;
    struct control_endpoint endpoints[CONTROL_ENDPOINTS_MAX]; /* ours, besides what STUN finds */
    size_t endpoints_count;
    struct tailnet *tailnet;
    struct underlay *underlay;
    const void *node_key; /* guarded; the underlay's */
    bool online;          /* as the underlay was told */
};

/* ---- before the sandbox ---- */

static void add_endpoint(struct membership *m, const struct addr *addr, enum control_endpoint_kind kind)
{
    for (size_t i = 0; i < m->endpoints_count; i++)
        if (addr_equal(&m->endpoints[i].at.addr, addr))
            return;
    if (m->endpoints_count < CONTROL_ENDPOINTS_MAX / 2) /* the rest is for what STUN finds */
        m->endpoints[m->endpoints_count++] = (struct control_endpoint){{*addr, 0}, kind};
}

/* addresses of this machine that others may reach: not loopback, not link-local */
static void add_interfaces(struct membership *m, bool v4)
{
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) != 0)
        return;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct addrport at;

        if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP) ||
            i->ifa_addr->sa_family != (v4 ? AF_INET : AF_INET6))
            continue;
        addrport_from_sockaddr(i->ifa_addr, &at);
        if (v4 || (at.addr.b[0] != 0xfe || (at.addr.b[1] & 0xc0) != 0x80))
            add_endpoint(m, &at.addr, CONTROL_ENDPOINT_LOCAL);
    }
    freeifaddrs(all);
}

static bool is_any(const struct addr *a)
{
    static const uint8_t v4_any[4] = {0};
    struct addr any = addr_v4(v4_any);

    return addr_is_none(a) || addr_equal(a, &any);
}

static void find_endpoints(struct membership *m)
{
    const struct ingress_config_wireguard *w = &m->config->wireguard;

    for (size_t i = 0; i < w->listen_count; i++) {
        const struct addr *a = &w->listen[i].addr;

        if (is_any(a))
            add_interfaces(m, addr_is_v4(a));
        else
            add_endpoint(m, a, CONTROL_ENDPOINT_LOCAL);
    }
}

int membership_read(const struct ingress_config *config, struct loop *loop, struct membership **out,
                    struct config_errors *errors)
{
    /* relays are the operator's own and other people's */
    const struct tls_client_files relays = {.ca = config->feed.ca_file, .machine_too = true};
    const char *culprit;
    char why[256];
    int rc;

    *out = NULL;
    if (config->feed.type != INGRESS_CONFIG_FEED_TAILNET)
        return 0;
    struct membership *m = calloc(1, sizeof(*m));

    if (!m)
        return ERR_NOMEM;
    m->config = config;
    m->loop = loop;
    rc = tailnet_files_read(&config->feed, &m->files, errors);
    m->resolver = rc == 0 ? resolver_new(loop) : NULL;
    m->relay_tls = rc == 0 ? tls_client_new(&relays, false, &culprit, why, sizeof(why)) : NULL;
    if (rc == 0 && (!m->resolver || !m->relay_tls)) {
        config_errors_add(errors, (struct config_place){0}, "feed", "%s",
                          m->resolver ? why : "the system's resolver can't be used");
        rc = ERR_INVALID;
    }
    if (rc != 0) {
        membership_free(m);
        return rc;
    }
    find_endpoints(m);
    *out = m;
    return 0;
}

/* ---- what happens ---- */

static void on_moved(void *ctx, const struct control_whereabouts *whereabouts, ts_t now)
{
    struct membership *m = ctx;

    tailnet_whereabouts(m->tailnet, whereabouts, now);
}

static void all_peers(struct membership *m, ts_t now)
{
    const struct netmap *map = control_netmap(tailnet_control(m->tailnet));

    underlay_netmap(m->underlay, map, &(struct netmap_changes){.self = true, .derp = true, .ways = true, .complete = true}, now);
}

static void make_underlay(struct membership *m, const uint8_t *key, ts_t now)
{
    underlay_free(m->underlay);
    secret_free(m->node_key);
    m->node_key = secret_new(key, TAILNET_KEY_BYTES);
    const struct underlay_config config = {
        .loop = m->loop,
        .resolver = m->resolver,
        .workers = m->workers,
        .rng = m->rng,
        .tls = m->relay_tls,
        .node_private = m->node_key,
        .disco_private = control_keys(tailnet_control(m->tailnet))->disco,
        .endpoints = m->endpoints,
        .endpoints_count = m->endpoints_count,
        .moved = on_moved,
        .ctx = m,
    };

    m->underlay = m->node_key ? underlay_new(&config, now) : NULL;
    m->online = m->underlay && control_state(tailnet_control(m->tailnet)) == CONTROL_ONLINE;
    if (!m->underlay) {
        log_error("tailnet", "event=underlay_failed error=\"%s\" note=\"nodes can't be reached\"", err_str(ERR_NOMEM));
        return;
    }
    underlay_online(m->underlay, m->online, now); /* with another key the server does not come back: it was here all along */
    all_peers(m, now);
}

static void on_identity(void *ctx, const struct tailnet_identity *identity, ts_t now)
{
    struct membership *m = ctx;

    if (!m->node_key || memcmp(m->node_key, identity->key, TAILNET_KEY_BYTES) != 0)
        make_underlay(m, identity->key, now);
    m->owner.identity(m->owner.ctx, identity, now);
}

static void on_netmap(void *ctx, const struct netmap *netmap, const struct netmap_changes *changes, ts_t now)
{
    struct membership *m = ctx;

    if (m->underlay)
        underlay_netmap(m->underlay, netmap, changes, now);
}

static void on_state(void *ctx, enum control_state state, ts_t now)
{
    struct membership *m = ctx;
    bool online = state == CONTROL_ONLINE;

    if (m->underlay && online != m->online)
        underlay_online(m->underlay, online, now);
    m->online = online && m->underlay;
}

static void on_ended(void *ctx, ts_t now)
{
    struct membership *m = ctx;

    m->owner.left(m->owner.ctx, now);
}

/* ---- the owner's side ---- */

int membership_start(struct membership *m, struct workers *workers, struct rng *rng, const struct feed_sink *sink,
                     const struct membership_owner *owner, ts_t now)
{
    const struct tailnet_events events = {.sink = *sink, .identity = on_identity, .netmap = on_netmap,
                                          .state = on_state, .ended = on_ended, .ctx = m};

    m->workers = workers;
    m->rng = rng;
    m->owner = *owner;
    m->tailnet = tailnet_new(m->loop, m->resolver, rng, &m->config->feed, m->config->state_dir, &m->files, &events, now);
    return m->tailnet ? 0 : ERR_INVALID;
}

struct feed_source *membership_source(struct membership *m)
{
    return m->tailnet ? tailnet_source(m->tailnet) : NULL;
}

struct underlay *membership_underlay(const struct membership *m)
{
    return m ? m->underlay : NULL;
}

void membership_config(struct membership *m, const struct ingress_config *config, ts_t now)
{
    m->config = config;
    if (m->tailnet)
        tailnet_config(m->tailnet, &config->feed, now);
}

void membership_leave(struct membership *m, ts_t now)
{
    if (m->tailnet)
        tailnet_log_out(m->tailnet, now);
    else if (m->owner.left)
        m->owner.left(m->owner.ctx, now);
}

void membership_free(struct membership *m)
{
    if (!m)
        return;
    tailnet_free(m->tailnet);
    underlay_free(m->underlay);
    secret_free(m->node_key);
    resolver_free(m->resolver);
    tls_free(m->relay_tls);
    tailnet_files_deinit(&m->files);
    free(m);
}
