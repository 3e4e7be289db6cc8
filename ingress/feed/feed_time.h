/* feed_time.h - moments as feeds write them: RFC 3339, "2030-01-01T00:00:00Z". */
#ifndef FEED_FEED_TIME_H
#define FEED_FEED_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* feed_time_parse - Unix seconds of an RFC 3339 date-time (section 5.6) from 1970 on, with any offset. Fractions are
 * cut, a leap second counts as the second after it. False: not one. */
bool feed_time_parse(const char *text, uint64_t *out);

#endif
