/* The supervisor beside servers that misbehave: this program is its server too, and plays what SERVER_ROLE says. Each
 * server adds a line to the file of its role; the last one asks for the end. */
#include "ingress/supervisor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/cli/cli.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "ingress/ipc.h"
#include "ingress/server_process.h"

#define PATIENCE_S 20 /* a supervisor that is not done by then never will be */
#define STORY      "story"

/* ---- servers ---- */

static void write_story(const char *line)
{
    FILE *f = fopen(STORY, "a");

    if (!f || fputs(line, f) < 0 || fclose(f) != 0)
        abort();
}

static void say(enum ipc_type type, uint32_t generation)
{
    if (ipc_send(IPC_CHILD_FD, type, generation, NULL, 0, -1) != 0)
        exit(0);
}

/* the next message of that type; its generation */
static uint32_t await(enum ipc_type type)
{
    for (;;) {
        struct ipc_message msg;
        int rc = ipc_recv(IPC_CHILD_FD, &msg);

        if (rc <= 0)
            exit(1);
        enum ipc_type got = msg.type;
        uint32_t generation = msg.generation;

        ipc_message_deinit(&msg);
        if (got == type)
            return generation;
    }
}

/* serves until it is told to drain */
static void serve(uint32_t generation)
{
    char line[32];

    snprintf(line, sizeof(line), "serves %u\n", generation);
    write_story(line);
    say(IPC_READY, generation);
    kill(getppid(), SIGTERM);
    await(IPC_DRAIN);
}

static int server_number(void)
{
    FILE *f = fopen(STORY, "r");
    char line[64];
    int n = 1;

    for (; f && fgets(line, sizeof(line), f); n++)
        ;
    if (f)
        fclose(f);
    return n;
}

static void dies_at_a_reload(void)
{
    uint32_t generation = await(IPC_COMMIT);

    if (server_number() > 1) {
        serve(generation);
        return;
    }
    write_story("dies\n");
    say(IPC_READY, generation);
    kill(getppid(), SIGHUP);
    await(IPC_COMMIT);
    exit(1);
}

/* the reload kills every server that starts with it, too */
static void dies_of_a_reload(void)
{
    uint32_t generation = await(IPC_COMMIT);

    if (server_number() == 1) {
        write_story("dies\n");
        say(IPC_READY, generation);
        kill(getppid(), SIGHUP);
        await(IPC_COMMIT);
        exit(1);
    }
    if (generation == 1) {
        serve(generation);
        return;
    }
    write_story("dies of it\n");
    exit(1);
}

static void asked_before_it_is_ready(void)
{
    uint32_t generation = await(IPC_COMMIT);

    switch (server_number()) {
    case 1:
        write_story("dies\n");
        say(IPC_READY, generation);
        exit(1);
    case 2:
        write_story("dies before it is ready\n");
        kill(getppid(), SIGHUP);
        usleep(200000);
        exit(1);
    default:
        if (generation != 1) {
            serve(generation);
            return;
        }
        write_story("has not heard of the reload\n");
        kill(getppid(), SIGTERM);
        exit(1);
    }
}

static void repeats(enum ipc_type type, uint32_t generation, unsigned us)
{
    for (;;) {
        say(type, generation);
        usleep(us);
    }
}

static void fails_for_ever(void)
{
    repeats(IPC_FAILED, await(IPC_COMMIT), 100000);
}

static void drained_for_ever(void)
{
    uint32_t generation = await(IPC_COMMIT);

    say(IPC_READY, generation);
    kill(getppid(), SIGTERM);
    await(IPC_DRAIN);
    repeats(IPC_DRAINED, generation, 0);
}

static const struct role {
    const char *name;
    void (*play)(void);
} roles[] = {
    {"dies at a reload", dies_at_a_reload},
    {"dies of a reload", dies_of_a_reload},
    {"asked before it is ready", asked_before_it_is_ready},
    {"fails for ever", fails_for_ever},
    {"drained for ever", drained_for_ever},
};

static int be_server(void)
{
    const char *name = getenv("SERVER_ROLE");

    fcntl(IPC_CHILD_FD, F_SETFL, 0); /* blocking */
    for (size_t i = 0; name && i < ARRAY_SIZE(roles); i++)
        if (strcmp(roles[i].name, name) == 0)
            roles[i].play();
    return 0;
}

/* ---- the supervisor ---- */

static const char config_text[] = "workers: 1\n"
                                  "listen:\n"
                                  "  - address: \"127.0.0.1:0\"\n"
                                  "wireguard: {listen: [\"127.0.0.1:0\"]}\n"
                                  "identities:\n"
                                  "  - {name: default, key_file: the.key}\n"
                                  "feed: {type: file, path: nodes.json}\n"
                                  "drain: {timeout: 600s}\n";

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(name, 0600), 0);
}

static int setup(void **state)
{
    static char path[] = "/tmp/test_supervisor.XXXXXX";
    struct rng rng;
    uint8_t key[KEY_BYTES];
    char text[KEY_STR];

    (void)state;
    strcpy(path, "/tmp/test_supervisor.XXXXXX");
    assert_int_equal(crypto_init(), 0);
    crypto_rng(&rng);
    key_generate(&rng, key);
    key_format(key, text);
    assert_non_null(mkdtemp(path));
    assert_int_equal(chdir(path), 0);
    write_file("the.key", text);
    write_file("c.yaml", config_text);
    *state = path;
    return 0;
}

static int teardown(void **state)
{
    unlink("the.key");
    unlink("c.yaml");
    unlink(STORY);
    assert_int_equal(chdir("/"), 0);
    rmdir(*state);
    return 0;
}

/* the exit status of a supervisor whose servers play that role */
static int status_with(const char *role)
{
    assert_int_equal(setenv("SERVER_ROLE", role, 1), 0);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        alarm(PATIENCE_S);
        _exit(supervisor_run("c.yaml"));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status)); /* else it was the alarm */
    return WEXITSTATUS(status);
}

static void assert_story(const char *wanted)
{
    FILE *f = fopen(STORY, "r");
    char text[256];

    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    assert_string_equal(text, wanted);
}

static void a_reload_outlives_its_server(void **state)
{
    (void)state;
    assert_int_equal(status_with("dies at a reload"), 0);
    assert_story("dies\nserves 2\n");
}

static void a_reload_kills_one_successor_only(void **state)
{
    (void)state;
    assert_int_equal(status_with("dies of a reload"), 0);
    assert_story("dies\ndies of it\nserves 1\n");
}

static void a_reload_need_not_wait_until_one_is_ready(void **state)
{
    (void)state;
    assert_int_equal(status_with("asked before it is ready"), 0);
    assert_story("dies\ndies before it is ready\nserves 2\n");
}

static void who_fails_without_end_is_ended(void **state)
{
    (void)state;
    assert_int_equal(status_with("fails for ever"), CLI_FAILED);
}

static void who_takes_leave_without_end_is_ended(void **state)
{
    (void)state;
    assert_int_equal(status_with("drained for ever"), CLI_FAILED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reload_outlives_its_server, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_kills_one_successor_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_need_not_wait_until_one_is_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(who_fails_without_end_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(who_takes_leave_without_end_is_ended, setup, teardown),
    };

    if (argc == 2 && strcmp(argv[1], SERVER_PROCESS_ARG) == 0)
        return be_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
