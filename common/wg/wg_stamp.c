/* wg_stamp.c - the low 24 bits are those of the nanoseconds within a second, not of the whole number: a second holds
 * 59 whole steps and the rest of one. */
#include "common/wg/wg_stamp.h"

#include "common/base/bytes.h"
#include "common/base/ts.h"

#define STEP_NS ((uint64_t)1 << 24)
#define TAI_0   (((uint64_t)1 << 62) + 10) /* the label of 1970-01-01 00:00:00 UTC */

static uint64_t rounded(uint64_t wall_ns)
{
    uint64_t ns = wall_ns % TS_S;

    return wall_ns - ns + (ns & ~(STEP_NS - 1));
}

uint64_t wg_stamp_after(uint64_t last, uint64_t wall_ns)
{
    uint64_t now = rounded(wall_ns), next = rounded(last) + STEP_NS;

    if (next % TS_S < STEP_NS) /* ran over the second's end, where steps start anew */
        next -= next % TS_S;
    return now > last ? now : next;
}

void wg_stamp_write(uint64_t stamp, uint8_t out[WG_STAMP_BYTES])
{
    be64_put(out, TAI_0 + stamp / TS_S);
    be32_put(out + 8, (uint32_t)(stamp % TS_S));
}
