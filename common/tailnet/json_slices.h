/* json_slices.h - the parts of a JSON text, one after another, without a tree of the whole.
 *
 * A map of 10,000 nodes is 12 MB of text; as a tree at once it would be ten times that. So the frame is cut into its
 * members, the list of peers into peers, and only one of those at a time is made a tree of. Cutting looks at brackets
 * and strings and no closer: whatever is cut out is still to be parsed. */
#ifndef TAILNET_JSON_SLICES_H
#define TAILNET_JSON_SLICES_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_SLICES_DEPTH_MAX 64

struct json_slice {
    const char *at; /* borrowed */
    size_t len;
};

struct json_slices {
    const char *at, *end;
    bool begun, done;
    bool bad; /* what was met is no JSON: false was returned for that reason */
};

/* json_slices_object, json_slices_list - ready for the members of a value that is an object, or the elements of a list.
 * False (and bad): it isn't one. */
bool json_slices_object(struct json_slices *s, struct json_slice value);
bool json_slices_list(struct json_slices *s, struct json_slice value);

/* json_slices_member - the next key, as it stands between its quotes, and its value. False: no more, or bad. */
bool json_slices_member(struct json_slices *s, struct json_slice *key, struct json_slice *value);
/* json_slices_element - the next element. False: no more, or bad. */
bool json_slices_element(struct json_slices *s, struct json_slice *value);

/* json_slice_is - the slice is exactly this text. */
bool json_slice_is(struct json_slice slice, const char *text);

#endif
