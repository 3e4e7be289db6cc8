/* Listeners follow the configuration a generation at a time: a reload that fails leaves the sockets as they were, one
 * that succeeds closes what is not named any more, and an address that stays keeps its very socket. */
#include "ingress/sockets.h"

#include <fcntl.h>
#include <poll.h>
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

/* the socket of the group that a datagram with this start arrives at; -1: none */
static int arrives_at(const struct sockets *s, int from, const struct addrport *to, const uint8_t *start, size_t len)
{
    struct sockaddr_storage sa;
    struct pollfd polled[WORKERS];
    uint8_t got[64];

    assert_int_equal(sendto(from, start, len, 0, (struct sockaddr *)&sa, addrport_to_sockaddr(to, true, &sa)), len);
    for (int i = 0; i < WORKERS; i++)
        polled[i] = (struct pollfd){.fd = s->udp[0][i], .events = POLLIN};
    assert_int_equal(poll(polled, WORKERS, 5000), 1);
    for (int i = 0; i < WORKERS; i++)
        if (polled[i].revents & POLLIN) {
            assert_int_equal(recv(s->udp[0][i], got, sizeof(got), 0), len);
            return i;
        }
    return -1;
}

static void datagrams_go_to_the_worker_of_their_index(void **state)
{
    static const struct {
        uint8_t type, offset;
    } kinds[] = {{2, 8}, {3, 4}, {4, 4}};
    struct addrport wireguard[] = {at("127.0.0.1:0")}, to;
    struct ingress_config config = {.wireguard = {.listen = wireguard, .listen_count = 1}};
    struct config_errors errors;
    struct sockets s;
    bool seen[WORKERS] = {false};

    (void)state;
    config_errors_init(&errors);
    sockets_init(&s, WORKERS);
    assert_int_equal(sockets_open_udp(&s, &config, "c.yaml", &errors), 0);
    assert_int_equal(stream_local(s.udp[0][0], &to), 0);
    int from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (int shard = 0; shard < 256; shard += 5) {
            uint8_t message[32] = {kinds[k].type};

            memset(message + 4, 0xa5, 12); /* what else is there has no say */
            message[kinds[k].offset] = (uint8_t)shard;
            assert_int_equal(arrives_at(&s, from, &to, message, sizeof(message)), shard % WORKERS);
        }
    close(from);
    /* an initiation, one with a wrong type, and a scrap are spread: by addresses and ports */
    for (int i = 0; i < 60; i++) {
        static const uint8_t odd[][16] = {{1}, {4, 0, 0, 1}, {4}};

        from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        seen[arrives_at(&s, from, &to, odd[i % 3], i % 3 == 2 ? 5 : 16)] = true;
        close(from);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_true(seen[i]);
    sockets_deinit(&s);
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
        cmocka_unit_test(datagrams_go_to_the_worker_of_their_index),
        cmocka_unit_test(admin_socket_is_private_and_one_program_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
