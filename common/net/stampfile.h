/* stampfile.h - WireGuard's initiation stamps must only move forward, also over restarts and a clock that was set back:
 * a floor that no stamp was ever above, kept in state_dir.
 *
 * SHELL. The floor is reserved ahead of the stamps, so that it is written every few minutes rather than with every
 * handshake; a start that finds it takes up there. Without a folder nothing is kept and the wall clock is trusted. */
#ifndef NET_STAMPFILE_H
#define NET_STAMPFILE_H

#include <stdint.h>

struct stampfile {
    const char *dir;      /* borrowed; "" or NULL: nothing is kept */
    uint64_t reserved_ns; /* what the file says: no stamp may be above */
};

/* stampfile_open - *floor_ns: give it to wg_device_stamp_floor_set; 0 when there is none. Returns 0, -errno or
 * ERR_INVALID (the file holds something else). */
int stampfile_open(struct stampfile *file, const char *dir, uint64_t *floor_ns);

/* stampfile_keep - reserve again if little is left. Call it before the first handshake and at least once a minute.
 * last_ns   the newest stamp given out (wg_device_stamp_last)
 * wall_ns   Unix time; the next stamp is this or a little above last_ns
 * Returns 0 or -errno; on failure it tries again with the next call. */
int stampfile_keep(struct stampfile *file, uint64_t last_ns, uint64_t wall_ns);

#endif
