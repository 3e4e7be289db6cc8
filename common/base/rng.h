/* rng.h - randomness as an input, so that a seed replays a whole simulation.
 *
 * Programs use the generator of crypto/ (crypto_rng); simulations and tests seed this one (xoshiro256**, which is not
 * for secrets). */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    void (*fill)(struct rng *rng, void *out, size_t len); /* writes len bytes; can't fail */
    uint64_t state[4];                                    /* used by rng_seed's generator */
};

/* rng_seed - make `rng` the deterministic generator; equal seeds give equal streams. */
void rng_seed(struct rng *rng, uint64_t seed);

static inline void rng_fill(struct rng *rng, void *out, size_t len)
{
    rng->fill(rng, out, len);
}

uint32_t rng_u32(struct rng *rng);
uint64_t rng_u64(struct rng *rng);

/* rng_below - uniform in [0, n); n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

#endif
