/* paths_talk.c - one conversation: the addresses tried, the one in use, and when what is tried again.
 *
 *   nothing answers      the relay alone; all candidates are pinged whenever something is sent, at most each 5 s, and
 *                        the peer is told through the relay to do the same
 *   an answer (pong)     that address alone, for PATHS_TRUST_NS; a ping each PATHS_HEARTBEAT_NS renews it while data
 *                        is sent
 *   the trust ran out    the address and the relay both, until a pong, or until a ping stays unanswered: then it is
 *                        given up
 *
 * One timer a conversation: the nearest of a ping's timeout, the end of the trust, the heartbeat, and being idle. */
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/tailnet/paths_priv.h"

#define CANDIDATES_ROOM 4 /* at first */
#define CALLS_BURST     3
#define CALLS_PER_S     1

/* ---- candidates ---- */

static struct paths_candidate *find(struct paths_talk *t, const struct addrport *at)
{
    for (size_t i = 0; i < t->candidates_count; i++)
        if (addrport_equal(&t->candidates[i].at, at))
            return &t->candidates[i];
    return NULL;
}

static bool in_use(const struct paths_talk *t, const struct paths_candidate *c)
{
    return t->best.kind == ENDPOINT_UDP && addrport_equal(&t->best.remote, &c->at);
}

/* the one that is missed least: neither listed nor in use, and silent for longest */
static struct paths_candidate *victim(struct paths_talk *t)
{
    struct paths_candidate *worst = NULL;

    for (size_t i = 0; i < t->candidates_count; i++) {
        struct paths_candidate *c = &t->candidates[i];

        if (c->listed || in_use(t, c))
            continue;
        if (!worst || ts_max(c->ponged_at, c->added_at) < ts_max(worst->ponged_at, worst->added_at))
            worst = c;
    }
    return worst;
}

static struct paths_candidate *add(struct paths_talk *t, const struct addrport *at, ts_t now)
{
    struct paths_candidate *c = find(t, at);

    if (c || !paths_usable(at))
        return c;
    if (t->candidates_count == t->candidates_room && t->candidates_room < PATHS_CANDIDATES_MAX) {
        size_t room = MIN(t->candidates_room ? t->candidates_room * 2 : CANDIDATES_ROOM, PATHS_CANDIDATES_MAX);
        struct paths_candidate *more = realloc(t->candidates, room * sizeof(*more));

        if (!more)
            return NULL;
        t->candidates = more;
        t->candidates_room = (uint8_t)room;
    }
    c = t->candidates_count < t->candidates_room ? &t->candidates[t->candidates_count++] : victim(t);
    if (c)
        *c = (struct paths_candidate){.at = *at, .added_at = now};
    return c;
}

static void drop_unlisted(struct paths_talk *t)
{
    for (size_t i = t->candidates_count; i-- > 0;)
        if (!t->candidates[i].listed)
            t->candidates[i] = t->candidates[--t->candidates_count];
}

void paths_talk_listed(struct paths_talk *t, ts_t now)
{
    for (size_t i = 0; i < t->candidates_count; i++)
        t->candidates[i].listed = false; /* it stays, to be replaced when there is no room */
    for (size_t i = 0; i < t->peer->endpoints_count; i++) {
        struct paths_candidate *c = add(t, &t->peer->endpoints[i], now);

        if (c)
            c->listed = true;
    }
}

/* ---- what follows from what is known ---- */

/* through which region: where it spoke to us just now, else its home. A home we can't connect to leaves the other. */
static uint16_t region_of(const struct paths *paths, const struct paths_talk *t, ts_t now)
{
    uint16_t home = t->peer->home, heard = t->heard_region;

    if (!heard || !paths_region_up(paths, heard))
        return home ? home : heard;
    if (!home || ts_since(now, t->heard_at) < PATHS_DERP_HEARD_NS)
        return heard;
    return paths_region_up(paths, home) ? home : heard;
}

struct paths_way paths_talk_way(const struct paths *paths, const struct paths_talk *t, ts_t now)
{
    struct paths_way way = {0};

