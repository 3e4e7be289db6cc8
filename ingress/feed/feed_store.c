#include "ingress/feed/feed_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/crypto.h"

#define FILE_NAME  "nodes.map"
#define TEMPORARY  ".nodes.map.new"
#define BUFFER     ((size_t)1 << 20)
#define TURN_PLACES 512 /* a reader that stays longer holds up what the writer wants to free */

_Static_assert(FEED_DISK_RECORD_MAX >= BUFFER, "a buffer grows up to a record");

/* A buffer that wipes itself: rows may hold keys. */
struct buffer {
    uint8_t *bytes;
    size_t len, cap;
};

static bool grow(struct buffer *b, size_t cap)
{
    uint8_t *bytes = malloc(cap);

    if (!bytes)
        return false;
    if (b->len > 0)
        memcpy(bytes, b->bytes, b->len);
    if (b->bytes)
        crypto_wipe(b->bytes, b->cap);
    free(b->bytes);
    b->bytes = bytes;
    b->cap = cap;
    return true;
}

static void buffer_free(struct buffer *b)
{
    if (b->bytes)
        crypto_wipe(b->bytes, b->cap);
    free(b->bytes);
}

/* ---- reading ---- */

static bool stop_at_first(const struct route_conflict *conflict, void *ctx)
{
    (void)conflict;
    (void)ctx;
    return false;
}

static int enter(struct route_table *table, const struct route_node *node)
{
    const struct route_node *row = route_row_new(node), *was;
    int err = row ? 0 : ERR_NOMEM;

    if (row && (route_node_by_id(table, row->id, strlen(row->id)) ||
                !route_table_conflicts(table, row, stop_at_first, NULL))) {
        route_node_put(row);
        return 0;
    }
    if (row)
        err = route_table_enter(table, row, &was);
    if (err != 0)
        route_node_put(row);
    else
        route_table_order_set(table, route_node_place(row), route_node_place(row));
    return err;
}

/* what is whole in the buffer; 0: go on, 1: the end, or an error */
static int read_records(struct buffer *b, struct feed_disk *disk, struct feed_disk_info *info,
                        struct feed_disk_row *row, struct route_table *table)
{
    size_t at = 0, used;
    int rc = 0;

    while (rc == 0) {
        enum feed_disk_verdict verdict = feed_disk_read(disk, b->bytes + at, b->len - at, &used, info, row);

        at += used;
        if (verdict == FEED_DISK_ROW)
            rc = enter(table, &row->node);
        else if (verdict == FEED_DISK_END)
            rc = 1;
        else if (verdict == FEED_DISK_BAD)
            rc = ERR_INVALID;
        else if (verdict == FEED_DISK_NEED_MORE)
            break;
    }
    b->len -= at;
    memmove(b->bytes, b->bytes + at, b->len);
    return rc;
}

static int read_file(int fd, struct route_table *table, struct feed_disk_info *info)
{
    struct feed_disk_row *row = malloc(sizeof(*row));
    struct buffer b = {.len = 0};
    struct feed_disk disk;
    int rc = row && grow(&b, BUFFER) ? 0 : ERR_NOMEM;

    feed_disk_init(&disk);
    while (rc == 0) {
        if (b.len == b.cap && !grow(&b, b.cap * 2)) {
            rc = ERR_NOMEM;
            break;
        }
        ssize_t n = read(fd, b.bytes + b.len, b.cap - b.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* at its end without an end record: cut */
            rc = n < 0 ? -errno : ERR_TRUNCATED;
            break;
        }
        b.len += (size_t)n;
        rc = read_records(&b, &disk, info, row, table);
    }
    buffer_free(&b);
    free(row);
    return rc == 1 ? 0 : rc == ERR_TRUNCATED ? ERR_INVALID : rc;
}

int feed_store_load(const char *dir, struct route_table *table, struct feed_disk_info *info)
{
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (at < 0)
        return -errno;
    int fd = openat(at, FILE_NAME, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -errno : 0;

    close(at);
    if (fd < 0)
        return rc;
    rc = read_file(fd, table, info);
    close(fd);
    return rc;
}

/* ---- writing ---- */

static int flush(int fd, struct buffer *b)
{
    for (size_t done = 0; done < b->len;) {
        ssize_t n = write(fd, b->bytes + done, b->len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    b->len = 0;
    return 0;
}

/* one row, or the header or the end without one */
static int write_record(int fd, struct buffer *b, struct feed_disk *disk, const struct route_node *node,
                        const struct feed_disk_info *info)
{
    for (;;) {
        uint8_t *at = b->bytes + b->len;
        size_t room = b->cap - b->len;
        size_t len = node   ? feed_disk_write_row(disk, node, at, room)
                     : info ? feed_disk_write_header(disk, info, at, room)
                            : feed_disk_write_end(disk, at, room);

        b->len += len;
        if (len > 0)
            return 0;
        int rc = b->len > 0 ? flush(fd, b) : grow(b, b->cap * 2) ? 0 : ERR_NOMEM;

        if (rc != 0)
            return rc;
    }
}

static int write_rows(int fd, struct buffer *b, struct feed_disk *disk, const struct route_table *table,
                      struct route_reader *reader)
{
    uint32_t places = route_table_places(table);
    int rc = 0;

    for (uint32_t place = 0; place < places && rc == 0;) {
        route_reader_enter(reader);
        for (uint32_t end = MIN(places, place + TURN_PLACES); place < end && rc == 0; place++) {
            const struct route_node *node = route_table_at(table, place);

            if (node)
                rc = write_record(fd, b, disk, node, NULL);
        }
        route_reader_leave(reader);
    }
    return rc;
}

static int write_file(int fd, const struct route_table *table, struct route_reader *reader,
                      const struct feed_disk_info *info)
{
    struct buffer b = {.len = 0};
    struct feed_disk disk;
    int rc = grow(&b, BUFFER) ? 0 : ERR_NOMEM;

    feed_disk_init(&disk);
    if (rc == 0)
        rc = write_record(fd, &b, &disk, NULL, info);
    if (rc == 0)
        rc = write_rows(fd, &b, &disk, table, reader);
    if (rc == 0)
        rc = write_record(fd, &b, &disk, NULL, NULL);
    if (rc == 0)
        rc = flush(fd, &b);
    buffer_free(&b);
    return rc == 0 && fsync(fd) != 0 ? -errno : rc;
}

int feed_store_write(const char *dir, const struct route_table *table, struct route_reader *reader,
                     const struct feed_disk_info *info)
{
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (at < 0)
        return -errno;
    int fd = openat(at, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : write_file(fd, table, reader, info);

    if (fd >= 0 && close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && renameat(at, TEMPORARY, at, FILE_NAME) != 0)
        rc = -errno;
    if (rc != 0 && fd >= 0)
        unlinkat(at, TEMPORARY, 0);
    else if (rc == 0 && fsync(at) != 0)
        rc = -errno;
    close(at);
    return rc;
}
