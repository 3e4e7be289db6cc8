#include "ingress/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "common/tailnet/datagram.h"
#include "common/tailnet/disco.h"
#include "ingress/access_log.h"
#include "ingress/flow.h"
#include "ingress/front.h"
#include "ingress/link.h"
#include "ingress/metrics.h"

#define CHUNK_BYTES          16384             /* of the inner TCP's queues */
#define SPARE_CHUNKS         256               /* kept for the next stream: 4 MiB a worker */
#define SPARE_OFFERS         256               /* kept for the next visitor: 1.3 MiB */
#define RECEIVE_BATCHES      16                /* then other work gets its turn */
#define SWEEP_NS             (5 * TS_S)        /* an expired node is noticed within this */
/* Handshakes may take half the time before we are under load: 100,000 nodes that renew take a fifth of a core. */
#define HANDSHAKE_SHARE      2
#define HANDSHAKES_MEASURED  64                /* each so many the limit follows what they take */
#define HANDSHAKES_PER_S_MIN 100
#define UNDERLAY_PER_S       20000             /* 10,000 busy nodes send and answer some 7,000 pings a second */
#define UNDERLAY_BURST       4000
#define UNDERLAY_BYTES_MAX   1500              /* of a disco datagram: a ping that probes the path's MTU */
#define CONNS_MAX            (1u << 20)

struct worker *worker_of(struct workers *all, uint8_t shard)
{
    return &all->list[shard % all->count];
}

const struct route_table *worker_routes(struct worker *worker)
{
    route_reader_enter(&worker->reader);
    return worker->all->routes;
}

static void to_server(struct worker *worker, enum mail_kind kind, void *data)
{
    /* acknowledgements and the like must not be lost: the box has room for many per worker */
    if (!mailbox_post(worker->all->server, kind, data))
        log_error("worker", "event=mailbox_full kind=%d", (int)kind);
}

static void end_probe(struct worker *worker, struct probe_offer *offer, enum reason reason, const char *node,
                      const char *target, const char *detail, ts_t now)
{
    offer->reason = reason;
    offer->ended_at = now;
    snprintf(offer->node, sizeof(offer->node), "%s", node ? node : "");
    snprintf(offer->target, sizeof(offer->target), "%s", target ? target : "");
    snprintf(offer->detail, sizeof(offer->detail), "%s", detail ? detail : "");
    if (!mailbox_post(worker->all->server, MAIL_PROBED, offer))
        free(offer); /* whoever asked has a deadline */
}

void worker_end_visit(struct worker *worker, const struct visit *visit, enum reason reason, const char *node,
                      const char *target, const char *detail, ts_t now)
{
    if (visit->probe) {
        end_probe(worker, visit->probe, reason, node, target, detail, now);
        return;
    }
    const struct ingress_config_log *config = &worker->generation->config->log;

    worker->ended[reason]++;
    worker->bytes_up += visit->bytes_up;
    worker->bytes_down += visit->bytes_down;
    if (config->access == INGRESS_CONFIG_ACCESS_OFF)
        return;
    char *line = visit_log(visit, reason, node, target, detail, config->client_address, now);

    if (line)
        access_log_write(worker->all->access, line);
}

void worker_check_empty(struct worker *worker)
{
    if (!worker->draining || worker->flows || worker->flows_count > 0 || front_pending(worker->front) > 0)
        return;
    if (worker->stopping)
        loop_stop(&worker->loop);
    else
        to_server(worker, MAIL_EMPTY, worker);
}

/* ---- visitors ---- */

static void turn_away(struct worker *worker, struct visitor *v, enum reason reason, ts_t now)
{
    visitor_refuse(v, reason);
    worker_end_visit(worker, &v->visit, reason, NULL, NULL, NULL, now);
    visitor_free(v);
    worker_check_empty(worker);
}