    if (t->best.kind != ENDPOINT_NONE) {
        way.to[way.count++] = t->best;
        if (now < t->trusted_until)
            return way;
    }
    uint16_t region = region_of(paths, t, now);

    if (region)
        way.to[way.count++] = endpoint_derp(t->peer->key, region);
    return way;
}

bool paths_way_equal(const struct paths_way *a, const struct paths_way *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (!endpoint_equal(&a->to[i], &b->to[i]))
            return false;
    return true;
}

void paths_talk_tell(struct paths *paths, struct paths_talk *t, ts_t now)
{
    struct paths_way way = paths_talk_way(paths, t, now);

    if (paths_way_equal(&way, &t->way) || !list_empty(&t->told))
        return; /* the event shows what is true when it is taken */
    list_append(&paths->told, &t->told);
}

static bool session(const struct paths_talk *t, ts_t now)
{
    return t->sent_at != 0 && ts_since(now, t->sent_at) < PATHS_SESSION_NS;
}

static bool trusted(const struct paths_talk *t, ts_t now)
{
    return t->best.kind != ENDPOINT_NONE && now < t->trusted_until;
}

static void arm(struct paths *paths, struct paths_talk *t, ts_t now)
{
    ts_t at = ts_add(t->used_at, PATHS_IDLE_NS);

    for (size_t i = 0; i < t->candidates_count; i++)
        if (t->candidates[i].waiting)
            at = ts_min(at, ts_add(t->candidates[i].waiting_at, PATHS_PING_TIMEOUT_NS));
    if (trusted(t, now))
        at = ts_min(at, t->trusted_until);
    /* the reverse way through a relay ends by itself */
    if (t->heard_region && ts_since(now, t->heard_at) < PATHS_DERP_HEARD_NS)
        at = ts_min(at, ts_add(t->heard_at, PATHS_DERP_HEARD_NS));
    timerq_arm(&paths->timers, &t->timer, ts_min(at, t->heartbeat_at));
}

/* ---- pings ---- */

static void ping(struct paths *paths, struct paths_talk *t, struct paths_candidate *c, ts_t now)
{
    struct paths_waiting w = {.peer = t->peer, .type = DISCO_PING, .to = {.kind = ENDPOINT_UDP}};

    if (!paths_talk_secret(paths, t))
        return;
    w.to.remote = c->at;
    w.to.local = c->local;
    rng_fill(paths->rng, w.txid, sizeof(w.txid));
    if (!paths_wait(paths, &w))
        return;
    c->pings[1] = c->pings[0];
    memcpy(c->pings[0].txid, w.txid, sizeof(w.txid));
    c->pings[0].at = c->pinged_at = now;
    if (!c->waiting)
        c->waiting_at = now;
    c->waiting = true;
}

void paths_talk_round(struct paths *paths, struct paths_talk *t, bool spacing, ts_t now)
{

    for (size_t i = 0; i < t->candidates_count; i++) {
        struct paths_candidate *c = &t->candidates[i];

        if (!spacing || c->pinged_at == 0 || ts_since(now, c->pinged_at) >= PATHS_PING_SPACING_NS)
            ping(paths, t, c, now);
    }
    t->round_at = now;
}

void paths_talk_call(struct paths *paths, struct paths_talk *t, ts_t now)
{
    struct paths_waiting w = {.peer = t->peer, .type = DISCO_CALL_ME_MAYBE};
    uint16_t region = region_of(paths, t, now);

    if (!region || !paths_talk_secret(paths, t))
        return;
    if (paths->own_at == TS_NEVER || ts_since(now, paths->own_at) >= PATHS_FRESH_NS) {
        if (list_empty(&t->call))
            list_append(&paths->calls, &t->call);
        paths->freshen = true;
        return;
    }
    w.to = endpoint_derp(t->peer->key, region);
    if (paths->own_count > 0)
        paths_wait(paths, &w);
}

/* Ping all, and have the peer do so too. Calls have a spacing of their own: where the peer's calls keep us pinging, ours
 * must reach it all the same, for it may know only where we were. */
