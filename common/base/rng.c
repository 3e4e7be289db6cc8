#include "common/base/rng.h"

#include <string.h>

#include "common/base/bug.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* xoshiro256** by Blackman and Vigna (public domain algorithm) */
static uint64_t next(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

static void seeded_fill(struct rng *rng, void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        uint64_t v = next(rng->state);
        size_t n = MIN(len, sizeof(v));

        memcpy(at, &v, n);
        at += n;
        len -= n;
    }
}

void rng_seed(struct rng *rng, uint64_t seed)
{
    rng->fill = seeded_fill;
    for (int i = 0; i < 4; i++) { /* splitmix64, as the authors of xoshiro advise */
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        rng->state[i] = z ^ (z >> 31);
    }
}

uint32_t rng_u32(struct rng *rng)
{
    uint32_t v;

    rng->fill(rng, &v, sizeof(v));
    return v;
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t v;

    rng->fill(rng, &v, sizeof(v));
    return v;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
    BUG_ON(n == 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t v;

    do
        v = rng_u64(rng);
    while (v >= limit);
    return v % n;
}
