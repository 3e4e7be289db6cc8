/* show.h - what the other side must be told about this node. */
#ifndef NODE_SHOW_H
#define NODE_SHOW_H

#include <stdio.h>

#include "node/setup.h"

/* show_print - public key, addresses, and a row for the ingress's feed, ready to be put into `nodes` (docs/feed.md). */
void show_print(const struct setup *setup, FILE *out);

#endif
