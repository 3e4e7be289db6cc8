#include "common/net/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"

/* read or write until all is done or it fails; bytes moved, or -errno */
static int read_all(int fd, uint8_t *out, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, out + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int)done;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int open_file(const char *dir, const char *name)
{
    int at = open_dir(dir);

    if (at < 0)
        return at;
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -errno : fd;

    close(at);
    return rc;
}

/* at most cap bytes, and ERR_TOO_LARGE if there are more */
static int read_most(int fd, void *out, size_t cap)
{
    int rc = read_all(fd, out, cap);
    uint8_t more;

    return rc == (int)cap && read_all(fd, &more, 1) > 0 ? ERR_TOO_LARGE : rc;
}

int statefile_read(const char *dir, const char *name, void *out, size_t cap)
{
    int fd = open_file(dir, name);

    if (fd < 0)
        return fd;
    int rc = read_most(fd, out, cap);

    close(fd);
    return rc;
}

char *statefile_load(const char *dir, const char *name, size_t max, size_t *len, int *rc)
{
    int fd = open_file(dir, name);
    struct stat st;

    *rc = fd < 0 ? fd : fstat(fd, &st) != 0 ? -errno : (uint64_t)st.st_size > max ? ERR_TOO_LARGE : 0;
    char *text = *rc == 0 ? malloc((size_t)st.st_size + 1) : NULL;

    if (*rc == 0)
        *rc = text ? read_most(fd, text, (size_t)st.st_size) : ERR_NOMEM;
    if (fd >= 0)
        close(fd);
    if (*rc < 0 || !text) {
        free(text);
        return NULL;
    }
    *len = (size_t)*rc;
    text[*len] = 0;
    *rc = 0;
    return text;
}

int statefile_write(const char *dir, const char *name, const void *data, size_t len)
{
    char temporary[NAME_MAX + 1];

    if (snprintf(temporary, sizeof(temporary), ".%s.new", name) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    int at = open_dir(dir), rc;

    if (at < 0)
        return at;
    int fd = openat(at, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        rc = -errno;
        goto close_dir;
    }
    rc = write_all(fd, data, len);
    if (rc == 0 && fsync(fd) != 0)
        rc = -errno;
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && renameat(at, temporary, at, name) != 0)
        rc = -errno;
    if (rc != 0)
        unlinkat(at, temporary, 0);
    else if (fsync(at) != 0)
        rc = -errno;
close_dir:
    close(at);
    return rc;
}
