/* feed_disk.h - the last good map as bytes on disk, and back. No I/O.
 *
 *      record, record, …          header first, then a row each, the end last
 *      record:  u32 length, u64 checksum, bytes        little-endian
 *
 * A checksum is SipHash of the bytes under what the one before was, so a record that is changed, missing, doubled or
 * moved breaks the chain at its place. It finds damage, not malice: who can write in state_dir is trusted. A file that
 * does not end with its end record was cut. Preshared keys are in it. */
#ifndef FEED_FEED_DISK_H
#define FEED_FEED_DISK_H

#include "common/base/map.h"
#include "ingress/feed/feed_op.h"
#include "ingress/route/route_table.h"

#define FEED_DISK_RECORD_MAX ((size_t)4 << 20) /* more than the largest row: 4,096 names with targets */

struct feed_disk_info {
    struct feed_point point; /* of the feed, when the file was begun: newer words come again */
    uint64_t wall_ns;  /* when it was written */
};

/* Both ways: where in the chain we are. */
struct feed_disk {
    struct map_seed chain;
    uint64_t rows;
    bool begun, ended;
};
void feed_disk_init(struct feed_disk *disk);

/* feed_disk_write_* - the next record into out; returns its bytes, or 0 when cap is too small (then nothing happened). */
size_t feed_disk_write_header(struct feed_disk *disk, const struct feed_disk_info *info, uint8_t *out, size_t cap);
size_t feed_disk_write_row(struct feed_disk *disk, const struct route_node *node, uint8_t *out, size_t cap);
size_t feed_disk_write_end(struct feed_disk *disk, uint8_t *out, size_t cap);

enum feed_disk_verdict {
    FEED_DISK_NEED_MORE = 0,
    FEED_DISK_HEADER, /* info is filled */
    FEED_DISK_ROW,    /* the row is filled */
    FEED_DISK_END,
    FEED_DISK_BAD,    /* damaged from here on */
};

/* A row as it is read; texts point into the bytes given. */
struct feed_disk_row {
    struct route_node node;
    struct addr addresses[ROUTE_ADDRESSES_MAX];
    struct addrport endpoints[ROUTE_ENDPOINTS_MAX];
    uint16_t ports[ROUTE_PORTS_MAX];
    struct route_name names[ROUTE_NAMES_MAX];
};

/* feed_disk_read - the next record of data; *used: its bytes. */
enum feed_disk_verdict feed_disk_read(struct feed_disk *disk, const uint8_t *data, size_t len, size_t *used,
                                      struct feed_disk_info *info, struct feed_disk_row *row);

#endif
