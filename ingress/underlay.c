#include "ingress/underlay.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/crypto/secret.h"
#include "common/net/secure_stream.h"
#include "common/net/udp.h"
#include "common/tailnet/datagram.h"
#include "common/tailnet/netcheck.h"

#define STREAM_READ        16384
#define RELAY_CONNECT_NS   (10 * TS_S) /* name, TCP and TLS; the login has its own time */
#define STUN_BUSY_MIN_NS   (20 * TS_S) /* a fresh look this often while somebody is sent to … */
#define STUN_BUSY_SPAN_NS  (6 * TS_S)  /* … up to so much later, by chance */
#define STUN_IDLE_NS       (300 * TS_S)
#define SAID_AT_ONCE       20 /* log lines that relays cause; then one a second */
#define LOOKUPS_MAX        64 /* names of relays that are looked up at a time */

/* a connection to a relay */
struct stream {
    struct stream *next;
    struct underlay *underlay;
    uint16_t region;
    struct secure_stream *secure;
    bool full; /* it takes no more at the moment */
};

/* a look-up of a relay's name for STUN */
struct lookup {
    struct resolver_query query;
    struct underlay *underlay;
    struct lookup *next;
    char host[DERP_MAP_TEXT_MAX + 1];
};

struct underlay {
    struct underlay_config config;
    uint8_t node_public[KEY_BYTES];
    struct paths *paths;
    struct derps *derps;
    struct netcheck *netcheck;
    struct stream *streams;
    struct lookup *lookups;
    size_t lookups_count;
    bool names_due; /* there may be more to look up */
    struct udp_sender sender;
    uint16_t port; /* of the workers' sockets */
    struct control_endpoint endpoints[CONTROL_ENDPOINTS_MAX];
    struct control_whereabouts whereabouts;
    bool ask_due; /* nodes came to be known that workers may wait for */
    bool online, checked; /* checked: a round of netcheck is through */
    ts_t check_at;        /* the next round */
    uint64_t relayed_in, relayed_out, lost;
    struct log_limit said; /* of what relays say */
};

/* ---- mail to workers ---- */

static void post_way(struct underlay *u, const struct paths_event *event)
{
    /* whose node it is only the workers know: each looks, and all but one find nothing */
    for (unsigned i = 0; i < u->config.workers->count; i++) {
        struct way_mail *mail = malloc(sizeof(*mail));

        if (!mail)
            return;
        memcpy(mail->key, event->key, sizeof(mail->key));
        mail->count = event->way.count;
        memcpy(mail->to, event->way.to, sizeof(mail->to));
        if (!mailbox_post(u->config.workers->list[i].mailbox, MAIL_WAY, mail)) {
            free(mail); /* the next report of the worker's brings it again */
            u->lost++;
        }
    }
}

static void post_wireguard(struct underlay *u, const struct endpoint *from, const uint8_t *data, size_t len)
{
    struct datagram_mail *mail = malloc(sizeof(*mail) + len);
    uint32_t index;
    /* an initiation names nobody: any worker may open it */
    unsigned shard = wg_datagram_index(data, len, &index) ? (uint8_t)index : from->key[0];

    if (!mail)
        return;
    mail->from = *from;
    mail->len = len;
    memcpy(mail->bytes, data, len);
    u->relayed_in++;
    if (!mailbox_try(worker_of(u->config.workers, (uint8_t)shard)->mailbox, MAIL_DATAGRAM, mail)) {
        free(mail);
        u->lost++;
    }
}

/* A worker that asked for a way before its node was known here got no answer. */
static void post_ask(struct underlay *u)
{
    u->ask_due = false;
    for (unsigned i = 0; i < u->config.workers->count; i++)
        u->ask_due |= !mailbox_try(u->config.workers->list[i].mailbox, MAIL_ASK, NULL); /* once more with a later turn */
}

