/* config_tree.c - libyaml's events, one after the other, hung into the tree. */
#include "common/config/config_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/config/config_hint.h"
#include "common/config/config_path.h"

struct reader {
    yaml_parser_t yaml;
    const char *file, *text;
    size_t len;
    struct config_arena *arena;
    struct config_errors *errors;
    struct config_path path;
    bool stopped; /* nothing that follows can be understood */
};

static struct config_node *read_node(struct reader *r, yaml_event_t *event, unsigned depth);

static struct config_place place_of(const struct reader *r, const yaml_mark_t *mark)
{
    return (struct config_place){r->file, (unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

static void stop(struct reader *r, const yaml_mark_t *mark, const char *why)
{
    if (!r->stopped)
        config_errors_add(r->errors, place_of(r, mark), r->path.text, "%s", why);
    r->stopped = true;
}

/* The byte decoder knows no marks, only how far it came: count lines up to there. */
static yaml_mark_t mark_of_offset(const struct reader *r, size_t offset)
{
    yaml_mark_t mark = {0};

    for (size_t i = 0; i < offset && i < r->len; i++) {
        mark.column++;
        if (r->text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

static void report_syntax(struct reader *r)
{
    const yaml_parser_t *y = &r->yaml;
    struct config_hint hint;

    r->stopped = true;
    if (y->error == YAML_MEMORY_ERROR) {
        config_errors_add(r->errors, (struct config_place){.file = r->file}, "", "out of memory");
        return;
    }
    bool decoding = y->error == YAML_READER_ERROR;
    yaml_mark_t mark = decoding ? mark_of_offset(r, y->problem_offset) : y->problem_mark;
    struct config_place place = place_of(r, &mark);

    config_hint_find(&hint, r->text, r->len, place.line, place.column, y->problem);
    if (hint.column)
        place.column = hint.column;
    config_errors_add(r->errors, place, r->path.text, "%s%s%s", y->problem, *hint.text ? "; " : "", hint.text);
}

/* next - the next event, which the caller deletes. False: none, and the reader has stopped. */
static bool next(struct reader *r, yaml_event_t *event)
{
    if (r->stopped)
        return false;
    if (!yaml_parser_parse(&r->yaml, event)) {
        report_syntax(r);
        return false;
    }
    return true;
}

static void refuse_marks(struct reader *r, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        config_errors_add(r->errors, place_of(r, &event->start_mark), r->path.text,
                          "anchors (&%s) are not used here; quote a value that begins with &", anchor);
    if (tag)
        config_errors_add(r->errors, place_of(r, &event->start_mark), r->path.text,
                          "tags (!) are not used here; quote a value that begins with !");
}

static struct config_node *node_new(struct reader *r, const yaml_event_t *event, enum config_kind kind)
{
    struct config_node *node = config_arena_take(r->arena, sizeof(*node));

    if (!node) {
        stop(r, &event->start_mark, "out of memory, or too many values");
        return NULL;
    }
    struct config_place place = place_of(r, &event->start_mark);

    node->kind = kind;
    node->line = place.line;
    node->column = place.column;
    return node;
}

static bool one_line(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static struct config_node *read_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct config_node *node = node_new(r, event, CONFIG_KIND_SCALAR);

    if (!node)
        return NULL;
    refuse_marks(r, event, event->data.scalar.anchor, event->data.scalar.tag);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (!one_line(text, len)) {
        config_errors_add(r->errors, place_of(r, &event->start_mark), r->path.text,
                          "has a line break or control character in it");
        node->kind = CONFIG_KIND_BAD;
        return node;
    }
    node->text = config_arena_text(r->arena, text, len);
    if (!node->text)
        stop(r, &event->start_mark, "out of memory, or too many values");
    return node;
}

static void hang(struct config_node *parent, struct config_node **last, struct config_node *child)
{
    if (*last)
        (*last)->next = child;
    else
        parent->first = child;
    *last = child;
    parent->count++;
}

static struct config_node *read_list(struct reader *r, const yaml_event_t *start, unsigned depth)
{
    struct config_node *list = node_new(r, start, CONFIG_KIND_LIST), *last = NULL;
    yaml_event_t event;

    if (!list)
        return NULL;
    refuse_marks(r, start, start->data.sequence_start.anchor, start->data.sequence_start.tag);
    while (next(r, &event)) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return list;
        }
        size_t before = config_path_index(&r->path, list->count);
        struct config_node *child = read_node(r, &event, depth);

        if (child)
            hang(list, &last, child);
        if (!r->stopped) /* else the path stays where it stopped: nothing more is read */
            config_path_up(&r->path, before);
    }
    return NULL;
}

/* usable_key - whether an entry under this key may stand in the map; says why not. */
static bool usable_key(struct reader *r, const struct config_node *key)
{
    struct config_place place = {r->file, key->line, key->column};

    if (key->kind == CONFIG_KIND_SCALAR && (!key->plain || strcmp(key->text, "<<") != 0))
        return true;
    if (key->kind == CONFIG_KIND_SCALAR)
        config_errors_add(r->errors, place, r->path.text, "merge keys (<<) are not used here");
    else if (key->kind != CONFIG_KIND_BAD)
        config_errors_add(r->errors, place, r->path.text, "a key must be text, not a map or list");
    return false;
}

static struct config_node *read_map(struct reader *r, const yaml_event_t *start, unsigned depth)
{
    struct config_node *map = node_new(r, start, CONFIG_KIND_MAP), *last = NULL;
    yaml_event_t event;

    if (!map)
        return NULL;
    refuse_marks(r, start, start->data.mapping_start.anchor, start->data.mapping_start.tag);
    while (next(r, &event)) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return map;
        }
        struct config_node *key = read_node(r, &event, depth);

        if (!key || r->stopped)
            break;
        bool usable = usable_key(r, key);
        size_t before = usable ? config_path_down(&r->path, key->text) : r->path.len;

        if (!next(r, &event))
            break;
        struct config_node *value = read_node(r, &event, depth);

        if (value && usable) {
            value->key = key->text;
            value->key_line = key->line;
            value->key_column = key->column;
            hang(map, &last, value);
        }
        if (!r->stopped)
            config_path_up(&r->path, before);
    }
    return NULL;
}

/* read_node - the value that begins with this event, which is used up. NULL: the reader has stopped. */
static struct config_node *read_node(struct reader *r, yaml_event_t *event, unsigned depth)
{
    struct config_node *node = NULL;

    if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT && depth == CONFIG_DEPTH_MAX) {
        stop(r, &event->start_mark, "is nested too deeply");
    } else if (event->type == YAML_SCALAR_EVENT) {
        node = read_scalar(r, event);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        node = read_list(r, event, depth + 1);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        node = read_map(r, event, depth + 1);
    } else {
        config_errors_add(r->errors, place_of(r, &event->start_mark), r->path.text,
                          "aliases (*%s) are not used here; quote a value that begins with *",
                          (const char *)event->data.alias.anchor);
        node = node_new(r, event, CONFIG_KIND_BAD);
    }
    yaml_event_delete(event);
    return node;
}

/* read_stream - one document between the stream's start and end. NULL: stopped. */
static struct config_node *read_stream(struct reader *r)
{
    static const yaml_event_t top; /* where an empty file's map stands */
    struct config_node *root = NULL;
    unsigned documents = 0;
    yaml_event_t event;

