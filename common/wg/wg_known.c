#include "common/wg/wg_known.h"

static uint32_t bit_of(uint64_t hash, uint32_t i)
{
    /* two hashes make any number of them: Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006 */
    return ((uint32_t)hash + i * ((uint32_t)(hash >> 32) | 1)) % WG_KNOWN_BITS;
}

static void turn(struct wg_known *known, ts_t now)
{
    ts_t turned_at = atomic_load_explicit(&known->turned_at, memory_order_relaxed);

    if (ts_since(now, turned_at) < WG_KNOWN_TURN || !atomic_compare_exchange_strong(&known->turned_at, &turned_at, now))
        return;
    unsigned older = !atomic_load_explicit(&known->newer, memory_order_relaxed);

    for (uint32_t i = 0; i < WG_KNOWN_BITS / 64; i++)
        atomic_store_explicit(&known->bits[older][i], 0, memory_order_relaxed);
    atomic_store_explicit(&known->newer, older, memory_order_relaxed);
}

void wg_known_add(struct wg_known *known, uint64_t hash, ts_t now)
{
    turn(known, now);
    unsigned newer = atomic_load_explicit(&known->newer, memory_order_relaxed);

    for (uint32_t i = 0; i < WG_KNOWN_HASHES; i++) {
        uint32_t bit = bit_of(hash, i);

        atomic_fetch_or_explicit(&known->bits[newer][bit / 64], UINT64_C(1) << bit % 64, memory_order_relaxed);
    }
}

static bool in(const struct wg_known *known, int which, uint64_t hash)
{
    for (uint32_t i = 0; i < WG_KNOWN_HASHES; i++) {
        uint32_t bit = bit_of(hash, i);
        uint64_t word = atomic_load_explicit(&known->bits[which][bit / 64], memory_order_relaxed);

        if (!(word >> bit % 64 & 1))
            return false;
    }
    return true;
}

bool wg_known_has(const struct wg_known *known, uint64_t hash)
{
    return in(known, 0, hash) || in(known, 1, hash);
}
