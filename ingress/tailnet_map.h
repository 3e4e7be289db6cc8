/* tailnet_map.h - what a restart needs to serve while the coordination server is away, in state_dir/tailnet/map. SHELL.
 *
 *      the server's URL          a line; what another server said is not taken up
 *      a map stream's first frame: ourselves, the relays, and of the nodes that may be funnelled how they are reached
 *
 * Which nodes those are and what they may be offered is kept apart, by the map of nodes (feed_store.h). The text is
 * made some nodes a call, and written (statefile.h) on a thread of its own. */
#ifndef INGRESS_TAILNET_MAP_H
#define INGRESS_TAILNET_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/tailnet/netmap.h"

#define TAILNET_MAP_BYTES_MAX ((size_t)256 << 20)

/* tailnet_map_read - the frame, for control_restore; the caller's to free. NULL: none, of another server, or not to be
 * read (*rc: -errno; 0 for the first two). */
char *tailnet_map_read(const char *state_dir, const char *server, size_t *len, int *rc);

struct tailnet_map_writer;

/* tailnet_map_begin - write the map anew. want: which nodes. NULL: ERR_NOMEM or -errno in *rc. */
struct tailnet_map_writer *tailnet_map_begin(const char *state_dir, const char *server, const struct netmap *map,
                                             bool (*want)(const struct netmap_node *node, void *ctx), void *ctx, int *rc);

/* tailnet_map_step - the next nodes; what has become of the map meanwhile counts. False: it is through, *rc tells how, and
 * the writer may be freed. Call it now and then until that. */
bool tailnet_map_step(struct tailnet_map_writer *writer, const struct netmap *map, int *rc);
/* tailnet_map_syncing - all is written, and the disk is waited for. */
bool tailnet_map_syncing(const struct tailnet_map_writer *writer);
void tailnet_map_free(struct tailnet_map_writer *writer); /* waits for the disk; an unfinished file is dropped. NULL allowed */

#endif
