/* sim_paths.c - two nodes that look for each other through NATs, in worlds of a seed.
 *
 *      end 0 -- NAT --+                      +-- NAT -- end 1        each end: our path engine, data both ways
 *                     +-- internet, STUN ----+
 *                     +-- relays of 2 regions, which die and come back
 *
 * A storm first (loss, delay, NATs that forget or change their mappings, a relay that is down, ends that start again
 * with a new disco key), then calm. What must hold: whatever was sent while a relay both know was up has a way at once;
 * in the calm every datagram arrives; the way is direct exactly where the two NATs allow it; and nobody ever sends more
 * pings than its candidates and the constants allow. Some peers are minimal: they answer pings and do no more.
 * NAT types are those of RFC 4787: mapping by endpoint or not, filtering by nothing, address, or address and port. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/tailnet/paths.h"
#include "tests/sim/world.h"
#include "seeds.h"

#define SEEDS_DEFAULT 400
#define STORM         (120 * TS_S)
#define SETTLE        (45 * TS_S) /* from the last fault until everything must be as it should */
#define CALM          (30 * TS_S)
#define FLYING_MAX    1024
#define MAPPINGS_MAX  64
#define FILTERS_MAX   32
#define DATA_BYTES    64
#define PONG_BYTES    110 /* tells pongs from all else */
#define REGIONS       2
#define DETECT_NS     (6 * TS_S) /* a dead relay is noticed, and another home chosen */
#define CONTROL_NS    (2 * TS_S) /* most that the coordination server takes to tell */

enum nat_type {
    NAT_OPEN = 0, /* none at all */
    NAT_FULL_CONE,
    NAT_ADDRESS, /* restricted cone */
    NAT_PORT,    /* port-restricted cone */
    NAT_SYMMETRIC,
    NAT_BLOCKED, /* no UDP gets out */
    NAT_TYPES,
};

struct mapping {
    struct addrport inside, to; /* to: symmetric only */
    uint16_t port;
    struct addrport filters[FILTERS_MAX]; /* who was sent to */
    size_t filters_count;
    ts_t used_at;
};

struct nat {
    enum nat_type type;
    bool hairpin;
    struct addr outside;
    uint64_t timeout_ns;
    uint16_t next_port;
    struct mapping mappings[MAPPINGS_MAX];
    size_t count;
};

struct end {
    struct paths *paths;
    uint8_t disco_private[32], key[32];
    struct addrport inside; /* of its socket */
    struct nat *nat;
    uint16_t home;
    bool deaf; /* disco does not reach it: an old firewall, or a node that knows none */
    bool minimal; /* it answers pings and sends none, and data goes back where it came from */
    bool region_up[REGIONS + 1];
    struct paths_way way;
    ts_t stun_at, stun_done_at; /* TS_NEVER: none */
    ts_t send_at;
    uint64_t every_ns;
    ts_t learn_at; /* the coordination server tells it of the other */
    ts_t rehome_at, restart_at, rebind_at;
    uint32_t sent_ids;
    unsigned restarts;
    bool arrived[4096];
    ts_t sent_when[4096];
};

struct flying {
    ts_t at; /* TS_NEVER: free */
    int to;
    struct endpoint from;
    bool disco;
    uint32_t id; /* of data */
    bool answer;
    size_t len;
    uint8_t bytes[PATHS_DATAGRAM_MAX];
};

static struct world {
    struct rng rng;
    ts_t now, began, calm_at;
    struct end ends[2];
    struct nat nats[2];
    bool same_lan;
    struct { ts_t from, to; } down[REGIONS + 1];
    uint64_t delay_ns, jitter_ns, relay_ns;
    uint32_t loss;
    struct flying flying[FLYING_MAX];
} w;

static bool verbose;

#define expect(cond, ...)                                                                                              \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            world_fail(__VA_ARGS__);                                                                                   \
    } while (0)

static uint64_t between(uint64_t low, uint64_t high)
{
    return low + rng_below(&w.rng, high - low + 1);
}

