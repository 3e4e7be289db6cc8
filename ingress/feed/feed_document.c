/* feed_document.c - telling the two forms apart and reading each. */
#include "ingress/feed/feed_document.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/key.h"
#include "ingress/feed/feed_row.h"
#include "ingress/route/route_builder.h"

#define VERSION 1

/* A duplicate key would else win silently over the one before it. */
#define LOAD_FLAGS JSON_REJECT_DUPLICATES

struct document {
    struct route_table *table;
    int err; /* ERR_NOMEM, or 0; what is wrong with the text is in the walk's errors */
};

/* ---- conflicts ---- */

static void tell_conflict(struct feed_walk *walk, const struct route_node *row, const struct route_conflict *c)
{
    static const char *const fields[] = {
        [ROUTE_CONFLICT_ID] = "id",          [ROUTE_CONFLICT_KEY] = "key",    [ROUTE_CONFLICT_ADDRESS] = "addresses",
        [ROUTE_CONFLICT_NAME] = "names",     [ROUTE_CONFLICT_NAME_FULL] = "names",
    };
    struct addr derived;
    size_t before = config_path_down(&walk->path, fields[c->kind]);

    key_ula(row->key, &derived);
    if (c->kind == ROUTE_CONFLICT_NAME_FULL ||
        (c->kind == ROUTE_CONFLICT_ADDRESS && !addr_equal(&row->addresses[c->index], &derived)))
        config_path_index(&walk->path, c->index);
    switch (c->kind) {
    case ROUTE_CONFLICT_ID:
        feed_fault(walk, "'%s' is the id of an earlier node", row->id);
        break;
    case ROUTE_CONFLICT_KEY:
        feed_fault(walk, "is the key of node '%s' too", c->other->id);
        break;
    case ROUTE_CONFLICT_ADDRESS:
        feed_fault(walk, "is an address of node '%s' too", c->other->id);
        break;
    case ROUTE_CONFLICT_NAME_FULL:
        feed_fault(walk, "%d other nodes have '%s': no more can", ROUTE_NODES_PER_NAME, row->names[c->index].name);
        break;
    case ROUTE_CONFLICT_NAME:
    case ROUTE_CONFLICT_NONE:
        BUG_ON(true);
    }
    config_path_up(&walk->path, before);
}

/* take_row - into the table (the reference is taken); NULL: feed_row_new has said why */
static int take_row(struct feed_walk *walk, const struct route_node *row, size_t faults, struct route_table *table)
{
    struct route_conflict conflict;

    if (!row)
        return walk->errors->count == faults ? ERR_NOMEM : ERR_INVALID;
    int err = route_builder_enter(table, row, &conflict);

    if (err == ERR_EXISTS)
        tell_conflict(walk, row, &conflict);
    if (err != 0)
        route_node_put(row);
    return err;
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

        size_t faults = walk->errors->count;

        doc->err = take_row(walk, feed_row_new(walk, json_array_get(value, (size_t)i)), faults, doc->table);
        config_path_up(&walk->path, before);
    }
}

static const struct feed_key document_keys[] = {
    {"$schema", false, read_schema},
    {"version", true, read_version},
    {"nodes", true, read_nodes},
};

static int document_read(struct feed_walk *walk, const char *text, size_t len, struct route_table *table)
{
    struct document doc = {.table = table};
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
        feed_row_syntax(walk, &error, 1);
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

static int line_read(struct feed_walk *walk, const char *line, size_t len, struct route_table *table)
{
    size_t faults = walk->errors->count;
    char id[ROUTE_ID_MAX + 1];

    if (is_blank(line, len))
        return 0;
    if (len > FEED_LINE_BYTES_MAX) {
        feed_fault(walk, "is longer than %zu KiB", FEED_LINE_BYTES_MAX >> 10);
        return ERR_TOO_LARGE;
    }
    return take_row(walk, feed_row_parse(walk, line, len, id), faults, table);
}

static int lines_read(struct feed_walk *walk, const char *text, size_t len, struct route_table *table)
{
    for (size_t at = 0; at < len;) {
        size_t line = line_length(text + at, len - at);

        walk->place.line++;
        if (line_read(walk, text + at, line, table) == ERR_NOMEM)
            return ERR_NOMEM;
        at += line + 1;
    }
    return 0;
}

int feed_document_parse(const char *file, const char *text, size_t len, const struct map_seed *seed,
                        struct config_errors *errors, struct route_table **out)
{
    struct route_table *table = route_table_new(seed);
    size_t faults = errors->count;
    struct feed_walk walk;
    int err = ERR_NOMEM;

    *out = NULL;
    feed_walk_init(&walk, file, errors);
    if (table)
        err = is_lines(text, len) ? lines_read(&walk, text, len, table) : document_read(&walk, text, len, table);
    if (err == 0 && errors->count != faults)
        err = ERR_INVALID;
    if (err == ERR_NOMEM)
        config_errors_add(errors, (struct config_place){.file = file}, "", "%s", err_str(ERR_NOMEM));
    if (err < 0) {
        route_table_free(table);
        return err;
    }
    *out = table;
    return 0;
}
