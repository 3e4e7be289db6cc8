/* feed_host.h - the map of nodes in a running server: its table, its feed, and who is told. SHELL, on the main thread.
 *
 *      feed file  --thread: read, parse, check-->  rows  --+
 *      another source  --feed_sink-->  steps  -------------+-->  feed_map  -->  table  <--  workers read
 *                                                                  |
 *                                    mail to the workers of connected nodes  <--  events
 *
 * Work that takes long is done in slices of a loop turn (a snapshot put in force) or on a thread of its own (a file
 * parsed), so that signals and the admin socket are answered meanwhile. The file is looked at each second: a change is
 * taken once two looks have seen the same. */
#ifndef INGRESS_FEED_HOST_H
#define INGRESS_FEED_HOST_H

#include "common/config/config_errors.h"
#include "common/net/loop.h"
#include "ingress/feed/feed_map.h"
#include "ingress/feed/feed_source.h"
#include "ingress/ingress_config.h"

struct workers;
struct feed_host;

/* What the owner hears. */
struct feed_host_listener {
    /* A reload's feed has been read: errors NULL (from here on it is put in force), or what is wrong with it. */
    void (*loaded)(void *ctx, int rc, const struct config_errors *errors, ts_t now);
    /* what was being put in force is, whole */
    void (*settled)(void *ctx, ts_t now);
    void *ctx;
};

/* feed_host_new - a host without nodes; workers->routes is its table from here on. NULL: out of memory. */
struct feed_host *feed_host_new(struct loop *loop, struct workers *workers, struct rng *rng,
                                const struct feed_host_listener *listener);

/* feed_host_start - the first feed, before any worker runs: a file is read, and the call blocks until it is; for other
 * feeds the map in state_dir is loaded, if there is one, and their source is left to be started (feed_host_sink). config is borrowed until the next
 * reload is in force. Errors as feed_load. */
int feed_host_start(struct feed_host *host, const struct ingress_config *config, struct config_errors *errors)
    __attribute__((warn_unused_result));

/* feed_host_watch - from now on changes of the file are looked for. */
void feed_host_watch(struct feed_host *host, ts_t now);

/* feed_host_reload - read the feed of a new configuration; `loaded` follows. Only then is config the host's, on borrow. */
void feed_host_reload(struct feed_host *host, const struct ingress_config *config);

/* feed_host_busy - something is being put in force; `settled` follows. */
bool feed_host_busy(const struct feed_host *host);

/* feed_host_sink - for sources. feed_host_source_set - which one there is, borrowed: it is told when there is room again.
 * NULL: none any more. */
const struct feed_sink *feed_host_sink(struct feed_host *host);
void feed_host_source_set(struct feed_host *host, struct feed_source *source);

/* How the feed is, for log, status and metrics. Texts live until the next call on the host. */
struct feed_report {
    const char *type;   /* as the configuration has it */
    bool heard;         /* it spoke since the start */
    const struct feed_source_status *source;
    const struct feed_map_stats *map;
    const char *state;  /* "current"; "stale": the feed does not answer, or is silent for longer than allowed;
                         * "loading"; "cold": the map is the one kept on disk; "empty": there is none yet */
    uint64_t age_ns;    /* since it last said that it is current; cold: since the map on disk was written; empty: 0 */
    uint64_t kept_age_ns; /* since the map on disk was written; UINT64_MAX: there is none */
    bool stopped;       /* older than feed.stale_limit: nobody is served */
    size_t nodes;
    size_t retired;     /* rows that wait for readers */
    uint64_t turn_max_ns; /* the longest turn of the main loop */
};
void feed_host_report(struct feed_host *host, struct feed_report *out, ts_t now);

/* feed_host_free - no worker runs any more. NULL allowed. The table is freed with it. */
void feed_host_free(struct feed_host *host);

#endif
