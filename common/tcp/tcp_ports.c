/* tcp_ports.c - places in a map; in each, a ring of resting ports ordered by when they were given back. */
#include "common/tcp/tcp_ports.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"

#define RING_START 8

struct rested {
    uint64_t since_ms : 48; /* rounded up */
    uint64_t port : 16;
};

struct place {
    struct map_node node;
    struct list idle; /* in tcp_ports.idle while in_use == 0 */
    struct addr local;
    struct addrport remote;
    uint32_t in_use;
    uint32_t fresh_used; /* how many of the never used ones were taken */
    uint16_t fresh_from; /* the first of them, counted from the range's start */
    struct rested *ring; /* resting ports, longest first; room for all that may come back */
    uint32_t ring_first, ring_count, ring_room; /* ring_room: power of two */
};

void tcp_ports_init(struct tcp_ports *p, uint16_t first, uint16_t last, uint64_t rest_ns, struct rng *rng)
{
    BUG_ON(first == 0 || last < first);
    *p = (struct tcp_ports){.rng = rng, .first = first, .last = last, .rest_ns = rest_ns};
    map_init(&p->places);
    list_init(&p->idle);
    rng_fill(rng, &p->seed, sizeof(p->seed));
}

static void place_free(struct tcp_ports *p, struct place *at)
{
    map_remove(&p->places, &at->node);
    list_remove(&at->idle);
    free(at->ring);
    free(at);
}

void tcp_ports_deinit(struct tcp_ports *p)
{
    struct map_node *n;

    while ((n = map_any(&p->places)))
        place_free(p, container_of(n, struct place, node));
    map_deinit(&p->places);
}

static uint64_t place_hash(const struct tcp_ports *p, const struct addr *local, const struct addrport *remote)
{
    uint8_t key[34];

    memcpy(key, local->b, 16);
    memcpy(key + 16, remote->addr.b, 16);
    be16_put(key + 32, remote->port);
    return map_hash(&p->seed, key, sizeof(key));
}

static struct place *place_find(const struct tcp_ports *p, const struct addr *local, const struct addrport *remote,
                                uint64_t hash)
{
    for (struct map_node *n = map_first(&p->places, hash); n; n = map_next(n)) {
        struct place *at = container_of(n, struct place, node);

        if (addr_equal(&at->local, local) && addrport_equal(&at->remote, remote))
            return at;
    }
    return NULL;
}

static struct rested *ring_at(const struct place *at, uint32_t i)
{
    return &at->ring[(at->ring_first + i) & (at->ring_room - 1)];
}

static uint64_t rested_ns(const struct rested *r, ts_t now)
{
    return ts_since(now, r->since_ms * TS_MS);
}

/* forget up to two idle places whose ports have all rested, so that forgetting keeps pace with taking */
static void forget_idle(struct tcp_ports *p, ts_t now)
{
    for (int i = 0; i < 2; i++) {
        struct list *l = list_first(&p->idle);
        struct place *at = l ? container_of(l, struct place, idle) : NULL;

        if (!at || (at->ring_count && rested_ns(ring_at(at, at->ring_count - 1), now) < p->rest_ns))
            return;
        place_free(p, at);
    }
}

static struct place *place_get(struct tcp_ports *p, const struct addr *local, const struct addrport *remote)
{
    uint64_t hash = place_hash(p, local, remote);
    struct place *at = place_find(p, local, remote, hash);

    if (at)
        return at;
    at = calloc(1, sizeof(*at));
    if (!at)
        return NULL;
    at->local = *local;
    at->remote = *remote;
    at->fresh_from = (uint16_t)rng_below(p->rng, (uint64_t)p->last - p->first + 1);
    list_init(&at->idle);
    list_append(&p->idle, &at->idle);
    map_insert(&p->places, &at->node, hash);
    return at;
}

/* room so that the port being taken can come back without asking for memory */
static bool ring_reserve(struct place *at)
{
    if (at->in_use + at->ring_count < at->ring_room)
        return true;
    uint32_t room = at->ring_room ? at->ring_room * 2 : RING_START;
    struct rested *ring = malloc(room * sizeof(*ring));

    if (!ring)
        return false;
    for (uint32_t i = 0; i < at->ring_count; i++)
        ring[i] = *ring_at(at, i);
    free(at->ring);
    at->ring = ring;
    at->ring_room = room;
    at->ring_first = 0;
    return true;
}

int tcp_ports_take(struct tcp_ports *p, const struct addr *local, const struct addrport *remote, ts_t now)
{
    uint32_t range = (uint32_t)p->last - p->first + 1;

    forget_idle(p, now);
    struct place *at = place_get(p, local, remote);

    if (!at)
        return ERR_NOMEM;
    uint64_t longest_ns = at->ring_count ? rested_ns(ring_at(at, 0), now) : 0;
    bool fresh_left = at->fresh_used < range;
    uint16_t port;

    if (!ring_reserve(at))
        return ERR_NOMEM;
    if (at->ring_count && longest_ns >= (fresh_left ? TCP_PORTS_REST_LONG : 1) * p->rest_ns) {
        port = ring_at(at, 0)->port;
        at->ring_first++;
        at->ring_count--;
    } else if (fresh_left) {
        port = (uint16_t)(p->first + (at->fresh_from + at->fresh_used++) % range);
    } else {
        return ERR_NO_PORTS;
    }
    at->in_use++;
    list_remove(&at->idle);
    return port;
}

void tcp_ports_put(struct tcp_ports *p, const struct addrport *local, const struct addrport *remote, ts_t now)
{
    struct place *at = place_find(p, &local->addr, remote, place_hash(p, &local->addr, remote));

    BUG_ON(!at || at->in_use == 0);
    at->in_use--;
    *ring_at(at, at->ring_count++) = (struct rested){.since_ms = (now + TS_MS - 1) / TS_MS, .port = local->port};
    if (at->in_use == 0)
        list_append(&p->idle, &at->idle);
}

size_t tcp_ports_places(const struct tcp_ports *p)
{
    return p->places.count;
}
