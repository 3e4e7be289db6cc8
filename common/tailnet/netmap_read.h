/* netmap_read.h - nodes and relays out of JSON. For this folder. */
#ifndef TAILNET_NETMAP_READ_H
#define TAILNET_NETMAP_READ_H

#include <jansson.h>

#include "common/tailnet/json_slices.h"
#include "common/tailnet/netmap.h"

/* A tree takes up to twenty times the memory of its text: no single value of an honest server comes near this. */
#define NETMAP_VALUE_MAX ((size_t)1 << 20)

/* netmap_parse - one cut-out value as a tree; NULL: it is not JSON after all, above NETMAP_VALUE_MAX, or out of memory. */
json_t *netmap_parse(struct json_slice slice);

/* netmap_text - a string of an object, owned by the caller: "" when it is absent, or above NETMAP_TEXT_MAX, which counts
 * as left out. NULL: out of memory. */
char *netmap_text(const json_t *object, const char *key, unsigned *left_out);

/* netmap_node_read - a Node; *out is zeroed first and is the caller's to deinit whatever comes back.
 * Returns 0, ERR_INVALID (no id or no key: nobody to speak to) or ERR_NOMEM. */
int netmap_node_read(const json_t *value, struct netmap_node *out, unsigned *left_out);
/* netmap_node_patch - a PeerChange: only what it names. 0 or ERR_NOMEM. */
int netmap_node_patch(const json_t *value, struct netmap_node *node, unsigned *left_out);
void netmap_node_deinit(struct netmap_node *node);

/* derp_map_read - a DERPMap onto what is there: absent parts stay. 0 or ERR_NOMEM (it is unchanged then). */
int derp_map_read(const json_t *value, struct derp_map *map);

#endif
