/* limits.h - how much the public may use: counts shared by all workers, touched at accept and close only.
 *
 * Connections a source are counted in a fixed table of atomic counters with two rows (a count-min sketch, Cormode and
 * Muthukrishnan 2005): no keys are stored, memory never grows, and a collision can only make a source look busier than
 * it is, in two rows at once. The hash is keyed, so nobody can aim at a neighbour. A source is an IPv4 address or an
 * IPv6 /64. */
#ifndef INGRESS_LIMITS_H
#define INGRESS_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/addr.h"
#include "common/base/map.h"
#include "common/base/rng.h"

#define LIMITS_SLOTS 65536 /* a row; 2 rows, 512 KiB in all */
#define LIMITS_ROWS  2

struct limits {
    struct map_seed seed;
    atomic_uint connections;
    atomic_uint pending_hellos;
    atomic_uint sources[LIMITS_ROWS][LIMITS_SLOTS];
};

/* limits_new - all zero. NULL: out of memory. */
struct limits *limits_new(struct rng *rng);
void limits_free(struct limits *limits);

enum limits_verdict {
    LIMITS_OK = 0,
    LIMITS_TOTAL,  /* too many visitors, or too many without a name yet */
    LIMITS_SOURCE, /* too many from this source */
};

/* limits_enter - count a new visitor from `source` against the given maxima; with OK it must leave again. Its hello is
 * pending until limits_hello_done. */
enum limits_verdict limits_enter(struct limits *limits, const struct addr *source, unsigned connections_max,
                                 unsigned per_source_max, unsigned pending_max);
void limits_hello_done(struct limits *limits);
void limits_leave(struct limits *limits, const struct addr *source);

/* limits_move - the visitor is from `to`, as a trusted balancer's PROXY header says, not from `from`. */
enum limits_verdict limits_move(struct limits *limits, const struct addr *from, const struct addr *to,
                                unsigned per_source_max);

#endif
