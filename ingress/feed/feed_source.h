/* feed_source.h - where a source (file, https, etcd, tailnet) meets the map: it hands steps over, and says how it is.
 *
 *      source  --feed_sink->take(op)-->  map of nodes          steps in the order of feed_op.h
 *      source  <--go_on----------------  map of nodes          after a step was not taken: room again
 *      source  <--again----------------  map of nodes          a while after something could not be put in force
 *      source  --feed_sink->say(state)-->  log, status, metrics
 *
 * The map takes steps at the speed at which it can put them in force: after END of a large snapshot it is busy for a
 * while, in slices. A step that is not taken is offered again, unchanged, when the map says so; until then a source
 * reads no more, and the far side's TCP waits. Everything happens on the main thread. */
#ifndef FEED_FEED_SOURCE_H
#define FEED_FEED_SOURCE_H

#include <stdbool.h>

#include "common/base/ts.h"
#include "ingress/feed/feed_op.h"

#define FEED_SOURCE_TEXT 256 /* of a URL, of an error; longer ones are cut */

enum feed_source_state {
    FEED_SOURCE_STARTING = 0, /* nothing tried yet */
    FEED_SOURCE_CONNECTED,    /* what it tells is current */
    FEED_SOURCE_RETRYING,     /* lost, or never had: it tries again at retry_at */
    FEED_SOURCE_STOPPED,      /* it won't try again by itself; a reload may help */
};

/* feed_source_state_name - "connected" …: for logs, status and metrics. */
const char *feed_source_state_name(enum feed_source_state state);

/* What a source says about itself, whole at each change. Texts carry no secret: no token, no password in a URL. */
struct feed_source_status {
    enum feed_source_state state;
    char where[FEED_SOURCE_TEXT]; /* the URL or path in use, with the member or address where there are several */
    char error[FEED_SOURCE_TEXT]; /* why the last attempt failed, for people; "": none did since it was connected */
    ts_t retry_at;                /* RETRYING: when; else TS_NEVER */
    uint64_t attempts;            /* connections tried since the start */
};

struct feed_sink {
    /* A step. False: not now; nothing was taken, and go_on will be called. HEARTBEAT and ABORT are always taken. */
    bool (*take)(void *ctx, const struct feed_op *op, ts_t now);
    /* How the source is, copied; said at each change. A source that lost its connection inside a snapshot says ABORT
     * first. */
    void (*say)(void *ctx, const struct feed_source_status *status, ts_t now);
    void *ctx;
};

/* What the map's owner calls; every source has one of these in its struct or beside it. */
struct feed_source {
    /* The map has room again: offer the step that was not taken, and read on. Not called from inside take. */
    void (*go_on)(struct feed_source *source, ts_t now);
    /* What it told is not all in force, for want of memory or by a limit: tell it whole once more, from a snapshot on. */
    void (*again)(struct feed_source *source, ts_t now);
};

#endif
