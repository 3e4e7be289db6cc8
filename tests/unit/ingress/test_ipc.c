/* The supervisor and a server child may be of one mind, but one of them talks to strangers: messages arrive whole with
 * their descriptor, and whatever is not exactly a message is dropped without leaving a descriptor behind. */
#include "ingress/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/err.h"

struct pair {
    int a, b;
};

static int setup(void **state)
{
    struct pair *p = malloc(sizeof(*p));

    assert_non_null(p);
    assert_int_equal(ipc_pair(&p->a, &p->b), 0);
    assert_int_equal(fcntl(p->b, F_SETFL, O_NONBLOCK), 0);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;

    close(p->a);
    close(p->b);
    free(p);
    return 0;
}

/* the lowest free descriptor: the same before and after means none was left open */
static int lowest_free(void)
{
    int fd = dup(0);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

static void delivers_payload_and_descriptor(void **state)
{
    struct pair *p = *state;
    struct ipc_listener sent = {.listen_index = 3, .worker = 7, .address = "[::]:443"};
    struct ipc_message got;
    int pipe_fds[2];
    char c = 0;

    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(ipc_send(p->a, IPC_LISTENER, 42, &sent, sizeof(sent), pipe_fds[1]), 0);
    close(pipe_fds[1]);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_int_equal(got.type, IPC_LISTENER);
    assert_int_equal(got.generation, 42);
    assert_int_equal(got.len, sizeof(sent));
    assert_memory_equal(&got.u.listener, &sent, sizeof(sent));
    assert_int_equal(fcntl(got.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(got.fd, "x", 1), 1);
    ipc_message_deinit(&got);
    assert_int_equal(got.fd, -1);
    /* that was the last copy of the writing end */
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    assert_int_equal(read(pipe_fds[0], &c, 1), 0);
    close(pipe_fds[0]);
    assert_int_equal(ipc_recv(p->b, &got), -EAGAIN);
}

static void descriptor_may_be_left_out_or_taken(void **state)
{
    struct pair *p = *state;
    struct ipc_listener listener = {.address = "0.0.0.0:1"};
    struct ipc_message got;

    assert_int_equal(ipc_send(p->a, IPC_LISTENER, 1, &listener, sizeof(listener), -1), 0);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_int_equal(got.fd, -1);
    ipc_message_deinit(&got);

    assert_int_equal(ipc_send(p->a, IPC_LISTENER, 1, &listener, sizeof(listener), 0), 0);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    int taken = got.fd;

    got.fd = -1;
    ipc_message_deinit(&got);
    assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
    close(taken);
}

static void text_is_terminated_and_bounded(void **state)
{
    struct pair *p = *state;
    struct ipc_message got;
    char *longer = malloc(IPC_PAYLOAD_MAX + 100);

    assert_non_null(longer);
    memset(longer, 'x', IPC_PAYLOAD_MAX + 99);
    longer[IPC_PAYLOAD_MAX + 99] = 0;
    assert_int_equal(ipc_send_text(p->a, IPC_FAILED, 2, "nodes.json:3:1: no\nand no"), 0);
    assert_int_equal(ipc_send_text(p->a, IPC_FAILED, 2, ""), 0);
    assert_int_equal(ipc_send_text(p->a, IPC_FAILED, 2, longer), 0);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_string_equal(got.u.text, "nodes.json:3:1: no\nand no");
    ipc_message_deinit(&got);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_string_equal(got.u.text, "");
    ipc_message_deinit(&got);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_int_equal(strlen(got.u.text), IPC_PAYLOAD_MAX);
    ipc_message_deinit(&got);
    free(longer);
}

static void a_key_is_wiped_with_its_message(void **state)
{
    struct pair *p = *state;
    struct ipc_key key = {.identity = "default"};
    struct ipc_message got;
    const uint8_t zero[sizeof(key.key)] = {0};

    memset(key.key, 0xa5, sizeof(key.key));
    assert_int_equal(ipc_send(p->a, IPC_KEY, 1, &key, sizeof(key), -1), 0);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_memory_equal(got.u.key.key, key.key, sizeof(key.key));
    ipc_message_deinit(&got);
    assert_memory_equal(got.u.key.key, zero, sizeof(zero));
}

static void end_of_file_and_broken_pipe(void **state)
{
    struct pair *p = *state;
    struct ipc_message got;

    assert_int_equal(ipc_send(p->a, IPC_COMMIT, 1, NULL, 0, -1), 0);
    close(p->a);
    assert_int_equal(ipc_recv(p->b, &got), 1); /* what was said before still arrives */
    ipc_message_deinit(&got);
    assert_int_equal(ipc_recv(p->b, &got), 0);
    assert_int_equal(ipc_send(p->b, IPC_DRAINED, 1, NULL, 0, -1), -EPIPE);
    p->a = dup(0);
}

static void last_words_of_who_did_not_listen(void **state)
{
    struct pair *p = *state;
    struct ipc_message got;

    assert_int_equal(ipc_send(p->b, IPC_COMMIT, 1, NULL, 0, -1), 0);
    assert_int_equal(ipc_send_text(p->a, IPC_FAILED, 1, "out of memory"), 0);
    close(p->a); /* with the COMMIT unread */
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_string_equal(got.u.text, "out of memory");
    ipc_message_deinit(&got);
    assert_int_equal(ipc_recv(p->b, &got), 0);
    p->a = dup(0);
}

static int reader;
static unsigned ticks;

/* the first signal comes to nothing; by a later one the reader reads on */
static void on_tick(int signum)
{
    char buffer[64];

    (void)signum;
    if (++ticks > 1)
        (void)!recv(reader, buffer, sizeof(buffer), MSG_DONTWAIT);
}

static void signals_do_not_end_the_wait_for_room(void **state)
{
    struct pair *p = *state;
    const struct sigaction action = {.sa_handler = on_tick};
    const struct itimerval each_20_ms = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    struct sigaction before;
    char message[12] = {0};

    reader = p->b;
    ticks = 0;
    while (send(p->a, message, sizeof(message), MSG_DONTWAIT) != -1)
        ;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &each_20_ms, NULL), 0);
    int rc = ipc_send(p->a, IPC_COMMIT, 1, NULL, 0, -1);

    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_int_equal(rc, 0);
    assert_true(ticks > 1);
}

