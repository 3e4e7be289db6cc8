/* route_builder.h - putting a route table together, node by node, in the feed's order.
 *
 * The builder copies what it is given and refuses what would make the table ambiguous. What is allowed: several nodes
 * for one name, kept in the order they were added. */
#ifndef ROUTE_ROUTE_BUILDER_H
#define ROUTE_ROUTE_BUILDER_H

#include "common/base/map.h"
#include "ingress/route/route.h"

struct route_builder;

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
    const struct route_node *other; /* the earlier node; lives as long as the builder; NULL when it is the same one */
};

/* route_builder_new - an empty builder. `seed` keys the table's hashes (SipHash): random and secret, because visitors
 * choose the names that are looked up. NULL: out of memory. */
struct route_builder *route_builder_new(const struct map_seed *seed);
void route_builder_free(struct route_builder *builder); /* NULL is allowed */

/* route_builder_add - add a node; everything it points to is copied. The caller has checked the values against the
 * ranges in route.h (counts and texts above them are a bug); names are clean (config_text_name).
 * Returns 0, ERR_EXISTS with *conflict filled and nothing added, or ERR_NOMEM. */
int route_builder_add(struct route_builder *builder, const struct route_node *node, struct route_conflict *conflict);

/* route_table_new - the finished table with one reference; the builder is used up. It may be empty. */
struct route_table *route_table_new(struct route_builder *builder);

#endif
