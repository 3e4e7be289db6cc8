/* route_builder.h - a table put together from nodes that must all fit: the strict way, for feeds that are read whole and
 * are right as a whole or not at all. */
#ifndef ROUTE_ROUTE_BUILDER_H
#define ROUTE_ROUTE_BUILDER_H

#include "ingress/route/route_table.h"

/* route_builder_enter - add a row (its reference is taken, but not after an error). Nodes of one name stand in the order
 * they were added.
 * Returns 0; ERR_EXISTS with *conflict filled and nothing added; ERR_FULL or ERR_NOMEM. */
int route_builder_enter(struct route_table *table, const struct route_node *row, struct route_conflict *conflict);

/* route_builder_add - the same from a description, of which everything is copied (route_row_new). */
int route_builder_add(struct route_table *table, const struct route_node *node, struct route_conflict *conflict);

#endif
