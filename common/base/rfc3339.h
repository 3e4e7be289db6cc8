/* rfc3339.h - moments as feeds and coordination servers write them: RFC 3339, "2030-01-01T00:00:00Z". */
#ifndef BASE_RFC3339_H
#define BASE_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

/* rfc3339_parse - Unix seconds of an RFC 3339 date-time (section 5.6) from 1970 on, with any offset. Fractions are
 * cut, a leap second counts as the second after it. False: not one. */
bool rfc3339_parse(const char *text, uint64_t *out);

#endif
