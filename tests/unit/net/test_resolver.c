/* Name servers change with the network a machine is in. Two of them on loopback, each with an answer of its own, and a
 * resolv.conf that names one after the other. */
#include "common/net/resolver.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/net/udp.h"
#include "turning.h"

#define TYPE_A 1

struct name_server {
    struct loop_poll poll;
    int fd;
    uint8_t last_byte; /* of 192.0.2.x, its answer to everything */
    bool silent;
    unsigned asked;
};

struct question {
    struct resolver_query query;
    unsigned answers;
    int status;
    struct addr addr;
};

static struct name_server servers[2];
static struct resolver *resolver;
static char conf[] = "/tmp/test_resolver.XXXXXX";

/* RFC 1035 section 4: the question comes back, with one address behind it when it asked for IPv4 */
static void on_question(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct name_server *s = container_of(poll, struct name_server, poll);
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    uint8_t m[512];
    ssize_t n = recvfrom(s->fd, m, sizeof(m) - 16, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    size_t end = 12;

    (void)readable;
    (void)writable;
    (void)now;
    if (n < 17)
        return;
    s->asked++;
    if (s->silent)
        return;
    while (m[end])
        end += m[end] + 1u;
    bool v4 = m[end + 2] == TYPE_A;
    const uint8_t answer[] = {0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, s->last_byte};

    end += 5;
    m[2] = 0x81; /* a response */
    m[3] = 0x80;
    m[7] = v4;
    memset(m + 8, 0, 4);
    memcpy(m + end, answer, sizeof(answer));
    sendto(s->fd, m, end + (v4 ? sizeof(answer) : 0), MSG_DONTWAIT, (struct sockaddr *)&from, from_len);
}

static void write_conf(const struct name_server *s)
{
    char text[ADDR_STR];
    struct addrport at;
    FILE *f = fopen(conf, "w");

    assert_non_null(f);
    assert_int_equal(udp_local(s->fd, &at), 0);
    assert_true(fprintf(f, "nameserver %s\n", addr_format(&at.addr, text)) > 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    struct addrport at = {.port = 0}; /* the first one's is the other's, too */
    int rc = turning_begin();

    (void)state;
    strcpy(conf, "/tmp/test_resolver.XXXXXX");
    close(mkstemp(conf));
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        at.addr = addr_v4((const uint8_t[4]){127, 0, 0, (uint8_t)(i + 1)});
        servers[i] = (struct name_server){.fd = udp_open(&at, false), .last_byte = (uint8_t)(i + 1)};
        udp_local(servers[i].fd, &at);
        rc = loop_poll_init(&loop, &servers[i].poll, servers[i].fd, on_question);
        loop_poll_set(&servers[i].poll, UV_READABLE);
    }
    write_conf(&servers[0]);
    resolver = resolver_new_by(&loop, conf, at.port);
    return rc == 0 && resolver ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    resolver_free(resolver);
    for (size_t i = 0; i < 2; i++) {
        loop_poll_close(&servers[i].poll, NULL);
        close(servers[i].fd);
    }
    unlink(conf);
    turning_end();
    return 0;
}

static void on_done(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now)
{
    struct question *q = container_of(query, struct question, query);

    (void)now;
    q->answers++;
    q->status = status;
    if (count > 0)
        q->addr = addrs[0];
}

static void ask(struct question *q, const char *name)
{
    *q = (struct question){.query.done = on_done};
    resolver_ask(resolver, &q->query, name);
}

static void assert_answer(struct question *q, uint8_t last_byte)
{
    const uint8_t bytes[4] = {192, 0, 2, last_byte};
    struct addr wanted = addr_v4(bytes);

    wait_until(q->answers > 0);
    assert_int_equal(q->status, 0);
    assert_true(addr_equal(&q->addr, &wanted));
}

static void a_changed_file_is_followed(void **state)
{
    struct question q;

    (void)state;
    ask(&q, "a.test");
    assert_answer(&q, 1);
    write_conf(&servers[1]);
    ask(&q, "b.test");
    assert_answer(&q, 2);
    unsigned asked = servers[0].asked;

    ask(&q, "c.test");
    assert_answer(&q, 2);
    assert_int_equal(servers[0].asked, asked);
}

static void questions_under_way_move_along(void **state)
{
    struct question waiting, cancelled, q;

    (void)state;
    servers[0].silent = true;
    ask(&waiting, "a.test");
    ask(&cancelled, "b.test");
    wait_until(servers[0].asked >= 4);
    write_conf(&servers[1]);
    ask(&q, "c.test");
    resolver_cancel(&cancelled.query);
    assert_answer(&q, 2);
    assert_answer(&waiting, 2);
    assert_int_equal(waiting.answers, 1);
    assert_int_equal(cancelled.answers, 0);
}

static void on_done_ask_again(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now)
{
    struct question *q = container_of(query, struct question, query);

    on_done(query, status, addrs, count, now);
    if (q->answers == 1) {
        write_conf(&servers[1]);
        resolver_ask(resolver, query, "again.test");
    }
}

static void an_answer_may_bring_the_next_question(void **state)
{
    struct question q = {.query.done = on_done_ask_again};

    (void)state;
    resolver_ask(resolver, &q.query, "a.test");
    wait_until(q.answers == 2);
    ask(&q, "b.test");
    assert_answer(&q, 2);
}

static void it_may_end_while_they_move(void **state)
{
    struct question waiting, q;

    (void)state;
    servers[0].silent = true;
    ask(&waiting, "a.test");
    write_conf(&servers[1]);
    ask(&q, "b.test");
    resolver_free(resolver);
    resolver = NULL;
    assert_null(waiting.query.request);
    assert_null(q.query.request);
    assert_int_equal(waiting.answers + q.answers, 0);
}

static void a_missing_file_changes_nothing(void **state)
{
    struct question q;

    (void)state;
    unlink(conf);
    ask(&q, "a.test");
    assert_answer(&q, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_changed_file_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(questions_under_way_move_along, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_bring_the_next_question, setup, teardown),
        cmocka_unit_test_setup_teardown(it_may_end_while_they_move, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_changes_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