/* Of an initiation that no relay took WireGuard would wait five seconds for the answer. */
static void post_lost(void *ctx, const uint8_t key[PATHS_KEY_BYTES], const uint8_t *packet, size_t len)
{
    const struct underlay *u = ctx;
    uint32_t index;

    if (datagram_kind(packet, len) != DATAGRAM_WIREGUARD || wg_datagram_index(packet, len, &index))
        return;
    for (unsigned i = 0; i < u->config.workers->count; i++) {
        struct sending_mail *mail = calloc(1, sizeof(*mail));

        if (!mail)
            return;
        memcpy(mail->key, key, sizeof(mail->key));
        if (!mailbox_try(u->config.workers->list[i].mailbox, MAIL_LOST, mail))
            free(mail);
    }
}

/* ---- relays ---- */

/* say - a line about relays, as long as there are not too many: who names them, and they themselves, can cause them */
static void __attribute__((format(printf, 4, 5))) say(struct underlay *u, enum log_level level, ts_t now, const char *fmt, ...)
{
    char text[LOG_QUOTE + 100], more[40] = "";
    unsigned long unsaid;
    va_list args;

    if (!log_allowed(&u->said, now, &unsaid))
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (unsaid)
        snprintf(more, sizeof(more), " unsaid=%lu", unsaid);
    log_at(level, "relay", "%s%s", text, more);
}

static void on_relay_event(struct underlay *u, uint16_t region, const struct derp_event *event, ts_t now)
{
    char quoted[LOG_QUOTE];
    struct endpoint from;

    switch (event->kind) {
    case DERP_EVENT_PACKET:
        from = endpoint_derp(event->key, region);
        if (!paths_peer_known(u->paths, event->key))
            break;
        derps_heard(u->derps, region, now);
        if (datagram_kind(event->data, event->len) == DATAGRAM_DISCO) {
            paths_input(u->paths, event->data, event->len, &from, now);
        } else if (event->len <= TUNNEL_DATAGRAM_MAX && paths_heard(u->paths, &from, now)) {
            post_wireguard(u, &from, event->data, event->len);
        }
        break;
    case DERP_EVENT_PEER_GONE:
        paths_gone(u->paths, event->key, region, now);
        break;
    case DERP_EVENT_HEALTH:
        if (event->text[0])
            say(u, LOG_WARN, now, "event=health region=%u says=%s", region,
                log_quote(quoted, sizeof(quoted), event->text, strlen(event->text)));
        break;
    case DERP_EVENT_RESTARTING:
        say(u, LOG_INFO, now, "event=restarting region=%u", region);
        break;
    case DERP_EVENT_FAILED:
        say(u, LOG_WARN, now, "event=failed region=%u error=%s", region,
            log_quote(quoted, sizeof(quoted), event->text, strlen(event->text)));
        break;
    case DERP_EVENT_UP:
    case DERP_EVENT_NONE:
        break;
    }
}

static void on_stream_readable(void *ctx, ts_t now)
{
    struct stream *s = ctx;
    struct underlay *u = s->underlay;
    uint8_t bytes[STREAM_READ];
    size_t len = secure_stream_read(s->secure, bytes, sizeof(bytes));

    for (size_t at = 0; at < len;) {
        struct derp_event event;

        at += derps_input(u->derps, s->region, bytes + at, len - at, &event, now);
        on_relay_event(u, s->region, &event, now);
    }
}

static void on_stream_connected(void *ctx, ts_t now)
{
    (void)ctx;
    (void)now; /* what is to be said waits in its queue already */
}

static void on_stream_writable(void *ctx, ts_t now)
{
    struct stream *s = ctx;

    (void)now;
    s->full = false;
}

static void stream_free(struct stream *s)
{
    struct stream **at = &s->underlay->streams;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    secure_stream_free(s->secure);
    free(s);
}

static void on_stream_closed(void *ctx, const char *why, ts_t now)
{
    struct stream *s = ctx;
    struct underlay *u = s->underlay;
    uint16_t region = s->region;

    say(u, LOG_INFO, now, "event=closed region=%u reason=\"%s\"", region, why ? why : "by the relay");
    stream_free(s);
    derps_closed(u->derps, region, now);
}

static const struct secure_stream_events stream_events = {.connected = on_stream_connected,
                                                          .readable = on_stream_readable,
                                                          .writable = on_stream_writable,
                                                          .closed = on_stream_closed};