void worker_dispatch(struct worker *worker, struct visitor *v, ts_t now)
{
    struct route_match match;
    enum route_result result = route_find(worker_routes(worker), v->route_name, strlen(v->route_name),
                                          v->route_port, loop_wall() / TS_S, &match);

    if (worker->stopping) {
        turn_away(worker, v, REASON_DRAINED, now);
        return;
    }
    if (v->deadline == TS_NEVER)
        v->deadline = ts_add(now, worker->generation->config->offer.timeout_ns);
    if (result != ROUTE_OK || v->attempt >= match.count) {
        turn_away(worker, v, result != ROUTE_OK ? reason_of_route(result) : v->last, now);
        return;
    }
    const struct route_candidate *candidate = &match.candidates[v->attempt];
    struct worker *owner = worker_of(worker->all, candidate->node->shard);

    if (owner == worker)
        flow_start(worker, v, candidate, match.count - v->attempt, now);
    else if (!mailbox_post(owner->mailbox, MAIL_VISITOR, v))
        turn_away(worker, v, REASON_LIMIT_TOTAL, now);
}

/* ---- datagrams ---- */

static void accept_half(struct worker *worker, const struct wg_half *half, ts_t now)
{
    const struct route_node *row = route_node_by_key(worker_routes(worker), half->static_public);

    /* a node that has not opted in may have a session all the same: it is offered nothing. One that was withdrawn may not */
    if (!row || row->revoked || !identity_has_key(generation_identity(worker->generation, row->tailnet), half->identity_public)) {
        worker->unknown_keys++;
        return;
    }
    struct worker *owner = worker_of(worker->all, row->shard);

    if (owner != worker) {
        struct wg_half *copy = malloc(sizeof(*copy));

        if (!copy)
            return;
        *copy = *half;
        if (!mailbox_try(owner->mailbox, MAIL_HALF, copy)) {
            wg_half_wipe(copy);
            free(copy);
        }
        worker->foreign++;
        return;
    }
    int err;
    struct link *link = link_get(worker, row, &err, now);

    if (link)
        tunnel_peer_input_half(link->peer, half, now);
}

/* Load is measured: the limit follows from what handshakes take here and now. Near the least they take, because time
 * that somebody else had the processor is not theirs: counting it, a busy machine let 300 nodes a second in. */
static void handshake_took(struct worker *worker, bool mailed, uint64_t ns)
{
    uint64_t *is = &worker->handshake_ns[mailed];

    if (*is == 0)
        *is = ns;
    *is = ns < *is ? *is - (*is - ns) / 4 : *is + MIN(ns - *is, *is) / 64;
    if (++worker->handshakes % HANDSHAKES_MEASURED != 0)
        return;
    uint64_t whole = MAX(worker->handshake_ns[0] + worker->handshake_ns[1], TS_US);
    uint64_t per_s = worker->all->count * TS_S / HANDSHAKE_SHARE / whole;

    wg_load_limit_set(worker->all->load, (uint32_t)MAX(per_s, HANDSHAKES_PER_S_MIN));
}

static void input(struct worker *worker, uint8_t *datagram, size_t len, const struct endpoint *from, ts_t now)
{
    struct wg_half half;

    if (tunnel_input(worker->tunnel, datagram, len, from, &half, now) == WG_IN_HALF) {
        accept_half(worker, &half, now);
        wg_half_wipe(&half);
    }
}

/* no index, so nobody's yet: an initiation, or noise */
static void input_initiation(struct worker *worker, uint8_t *datagram, size_t len, const struct endpoint *from)
{
    const uint64_t *verdicts = tunnel_stats(worker->tunnel)->wg;
    uint64_t answered = verdicts[WG_IN_HANDSHAKE], opened = verdicts[WG_IN_HALF];
    ts_t began = loop_now();

    input(worker, datagram, len, from, worker->received_at);
    if (verdicts[WG_IN_HANDSHAKE] != answered || verdicts[WG_IN_HALF] != opened)
        handshake_took(worker, false, ts_since(loop_now(), began));
}

static struct datagram_mail *mail_of(const uint8_t *datagram, size_t len, const struct endpoint *from)
{
    struct datagram_mail *mail = malloc(sizeof(*mail) + len);

    if (mail) {
        mail->from = *from;
        mail->len = len;
        memcpy(mail->bytes, datagram, len);
    }
    return mail;
}

