/* metrics.h - what the server counts, as Prometheus text.
 *
 * Counters live where the decision is made, on one worker each, without atomics; a sample is taken by mail and the
 * samples are added up. Names follow prometheus.io/docs/practices/naming: base units, _total on counters, bounded
 * labels. */
#ifndef INGRESS_METRICS_H
#define INGRESS_METRICS_H

#include "ingress/reason.h"
#include "common/tunnel/tunnel.h"

struct feed_report;
struct generation;
struct underlay;
struct worker;

struct metrics_sample {
    uint64_t ended[REASON_COUNT];
    uint64_t bytes_up, bytes_down; /* of ended streams */
    uint64_t flows, links, greetings;
    uint64_t warm, warm_hits, warm_misses, warm_stale;
    uint64_t foreign, unknown_keys, underlay_dropped;
    uint64_t udp_sent, udp_calls, udp_failed;
    uint64_t pool_chunks, pool_chunks_peak, pool_chunk_bytes;
    uint64_t turn_max_ns; /* of a worker's loop */
    struct tunnel_stats tunnel;
    struct tcp_stack_stats tcp;
};

/* A sample on its way to a worker and back; the asker's from new to free. */
struct metrics_mail {
    struct metrics_round *round; /* the asker's */
    struct metrics_sample sample;
};

/* metrics_take - on the worker's thread. */
void metrics_take(struct metrics_sample *out, const struct worker *worker);

/* metrics_add - sum += one. */
void metrics_add(struct metrics_sample *sum, const struct metrics_sample *one);

/* metrics_text - Prometheus text format 0.0.4, malloc'ed; NULL: out of memory. underlay may be NULL. */
char *metrics_text(const struct metrics_sample *sum, const struct generation *generation, unsigned workers,
                   const struct feed_report *feed, const struct underlay *underlay, ts_t now);

#endif
