/* feed_op.h - what every feed tells, whatever brings it: one step at a time.
 *
 *      file, https, etcd, tailnet  --feed_op-->  the map of nodes (its one writer)
 *
 * A source opens with a snapshot (BEGIN, PUT …, END) and goes on with deltas (PUT, REMOVE, REVOKE, HEARTBEAT); at any
 * time it may open a new snapshot. A snapshot is complete or it is nothing: a source that fails inside one says ABORT,
 * and what is absent counts as absent only at END. Absent and revoked are different things: see docs/feed.md. */
#ifndef FEED_FEED_OP_H
#define FEED_FEED_OP_H

#include <stddef.h>
#include <stdint.h>

enum feed_op_kind {
    FEED_OP_BEGIN = 1, /* a complete snapshot starts */
    FEED_OP_PUT,       /* a node, new or changed: `text` is its JSON object as docs/feed.md has it */
    FEED_OP_REMOVE,    /* node `id` is no longer in the feed: refused, its streams drain */
    FEED_OP_REVOKE,    /* node `id` is withdrawn for good: refused at once, its streams end by config. Also in a snapshot */
    FEED_OP_END,       /* the snapshot is complete, as of `revision` */
    FEED_OP_ABORT,     /* the snapshot under way is void; the map stays as it was before BEGIN */
    FEED_OP_HEARTBEAT, /* everything up to `revision` was told, and the feed is alive */
};

/* How far a feed was told. */
struct feed_point {
    uint64_t revision; /* 0: the source has none, or nothing was told */
    uint64_t origin;   /* whose revisions these are, where the source says so (etcd: the cluster's id); else 0 */
};

/* Texts are borrowed for the call that hands the op over, and not zero-terminated. */
struct feed_op {
    enum feed_op_kind kind;
    const char *text; /* PUT */
    size_t text_len;
    const char *id;   /* REMOVE, REVOKE; PUT: the row's must be this, where the source has it apart (a key), else NULL */
    size_t id_len;
    uint64_t revision; /* END, HEARTBEAT; 0: the source has none */
    uint64_t origin;   /* END: as in feed_point */
    uint64_t line;     /* where in the source it stood, for errors; 0: unknown */
};

#endif
