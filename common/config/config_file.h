/* config_file.h - a configuration file's bytes; the only file in this folder that touches the file system. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stddef.h>

#include "common/config/config_errors.h"

/* config_file_read - the whole of a regular file of at most CONFIG_FILE_MAX bytes, or of a pipe.
 * *text is the caller's to free and has a zero after its *len bytes. Returns 0, or a negative error with a line in
 * errors; *text is then NULL. Reads until the end, so not for a loop's thread. */
int config_file_read(const char *path, char **text, size_t *len, struct config_errors *errors);

#endif