/* to the main thread, unless that has enough to do already */
static void hand_down(struct worker *worker, enum mail_kind kind, const uint8_t *datagram, size_t len,
                      const struct endpoint *endpoint)
{
    struct datagram_mail *mail = mail_of(datagram, len, endpoint);

    if (!mail || !mailbox_try(worker->all->server, kind, mail)) {
        free(mail);
        worker->underlay_dropped++;
    }
}

/* true: it was disco, STUN or a peer relay's, and is dealt with */
static bool input_underlay(struct worker *worker, const uint8_t *datagram, size_t len, const struct endpoint *from)
{
    enum datagram_kind kind = datagram_kind(datagram, len);

    if (kind == DATAGRAM_WIREGUARD)
        return false;
    bool stranger = kind == DATAGRAM_DISCO && !disco_filter_has(&worker->all->disco_keys, disco_sender(datagram));

    if (kind == DATAGRAM_RELAY || stranger || len > UNDERLAY_BYTES_MAX ||
        !bucket_take(&worker->underlay, worker->received_at))
        worker->underlay_dropped++;
    else
        hand_down(worker, MAIL_UNDERLAY, datagram, len, from);
    return true;
}

static void on_datagram(void *ctx, uint8_t *datagram, size_t len, const struct endpoint *from)
{
    struct worker *worker = ctx;
    uint32_t index;

    if (atomic_load_explicit(&worker->all->tailnet, memory_order_relaxed) &&
        input_underlay(worker, datagram, len, from))
        return;

    if (!wg_datagram_index(datagram, len, &index)) {
        input_initiation(worker, datagram, len, from);
        return;
    }
    if (worker->all->count > 1) {
        struct worker *owner = worker_of(worker->all, (uint8_t)index);
        struct datagram_mail *mail = NULL;

        if (owner != worker && len <= TUNNEL_DATAGRAM_MAX && (mail = mail_of(datagram, len, from))) {
            if (!mailbox_try(owner->mailbox, MAIL_DATAGRAM, mail))
                free(mail);
            worker->foreign++;
        }
        if (owner != worker)
            return;
    }
    input(worker, datagram, len, from, worker->received_at);
}

static void on_udp(struct loop_poll *p, bool readable, bool writable, ts_t now)
{
    struct worker *worker = p->loop->ctx;
    int which = p == &worker->udp[1];

    (void)writable; /* the flush at the end of the turn sends what waits */
    if (!readable)
        return;
    worker->received_at = now;
    int rc = udp_receive(&worker->receiver, worker->udp_fd[which], RECEIVE_BATCHES, on_datagram, worker);

    if (rc < 0)
        log_error("worker", "event=udp_receive error=\"%s\"", err_str(rc));
}

/* ---- the end of a turn ---- */

/* at most once a second and node; lost, it is told again with the next */
static void tell_sending(struct worker *worker, struct tunnel_peer *peer)
{
    struct sending_mail *mail = malloc(sizeof(*mail));

    if (!mail)
        return;
    const struct link *link = tunnel_peer_owner(peer);

    memcpy(mail->key, wg_peer_key(tunnel_peer_wg(peer)), sizeof(mail->key));
    mail->lost = !link->guided;
    if (!mailbox_post(worker->all->server, MAIL_SENDING, mail))
        free(mail);
}

static void ask_again(struct map_node *node, void *ctx)
{
    struct link *link = container_of(node, struct link, by_id);

    if (!link->guided && link->row->endpoints_count == 0)
        tell_sending(ctx, link->peer);
}

static void take_events(struct worker *worker, ts_t now)
{
    struct tunnel_event event;

    while (tunnel_event(worker->tunnel, &event, now)) {
        if (event.kind == TUNNEL_EVENT_SENDING)
            tell_sending(worker, event.peer);
        else if (event.kind != TUNNEL_EVENT_TCP)
            link_event(tunnel_peer_owner(event.peer), event.kind, now);
        else if (event.tcp.ctx)
            flow_event(event.tcp.ctx, &event.tcp, now);
        else if (event.peer)
            warm_event(&worker->warm, ((struct link *)tunnel_peer_owner(event.peer))->warm, &event.tcp, now);
    }
}

