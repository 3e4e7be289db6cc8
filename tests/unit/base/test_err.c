/* test_err.c - own codes and errno share one function. */
#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void errors(void **state)
{
    (void)state;
    assert_string_equal(err_str(0), "ok");
    assert_string_equal(err_str(ERR_FULL), "queue or table is full");
    assert_string_equal(err_str(-2), strerror(2));
    assert_string_equal(err_str(1), "unknown error");
    assert_string_equal(err_str(-9999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
