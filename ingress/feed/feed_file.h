/* feed_file.h - the text of a feed file. SHELL: it blocks on the file system. */
#ifndef FEED_FEED_FILE_H
#define FEED_FEED_FILE_H

#include <stddef.h>

#include "common/config/config_errors.h"

/* More than the million nodes an ingress is made for need, as lines; documents have their own, lower bound. */
#define FEED_FILE_BYTES_MAX ((size_t)1 << 30)

/* feed_file_read - the whole of a regular file (or what a symbolic link leads to, as Kubernetes mounts them).
 * *text belongs to the caller, who ends it with feed_file_free.
 * Returns 0, or ERR_TOO_LARGE, ERR_NOMEM, ERR_INVALID (not a regular file) or a negative errno, with a line in errors
 * and nothing to free. */
int feed_file_read(const char *path, char **text, size_t *len, struct config_errors *errors)
    __attribute__((warn_unused_result));

/* feed_file_free - wipes it first: a feed may carry preshared keys. NULL is allowed. */
void feed_file_free(char *text, size_t len);

#endif
