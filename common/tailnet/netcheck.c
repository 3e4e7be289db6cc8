#include "common/tailnet/netcheck.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"

#define TRY_NS       (250 * TS_MS) /* between two tries of a region; doubles */
#define V6_GRACE_NS  (500 * TS_MS) /* a round waits no longer for answers over IPv6 that may never come */
#define WINDOW_NS    (150 * TS_S)  /* latencies are the least of this window and the one before */

struct target { /* a node of a region that speaks STUN */
    char *host; /* NULL: the addresses are known */
    bool asked; /* for its addresses */
    bool nameless; /* there were none: it is asked for again with the next round */
    struct addr addr[2]; /* [1]: IPv4; none: not by that family */
    uint16_t port;
};

struct region {
    uint16_t id;
    bool no_home, relays;
    uint32_t score_milli;
    struct target targets[NETCHECK_NODES_MAX];
    size_t targets_count;
    /* the round under way */
    bool in_round;
    unsigned tries;
    ts_t try_at; /* TS_NEVER: no more */
    bool send[2], heard[2]; /* by family, [1]: IPv4 */
    uint8_t txid[NETCHECK_TRIES][2][STUN_TXID_BYTES];
    ts_t sent_at[NETCHECK_TRIES][2]; /* 0: not */
    /* across rounds */
    uint64_t best_ns[2]; /* of this window and the one before; 0: none */
    ts_t window_at;
    ts_t failed_at; /* 0: never */
};

struct netcheck {
    struct rng *rng;
    struct region *regions;
    size_t regions_count;
    uint16_t home;
    bool stay;
    bool running, heard_any;
    bool early; /* a home was looked for before the round's end */
    ts_t round_at, all_at; /* 0: never */
    struct addrport mapped[NETCHECK_MAPPED_MAX];
    size_t mapped_count;
    unsigned news;
};

static struct region *find(const struct netcheck *nc, uint16_t id)
{
    for (size_t i = 0; i < nc->regions_count; i++)
        if (nc->regions[i].id == id)
            return &nc->regions[i];
    return NULL;
}

/* ---- latencies and the home ---- */

static void note_latency(struct region *r, uint64_t ns, ts_t now)
{
    if (ts_since(now, r->window_at) >= WINDOW_NS) {
        r->best_ns[1] = ts_since(now, r->window_at) < 2 * WINDOW_NS ? r->best_ns[0] : 0;
        r->best_ns[0] = 0;
        r->window_at = now;
    }
    r->best_ns[0] = r->best_ns[0] ? MIN(r->best_ns[0], MAX(ns, 1)) : MAX(ns, 1);
}

static uint64_t latency_of(const struct region *r, ts_t now)
{
    uint64_t age = ts_since(now, r->window_at), a = r->best_ns[0], b = r->best_ns[1];

    if (age >= 2 * WINDOW_NS)
        return 0;
    if (age >= WINDOW_NS || !b)
        return a;
    return a ? MIN(a, b) : b;
}

/* 0: unknown */
static uint64_t score_of(const struct region *r, ts_t now)
{
    return latency_of(r, now) * (r->score_milli ? r->score_milli : 1000) / 1000;
}

static bool may_be_home(const struct region *r, ts_t now)
{
    return r->relays && !r->no_home && (r->failed_at == 0 || ts_since(now, r->failed_at) >= NETCHECK_ALL_NS);
}

/* a is to be asked or taken before b: nearer, or known while the other is not */
static bool nearer(const struct region *a, const struct region *b, ts_t now)
{
    uint64_t x = score_of(a, now), y = score_of(b, now);

    return x != 0 && (y == 0 || x < y);
}

static struct region *nearest(const struct netcheck *nc, ts_t now)
{
    struct region *best = NULL;

    for (size_t i = 0; i < nc->regions_count; i++) {
        struct region *r = &nc->regions[i];

        if (may_be_home(r, now) && (!best || nearer(r, best, now)))
            best = r;
    }
    return best;
}

/* everyone has failed: the one that did longest ago */
static struct region *least_failed(const struct netcheck *nc)
{
    struct region *best = NULL;

    for (size_t i = 0; i < nc->regions_count; i++) {
        struct region *r = &nc->regions[i];

        if (r->relays && !r->no_home && (!best || r->failed_at < best->failed_at))
            best = r;
    }
    return best;
}

