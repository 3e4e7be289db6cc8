/* fuzz_config.c - any bytes as a configuration file, against a schema with every type in it.
 *
 * Shows: no crash and no leak; a load that fails says why; what loads prints to a file that loads again to the same
 * print. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/config/config.h"
#include "common/config/config_checks.h"
#include "common/config/config_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct item {
    const char *name;
    struct config_hostport to;
    const uint16_t *ports;
    size_t ports_count;
};

struct all {
    const char *text, *path;
    bool flag;
    uint32_t number;
    uint64_t time_ns, size_bytes;
    unsigned word;
    struct addrport at;
    const struct prefix *nets;
    size_t nets_count;
    const struct addr *own;
    size_t own_count;
    const struct item *items;
    size_t items_count;
    struct item one;
};

static const char *const words[] = {"off", "on", "loud", NULL};
static const char *const zero_words[] = {"auto", NULL};

static const struct config_field item_fields[] = {
    {"name", CONFIG_NAME, CONFIG_AT(struct item, name), .flags = CONFIG_WILDCARD, .def = "*.x", .min = 1, .help = "h"},
    {"to", CONFIG_HOSTPORT, CONFIG_AT(struct item, to), .flags = CONFIG_UNIX, .help = "h"},
    {"ports", CONFIG_INT, CONFIG_LIST_AT(struct item, ports), .def = "[1, 2]", .min = 1, .max = 65535, .help = "h"},
};
static CONFIG_TABLE(item, struct item, "item", NULL);

static void all_check(struct config_check *at, void *value)
{
    const struct all *all = value;
    struct config_once *once = all->items_count ? config_take(at, all->items_count * sizeof(*once)) : NULL;

    for (size_t i = 0; i < all->items_count && once; i++) {
        once[i].text = all->items[i].name;
        once[i].path = config_format(at, "items[%zu].name", i);
    }
    config_check_once(at, once, all->items_count);
    config_check_own_addresses(at, "own", all->own, all->own_count);
    config_check_label(at, "text", all->text);
}

static const struct config_field all_fields[] = {
    {"text", CONFIG_STRING, CONFIG_AT(struct all, text), .def = "", .max = 100, .help = "h"},
    {"path", CONFIG_PATH, CONFIG_AT(struct all, path), .help = "h"},
    {"flag", CONFIG_BOOL, CONFIG_AT(struct all, flag), .def = "off", .help = "h"},
    {"number", CONFIG_INT, CONFIG_AT(struct all, number), .def = "auto", .min = 1, .max = 99, .words = zero_words,
     .help = "h"},
    {"time", CONFIG_DURATION, CONFIG_AT(struct all, time_ns), .def = "1m", .max = UINT64_MAX, .help = "h"},
    {"size", CONFIG_SIZE, CONFIG_AT(struct all, size_bytes), .def = "1KiB", .max = UINT64_MAX, .help = "h"},
    {"word", CONFIG_ENUM, CONFIG_AT(struct all, word), .def = "on", .words = words, .help = "h"},
    {"at", CONFIG_ADDRPORT, CONFIG_AT(struct all, at), .min = 1, .help = "h"},
    {"nets", CONFIG_PREFIX, CONFIG_LIST_AT(struct all, nets), .def = "[\"10.0.0.0/8\"]", .help = "h"},
    {"own", CONFIG_ADDR, CONFIG_LIST_AT(struct all, own), .help = "h"},
    {"items", CONFIG_STRUCT, CONFIG_LIST_AT(struct all, items), .def = "[]", .sub = &item_schema, .help = "h"},
    {"one", CONFIG_STRUCT, CONFIG_AT(struct all, one), .sub = &item_schema, .help = "h"},
};
static CONFIG_TABLE(all, struct all, "all", all_check);

static char *print(const struct all *all, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    BUG_ON(!out);
    config_print(&all_schema, all, out);
    BUG_ON(fclose(out) != 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config_errors errors;
    struct config_arena *arena, *again_arena;
    void *all, *again;
    size_t first_len, second_len;

    config_errors_init(&errors);
    if (config_load_new("f.yaml", (const char *)data, size, &all_schema, (size_t)8 << 20, &errors, &all, &arena) != 0) {
        BUG_ON(errors.count == 0);
        return 0;
    }
    BUG_ON(errors.count != 0);
    char *first = print(all, &first_len);

    if (config_load_new("f.yaml", first, first_len, &all_schema, (size_t)8 << 20, &errors, &again, &again_arena) != 0) {
        fprintf(stderr, "%s%s\n", first, errors.line[0]);
        abort();
    }
    char *second = print(again, &second_len);

    BUG_ON(first_len != second_len || memcmp(first, second, first_len) != 0);
    free(first);
    free(second);
    config_arena_free(arena);
    config_arena_free(again_arena);
    return 0;
}
