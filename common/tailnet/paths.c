/* paths.c - the peers by node key and by disco key, what comes in, and what goes out. */
#include "common/tailnet/paths.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/tailnet/paths_priv.h"

#define SAME_DISCO_MAX 16 /* nodes with one disco key that are looked at: it names a machine, which may be several nodes */

/* ---- peers ---- */

static uint64_t hash_of(const struct paths *paths, const uint8_t key[32])
{
    return map_hash(&paths->seed, key, 32);
}

static struct paths_peer *by_key(const struct paths *paths, const uint8_t key[PATHS_KEY_BYTES])
{
    for (struct map_node *n = map_first(&paths->peers, hash_of(paths, key)); n; n = map_next(n)) {
        struct paths_peer *peer = container_of(n, struct paths_peer, by_key);

        if (memcmp(peer->key, key, PATHS_KEY_BYTES) == 0)
            return peer;
    }
    return NULL;
}

/* all peers with that disco key, at most SAME_DISCO_MAX */
static size_t by_disco(const struct paths *paths, const uint8_t disco[DISCO_KEY_BYTES],
                       struct paths_peer *out[SAME_DISCO_MAX])
{
    size_t count = 0;

    for (struct map_node *n = map_first(&paths->discos, hash_of(paths, disco)); n && count < SAME_DISCO_MAX;
         n = map_next(n)) {
        struct paths_peer *peer = container_of(n, struct paths_peer, by_disco);

        if (memcmp(peer->disco, disco, DISCO_KEY_BYTES) == 0)
            out[count++] = peer;
    }
    return count;
}

bool paths_peer_known(const struct paths *paths, const uint8_t key[PATHS_KEY_BYTES])
{
    return by_key(paths, key) != NULL;
}

static bool endpoints_same(const struct paths_peer *peer, const struct paths_peer_config *config, size_t count)
{
    if (peer->endpoints_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!addrport_equal(&peer->endpoints[i], &config->endpoints[i]))
            return false;
    return true;
}

/* 1: they changed; 0: they did not; or ERR_NOMEM */
static int endpoints_set(struct paths_peer *peer, const struct paths_peer_config *config)
{
    size_t count = MIN(config->endpoints_count, PATHS_CANDIDATES_MAX);
    struct addrport *copy = NULL;

    if (endpoints_same(peer, config, count))
        return 0;
    if (count > 0) {
        copy = malloc(count * sizeof(*copy));
        if (!copy)
            return ERR_NOMEM;
        memcpy(copy, config->endpoints, count * sizeof(*copy));
    }
    free(peer->endpoints);
    peer->endpoints = copy;
    peer->endpoints_count = (uint8_t)count;
    return 1;
}

static int peer_new(struct paths *paths, const struct paths_peer_config *config)
{
    struct paths_peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return ERR_NOMEM;
    memcpy(peer->key, config->key, PATHS_KEY_BYTES);
    memcpy(peer->disco, config->disco, DISCO_KEY_BYTES);
    peer->home = config->home;
    if (endpoints_set(peer, config) < 0) {
        free(peer);
        return ERR_NOMEM;
    }
    map_insert(&paths->peers, &peer->by_key, hash_of(paths, peer->key));
    map_insert(&paths->discos, &peer->by_disco, hash_of(paths, peer->disco));
    return 0;
}

int paths_peer_set(struct paths *paths, const struct paths_peer_config *config, ts_t now)
{
    struct paths_peer *peer = by_key(paths, config->key);

    if (!peer)
        return peer_new(paths, config);
    int changed = endpoints_set(peer, config);

    peer->swept = false;
    if (changed < 0)
        return changed;
    bool disco_changed = memcmp(peer->disco, config->disco, DISCO_KEY_BYTES) != 0;

    if (disco_changed) {
        map_remove(&paths->discos, &peer->by_disco);
        memcpy(peer->disco, config->disco, DISCO_KEY_BYTES);
        map_insert(&paths->discos, &peer->by_disco, hash_of(paths, peer->disco));
    }
    bool moved = peer->home != config->home;

    peer->home = config->home;
    if (moved && peer->told)
        paths_talk_get(paths, peer, now); /* who sends by what was told must be told again */
    if (!peer->talk)
        return 0;
    if (changed)
        paths_talk_listed(peer->talk, now);
    if (disco_changed)
        paths_talk_disco_changed(paths, peer->talk, now);
    paths_talk_tell(paths, peer->talk, now);
    return 0;
}

