#include "ingress/link.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "ingress/flow.h"

#define EXPIRED_AGAIN_S 3600 /* an expired node is looked at again, should the wall clock have been wrong */

static uint64_t id_hash(const struct worker *worker, const char *id)
{
    return map_hash(&worker->seed, id, strlen(id));
}

static struct link *find(const struct worker *worker, const char *id)
{
    for (struct map_node *n = map_first(&worker->links, id_hash(worker, id)); n; n = map_next(n)) {
        struct link *link = container_of(n, struct link, by_id);

        if (strcmp(link->row->id, id) == 0)
            return link;
    }
    return NULL;
}

/* nodes behind NAT call us and name no endpoint: only our keepalives tell them that we are still there */
static uint64_t keepalive_of(const struct worker *worker, const struct route_node *row, bool guided)
{
    bool needed = row->keepalive || (row->endpoints_count == 0 && !guided);

    return needed ? worker->generation->config->wireguard.keepalive_ns : 0;
}

static size_t endpoints_of(const struct route_node *row, struct endpoint out[TUNNEL_ENDPOINTS_MAX])
{
    size_t count = MIN(row->endpoints_count, TUNNEL_ENDPOINTS_MAX);

    for (size_t i = 0; i < count; i++)
        out[i] = (struct endpoint){.kind = ENDPOINT_UDP, .remote = row->endpoints[i]};
    return count;
}

static void peer_config(const struct worker *worker, const struct route_node *row, const struct identity *identity,
                        struct link *link, struct tunnel_peer_config *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->key, row->key, WG_KEY_BYTES);
    if (row->preshared_key)
        memcpy(out->preshared_key, row->preshared_key, WG_KEY_BYTES);
    memcpy(out->identity, identity->public_key, WG_KEY_BYTES);
    out->addrs_count = MIN(row->addresses_count, TUNNEL_ADDRS_MAX);
    memcpy(out->addrs, row->addresses, out->addrs_count * sizeof(struct addr));
    out->own_addrs_count = identity->addrs_count;
    memcpy(out->own_addrs, identity->addrs, identity->addrs_count * sizeof(struct addr));
    out->endpoints_count = endpoints_of(row, out->endpoints);
    out->mtu = row->mtu;
    out->keepalive_ns = keepalive_of(worker, row, false);
    /* who has no endpoint calls us, or is a tailnet's and found by disco */
    out->reports = row->endpoints_count == 0 && worker->generation->config->feed.type == INGRESS_CONFIG_FEED_TAILNET;
    out->shard = row->shard;
    out->owner = link;
}

/* the main thread keeps it for the next start; what is lost is told with the next session */
static void tell_heard(struct link *link, const struct addrport *at)
{
    struct call_mail *mail = malloc(sizeof(*mail));

    if (!mail)
        return;
    *mail = (struct call_mail){route_node_get(link->row), *at};
    if (mailbox_try(link->worker->all->server, MAIL_HEARD, mail))
        return;
    route_node_put(mail->node);
    free(mail);
}

void link_event(struct link *link, enum tunnel_event_kind kind, ts_t now)
{
    static const char *const names[] = {
        [TUNNEL_EVENT_UP] = "up", [TUNNEL_EVENT_DOWN] = "down", [TUNNEL_EVENT_GAVE_UP] = "gave_up"};
    char at[ENDPOINT_STR];
    struct endpoint e = tunnel_peer_endpoint(link->peer);

    (void)now;
    link->lost = false;
    /* a guided one is found by disco, and called elsewhere first it would wait for WireGuard's next try */
    if (kind == TUNNEL_EVENT_UP && e.kind == ENDPOINT_UDP && !link->guided)
        tell_heard(link, &e.remote);
    log_info("session", "event=%s node=\"%s\" endpoint=%s", names[kind], link->row->id, endpoint_format(&e, at));
}

