/* Files that outlive the program: whole or not at all, and stamps that never go back over any sequence of starts. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/base/ts.h"
#include "common/net/stampfile.h"
#include "common/net/statefile.h"

#define DAY (86400 * TS_S)

static char dir[] = "/tmp/test-statefile-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), "%s/a", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/wireguard-stamp", dir);
    unlink(path);
    return rmdir(dir); /* fails if a temporary file was left behind */
}

static void test_file(void **state)
{
    char got[8], path[64];
    struct stat st;
    size_t len;
    int rc;

    (void)state;
    assert_int_equal(statefile_read(dir, "a", got, sizeof(got)), -ENOENT);
    assert_int_equal(statefile_write(dir, "a", "first", 5), 0);
    assert_int_equal(statefile_write(dir, "a", "next", 4), 0);
    assert_int_equal(statefile_read(dir, "a", got, sizeof(got)), 4);
    assert_memory_equal(got, "next", 4);
    assert_int_equal(statefile_read(dir, "a", got, 4), 4);
    assert_int_equal(statefile_read(dir, "a", got, 3), ERR_TOO_LARGE);
    char *all = statefile_load(dir, "a", 4, &len, &rc);

    assert_true(all && len == 4 && rc == 0 && strcmp(all, "next") == 0);
    free(all);
    assert_true(!statefile_load(dir, "a", 3, &len, &rc) && rc == ERR_TOO_LARGE);
    assert_true(!statefile_load(dir, "b", 3, &len, &rc) && rc == -ENOENT);
    snprintf(path, sizeof(path), "%s/a", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(statefile_write("/nowhere", "a", "x", 1), -ENOENT);
}

/* a start, some stamps, and an end without warning; returns the newest stamp given out */
static uint64_t life(uint64_t wall, uint64_t length_ns, uint64_t newest_before)
{
    struct stampfile file;
    uint64_t floor, last;

    assert_int_equal(stampfile_open(&file, dir, &floor), 0);
    assert_true(floor >= newest_before);
    last = floor;
    for (uint64_t end = wall + length_ns; wall < end; wall += 30 * TS_S) {
        assert_int_equal(stampfile_keep(&file, last, wall), 0);
        last = (last >= wall ? last : wall) + TS_S; /* a few handshakes */
        assert_true(last <= file.reserved_ns);
    }
    return last;
}

static void test_stamps_never_go_back(void **state)
{
    uint64_t wall = 1700000000 * TS_S, last = 0;

    (void)state;
    last = life(wall, DAY / 24, last);
    last = life(wall + DAY, DAY / 24, last);
    last = life(wall - DAY, DAY / 24, last); /* the clock was set back */
    uint64_t before = last;

    for (int i = 0; i < 100; i++) /* it dies at once, again and again */
        last = life(wall + DAY, 1, last);
    assert_true(last < before + 100 * 120 * TS_S); /* and the stamps don't run away */
}

static void test_no_folder(void **state)
{
    struct stampfile file;
    uint64_t floor = 1;

    (void)state;
    assert_int_equal(stampfile_open(&file, "", &floor), 0);
    assert_int_equal(floor, 0);
    assert_int_equal(stampfile_keep(&file, 0, 1), 0);
}

static void test_foreign_content(void **state)
{
    static const char *const texts[] = {"", "x\n", "12", "12\n13\n", "99999999999999999999999\n",
                                        "1234567890123456789012345678901234567890\n"};
    struct stampfile file;
    uint64_t floor;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(statefile_write(dir, "wireguard-stamp", texts[i], strlen(texts[i])), 0);
        assert_int_not_equal(stampfile_open(&file, dir, &floor), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_stamps_never_go_back),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_foreign_content),
    };

    return cmocka_run_group_tests_name("statefile", tests, make_dir, remove_dir);
}