static void peer_free(struct paths *paths, struct paths_peer *peer)
{
    for (size_t i = 0; i < paths->waiting_count; i++) {
        struct paths_waiting *w = &paths->waiting[(paths->waiting_first + i) % PATHS_WAITING_MAX];

        if (w->peer == peer)
            w->peer = NULL;
    }
    paths_talk_end(paths, peer);
    map_remove(&paths->peers, &peer->by_key);
    map_remove(&paths->discos, &peer->by_disco);
    free(peer->endpoints);
    free(peer);
}

void paths_peer_remove(struct paths *paths, const uint8_t key[PATHS_KEY_BYTES])
{
    struct paths_peer *peer = by_key(paths, key);

    if (peer)
        peer_free(paths, peer);
}

static void mark(struct map_node *node, void *ctx)
{
    (void)ctx;
    container_of(node, struct paths_peer, by_key)->swept = true;
}

void paths_sweep_begin(struct paths *paths)
{
    map_each(&paths->peers, mark, NULL);
}

struct gone {
    struct paths_peer **list;
    size_t count;
};

static void collect_swept(struct map_node *node, void *ctx)
{
    struct paths_peer *peer = container_of(node, struct paths_peer, by_key);
    struct gone *gone = ctx;

    if (!peer->swept)
        return;
    if (gone->list)
        gone->list[gone->count] = peer;
    gone->count++;
}

void paths_sweep_end(struct paths *paths)
{
    struct gone gone = {0};

    map_each(&paths->peers, collect_swept, &gone);
    if (gone.count == 0)
        return;
    gone.list = calloc(gone.count, sizeof(struct paths_peer *));
    if (!gone.list)
        return; /* they stay until the next one; nobody routes to them */
    gone.count = 0;
    map_each(&paths->peers, collect_swept, &gone);
    for (size_t i = 0; i < gone.count; i++)
        peer_free(paths, gone.list[i]);
    free(gone.list);
}

/* ---- what waits to be pulled ---- */

size_t paths_room(const struct paths *paths)
{
    return PATHS_WAITING_MAX - paths->waiting_count;
}

bool paths_wait(struct paths *paths, const struct paths_waiting *waiting)
{
    if (paths_room(paths) == 0) {
        paths->stats.full++;
        return false;
    }
    paths->waiting[(paths->waiting_first + paths->waiting_count++) % PATHS_WAITING_MAX] = *waiting;
    return true;
}

static void count_out(struct paths *paths, enum disco_type type)
{
    paths->stats.pings_out += type == DISCO_PING;
    paths->stats.pongs_out += type == DISCO_PONG;
    paths->stats.calls_out += type == DISCO_CALL_ME_MAYBE;
}

static size_t make(struct paths *paths, const struct paths_waiting *w, const uint8_t *shared, uint8_t *buf)
{
    struct disco_message m = {.type = w->type, .source = w->source};
    uint8_t nonce[BOX_NONCE_BYTES];

    memcpy(m.txid, w->txid, sizeof(m.txid));
    if (w->type == DISCO_PING) {
        m.has_node_key = true;
        memcpy(m.node_key, paths->node_key, sizeof(m.node_key));
    }
    if (w->type == DISCO_CALL_ME_MAYBE) {
        memcpy(m.endpoints, paths->own, paths->own_count * sizeof(paths->own[0]));
        m.endpoints_count = paths->own_count;
    }
    rng_fill(paths->rng, nonce, sizeof(nonce));
    count_out(paths, w->type);
    return disco_seal(buf, &m, paths->disco_public, nonce, shared);
}