/* one in ten thousand */
static bool dice(unsigned chance)
{
    return rng_below(&w.rng, 10000) < chance;
}

static bool region_works(uint16_t region, ts_t now)
{
    return now < w.down[region].from || now >= w.down[region].to;
}

/* ---- NAT ---- */

static struct mapping *mapping_for(struct nat *n, const struct addrport *inside, const struct addrport *to)
{
    for (size_t i = 0; i < n->count; i++) {
        struct mapping *m = &n->mappings[i];

        if (w.now - m->used_at > n->timeout_ns) {
            n->mappings[i--] = n->mappings[--n->count];
            continue;
        }
        if (addrport_equal(&m->inside, inside) && (n->type != NAT_SYMMETRIC || addrport_equal(&m->to, to)))
            return m;
    }
    if (n->count == MAPPINGS_MAX)
        n->mappings[0] = n->mappings[--n->count];
    struct mapping *m = &n->mappings[n->count++];

    *m = (struct mapping){.inside = *inside, .to = *to, .port = n->next_port};
    n->next_port = (uint16_t)(n->next_port + between(1, 50));
    return m;
}

/* as whom the packet appears outside; false: it does not get out */
static bool nat_out(struct nat *n, const struct addrport *inside, const struct addrport *to, struct addrport *as)
{
    if (n->type == NAT_BLOCKED)
        return false;
    if (n->type == NAT_OPEN) {
        *as = *inside;
        return true;
    }
    struct mapping *m = mapping_for(n, inside, to);

    m->used_at = w.now;
    bool known = false;

    for (size_t i = 0; i < m->filters_count; i++)
        known |= addrport_equal(&m->filters[i], to);
    if (!known)
        m->filters[m->filters_count < FILTERS_MAX ? m->filters_count++ : between(0, FILTERS_MAX - 1)] = *to;
    *as = (struct addrport){n->outside, m->port};
    return true;
}

static bool passes(const struct nat *n, const struct mapping *m, const struct addrport *from)
{
    if (n->type == NAT_FULL_CONE)
        return true;
    for (size_t i = 0; i < m->filters_count; i++)
        if (n->type == NAT_ADDRESS ? addr_equal(&m->filters[i].addr, &from->addr)
                                   : addrport_equal(&m->filters[i], from))
            return true;
    return false;
}

static bool nat_in(struct nat *n, uint16_t port, const struct addrport *from, struct addrport *inside)
{
    for (size_t i = 0; i < n->count; i++) {
        struct mapping *m = &n->mappings[i];

        if (m->port != port || w.now - m->used_at > n->timeout_ns || !passes(n, m, from))
            continue;
        m->used_at = w.now;
        *inside = m->inside;
        return true;
    }
    return false;
}

/* ---- packets ---- */

static void fly(struct flying f, uint64_t delay)
{
    for (size_t i = 0; i < FLYING_MAX; i++)
        if (w.flying[i].at == TS_NEVER) {
            f.at = w.now + delay;
            w.flying[i] = f;
            return;
        }
    world_fail("too many packets under way");
}

static struct addrport stun_server(void)
{
    static const uint8_t ip[4] = {198, 51, 100, 1};

    return (struct addrport){addr_v4(ip), 3478};
}

/* whom a packet from the end to that address reaches, and as whom it comes; -1: nobody */
static int route(int who, const struct addrport *to, struct addrport *as)
{
    struct end *e = &w.ends[who], *other = &w.ends[!who];
    struct addrport inside;

    *as = e->inside;
    if (e->nat->type == NAT_BLOCKED)
        return -1;
    if (w.same_lan && addrport_equal(to, &other->inside))
        return !who;
    if (!nat_out(e->nat, &e->inside, to, as))
        return -1;
    if (other->nat->type == NAT_OPEN)
        return addrport_equal(to, &other->inside) ? !who : -1;
    if (other->nat->type == NAT_BLOCKED || !addr_equal(&to->addr, &other->nat->outside))
        return -1;
    if (e->nat == other->nat && !e->nat->hairpin)
        return -1;
    if (!nat_in(other->nat, to->port, as, &inside))
        return -1;
    return addrport_equal(&inside, &other->inside) ? !who : -1;
}

