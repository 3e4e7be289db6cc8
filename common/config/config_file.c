/* config_file.c - read to the end, or say why not. */
#include "common/config/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/config/config_tree.h"

static int read_all(int fd, char *text, size_t cap, size_t *len)
{
    size_t have = 0;

    while (have < cap) {
        ssize_t n = read(fd, text + have, cap - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            *len = have;
            return 0;
        }
        have += (size_t)n;
    }
    return ERR_TOO_LARGE;
}

int config_file_read(const char *path, char **text, size_t *len, struct config_errors *errors)
{
    size_t cap = CONFIG_FILE_MAX + 1; /* one more than allowed: to see that there is more */
    int err = 0, fd;

    *text = malloc(cap + 1);
    if (!*text) {
        err = ERR_NOMEM;
        goto out;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err = -errno;
        goto out;
    }
    err = read_all(fd, *text, cap, len);
    close(fd);
    if (err == 0)
        (*text)[*len] = 0;
out:
    if (err) {
        config_errors_add(errors, (struct config_place){.file = path}, "", "can't be read: %s", err_str(err));
        free(*text);
        *text = NULL;
    }
    return err;
}
