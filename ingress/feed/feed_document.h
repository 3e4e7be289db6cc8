/* feed_document.h - a whole feed as text, in one of its two forms, to a route table. No I/O.
 *
 *   document  {"version": 1, "nodes": [ {…}, {…} ]}
 *   lines     {"id": …}        one node a line (JSON lines); recognised by a first line that is a whole object
 *             {"id": …}        with an "id"
 *
 * All or nothing: a feed with anything wrong in it makes no table, and the one in use stays. Everything that is wrong
 * is said at once, up to what config_errors keeps:
 *
 *   nodes.json:7:3: '}' expected                          syntax
 *   nodes.json: nodes[3].names[0]: 'a b' is not a …       values, in a document
 *   nodes.jsonl:4: names[0]: 'a b' is not a …             values, in lines */
#ifndef FEED_FEED_DOCUMENT_H
#define FEED_FEED_DOCUMENT_H

#include <stddef.h>

#include "common/config/config_errors.h"
#include "ingress/route/route_table.h"

/* A document is in memory as a tree, many times its text, before the first node is looked at; of lines only one is. */
#define FEED_DOCUMENT_BYTES_MAX ((size_t)64 << 20)
#define FEED_LINE_BYTES_MAX     ((size_t)1 << 20) /* ROUTE_NAMES_MAX names with targets need half of it at most */

/* feed_document_parse - make a table of text.
 * file    its name, for errors
 * text    len bytes, borrowed for this call; need not end with a zero
 * seed    random and secret; see route_table_new
 * errors  initialised; gets everything that is wrong
 * out     the table, the caller's, to be freed with route_table_free; NULL after an error. No nodes at all is a table too: the caller
 *         decides whether to warn. An empty text is an error: that is what a file looks like while it is written.
 * Returns 0, ERR_INVALID, ERR_TOO_LARGE or ERR_NOMEM, with at least one line in errors. */
int feed_document_parse(const char *file, const char *text, size_t len, const struct map_seed *seed,
                        struct config_errors *errors, struct route_table **out)
    __attribute__((warn_unused_result));

#endif
