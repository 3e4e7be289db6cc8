/* test_tailnet_key.c - key texts against Tailscale's own, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/tailnet/tailnet_key.h"

static json_t *vectors(void)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/keys.json", TEST_VECTORS);
    json_t *all = json_load_file(path, 0, NULL);

    assert_non_null(all);
    return all;
}

static void check(const json_t *all, enum tailnet_key_kind kind, const char *raw_name, const char *text_name)
{
    const char *text = json_string_value(json_object_get(all, text_name)), *raw = NULL;
    uint8_t key[TAILNET_KEY_BYTES];
    char again[TAILNET_KEY_STR];

    assert_true(tailnet_key_parse(kind, text, strlen(text), key));
    assert_string_equal(tailnet_key_format(kind, key, again), text);
    if (!raw_name)
        return;
    raw = json_string_value(json_object_get(all, raw_name));
    assert_string_equal(strchr(again, ':') + 1, raw);
}

static void test_vectors(void **state)
{
    json_t *all = vectors();

    (void)state;
    check(all, TAILNET_KEY_MACHINE, "raw_machine_public", "machine_public_text");
    check(all, TAILNET_KEY_NODE, "raw_node_public", "node_public_text");
    check(all, TAILNET_KEY_DISCO, "raw_disco_public", "disco_public_text");
    check(all, TAILNET_KEY_NODE, NULL, "zero_node_public_text");
    json_decref(all);
}

static void test_refused(void **state)
{
    const char good[] = "nodekey:57A399d11aac7a4f900601713a05255973d24a6cdb8107e148015775bc8df067";
    uint8_t key[TAILNET_KEY_BYTES];
    char bad[sizeof(good)];

    (void)state;
    assert_true(tailnet_key_parse(TAILNET_KEY_NODE, good, strlen(good), key));
    assert_false(tailnet_key_parse(TAILNET_KEY_MACHINE, good, strlen(good), key));
    assert_false(tailnet_key_parse(TAILNET_KEY_NODE, good, strlen(good) - 1, key));
    assert_false(tailnet_key_parse(TAILNET_KEY_NODE, good, 0, key));
    for (size_t i = 0; i < strlen(good); i++) {
        memcpy(bad, good, sizeof(good));
        bad[i] = i < 8 ? '*' : 'g';
        assert_false(tailnet_key_parse(TAILNET_KEY_NODE, bad, strlen(bad), key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