/* Not by the relay once more, nor beside it: that would be lost again, and go in a circle of 30 ms. */
static void again_if_direct(struct link *link, ts_t now)
{
    if (!link->lost || !link->direct)
        return;
    link->lost = false;
    tunnel_peer_initiation_lost(link->peer, now);
}

void link_lost(struct worker *worker, const struct sending_mail *lost, ts_t now)
{
    struct tunnel_peer *peer = tunnel_peer_find(worker->tunnel, lost->key);
    struct link *link = peer ? tunnel_peer_owner(peer) : NULL;

    if (!link)
        return;
    link->lost = true;
    again_if_direct(link, now);
}

void link_guide(struct worker *worker, const struct way_mail *way, ts_t now)
{
    struct tunnel_peer *peer = tunnel_peer_find(worker->tunnel, way->key);
    struct link *link = peer ? tunnel_peer_owner(peer) : NULL;
    char at[ENDPOINT_STR];

    if (!link)
        return;
    log_debug("path", "node=\"%s\" ways=%zu first=%s", link->row->id, way->count,
              way->count ? endpoint_format(&way->to[0], at) : "");
    tunnel_peer_guide(peer, way->to, way->count);
    link->direct = way->count == 1 && way->to[0].kind == ENDPOINT_UDP;
    again_if_direct(link, now);
    if (link->guided)
        return;
    link->guided = true;
    tunnel_peer_keepalive_set(peer, keepalive_of(worker, link->row, true), now);
}

size_t link_flows_max(const struct worker *worker, const struct route_node *row)
{
    return row->connections_max ? row->connections_max : worker->generation->config->limits.connections_per_node;
}

static void close_warm(struct link *link, ts_t now)
{
    if (link->warm)
        warm_close(&link->worker->warm, link->warm, now);
}

struct tcp_conn *link_take(struct link *link, ts_t now)
{
    struct worker *worker = link->worker;

    if (worker->generation->config->offer.warm == 0 || (!link->warm && !(link->warm = warm_node_new())))
        return NULL;
    /* with the session the node may have gone, and be another process when it is back */
    if (!wg_peer_can_send(tunnel_peer_wg(link->peer), now))
        close_warm(link, now);
    return warm_take(&worker->warm, link->warm);
}

/* how many connections it may have ahead: no more than there may be visitors */
static size_t warm_max(const struct link *link)
{
    size_t max = link_flows_max(link->worker, link->row);
    size_t left = max > link->flows_count ? max - link->flows_count : 0;

    return MIN(link->worker->generation->config->offer.warm, left);
}

void link_accepted(struct link *link, bool v4, ts_t now)
{
    struct worker *worker = link->worker;
    const struct route_node *row = link->row;
    uint16_t port = v4 ? row->peerapi4 : row->peerapi6;

    /* a plain connection would show at the service at once */
    if (!link->warm || row->transport == ROUTE_TCP || port == 0 || link->retired || worker->draining)
        return;
    for (size_t n = warm_accepted(&worker->warm, link->warm, warm_max(link), now); n > 0; n--) {
        int err;
        struct tcp_conn *conn = tunnel_connect(link->peer, v4, port, NULL, &err, now);

        if (!conn || !warm_add(&worker->warm, link->warm, conn, now))
            break; /* the next offer tries again */
    }
}

void link_stale(struct link *link, ts_t now)
{
    link->worker->warm.stale++;
    close_warm(link, now);
}

static void link_free(struct link *link, ts_t now)
{
    BUG_ON(link->flows || (link->warm && link->warm->count > 0));
    free(link->warm);
    tunnel_peer_free(link->peer, now);
    generation_put(link->generation);
    route_node_put(link->row);
    free(link);
}

/* Nothing is left of it: no flow, nor a connection that has bytes to deliver or an end to say, to a node that hears it. A
 * node that is not told keeps its side of a stream, and the service behind it, for hours. */
static bool over(const struct link *link, ts_t now)
{
    return !link->flows &&
           (tunnel_peer_conns(link->peer) == 0 || !wg_peer_can_send(tunnel_peer_wg(link->peer), now));
}

