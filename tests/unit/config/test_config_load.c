/* Shows the table at work: defaults, errors in the file's order and bounded in number, checks that come second, values
 * that print and compare, and a load that fails cleanly at every memory limit. */
#include "common/config/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/ts.h"
#include "common/config/config_checks.h"
#include "common/config/config_file.h"
#include "common/config/config_text.h"

struct door {
    const char *name;
    uint16_t port;
};

struct house {
    const char *file;
    uint8_t floors;
    uint64_t wait_ns;
    bool open;
    unsigned colour;
    const struct door *doors;
    size_t doors_count;
    const struct prefix *from;
    size_t from_count;
    struct door back;
};

static const char *const colours[] = {"red", "green", NULL};
static const char *const floor_words[] = {"auto", NULL};

static const struct config_field door_fields[] = {
    {"name", CONFIG_STRING, CONFIG_AT(struct door, name), .flags = CONFIG_REQUIRED, .min = 1, .max = 8, .help = "n"},
    {"port", CONFIG_INT, CONFIG_AT(struct door, port), .def = "7", .min = 1, .max = 65535, .help = "p"},
};
static const struct config_field back_fields[] = {
    {"name", CONFIG_STRING, CONFIG_AT(struct door, name), .def = "back", .help = "n"},
    {"port", CONFIG_INT, CONFIG_AT(struct door, port), .flags = CONFIG_RESTART, .def = "8", .max = 9, .help = "p"},
};

static void door_check(struct config_check *at, void *value)
{
    const struct door *d = value;

    if (d->port == 13)
        config_fault(at, "port", "brings bad luck");
}

static void house_check(struct config_check *at, void *value)
{
    const struct house *h = value;

    if (h->doors_count > h->floors)
        config_fault(at, "doors", "are too many");
}

static CONFIG_TABLE(door, struct door, "door", door_check);
static CONFIG_TABLE(back, struct door, "back door", NULL);

static const struct config_field house_fields[] = {
    {"file", CONFIG_PATH, CONFIG_AT(struct house, file), .def = "plan", .help = "f"},
    {"floors", CONFIG_INT, CONFIG_AT(struct house, floors), .flags = CONFIG_RESTART, .def = "2", .min = 1, .max = 200,
     .words = floor_words, .help = "f | g"},
    {"wait", CONFIG_DURATION, CONFIG_AT(struct house, wait_ns), .def = "5s", .min = TS_S, .max = 60 * TS_S,
     .help = "w"},
    {"open", CONFIG_BOOL, CONFIG_AT(struct house, open), .def = "off", .help = "o"},
    {"colour", CONFIG_ENUM, CONFIG_AT(struct house, colour), .def = "green", .words = colours, .help = "c"},
    {"doors", CONFIG_STRUCT, CONFIG_LIST_AT(struct house, doors), .flags = CONFIG_REQUIRED, .list_min = 1,
     .list_max = 3, .sub = &door_schema, .help = "d"},
    {"from", CONFIG_PREFIX, CONFIG_LIST_AT(struct house, from), .def = "[\"10.0.0.0/8\", \"::/0\"]", .help = "f"},
    {"back", CONFIG_STRUCT, CONFIG_AT(struct house, back), .sub = &back_schema, .help = "b"},
};
static CONFIG_TABLE(house, struct house, "house", house_check);

static struct config_errors errors;

static struct house *load(const char *text, struct config_arena **arena)
{
    void *house;

    config_errors_init(&errors);
    int err = config_load_new("etc/f", text, strlen(text), &house_schema, 1 << 20, &errors, &house, arena);

    assert_int_equal(err, errors.count ? ERR_INVALID : 0);
    assert_true((house == NULL) == (err != 0));
    return house;
}

static void expect(const char *text, const char *const *lines)
{
    struct config_arena *arena;
    size_t n = 0;

    assert_null(load(text, &arena));
    for (; lines[n]; n++)
        assert_string_equal(errors.line[n], lines[n]);
    assert_int_equal(errors.count, n);
}

