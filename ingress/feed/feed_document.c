/* feed_document.c - telling the two forms apart and reading each. */
#include "ingress/feed/feed_document.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "ingress/feed/feed_row.h"

#define VERSION 1

/* A duplicate key would else win silently over the one before it. */
#define LOAD_FLAGS JSON_REJECT_DUPLICATES

struct document {
    struct route_builder *builder;
    int err; /* ERR_NOMEM, or 0; what is wrong with the text is in the walk's errors */
};

/* Syntax errors are told by place. What stood there is cut off: it may be a preshared key. */
static void tell_syntax(struct feed_walk *walk, const json_error_t *error, unsigned first_line)
{
    const char *near = strstr(error->text, " near '");
    int shown = near ? (int)(near - error->text) : (int)strlen(error->text);
    struct config_place place = walk->place;

    place.line = first_line + (error->line > 0 ? (unsigned)error->line - 1 : 0);
    place.column = error->column > 0 ? (unsigned)error->column : 1;
    config_errors_add(walk->errors, place, "", "%.*s", shown, error->text);
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
            return false;
    return true;
}

/* ---- the document form ---- */

static void read_version(struct feed_walk *walk, const json_t *value, void *out)
{
    (void)out;
    if (!json_is_integer(value) || json_integer_value(value) != VERSION)
        feed_fault(walk, "must be %d: this program knows no other", VERSION);
}

static void read_schema(struct feed_walk *walk, const json_t *value, void *out)
{
    (void)out;
    feed_text(walk, value); /* for editors; not looked at */
}

static void read_nodes(struct feed_walk *walk, const json_t *value, void *out)
{
    struct document *doc = out;
    int count = feed_list_length(walk, value, FEED_DOCUMENT_BYTES_MAX);

    for (int i = 0; i < count && doc->err != ERR_NOMEM; i++) {
        size_t before = config_path_index(&walk->path, (size_t)i);

        doc->err = feed_row_add(walk, json_array_get(value, (size_t)i), doc->builder);
        config_path_up(&walk->path, before);
    }
}

static const struct feed_key document_keys[] = {
    {"$schema", false, read_schema},
    {"version", true, read_version},
    {"nodes", true, read_nodes},
};

static int document_read(struct feed_walk *walk, const char *text, size_t len, struct route_builder *builder)
{
    struct document doc = {.builder = builder};
    json_error_t error;

    if (is_blank(text, len)) {
        feed_fault(walk, "is empty; a feed without nodes is {\"version\": 1, \"nodes\": []}");
        return ERR_INVALID;
    }
    if (len > FEED_DOCUMENT_BYTES_MAX) {
        feed_fault(walk, "is larger than %zu MiB: write one node a line instead", FEED_DOCUMENT_BYTES_MAX >> 20);
        return ERR_TOO_LARGE;
    }
    json_t *root = json_loadb(text, len, LOAD_FLAGS, &error);

    if (!root) {
        tell_syntax(walk, &error, 1);
        return ERR_INVALID;
    }
    feed_object(walk, root, document_keys, ARRAY_SIZE(document_keys), &doc);
    json_decref(root);
    return doc.err == ERR_NOMEM ? ERR_NOMEM : 0;
}

/* ---- the lines form ---- */

static size_t line_length(const char *text, size_t len)
{
    const char *end = memchr(text, '\n', len);

    return end ? (size_t)(end - text) : len;
}

static bool is_lines(const char *text, size_t len)
{
    size_t first = line_length(text, len);

    while (first < len && is_blank(text, first)) {
        text += first + 1;
        len -= first + 1;
        first = line_length(text, len);
    }
    if (first > FEED_LINE_BYTES_MAX)
        return false;
    json_t *object = json_loadb(text, first, LOAD_FLAGS, NULL);
    bool has_id = json_object_get(object, "id") != NULL;

    json_decref(object);
    return has_id;
}

static int line_read(struct feed_walk *walk, const char *line, size_t len, struct route_builder *builder)
{
    json_error_t error;

    if (is_blank(line, len))
        return 0;
    if (len > FEED_LINE_BYTES_MAX) {
        feed_fault(walk, "is longer than %zu KiB", FEED_LINE_BYTES_MAX >> 10);
        return ERR_TOO_LARGE;
    }
    json_t *object = json_loadb(line, len, LOAD_FLAGS, &error);

    if (!object) {
        tell_syntax(walk, &error, walk->place.line);
        return ERR_INVALID;
    }
    int err = feed_row_add(walk, object, builder);

    json_decref(object);
    return err;
}

static int lines_read(struct feed_walk *walk, const char *text, size_t len, struct route_builder *builder)
{
    for (size_t at = 0; at < len;) {
        size_t line = line_length(text + at, len - at);

        walk->place.line++;
        if (line_read(walk, text + at, line, builder) == ERR_NOMEM)
            return ERR_NOMEM;
        at += line + 1;
    }
    return 0;
}

int feed_document_parse(const char *file, const char *text, size_t len, const struct map_seed *seed,
                        struct config_errors *errors, struct route_table **out)
{
    struct route_builder *builder = route_builder_new(seed);
    size_t faults = errors->count;
    struct feed_walk walk;
    int err = ERR_NOMEM;

    *out = NULL;
    feed_walk_init(&walk, file, errors);
    if (builder)
        err = is_lines(text, len) ? lines_read(&walk, text, len, builder) : document_read(&walk, text, len, builder);
    if (err == 0 && errors->count != faults)
        err = ERR_INVALID;
    if (err == ERR_NOMEM)
        config_errors_add(errors, (struct config_place){.file = file}, "", "%s", err_str(ERR_NOMEM));
    if (err < 0) {
        route_builder_free(builder);
        return err;
    }
    *out = route_table_new(builder);
    return 0;
}
