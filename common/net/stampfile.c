#include "common/net/stampfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/ts.h"
#include "common/net/statefile.h"

#define FILE_NAME  "wireguard-stamp"
#define TEXT_BYTES 24 /* a uint64_t in decimal and an end of line */

/* Stamps follow the wall clock, so as much is reserved as passes between two writes. Where they are ahead of it (the
 * clock was set back, or many crashes in a row each took up at the reserved end) they move by 2^24 ns a handshake,
 * and a shorter step keeps the distance from growing. */
#define RESERVE_WALL_NS  (600 * TS_S)
#define RESERVE_AHEAD_NS (60 * TS_S)

int stampfile_open(struct stampfile *file, const char *dir, uint64_t *floor_ns)
{
    char text[TEXT_BYTES + 1], *end;

    *file = (struct stampfile){.dir = dir};
    *floor_ns = 0;
    if (!dir || !*dir)
        return 0;
    int n = statefile_read(dir, FILE_NAME, text, TEXT_BYTES);

    if (n == -ENOENT)
        return 0;
    if (n < 0)
        return n;
    text[n] = 0;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);

    if (n == 0 || errno != 0 || *end != '\n' || end[1] != 0)
        return ERR_INVALID;
    file->reserved_ns = *floor_ns = value;
    return 0;
}

int stampfile_keep(struct stampfile *file, uint64_t last_ns, uint64_t wall_ns)
{
    char text[TEXT_BYTES + 1];

    if (!file->dir || !*file->dir)
        return 0;
    bool ahead = last_ns > wall_ns;
    uint64_t next = MAX(last_ns, wall_ns), step = ahead ? RESERVE_AHEAD_NS : RESERVE_WALL_NS;

    if (file->reserved_ns >= next + step / 2)
        return 0;
    int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", next + step);
    int rc = statefile_write(file->dir, FILE_NAME, text, (size_t)n);

    if (rc == 0)
        file->reserved_ns = next + step;
    return rc;
}
