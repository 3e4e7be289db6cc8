/* Every reason has advice that an operator can act on: sentences, and only keys that exist. */
#include "ingress/advice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/ingress_config.h"

static void every_reason_has_advice(void **state)
{
    (void)state;
    assert_string_equal(advice(REASON_OK), "");
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const char *text = advice((enum reason)r);
        size_t len = strlen(text);

        assert_true(len > 20);
        assert_true(text[len - 1] == '.' || strcmp(text + len - 2, ".)") == 0);
        for (int other = 0; other < r; other++)
            assert_string_not_equal(text, advice((enum reason)other));
    }
}

static const struct config_field *field_of(const struct config_schema *schema, const char *name, size_t len)
{
    for (size_t i = 0; i < schema->count; i++)
        if (strlen(schema->fields[i].name) == len && memcmp(schema->fields[i].name, name, len) == 0)
            return &schema->fields[i];
    return NULL;
}

/* "limits.connections" and the like, wherever a map of the configuration is named with a dot behind it */
static void keys_named_exist(void **state)
{
    static const char feed_only[] = "limits.connections in the node's row";
    size_t found = 0;

    (void)state;
    for (int r = 0; r < REASON_COUNT; r++)
        for (const char *at = advice((enum reason)r); *at; at++) {
            size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
            const struct config_field *map = len ? field_of(&ingress_config_schema, at, len) : NULL;

            if (map && map->sub && at[len] == '.' && strncmp(at, feed_only, sizeof(feed_only) - 1) != 0) {
                const char *key = at + len + 1;
                size_t key_len = strspn(key, "abcdefghijklmnopqrstuvwxyz_");

                if (key_len > 0) {
                    found++;
                    assert_non_null(field_of(map->sub, key, key_len));
                }
            }
            if (len)
                at += len - 1;
        }
    assert_true(found >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_reason_has_advice), cmocka_unit_test(keys_named_exist)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
