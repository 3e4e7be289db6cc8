/* test_cursor.c - reads stop at the end and stay stopped; integers in both byte orders. */
#include "common/base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"

static void cursor(void **state)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    struct cursor c, sub;

    (void)state;
    cursor_init(&c, data, sizeof(data));
    assert_int_equal(cursor_u8(&c), 0x01);
    assert_int_equal(cursor_be16(&c), 0x0203);
    assert_int_equal(cursor_be24(&c), 0x040506);
    sub = cursor_sub(&c, 4);
    assert_int_equal(cursor_be32(&sub), 0x0708090a);
    assert_true(cursor_ok(&sub) && cursor_left(&sub) == 0);
    assert_int_equal(cursor_u8(&sub), 0); /* past its end, though the outer one has more */
    assert_false(cursor_ok(&sub));
    assert_true(cursor_ok(&c) && cursor_left(&c) == 2);
    assert_int_equal(cursor_be24(&c), 0);
    assert_false(cursor_ok(&c));
    assert_int_equal(cursor_left(&c), 0); /* sticky: what would fit is refused too */
    assert_null(cursor_take(&c, 0));
    sub = cursor_sub(&c, 0);
    assert_false(cursor_ok(&sub));
    cursor_init(&c, data, 0);
    assert_non_null(cursor_take(&c, 0));
    assert_true(cursor_ok(&c));
}

static void byte_orders(void **state)
{
    uint8_t b[9] = {0};

    (void)state;
    be16_put(b + 1, 0x0102);
    assert_memory_equal(b, "\0\1\2", 3);
    be32_put(b + 1, 0x01020304);
    assert_memory_equal(b + 1, "\1\2\3\4", 4);
    be64_put(b + 1, 0x0102030405060708u);
    assert_memory_equal(b + 1, "\1\2\3\4\5\6\7\10", 8);
    assert_true(be64_get(b + 1) == 0x0102030405060708u && le64_get(b + 1) == 0x0807060504030201u);
    le32_put(b + 1, 0x01020304);
    assert_memory_equal(b + 1, "\4\3\2\1", 4);
    assert_int_equal(le16_get(b + 1), 0x0304);
    assert_int_equal(be16_get(b + 1), 0x0403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor),
        cmocka_unit_test(byte_orders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
