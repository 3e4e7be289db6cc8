/* test_feed_file.c - what is read, and how it is said that it can't be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "ingress/feed/feed_file.h"

static char dir[] = "/tmp/feed-file-XXXXXX";
static char path[sizeof(dir) + 8];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/feed", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void expect(int want, const char *line)
{
    struct config_errors errors;
    char *text = NULL;
    size_t len = 0;

    config_errors_init(&errors);
    assert_int_equal(feed_file_read(path, &text, &len, &errors), want);
    assert_null(text);
    assert_int_equal(errors.count, 1);
    assert_non_null(strstr(errors.line[0], path));
    assert_non_null(strstr(errors.line[0], line));
}

static void reads_all(void **state)
{
    (void)state;
    struct config_errors errors;
    char *text = NULL;
    size_t len = 0;
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fputs("{}\n", f) >= 0, 1);
    fclose(f);
    config_errors_init(&errors);
    assert_int_equal(feed_file_read(path, &text, &len, &errors), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "{}\n", 3);
    feed_file_free(text, len);
    feed_file_free(NULL, 0);

    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(feed_file_read(path, &text, &len, &errors), 0);
    assert_int_equal(len, 0);
    feed_file_free(text, len);
    assert_int_equal(errors.count, 0);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    unlink(path);
    expect(-ENOENT, "No such file");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(ERR_INVALID, "not a regular file"); /* and did not wait for a writer */
    unlink(path);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fclose(f);
    assert_int_equal(truncate(path, (off_t)FEED_FILE_BYTES_MAX + 1), 0); /* a hole: takes no space */
    expect(ERR_TOO_LARGE, "too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all),
        cmocka_unit_test(says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
