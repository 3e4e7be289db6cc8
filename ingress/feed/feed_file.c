/* feed_file.c - open, look, read, close. */
#include "ingress/feed/feed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/crypto/crypto.h"

void feed_file_free(char *text, size_t len)
{
    if (!text)
        return;
    crypto_wipe(text, len);
    free(text);
}

/* Room for the size the file has now; one that grows while it is read is not whole, and is taken at the next change. */
static int read_open(int fd, char **text, size_t *len)
{
    struct stat st;

    if (fstat(fd, &st) == -1)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return ERR_INVALID;
    if ((uint64_t)st.st_size > FEED_FILE_BYTES_MAX)
        return ERR_TOO_LARGE;
    size_t size = (size_t)st.st_size, have = 0;
    char *buf = malloc(size + 1);

    if (!buf)
        return ERR_NOMEM;
    while (have < size) {
        ssize_t n = read(fd, buf + have, size - have);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1) {
            int err = -errno;

            feed_file_free(buf, have);
            return err;
        }
        if (n == 0)
            break; /* it became shorter */
        have += (size_t)n;
    }
    *text = buf;
    *len = have;
    return 0;
}

int feed_file_read(const char *path, char **text, size_t *len, struct config_errors *errors)
{
    /* non-blocking, so that opening a pipe by mistake does not wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int err = fd == -1 ? -errno : read_open(fd, text, len);

    if (fd != -1)
        close(fd);
    if (err < 0)
        config_errors_add(errors, (struct config_place){.file = path}, "", "can't be read: %s",
                          err == ERR_INVALID ? "not a regular file" : err_str(err));
    return err;
}
