/* disco_filter.h - whether a disco key may be a peer's: a Bloom filter that the main thread fills and workers ask.
 *
 * What only looks like disco is to cost the worker that read it a glance, not the main thread a mail. Keys are random
 * points, so their own bytes are hash enough; who knows the keys of a tailnet is in it. A wrong "yes" costs one
 * look-up, a wrong "no" (while it is being refilled) one ping. */
#ifndef INGRESS_DISCO_FILTER_H
#define INGRESS_DISCO_FILTER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/bytes.h"

#define DISCO_FILTER_BITS (1u << 20) /* 10,000 keys: one stranger in 2,700 gets through; 200,000: one in 10 */

struct disco_filter {
    _Atomic uint64_t words[DISCO_FILTER_BITS / 64];
};

static inline void disco_filter_add(struct disco_filter *f, const uint8_t key[32])
{
    for (int i = 0; i < 2; i++) {
        uint32_t bit = le32_get(key + 4 * i) % DISCO_FILTER_BITS;

        atomic_fetch_or_explicit(&f->words[bit / 64], (uint64_t)1 << bit % 64, memory_order_relaxed);
    }
}

static inline bool disco_filter_has(const struct disco_filter *f, const uint8_t key[32])
{
    bool has = true;

    for (int i = 0; i < 2; i++) {
        uint32_t bit = le32_get(key + 4 * i) % DISCO_FILTER_BITS;

        has &= atomic_load_explicit(&f->words[bit / 64], memory_order_relaxed) >> bit % 64 & 1;
    }
    return has;
}

static inline void disco_filter_clear(struct disco_filter *f)
{
    for (unsigned i = 0; i < DISCO_FILTER_BITS / 64; i++)
        atomic_store_explicit(&f->words[i], 0, memory_order_relaxed);
}

#endif
