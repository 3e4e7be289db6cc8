/* wg_load.c - the meter, the buckets, and the table of sources as a set-associative cache of buckets. */
#include "common/wg/wg_load.h"

#include <stdlib.h>

#include "common/base/bug.h"

#define STICKY_NS          TS_S            /* both stock ones: under load for 1 s after the queue was last long */
#define SOURCE_NS          (TS_S / 20)     /* both stock ones, ratelimiter: 20 a second */
#define SOURCE_BURST_NS    (5 * SOURCE_NS) /* and 5 at once */
#define HANDSHAKE_BURST_NS (TS_S / 4)
#define COOKIE_NS          (TS_S / 4000) /* 2.5 % of a core: 6 µs each, measured 2026-11 */
#define COOKIE_BURST_NS    (TS_S / 20)
#define V6_PREFIX_BYTES    8

static ts_t relaxed(const _Atomic ts_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

/* take - a token bucket (base/bucket.h) shared by threads: one token each cost_ns, burst_ns worth of them at once */
static bool take(_Atomic ts_t *full_at, uint64_t cost_ns, uint64_t burst_ns, ts_t now)
{
    ts_t was = relaxed(full_at), next;

    do {
        next = ts_max(was, now) + cost_ns;
        if (next - now > MAX(burst_ns, cost_ns))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(full_at, &was, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static uint64_t hash_of(const struct wg_load *load, const struct addr *source)
{
    return map_hash(&load->seed, source->b, addr_is_v4(source) ? sizeof(source->b) : V6_PREFIX_BYTES);
}

struct wg_load *wg_load_new(uint32_t handshakes_per_s, struct rng *rng)
{
    struct wg_load *load = calloc(1, sizeof(*load));

    if (!load)
        return NULL;
    wg_load_limit_set(load, handshakes_per_s);
    load->seed.k0 = rng_u64(rng);
    load->seed.k1 = rng_u64(rng);
    return load;
}

void wg_load_free(struct wg_load *load)
{
    free(load);
}

void wg_load_limit_set(struct wg_load *load, uint32_t handshakes_per_s)
{
    atomic_store_explicit(&load->handshake_ns, handshakes_per_s ? TS_S / handshakes_per_s : 0, memory_order_relaxed);
}

bool wg_load_arrived(struct wg_load *load, ts_t now)
{
    uint64_t handshake_ns = relaxed(&load->handshake_ns);

    if (!handshake_ns)
        return true;
    if (take(&load->arrivals, handshake_ns, HANDSHAKE_BURST_NS, now))
        return now < relaxed(&load->until);
    atomic_store_explicit(&load->until, ts_add(now, STICKY_NS), memory_order_relaxed);
    return true;
}

bool wg_load_cookie_take(struct wg_load *load, const struct addr *source, ts_t now)
{
    bool known = wg_known_has(&load->known, hash_of(load, source));

    return (known && take(&load->cookies_known, COOKIE_NS, COOKIE_BURST_NS, now)) ||
           take(&load->cookies, COOKIE_NS, COOKIE_BURST_NS, now);
}

static bool source_take(struct wg_load *load, const struct addr *source, ts_t now)
{
    uint64_t hash = hash_of(load, source);
    struct wg_load_source *set = load->sources[hash % WG_LOAD_SETS], *s = &set[0];

    for (int i = 0; i < WG_LOAD_WAYS; i++) {
        if (relaxed(&set[i].tag) == hash) {
            s = &set[i];
            break;
        }
        if (relaxed(&set[i].full_at) < relaxed(&s->full_at))
            s = &set[i];
    }
    if (relaxed(&s->tag) != hash) {
        atomic_store_explicit(&s->full_at, 0, memory_order_relaxed);
        atomic_store_explicit(&s->tag, hash, memory_order_relaxed);
    }
    return take(&s->full_at, SOURCE_NS, SOURCE_BURST_NS, now);
}

bool wg_load_handshake_take(struct wg_load *load, const struct addr *source, ts_t now)
{
    uint64_t handshake_ns = relaxed(&load->handshake_ns);

    /* the source first: what it may not have, it does not take from the others */
    return source_take(load, source, now) &&
           (!handshake_ns || take(&load->work, handshake_ns, HANDSHAKE_BURST_NS, now));
}

void wg_load_proven(struct wg_load *load, const struct addr *source, ts_t now)
{
    wg_known_add(&load->known, hash_of(load, source), now);
}
