/* Shows the strict subset: what libyaml would let through is refused with its place, what an operator forgot to quote
 * is pointed at, JSON is read too. */
#include "common/config/config_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"

static struct config_errors errors;

/* parse - the errors of a text, joined; *root says whether there was a tree */
static bool parse(const char *text, size_t len)
{
    struct config_arena *arena = config_arena_new((size_t)64 << 20);

    assert_non_null(arena);
    config_errors_init(&errors);
    bool tree = config_tree_parse("f", text, len, arena, &errors) != NULL;

    config_arena_free(arena);
    return tree;
}

static void expect(const char *text, bool tree, const char *const *lines)
{
    size_t n = 0;

    assert_true(parse(text, strlen(text)) == tree);
    for (; lines[n]; n++)
        assert_string_equal(errors.line[n], lines[n]);
    assert_int_equal(errors.count, n);
}

#define EXPECT(text, tree, ...) expect(text, tree, (const char *const[]){__VA_ARGS__, NULL})

static void test_strict(void **state)
{
    (void)state;
    EXPECT("a: &x 1\nb: *x\nc: !!int 3\n", true,
           "f:1:4: a: anchors (&x) are not used here; quote a value that begins with &",
           "f:2:4: b: aliases (*x) are not used here; quote a value that begins with *",
           "f:3:4: c: tags (!) are not used here; quote a value that begins with !");
    EXPECT("a:\n  <<: {b: 1}\n  ? [x]\n  : y\n", true, "f:2:3: a: merge keys (<<) are not used here",
           "f:3:5: a: a key must be text, not a map or list");
    EXPECT("a: 1\n---\nb: 2\n", false, "f:2:1: a second document begins; only one is read");
    EXPECT("a: |\n  x\n  y\n", true, "f:1:4: a: has a line break or control character in it");
    EXPECT("a: \"x\\0y\"\n", true, "f:1:4: a: has a line break or control character in it");
    EXPECT("a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n", false,
           "f:1:19: a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: is nested too deeply");
}

static void test_hints(void **state)
{
    (void)state;
    EXPECT("listen:\n  - address: [::]:443\n", false,
           "f:2:14: listen[0].address: did not find expected node content; quote this value: \"[::]:443\"");
    EXPECT("a: [fd00::1]:443\n", false, "f:1:4: did not find expected key; quote this value: \"[fd00::1]:443\"");
    EXPECT("a: [\"0.0.0.0:1\", [::]:2]\n", false,
           "f:1:18: a[1]: did not find expected node content; quote this value: \"[::]:2\"");
    EXPECT("a: [::1, 10.0.0.1]\n", false,
           "f:1:5: a: did not find expected node content; quote this value: \"::1\"");
    EXPECT("n:\n  - *.example.com # \"*.x\"\n", false,
           "f:2:5: n: did not find expected alphabetic or numeric character; quote this value: \"*.example.com\"");
    EXPECT("a:\n\tb: 1\n", false,
           "f:2:1: a: found character that cannot start any token; indent with spaces, not tabs");
    EXPECT("a: @x\n", false, "f:1:4: a: found character that cannot start any token; quote this value");
    EXPECT("a: \"\\ud83d\\ude00\"\n", false,
           "f:1:7: a: found invalid Unicode character escape code; write the character itself instead of escaping it");
    EXPECT("a: 'x\n", false, "f:2:1: a: found unexpected end of stream");
    EXPECT("a: 1\nb: \xff\n", false, "f:2:4: invalid leading UTF-8 octet");
}

static void test_size(void **state)
{
    char *text = malloc(CONFIG_FILE_MAX + 1);

    (void)state;
    assert_non_null(text);
    memset(text, '#', CONFIG_FILE_MAX + 1);
    assert_true(parse(text, CONFIG_FILE_MAX));
    assert_false(parse(text, CONFIG_FILE_MAX + 1));
    assert_string_equal(errors.line[0], "f: is larger than 1048576 bytes");
    free(text);
}

/* Scalars stay what was written, whatever YAML makes of them; JSON is the same tree. */
static void test_values(void **state)
{
    static const char *const texts[] = {"\xef\xbb\xbf" "a: [no, 22:22, 1.10, 'it''s', \"\\u0041\\/\"]\n",
                                        "{\n\t\"a\": [\"no\", \"22:22\", \"1.10\", \"it's\", \"A/\"]\n}\n"};
    static const char *const values[] = {"no", "22:22", "1.10", "it's", "A/"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct config_arena *arena = config_arena_new((size_t)1 << 20);

        config_errors_init(&errors);
        const struct config_node *root = config_tree_parse("f", texts[i], strlen(texts[i]), arena, &errors);

        assert_non_null(root);
        const struct config_node *list = config_tree_find(root, "a");

        assert_int_equal(list->kind, CONFIG_KIND_LIST);
        assert_int_equal(list->count, ARRAY_SIZE(values));
        assert_string_equal(config_tree_find(root, "a[1]")->text, "22:22");
        assert_ptr_equal(config_tree_find(root, "a[9].x"), list); /* as far as the tree goes */
        assert_ptr_equal(config_tree_find(root, "b.c"), root);
        size_t n = 0;

        for (const struct config_node *v = list->first; v; v = v->next, n++)
            assert_string_equal(v->text, values[n]);
        config_arena_free(arena);
    }
    assert_true(parse("", 0));
    assert_int_equal(errors.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
