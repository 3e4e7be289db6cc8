/* config.h - configuration by table: one schema gives parser, defaults, checks, error messages and reference.
 *
 * A program describes its file as tables of struct config_field, which say where each value lies in a plain C struct.
 * config_load fills such a struct from text; nothing here opens a file (config_file.h does).
 *
 *      static const struct config_field fields[] = {
 *          {"timeout", CONFIG_DURATION, CONFIG_AT(struct hello, timeout_ns), .def = "5s", .min = TS_MS, .max = TS_S,
 *           .help = "a visitor's whole ClientHello must be here by then"},
 *      };
 *
 * What a loaded struct holds, by type; strings and lists live in the arena:
 *
 *      CONFIG_STRING    const char *            never NULL; "" when not given
 *      CONFIG_PATH      const char *            as above; relative ones are made relative to the file's folder
 *      CONFIG_BOOL      bool                    on off true false yes no
 *      CONFIG_INT       uint8_t … uint64_t      one of words[] stands for 0
 *      CONFIG_DURATION  uint64_t nanoseconds    5s; units ms s m h d
 *      CONFIG_SIZE      uint64_t bytes          16KiB; units KiB MiB GiB
 *      CONFIG_ENUM      unsigned or an enum     index into words[]
 *      CONFIG_ADDR      struct addr             all zero when not given
 *      CONFIG_ADDRPORT  struct addrport         [::]:443
 *      CONFIG_PREFIX    struct prefix           10.0.0.0/8
 *      CONFIG_NAME      const char *            DNS name in lower case, no last dot
 *      CONFIG_HOSTPORT  struct config_hostport  host:port
 *      CONFIG_STRUCT    the struct of `sub`     a map
 *      any of them, CONFIG_LIST_AT: pointer to an array, and a size_t named like it with _count */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/config/config_arena.h"
#include "common/config/config_errors.h"

enum config_type {
    CONFIG_STRING = 0,
    CONFIG_PATH,
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_DURATION,
    CONFIG_SIZE,
    CONFIG_ENUM,
    CONFIG_ADDR,
    CONFIG_ADDRPORT,
    CONFIG_PREFIX,
    CONFIG_NAME,
    CONFIG_HOSTPORT,
    CONFIG_STRUCT,
};

enum config_flag {
    CONFIG_REQUIRED = 1, /* must be given; a struct without this gets the defaults of its fields */
    CONFIG_RESTART = 2,  /* a new value is taken up by a restart only */
    CONFIG_WILDCARD = 4, /* CONFIG_NAME: "*.example.com" too */
    CONFIG_UNIX = 8,     /* CONFIG_HOSTPORT: "unix:/path" too */
};

struct config_schema;

struct config_field {
    const char *name;
    enum config_type type;
    size_t offset, size;             /* CONFIG_AT, CONFIG_LIST_AT; size of one element */
    bool list;                       /* CONFIG_LIST_AT */
    size_t count_offset;             /* list: of the size_t */
    unsigned flags;                  /* enum config_flag */
    const char *def;                 /* as a file would say it, a list in [ ]; NULL: the zero value, "not given" */
    uint64_t min, max;               /* of a number, time, size; bytes of text, max 0 = any; lowest port */
    size_t list_min, list_max;       /* elements; list_max 0: CONFIG_LIST_MAX */
    const char *const *words;        /* CONFIG_ENUM: all words, then NULL; CONFIG_INT: words that stand for 0 */
    const struct config_schema *sub; /* CONFIG_STRUCT */
    const char *help;                /* one line */
};

#define CONFIG_LIST_MAX 256

#define CONFIG_AT(type_, member_) .offset = offsetof(type_, member_), .size = sizeof(((type_ *)0)->member_)
#define CONFIG_LIST_AT(type_, member_)                                                                                 \
    .offset = offsetof(type_, member_), .size = sizeof(*((type_ *)0)->member_), .list = true,                          \
    .count_offset = offsetof(type_, member_##_count)

/* CONFIG_TABLE - the schema of struct type_ from the array name_fields: names it name_schema. */
#define CONFIG_TABLE(name_, type_, title_, check_)                                                                     \
    const struct config_schema name_##_schema = {.title = (title_),                                                    \
                                                 .fields = name_##_fields,                                             \
                                                 .count = sizeof(name_##_fields) / sizeof(name_##_fields[0]),          \
                                                 .size = sizeof(type_),                                                \
                                                 .check = (check_)}

/* struct config_check - where in the file the loader stands; handed to checks. */
struct config_check;

struct config_schema {
    const char *title; /* what the map describes */
    const struct config_field *fields;
    size_t count;
    size_t size; /* bytes of the C struct */
    /* check - what concerns several fields; may complete them (a port that follows from another value).
     * Called once every field under this struct was right, so it never complains about what is wrong already. */
    void (*check)(struct config_check *at, void *value);
};

/* config_fault - for checks: `path` below the struct being checked ("identities[1].name") is wrong. */
void config_fault(struct config_check *at, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* config_format - for checks: text in the configuration's memory; "" when there is no memory (the load then fails). */
char *config_format(struct config_check *at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* config_take - for checks: zeroed memory that lives as long as the configuration, or NULL as above. */
void *config_take(struct config_check *at, size_t size);

/* config_load - fill *out from text.
 * file     the file's name: in errors, and its folder is where relative paths start
 * text     len bytes, borrowed for this call
 * out      the struct that `schema` describes; its values live as long as arena
 * errors   gets everything that is wrong; must be initialised
 * Returns 0, or ERR_INVALID with at least one error; *out is then not to be used. */
int config_load(const char *file, const char *text, size_t len, const struct config_schema *schema, void *out,
                struct config_arena *arena, struct config_errors *errors);

/* config_load_new - as config_load, into an arena of its own with room for limit_bytes.
 * Returns 0 with *out in *arena, which the caller frees; or ERR_INVALID or ERR_NOMEM, *out and *arena NULL. */
int config_load_new(const char *file, const char *text, size_t len, const struct config_schema *schema,
                    size_t limit_bytes, struct config_errors *errors, void **out, struct config_arena **arena);

/* config_print - the effective configuration as a file that loads to the same values; keys without a value are left
 * out. Paths are as resolved. */
void config_print(const struct config_schema *schema, const void *value, FILE *out);

/* config_reference - a Markdown table of all keys: type, default, whether a reload takes it up, meaning. */
void config_reference(const struct config_schema *schema, FILE *out);

/* config_json_schema - the same as JSON Schema (draft 2020-12), for editors. */
void config_json_schema(const struct config_schema *schema, FILE *out);

/* config_changed - tell which values that need a restart differ between two configurations of one schema.
 * fn gets the path of each ("workers", "wireguard.listen"), borrowed for the call. Returns how many. */
size_t config_changed(const struct config_schema *schema, const void *before, const void *after,
                      void (*fn)(const char *path, void *ctx), void *ctx);

#endif
