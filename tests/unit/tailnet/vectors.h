/* vectors.h - reading the files of tests/vectors: byte strings there are hexadecimal. */
#ifndef TESTS_TAILNET_VECTORS_H
#define TESTS_TAILNET_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/addr.h"

static inline json_t *vectors_load(const char *name)
{
    char path[512];
    json_error_t error;

    snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, name);
    json_t *all = json_load_file(path, 0, &error);

    assert_non_null(all);
    return all;
}

static inline size_t unhex_text(const char *hex, void *out, size_t cap)
{
    uint8_t *bytes = out;
    size_t len = hex ? strlen(hex) / 2 : 0;

    assert_non_null(hex);
    assert_true(len <= cap);
    for (size_t i = 0; i < len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return len;
}

static inline size_t unhex(const json_t *object, const char *name, void *out, size_t cap)
{
    return unhex_text(json_string_value(json_object_get(object, name)), out, cap);
}

static inline struct addrport at(const char *text)
{
    struct addrport out;

    assert_non_null(text);
    assert_true(addrport_parse(text, strlen(text), &out));
    return out;
}

#endif
