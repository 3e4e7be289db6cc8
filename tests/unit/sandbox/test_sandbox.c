/* After sandbox_enter nothing that was given up comes back. Each case runs in a child of its own, because there is no
 * way out of a sandbox; what needs root is skipped without it. */
#include "ingress/sandbox/sandbox.h"
#include "tests/not_tested.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingress/sandbox/sandbox_calls.h"

/* where we are: feed/nodes.json, feed/other.json, feed/link -> ../other/linked, other/file, other/linked, state/ */
static char folder[] = "/tmp/sandbox-XXXXXX";

/* in_child - how a process of its own that calls fn ends; without leak check, which may be denied */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int enter(const char *user)
{
    return sandbox_enter(&(struct sandbox){.user = user, .confine = false, .files = {.feed = "", .state_dir = ""}});
}

static int confine(void)
{
    return sandbox_enter(&(struct sandbox){.confine = true, .user = "", .files = {.feed = "feed/nodes.json", .state_dir = "state"}});
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
    uid_t before = geteuid();

    if (enter("") != 0)
        return 1;
    if (geteuid() != before || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 2;
    return capabilities() == 0 ? 0 : 3;
}

static int hide_memory(void)
{
    struct rlimit core;

    if (sandbox_hide_memory() != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 1;
    return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 ? 0 : 2;
}

static int become_numbers(void)
{
    gid_t groups[4];

    if (enter("64999:64998") != 0)
        return 1;
    if (getuid() != 64999 || geteuid() != 64999 || getgid() != 64998 || getegid() != 64998)
        return 2;
    if (getgroups(4, groups) != 0)
        return 3;
    return setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 ? 4 : 0;
}

static int become_name(void)
{
    return enter("nobody") != 0 ? 1 : geteuid() == 0 || getegid() == 0 ? 2 : 0;
}

static int become_unknown(void)
{
    return enter("no-such-user-here") != 0 && enter("12x") != 0 && enter("1:") != 0 &&
                   enter("4294967295") != 0
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
    if (geteuid() != 0) {
        not_tested("changing user: only root may");
        skip();
    }
    assert_int_equal(in_child(become_numbers), 0);
    assert_int_equal(in_child(become_name), 0);
}

static void refuses_unknown_users(void **state)
{
    (void)state;
    assert_int_equal(in_child(become_unknown), 0);
}

static void hides_memory(void **state)
{
    (void)state;
    assert_int_equal(in_child(hide_memory), 0);
}

/* ---- files ---- */

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd != -1);
    close(fd);
}

static bool landlock_is_there(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd == -1)
        return false;
    close(fd);
    return true;
}

static bool denied(const char *path, int flags)
{
    return !opens(path, flags) && errno == EACCES;
}

static int use_files(void)
{
    const char *feed = "feed/nodes.json", *made = "state/new";

    if (confine() != 0)
        return 1;
    if (!opens(feed, O_RDONLY) || !opens("feed/other.json", O_RDONLY))
        return 2; /* what is renamed into the feed's folder can be read */
    if (!denied(feed, O_WRONLY) || !denied("feed/made", O_WRONLY | O_CREAT))
        return 3;
    if (!opens(made, O_WRONLY | O_CREAT) || renameat(AT_FDCWD, made, AT_FDCWD, "state/kept") != 0 ||
        !opens("state/kept", O_RDWR | O_TRUNC) || unlinkat(AT_FDCWD, "state/kept", 0) != 0)
        return 4;
    if (!denied("/etc/passwd", O_RDONLY) || !denied("/", O_RDONLY | O_DIRECTORY) ||
        !denied("other/file", O_RDONLY))
        return 5;
    return 0;
}

static int follow_link(void)
{
    if (sandbox_enter(&(struct sandbox){.confine = true, .user = "", .files = {.feed = "feed/link", .state_dir = ""}}) != 0)
        return 1;
    if (!opens("feed/link", O_RDONLY))
        return 2;
    return denied("state/new", O_WRONLY | O_CREAT) ? 0 : 3;
}

static int begin_without_folders(void)
{
    return sandbox_enter(&(struct sandbox){.confine = true, .user = "", .files = {.feed = "none/nodes.json", .state_dir = "nothing"}});
}

static void opens_its_files_only(void **state)
{
    (void)state;
    if (!landlock_is_there()) {
        not_tested("files that can't be opened: this kernel has no Landlock");
        skip();
    }
    assert_int_equal(in_child(use_files), 0);
    assert_int_equal(in_child(follow_link), 0);
    assert_int_equal(in_child(begin_without_folders), 0);
}

/* ---- system calls ---- */

static int try_exec(void)
{
    return execl("/bin/true", "true", NULL);
}

