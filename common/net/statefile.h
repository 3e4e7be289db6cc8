/* statefile.h - small files that outlive the program: written whole or not at all.
 *
 * SHELL. Calls block (a write waits for the disk); keep them rare. */
#ifndef NET_STATEFILE_H
#define NET_STATEFILE_H

#include <stddef.h>

/* statefile_read - at most cap bytes of dir/name into out. Returns how many, or -errno (-ENOENT: never written), or
 * ERR_TOO_LARGE when the file holds more. */
int statefile_read(const char *dir, const char *name, void *out, size_t cap);

/* statefile_load - all of dir/name, if it holds at most `max` bytes (below 2 GiB), with a zero behind them; the caller's to
 * free. NULL: *rc as statefile_read has it, or ERR_NOMEM. */
char *statefile_load(const char *dir, const char *name, size_t max, size_t *len, int *rc);

/* statefile_write - make dir/name hold exactly these bytes, readable by its owner only. A crash at any moment leaves
 * the old file or the new one: a temporary file is written, synced and renamed, then the folder is synced.
 * The folder must exist. Returns 0 or -errno. */
int statefile_write(const char *dir, const char *name, const void *data, size_t len);

#endif