static void send_all(struct worker *worker, ts_t now)
{
    uint64_t wall = loop_wall();
    uint8_t *room;

    while ((room = udp_sender_room(&worker->sender, TUNNEL_DATAGRAM_MAX))) {
        struct endpoint to;
        size_t len = tunnel_output(worker->tunnel, room, TUNNEL_DATAGRAM_MAX, &to, now, wall);

        if (len == 0)
            break;
        if (to.kind == ENDPOINT_DERP)
            hand_down(worker, MAIL_RELAY, room, len, &to);
        else
            udp_sender_commit(&worker->sender, len, &to);
    }
    bool sent = udp_sender_flush(&worker->sender);

    for (int i = 0; i < 2; i++)
        if (worker->udp_fd[i] >= 0)
            loop_poll_set(&worker->udp[i], UV_READABLE | (sent ? 0 : UV_WRITABLE));
}

static ts_t flush(void *ctx, ts_t now)
{
    struct worker *worker = ctx;

    tunnel_expire(worker->tunnel, now);
    take_events(worker, now);
    send_all(worker, now);
    take_events(worker, now); /* what sending made known (room in a queue) */
    route_reader_leave(&worker->reader);
    return tunnel_deadline(worker->tunnel);
}

/* ---- generations ---- */

static bool wanted(const struct worker *worker, const uint8_t public_key[WG_KEY_BYTES])
{
    const struct generation *g = worker->generation;

    for (size_t i = 0; i < g->identities_count; i++)
        if (identity_has_key(&g->identities[i], public_key))
            return true;
    return false;
}

static void add_identity(struct worker *worker, const char *name, const uint8_t public_key[WG_KEY_BYTES],
                         const uint8_t *private_key)
{
    for (size_t i = 0; i < worker->identities_count; i++)
        if (memcmp(worker->identities[i], public_key, WG_KEY_BYTES) == 0)
            return;
    int rc = wg_identity_add(tunnel_wg(worker->tunnel), private_key);

    if (rc == 0)
        memcpy(worker->identities[worker->identities_count++], public_key, WG_KEY_BYTES);
    else if (rc == ERR_FULL)
        log_info("worker", "event=identity_waits identity=\"%s\" note=\"for the streams of an old key to end\"", name);
    else
        log_error("worker", "event=identity_failed identity=\"%s\" error=\"%s\"", name, err_str(rc));
}

void worker_identities(struct worker *worker)
{
    const struct generation *g = worker->generation;

    for (size_t i = worker->identities_count; i-- > 0;)
        if (!wanted(worker, worker->identities[i]) &&
            wg_identity_remove(tunnel_wg(worker->tunnel), worker->identities[i]) != ERR_WRONG_STATE)
            memcpy(worker->identities[i], worker->identities[--worker->identities_count], WG_KEY_BYTES);
    for (size_t i = 0; i < g->identities_count; i++) {
        const struct identity *id = &g->identities[i];

        if (!id->private_key)
            continue;
        add_identity(worker, id->name, id->public_key, id->private_key);
        if (id->has_previous)
            add_identity(worker, id->name, id->previous_public, id->previous_private);
    }
}

static void use_generation(struct worker *worker, struct generation *generation, ts_t now)
{
    struct generation *old = worker->generation;
    const struct ingress_config_stream *stream = &generation->config->stream;

    worker->generation = generation;
    worker->relay.half_close =
        stream->half_close == INGRESS_CONFIG_HALF_CLOSE_PROPAGATE ? RELAY_PROPAGATE : RELAY_HOLD;
    worker->relay.hold_ns = stream->half_close_timeout_ns;
    worker->relay.idle_ns = stream->idle_timeout_ns;
    worker_identities(worker); /* the new ones, for links that follow them */
    links_generation(worker, now);
    worker_identities(worker); /* and without those that no link has now */
    front_generation(worker->front, generation);
    generation_put(old); /* the first one comes twice: from worker_init and by mail, each with a reference */
}

/* ---- mail ---- */

