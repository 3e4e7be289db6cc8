/* Listeners follow the configuration a generation at a time: a reload that fails leaves the sockets as they were, one
 * that succeeds closes what is not named any more, and an address that stays keeps its very socket. */
#include "ingress/sockets.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/stream.h"

#define WORKERS 3

static struct addrport at(const char *text)
{
    struct addrport ap;

    assert_true(addrport_parse(text, strlen(text), &ap));
    return ap;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

static void listeners_follow_generations(void **state)
{
    const struct ingress_config_listen both[] = {{.address = at("127.0.0.1:0")}, {.address = at("127.0.0.2:0")}};
    const struct ingress_config first = {.listen = both, .listen_count = 1};
    const struct ingress_config second = {.listen = both, .listen_count = 2};
    const struct ingress_config third = {.listen = both + 1, .listen_count = 1};
    struct config_errors errors;
    struct sockets s;

    (void)state;
    config_errors_init(&errors);
    sockets_init(&s, WORKERS);
    assert_int_equal(sockets_open(&s, &first, 1, "c.yaml", &errors), 0);
    sockets_commit(&s, 1);
    int stays = sockets_find(&s, &both[0].address)->fds[0];

    assert_int_equal(sockets_open(&s, &second, 2, "c.yaml", &errors), 0);
    int comes = sockets_find(&s, &both[1].address)->fds[WORKERS - 1];

    sockets_abort(&s, 2);
    assert_null(sockets_find(&s, &both[1].address));
    assert_false(is_open(comes));
    assert_int_equal(sockets_find(&s, &both[0].address)->fds[0], stays);

    assert_int_equal(sockets_open(&s, &second, 3, "c.yaml", &errors), 0);
    sockets_commit(&s, 3);
    assert_int_equal(sockets_find(&s, &both[0].address)->fds[0], stays);
    assert_true(is_open(stays));

    assert_int_equal(sockets_open(&s, &third, 4, "c.yaml", &errors), 0);
    assert_true(is_open(stays)); /* until the generation is in force */
    sockets_commit(&s, 4);
    assert_false(is_open(stays));
    assert_non_null(sockets_find(&s, &both[1].address));

    sockets_close_listeners(&s);
    assert_null(sockets_find(&s, &both[1].address));
    sockets_deinit(&s);
    assert_int_equal(errors.count, 0);
}

static void workers_share_one_port_and_nobody_else(void **state)
{
    struct ingress_config_listen listen[] = {{.address = at("127.0.0.1:0")}};
    struct addrport wireguard[] = {at("127.0.0.1:0")};
    struct ingress_config config = {
        .listen = listen, .listen_count = 1, .wireguard = {.listen = wireguard, .listen_count = 1}};
    struct config_errors errors;
    struct sockets ours, theirs;
    struct addrport bound, other;

    (void)state;
    config_errors_init(&errors);
    sockets_init(&ours, WORKERS);
    sockets_init(&theirs, WORKERS);
    assert_int_equal(sockets_open(&ours, &config, 1, "c.yaml", &errors), 0);
    assert_int_equal(sockets_open_udp(&ours, &config, "c.yaml", &errors), 0);
    const int *fds = sockets_find(&ours, &listen[0].address)->fds;

    assert_int_equal(stream_local(fds[0], &bound), 0);
    assert_int_equal(stream_local(fds[WORKERS - 1], &other), 0);
    assert_true(addrport_equal(&bound, &other));
    listen[0].address = bound;
    assert_int_equal(stream_local(ours.udp[0][0], &wireguard[0]), 0);
    assert_int_equal(stream_local(ours.udp[0][WORKERS - 1], &other), 0);
    assert_true(addrport_equal(&wireguard[0], &other));
    assert_null(ours.udp[1]);

    /* another program of the same user could share the port; it must not */
    assert_true(sockets_open(&theirs, &config, 1, "c.yaml", &errors) < 0);
    assert_true(sockets_open_udp(&theirs, &config, "c.yaml", &errors) < 0);
    assert_int_equal(errors.count, 2);
    assert_non_null(strstr(errors.line[0], "c.yaml: listen[0].address: can't open 127.0.0.1:"));
    assert_non_null(strstr(errors.line[0], "in use"));
    assert_non_null(strstr(errors.line[1], "c.yaml: wireguard.listen[0]: "));
    sockets_deinit(&theirs);
    sockets_deinit(&ours);
}

static void admin_socket_is_private_and_one_program_s(void **state)
{
    char folder[] = "/tmp/test_sockets.XXXXXX", path[64];
    struct ingress_config config = {.admin = {.socket = path}};
    struct config_errors errors;
    struct sockets ours, theirs;
    struct stat st;

    (void)state;
    config_errors_init(&errors);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/admin", folder);
    sockets_init(&ours, 1);
    sockets_init(&theirs, 1);
    assert_int_equal(sockets_open_admin(&ours, &config, "c.yaml", &errors), 0);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);

    /* a living one is left alone, also by the end of who did not get it */
    assert_true(sockets_open_admin(&theirs, &config, "c.yaml", &errors) < 0);
    assert_int_equal(errors.count, 1);
    assert_non_null(strstr(errors.line[0], "c.yaml: admin.socket: can't open /tmp/test_sockets."));
    sockets_deinit(&theirs);
    assert_int_equal(lstat(path, &st), 0);

    /* one left behind by a crash is replaced */
    close(ours.admin);
    assert_int_equal(sockets_open_admin(&theirs, &config, "c.yaml", &errors), 0);
    free(ours.admin_path);
    ours.admin_path = NULL;
    sockets_deinit(&ours);
    sockets_deinit(&theirs);
    assert_int_equal(lstat(path, &st), -1);

    config.admin.socket = "";
    assert_int_equal(sockets_open_admin(&ours, &config, "c.yaml", &errors), 0);
    assert_null(ours.admin_path);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_follow_generations),
        cmocka_unit_test(workers_share_one_port_and_nobody_else),
        cmocka_unit_test(admin_socket_is_private_and_one_program_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