/* no new offers */
static void retire(struct link *link, ts_t now)
{
    struct worker *worker = link->worker;

    map_remove(&worker->links, &link->by_id);
    timerq_disarm(&worker->expiries, &link->expiry);
    close_warm(link, now);
    if (over(link, now)) {
        link_free(link, now);
        return;
    }
    link->retired = true;
    list_init(&link->of_retired);
    list_append(&worker->retired, &link->of_retired);
}

static void retired_free(struct link *link, ts_t now)
{
    struct worker *worker = link->worker;

    list_remove(&link->of_retired);
    link_free(link, now);
    if (!worker->stopping)
        worker_identities(worker); /* its key may have been the last thing an old identity was kept for */
}

void link_put(struct link *link, ts_t now)
{
    if (link->retired && over(link, now)) /* else the sweep looks again */
        retired_free(link, now);
}

static void stop_flows(struct link *link, enum reason reason, ts_t now)
{
    struct flow *next;

    for (struct flow *f = link->flows; f; f = next) {
        next = f->link_next;
        flow_stop(f, reason, now);
    }
}

/* the same peer can go on: key, identity and inner addresses did not change */
static bool same_peer(const struct link *link, const struct route_node *row, const struct identity *identity)
{
    const struct route_node *old = link->row;
    const struct identity *was = generation_identity(link->generation, old->tailnet);
    bool psk_same = !old->preshared_key == !row->preshared_key &&
                    (!row->preshared_key || crypto_equal(old->preshared_key, row->preshared_key, WG_KEY_BYTES));

    return memcmp(old->key, row->key, WG_KEY_BYTES) == 0 && psk_same && old->mtu == row->mtu &&
           identity_has_key(identity, link->identity) && old->addresses_count == row->addresses_count &&
           memcmp(old->addresses, row->addresses, row->addresses_count * sizeof(struct addr)) == 0 &&
           was->addrs_count == identity->addrs_count &&
           memcmp(was->addrs, identity->addrs, identity->addrs_count * sizeof(struct addr)) == 0;
}

/* from here on the link goes by this row and the worker's present generation */
static void adopt(struct link *link, const struct route_node *row)
{
    struct worker *worker = link->worker;
    const struct route_node *was = link->row;

    link->row = route_node_get(row);
    route_node_put(was); /* after: it may be the same */
    generation_put(link->generation);
    link->generation = generation_get(worker->generation);
    timerq_arm(&worker->expiries, &link->expiry, row->expires ? row->expires : TS_NEVER);
}

/* On a tailnet the server tells nodes our new key at once, and the old one is nobody's then. Where an operator changes
 * keys, nodes may know the old one only, and it goes on while it is there. */
static void follow_identity(struct link *link, const struct route_node *row, ts_t now)
{
    const struct generation *g = link->worker->generation;
    const struct identity *identity = generation_identity(g, row->tailnet);

    if (g->config->feed.type == INGRESS_CONFIG_FEED_TAILNET &&
        tunnel_peer_identity_set(link->peer, identity->public_key, now) == 0)
        memcpy(link->identity, identity->public_key, WG_KEY_BYTES);
}

static void refresh(struct link *link, const struct route_node *row, ts_t now)
{
    struct worker *worker = link->worker;
    struct endpoint endpoints[TUNNEL_ENDPOINTS_MAX];
    size_t count = endpoints_of(row, endpoints);
    const struct route_node *was = link->row;

    bool moved = row->transport != was->transport || row->peerapi4 != was->peerapi4 || row->peerapi6 != was->peerapi6;

    if (moved || (link->warm && link->warm->count > worker->generation->config->offer.warm))
        close_warm(link, now);
    tunnel_peer_endpoints_set(link->peer, endpoints, count);
    tunnel_peer_keepalive_set(link->peer, keepalive_of(worker, row, link->guided), now);
    follow_identity(link, row, now);
    adopt(link, row);
}

