/* feed_row.h - one JSON object that describes one node, checked and added to a table under construction.
 *
 * Every feed tells its nodes in this form, whatever brings it. docs/feed.md is the contract. */
#ifndef FEED_FEED_ROW_H
#define FEED_FEED_ROW_H

#include "ingress/feed/feed_walk.h"
#include "ingress/route/route_builder.h"

/* feed_row_add - read `value` and add the node to `builder`, unless something is wrong: then the faults are in
 * walk->errors and nothing was added. Returns 0 or ERR_INVALID, or ERR_NOMEM without a fault. */
int feed_row_add(struct feed_walk *walk, const json_t *value, struct route_builder *builder);

#endif