static void seek(struct paths *paths, struct paths_talk *t, ts_t now)
{
    paths_talk_round(paths, t, true, now);
    if (t->called_at != 0 && ts_since(now, t->called_at) < PATHS_PING_SPACING_NS)
        return;
    t->called_at = now;
    paths_talk_call(paths, t, now);
}

/* a round is worth it: nothing is in use, or what is may be bettered */
static bool wants_round(const struct paths_talk *t, ts_t now)
{
    if (!trusted(t, now) || t->round_at == 0)
        return true;
    return t->best_latency_ns > PATHS_GOOD_NS && ts_since(now, t->round_at) >= PATHS_UPGRADE_NS;
}

void paths_talk_sent(struct paths *paths, struct paths_talk *t, ts_t now)
{
    t->sent_at = t->used_at = now;
    if (t->heartbeat_at == TS_NEVER)
        t->heartbeat_at = ts_add(now, PATHS_HEARTBEAT_NS);
    if (!trusted(t, now))
        seek(paths, t, now);
    paths_talk_tell(paths, t, now);
    arm(paths, t, now);
}

void paths_talk_pinged(struct paths *paths, struct paths_talk *t, const struct endpoint *from, ts_t now)
{
    struct paths_candidate *c = add(t, &from->remote, now);

    t->used_at = now;
    if (!c)
        return;
    c->local = from->local;
    /* its NAT is open for us now: no reason to wait until something is sent */
    if (session(t, now) && !trusted(t, now) &&
        (c->pinged_at == 0 || ts_since(now, c->pinged_at) >= PATHS_PING_SPACING_NS))
        ping(paths, t, c, now);
    arm(paths, t, now);
}

void paths_talk_called(struct paths *paths, struct paths_talk *t, const struct disco_message *m, ts_t now)
{
    t->used_at = now;
    for (size_t i = 0; i < m->endpoints_count; i++)
        add(t, &m->endpoints[i], now);
    paths_talk_round(paths, t, !bucket_take(&t->calls, now), now);
    arm(paths, t, now);
}

static void use(struct paths_talk *t, const struct paths_candidate *c, const struct endpoint *from)
{
    t->best = (struct endpoint){.kind = ENDPOINT_UDP, .remote = c->at};
    t->best.local = from->local;
    t->best_latency_ns = c->latency_ns;
}

/* the candidate whose ping that is; each ping is answered once */
static struct paths_candidate *answered_by(struct paths_talk *t, const uint8_t txid[DISCO_TXID_BYTES], ts_t *pinged_at)
{
    for (size_t i = 0; i < t->candidates_count; i++)
        for (int k = 0; k < 2; k++) {
            struct paths_candidate *c = &t->candidates[i];

            if (c->pings[k].at == 0 || memcmp(c->pings[k].txid, txid, DISCO_TXID_BYTES) != 0)
                continue;
            *pinged_at = c->pings[k].at;
            c->pings[k].at = 0;
            return c;
        }
    return NULL;
}

bool paths_talk_pong(struct paths *paths, struct paths_talk *t, const struct disco_message *m,
                     const struct endpoint *from, ts_t now)
{
    ts_t pinged_at = 0;
    struct paths_candidate *c = answered_by(t, m->txid, &pinged_at);

    if (!c)
        return false;
    /* where the ping went to is what works; a host with many addresses may answer from another */
    c->waiting = false;
    c->ponged_at = now;
    c->latency_ns = ts_since(now, pinged_at);
    c->local = from->local;
    if (!trusted(t, now) || in_use(t, c) || paths_better(&c->at, c->latency_ns, &t->best.remote, t->best_latency_ns)) {
        use(t, c, from);
        t->trusted_until = ts_add(now, PATHS_TRUST_NS);
    }
    paths_talk_tell(paths, t, now);
    arm(paths, t, now);
    return true;
}

/* ---- life ---- */