static void choose(struct netcheck *nc, ts_t now)
{
    struct region *is = find(nc, nc->home), *best = nearest(nc, now);

    if (!best)
        best = least_failed(nc);
    if (!best || best == is || (is && nc->stay))
        return;
    if (is && may_be_home(is, now)) {
        uint64_t old = score_of(is, now), new = score_of(best, now);

        if (new == 0 || (old != 0 && (old < new + NETCHECK_GAIN_NS || new > old / 3 * 2)))
            return;
    }
    nc->home = best->id;
    nc->news |= NETCHECK_HOME;
}

static size_t homes(const struct netcheck *nc)
{
    size_t count = 0;

    for (size_t i = 0; i < nc->regions_count; i++)
        count += nc->regions[i].relays && !nc->regions[i].no_home;
    return count;
}

void netcheck_failing(struct netcheck *nc, uint16_t region, ts_t now)
{
    struct region *r = find(nc, region);

    if (r && !nc->stay)
        r->failed_at = now;
    choose(nc, now);
}

void netcheck_stay(struct netcheck *nc, bool stay, ts_t now)
{
    nc->stay = stay;
    if (!stay && !nc->running)
        choose(nc, now);
}

/* ---- the map ---- */

static bool use_address(struct target *t, const char *text, bool v4)
{
    struct addr a;

    if (!text || !*text)
        return false;
    if (addr_parse(text, strlen(text), &a) && addr_is_v4(&a) == v4)
        t->addr[v4] = a;
    return true; /* "none", or an address */
}

static bool target_init(struct target *t, const struct derp_node *node)
{
    *t = (struct target){.port = node->stun_port};
    if (node->stun_test_ip && *node->stun_test_ip) {
        struct addr a;

        if (addr_parse(node->stun_test_ip, strlen(node->stun_test_ip), &a))
            t->addr[addr_is_v4(&a)] = a;
        return true;
    }
    bool known4 = use_address(t, node->ipv4, true), known6 = use_address(t, node->ipv6, false);

    if (known4 && known6)
        return true;
    t->host = strdup(node->host);
    return t->host != NULL;
}

static void region_deinit(struct region *r)
{
    for (size_t i = 0; i < r->targets_count; i++)
        free(r->targets[i].host);
}

static void region_init(struct region *r, const struct derp_region *from)
{
    *r = (struct region){.id = from->id, .no_home = from->no_home, .score_milli = from->score_milli, .try_at = TS_NEVER};
    for (size_t i = 0; i < from->nodes_count; i++) {
        r->relays |= !from->nodes[i].stun_only && from->nodes[i].derp_port != 0;
        if (from->nodes[i].stun_port != 0 && r->targets_count < NETCHECK_NODES_MAX &&
            target_init(&r->targets[r->targets_count], &from->nodes[i]))
            r->targets_count++;
    }
}

void netcheck_map_set(struct netcheck *nc, const struct derp_map *map, ts_t now)
{
    struct region *all = calloc(map->regions_count ? map->regions_count : 1, sizeof(*all));

    if (!all)
        return;
    for (size_t i = 0; i < map->regions_count; i++) {
        struct region *old = find(nc, map->regions[i].id);

        region_init(&all[i], &map->regions[i]);
        if (old) {
            memcpy(all[i].best_ns, old->best_ns, sizeof(old->best_ns));
            all[i].window_at = old->window_at;
            all[i].failed_at = old->failed_at;
        }
    }
    for (size_t i = 0; i < nc->regions_count; i++)
        region_deinit(&nc->regions[i]);
    free(nc->regions);
    nc->regions = all;
    nc->regions_count = map->regions_count;
    nc->running = false;
    nc->all_at = 0;
    if (homes(nc) == 1)
        choose(nc, now); /* nothing to be measured */
}

const char *netcheck_unresolved(struct netcheck *nc)
{
    for (size_t i = 0; i < nc->regions_count; i++)
        for (size_t k = 0; k < nc->regions[i].targets_count; k++) {
            struct target *t = &nc->regions[i].targets[k];

            if (t->host && !t->asked) {
                t->asked = true;
                return t->host;
            }
        }
    return NULL;
}

void netcheck_resolved(struct netcheck *nc, const char *host, const struct addr *addrs, size_t count)
{
    for (size_t i = 0; i < nc->regions_count; i++)
        for (size_t k = 0; k < nc->regions[i].targets_count; k++) {
            struct target *t = &nc->regions[i].targets[k];

            if (!t->host || strcmp(t->host, host) != 0)
                continue;
            t->nameless = count == 0;
            for (size_t a = 0; a < count; a++)
                if (addr_is_none(&t->addr[addr_is_v4(&addrs[a])]))
                    t->addr[addr_is_v4(&addrs[a])] = addrs[a];
        }
}

