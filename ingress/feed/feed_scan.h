/* feed_scan.h - the members of one JSON object, as places in its text; nothing is copied or decoded.
 *
 * A delta is an envelope around a row, and the row is read by another parser: here only the envelope's members are told
 * apart, and where each value ends. What lies inside a nested value is not judged. */
#ifndef FEED_FEED_SCAN_H
#define FEED_FEED_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_SCAN_MEMBERS_MAX 8

struct feed_member {
    const char *name; /* without quotes; escapes stay as they are */
    size_t name_len;
    const char *value; /* with its quotes or brackets */
    size_t value_len;
};

/* feed_scan_first - the name of the first member; false: this is no object that has one. Cheap: it looks no further. */
bool feed_scan_first(const char *text, size_t len, const char **name, size_t *name_len);

/* feed_scan_object - all members of an object that is all of the text but blanks. How many, or -1: it is none, or has
 * more than FEED_SCAN_MEMBERS_MAX, or one twice. */
int feed_scan_object(const char *text, size_t len, struct feed_member out[FEED_SCAN_MEMBERS_MAX]);

/* feed_scan_find - the member of that name, or NULL. */
const struct feed_member *feed_scan_find(const struct feed_member *members, int count, const char *name);

/* feed_scan_text - the inside of a string without escapes; false: it is none. feed_scan_number - a whole number without
 * sign, up to INT64_MAX (what jansson holds); false: it is none. */
bool feed_scan_text(const struct feed_member *member, const char **text, size_t *len);
bool feed_scan_number(const struct feed_member *member, uint64_t *out);

#endif
