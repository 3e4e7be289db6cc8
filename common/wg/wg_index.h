/* wg_index.h - receiver indices: which handshake or session a datagram is for. Section 5.4.2 (sender field).
 *
 * An index is 24 random bits (so that guessing one costs a stranger 2^24 tries a worker) above the peer's shard, by
 * which the kernel steers a datagram to the worker that owns the peer. */
#ifndef WG_WG_INDEX_H
#define WG_WG_INDEX_H

#include <stdint.h>

#include "common/base/map.h"
#include "common/base/rng.h"

struct wg_peer;

enum wg_index_kind {
    WG_INDEX_NONE = 0, /* not in the table */
    WG_INDEX_INITIATION,
    WG_INDEX_KEYPAIR,
};

/* embedded in what it stands for */
struct wg_index {
    struct map_node node;
    uint32_t value;
    enum wg_index_kind kind;
    struct wg_peer *peer;
};

/* wg_index_add - draw an unused index for `index`. */
void wg_index_add(struct map *table, struct wg_index *index, enum wg_index_kind kind, struct wg_peer *peer,
                  uint8_t shard, struct rng *rng);

/* wg_index_move - `to` takes over the value of `from`, which leaves: a handshake became a session. */
void wg_index_move(struct map *table, struct wg_index *to, struct wg_index *from, enum wg_index_kind kind);
void wg_index_remove(struct map *table, struct wg_index *index); /* does nothing when not in the table */
struct wg_index *wg_index_find(const struct map *table, uint32_t value);

#endif