static int try_fork(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static int try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_kill_parent(void)
{
    return kill(getppid(), 0);
}

static int try_tgkill_parent(void)
{
    return (int)syscall(SYS_tgkill, 1, 1, 0);
}

static int try_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int try_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_new_rights(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int try_to_listen(void)
{
    return listen(0, 1);
}

static int try_unheard_of(void)
{
    return (int)syscall(4000);
}

#ifndef SANDBOX_SANITIZERS /* whose runtimes are allowed these */
static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_own_handler(void)
{
    return signal(SIGSYS, SIG_IGN) == SIG_ERR;
}
#endif

static int (*attempt)(void);

static int attempt_inside(void)
{
    return confine() != 0 ? 100 : attempt();
}

static void ends_who_calls_anything_else(void **state)
{
    static int (*const attempts[])(void) = {
        try_exec, try_fork, try_socket, try_kill_parent, try_tgkill_parent, try_executable_memory,
        try_namespace, try_new_rights, try_to_listen, try_unheard_of,
#ifndef SANDBOX_SANITIZERS
        try_ptrace, try_own_handler,
#endif
    };

    (void)state;
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        attempt = attempts[i];
        int status = in_child(attempt_inside);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

/* dial - as a server with a feed from the network: a connection of its own, its token and the authorities, no more */
static int dial(void)
{
    const struct sandbox sandbox = {
        .confine = true, .user = "", .files = {.feed = "", .state_dir = "", .more = {"other/file"}, .dials = true}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    bool landlock = landlock_is_there();

    if (sandbox_enter(&sandbox) != 0)
        return 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno != ECONNREFUSED)
        return 2;
    close(fd);
    if (landlock && (!opens("other/file", O_RDONLY) || !denied("feed/nodes.json", O_RDONLY) ||
                                !denied("/etc/passwd", O_RDONLY)))
        return 3;
    /* libc asks so for a name server's interface, and lives without the answer */
    if (socket(AF_UNIX, SOCK_DGRAM, 0) != -1 || errno != EAFNOSUPPORT || socket(AF_NETLINK, SOCK_RAW, 0) != -1 ||
        errno != EAFNOSUPPORT)
        return 4;
    return 0;
}

static int dial_as_raw(void)
{
    const struct sandbox sandbox = {.confine = true, .user = "", .files = {.feed = "", .state_dir = "", .dials = true}};

    return sandbox_enter(&sandbox) != 0 ? 100 : socket(AF_PACKET, SOCK_RAW, 0);
}

static int dial_to_listen(void)
{
    const struct sandbox sandbox = {.confine = true, .user = "", .files = {.feed = "", .state_dir = "", .dials = true}};

    return sandbox_enter(&sandbox) != 0 ? 100 : listen(socket(AF_INET, SOCK_STREAM, 0), 1);
}

static void dials_where_it_must(void **state)
{
    (void)state;
    assert_int_equal(in_child(dial), 0);
    assert_true(WIFSIGNALED(in_child(dial_as_raw)));
    assert_true(WIFSIGNALED(in_child(dial_to_listen)));
}

static int pipe_ends[2];

static int say_into_pipe(void)
{
    return dup2(pipe_ends[1], STDERR_FILENO) == -1 || confine() != 0 ? 1 : listen(0, 1);
}

static void says_which(void **state)
{
    char said[2048], want[64];

    (void)state;
    assert_int_equal(pipe(pipe_ends), 0);
    in_child(say_into_pipe);
    ssize_t n = read(pipe_ends[0], said, sizeof(said) - 1);

    assert_true(n > 0);
    said[n] = 0;
    snprintf(want, sizeof(want), "error sandbox event=denied syscall=%d\n", SYS_listen);
    assert_non_null(strstr(said, want));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void *in_thread(void *arg)
{
    return arg;
}

/* live - what the server does all day: threads, memory, signals of its own, and the kernel's refusals taken well */
static int live(void)
{
    pthread_t thread;
    void *answer = NULL;

    if (confine() != 0)
        return 1;
    for (int i = 0; i < 4; i++)
        if (pthread_create(&thread, NULL, in_thread, folder) != 0 || pthread_join(thread, &answer) != 0 || answer != folder)
            return 2;
    char *memory = malloc((size_t)64 << 20);

    if (!memory)
        return 3;
    memset(memory, 1, (size_t)64 << 20);
    free(memory);
    return syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == ENOSYS ? 0 : 4;
}

static int bug(void)
{
    if (confine() != 0)
        return 1;
    abort();
}

static void lives_in_it(void **state)
{
    (void)state;
    assert_int_equal(in_child(live), 0);
    int status = in_child(bug);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0 || mkdir("feed", 0700) != 0 || mkdir("state", 0700) != 0 ||
        mkdir("other", 0700) != 0)
        return -1;
    touch("feed/nodes.json");
    touch("feed/other.json");
    touch("other/file");
    touch("other/linked");
    return symlink("../other/linked", "feed/link");
}

static int remove_folder(void **state)
{
    static const char *const files[] = {"feed/nodes.json", "feed/other.json", "feed/link", "other/file", "other/linked"};

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    rmdir("feed");
    rmdir("state");
    rmdir("other");
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_up_capabilities),
        cmocka_unit_test(changes_user_for_good),
        cmocka_unit_test(refuses_unknown_users),
        cmocka_unit_test(hides_memory),
        cmocka_unit_test(opens_its_files_only),
        cmocka_unit_test(ends_who_calls_anything_else),
        cmocka_unit_test(dials_where_it_must),
        cmocka_unit_test(says_which),
        cmocka_unit_test(lives_in_it),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
