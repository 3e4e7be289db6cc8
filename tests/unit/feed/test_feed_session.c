/* One source over its connections, by a server that the test plays: statuses, redirects, waiting, silence, and that a
 * broken snapshot is always taken back. Time is invented. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_session.h"

#define BEGIN "{\"snapshot\":\"begin\",\"version\":1}\n"
#define OK200 "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\n\r\n"

static struct rng rng;
static struct feed_session *session;
static ts_t now;
static unsigned ops[FEED_OP_HEARTBEAT + 1];
static char request[4096];

static void start_with(struct feed_dialect *dialect, const char *url, const char *second, bool plain)
{
    struct url urls[2];

    assert_null(url_parse(url, strlen(url), &urls[0]));
    if (second)
        assert_null(url_parse(second, strlen(second), &urls[1]));
    rng_seed(&rng, 3);
    now = 1000 * TS_S;
    memset(ops, 0, sizeof(ops));
    session = feed_session_new(&(struct feed_session_config){.urls = urls,
                                                             .urls_count = second ? 2 : 1,
                                                             .silence_ns = 45 * TS_S,
                                                             .plain = plain,
                                                             .dialect = dialect,
                                                             .rng = &rng},
                               now);
    assert_non_null(session);
}

static void start(const char *url, const char *second, bool plain)
{
    start_with(feed_lines_new(), url, second, plain);
}

static int teardown(void **state)
{
    (void)state;
    feed_session_free(session);
    session = NULL;
    return 0;
}

static void input(const char *text)
{
    size_t len = strlen(text), at = 0, used;
    struct feed_op op;

    while (feed_session_input(session, text + at, len - at, &used, &op, now)) {
        at += used;
        ops[op.kind]++;
    }
}

/* connect, and what is asked there */
static const char *connected(const char *secret)
{
    const char *data;
    size_t len;

    if (feed_session_wants(session) == FEED_SESSION_NOTHING) {
        now = ts_max(now, feed_session_deadline(session));
        feed_session_expire(session, now);
    }
    assert_int_equal(feed_session_wants(session), FEED_SESSION_CONNECT);
    feed_session_connected(session, secret, now);
    len = feed_session_output(session, &data);
    snprintf(request, sizeof(request), "%.*s", (int)len, data);
    feed_session_sent(session, len);
    assert_int_equal(feed_session_output(session, &data), 0);
    return request;
}

static void ended(const char *why)
{
    feed_session_ended(session, why, now);
    input("");
}

static const char *where(void)
{
    static char text[URL_STR];
    bool foreign;

    return url_format(feed_session_url(session, &foreign), text);
}

#define status() feed_session_status(session)

