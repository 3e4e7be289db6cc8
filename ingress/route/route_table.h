/* route_table.h - the map of nodes that changes while it is read: one writer, any number of readers without locks.
 *
 *      writer (main thread)    route_row_new -> route_table_conflicts -> route_table_enter | route_table_leave
 *      readers (workers)       route_reader_enter -> route_find, route_node_by_… (route.h) -> route_reader_leave
 *
 * A node changes for all readers at once: they see its row from before or the one after, whole. What a reader found is
 * valid until it leaves; who wants a row for longer takes a reference (route_node_get), and may put it on any thread. */
#ifndef ROUTE_ROUTE_TABLE_H
#define ROUTE_ROUTE_TABLE_H

#include "common/base/map.h"
#include "ingress/route/route.h"
#include "ingress/route/route_epoch.h"

/* What two nodes may not share. */
enum route_conflict_kind {
    ROUTE_CONFLICT_NONE = 0,
    ROUTE_CONFLICT_ID,
    ROUTE_CONFLICT_KEY,       /* a WireGuard peer is found by its key alone */
    ROUTE_CONFLICT_ADDRESS,   /* the same address in the same tailnet; derived ones count too */
    ROUTE_CONFLICT_NAME,      /* the node itself lists this name twice */
    ROUTE_CONFLICT_NAME_FULL, /* ROUTE_NODES_PER_NAME others have the name */
};

struct route_conflict {
    enum route_conflict_kind kind;
    size_t index;                   /* which of the node's addresses or names */
    const struct route_node *other; /* who has it; NULL when it is the node itself, or many */
};

/* route_table_new - `seed` keys the hashes (SipHash): random and secret, because visitors choose the names that are
 * looked up. NULL: out of memory. */
struct route_table *route_table_new(const struct map_seed *seed);
/* route_table_free - no reader is left. Rows that somebody holds stay theirs. NULL allowed. */
void route_table_free(struct route_table *table);

/* route_table_epoch - for route_reader_init. */
struct route_epoch *route_table_epoch(struct route_table *table);
/* route_table_reclaim - free rows that nobody reads any more; `most` at most. Call it often. */
void route_table_reclaim(struct route_table *table, size_t most);

/* route_row_new - a row with one reference, outside of any table; everything `node` points to is copied. Without
 * addresses it gets the one derived from its key. The caller has checked the values against the ranges in route.h
 * (counts above them are a bug); names are clean (config_text_name). NULL: out of memory. */
const struct route_node *route_row_new(const struct route_node *node);

/* route_node_get - one more reference. route_node_put drops one, wiping a preshared key with the last; NULL allowed. */
const struct route_node *route_node_get(const struct route_node *node);
void route_node_put(const struct route_node *node);

/* route_row_bytes - what it takes of the heap. */
size_t route_row_bytes(const struct route_node *node);

/* route_row_twice - the node lists an address or a name twice: ROUTE_CONFLICT_ADDRESS or _NAME and which; else NONE. */
enum route_conflict_kind route_row_twice(const struct route_node *node, size_t *index);

/* route_table_conflicts - call fn for each thing that node would claim and another id has, in the order key, addresses,
 * names; until fn returns false. Returns whether it went through. */
bool route_table_conflicts(const struct route_table *table, const struct route_node *node,
                           bool (*fn)(const struct route_conflict *conflict, void *ctx), void *ctx);

/* route_table_enter - put the row (its reference is taken) in the place of the one with its id, or into a new one.
 * There may be no conflict. *was: the row that it replaces, valid until the next reclaim; NULL: none.
 * 0; ERR_NOMEM or ERR_FULL (16 million nodes): nothing was changed, and the row is still the caller's. */
int route_table_enter(struct route_table *table, const struct route_node *row, const struct route_node **was);

/* route_table_leave - take the node out; its row is valid until the next reclaim. */
void route_table_leave(struct route_table *table, const struct route_node *node);

/* route_table_bytes - what all its rows take, for the writer. */
size_t route_table_bytes(const struct route_table *table);

/* Places: a node keeps its number while it is in the table, below route_table_places; a free one gives NULL. */
uint32_t route_table_places(const struct route_table *table);
const struct route_node *route_table_at(const struct route_table *table, uint32_t place);
uint32_t route_node_place(const struct route_node *node);

/* route_table_mark - a number beside each node for the writer's use; 0 when it enters, kept by later rows. */
uint32_t *route_table_mark(struct route_table *table, uint32_t place);

/* route_table_order_set - where the node stands among those of one name; less comes first, equals by place. */
void route_table_order_set(struct route_table *table, uint32_t place, uint32_t order);

/* route_table_watch - a reader keeps a row beyond its turn, and wants to be told when it is replaced. Returns the row
 * that is in force once it is watched: another one than given, or NULL, when it changed meanwhile. Valid in the turn. */
const struct route_node *route_table_watch(struct route_table *table, const struct route_node *row);
/* route_table_watched - for the writer: somebody wants to be told. */
bool route_table_watched(const struct route_table *table, uint32_t place);
/* route_table_unwatch - for the writer, after it told that the node has left. */
void route_table_unwatch(struct route_table *table, uint32_t place);

/* route_table_stop - readers find nobody (ROUTE_STALE) until it is taken back: the feed is older than allowed. */
void route_table_stop(struct route_table *table, bool stopped);

#endif
