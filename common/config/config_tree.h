/* config_tree.h - the door to libyaml: text to a tree of maps, lists and scalars, each knowing where it stood.
 *
 * A strict subset of YAML. Scalars stay text, so nothing is guessed (`no`, `22:22` and `1.10` mean what the schema
 * says); anchors, aliases, tags, merge keys, keys that are not text, values of several lines, further documents,
 * nesting beyond CONFIG_DEPTH_MAX and files beyond CONFIG_FILE_MAX are errors. JSON is read as the YAML it nearly is:
 * only escaped surrogate pairs and keys over 1024 bytes are refused. */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config/config_arena.h"
#include "common/config/config_errors.h"

#define CONFIG_FILE_MAX  ((size_t)1 << 20)
#define CONFIG_DEPTH_MAX 16

enum config_kind {
    CONFIG_KIND_BAD = 0, /* an error was already reported here: say nothing more about it */
    CONFIG_KIND_SCALAR,
    CONFIG_KIND_MAP,
    CONFIG_KIND_LIST,
};

struct config_node {
    enum config_kind kind;
    unsigned line, column;           /* of the value, from 1 */
    const char *text;                /* scalar: one line without control characters, zero at its end; else NULL */
    bool plain;                      /* scalar: written without quotes */
    const char *key;                 /* entry of a map: its key, else NULL. Keys may repeat: the reader checks */
    unsigned key_line, key_column;   /* of the key */
    struct config_node *first;       /* map, list: entries in the file's order */
    struct config_node *next;        /* after this one in the same map or list */
    size_t count;                    /* map, list: entries */
};

/* config_tree_parse - the tree of one document.
 * file    named in errors; text need not end in a zero
 * arena   holds the tree; text is not referred to afterwards
 * Returns the root (an empty file is an empty map), or NULL when the text can't be followed to its end. Errors that
 * leave a tree worth checking (a tag, an alias) are reported and passed over. */
struct config_node *config_tree_parse(const char *file, const char *text, size_t len, struct config_arena *arena,
                                      struct config_errors *errors);

/* config_tree_entry - the map's entry of that name, or NULL. */
const struct config_node *config_tree_entry(const struct config_node *map, const char *key, size_t key_len);

/* config_tree_find - go along a path ("a.b[1].c") as far as the tree has it; returns the last node reached. */
const struct config_node *config_tree_find(const struct config_node *from, const char *path);

#endif