#define EXPECT(text, ...) expect(text, (const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
    struct config_arena *arena;
    struct house *h = load("doors: [{name: a}, {name: b, port: 9}]\nback:\n", &arena);

    (void)state;
    assert_non_null(h);
    assert_string_equal(h->file, "etc/plan"); /* beside the file */
    assert_int_equal(h->floors, 2);
    assert_true(h->wait_ns == 5 * TS_S);
    assert_false(h->open);
    assert_int_equal(h->colour, 1);
    assert_int_equal(h->doors_count, 2);
    assert_int_equal(h->doors[0].port, 7);
    assert_int_equal(h->doors[1].port, 9);
    assert_int_equal(h->from_count, 2);
    assert_int_equal(h->from[0].bits, 96 + 8);
    assert_string_equal(h->back.name, "back");
    config_arena_free(arena);
    h = load("{file: /abs, floors: auto, doors: [{name: a, port: 1}]}", &arena);
    assert_null(h); /* more doors than floors: 0 stands for auto */
    EXPECT("floors: auto\ndoors: [{name: a}]\n", "etc/f:2:8: doors: are too many");
}

static void test_errors(void **state)
{
    (void)state;
    EXPECT("flors: 1\nxyzzy: 1\nfloors: 201\nwait: 5\nopen: maybe\ncolour: blue\nfrom: 10.0.0.0/8\n",
           "etc/f:1:1: flors: unknown key; did you mean 'floors'?", "etc/f:2:1: xyzzy: unknown key",
           "etc/f:3:9: floors: '201' is out of range; allowed is 1 to 200",
           "etc/f:4:7: wait: '5' must be a time with its unit (ms s m h d), such as 5s",
           "etc/f:5:7: open: 'maybe' must be on or off", "etc/f:6:9: colour: 'blue' must be one of: red, green",
           "etc/f:7:7: from: must be a list", "etc/f:1:1: 'doors' is missing");
    EXPECT("doors:\n  - name: a\n    name: b\n  - {name: ''}\n  - port: 13\n",
           "etc/f:3:5: doors[0].name: is given twice", "etc/f:4:12: doors[1].name: '' must not be empty",
           "etc/f:5:5: doors[2]: 'name' is missing");
    EXPECT("doors: [{name: a, port: 13}]\nwait:\nback: 3\n", "etc/f:1:25: doors[0].port: brings bad luck",
           "etc/f:2:6: wait: has no value; write \"\" if it is to be empty",
           "etc/f:3:7: back: must be a map, not one value");
    EXPECT("doors: [{name: a}, {name: b}, {name: c}, {name: d}]\n",
           "etc/f:1:8: doors: has 4 entries; allowed are 1 to 3");
    EXPECT("doors:\n", "etc/f:1:7: doors: must not be empty");
    EXPECT("- a\n", "etc/f:1:1: must be a map of keys and values");
    EXPECT("\"a\\e[1m\": 1\ndoors: [{name: a}]\n", "etc/f:1:1: has a line break or control character in it");
}

/* However much is wrong, no more is kept than an operator reads; the rest is counted. */
static void test_bounds(void **state)
{
    static char text[64 * 1024];
    struct config_arena *arena;
    char *printed = NULL;
    size_t len = 0, at = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        at += (size_t)sprintf(text + at, "%0*d: 1\n", 1 + i % 40, i);
    memset(text + at, 'k', 1000); /* one long key */
    memcpy(text + at + 1000, ": 1\n", 5);
    assert_null(load(text, &arena));
    assert_int_equal(errors.count, 1002);
    FILE *out = open_memstream(&printed, &len);

    config_errors_print(&errors, out);
    fclose(out);
    assert_non_null(strstr(printed, "\nand 982 more\n"));
    free(printed);
}