/* send_raw - any bytes with any number of descriptors */
static void send_raw(int fd, const void *data, size_t len, size_t fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(32 * sizeof(int))];
    } control;
    struct iovec part = {(void *)(uintptr_t)data, len};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    memset(&control, 0, sizeof(control));
    if (fds) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds * sizeof(int));
        for (size_t i = 0; i < fds; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){0}, sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &msg, 0), len);
}

struct raw {
    uint32_t type, generation, len;
    char payload[IPC_PAYLOAD_MAX + 64];
};

static void malformed_messages_are_dropped(void **state)
{
    static const struct {
        const char *what;
        uint32_t type, len; /* as the header says */
        size_t sent;        /* payload bytes really there */
        size_t fds;
        char fill;
    } cases[] = {
        {"type 0", 0, 0, 0, 0, 0},
        {"type above all", 14, 0, 0, 0, 0},
        {"huge type", UINT32_MAX, 0, 0, 0, 0},
        {"length says more", IPC_FAILED, 9, 8, 0, 'x'},
        {"length says less", IPC_FAILED, 7, 8, 0, 'x'},
        {"huge length", IPC_FAILED, UINT32_MAX, 8, 0, 'x'},
        {"zero within text", IPC_FAILED, 8, 8, 0, 0},
        {"struct too short", IPC_BEGIN, 3, 3, 0, 0},
        {"struct too long", IPC_BEGIN, 5, 5, 0, 0},
        {"payload where none belongs", IPC_COMMIT, 1, 1, 0, 0},
        {"more than the largest message", IPC_FAILED, IPC_PAYLOAD_MAX + 1, IPC_PAYLOAD_MAX + 1, 0, 'x'},
        {"descriptor missing", IPC_UDP, sizeof(struct ipc_udp), sizeof(struct ipc_udp), 0, 0},
        {"descriptor where none belongs", IPC_COMMIT, 0, 0, 1, 0},
        {"two descriptors", IPC_CONFIG, 1, 1, 2, 'x'},
        {"more descriptors than there is room for", IPC_CONFIG, 1, 1, 32, 'x'},
        {"no such address family", IPC_UDP, sizeof(struct ipc_udp), sizeof(struct ipc_udp), 1, 0},
        {"identity without end", IPC_KEY, sizeof(struct ipc_key), sizeof(struct ipc_key), 0, 'x'},
        {"address without end", IPC_LISTENER, sizeof(struct ipc_listener), sizeof(struct ipc_listener), 1, 'x'},
    };
    struct pair *p = *state;
    int free_before = lowest_free();

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct raw raw = {.type = cases[i].type, .generation = 1, .len = cases[i].len};
        struct ipc_message got;

        memset(raw.payload, cases[i].fill, cases[i].sent);
        send_raw(p->a, &raw, offsetof(struct raw, payload) + cases[i].sent, cases[i].fds);
        int rc = ipc_recv(p->b, &got);

        if (rc != ERR_INVALID || lowest_free() != free_before)
            fail_msg("%s: %d", cases[i].what, rc);
    }
    send_raw(p->a, "short", 5, 1);
    assert_int_equal(ipc_recv(p->b, &(struct ipc_message){0}), ERR_INVALID);
    assert_int_equal(lowest_free(), free_before);

    /* and the next good one is heard */
    struct ipc_message got;

    assert_int_equal(ipc_send(p->a, IPC_STOP, 9, NULL, 0, -1), 0);
    assert_int_equal(ipc_recv(p->b, &got), 1);
    assert_int_equal(got.type, IPC_STOP);
    ipc_message_deinit(&got);
}

static void types_have_names(void **state)
{
    (void)state;
    assert_string_equal(ipc_type_name(IPC_BEGIN), "IPC_BEGIN");
    assert_string_equal(ipc_type_name(IPC_DRAINED), "IPC_DRAINED");
    assert_string_equal(ipc_type_name((enum ipc_type)0), "?");
    assert_string_equal(ipc_type_name((enum ipc_type)1000), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(delivers_payload_and_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptor_may_be_left_out_or_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_terminated_and_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_is_wiped_with_its_message, setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_file_and_broken_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(last_words_of_who_did_not_listen, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_do_not_end_the_wait_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_messages_are_dropped, setup, teardown),
        cmocka_unit_test(types_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