static void test_request_and_stream(void **state)
{
    (void)state;
    start("https://feed.test:444/nodes", NULL, false);
    assert_int_equal(status()->state, FEED_SOURCE_STARTING);
    const char *asked = connected("secret");

    assert_ptr_equal(strstr(asked, "GET /nodes HTTP/1.1\r\n"), asked);
    assert_non_null(strstr(asked, "\r\nHost: feed.test:444\r\n"));
    assert_non_null(strstr(asked, "\r\nAuthorization: Bearer secret\r\n"));
    input("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    input("21\r\n" BEGIN "\r\nb\r\n{\"id\":\"a\"}\n\r\n");
    assert_int_equal(ops[FEED_OP_BEGIN], 1);
    assert_int_equal(ops[FEED_OP_PUT], 1);
    assert_int_not_equal(status()->state, FEED_SOURCE_CONNECTED);
    input("21\r\n{\"snapshot\":\"end\",\"revision\":17}\n\r\n");
    assert_int_equal(ops[FEED_OP_END], 1);
    assert_int_equal(status()->state, FEED_SOURCE_CONNECTED);
    ended("cut");
    assert_int_equal(status()->state, FEED_SOURCE_RETRYING);
    assert_string_equal(status()->error, "the stream broke off: cut");
    assert_string_equal(status()->where, "https://feed.test:444");
    assert_int_equal(ops[FEED_OP_ABORT], 0);
    assert_true(feed_session_deadline(session) <= now + TS_S);
    assert_ptr_equal(strstr(connected(NULL), "GET /nodes?revision=17 HTTP/1.1\r\n"), request);
    assert_null(strstr(request, "Authorization"));
}

static void test_a_broken_snapshot_is_void(void **state)
{
    static const char *const ways[] = {"cut", NULL, "nonsense\n", "{\"snapshot\":\"begin\",\"version\":1}\n", "silence"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        start("https://feed.test/", NULL, false);
        connected(NULL);
        input(OK200 BEGIN "{\"id\":\"a\"}\n");
        if (i < 2) {
            ended(ways[i]);
        } else if (i < 4) {
            input(ways[i]);
        } else {
            now = feed_session_deadline(session);
            feed_session_expire(session, now);
            input("");
        }
        assert_int_equal(ops[FEED_OP_ABORT], 1);
        assert_int_equal(feed_session_wants(session), FEED_SESSION_NOTHING);
        assert_int_equal(status()->state, FEED_SOURCE_RETRYING);
        teardown(NULL);
    }
}

static void test_answers(void **state)
{
    static const struct {
        const char *answer, *error;
        uint64_t at_least_s;
    } cases[] = {
        {"HTTP/1.1 401 No\r\n\r\n", "the server answers 401 Unauthorized: the token, or user and password, are missing or wrong", 0},
        {"HTTP/1.1 403 No\r\n\r\n", "the server answers 403 Forbidden: we are known there, and may not read this feed", 0},
        {"HTTP/1.1 500 Oh\r\n\r\n", "the server answers 500", 0},
        {"HTTP/1.1 503 Later\r\nRetry-After: 30\r\n\r\n", "the server answers 503 Service Unavailable", 30},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\n\r\n", "the server answers 429 Too Many Requests", 600},
        {"HTTP/1.1 204 None\r\n\r\n", "the server answers 204", 0},
        {"SSH-2.0-x\r\n", "the server's answer is not HTTP/1.1", 0},
        {"HTTP/1.1 302 There\r\n\r\n", "a redirect whose Location: names no place", 0},
        {"HTTP/1.1 302 There\r\nLocation: http://feed.test/\r\n\r\n", "a redirect from https to http is refused: http://feed.test", 0},
        {OK200 BEGIN "{\"snapshot\":\"end\"}\n",
         "line 2: a snapshot ends with {\"snapshot\":\"end\",\"revision\":N}, N from 0 to 2^63-1", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        start("https://feed.test/", NULL, false);
        connected("t");
        input(cases[i].answer);
        assert_int_equal(feed_session_wants(session), FEED_SESSION_NOTHING);
        assert_string_equal(status()->error, cases[i].error);
        assert_true(status()->retry_at >= now + cases[i].at_least_s * TS_S);
        assert_true(status()->retry_at <= now + (cases[i].at_least_s + 60) * TS_S);
        teardown(NULL);
    }
}

static void test_an_answer_of_100_is_not_the_answer(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    connected(NULL);
    input("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK200 BEGIN);
    assert_int_equal(ops[FEED_OP_BEGIN], 1);
}

static void test_answers_of_100_have_an_end(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    connected(NULL);
    for (int i = 0; i < 10; i++)
        input("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n");
    assert_string_equal(status()->error, "");
    input("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n");
    assert_string_equal(status()->error, "interim answers without end");
    assert_int_equal(feed_session_wants(session), FEED_SESSION_NOTHING);
}

static void test_redirects(void **state)
{
    (void)state;
    start("https://feed.test/a", NULL, false);
    connected("secret");
    input("HTTP/1.1 307 There\r\nLocation: /b\r\n\r\n");
    assert_int_equal(feed_session_wants(session), FEED_SESSION_CONNECT);
    assert_string_equal(where(), "https://feed.test/b");
    assert_non_null(strstr(connected("secret"), "Bearer secret"));
    input("HTTP/1.1 307 There\r\nLocation: https://mirror.test/c\r\n\r\n");
    assert_string_equal(where(), "https://mirror.test/c");
    assert_null(strstr(connected("secret"), "secret")); /* not to strangers */
    for (int i = 0; i < 4; i++) {
        input("HTTP/1.1 307 There\r\nLocation: /round\r\n\r\n");
        if (i < 3)
            connected("secret");
    }
    assert_string_equal(status()->error, "too many redirects");
    connected("secret"); /* from the beginning again */
    assert_ptr_equal(strstr(request, "GET /a "), request);
    teardown(NULL);
    start("http://127.0.0.1/", NULL, false);
    connected(NULL);
    input("HTTP/1.1 307 There\r\nLocation: http://feed.test/\r\n\r\n");
    assert_string_equal(status()->error, "a redirect to http on another machine is refused: http://feed.test");
}

static void test_a_token_of_etcd_stays_where_it_came_from(void **state)
{
    const char *data;

    (void)state;
    start_with(feed_etcd_new(&(struct feed_etcd_config){"/nodes/", "reader"}), "https://etcd.test/", NULL, false);
    assert_non_null(strstr(connected("secret"), "/v3/auth/authenticate"));
    input("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"token\":\"passed\"}");
    size_t len = feed_session_output(session, &data);

    assert_non_null(memmem(data, len, "Authorization: passed\r\n", 23));
    feed_session_sent(session, len);
    input("HTTP/1.1 307 There\r\nLocation: https://mirror.test/\r\nContent-Length: 0\r\n\r\n");
    connected("secret");
    assert_non_null(strstr(request, "/v3/kv/range"));
    assert_null(strstr(request, "passed"));
    assert_null(strstr(request, "Authorization"));
    ended("cut");
    assert_non_null(strstr(connected("secret"), "Authorization: passed\r\n")); /* at home again */
}

static void test_a_second_snapshot_has_its_time_too(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    connected(NULL);
    input(OK200 BEGIN "{\"snapshot\":\"end\",\"revision\":1}\n");
    now += 3600 * TS_S;
    input(BEGIN);
    for (int i = 0; i < 60 && feed_session_wants(session) == FEED_SESSION_TALK; i++) {
        now += 30 * TS_S;
        feed_session_expire(session, now);
        input("{\"id\":\"a\"}\n");
    }
    assert_string_equal(status()->error, "the snapshot was not whole within 15 minutes");
    assert_int_equal(ops[FEED_OP_PUT], 29);
}

static void test_waits_grow_and_the_next_is_asked(void **state)
{
    ts_t longest = 0;

    (void)state;
    start("https://one.test/", "https://two.test/", false);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(feed_session_wants(session), FEED_SESSION_NOTHING);
        now = feed_session_deadline(session);
        feed_session_expire(session, now);
        assert_string_equal(where(), i % 2 ? "https://two.test/" : "https://one.test/");
        ended("refused");
        ts_t wait = feed_session_deadline(session) - now;

        assert_true(wait <= (TS_S << MIN((i + 1) / 2, 6u)) && wait <= 60 * TS_S);
        longest = ts_max(longest, wait);
    }
    assert_true(longest > 20 * TS_S);
    assert_int_equal(status()->attempts, 40);
    feed_session_retry(session, now);
    assert_int_equal(feed_session_deadline(session), now);
}

static void test_silence_and_drip(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    connected(NULL);
    input(OK200 BEGIN "{\"snapshot\":\"end\",\"revision\":1}\n");
    for (int i = 0; i < 5; i++) { /* heartbeats keep it */
        now += 40 * TS_S;
        feed_session_expire(session, now);
        input("{\"heartbeat\":1}\n");
    }
    assert_int_equal(status()->state, FEED_SOURCE_CONNECTED);
    feed_session_hold(session, true, now); /* not while we are the slow ones */
    now += 1000 * TS_S;
    feed_session_expire(session, now);
    assert_int_equal(feed_session_wants(session), FEED_SESSION_TALK);
    feed_session_hold(session, false, now);
    for (int i = 0; i < 44; i++) { /* bytes that make no line don't */
        now += TS_S;
        feed_session_expire(session, now);
        input("x");
    }
    assert_int_equal(feed_session_wants(session), FEED_SESSION_TALK);
    now += TS_S;
    feed_session_expire(session, now);
    assert_int_equal(feed_session_wants(session), FEED_SESSION_NOTHING);
    assert_string_equal(status()->error, "the server said nothing whole for 45 s");
}

static void test_a_snapshot_that_drips(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    connected(NULL);
    input(OK200 BEGIN);
    for (int i = 0; i < 60 && feed_session_wants(session) == FEED_SESSION_TALK; i++) {
        now += 30 * TS_S;
        feed_session_expire(session, now);
        input("{\"id\":\"a\"}\n");
    }
    assert_string_equal(status()->error, "the snapshot was not whole within 15 minutes");
    assert_int_equal(ops[FEED_OP_ABORT], 1);
}

/* each page is an answer of its own, and all of them are one snapshot */
static void test_pages_without_end(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char body[256], answer[512];
    const char *data;

    (void)state;
    start_with(feed_etcd_new(&(struct feed_etcd_config){"/", ""}), "https://etcd.test/", NULL, false);
    connected(NULL);
    for (int i = 0; i < 60 && feed_session_wants(session) == FEED_SESSION_TALK; i++) {
        now += 29 * TS_S;
        feed_session_expire(session, now);
        snprintf(body, sizeof(body), /* the keys "/\0", "/\1" … */
                 "{\"header\":{\"revision\":\"7\"},\"kvs\":[{\"key\":\"L%c%c=\",\"value\":\"e30=\"}],\"more\":true}", digits[48 + i / 16],
                 digits[4 * (i % 16)]);
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
        input(answer);
        feed_session_sent(session, feed_session_output(session, &data));
    }
    assert_string_equal(status()->error, "the snapshot was not whole within 15 minutes");
    assert_int_equal(ops[FEED_OP_ABORT], 1);
}

static void test_once_more_from_a_snapshot_on(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    connected(NULL);
    input(OK200 BEGIN);
    feed_session_again(session, now); /* one is on its way already */
    assert_int_equal(feed_session_wants(session), FEED_SESSION_TALK);
    input("{\"snapshot\":\"end\",\"revision\":9}\n");
    feed_session_again(session, now);
    input("");
    assert_string_equal(status()->error, "what it told could not all be put in force: asking for a snapshot");
    assert_null(strstr(connected(NULL), "revision="));
    assert_int_equal(ops[FEED_OP_ABORT], 0);
}

static void test_a_token_that_can_not_be_sent(void **state)
{
    (void)state;
    start("https://feed.test/", NULL, false);
    feed_session_expire(session, now);
    feed_session_connected(session, "evil\r\nX: y", now);
    assert_int_equal(feed_session_wants(session), FEED_SESSION_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_request_and_stream, teardown),
        cmocka_unit_test_teardown(test_a_broken_snapshot_is_void, teardown),
        cmocka_unit_test_teardown(test_answers, teardown),
        cmocka_unit_test_teardown(test_an_answer_of_100_is_not_the_answer, teardown),
        cmocka_unit_test_teardown(test_answers_of_100_have_an_end, teardown),
        cmocka_unit_test_teardown(test_redirects, teardown),
        cmocka_unit_test_teardown(test_a_token_of_etcd_stays_where_it_came_from, teardown),
        cmocka_unit_test_teardown(test_a_second_snapshot_has_its_time_too, teardown),
        cmocka_unit_test_teardown(test_waits_grow_and_the_next_is_asked, teardown),
        cmocka_unit_test_teardown(test_silence_and_drip, teardown),
        cmocka_unit_test_teardown(test_a_snapshot_that_drips, teardown),
        cmocka_unit_test_teardown(test_pages_without_end, teardown),
        cmocka_unit_test_teardown(test_once_more_from_a_snapshot_on, teardown),
        cmocka_unit_test_teardown(test_a_token_that_can_not_be_sent, teardown),
    };

    return cmocka_run_group_tests_name("feed_session", tests, NULL, NULL);
}