/* whom the certificate must be for, or which one it must be */
static bool set_verify(const struct derp_node *node, struct secure_stream_to *to)
{
    if (node->insecure) {
        to->verify = SECURE_STREAM_UNVERIFIED;
        return true;
    }
    enum derp_pin pin = derp_node_pin(node, to->pin);

    if (pin != DERP_PIN_NONE) {
        to->verify = SECURE_STREAM_PINNED;
        return pin == DERP_PIN_SET;
    }
    to->verify_name = node->cert_name[0] ? node->cert_name : NULL;
    return true;
}

/* the addresses that the map names; false: they are to be looked up */
static size_t addresses_of(const struct derp_node *node, struct addr out[2])
{
    size_t count = 0;

    if (addr_parse(node->ipv4, strlen(node->ipv4), &out[count]))
        count++;
    if (addr_parse(node->ipv6, strlen(node->ipv6), &out[count]))
        count++;
    return count;
}

static void open_stream(struct underlay *u, uint16_t region, const struct derp_node *node, ts_t now)
{
    struct stream *s = calloc(1, sizeof(*s));
    struct addr addrs[2];
    struct secure_stream_to to = {.host = node->host,
                                  .addrs = addrs,
                                  .addrs_count = addresses_of(node, addrs),
                                  .port = node->derp_port,
                                  .tls = u->config.tls,
                                  .name = node->host,
                                  .timeout_ns = RELAY_CONNECT_NS};

    if (to.addrs_count == 0)
        to.addrs = NULL;
    if (s && set_verify(node, &to)) {
        s->underlay = u;
        s->region = region;
        s->secure = secure_stream_new(u->config.loop, u->config.resolver, &to, &stream_events, s, now);
    }
    if (!s || !s->secure) {
        say(u, LOG_WARN, now, "event=failed region=%u error=\"%s\"", region, err_str(s ? ERR_INVALID : ERR_NOMEM));
        free(s);
        derps_closed(u->derps, region, now);
        return;
    }
    s->next = u->streams;
    u->streams = s;
}

static struct stream *stream_of(struct underlay *u, uint16_t region)
{
    struct stream *s = u->streams;

    while (s && s->region != region)
        s = s->next;
    return s;
}

static void act(struct underlay *u, ts_t now)
{
    struct derps_action action;
    struct derps_change change;

    while (derps_action(u->derps, &action)) {
        struct stream *s = stream_of(u, action.region);

        if (s)
            stream_free(s);
        if (action.node)
            open_stream(u, action.region, action.node, now);
    }
    while (derps_change(u->derps, &change)) {
        say(u, LOG_INFO, now, "event=%s region=%u", change.up ? "up" : "down", change.region);
        paths_region(u->paths, change.region, change.up, now);
    }
}

static void write_streams(struct underlay *u)
{
    for (struct stream *s = u->streams; s; s = s->next) {
        const uint8_t *bytes;
        size_t len;

        while (!s->full && (bytes = derps_output(u->derps, s->region, &len))) {
            size_t taken = secure_stream_write(s->secure, bytes, len);

            derps_sent(u->derps, s->region, taken);
            s->full = taken < len;
        }
    }
}

/* ---- whereabouts ---- */

static void add_endpoint(struct control_whereabouts *w, const struct addrport *at, enum control_endpoint_kind kind)
{
    for (size_t i = 0; i < w->endpoints_count; i++)
        if (addrport_equal(&w->endpoints[i].at, at))
            return;
    if (w->endpoints_count < CONTROL_ENDPOINTS_MAX)
        w->endpoints[w->endpoints_count++] = (struct control_endpoint){*at, kind};
}

static void gather(const struct underlay *u, struct control_whereabouts *w)
{
    struct addrport mapped[NETCHECK_MAPPED_MAX];
    size_t count = netcheck_mapped(u->netcheck, mapped);

    memset(w, 0, sizeof(*w));
    memcpy(w->disco, paths_disco_key(u->paths), sizeof(w->disco));
    w->home_derp = netcheck_home(u->netcheck);
    w->working_udp = count > 0;
    for (size_t i = 0; i < count; i++)
        add_endpoint(w, &mapped[i], CONTROL_ENDPOINT_STUN);
    for (size_t i = 0; i < u->config.endpoints_count; i++) {
        struct addrport at = u->endpoints[i].at;

        if (at.port == 0)
            at.port = u->port;
        add_endpoint(w, &at, u->endpoints[i].kind);
    }
}

