/* feed_map.h - from what a feed says to what the table holds. No I/O: it takes steps (feed_op.h) and the time.
 *
 *      feed_map_take(op)  ->  staged rows  --END-->  feed_map_step, a slice at a time  ->  route table
 *                                                     feed_map_event: what became of nodes that somebody watches
 *
 * A snapshot is held beside the table until END; then its rows enter one by one, and last of all nodes that it did not
 * name leave. Rows that say what the table says already cost a look-up and nothing else. Deltas go straight in.
 *
 * Who holds what (key, address, one of the places of a name) keeps it; a row that claims what another node holds is
 * left out and waits, and its node goes on with the row it had, for as long as nobody else claims what that row holds.
 * When the holder gives it up, the row that waits comes in, the longest waiting first. A row that waits and is closed
 * (an opt-in taken back, expired) takes its node out all the same: no conflict keeps up a consent that is gone. Of a
 * snapshot, a holder that it no longer names does not count.
 *
 * A node that is withdrawn (REVOKE, or a closed row that had to wait) leaves a tombstone in the table: its row, closed for
 * good, which holds nothing against others. A PUT replaces it, REMOVE and a snapshot that does not name it take it out,
 * and of more than FEED_TOMBSTONES_MAX the oldest goes. REVOKE counts at once, also in a snapshot that is refused.
 *
 * A row that is not valid leaves its node as it was. If not even its id can be read, nobody is taken for absent from
 * that snapshot. One that grows beyond the limits is refused at its end; of what comes after the limit nothing is kept. A
 * new or larger row for which there is no room is left out, and its node goes on as it was (closed, if the row is).
 * A snapshot with a lower revision than the map's is refused until feed_map_forgive; with `live`, so is
 * one without any node while the map has some.
 *
 * One thread's. docs/feed.md tells it to those who write feeds. */
#ifndef FEED_FEED_MAP_H
#define FEED_FEED_MAP_H

#include "common/base/ts.h"
#include "ingress/feed/feed_op.h"
#include "ingress/route/route_table.h"

#define FEED_WAITING_MAX 1024 /* rows left out and kept; more are dropped until their next PUT */
#define FEED_TOMBSTONES_MAX 16384
#define FEED_MAP_TEXT    512

struct feed_map;

enum feed_event_kind {
    FEED_EVENT_CHANGED = 1, /* another row: `node` is the one before */
    FEED_EVENT_REMOVED,     /* no longer in the feed: its streams drain */
    FEED_EVENT_REVOKED,     /* withdrawn, by a tombstone or by an opt-in that is gone: its streams end by config */
};

/* Of watched nodes only (route_table_watch). `node` is a reference, the taker's. */
struct feed_event {
    enum feed_event_kind kind;
    const struct route_node *node;
};

struct feed_map_stats {
    struct feed_point point; /* of the last complete snapshot, its revision that of a later heartbeat */
    uint64_t snapshots;   /* put in force */
    uint64_t deltas;      /* PUT, REMOVE and REVOKE outside of snapshots */
    uint64_t aborted;     /* snapshots that their source gave up */
    uint64_t refused;     /* snapshots that were not believed: older, or empty */
    uint64_t rows_bad;    /* not valid */
    uint64_t conflicts;   /* rows left out, each time */
    size_t waiting;       /* left out now */
    uint64_t entered, left; /* rows put into and taken out of the table */
    uint64_t revoked;     /* nodes withdrawn, by a tombstone or an opt-in that is gone */
    bool starved;         /* rows that were told are not in the table, for want of memory or because a snapshot was larger
                           * than allowed: only another one brings them */
    ts_t told_at;         /* when the feed last said that it is current (END, HEARTBEAT, a delta); 0: never */
    char fault[FEED_MAP_TEXT];    /* the last bad row; "" */
    char conflict[FEED_MAP_TEXT]; /* the last row left out */
    char refusal[FEED_MAP_TEXT];  /* the last snapshot refused */
};

struct feed_map_config {
    struct route_table *table; /* borrowed; nobody else writes to it */
    const char *name;          /* of the feed, in faults; borrowed */
    struct map_seed seed;      /* random and secret: keys the hashes of ids */
    bool live;                 /* tells deltas; else: a file, whose word counts even when it is empty */
    size_t nodes_max;          /* rows of a snapshot, nodes of the table; 0: no bound but the table's own */
    size_t bytes_max;          /* of rows: those of a snapshot, and those of table and waiting rows together; 0: no bound */
};

struct feed_map *feed_map_new(const struct feed_map_config *config);
/* feed_map_limits - other bounds, for what is told from here on. */
void feed_map_limits(struct feed_map *map, size_t nodes_max, size_t bytes_max);
void feed_map_free(struct feed_map *map); /* the table keeps its rows. NULL allowed */

/* feed_map_take - one step. False: not now, a snapshot is being put in force; nothing was taken (see feed_source.h).
 * unix_now  wall-clock seconds, for expiry */
bool feed_map_take(struct feed_map *map, const struct feed_op *op, uint64_t unix_now, ts_t now);

/* feed_map_take_row - a PUT within a snapshot whose row is made already (the reference is taken). */
bool feed_map_take_row(struct feed_map *map, const struct route_node *row);

/* feed_map_busy - a snapshot is being put in force, or thrown away. feed_map_step - so many rows of it. Returns whether it is still busy;
 * it stops early when many events wait to be taken. */
bool feed_map_busy(const struct feed_map *map);
bool feed_map_step(struct feed_map *map, size_t rows, uint64_t unix_now, ts_t now);

bool feed_map_event(struct feed_map *map, struct feed_event *out);

/* feed_map_resume - the table holds what the feed said up to there, from before the start. */
void feed_map_resume(struct feed_map *map, const struct feed_point *point);

/* feed_map_forgive - the next snapshot may have any revision, and no node: an operator says so. */
void feed_map_forgive(struct feed_map *map);

const struct feed_map_stats *feed_map_stats(const struct feed_map *map);

#endif