static void send_udp(int who, const struct endpoint *to, struct flying f)
{
    struct addrport as;

    f.to = route(who, &to->remote, &as);
    if (f.to < 0 || dice(w.loss))
        return;
    f.from = (struct endpoint){.kind = ENDPOINT_UDP, .remote = as};
    fly(f, w.delay_ns + between(0, w.jitter_ns));
}

/* a relay delivers to who is connected to it: its home always, and where it has sent to lately; all are, here */
static void send_relay(int who, const struct endpoint *to, struct flying f)
{
    struct end *other = &w.ends[!who];

    if (memcmp(to->key, other->key, 32) != 0 || !region_works(to->region, w.now))
        return;
    if (other->home != to->region && w.ends[who].home != to->region)
        return;
    f.to = !who;
    f.from = endpoint_derp(w.ends[who].key, to->region);
    fly(f, w.relay_ns);
}

static void send_to(int who, const struct endpoint *to, struct flying f)
{
    if (to->kind == ENDPOINT_UDP)
        send_udp(who, to, f);
    else
        send_relay(who, to, f);
}

/* ---- ends ---- */

static void learn(int who)
{
    struct end *e = &w.ends[who], *other = &w.ends[!who];
    uint8_t disco[32];
    struct addrport endpoints[2] = {other->inside, {other->nat->outside, 1}};
    struct paths_peer_config config = {.endpoints = endpoints, .endpoints_count = 1, .home = other->home};

    expect(key_public(other->disco_private, disco) == 0, "a key can't be made");
    memcpy(config.key, other->key, 32);
    memcpy(config.disco, disco, 32);
    /* what it published when it started: what STUN said then */
    if (other->nat->type != NAT_OPEN && other->nat->type != NAT_BLOCKED) {
        struct addrport server = stun_server();

        if (nat_out(other->nat, &other->inside, &server, &endpoints[1]))
            config.endpoints_count = 2;
    }
    expect(paths_peer_set(e->paths, &config, w.now) == 0, "out of memory");
}

static void start(int who)
{
    struct end *e = &w.ends[who];
    struct paths_config config = {.rng = &w.rng};

    paths_free(e->paths);
    key_generate(&w.rng, e->disco_private);
    memcpy(config.disco_private, e->disco_private, 32);
    memcpy(config.node_key, e->key, 32);
    e->paths = paths_new(&config);
    expect(e->paths != NULL, "out of memory");
    e->way.count = 0;
    e->stun_done_at = TS_NEVER;
    e->stun_at = w.now;
    for (uint16_t r = 1; r <= REGIONS; r++)
        paths_region(e->paths, r, e->region_up[r], w.now);
    learn(who);
    w.ends[!who].learn_at = w.now + between(0, CONTROL_NS);
}

static void stun(struct end *e)
{
    struct addrport own[2] = {e->inside}, server = stun_server(), seen;
    size_t count = 1;

    e->stun_done_at = TS_NEVER;
    if (nat_out(e->nat, &e->inside, &server, &seen) && !addrport_equal(&seen, &e->inside))
        own[count++] = seen;
    paths_own(e->paths, own, count, w.now);
}

static void check_regions(int who)
{
    struct end *e = &w.ends[who];

    for (uint16_t r = 1; r <= REGIONS; r++) {
        bool up = region_works(r, w.now);

        if (up == e->region_up[r])
            continue;
        e->region_up[r] = up;
        paths_region(e->paths, r, up, w.now);
        if (!up && r == e->home)
            e->rehome_at = w.now + DETECT_NS;
    }
}

static void rehome(int who)
{
    struct end *e = &w.ends[who];

    e->rehome_at = TS_NEVER;
    if (region_works(e->home, w.now))
        return;
    e->home = e->home == 1 ? 2 : 1;
    w.ends[!who].learn_at = w.now + between(0, CONTROL_NS);
}