/* our own endpoints are as fresh as they get: peers that wait are called, and the server hears of a change */
static void publish(struct underlay *u, ts_t now)
{
    struct control_whereabouts w;
    struct addrport own[CONTROL_ENDPOINTS_MAX];

    gather(u, &w);
    for (size_t i = 0; i < w.endpoints_count; i++)
        own[i] = w.endpoints[i].at;
    paths_own(u->paths, own, w.endpoints_count, now);
    if (memcmp(&w, &u->whereabouts, sizeof(w)) == 0)
        return;
    u->whereabouts = w;
    u->config.moved(u->config.ctx, &w, now);
}

static void take_news(struct underlay *u, ts_t now)
{
    unsigned news = netcheck_news(u->netcheck);

    if (news & NETCHECK_HOME) {
        say(u, LOG_INFO, now, "event=home region=%u latency_us=%llu", netcheck_home(u->netcheck),
            (unsigned long long)(netcheck_latency(u->netcheck, netcheck_home(u->netcheck), now) / TS_US));
        derps_home_set(u->derps, netcheck_home(u->netcheck), now);
    }
    if (news)
        publish(u, now);
}

static void lookup_done(struct lookup *l)
{
    struct lookup **at = &l->underlay->lookups;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    l->underlay->lookups_count--;
    free(l);
}

static void on_resolved(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now)
{
    struct lookup *l = container_of(query, struct lookup, query);
    struct underlay *u = l->underlay;

    netcheck_resolved(u->netcheck, l->host, addrs, status == 0 ? count : 0);
    if (status == 0)
        u->check_at = now;
    lookup_done(l);
}

/* look_up - some of the names; the others when these are through */
static void look_up(struct underlay *u)
{
    while (u->names_due && u->lookups_count < LOOKUPS_MAX) {
        const char *host = netcheck_unresolved(u->netcheck);
        struct lookup *l = host ? calloc(1, sizeof(*l)) : NULL;

        u->names_due = l != NULL;
        if (!l)
            return;
        l->underlay = u;
        l->query.done = on_resolved;
        snprintf(l->host, sizeof(l->host), "%s", host);
        l->next = u->lookups;
        u->lookups = l;
        u->lookups_count++;
        resolver_ask(u->config.resolver, &l->query, l->host); /* l may be gone when this returns */
    }
}

/* a round now and then, more often while somebody is sent to, and at once when a peer is to be called */
static void check(struct underlay *u, ts_t now)
{
    bool busy = paths_busy(u->paths, now);

    if (paths_freshen(u->paths))
        netcheck_start(u->netcheck, now);
    if (busy)
        u->check_at = ts_min(u->check_at, ts_add(now, STUN_BUSY_MIN_NS + rng_below(u->config.rng, STUN_BUSY_SPAN_NS)));
    if (now < u->check_at)
        return;
    netcheck_start(u->netcheck, now);
    u->names_due = true; /* those that nobody could name the last time */
    u->check_at = ts_add(now, busy ? STUN_BUSY_MIN_NS + rng_below(u->config.rng, STUN_BUSY_SPAN_NS) : STUN_IDLE_NS);
}

/* ---- datagrams out ---- */

static void send_out(struct underlay *u, ts_t now)
{
    for (;;) {
        uint8_t *room = udp_sender_room(&u->sender, PATHS_DATAGRAM_MAX);
        struct endpoint to;
        size_t len;

        if (!room) /* the socket is full: pings are for trying again */
            return;
        len = paths_output(u->paths, room, &to, now);
        if (len == 0)
            len = netcheck_output(u->netcheck, room, &to, now);
        if (len == 0)
            break;
        if (to.kind == ENDPOINT_DERP)
            derps_send(u->derps, &to, room, len, now);
        else
            udp_sender_commit(&u->sender, len, &to);
    }
    udp_sender_flush(&u->sender);
}

