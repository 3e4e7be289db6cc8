/* The stream of lines, as steps: each grammar case in every cut of its bytes, and the rules of order and revisions. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_dialect.h"
#include "ingress/feed/feed_document.h"

#define BEGIN "{\"snapshot\":\"begin\",\"version\":1}\n"
#define END(n) "{\"snapshot\":\"end\",\"revision\":" #n "}\n"

static char story[4096];

static void tell(const struct feed_op *op)
{
    size_t at = strlen(story);
    char *out = story + at;
    size_t room = sizeof(story) - at;

    switch (op->kind) {
    case FEED_OP_BEGIN:
        snprintf(out, room, "begin ");
        break;
    case FEED_OP_PUT:
        snprintf(out, room, "put %.*s ", (int)op->text_len, op->text);
        break;
    case FEED_OP_REMOVE:
    case FEED_OP_REVOKE:
        snprintf(out, room, "%s %.*s ", op->kind == FEED_OP_REMOVE ? "remove" : "revoke", (int)op->id_len, op->id);
        break;
    case FEED_OP_END:
        snprintf(out, room, "end %" PRIu64 " ", op->revision);
        break;
    case FEED_OP_ABORT:
        snprintf(out, room, "abort ");
        break;
    case FEED_OP_HEARTBEAT:
        snprintf(out, room, "at %" PRIu64 " ", op->revision);
        break;
    }
}

/* hear all of it, in pieces of `piece` bytes, each in a block of its own; the reason when it is bad */
static const char *hear(struct feed_dialect *d, const char *text, size_t piece)
{
    size_t len = strlen(text);

    for (size_t at = 0; at < len; at += piece) {
        size_t n = MIN(piece, len - at), used = 0;
        char *copy = malloc(n);
        struct feed_op op;
        enum feed_heard heard;

        assert_non_null(copy);
        memcpy(copy, text + at, n);
        size_t done = 0;

        while ((heard = d->hear(d, copy + done, n - done, &used, &op)) == FEED_HEARD_OP) {
            done += used;
            tell(&op);
        }
        free(copy);
        if (heard == FEED_HEARD_BAD)
            return d->why;
        assert_int_equal(done + used, n);
    }
    return "";
}

static void ask(struct feed_dialect *d, char *out, size_t cap)
{
    struct http_write w = {.out = out, .cap = cap};
    struct url url;
    const char *body;
    size_t len;

    assert_null(url_parse("https://feed.test/stream?x=1", 28, &url));
    d->ask(d, &url, &w, &body, &len);
    assert_null(body);
    len = http_write_end(&w, NULL, 0);
    assert_true(len > 0);
    out[len] = 0;
}

