/* feed_walk.c - the walk through objects and lists. */
#include "ingress/feed/feed_walk.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/config/config_meant.h"

void feed_walk_init(struct feed_walk *walk, const char *file, struct config_errors *errors)
{
    walk->place = (struct config_place){.file = file};
    walk->errors = errors;
    config_path_init(&walk->path);
}

void feed_fault(struct feed_walk *walk, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    config_errors_addv(walk->errors, walk->place, walk->path.text, fmt, args);
    va_end(args);
}

/* ---- which key was meant ---- */


static const char *key_name(const void *ctx, size_t i)
{
    return ((const struct feed_key *)ctx)[i].name;
}

/* ---- containers ---- */

/* known - which key it is; count: none. Rows mostly have their keys in our order: the search goes on after the last. */
static size_t known(const char *name, const struct feed_key *keys, size_t count, size_t last)
{
    for (size_t i = 1; i <= count; i++)
        if (strcmp(keys[(last + i) % count].name, name) == 0)
            return (last + i) % count;
    return count;
}

static void unknown(struct feed_walk *walk, const char *name, const struct feed_key *keys, size_t count)
{
    const char *other = config_meant(name, count, key_name, keys);

    if (other)
        feed_fault(walk, "unknown key; did you mean '%s'?", other);
    else
        feed_fault(walk, "unknown key");
}

void feed_object(struct feed_walk *walk, const json_t *value, const struct feed_key *keys, size_t count, void *out)
{
    uint64_t there = 0; /* bits of keys[] */
    size_t at = count - 1;
    const char *name;
    json_t *member;

    BUG_ON(count > 64);
    if (!json_is_object(value)) {
        feed_fault(walk, "must be an object: { … }");
        return;
    }
    json_object_foreach((json_t *)value, name, member)
    {
        size_t key = known(name, keys, count, at), before = config_path_down(&walk->path, name);

        if (key < count) {
            there |= UINT64_C(1) << key;
            at = key;
            keys[key].read(walk, member, out);
        } else {
            unknown(walk, name, keys, count);
        }
        config_path_up(&walk->path, before);
    }
    for (size_t i = 0; i < count; i++)
        if (keys[i].required && !(there >> i & 1))
            feed_fault(walk, "'%s' is missing", keys[i].name);
}

int feed_list_length(struct feed_walk *walk, const json_t *value, size_t most)
{
    BUG_ON(most > INT_MAX);
    if (!json_is_array(value)) {
        feed_fault(walk, "must be a list: [ … ]");
        return -1;
    }
    if (json_array_size(value) > most) {
        feed_fault(walk, "has %zu elements; %zu is the most", json_array_size(value), most);
        return -1;
    }
    return (int)json_array_size(value);
}

/* ---- single values ---- */

const char *feed_text(struct feed_walk *walk, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text)
        feed_fault(walk, "must be a string: \"…\"");
    return text;
}

bool feed_bool(struct feed_walk *walk, const json_t *value, bool *out)
{
    if (!json_is_boolean(value)) {
        feed_fault(walk, "must be true or false");
        return false;
    }
    *out = json_is_true(value);
    return true;
}

bool feed_number(struct feed_walk *walk, const json_t *value, uint64_t min, uint64_t max, uint64_t *out)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
        feed_fault(walk, "must be a number from %" PRIu64 " to %" PRIu64, min, max);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

bool feed_word(struct feed_walk *walk, const json_t *value, const char *const words[], size_t count, size_t *out)
{
    const char *text = json_string_value(value);
    char all[128] = "";

    for (size_t i = 0, at = 0; i < count; i++) {
        if (text && strcmp(text, words[i]) == 0) {
            *out = i;
            return true;
        }
        at += (size_t)snprintf(all + at, sizeof(all) - at, "%s\"%s\"", i ? ", " : "", words[i]);
        BUG_ON(at >= sizeof(all));
    }
    feed_fault(walk, "must be one of %s", all);
    return false;
}
