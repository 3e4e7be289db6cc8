/* wg_load.c - the meter, and the table of sources as a set-associative cache of token buckets. */
#include "common/wg/wg_load.h"

#define STICKY_NS        TS_S /* both stock implementations: under load for 1 s after the queue was last long */
#define SOURCE_PER_S     20   /* both stock implementations, ratelimiter */
#define SOURCE_BURST     5
#define V6_PREFIX_BYTES  8

void wg_load_init(struct wg_load *load, uint32_t handshakes_per_s, struct rng *rng)
{
    *load = (struct wg_load){.always = handshakes_per_s == 0};
    if (handshakes_per_s)
        bucket_init(&load->arrivals, handshakes_per_s, handshakes_per_s);
    load->seed.k0 = rng_u64(rng);
    load->seed.k1 = rng_u64(rng);
}

bool wg_load_arrived(struct wg_load *load, ts_t now)
{
    if (load->always)
        return true;
    if (!bucket_take(&load->arrivals, now))
        load->until = ts_add(now, STICKY_NS);
    return now < load->until;
}

bool wg_load_source_take(struct wg_load *load, const struct addr *source, ts_t now)
{
    uint64_t hash = map_hash(&load->seed, source->b, addr_is_v4(source) ? sizeof(source->b) : V6_PREFIX_BYTES);
    struct wg_load_source *set = load->sources[hash % WG_LOAD_SETS], *s = &set[0];
    struct bucket bucket;

    for (int i = 0; i < WG_LOAD_WAYS; i++) {
        if (set[i].tag == hash) {
            s = &set[i];
            break;
        }
        if (set[i].full_at < s->full_at)
            s = &set[i];
    }
    bucket_init(&bucket, SOURCE_PER_S, SOURCE_BURST);
    bucket.full_at = s->tag == hash ? s->full_at : 0;
    bool allowed = bucket_take(&bucket, now);

    s->tag = hash;
    s->full_at = bucket.full_at;
    return allowed;
}