size_t paths_output(struct paths *paths, uint8_t *buf, struct endpoint *to, ts_t now)
{
    (void)now;
    while (paths->waiting_count > 0) {
        const struct paths_waiting *w = &paths->waiting[paths->waiting_first];

        paths->waiting_first = (paths->waiting_first + 1) % PATHS_WAITING_MAX;
        paths->waiting_count--;
        const uint8_t *shared = w->peer && w->peer->talk ? paths_talk_secret(paths, w->peer->talk) : NULL;

        if (!shared)
            continue;
        *to = w->to;
        return make(paths, w, shared, buf);
    }
    return 0;
}

/* ---- what comes in ---- */

/* Whose ping it is: the one node with that disco key, or the one it names. */
static struct paths_peer *sender_of(struct paths_peer *const *peers, size_t count, const struct disco_message *m)
{
    if (count == 1 && !m->has_node_key)
        return peers[0];
    for (size_t i = 0; i < count; i++)
        if (m->has_node_key && memcmp(peers[i]->key, m->node_key, PATHS_KEY_BYTES) == 0)
            return peers[i];
    return NULL;
}

static void on_ping(struct paths *paths, struct paths_peer *const *peers, size_t count, const struct disco_message *m,
                    const struct endpoint *from, ts_t now)
{
    struct paths_peer *peer = sender_of(peers, count, m);
    struct paths_talk *first = peers[0]->talk; /* it opened the box, so it can seal the answer */
    struct paths_waiting w = {.peer = peers[0], .type = DISCO_PONG, .to = *from, .source = from->remote};
    static const uint8_t derp[4] = DISCO_DERP_ADDRESS;

    paths->stats.pings_in++;
    if (memcmp(first->answered, m->txid, DISCO_TXID_BYTES) == 0 && endpoint_same_remote(&first->answered_to, from)) {
        paths->stats.unwanted++;
        return;
    }
    memcpy(first->answered, m->txid, DISCO_TXID_BYTES);
    first->answered_to = *from;
    memcpy(w.txid, m->txid, DISCO_TXID_BYTES);
    if (from->kind == ENDPOINT_DERP)
        w.source = (struct addrport){addr_v4(derp), from->region};
    paths_wait(paths, &w);
    struct paths_talk *talk = peer && from->kind == ENDPOINT_UDP ? paths_talk_get(paths, peer, now) : NULL;

    if (talk)
        paths_talk_pinged(paths, talk, from, now);
}

static void on_pong(struct paths *paths, struct paths_peer *const *peers, size_t count, const struct disco_message *m,
                    const struct endpoint *from, ts_t now)
{
    paths->stats.pongs_in++;
    for (size_t i = 0; from->kind == ENDPOINT_UDP && i < count; i++)
        if (peers[i]->talk && paths_talk_pong(paths, peers[i]->talk, m, from, now))
            return;
    paths->stats.unwanted++;
}

/* Whether the relay's source is one of the nodes with that disco key; it moves to the front. */
static bool relayed_for(struct paths_peer **peers, size_t count, const uint8_t key[PATHS_KEY_BYTES])
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(peers[i]->key, key, PATHS_KEY_BYTES) == 0) {
            struct paths_peer *found = peers[i];

            peers[i] = peers[0];
            peers[0] = found;
            return true;
        }
    return false;
}

void paths_input(struct paths *paths, const uint8_t *datagram, size_t len, const struct endpoint *from, ts_t now)
{
    struct paths_peer *peers[SAME_DISCO_MAX];
    struct disco_message m;

    BUG_ON(!disco_looks_like(datagram, len));
    size_t count = by_disco(paths, disco_sender(datagram), peers);

    if (count == 0 || (from->kind == ENDPOINT_DERP && !relayed_for(peers, count, from->key))) {
        paths->stats.unknown++;
        return;
    }
    struct paths_talk *talk = paths_talk_get(paths, peers[0], now);
    const uint8_t *shared = talk ? paths_talk_secret(paths, talk) : NULL;

    if (!shared || !disco_open(datagram, len, shared, &m)) {
        paths->stats.forged++;
        return;
    }
    if (from->kind == ENDPOINT_DERP)
        paths_heard(paths, from, now);
    switch (m.type) {
    case DISCO_PING:
        on_ping(paths, peers, count, &m, from, now);
        break;
    case DISCO_PONG:
        on_pong(paths, peers, count, &m, from, now);
        break;
    case DISCO_CALL_ME_MAYBE:
        paths->stats.calls_in++;
        if (from->kind == ENDPOINT_DERP)
            paths_talk_called(paths, talk, &m, now);
        else
            paths->stats.unwanted++;
        break;
    case DISCO_OTHER:
        paths->stats.unwanted++;
        break;
    }
}