const uint8_t *paths_talk_secret(struct paths *paths, struct paths_talk *t)
{
    if (t->shared || crypto_is_zero(t->peer->disco, DISCO_KEY_BYTES))
        return t->shared;
    uint8_t *shared = secret_pool_get(&paths->secrets);

    if (shared && box_shared(shared, paths->disco_private, t->peer->disco) != 0) {
        secret_pool_put(&paths->secrets, shared);
        shared = NULL;
    }
    t->shared = shared;
    return shared;
}

static void forget_secret(struct paths *paths, struct paths_talk *t)
{
    secret_pool_put(&paths->secrets, (void *)(uintptr_t)t->shared);
    t->shared = NULL;
}

void paths_talk_disco_changed(struct paths *paths, struct paths_talk *t, ts_t now)
{
    forget_secret(paths, t);
    t->best.kind = ENDPOINT_NONE;
    t->called_at = 0;
    drop_unlisted(t);
    for (size_t i = 0; i < t->candidates_count; i++)
        t->candidates[i] = (struct paths_candidate){.at = t->candidates[i].at, .added_at = now, .listed = true};
    if (session(t, now))
        seek(paths, t, now);
    paths_talk_tell(paths, t, now);
    arm(paths, t, now);
}

struct paths_talk *paths_talk_get(struct paths *paths, struct paths_peer *peer, ts_t now)
{
    struct paths_talk *t = peer->talk;

    if (t && t->ending) { /* there it is again */
        t->ending = false;
        t->used_at = now;
        arm(paths, t, now);
    }
    if (t)
        return t;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->peer = peer;
    t->used_at = now;
    t->heartbeat_at = TS_NEVER;
    timer_init(&t->timer);
    list_init(&t->told);
    list_init(&t->call);
    bucket_init(&t->calls, CALLS_PER_S, CALLS_BURST);
    peer->talk = t;
    paths->talks++;
    paths_talk_listed(t, now);
    arm(paths, t, now);
    return t;
}

void paths_talk_end(struct paths *paths, struct paths_peer *peer)
{
    struct paths_talk *t = peer->talk;

    if (!t)
        return;
    peer->talk = NULL;
    paths->talks--;
    timerq_disarm(&paths->timers, &t->timer);
    list_remove(&t->told);
    list_remove(&t->call);
    forget_secret(paths, t);
    free(t->candidates);
    free(t);
}

/* pings that stayed unanswered */
static void time_out(struct paths_talk *t, ts_t now)
{
    for (size_t i = 0; i < t->candidates_count; i++) {
        struct paths_candidate *c = &t->candidates[i];

        if (!c->waiting || ts_since(now, c->waiting_at) < PATHS_PING_TIMEOUT_NS)
            continue;
        c->waiting = false;
        c->local = (struct addr){0}; /* ours may have gone: let the system choose */
        if (in_use(t, c) && !trusted(t, now))
            t->best.kind = ENDPOINT_NONE;
    }
}

static void beat(struct paths *paths, struct paths_talk *t, ts_t now)
{
    if (!session(t, now)) {
        t->heartbeat_at = TS_NEVER;
        return;
    }
    t->heartbeat_at = ts_add(now, PATHS_HEARTBEAT_NS);
    struct paths_candidate *c = t->best.kind != ENDPOINT_NONE ? find(t, &t->best.remote) : NULL;

    if (c)
        ping(paths, t, c, now);
    if (wants_round(t, now))
        seek(paths, t, now);
}

void paths_talk_expire(struct paths *paths, struct paths_talk *t, ts_t now)
{
    time_out(t, now);
    if (now >= t->heartbeat_at)
        beat(paths, t, now);
    if (ts_since(now, t->used_at) >= PATHS_IDLE_NS) {
        /* whoever sends to it next begins through the relay */
        t->best.kind = ENDPOINT_NONE;
        t->heard_region = 0;
        t->ending = true;
    }
    paths_talk_tell(paths, t, now);
    if (!t->ending)
        arm(paths, t, now);
    else if (list_empty(&t->told))
        paths_talk_end(paths, t->peer);
}