ts_t underlay_flush(struct underlay *u, ts_t now)
{
    struct paths_event way;
    struct derp_event event;
    uint16_t region;

    paths_expire(u->paths, now);
    netcheck_expire(u->netcheck, now);
    while (derps_expire(u->derps, &event, &region, now))
        on_relay_event(u, region, &event, now);
    uint16_t home = netcheck_home(u->netcheck);

    if (home && derps_failing(u->derps, home, now))
        netcheck_failing(u->netcheck, home, now);
    check(u, now);
    look_up(u);
    take_news(u, now);
    send_out(u, now);
    act(u, now);
    while (paths_event(u->paths, &way, now))
        post_way(u, &way);
    if (u->ask_due)
        post_ask(u);
    write_streams(u);
    return ts_min(ts_min(paths_deadline(u->paths), netcheck_deadline(u->netcheck)),
                  ts_min(derps_deadline(u->derps, now), u->check_at));
}

/* ---- what comes in ---- */

void underlay_datagram(struct underlay *u, struct datagram_mail *mail, ts_t now)
{
    switch (datagram_kind(mail->bytes, mail->len)) {
    case DATAGRAM_DISCO:
        paths_input(u->paths, mail->bytes, mail->len, &mail->from, now);
        break;
    case DATAGRAM_STUN:
        netcheck_input(u->netcheck, mail->bytes, mail->len, now);
        break;
    default:
        break;
    }
    free(mail);
}

void underlay_relay(struct underlay *u, struct datagram_mail *mail, ts_t now)
{
    u->relayed_out += derps_send(u->derps, &mail->from, mail->bytes, mail->len, now);
    free(mail);
}

void underlay_sending(struct underlay *u, struct sending_mail *mail, ts_t now)
{
    paths_sending(u->paths, mail->key, mail->lost, now);
    free(mail);
}

static void set_peer(struct underlay *u, const struct netmap_node *node, ts_t now)
{
    struct paths_peer_config config = {
        .endpoints = node->endpoints, .endpoints_count = node->endpoints_count, .home = node->home_derp};

    memcpy(config.key, node->key, sizeof(config.key));
    memcpy(config.disco, node->disco, sizeof(config.disco));
    disco_filter_add(&u->config.workers->disco_keys, config.disco);
    if (paths_peer_set(u->paths, &config, now) != 0)
        log_error("paths", "event=peer_failed error=\"%s\"", err_str(ERR_NOMEM));
}

struct visit_peers {
    struct underlay *underlay;
    ts_t now;
};

static void visit_peer(const struct netmap_node *node, void *ctx)
{
    struct visit_peers *v = ctx;

    if (!node->wireguard_only) /* it speaks WireGuard only, at endpoints of its own */
        set_peer(v->underlay, node, v->now);
}

void underlay_netmap(struct underlay *u, const struct netmap *map, const struct netmap_changes *changes, ts_t now)
{
    struct visit_peers v = {u, now};

    if (changes->derp) {
        derps_map_set(u->derps, netmap_derp(map), now);
        netcheck_map_set(u->netcheck, netmap_derp(map), now);
        u->names_due = true;
        u->check_at = now;
    }
    /* Peers are few when few changed; a removed one is no longer in the map to be named by its key, so then all are
     * gone through. */
    bool all = changes->complete;

    u->ask_due |= changes->ways;
    for (size_t i = 0; i < changes->count && !all; i++) {
        const struct netmap_node *node = netmap_peer(map, changes->ids[i]);

        if (node)
            visit_peer(node, &v);
        all = !node;
    }
    if (!all)
        return;
    disco_filter_clear(&u->config.workers->disco_keys);
    paths_sweep_begin(u->paths);
    netmap_each_peer(map, visit_peer, &v);
    paths_sweep_end(u->paths);
}

void underlay_online(struct underlay *u, bool online, ts_t now)
{
    if (u->online == online)
        return;
    u->online = online;
    netcheck_stay(u->netcheck, !online, now);
}

const struct control_whereabouts *underlay_whereabouts(const struct underlay *u)
{
    return &u->whereabouts;
}

/* ---- for people ---- */

