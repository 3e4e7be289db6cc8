/* wg_stamp.h - the initiation's time stamp, TAI64N, and the rule that it only moves forward. Section 5.1, 5.4.2;
 * D. J. Bernstein, "TAI64, TAI64N, and TAI64NA".
 *
 * A responder refuses a stamp that is not greater than the last it accepted from us. The low 24 bits of the
 * nanoseconds are cleared (so that a stamp tells less about our clock), hence "greater" means by at least one step of
 * 2^24 ns. In here a stamp is Unix time in ns, so rounded. */
#ifndef WG_WG_STAMP_H
#define WG_WG_STAMP_H

#include <stdint.h>

#include "common/wg/wg_messages.h"

/* wg_stamp_after - the stamp for a message sent at wall_ns: rounded down, but at least one step after `last`. */
uint64_t wg_stamp_after(uint64_t last, uint64_t wall_ns);

/* wg_stamp_write - the label on the wire; labels compare with memcmp. */
void wg_stamp_write(uint64_t stamp, uint8_t out[WG_STAMP_BYTES]);

#endif