/* ---- rounds ---- */

static void enter(struct region *r, ts_t now)
{
    if (r->targets_count == 0)
        return;
    r->in_round = true;
    r->tries = 0;
    r->try_at = now;
    memset(r->send, 0, sizeof(r->send));
    memset(r->heard, 0, sizeof(r->heard));
    memset(r->sent_at, 0, sizeof(r->sent_at));
}

static void enter_near(struct netcheck *nc, ts_t now)
{
    struct region *home = find(nc, nc->home);

    if (home)
        enter(home, now);
    for (int i = 0; i < NETCHECK_NEAR; i++) {
        struct region *next = NULL;

        for (size_t k = 0; k < nc->regions_count; k++) {
            struct region *r = &nc->regions[k];

            if (!r->in_round && r->targets_count > 0 && (!next || nearer(r, next, now)))
                next = r;
        }
        if (next)
            enter(next, now);
    }
}

static void finish(struct netcheck *nc, ts_t now)
{
    nc->running = false;
    for (size_t i = 0; i < nc->regions_count; i++) {
        nc->regions[i].in_round = nc->regions[i].send[0] = nc->regions[i].send[1] = false;
        nc->regions[i].try_at = TS_NEVER;
    }
    if (!nc->heard_any)
        nc->mapped_count = 0;
    nc->news |= NETCHECK_DONE | NETCHECK_ENDPOINTS;
    choose(nc, now);
}

static void ask_again(struct netcheck *nc)
{
    for (size_t i = 0; i < nc->regions_count; i++)
        for (size_t k = 0; k < nc->regions[i].targets_count; k++) {
            struct target *t = &nc->regions[i].targets[k];

            if (t->nameless)
                t->asked = t->nameless = false;
        }
}

void netcheck_start(struct netcheck *nc, ts_t now)
{
    bool all = nc->all_at == 0 || ts_since(now, nc->all_at) >= NETCHECK_ALL_NS;

    if (nc->running)
        return;
    ask_again(nc);
    nc->running = true;
    nc->heard_any = nc->early = false;
    nc->round_at = now;
    if (all)
        nc->all_at = now;
    for (size_t i = 0; i < nc->regions_count; i++) {
        nc->regions[i].in_round = false;
        if (all)
            enter(&nc->regions[i], now);
    }
    if (!all)
        enter_near(nc, now);
    netcheck_expire(nc, now);
}

static void try_again(struct netcheck *nc, struct region *r, ts_t now)
{
    if (r->try_at > now)
        return;
    for (int v4 = 0; v4 < 2; v4++) {
        struct target *t = &r->targets[r->tries % r->targets_count];

        if (r->heard[v4] || addr_is_none(&t->addr[v4]))
            continue;
        rng_fill(nc->rng, r->txid[r->tries][v4], STUN_TXID_BYTES);
        r->send[v4] = true;
    }
    r->try_at = r->tries + 1 < NETCHECK_TRIES ? ts_add(now, TRY_NS << r->tries) : TS_NEVER;
    r->tries++;
}

size_t netcheck_output(struct netcheck *nc, uint8_t out[STUN_REQUEST_BYTES], struct endpoint *to, ts_t now)
{
    for (size_t i = 0; i < nc->regions_count; i++) {
        struct region *r = &nc->regions[i];

        for (int v4 = 0; r->in_round && v4 < 2; v4++) {
            if (!r->send[v4])
                continue;
            unsigned try = r->tries - 1;
            const struct target *t = &r->targets[try % r->targets_count];

            r->send[v4] = false;
            r->sent_at[try][v4] = now;
            stun_request(out, r->txid[try][v4]);
            *to = (struct endpoint){.kind = ENDPOINT_UDP, .remote = {t->addr[v4], t->port}};
            return STUN_REQUEST_BYTES;
        }
    }
    return 0;
}

static void note_mapped(struct netcheck *nc, const struct addrport *mapped)
{
    if (!nc->heard_any)
        nc->mapped_count = 0; /* what the round before found */
    nc->heard_any = true;
    for (size_t i = 0; i < nc->mapped_count; i++)
        if (addrport_equal(&nc->mapped[i], mapped))
            return;
    if (nc->mapped_count < NETCHECK_MAPPED_MAX)
        nc->mapped[nc->mapped_count++] = *mapped;
    nc->news |= NETCHECK_ENDPOINTS;
}

