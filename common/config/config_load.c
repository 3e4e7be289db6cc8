/* config_load.c - from the tree to the C struct, by the table.
 *
 * The tree is walked in the file's order, so errors come out in that order; what the file leaves out gets its default
 * through the same readers, which proves the defaults at the first load of every test. */
#include "common/config/config.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/config/config_meant.h"
#include "common/config/config_path.h"
#include "common/config/config_text.h"
#include "common/config/config_tree.h"

/* A tree node is about 100 bytes and takes at least two of the file; values are bounded by list_max and the schemas. */
#define TREE_BYTES_MAX ((size_t)128 << 20)
#define FIELDS_MAX     64 /* of one struct: width of the "was seen" mask */
#define QUOTE_MAX      80 /* bytes of a wrong value that an error repeats */

struct config_check {
    const char *file;
    struct config_errors *errors;
    struct config_arena *arena;     /* of the values */
    const struct config_node *node; /* being read or checked */
    struct config_path path;        /* of that node */
    bool unread;                    /* some nodes could not be read, so values are missing: nothing to check beyond */
};

static void value_load(struct config_check *at, const struct config_field *f, void *out);
static void struct_load(struct config_check *at, const struct config_schema *schema, void *out);

static void fault(struct config_check *at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct config_check *at, const char *fmt, ...)
{
    struct config_place place = {at->file, at->node->line, at->node->column};
    va_list args;

    va_start(args, fmt);
    config_errors_addv(at->errors, place, at->path.text, fmt, args);
    va_end(args);
}

void config_fault(struct config_check *at, const char *path, const char *fmt, ...)
{
    const struct config_node *node = config_tree_find(at->node, path);
    struct config_place place = {at->file, node->line, node->column};
    size_t before = config_path_down(&at->path, path);
    va_list args;

    va_start(args, fmt);
    config_errors_addv(at->errors, place, at->path.text, fmt, args);
    va_end(args);
    config_path_up(&at->path, before);
}

void *config_take(struct config_check *at, size_t size)
{
    void *p = config_arena_take(at->arena, size);

    if (!p)
        fault(at, "out of memory");
    return p;
}

char *config_format(struct config_check *at, const char *fmt, ...)
{
    static char none[1];
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *text = len < 0 ? NULL : config_take(at, (size_t)len + 1);

    if (text)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    return text ? text : none;
}

/* Scalars. */

static void uint_store(const struct config_field *f, uint64_t v, void *out)
{
    switch (f->size) {
    case 1:
        *(uint8_t *)out = (uint8_t)v;
        break;
    case 2:
        *(uint16_t *)out = (uint16_t)v;
        break;
    case 4:
        *(uint32_t *)out = (uint32_t)v;
        break;
    default:
        BUG_ON(f->size != 8);
        *(uint64_t *)out = v;
    }
}

/* word_find - index of text in a list that ends in NULL, or -1. */
static int word_find(const char *const *words, const char *text)
{
    for (int i = 0; words && words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return -1;
}

static void number_load(struct config_check *at, const struct config_field *f, void *out)
{
    const char *text = at->node->text, *why;
    char min[CONFIG_TEXT_STR], max[CONFIG_TEXT_STR];
    uint64_t v = 0;

    if (f->type == CONFIG_INT && word_find(f->words, text) >= 0) {
        uint_store(f, 0, out);
        return;
    }
    if (f->type == CONFIG_DURATION)
        why = config_text_duration(text, &v);
    else if (f->type == CONFIG_SIZE)
        why = config_text_size(text, &v);
    else
        why = config_text_uint(text, &v);
    if (why) {
        fault(at, "'%.*s' %s%s%s", QUOTE_MAX, text, why, f->words ? ", or " : "", f->words ? f->words[0] : "");
    } else if (v < f->min || v > f->max) {
        if (f->type == CONFIG_DURATION) {
            config_text_duration_write(f->min, min);
            config_text_duration_write(f->max, max);
        } else if (f->type == CONFIG_SIZE) {
            config_text_size_write(f->min, min);
            config_text_size_write(f->max, max);
        } else {
            snprintf(min, sizeof(min), "%llu", (unsigned long long)f->min);
            snprintf(max, sizeof(max), "%llu", (unsigned long long)f->max);
        }
        fault(at, "'%.*s' is out of range; allowed is %s to %s", QUOTE_MAX, text, min, max);
    } else {
        uint_store(f, v, out);
    }
}

static void enum_load(struct config_check *at, const struct config_field *f, void *out)
{
    int word = word_find(f->words, at->node->text);
    char all[CONFIG_ERROR_STR / 2] = "";
    size_t len = 0;

    if (word >= 0) {
        uint_store(f, (uint64_t)word, out);
        return;
    }
    for (size_t i = 0; f->words[i] && len < sizeof(all); i++)
        len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "", f->words[i]);
    fault(at, "'%.*s' must be one of: %s", QUOTE_MAX, at->node->text, all);
}

