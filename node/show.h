/* show.h - what the other side must be told about this node. */
#ifndef NODE_SHOW_H
#define NODE_SHOW_H

#include <stdio.h>

#include "node/setup.h"

/* show_print - public key, addresses, and the row, each under its heading. */
void show_print(const struct setup *setup, FILE *out);

/* show_row - a line of JSON for the ingress's feed, ready to be put into `nodes` (docs/feed.md). The node's consent is
 * "ask": the switches are here, and the feed would not hear of a change. */
void show_row(const struct setup *setup, FILE *out);

#endif