/* Every limit from nothing to enough: an error line or a config, no crash, no leak (the sanitizer sees to that). */
static void test_memory(void **state)
{
    static const char text[] = "doors: [{name: a}]\nfile: some/where\n";
    unsigned failed = 0, loaded = 0;

    (void)state;
    for (size_t limit = 0; limit < 64 * 1024; limit += 1024) {
        struct config_arena *arena;
        void *house;

        config_errors_init(&errors);
        if (config_load_new("f", text, sizeof(text) - 1, &house_schema, limit, &errors, &house, &arena) == 0) {
            loaded++;
            config_arena_free(arena);
        } else {
            assert_true(errors.count > 0);
            failed++;
        }
    }
    assert_true(failed > 0 && loaded > 0);
    struct config_arena *arena = config_arena_new(40000);
    size_t pieces = 0;

    for (char *p; (p = config_arena_take(arena, 100)); pieces++) {
        assert_int_equal((uintptr_t)p % sizeof(max_align_t), 0);
        assert_int_equal(p[0] | p[99], 0);
        memset(p, 1, 100);
    }
    assert_true(pieces > 250 && pieces <= 400);
    assert_null(config_arena_take(arena, SIZE_MAX));
    config_arena_free(arena);
    config_arena_free(NULL);
}

static void note(const char *path, void *ctx)
{
    strcat(strcat(ctx, path), " ");
}

static void test_changed(void **state)
{
    struct config_arena *a1, *a2;
    const struct house *before = load("doors: [{name: a}]\n", &a1);
    const struct house *same = load("doors: [{name: b}]\nopen: on\nfloors: 2\n", &a2);
    char paths[100] = "";

    (void)state;
    assert_int_equal(config_changed(&house_schema, before, same, note, paths), 0);
    config_arena_free(a2);
    const struct house *after = load("doors: [{name: a}]\nfloors: 3\nback: {port: 9}\n", &a2);

    assert_int_equal(config_changed(&house_schema, before, after, note, paths), 2);
    assert_string_equal(paths, "floors back.port ");
    config_arena_free(a1);
    config_arena_free(a2);
}

static char *written(void (*fn)(const struct config_schema *, FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    fn(&house_schema, out);
    fclose(out);
    return text;
}

static void test_reference(void **state)
{
    char *text = written(config_reference);

    (void)state;
    assert_non_null(strstr(text, "| `floors` | `auto` or 1 to 200 | `2` | restart | f \\| g |\n"));
    assert_non_null(strstr(text, "| `doors` | list of map | required | reload | d |\n"));
    assert_non_null(strstr(text, "| `doors[].port` | 1 to 65535 | `7` | reload | p |\n"));
    assert_non_null(strstr(text, "| `back.port` | 0 to 9 | `8` | restart | p |\n"));
    free(text);
}

static void print_loads_again(const char *text)
{
    struct config_arena *arena, *again_arena;
    const struct house *h = load(text, &arena);
    char *once = NULL, *twice = NULL;
    size_t len;

    assert_non_null(h);
    FILE *out = open_memstream(&once, &len);

    config_print(&house_schema, h, out);
    fclose(out);
    const struct house *again = load(once, &again_arena);

    assert_non_null(again);
    out = open_memstream(&twice, &len);
    config_print(&house_schema, again, out);
    fclose(out);
    assert_string_equal(once, twice);
    free(once);
    free(twice);
    config_arena_free(arena);
    config_arena_free(again_arena);
}

static void test_print(void **state)
{
    (void)state;
    print_loads_again("doors: [{name: 'a\"\\'}]\nfile: /x\n");
    print_loads_again("doors: [{name: a}, {name: b, port: 3}]\nfile: ''\nfrom: []\nfloors: 9\n");
}

static void test_file(void **state)
{
    char name[] = "/tmp/config-test-XXXXXX", *text;
    int fd = mkstemp(name);
    size_t len;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: 1\n", 5), 5);
    config_errors_init(&errors);
    assert_int_equal(config_file_read(name, &text, &len, &errors), 0);
    assert_int_equal(len, 5);
    assert_string_equal(text, "a: 1\n");
    free(text);
    assert_int_equal(ftruncate(fd, 1 << 21), 0);
    assert_int_equal(config_file_read(name, &text, &len, &errors), ERR_TOO_LARGE);
    assert_null(text);
    close(fd);
    unlink(name);
    assert_true(config_file_read(name, &text, &len, &errors) < 0);
    assert_int_equal(errors.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_errors),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_changed), cmocka_unit_test(test_reference),
        cmocka_unit_test(test_print),    cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
