/* feed_load.h - a feed file to a table: read, parsed, checked as a whole. SHELL: it blocks on the file system, and takes
 * 10 s for a million nodes; see feed_host.h for how a running server does it beside its other work. */
#ifndef FEED_FEED_LOAD_H
#define FEED_FEED_LOAD_H

#include "common/config/config_errors.h"
#include "ingress/route/route_table.h"

/* feed_load - path: also its name in errors. seed: see route_table_new.
 * *out: the table, the caller's; NULL after an error.
 * 0, -EACCES (it may not be read from here), or another negative error; with errors filled. */
int feed_load(const char *path, const struct map_seed *seed, struct config_errors *errors, struct route_table **out)
    __attribute__((warn_unused_result));

#endif