bool paths_heard(struct paths *paths, const struct endpoint *from, ts_t now)
{
    BUG_ON(from->kind != ENDPOINT_DERP);
    struct paths_peer *peer = by_key(paths, from->key);
    struct paths_talk *talk = peer ? paths_talk_get(paths, peer, now) : NULL;

    if (!talk)
        return peer != NULL;
    talk->used_at = talk->heard_at = now;
    talk->heard_region = from->region;
    if (talk->sent_at)
        paths_talk_tell(paths, talk, now);
    return true;
}

/* ---- what else changes ---- */

bool paths_region_up(const struct paths *paths, uint16_t region)
{
    return paths->up[region / 8] >> region % 8 & 1;
}

struct region_change {
    struct paths *paths;
    ts_t now;
};

static void tell_again(struct map_node *node, void *ctx)
{
    struct paths_peer *peer = container_of(node, struct paths_peer, by_key);
    struct region_change *change = ctx;

    if (peer->talk && peer->talk->sent_at)
        paths_talk_tell(change->paths, peer->talk, change->now);
}

void paths_region(struct paths *paths, uint16_t region, bool up, ts_t now)
{
    struct region_change change = {paths, now};

    if (paths_region_up(paths, region) == up)
        return;
    paths->up[region / 8] ^= (uint8_t)(1 << region % 8);
    map_each(&paths->peers, tell_again, &change);
}

void paths_gone(struct paths *paths, const uint8_t key[PATHS_KEY_BYTES], uint16_t region, ts_t now)
{
    struct paths_peer *peer = by_key(paths, key);

    if (!peer || !peer->talk || peer->talk->heard_region != region)
        return;
    peer->talk->heard_region = 0;
    if (peer->talk->sent_at)
        paths_talk_tell(paths, peer->talk, now);
}

void paths_sending(struct paths *paths, const uint8_t key[PATHS_KEY_BYTES], bool lost, ts_t now)
{
    struct paths_peer *peer = by_key(paths, key);
    struct paths_talk *talk = peer ? paths_talk_get(paths, peer, now) : NULL;

    if (!talk)
        return;
    if (lost)
        talk->way.count = 0;
    paths->busy_until = ts_max(paths->busy_until, ts_add(now, PATHS_SESSION_NS));
    paths_talk_sent(paths, talk, now);
}

void paths_own(struct paths *paths, const struct addrport *endpoints, size_t count, ts_t now)
{
    struct list *l;

    paths->own_count = MIN(count, DISCO_ENDPOINTS_MAX);
    if (paths->own_count > 0)
        memcpy(paths->own, endpoints, paths->own_count * sizeof(paths->own[0]));
    paths->own_at = now;
    paths->freshen = false;
    while ((l = list_first(&paths->calls)) && paths_room(paths) > 0) {
        list_remove(l);
        paths_talk_call(paths, container_of(l, struct paths_talk, call), now);
    }
}

bool paths_freshen(struct paths *paths)
{
    bool wanted = paths->freshen;

    paths->freshen = false;
    return wanted;
}

bool paths_busy(const struct paths *paths, ts_t now)
{
    return now < paths->busy_until;
}

bool paths_event(struct paths *paths, struct paths_event *out, ts_t now)
{
    struct list *l;

    while ((l = list_first(&paths->told))) {
        struct paths_talk *talk = container_of(l, struct paths_talk, told);
        struct paths_way before = talk->way;

        list_remove(l);
        talk->way = paths_talk_way(paths, talk, now);
        talk->peer->told = true;
        memcpy(out->key, talk->peer->key, PATHS_KEY_BYTES);
        out->way = talk->way;
        if (talk->ending)
            paths_talk_end(paths, talk->peer);
        if (!paths_way_equal(&before, &out->way))
            return true;
    }
    return false;
}

