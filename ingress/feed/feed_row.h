/* feed_row.h - one JSON object that describes one node, checked, as a row.
 *
 * Every feed tells its nodes in this form, whatever brings it. docs/feed.md is the contract. */
#ifndef FEED_FEED_ROW_H
#define FEED_FEED_ROW_H

#include "ingress/feed/feed_walk.h"
#include "ingress/route/route_table.h"

/* feed_row_new - the row with one reference, the caller's; or NULL, with the faults in walk->errors. NULL without a
 * fault: out of memory. */
const struct route_node *feed_row_new(struct feed_walk *walk, const json_t *value);

/* feed_row_parse - the same from the object's text, as live feeds and lines have it. Where it stands is in walk->place.
 * id_out  where the row is bad: its id as far as it could be read (ROUTE_ID_MAX + 1 bytes), else "" */
const struct route_node *feed_row_parse(struct feed_walk *walk, const char *text, size_t len, char *id_out);

/* feed_row_syntax - a syntax error of jansson's, at its place. What stood there is cut off: it may be a secret. */
void feed_row_syntax(struct feed_walk *walk, const json_error_t *error, unsigned first_line);

#endif
