/* test_feed_etcd.c - etcd's answers that must not count: what goes back, and what is another cluster's. What the dialect makes of
 * sound and of mutilated answers is for sim/sim_feed_etcd.c. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_dialect.h"

#define HEADER(cluster, revision) "\"header\":{\"cluster_id\":\"" #cluster "\",\"revision\":\"" #revision "\"}"
#define KV(key, revision)         "{\"key\":\"" key "\",\"value\":\"e30=\",\"mod_revision\":\"" #revision "\"}"
#define A                         "L24vYQ==" /* "/n/a" */
#define B                         "L24vYg=="
#define FIRST(cluster, revision)  "{" HEADER(cluster, revision) ",\"kvs\":[" KV(A, 1) "],\"more\":true}"
#define LAST(cluster, revision)   "{" HEADER(cluster, revision) ",\"kvs\":[" KV(B, 2) "]}"
#define CREATED(cluster, revision) "{\"result\":{" HEADER(cluster, revision) ",\"created\":true}}"
#define EVENT(cluster, revision, at)                                                                                   \
    "{\"result\":{" HEADER(cluster, revision) ",\"events\":[{\"kv\":" KV(A, at) "}]}}"

static char story[512];

static void tell(const struct feed_op *op)
{
    static const char *const names[] = {[FEED_OP_BEGIN] = "begin", [FEED_OP_PUT] = "put",     [FEED_OP_REMOVE] = "remove",
                                        [FEED_OP_REVOKE] = "revoke", [FEED_OP_END] = "end",   [FEED_OP_ABORT] = "abort",
                                        [FEED_OP_HEARTBEAT] = "at"};
    size_t at = strlen(story);
    int n = snprintf(story + at, sizeof(story) - at, "%s ", names[op->kind]);

    if (op->kind == FEED_OP_PUT)
        snprintf(story + at + n, sizeof(story) - at - (size_t)n, "%.*s ", (int)op->id_len, op->id);
    else if (op->kind != FEED_OP_BEGIN)
        snprintf(story + at + n, sizeof(story) - at - (size_t)n, "%" PRIu64 " ", op->revision);
}

static bool is_watch(const char *answer)
{
    return strncmp(answer, "{\"result\"", 9) == 0;
}

/* the answers of one connection, each to a question of its own, but what follows a watch's beginning; the reason when it is bad */
static const char *hear(struct feed_dialect *d, const char *const answers[])
{
    enum feed_heard heard = FEED_HEARD_ALL;

    for (size_t i = 0; answers[i] && heard != FEED_HEARD_BAD; i++) {
        char out[4096], line[1024];
        struct http_write w = {.out = out, .cap = sizeof(out)};
        struct url url = {.target = "/", .host = "e"};
        size_t len = (size_t)snprintf(line, sizeof(line), "%s%s", answers[i], is_watch(answers[i]) ? "\n" : ""), used;
        const char *body;
        struct feed_op op;

        if (i == 0 || !is_watch(answers[i - 1])) {
            size_t asked;

            d->ask(d, &url, &w, &body, &asked);
            assert_true(http_write_end(&w, body, asked) > 0);
        }
        for (size_t done = 0; (heard = d->hear(d, line + done, len - done, &used, &op)) == FEED_HEARD_OP; done += used)
            tell(&op);
        while (!is_watch(answers[i]) && heard != FEED_HEARD_BAD && (heard = d->end(d, &op)) == FEED_HEARD_OP)
            tell(&op);
    }
    return heard == FEED_HEARD_BAD ? d->why : "";
}

static void test_answers(void **state)
{
    static const struct {
        const char *answers[5];
        const char *told, *why;
        struct feed_point left; /* where the next connection goes on */
    } cases[] = {
        {{FIRST(7, 10), LAST(7, 12), CREATED(7, 12), EVENT(7, 14, 13)},
         "begin put a put b end 10 at 10 put a at 13 ", "", {13, 7}},
        {{FIRST(7, 10), LAST(8, 12)}, "begin put a ", "pages of two clusters", {0, 0}},
        {{FIRST(7, 10), LAST(7, 12), CREATED(7, 9)}, "begin put a put b end 10 ",
         "goes back in revisions: a member that lags, or an older copy", {10, 7}},
        {{FIRST(7, 10), LAST(7, 12), CREATED(7, 12), EVENT(7, 14, 8)}, "begin put a put b end 10 at 10 ",
         "events that go back in revisions", {10, 7}},
        {{FIRST(7, 10), LAST(7, 12), CREATED(8, 12)}, "begin put a put b end 10 ",
         "this is another cluster; a snapshot follows", {0, 7}},
        {{FIRST(7, 10), FIRST(7, 12)}, "begin put a ", "pages that do not go on", {0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct feed_dialect *d = feed_etcd_new(&(struct feed_etcd_config){.prefix = "/n/", .username = ""});
        char why[FEED_WHY] = "";

        assert_non_null(d);
        story[0] = 0;
        if (*cases[i].why)
            snprintf(why, sizeof(why), "etcd: %s", cases[i].why);
        assert_string_equal(hear(d, cases[i].answers), why);
        assert_string_equal(story, cases[i].told);
        assert_int_equal(d->point.revision, cases[i].left.revision);
        assert_int_equal(d->point.origin, cases[i].left.origin);
        d->free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