    while (next(r, &event)) {
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            yaml_event_delete(&event);
            return root ? root : node_new(r, &top, CONFIG_KIND_MAP);
        case YAML_DOCUMENT_START_EVENT:
            if (documents++ > 0)
                stop(r, &event.start_mark, "a second document begins; only one is read");
            yaml_event_delete(&event);
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            yaml_event_delete(&event);
            break;
        default:
            root = read_node(r, &event, 0);
        }
    }
    return NULL;
}

struct config_node *config_tree_parse(const char *file, const char *text, size_t len, struct config_arena *arena,
                                      struct config_errors *errors)
{
    struct reader r = {.file = file, .text = text, .len = len, .arena = arena, .errors = errors};
    struct config_place whole = {.file = file};

    config_path_init(&r.path);
    if (len > CONFIG_FILE_MAX) {
        config_errors_add(errors, whole, "", "is larger than %zu bytes", CONFIG_FILE_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.yaml)) {
        config_errors_add(errors, whole, "", "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, len);
    struct config_node *root = read_stream(&r);

    yaml_parser_delete(&r.yaml);
    return r.stopped ? NULL : root;
}

const struct config_node *config_tree_entry(const struct config_node *map, const char *key, size_t key_len)
{
    for (const struct config_node *n = map->first; n; n = n->next)
        if (n->key && strlen(n->key) == key_len && memcmp(n->key, key, key_len) == 0)
            return n;
    return NULL;
}

const struct config_node *config_tree_find(const struct config_node *from, const char *path)
{
    const struct config_node *at = from, *below = from;

    while (below && *path) {
        at = below;
        if (*path == '[') {
            char *end;
            unsigned long index = strtoul(path + 1, &end, 10);

            path = *end == ']' ? end + 1 : end;
            for (below = at->first; below && index > 0; index--)
                below = below->next;
        } else {
            path += *path == '.';
            size_t len = strcspn(path, ".[");

            below = config_tree_entry(at, path, len);
            path += len;
        }
    }
    return below ? below : at;
}