static void stop(struct worker *worker, ts_t now)
{
    worker->draining = worker->stopping = true;
    warm_close_all(&worker->warm, now);
    front_stop(worker->front, now);
    while (worker->flows) {
        struct flow *f = worker->flows;
        size_t before = worker->flows_count;

        /* offers end at once; relays end from the loop, one after another */
        for (struct flow *next; f; f = next) {
            next = f->next;
            flow_stop(f, REASON_DRAINED, now);
        }
        if (worker->flows_count == before)
            break;
    }
    worker_check_empty(worker);
}

static void on_listener_mail(struct worker *worker, struct listener_mail *mail)
{
    int rc = front_listen(worker->front, mail->fd, mail->address);

    if (rc != 0) {
        log_error("worker", "event=listen_failed listener=%s error=\"%s\"", mail->address, err_str(rc));
        close(mail->fd);
    }
    free(mail);
}

static void on_datagram_mail(struct worker *worker, struct datagram_mail *mail, ts_t now)
{
    if (!worker->stopping)
        input(worker, mail->bytes, mail->len, &mail->from, now);
    free(mail);
}

static void on_half_mail(struct worker *worker, struct wg_half *half, ts_t now)
{
    if (!worker->stopping) {
        accept_half(worker, half, now);
        handshake_took(worker, true, ts_since(loop_now(), now));
    }
    wg_half_wipe(half);
    free(half);
}

static void on_mail(void *ctx, const struct mail *mail)
{
    struct worker *worker = ctx;
    ts_t now = loop_now();

    switch ((enum mail_kind)mail->kind) {
    case MAIL_GENERATION:
        use_generation(worker, mail->data, now);
        to_server(worker, MAIL_READY, worker);
        break;
    case MAIL_LISTENER:
        on_listener_mail(worker, mail->data);
        break;
    case MAIL_VISITOR:
        worker_dispatch(worker, mail->data, now);
        break;
    case MAIL_DATAGRAM:
        on_datagram_mail(worker, mail->data, now);
        break;
    case MAIL_HALF:
        on_half_mail(worker, mail->data, now);
        break;
    case MAIL_CLOSE_LISTENERS:
        front_close_listeners(worker->front, now);
        worker->draining = true;
        warm_close_all(&worker->warm, now);
        to_server(worker, MAIL_READY, worker);
        worker_check_empty(worker);
        break;
    case MAIL_STAMP:
        wg_device_stamp_floor_set(tunnel_wg(worker->tunnel), *(uint64_t *)mail->data);
        free(mail->data);
        break;
    case MAIL_CALL:
        links_call(worker, mail->data, now);
        break;
    case MAIL_NODE_CHANGED:
        links_changed(worker, mail->data, now);
        break;
    case MAIL_NODE_REMOVED:
        links_removed(worker, mail->data, now);
        break;
    case MAIL_NODE_REVOKED:
        links_revoked(worker, mail->data, now);
        break;
    case MAIL_SAMPLE:
        metrics_take(&((struct metrics_mail *)mail->data)->sample, worker);
        to_server(worker, MAIL_SAMPLED, mail->data);
        break;
    case MAIL_WAY:
        link_guide(worker, mail->data, now);
        free(mail->data);
        break;
    case MAIL_LOST:
        link_lost(worker, mail->data, now);
        free(mail->data);
        break;
    case MAIL_ASK:
        map_each(&worker->links, ask_again, worker);
        break;
    case MAIL_STOP:
        stop(worker, now);
        break;
    case MAIL_UNDERLAY:
    case MAIL_RELAY:
    case MAIL_SENDING:
    case MAIL_READY:
    case MAIL_EMPTY:
    case MAIL_PROBED:
    case MAIL_SAMPLED:
    case MAIL_HEARD:
        WARN_ON(true); /* the server's */
        break;
    }
}

/* ---- life ---- */

static void on_sweep(struct loop_timer *t, ts_t now)
{
    struct worker *worker = container_of(t, struct worker, sweep);

    links_sweep(worker, now);
    warm_expire(&worker->warm, now);
    worker_identities(worker);
    loop_timer_arm(&worker->loop, t, ts_add(now, SWEEP_NS));
}