static struct link *retired_by_key(struct worker *worker, const uint8_t key[WG_KEY_BYTES])
{
    struct tunnel_peer *peer = tunnel_peer_find(worker->tunnel, key);
    struct link *link = peer ? tunnel_peer_owner(peer) : NULL;

    return link && link->retired ? link : NULL;
}

/* a node that was removed and is back while old streams still live: its peer is there already */
static struct link *revive(struct worker *worker, const struct route_node *row, const struct identity *identity,
                           ts_t now)
{
    struct link *link = retired_by_key(worker, row->key);

    if (!link)
        return NULL;
    if (!same_peer(link, row, identity)) {
        stop_flows(link, REASON_NODE_LOST, now); /* in its way: the key can have one peer only */
        link = retired_by_key(worker, row->key);
        if (link && !link->flows)
            retired_free(link, now);
        return NULL;
    }
    list_remove(&link->of_retired);
    link->retired = false;
    refresh(link, row, now);
    map_insert(&worker->links, &link->by_id, id_hash(worker, row->id));
    return link;
}

struct link *link_get(struct worker *worker, const struct route_node *row, int *err, ts_t now)
{
    struct link *link = find(worker, row->id);
    struct tunnel_peer_config config;

    *err = 0;
    if (link)
        return link;
    row = route_table_watch(worker->all->routes, row);
    if (!row || row->revoked) {
        *err = ERR_NOT_FOUND;
        return NULL;
    }
    const struct identity *identity = generation_identity(worker->generation, row->tailnet);

    link = revive(worker, row, identity, now);
    if (link)
        return link;
    *err = ERR_NOMEM;
    link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->worker = worker;
    timer_init(&link->expiry);
    memcpy(link->identity, identity->public_key, WG_KEY_BYTES);
    peer_config(worker, row, identity, link, &config);
    link->peer = tunnel_peer_new(worker->tunnel, &config, err, now);
    crypto_wipe(&config, sizeof(config));
    if (!link->peer) {
        log_warn("node", "event=peer_failed node=\"%s\" error=\"%s\"", row->id, err_str(*err));
        free(link);
        return NULL;
    }
    adopt(link, row);
    map_insert(&worker->links, &link->by_id, id_hash(worker, row->id));
    return link;
}

/* the opt-in is gone, or the node expired: no new offers by the route table, and by config an end to live streams */
static void withdraw(struct link *link, ts_t now)
{
    close_warm(link, now);
    if (!link->flows || link->worker->generation->config->feed.revoked_streams != INGRESS_CONFIG_REVOKED_END)
        return;
    log_info("node", "event=revoked node=\"%s\" flows=%zu", link->row->id, link->flows_count);
    stop_flows(link, REASON_REVOKED, now);
}

static bool closed(const struct route_node *row)
{
    return !route_node_open(row, loop_wall() / TS_S);
}

static void remove_node(struct link *link, ts_t now)
{
    log_info("node", "event=removed node=\"%s\" flows=%zu", link->row->id, link->flows_count);
    retire(link, now);
}

static const struct route_node *row_now(struct worker *worker, const char *id)
{
    return route_node_by_id(worker_routes(worker), id, strlen(id));
}

/* the row or the generation is another one */
static void renew(struct link *link, const struct route_node *row, ts_t now)
{
    struct worker *worker = link->worker;

    if (closed(row))
        withdraw(link, now);
    if (same_peer(link, row, generation_identity(worker->generation, row->tailnet))) {
        refresh(link, row, now);
    } else {
        /* another key, or other inner addresses: nothing of the old session can serve the node any more */
        log_info("node", "event=replaced node=\"%s\" flows=%zu", link->row->id, link->flows_count);
        stop_flows(link, REASON_NODE_LOST, now);
        retire(link, now);
    }
}

void links_changed(struct worker *worker, const struct route_node *row, ts_t now)
{
    struct link *link = find(worker, row->id);
    const struct route_node *is = link ? row_now(worker, row->id) : NULL;

    if (is && is != link->row) /* without: it has left meanwhile, and that mail is on its way */
        renew(link, is, now);
    route_node_put(row);
}

