/* test_tailnet_keys.c - the keys of a tailnet outlive a restart, in a file for us alone; a file that is something else is
 * left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "ingress/tailnet_keys.h"

static char dir[] = "/tmp/test_tailnet_keys.XXXXXX";

static const char *path(const char *name)
{
    static char out[256];

    snprintf(out, sizeof(out), "%s/tailnet%s", dir, name);
    return out;
}

static void test_kept(void **state)
{
    struct control_keys keys, again;
    struct stat st;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(tailnet_keys_read(dir, &rng, &keys), 0);
    assert_false(crypto_is_zero(keys.machine, 32));
    assert_true(crypto_is_zero(keys.node, 32));
    assert_int_equal(stat(path(""), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    key_generate(&rng, keys.node);
    assert_int_equal(tailnet_keys_write(dir, &keys), 0);
    assert_int_equal(stat(path("/keys"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(tailnet_keys_read(dir, &rng, &again), 0);
    assert_memory_equal(&keys, &again, sizeof(keys));
    key_generate(&rng, keys.previous);
    memset(keys.server, 7, sizeof(keys.server));
    assert_int_equal(tailnet_keys_write(dir, &keys), 0);
    assert_int_equal(tailnet_keys_read(dir, &rng, &again), 0);
    assert_memory_equal(&keys, &again, sizeof(keys));
}

static void test_nowhere(void **state)
{
    struct control_keys keys;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(tailnet_keys_read("", &rng, &keys), 0);
    assert_false(crypto_is_zero(keys.machine, 32));
    assert_int_equal(tailnet_keys_write("", &keys), 0);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"", "machine\n", "machine privkey:00\n", "node privkey:", "nonsense\n"};
    struct control_keys keys;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        FILE *f = fopen(path("/keys"), "w");

        fputs(bad[i], f);
        fclose(f);
        assert_int_equal(tailnet_keys_read(dir, &rng, &keys), ERR_INVALID);
        assert_true(crypto_is_zero(&keys, sizeof(keys)));
    }
}

static int make(void **state)
{
    (void)state;
    return crypto_init() == 0 && mkdtemp(dir) ? 0 : -1;
}

static int clear(void **state)
{
    (void)state;
    unlink(path("/keys"));
    rmdir(path(""));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept), cmocka_unit_test(test_nowhere),
                                       cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, make, clear);
}