/* path_load - what does not begin at the root begins at the file's folder. */
static void path_load(struct config_check *at, void *out)
{
    const char *text = at->node->text, *slash = strrchr(at->file, '/');
    bool relative = *text && *text != '/' && slash;

    *(const char **)out = config_format(at, "%.*s%s", relative ? (int)(slash + 1 - at->file) : 0, at->file, text);
}

static const char *hostport_read(struct config_check *at, const struct config_field *f, struct config_hostport *out)
{
    static const char prefix[] = "unix:";
    char *text = config_format(at, "%s", at->node->text);

    if (!(f->flags & CONFIG_UNIX) || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return config_text_hostport(text, out);
    text += sizeof(prefix) - 1;
    if (*text != '/')
        return "must have a whole path after unix:, from the root";
    *out = (struct config_hostport){.host = "", .unix_path = text};
    return NULL;
}

static const char *length_check(const struct config_field *f, size_t len)
{
    if (len < f->min)
        return len ? "is too short" : "must not be empty";
    return f->max && len > f->max ? "is too long" : NULL;
}

static void scalar_load(struct config_check *at, const struct config_field *f, void *out)
{
    const char *text = at->node->text, *why = NULL;
    size_t len = strlen(text);

    switch (f->type) {
    case CONFIG_STRING:
        why = length_check(f, len);
        *(const char **)out = config_format(at, "%s", text);
        break;
    case CONFIG_PATH:
        why = length_check(f, len);
        path_load(at, out);
        break;
    case CONFIG_BOOL:
        why = config_text_bool(text, out);
        break;
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        number_load(at, f, out);
        break;
    case CONFIG_ENUM:
        enum_load(at, f, out);
        break;
    case CONFIG_ADDR:
        if (!addr_parse(text, len, out))
            why = "is not an IP address";
        break;
    case CONFIG_ADDRPORT:
        if (!addrport_parse(text, len, out))
            why = "must be address:port, such as \"[::]:443\" or \"0.0.0.0:443\"";
        else if (((struct addrport *)out)->port < f->min)
            why = "needs a port other than 0";
        break;
    case CONFIG_PREFIX:
        if (!prefix_parse(text, len, out))
            why = "is not a network such as 10.0.0.0/8 (with all host bits zero) or an address";
        break;
    case CONFIG_NAME:
        *(char **)out = config_format(at, "%s", text);
        why = length_check(f, len);
        if (!why && len > 0)
            why = config_text_name(*(char **)out, f->flags & CONFIG_WILDCARD);
        break;
    case CONFIG_HOSTPORT:
        why = hostport_read(at, f, out);
        break;
    default:
        BUG_ON(true);
    }
    if (why)
        fault(at, "'%.*s' %s", QUOTE_MAX, text, why);
}

/* Values and lists. */

/* left_empty - "key:" with nothing after it, as it looks when all below was commented out. */
static bool left_empty(const struct config_node *node)
{
    return node->kind == CONFIG_KIND_SCALAR && node->plain && !*node->text;
}

static void value_load(struct config_check *at, const struct config_field *f, void *out)
{
    static const char *const kinds[] = {"", "one value", "a map", "a list"};
    enum config_kind wanted = f->type == CONFIG_STRUCT ? CONFIG_KIND_MAP : CONFIG_KIND_SCALAR;
    const struct config_node *node = at->node;

    if (node->kind == CONFIG_KIND_BAD)
        return;
    if (f->type == CONFIG_STRUCT && (node->kind == CONFIG_KIND_MAP || left_empty(node)))
        struct_load(at, f->sub, out);
    else if (node->kind != wanted)
        fault(at, "must be %s, not %s", kinds[wanted], kinds[node->kind]);
    else if (left_empty(node))
        fault(at, "has no value; write \"\" if it is to be empty");
    else
        scalar_load(at, f, out);
}

/* unset - the zero value of a type: strings are empty, not NULL. */
static void unset(const struct config_field *f, void *out)
{
    memset(out, 0, f->size);
    if (f->type == CONFIG_STRING || f->type == CONFIG_PATH || f->type == CONFIG_NAME)
        *(const char **)out = "";
    else if (f->type == CONFIG_HOSTPORT)
        *(struct config_hostport *)out = (struct config_hostport){.host = "", .unix_path = ""};
}

static void list_load(struct config_check *at, const struct config_field *f, char *base)
{
    const struct config_node *list = at->node;
    size_t max = f->list_max ? f->list_max : CONFIG_LIST_MAX;

    if (list->kind == CONFIG_KIND_BAD)
        return;
    if (list->kind != CONFIG_KIND_LIST && !left_empty(list)) {
        fault(at, "must be a list");
        return;
    }
    if (list->count == 0 && f->list_min > 0) {
        fault(at, "must not be empty");
        return;
    }
    if (list->count < f->list_min || list->count > max) {
        fault(at, "has %zu entries; allowed are %zu to %zu", list->count, f->list_min, max);
        return;
    }
    char *items = list->count ? config_take(at, list->count * f->size) : NULL;
    size_t i = 0;

    for (const struct config_node *n = list->first; n && items; n = n->next, i++) {
        size_t before = config_path_index(&at->path, i);

        at->node = n;
        unset(f, items + i * f->size);
        value_load(at, f, items + i * f->size);
        config_path_up(&at->path, before);
    }
    at->node = list;
    *(void **)(base + f->offset) = items;
    *(size_t *)(base + f->count_offset) = i;
}

/* field_load - one entry of a map into the struct at base. */
static void field_load(struct config_check *at, const struct config_field *f, const struct config_node *node,
                       char *base)
{
    const struct config_node *outer = at->node;
    size_t before = config_path_down(&at->path, f->name);

    at->node = node;
    if (f->list)
        list_load(at, f, base);
    else
        value_load(at, f, base + f->offset);
    at->node = outer;
    config_path_up(&at->path, before);
}

/* Defaults go the way of values: a scalar as a scalar, a list as the YAML it is written in. */
static void default_load(struct config_check *at, const struct config_field *f, char *base)
{
    struct config_node node = {.kind = CONFIG_KIND_SCALAR, .line = at->node->line, .column = at->node->column};

    node.text = f->def;
    if (f->type == CONFIG_STRUCT && !f->list) {
        node.kind = CONFIG_KIND_MAP;
        field_load(at, f, &node, base);
    } else if (f->def && f->list) {
        struct config_arena *arena = config_arena_new(TREE_BYTES_MAX);
        const struct config_node *list =
            arena ? config_tree_parse(at->file, f->def, strlen(f->def), arena, at->errors) : NULL;

        if (list)
            field_load(at, f, list, base);
        else
            fault(at, "out of memory");
        config_arena_free(arena);
    } else if (f->def) {
        field_load(at, f, &node, base);
    }
}

/* Structs. */

static const char *field_name(const void *ctx, size_t i)
{
    return ((const struct config_schema *)ctx)->fields[i].name;
}

static void unknown_key(struct config_check *at, const struct config_schema *schema, const struct config_node *entry)
{
    struct config_node key = {.line = entry->key_line, .column = entry->key_column};
    const struct config_node *outer = at->node;
    size_t before = config_path_down(&at->path, entry->key);
    const char *meant = config_meant(entry->key, schema->count, field_name, schema);

    at->node = &key;
    if (meant)
        fault(at, "unknown key; did you mean '%s'?", meant);
    else
        fault(at, "unknown key");
    at->node = outer;
    config_path_up(&at->path, before);
}

static void given_twice(struct config_check *at, const struct config_node *entry)
{
    size_t before = config_path_down(&at->path, entry->key);

    config_errors_add(at->errors, (struct config_place){at->file, entry->key_line, entry->key_column}, at->path.text,
                      "is given twice");
    config_path_up(&at->path, before);
}

static const struct config_field *field_find(const struct config_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return &schema->fields[i];
    return NULL;
}

static void struct_load(struct config_check *at, const struct config_schema *schema, void *out)
{
    size_t wrong = at->errors->count;
    uint64_t seen = 0;

    BUG_ON(schema->count > FIELDS_MAX);
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_field *f = &schema->fields[i];

        if (!f->list)
            unset(f, (char *)out + f->offset);
    }
    for (const struct config_node *n = at->node->first; n; n = n->next) {
        const struct config_field *f = field_find(schema, n->key);
        uint64_t bit = f ? (uint64_t)1 << (f - schema->fields) : 0;

        if (!f) {
            unknown_key(at, schema, n);
        } else if (seen & bit) {
            given_twice(at, n);
        } else {
            field_load(at, f, n, out);
        }
        seen |= bit;
    }
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_field *f = &schema->fields[i];

        if (seen & (uint64_t)1 << i)
            continue;
        if (f->flags & CONFIG_REQUIRED)
            fault(at, "'%s' is missing", f->name);
        else
            default_load(at, f, out);
    }
    if (schema->check && !at->unread && at->errors->count == wrong)
        schema->check(at, out);
}