/* all that can be expected has come */
static bool complete(const struct netcheck *nc, ts_t now)
{
    for (size_t i = 0; i < nc->regions_count; i++) {
        const struct region *r = &nc->regions[i];
        bool has[2] = {false, false};

        for (size_t k = 0; k < r->targets_count; k++)
            for (int v4 = 0; v4 < 2; v4++)
                has[v4] |= !addr_is_none(&r->targets[k].addr[v4]);
        if (!r->in_round || (!has[0] && !has[1]))
            continue;
        if (!r->heard[0] && !r->heard[1])
            return false;
        if (((has[1] && !r->heard[1]) || (has[0] && !r->heard[0])) && ts_since(now, nc->round_at) < V6_GRACE_NS)
            return false;
    }
    return true;
}

void netcheck_input(struct netcheck *nc, const uint8_t *datagram, size_t len, ts_t now)
{
    uint8_t txid[STUN_TXID_BYTES];
    struct addrport mapped;

    if (!nc->running || !stun_answer_parse(datagram, len, txid, &mapped))
        return;
    for (size_t i = 0; i < nc->regions_count; i++) {
        struct region *r = &nc->regions[i];

        for (unsigned try = 0; r->in_round && try < NETCHECK_TRIES; try++)
            for (int v4 = 0; v4 < 2; v4++) {
                if (r->sent_at[try][v4] == 0 || memcmp(r->txid[try][v4], txid, sizeof(txid)) != 0)
                    continue;
                note_latency(r, ts_since(now, r->sent_at[try][v4]), now);
                r->heard[v4] = true;
                r->sent_at[try][v4] = 0;
                note_mapped(nc, &mapped);
                if (complete(nc, now))
                    finish(nc, now);
                return;
            }
    }
}

/* ---- time, results ---- */

ts_t netcheck_deadline(const struct netcheck *nc)
{
    if (!nc->running)
        return TS_NEVER;
    ts_t at = ts_add(nc->round_at, NETCHECK_ROUND_NS);

    for (size_t i = 0; i < nc->regions_count; i++)
        if (nc->regions[i].in_round)
            at = ts_min(at, nc->regions[i].try_at);
    /* all regions have answered, not all by both families; or some have, and that is enough for a first home */
    bool enough = complete(nc, ts_add(nc->round_at, V6_GRACE_NS)) || (!nc->home && nc->heard_any && !nc->early);

    return enough ? ts_min(at, ts_add(nc->round_at, V6_GRACE_NS)) : at;
}

void netcheck_expire(struct netcheck *nc, ts_t now)
{
    if (!nc->running)
        return;
    for (size_t i = 0; i < nc->regions_count; i++)
        if (nc->regions[i].in_round)
            try_again(nc, &nc->regions[i], now);
    if (ts_since(now, nc->round_at) >= NETCHECK_ROUND_NS || complete(nc, now)) {
        finish(nc, now);
    } else if (!nc->home && nc->heard_any && !nc->early && ts_since(now, nc->round_at) >= V6_GRACE_NS) {
        nc->early = true;
        choose(nc, now); /* the far ones would not be it anyway */
    }
}

unsigned netcheck_news(struct netcheck *nc)
{
    unsigned news = nc->news;

    nc->news = 0;
    return news;
}

uint16_t netcheck_home(const struct netcheck *nc)
{
    return nc->home;
}

uint64_t netcheck_latency(const struct netcheck *nc, uint16_t region, ts_t now)
{
    const struct region *r = find(nc, region);

    return r ? latency_of(r, now) : 0;
}

size_t netcheck_mapped(const struct netcheck *nc, struct addrport out[NETCHECK_MAPPED_MAX])
{
    memcpy(out, nc->mapped, nc->mapped_count * sizeof(out[0]));
    return nc->mapped_count;
}

struct netcheck *netcheck_new(struct rng *rng)
{
    struct netcheck *nc = calloc(1, sizeof(*nc));

    if (nc)
        nc->rng = rng;
    return nc;
}

void netcheck_free(struct netcheck *nc)
{
    if (!nc)
        return;
    for (size_t i = 0; i < nc->regions_count; i++)
        region_deinit(&nc->regions[i]);
    free(nc->regions);
    free(nc);
}
