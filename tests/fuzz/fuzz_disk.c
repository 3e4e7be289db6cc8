/* fuzz_disk.c - any bytes as the map on disk, their checksums made right first, so that what lies behind them is reached:
 * each record is refused, or gives a row that a table can take. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "ingress/feed/feed_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* as far as lengths lead through it */
static void make_right(uint8_t *bytes, size_t size)
{
    struct feed_disk disk;

    feed_disk_init(&disk);
    for (size_t at = 0; size - at >= 12;) {
        size_t len = le32_get(bytes + at);

        if (len == 0 || len > size - at - 12)
            return;
        uint64_t sum = map_hash(&disk.chain, bytes + at + 12, len);

        le64_put(bytes + at + 4, sum);
        disk.chain.k0 = sum;
        at += 12 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct feed_disk_row row;
    uint8_t *bytes = malloc(size + 1);
    enum feed_disk_verdict verdict;
    struct feed_disk_info info;
    struct feed_disk disk;
    size_t at = 0, used;

    BUG_ON(!bytes);
    memcpy(bytes, data, size);
    make_right(bytes, size);
    feed_disk_init(&disk);
    do {
        verdict = feed_disk_read(&disk, bytes + at, size - at, &used, &info, &row);
        at += used;
        BUG_ON(at > size);
        if (verdict == FEED_DISK_ROW) {
            const struct route_node *copy = route_row_new(&row.node);

            BUG_ON(!copy || strcmp(copy->id, row.node.id) != 0);
            route_node_put(copy);
        }
    } while (verdict == FEED_DISK_HEADER || verdict == FEED_DISK_ROW);
    free(bytes);
    return 0;
}
