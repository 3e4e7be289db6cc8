/* Connecting over loopback: every address is tried, a silent one holds up the next by a quarter of a second only, and a
 * dial that is given up leaves nothing behind. */
#include <errno.h>
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

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/dial.h"
#include "common/net/stream.h"
#include "turning.h"

#define SILENT_BACKLOG 8 /* connections that fill the queue of a listener with backlog 0, and more */

static struct resolver *resolver;
static struct dial *dial;
static int result;
static char why[DIAL_WHY];
static unsigned answers;

static void on_done(void *ctx, int fd_or_error, const char *text, ts_t now)
{
    (void)ctx;
    (void)now;
    dial = NULL;
    answers++;
    result = fd_or_error;
    snprintf(why, sizeof(why), "%s", text);
}

static int setup(void **state)
{
    (void)state;
    answers = 0;
    if (turning_begin() != 0)
        return -1;
    resolver = resolver_new(&loop);
    return resolver ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    dial_cancel(dial);
    dial = NULL;
    resolver_free(resolver);
    turning_end();
    return 0;
}

static struct addr loopback(bool v4)
{
    struct addr a;

    assert_true(v4 ? addr_parse("127.0.0.1", 9, &a) : addr_parse("::1", 3, &a));
    return a;
}

static void start(const char *host, uint16_t port, const char *unix_path, uint64_t timeout_ns)
{
    const struct dial_to to = {.host = host, .port = port, .unix_path = unix_path};
    unsigned before = answers;

    dial = dial_start(&loop, resolver, &to, timeout_ns, on_done, NULL, loop_now());
    assert_non_null(dial);
    assert_int_equal(answers, before); /* never from inside */
}

/* a host of both families, IPv6 first */
static void start_both(uint16_t port)
{
    const struct addr addrs[] = {loopback(false), loopback(true)};
    const struct dial_to to = {.host = "both.test", .addrs = addrs, .addrs_count = 2, .port = port};

    dial = dial_start(&loop, resolver, &to, 10 * TS_S, on_done, NULL, loop_now());
    assert_non_null(dial);
}

static int listener(bool v4, uint16_t *port, int backlog)
{
    struct addrport at = {loopback(v4), *port};
    int fd = stream_listen(&at, backlog, false);

    assert_true(fd >= 0);
    assert_int_equal(stream_local(fd, &at), 0);
    *port = at.port;
    return fd;
}

/* a listener whose queue is full: the kernel drops every further SYN */
struct silent {
    int fd, fill[SILENT_BACKLOG];
};

static void silence(struct silent *s, bool v4, uint16_t *port)
{
    s->fd = listener(v4, port, 0);
    for (int i = 0; i < SILENT_BACKLOG; i++) {
        struct addrport to = {loopback(v4), *port};

        s->fill[i] = stream_connect(&to);
        assert_true(s->fill[i] >= 0);
    }
}

static void unsilence(struct silent *s)
{
    for (int i = 0; i < SILENT_BACKLOG; i++)
        close(s->fill[i]);
    close(s->fd);
}

static void test_address(void **state)
{
    uint16_t port = 0;
    struct addrport peer;
    int fd = listener(true, &port, 8);

    (void)state;
    start("127.0.0.1", port, NULL, 5 * TS_S);
    wait_until(answers == 1);
    assert_true(result >= 0);
    assert_string_equal(why, "");
    assert_int_equal(stream_peer(result, &peer), 0);
    assert_int_equal(peer.port, port);
    close(result);
    close(fd);
}

static void test_refused_is_said_with_its_address(void **state)
{
    uint16_t port = 0;
    char expected[DIAL_WHY];
    int fd = listener(true, &port, 8);

    (void)state;
    close(fd);
    start("127.0.0.1", port, NULL, 5 * TS_S);
    wait_until(answers == 1);
    assert_int_equal(result, -ECONNREFUSED);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u: Connection refused", port);
    assert_string_equal(why, expected);
}

static void test_other_family_when_one_refuses(void **state)
{
    (void)state;
    for (int v4 = 0; v4 <= 1; v4++) {
        uint16_t port = 0;
        int fd = listener(v4, &port, 8);
        ts_t begun = loop_now();

        answers = 0;
        start_both(port);
        wait_until(answers == 1);
        assert_true(result >= 0);
        assert_true(ts_since(loop_now(), begun) < 2 * TS_S); /* a refusal is not waited out */
        close(result);
        close(fd);
    }
}

