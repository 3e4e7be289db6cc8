/* feed_store.h - the last good map in state_dir (feed_disk.h says how it looks). SHELL, blocking: for the start, and for
 * a thread of its own.
 *
 * A file is written whole beside the old one, synced and renamed, readable by its owner only, for it may hold preshared
 * keys. One that is cut or damaged is said to be so and left alone. */
#ifndef FEED_FEED_STORE_H
#define FEED_FEED_STORE_H

#include "ingress/feed/feed_disk.h"

/* feed_store_load - enter the rows of dir's map into a table that nobody else uses yet. Rows that conflict (the map moved
 * on while it was written) are left out.
 * 0 with *info; -ENOENT: there is none; ERR_INVALID: damaged, and the table may hold some of it; or another error. */
int feed_store_load(const char *dir, struct route_table *table, struct feed_disk_info *info)
    __attribute__((warn_unused_result));

/* feed_store_write - the table's nodes, as a reader of it that is ours alone, in turns of a few hundred rows.
 * Returns 0 or a negative error; then the old file stands. */
int feed_store_write(const char *dir, const struct route_table *table, struct route_reader *reader,
                     const struct feed_disk_info *info) __attribute__((warn_unused_result));

#endif
