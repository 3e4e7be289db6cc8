/* The limit of open files: raised as far as it goes, and said when that is not far enough. */
#include "common/net/open_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/base/log.h"

static char said[512];

static void on_line(enum log_level level, const char *area, const char *line, size_t len, void *ctx)
{
    (void)level;
    (void)ctx;
    snprintf(said, sizeof(said), "%s %.*s", area, (int)len, line);
}

static void raised_and_compared(void **state)
{
    struct rlimit files;

    (void)state;
    log_init(on_line, NULL, LOG_WARN);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = 64;
    files.rlim_max = files.rlim_max < 2000 ? files.rlim_max : 2000;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    open_files_raise("node");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(files.rlim_cur, files.rlim_max);
    open_files_compare("node", 10, "streams", "");
    assert_string_equal(said, "");
    open_files_compare("node", 2000, "streams", " or pray");
    assert_non_null(strstr(said, "node event=few_files open_files="));
    assert_non_null(strstr(said, " streams=2000 "));
    assert_non_null(strstr(said, "LimitNOFILE=) or pray\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(raised_and_compared)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