void links_removed(struct worker *worker, const struct route_node *row, ts_t now)
{
    struct link *link = find(worker, row->id);

    if (link)
        remove_node(link, now);
    route_node_put(row);
}

void links_revoked(struct worker *worker, const struct route_node *row, ts_t now)
{
    struct link *link = find(worker, row->id);

    /* streams of a life before: it was removed with them, and came back as another peer */
    for (struct list *l = worker->retired.next, *next; l != &worker->retired; l = next) {
        struct link *old = container_of(l, struct link, of_retired);

        next = l->next; /* an old one goes with its last flow */
        if (strcmp(old->row->id, row->id) == 0)
            withdraw(old, now);
    }
    if (link) {
        const struct route_node *is = row_now(worker, row->id);

        withdraw(link, now);
        is = is && !is->revoked ? route_table_watch(worker->all->routes, is) : NULL; /* back already: nobody watches it yet */
        if (!is || is->revoked)
            remove_node(link, now);
        else if (is != link->row)
            renew(link, is, now);
    }
    route_node_put(row);
}

void links_call(struct worker *worker, struct call_mail *mail, ts_t now)
{
    const struct route_node *row = row_now(worker, mail->node->id);
    int err;
    struct link *link = row && !worker->stopping && !find(worker, row->id) ? link_get(worker, row, &err, now) : NULL;

    if (link) { /* else it is here already, or gone */
        struct endpoint endpoints[TUNNEL_ENDPOINTS_MAX];
        size_t count = MIN(endpoints_of(row, endpoints), TUNNEL_ENDPOINTS_MAX - 1);

        endpoints[count++] = (struct endpoint){.kind = ENDPOINT_UDP, .remote = mail->at};
        tunnel_peer_endpoints_set(link->peer, endpoints, count);
        tunnel_peer_initiate(link->peer, now);
    }
    route_node_put(mail->node);
    free(mail);
}

static void on_generation(struct link *link, ts_t now)
{
    const struct route_node *row = row_now(link->worker, link->row->id);

    if (row) /* else its mail is on its way */
        renew(link, row, now);
}

struct collect {
    struct link **links;
    size_t count;
};

static void collect(struct map_node *node, void *ctx)
{
    struct collect *c = ctx;

    c->links[c->count++] = container_of(node, struct link, by_id);
}

/* every link once, while fn may take it out of the map */
static void each(struct worker *worker, void (*fn)(struct link *link, ts_t now), ts_t now)
{
    struct collect c = {.links = calloc(worker->links.count + 1, sizeof(struct link *))};

    if (!c.links) {
        log_error("node", "event=sweep_failed error=\"%s\"", err_str(ERR_NOMEM));
        return;
    }
    map_each(&worker->links, collect, &c);
    for (size_t i = 0; i < c.count; i++)
        fn(c.links[i], now);
    free(c.links);
}

void links_generation(struct worker *worker, ts_t now)
{
    each(worker, on_generation, now);
}

void links_sweep(struct worker *worker, ts_t now)
{
    uint64_t unix_now = loop_wall() / TS_S;
    struct timer *t;

    while ((t = timerq_pop(&worker->expiries, unix_now))) {
        struct link *link = container_of(t, struct link, expiry);

        if (closed(link->row))
            withdraw(link, now);
        timerq_arm(&worker->expiries, t, unix_now + EXPIRED_AGAIN_S);
    }
    for (struct list *l = worker->retired.next, *next; l != &worker->retired; l = next) {
        next = l->next;
        link_put(container_of(l, struct link, of_retired), now);
    }
}

void links_free(struct worker *worker, ts_t now)
{
    struct map_node *n;
    struct list *l;

    while ((n = map_any(&worker->links)))
        retire(container_of(n, struct link, by_id), now);
    while ((l = list_first(&worker->retired)))
        retired_free(container_of(l, struct link, of_retired), now);
    map_deinit(&worker->links);
}
