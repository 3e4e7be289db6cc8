/* docs/funnel-node-config.md is what the configuration's table says. UPDATE_DOCS=1 writes it anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/node_config.h"

#define PATH TEST_VECTORS "/../../docs/funnel-node-config.md"

static const char head[] =
    "# Configuration of funnel-node\n"
    "\n"
    "Every key. An annotated sample is `conf/node.yaml`; `conf/node.schema.json` is for editors. This page is made from\n"
    "`node/node_config.c` (`UPDATE_DOCS=1` for its test); a test compares them.\n"
    "\n";

static char *written(void)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    fputs(head, out);
    config_reference(&node_config_schema, out);
    fclose(out);
    return text;
}

static void test_page_is_current(void **state)
{
    static char page[1 << 16];
    char *text = written();
    FILE *file;

    (void)state;
    if (getenv("UPDATE_DOCS")) {
        file = fopen(PATH, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
    }
    file = fopen(PATH, "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof(page) - 1, file)] = 0;
    fclose(file);
    assert_string_equal(page, text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_page_is_current)};

    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
