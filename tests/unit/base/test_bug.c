/* MIN and MAX take each argument once, and mean the common type of both. */
#include "common/base/bug.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void arguments_are_evaluated_once(void **state)
{
    int i = 0;
    uint64_t big = UINT64_MAX;

    (void)state;
    assert_int_equal(MIN(i++, 5), 0);
    assert_int_equal(MAX(i++, 0), 1);
    assert_int_equal(i, 2);
    assert_int_equal(MIN(MAX(i++, 1), MIN(i++, 9)), 2);
    assert_int_equal(i, 4);
    assert_true(MAX(big, 1) == UINT64_MAX);
    assert_true(MIN((uint8_t)200, 300) == 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(arguments_are_evaluated_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
