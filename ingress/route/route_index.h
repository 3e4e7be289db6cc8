/* route_index.h - from a hash to the places that may hold what was looked for: one writer, readers without locks.
 *
 * Open addressing in an array of 64-bit entries: 28 bits of the hash, the node's place in the table (24 bits), and
 * which of its names or addresses it is (12 bits, a hint). An entry only says where to look: the reader compares what
 * lies there. So entries can be written before what they lead to, and taken out after it has gone. The entry of what
 * stays keeps its position, whatever else changes: else a reader could pass by where the new one will be, and come to the
 * old one when it is gone.
 *
 * The array never changes size under a reader. When it fills up (or has too many entries that were taken out) a second
 * one is filled beside it, a few entries with each change, while changes where that has been go into both; readers only know
 * the first until the second is complete and takes its place, by one pointer. */
#ifndef ROUTE_ROUTE_INDEX_H
#define ROUTE_ROUTE_INDEX_H

#include "ingress/route/route_epoch.h"

#define ROUTE_PLACES_MAX ((1u << 24) - 2)
#define ROUTE_PARTS_MAX  (1u << 12)

struct route_array {
    size_t mask;
    size_t shift; /* of the hash, to the position where a search begins */
    _Atomic uint64_t entries[];
};

struct route_index {
    _Atomic(struct route_array *) array;
    struct route_epoch *epoch;
    size_t live, used;        /* entries; used: with those that were taken out */
    struct route_array *next; /* being filled; NULL: none */
    size_t next_used, copied;
};

/* route_index_init - 0 or ERR_NOMEM. epoch: where old arrays go; borrowed. */
int route_index_init(struct route_index *index, struct route_epoch *epoch);
void route_index_deinit(struct route_index *index);

/* route_index_reserve - the next `more` inserts can't fail. 0 or ERR_NOMEM. */
int route_index_reserve(struct route_index *index, size_t more);

/* route_index_insert, route_index_remove - the same (hash, place, part) is there at most once; inserting needs a reserve
 * before, removing what is not there does nothing. */
void route_index_insert(struct route_index *index, uint64_t hash, uint32_t place, uint32_t part);
void route_index_remove(struct route_index *index, uint64_t hash, uint32_t place, uint32_t part);

/* route_index_move - what has this entry is another part of its node now. */
void route_index_move(struct route_index *index, uint64_t hash, uint32_t place, uint32_t was, uint32_t part);

/* route_index_same - whether two hashes make the same entry. */
bool route_index_same(uint64_t a, uint64_t b);

/* Looking: init, then next until false. */
struct route_look {
    const struct route_array *array;
    size_t at, left;
    uint64_t hash;
};
void route_look_init(struct route_look *look, const struct route_index *index, uint64_t hash);
bool route_look_next(struct route_look *look, uint32_t *place, uint32_t *part);

#endif
