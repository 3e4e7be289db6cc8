#include "common/tailnet/json_slices.h"

#include <stdint.h>
#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && blank(*at))
        at++;
    return at;
}

/* after the string that begins at `at` (a quote); NULL: it has no end */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : NULL;
}

/* after the object or list that begins at `at`; NULL: brackets that do not pair, or too deep */
static const char *skip_brackets(const char *at, const char *end)
{
    uint64_t lists = 0; /* a bit a level: it is a list */
    unsigned depth = 0;

    while (at < end) {
        switch (*at) {
        case '"':
            at = skip_string(at, end);
            if (!at)
                return NULL;
            continue;
        case '{':
        case '[':
            if (depth == JSON_SLICES_DEPTH_MAX)
                return NULL;
            lists = lists << 1 | (*at == '[');
            depth++;
            break;
        case '}':
        case ']':
            if ((lists & 1) != (*at == ']'))
                return NULL;
            lists >>= 1;
            if (--depth == 0)
                return at + 1;
            break;
        default:
            break;
        }
        at++;
    }
    return NULL;
}

/* after a number or word */
static const char *skip_plain(const char *at, const char *end)
{
    const char *from = at;

    while (at < end && !blank(*at) && !strchr(",:]}[{\"", *at))
        at++;
    return at > from ? at : NULL;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at == end)
        return NULL;
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_brackets(at, end);
    return skip_plain(at, end);
}

static bool fail(struct json_slices *s)
{
    s->bad = true;
    return false;
}

static bool open_value(struct json_slices *s, struct json_slice value, char first, char last)
{
    *s = (struct json_slices){0};
    if (value.len < 2)
        return fail(s);
    const char *end = value.at + value.len, *at = skip_blanks(value.at, end);

    while (end > at && blank(end[-1]))
        end--;
    if (end - at < 2 || *at != first || end[-1] != last)
        return fail(s);
    s->at = at + 1;
    s->end = end - 1;
    return true;
}

bool json_slices_object(struct json_slices *s, struct json_slice value)
{
    return open_value(s, value, '{', '}');
}

bool json_slices_list(struct json_slices *s, struct json_slice value)
{
    return open_value(s, value, '[', ']');
}

/* next_part - to the next member or element, over the comma; false: the end, or bad */
static bool next_part(struct json_slices *s)
{
    if (s->bad || s->done)
        return false;
    s->at = skip_blanks(s->at, s->end);
    if (s->at == s->end) {
        s->done = true;
        return false;
    }
    if (s->begun) {
        if (*s->at != ',')
            return fail(s);
        s->at = skip_blanks(s->at + 1, s->end);
        if (s->at == s->end)
            return fail(s);
    }
    s->begun = true;
    return true;
}

static bool take_value(struct json_slices *s, struct json_slice *value)
{
    const char *after = skip_value(s->at, s->end);

    if (!after)
        return fail(s);
    *value = (struct json_slice){s->at, (size_t)(after - s->at)};
    s->at = after;
    return true;
}

bool json_slices_member(struct json_slices *s, struct json_slice *key, struct json_slice *value)
{
    if (!next_part(s))
        return false;
    if (*s->at != '"' || !take_value(s, key))
        return fail(s);
    key->at++;
    key->len -= 2;
    s->at = skip_blanks(s->at, s->end);
    if (s->at == s->end || *s->at != ':')
        return fail(s);
    s->at = skip_blanks(s->at + 1, s->end);
    return take_value(s, value);
}

bool json_slices_element(struct json_slices *s, struct json_slice *value)
{
    return next_part(s) && take_value(s, value);
}

bool json_slice_is(struct json_slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.at, text, slice.len) == 0;
}