/* data by the way that was told last, as the worker does */
static void send_data(int who, uint32_t id, bool answer)
{
    struct end *e = &w.ends[who];
    struct flying f = {.id = id, .answer = answer, .len = DATA_BYTES};

    for (unsigned i = 0; i < e->way.count; i++)
        send_to(who, &e->way.to[i], f);
    paths_sending(e->paths, w.ends[!who].key, false, w.now);
}

static void take(int who)
{
    struct end *e = &w.ends[who];
    struct paths_event event;
    struct flying f = {.disco = true};
    struct endpoint to;

    paths_expire(e->paths, w.now);
    if (paths_freshen(e->paths) && e->stun_done_at == TS_NEVER)
        e->stun_done_at = w.now + 2 * w.delay_ns;
    while ((f.len = paths_output(e->paths, f.bytes, &to, w.now)))
        if (!e->minimal || f.len == PONG_BYTES)
            send_to(who, &to, f);
    while (paths_event(e->paths, &event, w.now)) {
        expect(memcmp(event.key, w.ends[!who].key, 32) == 0, "an event of a stranger");
        if (verbose) {
            char a[ENDPOINT_STR], b[ENDPOINT_STR];

            printf("%8.3f end %d: way %u %s %s\n", (double)(w.now - w.began) / 1e9, who, event.way.count,
                   event.way.count ? endpoint_format(&event.way.to[0], a) : "",
                   event.way.count > 1 ? endpoint_format(&event.way.to[1], b) : "");
        }
        bool first = e->way.count == 0;

        e->way = event.way;
        if (first && e->sent_ids > 0) /* the worker's packet waited for a way */
            send_data(who, e->sent_ids - 1, false);
    }
}

static void arrive(struct flying *f)
{
    int who = f->to;
    struct end *e = &w.ends[who], *other = &w.ends[!who];

    if (f->disco) {
        if (!e->deaf)
            paths_input(e->paths, f->bytes, f->len, &f->from, w.now);
        return;
    }
    if (f->from.kind == ENDPOINT_DERP)
        paths_heard(e->paths, &f->from, w.now);
    if (f->answer) {
        e->arrived[f->id] = true;
        return;
    }
    /* it answers where the packet came from until it knows better, as WireGuard's response does */
    if (e->minimal || e->way.count == 0) {
        struct flying a = {.id = f->id, .answer = true, .len = DATA_BYTES};

        send_to(who, &f->from, a);
        if (!e->minimal)
            paths_sending(e->paths, other->key, false, w.now);
    } else {
        send_data(who, f->id, true);
    }
}

/* ---- the world ---- */

static ts_t next_of(int who)
{
    const struct end *e = &w.ends[who];
    ts_t at = ts_min(paths_deadline(e->paths), ts_min(e->stun_at, e->stun_done_at));

    at = ts_min(at, ts_min(e->send_at, e->learn_at));
    return ts_min(at, ts_min(e->rehome_at, ts_min(e->restart_at, e->rebind_at)));
}

static void step_end(int who)
{
    struct end *e = &w.ends[who];

    check_regions(who);
    if (w.now >= e->learn_at) {
        e->learn_at = TS_NEVER;
        learn(who);
    }
    if (w.now >= e->rehome_at)
        rehome(who);
    if (w.now >= e->restart_at) {
        e->restart_at = TS_NEVER;
        e->restarts++;
        start(who);
    }
    if (w.now >= e->rebind_at) {
        e->rebind_at = TS_NEVER;
        e->nat->count = 0; /* it was switched off and on */
        e->nat->next_port = (uint16_t)between(1024, 60000);
    }
    if (w.now >= e->stun_at) {
        e->stun_at = w.now + between(20, 26) * TS_S;
        if (e->stun_done_at == TS_NEVER)
            e->stun_done_at = w.now + 2 * w.delay_ns;
    }
    if (w.now >= e->stun_done_at)
        stun(e);
    if (w.now >= e->send_at) {
        e->send_at = w.now + e->every_ns;
        if (e->sent_ids < 4096) {
            e->sent_when[e->sent_ids] = w.now;
            send_data(who, e->sent_ids++, false);
        }
    }
    take(who);
}

