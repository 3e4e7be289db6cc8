/* feed_walk.h - reading JSON values by table, with the path of each for the error that may follow.
 *
 * The tables say which keys an object may have; everything else about a value is its reader's business. A reader that
 * doesn't like what it sees says so with feed_fault and goes on: all that is wrong is found in one walk. Errors name
 * what was expected, and quote only what can't be a secret.
 *
 * This folder is the only door to jansson for feeds. */
#ifndef FEED_FEED_WALK_H
#define FEED_FEED_WALK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config/config_errors.h"
#include "common/config/config_path.h"

struct feed_walk {
    struct config_place place; /* file, and the line in the lines form */
    struct config_path path;
    struct config_errors *errors;
};

struct feed_key {
    const char *name;
    bool required;
    void (*read)(struct feed_walk *walk, const json_t *value, void *out);
};

void feed_walk_init(struct feed_walk *walk, const char *file, struct config_errors *errors);

/* feed_fault - something is wrong where the walk stands. */
void feed_fault(struct feed_walk *walk, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* feed_object - call the reader of each key that is there, with `out`; unknown and missing keys are faults, and so is
 * a value that is no object. */
void feed_object(struct feed_walk *walk, const json_t *value, const struct feed_key *keys, size_t count, void *out);

/* feed_list_length - the elements of a list of at most `most`; -1 after a fault. */
int feed_list_length(struct feed_walk *walk, const json_t *value, size_t most);

/* feed_text - the text of a string, borrowed from the value and without zeros in it; NULL after a fault. */
const char *feed_text(struct feed_walk *walk, const json_t *value);

/* The others leave *out as it was and return false after a fault. feed_word gives the index in words[]. */
bool feed_bool(struct feed_walk *walk, const json_t *value, bool *out);
bool feed_number(struct feed_walk *walk, const json_t *value, uint64_t min, uint64_t max, uint64_t *out);
bool feed_word(struct feed_walk *walk, const json_t *value, const char *const words[], size_t count, size_t *out);

#endif