void underlay_stats(const struct underlay *u, struct underlay_stats *out, ts_t now)
{
    struct addrport mapped[NETCHECK_MAPPED_MAX];

    *out = (struct underlay_stats){.home = netcheck_home(u->netcheck),
                                   .mapped = netcheck_mapped(u->netcheck, mapped),
                                   .relayed_in = u->relayed_in,
                                   .relayed_out = u->relayed_out,
                                   .lost = u->lost};
    out->home_latency_ns = netcheck_latency(u->netcheck, out->home, now);
    paths_stats(u->paths, &out->paths, now);
    derps_stats(u->derps, &out->derps);
}

const char *underlay_way(const struct underlay *u, const uint8_t key[PATHS_KEY_BYTES], char out[UNDERLAY_WAY], ts_t now)
{
    uint64_t latency;
    struct paths_way way = paths_way(u->paths, key, &latency, now);
    char at[ENDPOINT_STR], relay[ENDPOINT_STR];

    out[0] = 0;
    if (way.count == 0)
        return out;
    endpoint_format(&way.to[0], at);
    if (way.to[0].kind == ENDPOINT_DERP)
        snprintf(out, UNDERLAY_WAY, "relay %u", way.to[0].region);
    else if (way.count == 1)
        snprintf(out, UNDERLAY_WAY, "direct %s %llu.%llu ms", at, (unsigned long long)(latency / TS_MS),
                 (unsigned long long)(latency % TS_MS / (100 * TS_US)));
    else
        snprintf(out, UNDERLAY_WAY, "direct %s and %s", at, endpoint_format(&way.to[1], relay));
    return out;
}

void underlay_each(const struct underlay *u, void (*fn)(const uint8_t key[PATHS_KEY_BYTES], void *ctx), void *ctx)
{
    paths_each(u->paths, fn, ctx);
}

/* ---- life ---- */

static struct paths *make_paths(const struct underlay *u)
{
    struct paths_config config = {.rng = u->config.rng};

    memcpy(config.disco_private, u->config.disco_private, sizeof(config.disco_private));
    memcpy(config.node_key, u->node_public, sizeof(config.node_key));
    struct paths *paths = paths_new(&config);

    crypto_wipe(&config, sizeof(config));
    return paths;
}

struct underlay *underlay_new(const struct underlay_config *config, ts_t now)
{
    struct underlay *u = calloc(1, sizeof(*u));
    const struct worker *first = &config->workers->list[0];
    struct addrport local;

    if (!u)
        return NULL;
    u->config = *config;
    u->config.endpoints_count = MIN(config->endpoints_count, CONTROL_ENDPOINTS_MAX);
    if (u->config.endpoints_count > 0)
        memcpy(u->endpoints, config->endpoints, u->config.endpoints_count * sizeof(u->endpoints[0]));
    u->check_at = now;
    bucket_init(&u->said.bucket, 1, SAID_AT_ONCE);
    for (int i = 0; i < 2; i++)
        if (first->udp_fd[i] >= 0 && udp_local(first->udp_fd[i], &local) == 0)
            u->port = local.port;
    if (key_public(config->node_private, u->node_public) != 0 ||
        udp_sender_init(&u->sender, first->udp_fd[1], first->udp_fd[0]) != 0) {
        free(u);
        return NULL;
    }
    const struct derps_config derps = {
        .rng = config->rng, .node_private = config->node_private, .node_public = u->node_public, .lost = post_lost, .ctx = u};

    u->paths = make_paths(u);
    u->config.disco_private = NULL;
    u->derps = derps_new(&derps);
    u->netcheck = netcheck_new(config->rng);
    if (!u->paths || !u->derps || !u->netcheck) {
        underlay_free(u);
        return NULL;
    }
    gather(u, &u->whereabouts);
    atomic_store(&config->workers->tailnet, true);
    return u;
}

void underlay_free(struct underlay *u)
{
    if (!u)
        return;
    atomic_store(&u->config.workers->tailnet, false);
    while (u->streams)
        stream_free(u->streams);
    while (u->lookups) {
        resolver_cancel(&u->lookups->query);
        lookup_done(u->lookups);
    }
    paths_free(u->paths);
    derps_free(u->derps);
    netcheck_free(u->netcheck);
    udp_sender_deinit(&u->sender);
    free(u);
}
