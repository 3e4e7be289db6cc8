/* After sandbox_enter nothing that was given up comes back. Each case runs in a child of its own, because there is no
 * way out of a sandbox; what needs root is skipped without it. */
#include "ingress/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* in_child - fn's result, by way of an exit status; without leak check, whose tracer would need what is given up */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* capabilities - the union of all sets in /proc/self/status */
static uint64_t capabilities(void)
{
    char line[256];
    uint64_t all = 0;
    FILE *f = fopen("/proc/thread-self/status", "r");

    if (!f)
        return UINT64_MAX;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "CapInh:", 7) == 0 || strncmp(line, "CapPrm:", 7) == 0 || strncmp(line, "CapEff:", 7) == 0 ||
            strncmp(line, "CapAmb:", 7) == 0)
            all |= strtoull(line + 7, NULL, 16);
    fclose(f);
    return all;
}

static int stay_who_we_are(void)
{
    struct rlimit core;
    uid_t before = geteuid();

    if (sandbox_enter("") != 0)
        return 1;
    if (geteuid() != before || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
        return 3;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* to read our own /proc */
    return capabilities() == 0 ? 0 : 4;
}

static int become_numbers(void)
{
    gid_t groups[4];

    if (sandbox_enter("64999:64998") != 0)
        return 1;
    if (getuid() != 64999 || geteuid() != 64999 || getgid() != 64998 || getegid() != 64998)
        return 2;
    if (getgroups(4, groups) != 0)
        return 3;
    return setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 ? 4 : 0;
}

static int become_name(void)
{
    return sandbox_enter("nobody") != 0 ? 1 : geteuid() == 0 || getegid() == 0 ? 2 : 0;
}

static int become_unknown(void)
{
    return sandbox_enter("no-such-user-here") != 0 && sandbox_enter("12x") != 0 && sandbox_enter("1:") != 0 &&
                   sandbox_enter("4294967295") != 0
               ? 0
               : 1;
}

static void gives_up_capabilities(void **state)
{
    (void)state;
    assert_int_equal(in_child(stay_who_we_are), 0);
}

static void changes_user_for_good(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(become_numbers), 0);
    assert_int_equal(in_child(become_name), 0);
}

static void refuses_unknown_users(void **state)
{
    (void)state;
    assert_int_equal(in_child(become_unknown), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_up_capabilities),
        cmocka_unit_test(changes_user_for_good),
        cmocka_unit_test(refuses_unknown_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