int config_load(const char *file, const char *text, size_t len, const struct config_schema *schema, void *out,
                struct config_arena *arena, struct config_errors *errors)
{
    size_t wrong = errors->count;
    struct config_arena *tree_arena = config_arena_new(TREE_BYTES_MAX);
    struct config_check at = {.file = file, .errors = errors, .arena = arena};

    if (!tree_arena) {
        config_errors_add(errors, (struct config_place){.file = file}, "", "out of memory");
        return ERR_INVALID;
    }
    config_path_init(&at.path);
    memset(out, 0, schema->size);
    at.node = config_tree_parse(file, text, len, tree_arena, errors);
    at.unread = errors->count != wrong;
    if (at.node && at.node->kind == CONFIG_KIND_MAP)
        struct_load(&at, schema, out);
    else if (at.node && at.node->kind != CONFIG_KIND_BAD)
        fault(&at, "must be a map of keys and values");
    config_arena_free(tree_arena);
    return errors->count == wrong ? 0 : ERR_INVALID;
}

int config_load_new(const char *file, const char *text, size_t len, const struct config_schema *schema,
                    size_t limit_bytes, struct config_errors *errors, void **out, struct config_arena **arena)
{
    int err = ERR_NOMEM;

    *arena = config_arena_new(limit_bytes);
    *out = *arena ? config_arena_take(*arena, schema->size) : NULL;
    if (*out)
        err = config_load(file, text, len, schema, *out, *arena, errors);
    else
        config_errors_add(errors, (struct config_place){.file = file}, "", "%s", err_str(err));
    if (err) {
        config_arena_free(*arena);
        *arena = NULL;
        *out = NULL;
    }
    return err;
}