static void test_grammar(void **state)
{
    static const struct {
        const char *in, *story, *why;
    } cases[] = {
        {BEGIN "{\"id\":\"a\"}\n{\"names\":[],\"id\":\"b\"}\n" END(7), "begin put {\"id\":\"a\"} put {\"names\":[],\"id\":\"b\"} end 7 ", ""},
        {BEGIN "{\"put\":{\"id\":\"a\"}}\n{\"heartbeat\":1}\n\n \r\n" END(0), "begin put {\"id\":\"a\"} end 0 ", ""},
        {BEGIN END(5) "{\"put\":{\"id\":\"x\",\"k\":[1,\"}\"]}}\n{\"remove\":\"a\",\"revision\":6}\n{\"revoke\":\"b\"}\n{\"heartbeat\":9}\n",
         "begin end 5 put {\"id\":\"x\",\"k\":[1,\"}\"]} remove a at 6 revoke b at 9 ", ""},
        {BEGIN END(5) BEGIN END(3), "begin end 5 begin end 3 ", ""}, /* the map judges that */
        {"{ \"snapshot\" : \"begin\" , \"version\" : 1 }\r\n" END(1), "begin end 1 ", ""},
        {"nonsense\n", "", "line 1: is no JSON object"},
        {"[]\n", "", "line 1: is no JSON object"},
        {"{\"id\":\"a\"}\n", "", "line 1: is not a feed's stream: it begins with \"snapshot\" or \"resume\""},
        {"{\"put\":{}}\n", "", "line 1: begins with a change: a stream begins with \"snapshot\" or \"resume\""},
        {"{\"heartbeat\":1}\n", "", "line 1: begins with a heartbeat"},
        {"{\"resume\":4,\"version\":1}\n", "", "line 1: resumes from another revision than it was asked for"},
        {"{\"snapshot\":\"begin\"}\n", "", "line 1: a snapshot begins with {\"snapshot\":\"begin\",\"version\":1}: no other version is known here"},
        {"{\"snapshot\":\"begin\",\"version\":2}\n", "", "line 1: a snapshot begins with {\"snapshot\":\"begin\",\"version\":1}: no other version is known here"},
        {"{\"snapshot\":\"middle\"}\n", "", "line 1: \"snapshot\" is \"begin\" or \"end\""},
        {END(1), "", "line 1: a snapshot ends that has not begun"},
        {BEGIN BEGIN, "begin ", "line 2: a snapshot begins inside another"},
        {BEGIN "{\"snapshot\":\"end\"}\n", "begin ", "line 2: a snapshot ends with {\"snapshot\":\"end\",\"revision\":N}, N from 0 to 2^63-1"},
        {BEGIN END(-1), "begin ", "line 2: a snapshot ends with {\"snapshot\":\"end\",\"revision\":N}, N from 0 to 2^63-1"},
        {BEGIN END(01), "begin ", "line 2: a snapshot ends with {\"snapshot\":\"end\",\"revision\":N}, N from 0 to 2^63-1"},
        {BEGIN END(9223372036854775808), "begin ", "line 2: a snapshot ends with {\"snapshot\":\"end\",\"revision\":N}, N from 0 to 2^63-1"},
        {BEGIN END(9223372036854775807), "begin end 9223372036854775807 ", ""},
        {BEGIN "{\"revoke\":\"a\"}\n" END(5), "begin revoke a end 5 ", ""},
        {BEGIN "{\"remove\":\"a\"}\n", "begin ",
         "line 2: inside a snapshot there are rows and \"revoke\" only, without revisions"},
        {BEGIN "{\"put\":{},\"revision\":3}\n", "begin ",
         "line 2: inside a snapshot there are rows and \"revoke\" only, without revisions"},
        {BEGIN END(5) "{\"id\":\"a\"}\n", "begin end 5 ", "line 3: a row outside of a snapshot: write {\"put\": row}"},
        {BEGIN END(5) "{\"heartbeat\":4}\n", "begin end 5 ", "line 3: goes back in revisions"},
        {BEGIN END(5) "{\"remove\":\"a\",\"revision\":4}\n", "begin end 5 ", "line 3: goes back in revisions"},
        {BEGIN END(5) "{\"remove\":\"a\",\"revision\":\"6\"}\n", "begin end 5 ", "line 3: a revision is a whole number, from 0 to 2^63-1"},
        {BEGIN END(5) "{\"remove\":\"a\",\"because\":1}\n", "begin end 5 ", "line 3: a change has one member, and \"revision\" if there is one"},
        {BEGIN END(5) "{\"remove\":\"\"}\n", "begin end 5 ", "line 3: \"remove\" and \"revoke\" need a node's id"},
        {BEGIN END(5) "{\"revoke\":\"a\\u0062\"}\n", "begin end 5 ", "line 3: \"remove\" and \"revoke\" need a node's id"},
        {BEGIN END(5) "{\"put\":\"x\"}\n", "begin end 5 ", "line 3: \"put\" needs a row: { … }"},
        {BEGIN END(5) "{\"put\":{}\n", "begin end 5 ", "line 3: is no JSON object, or has a member twice"},
        {BEGIN END(5) "{\"put\":{},\"put\":{}}\n", "begin end 5 ", "line 3: is no JSON object, or has a member twice"},
        {BEGIN END(5) "{\"put\":{}}x\n", "begin end 5 ", "line 3: is no JSON object, or has a member twice"},
        {"{\"error\":\"shutting \x1b[2Jdown\"}\n", "", "line 1: is no JSON object, or has a member twice"},
        {"{\"error\":\"going down\"}\n", "", "the server says: \"going down\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t piece = 1; piece < 400; piece += piece < 8 ? 1 : 97) {
            struct feed_dialect *d = feed_lines_new();

            assert_non_null(d);
            story[0] = 0;
            assert_string_equal(hear(d, cases[i].in, piece), cases[i].why);
            assert_string_equal(story, cases[i].story);
            d->free(d);
        }
}

static void test_resume(void **state)
{
    struct feed_dialect *d = feed_lines_new();
    char request[1024];

    (void)state;
    story[0] = 0;
    ask(d, request, sizeof(request));
    assert_ptr_equal(strstr(request, "GET /stream?x=1 HTTP/1.1\r\n"), request);
    assert_string_equal(hear(d, BEGIN "{\"id\":\"a\"}\n", 9), "");
    assert_false(d->current);
    assert_true(d->lost(d, 0)); /* inside a snapshot */
    assert_string_equal(hear(d, BEGIN END(40) "{\"remove\":\"a\",\"revision\":41}\n", 9), "");
    assert_true(d->current);
    assert_false(d->lost(d, 0));
    assert_false(d->current);
    ask(d, request, sizeof(request));
    assert_ptr_equal(strstr(request, "GET /stream?x=1&revision=41 HTTP/1.1\r\n"), request);
    assert_string_equal(hear(d, "{\"resume\":41,\"version\":1}\n{\"put\":{},\"revision\":42}\n", 9), "");
    assert_true(d->current);
    assert_string_equal(story, "begin put {\"id\":\"a\"} begin end 40 remove a at 41 at 41 put {} at 42 ");
    assert_string_equal(hear(d, "{\"heartbeat\":41}\n", 9), "line 3: goes back in revisions");
    assert_false(d->lost(d, 0));
    ask(d, request, sizeof(request)); /* nothing to resume from any more */
    assert_null(strstr(request, "revision="));
    d->free(d);
}

static void test_a_line_that_never_ends(void **state)
{
    struct feed_dialect *d = feed_lines_new();
    static char text[70000];
    struct feed_op op;
    size_t used, total = 0;

    (void)state;
    memset(text, ' ', sizeof(text));
    text[0] = '{';
    enum feed_heard heard;

    while ((heard = d->hear(d, text, sizeof(text), &used, &op)) == FEED_HEARD_ALL)
        total += used;
    assert_int_equal(heard, FEED_HEARD_BAD);
    assert_string_equal(d->why, "line 1: is longer than 1 MiB");
    assert_true(total <= FEED_LINE_BYTES_MAX);
    d->free(d);
}

/* the sample of conf/: a stream of which every row is one that the map takes */
static void test_sample(void **state)
{
    static char text[8192];
    FILE *f = fopen(TEST_VECTORS "/../../conf/feed-stream.jsonl", "r");
    struct feed_dialect *d = feed_lines_new();
    json_error_t error;

    (void)state;
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    story[0] = 0;
    assert_string_equal(hear(d, text, 100), "");
    assert_non_null(strstr(story, "end 41 put "));
    assert_non_null(strstr(story, " at 42 remove office at 43 revoke shed at 44 at 44 "));
    assert_true(d->current);
    d->free(d);
    json_t *schema = json_load_file(TEST_VECTORS "/../../conf/feed-stream.schema.json", JSON_REJECT_DUPLICATES, &error);

    assert_non_null(schema);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) { /* each line's first word is in the schema */
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        const char *word = json_object_iter_key(json_object_iter(object));
        size_t i;
        json_t *one;
        bool found = strcmp(word, "id") == 0;

        json_array_foreach(json_object_get(schema, "oneOf"), i, one)
            found = found || json_object_get(json_object_get(one, "properties"), word);
        assert_true(found);
        json_decref(object);
    }
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_a_line_that_never_ends),
        cmocka_unit_test(test_sample),
    };

    return cmocka_run_group_tests_name("feed_lines", tests, NULL, NULL);
}