ts_t paths_deadline(const struct paths *paths)
{
    return timerq_next(&paths->timers);
}

void paths_expire(struct paths *paths, ts_t now)
{
    struct timer *t;

    /* with too little room for what one may send, the rest comes after the next pull */
    while (paths_room(paths) > PATHS_CANDIDATES_MAX + 1 && (t = timerq_pop(&paths->timers, now)))
        paths_talk_expire(paths, container_of(t, struct paths_talk, timer), now);
}

/* ---- for people ---- */

struct count {
    const struct paths *paths;
    struct paths_stats *out;
    ts_t now;
};

static void count_peer(struct map_node *node, void *ctx)
{
    const struct paths_talk *talk = container_of(node, struct paths_peer, by_key)->talk;
    struct count *count = ctx;

    if (talk && talk->best.kind != ENDPOINT_NONE && count->now < talk->trusted_until)
        count->out->direct++;
}

void paths_stats(const struct paths *paths, struct paths_stats *out, ts_t now)
{
    struct count count = {paths, out, now};

    *out = paths->stats;
    out->peers = paths->peers.count;
    out->talks = paths->talks;
    out->direct = 0;
    map_each(&paths->peers, count_peer, &count);
}

struct paths_way paths_way(const struct paths *paths, const uint8_t key[PATHS_KEY_BYTES], uint64_t *latency_ns, ts_t now)
{
    struct paths_peer *peer = by_key(paths, key);

    *latency_ns = 0;
    if (!peer || !peer->talk)
        return (struct paths_way){0};
    if (peer->talk->best.kind != ENDPOINT_NONE)
        *latency_ns = peer->talk->best_latency_ns;
    return paths_talk_way(paths, peer->talk, now);
}

struct each {
    void (*fn)(const uint8_t key[PATHS_KEY_BYTES], void *ctx);
    void *ctx;
};

static void each_peer(struct map_node *node, void *ctx)
{
    const struct paths_peer *peer = container_of(node, struct paths_peer, by_key);
    const struct each *each = ctx;

    if (peer->talk)
        each->fn(peer->key, each->ctx);
}

void paths_each(const struct paths *paths, void (*fn)(const uint8_t key[PATHS_KEY_BYTES], void *ctx), void *ctx)
{
    struct each each = {fn, ctx};

    map_each(&paths->peers, each_peer, &each);
}

/* ---- life ---- */

struct paths *paths_new(const struct paths_config *config)
{
    struct paths *paths = calloc(1, sizeof(*paths));

    if (!paths)
        return NULL;
    paths->rng = config->rng;
    paths->disco_private = secret_new(config->disco_private, DISCO_KEY_BYTES);
    if (!paths->disco_private || key_public(config->disco_private, paths->disco_public) != 0) {
        secret_free(paths->disco_private);
        free(paths);
        return NULL;
    }
    memcpy(paths->node_key, config->node_key, PATHS_KEY_BYTES);
    secret_pool_init(&paths->secrets, BOX_KEY_BYTES);
    rng_fill(paths->rng, &paths->seed, sizeof(paths->seed));
    map_init(&paths->peers);
    map_init(&paths->discos);
    timerq_init(&paths->timers);
    list_init(&paths->told);
    list_init(&paths->calls);
    paths->own_at = TS_NEVER;
    return paths;
}

void paths_free(struct paths *paths)
{
    struct map_node *n;

    if (!paths)
        return;
    while ((n = map_any(&paths->peers)))
        peer_free(paths, container_of(n, struct paths_peer, by_key));
    map_deinit(&paths->peers);
    map_deinit(&paths->discos);
    secret_pool_deinit(&paths->secrets);
    secret_free(paths->disco_private);
    free(paths);
}

const uint8_t *paths_disco_key(const struct paths *paths)
{
    return paths->disco_public;
}