static int make_tunnel(struct worker *worker)
{
    const struct ingress_config *c = worker->generation->config;
    size_t chunks = MAX(c->limits.buffer_memory_bytes / CHUNK_BYTES / worker->all->count, 64);
    struct tunnel_config config = {.wg = {.rng = &worker->rng, .load = worker->all->load}};

    memcpy(config.wg.cookie_seed, worker->all->cookie_seed, sizeof(config.wg.cookie_seed));
    pool_init(&worker->pool, CHUNK_BYTES, chunks, SPARE_CHUNKS);
    pool_init(&worker->offers, sizeof(struct offer), CONNS_MAX, SPARE_OFFERS);
    tcp_config_default(&config.tcp);
    config.tcp.rng = &worker->rng;
    config.tcp.pool = &worker->pool;
    config.tcp.conns_max = CONNS_MAX;
    config.tcp.congestion = c->tcp.congestion;
    worker->tunnel = tunnel_new(&config);
    return worker->tunnel ? 0 : ERR_NOMEM;
}

static int watch_udp(struct worker *worker, int which, int fd)
{
    worker->udp_fd[which] = fd;
    if (fd < 0)
        return 0;
    int rc = loop_poll_init(&worker->loop, &worker->udp[which], fd, on_udp);

    if (rc == 0)
        loop_poll_set(&worker->udp[which], UV_READABLE);
    return rc;
}

void worker_free(struct worker *worker)
{
    ts_t now = loop_now();

    mailbox_close(worker->mailbox); /* what is left is refused: we are stopping */
    for (int i = 0; i < 2; i++)
        if (worker->udp_fd[i] >= 0) {
            loop_poll_close(&worker->udp[i], NULL);
            close(worker->udp_fd[i]);
        }
    loop_timer_arm(&worker->loop, &worker->sweep, TS_NEVER);
    links_free(worker, now);
    tunnel_free(worker->tunnel);
    pool_deinit(&worker->pool);
    pool_deinit(&worker->offers);
    udp_sender_deinit(&worker->sender);
    udp_receiver_deinit(&worker->receiver);
    worker->loop.flush = NULL;
    loop_deinit(&worker->loop);
    front_free(worker->front);
    generation_put(worker->generation);
    route_reader_deinit(&worker->reader);
}

static void *run(void *arg)
{
    struct worker *worker = arg;

    loop_timer_arm(&worker->loop, &worker->sweep, ts_add(loop_now(), SWEEP_NS));
    loop_run(&worker->loop);
    return NULL;
}

int worker_init(struct worker *worker, struct workers *all, unsigned index, struct generation *generation, int udp4,
                int udp6)
{
    memset(worker, 0, sizeof(*worker));
    worker->index = index;
    worker->all = all;
    worker->generation = generation_get(generation);
    route_reader_init(&worker->reader, route_table_epoch(all->routes));
    crypto_rng(&worker->rng);
    rng_fill(&worker->rng, &worker->seed, sizeof(worker->seed));
    map_init(&worker->links);
    list_init(&worker->retired);
    timerq_init(&worker->expiries);
    warm_pool_init(&worker->warm);
    bucket_init(&worker->underlay, UNDERLAY_PER_S, UNDERLAY_BURST);
    loop_timer_init(&worker->sweep, on_sweep);
    worker->mailbox = NULL;
    int rc = loop_init(&worker->loop, flush, worker);

    /* a server that can't start ends with its process: what was made so far goes with it */
    if (rc != 0 || (rc = make_tunnel(worker)) != 0 || (rc = watch_udp(worker, 0, udp6)) != 0 ||
        (rc = watch_udp(worker, 1, udp4)) != 0 || (rc = udp_receiver_init(&worker->receiver)) != 0 ||
        (rc = udp_sender_init(&worker->sender, udp4, udp6)) != 0)
        return rc;
    worker->mailbox = mailbox_new(&worker->loop.uv, on_mail, worker);
    worker->front = front_new(worker);
    return worker->mailbox && worker->front ? 0 : ERR_NOMEM;
}

int worker_start(struct worker *worker)
{
    return -pthread_create(&worker->thread, NULL, run, worker);
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}