static void test_other_family_beside_a_silent_one(void **state)
{
    (void)state;
    for (int v4 = 0; v4 <= 1; v4++) {
        uint16_t port = 0;
        struct silent silent;
        struct addrport peer;

        silence(&silent, !v4, &port);
        int fd = listener(v4, &port, 8);

        answers = 0;
        start_both(port);
        wait_until(answers == 1);
        assert_true(result >= 0);
        assert_int_equal(stream_peer(result, &peer), 0);
        assert_int_equal(addr_is_v4(&peer.addr), v4);
        close(result);
        close(fd);
        unsilence(&silent);
    }
}

static void test_deadline(void **state)
{
    uint16_t port = 0;
    struct silent silent;
    ts_t begun = loop_now();

    (void)state;
    silence(&silent, true, &port);
    start("127.0.0.1", port, NULL, 300 * TS_MS);
    wait_until(answers == 1);
    assert_int_equal(result, -ETIMEDOUT);
    assert_string_equal(why, "127.0.0.1 did not answer in time");
    assert_true(ts_since(loop_now(), begun) >= 300 * TS_MS);
    unsilence(&silent);
}

static void test_no_such_name(void **state)
{
    (void)state;
    start("not a name", 1, NULL, 10 * TS_S);
    wait_until(answers == 1);
    assert_true(result < 0);
    assert_ptr_equal(strstr(why, "looking up not a name"), why);
}

static void test_unix_socket(void **state)
{
    char path[] = "/tmp/test-dial-XXXXXX";
    char at[64];

    (void)state;
    assert_non_null(mkdtemp(path));
    snprintf(at, sizeof(at), "%s/socket", path);
    start(NULL, 0, at, TS_S);
    wait_until(answers == 1);
    assert_int_equal(result, -ENOENT);
    assert_non_null(strstr(why, "/socket: No such file"));
    int fd = stream_listen_unix(at, 1, 0600);

    assert_true(fd >= 0);
    start(NULL, 0, at, TS_S);
    wait_until(answers == 2);
    assert_true(result >= 0);
    close(result);
    close(fd);
    unlink(at);
    rmdir(path);
}

static void test_cancel_at_any_time(void **state)
{
    uint16_t port = 0;
    struct silent silent;

    (void)state;
    silence(&silent, true, &port);
    start("127.0.0.1", port, NULL, 10 * TS_S); /* before the first step */
    dial_cancel(dial);
    start("127.0.0.1", port, NULL, 10 * TS_S); /* in the midst of it */
    for (int i = 0; i < 20; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    dial_cancel(dial);
    start("nowhere.invalid", port, NULL, 10 * TS_S); /* while the name is looked up */
    uv_run(&loop.uv, UV_RUN_ONCE);
    dial_cancel(dial);
    unsigned before = answers; /* that name may have been answered already */

    dial = NULL;
    for (int i = 0; i < 20; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_int_equal(answers, before);
    unsilence(&silent);
}

static void test_order(void **state)
{
    static const struct {
        const char *in, *out; /* a letter an address: capitals are IPv6 */
    } cases[] = {{"", ""},         {"a", "a"},       {"AB", "AB"},         {"ABab", "AaBb"},
                 {"abAB", "aAbB"}, {"aABC", "aABC"}, {"ABCDab", "AaBbCD"}, {"Aabcd", "Aabcd"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct addr addrs[RESOLVER_ADDRS_MAX];
        size_t n = strlen(cases[i].in);

        for (size_t k = 0; k < n; k++) {
            uint8_t letter = (uint8_t)cases[i].in[k];

            addrs[k] = letter >= 'a' ? addr_v4((uint8_t[]){192, 0, 2, letter})
                                     : addr_v6((uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = letter});
        }
        dial_interleave(addrs, n);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(addrs[k].b[15], (uint8_t)cases[i].out[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_is_said_with_its_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_family_when_one_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_family_beside_a_silent_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_at_any_time, setup, teardown),
        cmocka_unit_test(test_order),
    };

    return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