static void run_until(ts_t end)
{
    for (;;) {
        ts_t at = ts_min(next_of(0), next_of(1));
        struct flying *first = NULL;

        for (size_t i = 0; i < FLYING_MAX; i++)
            if (w.flying[i].at != TS_NEVER && (!first || w.flying[i].at < first->at))
                first = &w.flying[i];
        for (uint16_t r = 1; r <= REGIONS; r++) {
            at = w.down[r].from > w.now ? ts_min(at, w.down[r].from) : at;
            at = w.down[r].to > w.now ? ts_min(at, w.down[r].to) : at;
        }
        if (ts_min(at, first ? first->at : TS_NEVER) > end)
            break;
        if (first && first->at <= at) {
            w.now = ts_max(w.now, first->at);
            struct flying f = *first;

            first->at = TS_NEVER;
            arrive(&f);
        } else {
            w.now = ts_max(w.now, at);
        }
        step_end(0);
        step_end(1);
    }
    w.now = end;
}

static bool possible(void)
{
    enum nat_type a = w.nats[0].type, b = w.ends[1].nat->type;

    if (w.ends[0].deaf || w.ends[1].deaf || a == NAT_BLOCKED || b == NAT_BLOCKED)
        return false;
    if (w.same_lan)
        return true;
    return !(a == NAT_SYMMETRIC && b >= NAT_PORT) && !(b == NAT_SYMMETRIC && a >= NAT_PORT);
}

static void world_make(uint64_t seed)
{
    world_seed = seed;
    paths_free(w.ends[0].paths);
    paths_free(w.ends[1].paths);
    memset(&w, 0, sizeof(w));
    rng_seed(&w.rng, seed);
    w.now = w.began = between(1, 1000) * TS_S;
    w.calm_at = w.now + STORM;
    w.delay_ns = between(TS_MS, 150 * TS_MS);
    w.jitter_ns = between(0, 20 * TS_MS);
    w.relay_ns = between(5 * TS_MS, 300 * TS_MS);
    w.loss = dice(5000) ? 0 : (uint32_t)between(0, 3000);
    w.same_lan = dice(1500);
    for (size_t i = 0; i < FLYING_MAX; i++)
        w.flying[i].at = TS_NEVER;
    for (int r = 1; r <= REGIONS; r++) {
        w.down[r].from = w.down[r].to = 0;
        if (r == 1 && dice(4000)) { /* one at a time: with both gone there is no way */
            w.down[r].from = w.now + between(0, STORM);
            w.down[r].to = dice(5000) ? TS_NEVER : w.down[r].from + between(TS_S, 60 * TS_S);
        }
    }
    for (int i = 0; i < 2; i++) {
        struct end *e = &w.ends[i];
        const uint8_t outside[4] = {203, 0, 113, (uint8_t)(i + 1)}, inside[4] = {10, 0, (uint8_t)i, 2};
        uint8_t private_key[32];

        w.nats[i] = (struct nat){.type = (enum nat_type)between(0, NAT_TYPES - 1),
                                 .hairpin = dice(5000),
                                 .outside = addr_v4(outside),
                                 .timeout_ns = between(30, 300) * TS_S,
                                 .next_port = (uint16_t)between(1024, 60000)};
        e->nat = w.same_lan ? &w.nats[0] : &w.nats[i];
        e->inside = (struct addrport){addr_v4(e->nat->type == NAT_OPEN ? outside : inside), 41641};
        key_generate(&w.rng, private_key);
        expect(key_public(private_key, e->key) == 0, "a key can't be made");
        e->home = (uint16_t)between(1, REGIONS);
        e->deaf = i == 1 && dice(500);
        e->every_ns = between(100 * TS_MS, 4 * TS_S);
        e->send_at = w.now + between(0, 5 * TS_S);
        e->minimal = i == 1 && dice(1000);
        if (e->minimal || (i == 1 && dice(5000)))
            e->send_at = TS_NEVER; /* it only answers */
        e->learn_at = e->rehome_at = TS_NEVER;
        e->restart_at = dice(3000) ? w.now + between(0, STORM) : TS_NEVER;
        e->rebind_at = dice(3000) ? w.now + between(0, STORM) : TS_NEVER;
        for (uint16_t r = 1; r <= REGIONS; r++)
            e->region_up[r] = region_works(r, w.now);
        if (!region_works(e->home, w.now))
            e->rehome_at = w.now + DETECT_NS;
    }
    for (int i = 0; i < 2; i++)
        key_generate(&w.rng, w.ends[i].disco_private);
    for (int i = 0; i < 2; i++)
        start(i);
}

static void check_end(int who, uint32_t first)
{
    struct end *e = &w.ends[who];
    struct paths_stats stats;

    for (uint32_t id = first; id < e->sent_ids; id++)
        expect(e->arrived[id] || w.now - e->sent_when[id] < 2 * TS_S, "end %d: packet %u was lost in the calm", who, id);
    paths_stats(e->paths, &stats, w.now);
    if (w.ends[1].minimal)
        ; /* what can be had without its help is its NAT's business; that data arrives is what counts */
    else if (possible())
        expect(e->way.count == 1 && e->way.to[0].kind == ENDPOINT_UDP, "end %d: not direct, between NATs %d and %d%s", who,
               w.ends[0].nat->type, w.ends[1].nat->type, w.same_lan ? " (same)" : "");
    else
        expect(e->way.count == 0 || e->way.to[0].kind == ENDPOINT_DERP, "end %d: direct where that can't be", who);
    /* what the candidates there can be (the netmap's, those called, sources seen) cost at most */
    uint64_t seconds = (w.now - w.began) / TS_S;

    expect(stats.pings_out <= (e->restarts + 2) * 64 + seconds / 3 + seconds / 5 * PATHS_CANDIDATES_MAX / 2,
           "end %d: %llu pings", who, (unsigned long long)stats.pings_out);
    expect(stats.calls_out <= seconds / 2 + 10, "end %d: %llu calls", who, (unsigned long long)stats.calls_out);
    expect(stats.full == 0, "end %d: no room for a datagram", who);
}

static void run(uint64_t seed)
{
    world_make(seed);
    /* at once: the first datagram has a way through the relay, if that is up */
    run_until(w.calm_at);
    w.loss = 0;
    for (int i = 0; i < 2; i++) {
        w.ends[i].restart_at = w.ends[i].rebind_at = TS_NEVER;
        w.ends[i].nat->timeout_ns = 300 * TS_S;
        if (w.ends[i].send_at != TS_NEVER)
            w.ends[i].send_at = w.now;
    }
    if (w.down[1].from > w.now)
        w.down[1].from = w.down[1].to = 0;
    else if (w.down[1].to != TS_NEVER)
        w.down[1].to = ts_min(w.down[1].to, w.now);
    run_until(w.calm_at + SETTLE);
    uint32_t first[2] = {w.ends[0].sent_ids, w.ends[1].sent_ids};

    run_until(w.calm_at + SETTLE + CALM);
    for (int i = 0; i < 2; i++)
        check_end(i, first[i]);
}

int main(int argc, char **argv)
{
    struct seeds seeds;

    if (!seeds_read(&seeds, SEEDS_DEFAULT, argc, argv) || crypto_init() != 0)
        return 2;
    verbose = seeds.one;
    for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; seed++)
        run(seed);
    paths_free(w.ends[0].paths);
    paths_free(w.ends[1].paths);
    printf("sim_paths: %llu seeds\n", (unsigned long long)seeds.count);
    return 0;
}
