/* test_peerapi.c - against what an unmodified node was seen to say (vectors/peerapi_ingress.json): our request is one
 * it accepts, we read its answers, and our own node side answers the same requests the same way. */
#include "common/peerapi/peerapi.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"

static struct addrport ap(const char *text)
{
    struct addrport out;

    assert_true(addrport_parse(text, strlen(text), &out));
    return out;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    assert_non_null(text);
    return text;
}

static json_t *vectors(void)
{
    json_t *file = json_load_file(TEST_VECTORS "/peerapi_ingress.json", 0, NULL);

    assert_non_null(file);
    return file;
}

static json_t *case_named(json_t *file, const char *name)
{
    json_t *c;
    size_t i;

    json_array_foreach(json_object_get(file, "cases"), i, c) if (strcmp(text_of(c, "name"), name) == 0) return c;
    fail_msg("no case %s", name);
    return NULL;
}

static enum peerapi_verdict answer(struct peerapi_answer *a, const char *text, size_t piece, size_t *used)
{
    enum peerapi_verdict v = PEERAPI_NEED_MORE;
    size_t len = strlen(text), n;

    peerapi_answer_init(a);
    for (*used = 0; *used < len && v == PEERAPI_NEED_MORE; *used += n) {
        v = peerapi_answer_feed(a, text + *used, MIN(piece, len - *used), &n);
        assert_true(v != PEERAPI_NEED_MORE || n > 0);
    }
    assert_int_equal(a->bytes, *used);
    return v;
}

/* ---- the ingress's side ---- */

static void request(void **state)
{
    struct addrport v4 = ap("203.0.113.5:40000"), v6 = ap("[2001:db8::5]:40000");
    char out[PEERAPI_REQUEST_BYTES], name[PEERAPI_NAME_MAX + 1];
    json_t *file = vectors();
    const char *want = text_of(case_named(file, "good, Host: peer"), "request");
    size_t n = peerapi_request_write(out, sizeof(out), &v4, "WEB.tail-scale.ts.net", 21, 443);

    (void)state;
    assert_int_equal(n, strlen(want));
    assert_string_equal(out, want);
    for (size_t cap = 0; cap <= n; cap++)
        assert_int_equal(peerapi_request_write(out, cap, &v4, "web.tail-scale.ts.net", 21, 443), 0);
    assert_true(peerapi_request_write(out, sizeof(out), &v6, "a", 1, 1) > 0);
    assert_non_null(strstr(out, "Tailscale-Ingress-Src: [2001:db8::5]:40000\r\n"));
    memset(name, 'n', sizeof(name));
    v6 = ap("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    assert_true(peerapi_request_write(out, sizeof(out), &v6, name, PEERAPI_NAME_MAX, 65535) > 0);
    assert_int_equal(peerapi_request_write(out, sizeof(out), &v6, name, PEERAPI_NAME_MAX + 1, 1), 0);
    assert_int_equal(peerapi_request_write(out, sizeof(out), &v6, name, 0, 1), 0);
    assert_int_equal(peerapi_request_write(out, sizeof(out), &v4, "a\r\nX: y", 7, 1), 0);
    assert_int_equal(peerapi_request_write(out, sizeof(out), &v4, "a:1", 3, 1), 0);
    json_decref(file);
}

static void stock_answers(void **state)
{
    json_t *file = vectors(), *c;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(file, "cases"), i, c)
    {
        const char *head = text_of(c, "answer_head"), *body = text_of(c, "answer_body");
        char text[1024];
        enum peerapi_verdict want = strncmp(head, "HTTP/1.1 101", 12) == 0              ? PEERAPI_ACCEPTED
                                    : strcmp(body, "denied; no ingress cap\n") == 0 ? PEERAPI_NO_CAP
                                    : strcmp(body, "denied\n") == 0                 ? PEERAPI_DENIED
                                                                                    : PEERAPI_REFUSED;

        snprintf(text, sizeof(text), "%s%s", head, body);
        for (size_t piece = 1; piece <= strlen(text); piece++) {
            struct peerapi_answer a;
            size_t used;

            assert_int_equal(answer(&a, text, piece, &used), want);
            assert_int_equal(used, strlen(text));
            assert_int_equal(a.status, strtoul(head + 9, NULL, 10));
            assert_false(a.half_close_propagate);
            assert_true(a.keep_alive);
            if (want != PEERAPI_ACCEPTED) {
                assert_int_equal(a.reason_len, strlen(body) - 1);
                assert_memory_equal(a.reason, body, a.reason_len);
            }
        }
    }
    json_decref(file);
}

static void other_answers(void **state)
{
    static const struct {
        const char *text;
        enum peerapi_verdict fed, ended;
        size_t used;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 101 S\r\n\r\nHTTP/1.1 403", PEERAPI_ACCEPTED, PEERAPI_ACCEPTED, 18, false},
        {"HTTP/1.1 403 F\r\nContent-Length: 6\r\n\r\ndenied", PEERAPI_DENIED, PEERAPI_DENIED, 43, true},
        {"HTTP/1.1 404 F\r\nContent-Length: 6\r\n\r\ndenied", PEERAPI_REFUSED, PEERAPI_REFUSED, 43, true},
        {"HTTP/1.1 403 F\r\nContent-Length: 6\r\n\r\ndeniedX", PEERAPI_DENIED, PEERAPI_DENIED, 43, false},
        {"HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndenied\r\n0\r\n\r\n", PEERAPI_DENIED, PEERAPI_DENIED,
         62, true},
        {"HTTP/1.1 403 F\r\n\r\ndenied\n", PEERAPI_NEED_MORE, PEERAPI_DENIED, 25, false},
        {"HTTP/1.1 403 F\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", PEERAPI_REFUSED, PEERAPI_REFUSED, 56,
         false},
        {"HTTP/1.1 500 F\r\nContent-Length: 0\r\n\r\n", PEERAPI_REFUSED, PEERAPI_REFUSED, 37, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PEERAPI_PROTOCOL, PEERAPI_PROTOCOL, 38, false},
        {"HTTP/1.1 100 Continue\r\n\r\n", PEERAPI_PROTOCOL, PEERAPI_PROTOCOL, 25, false},
        {"HTTP/1.1 403 F\r\nContent-Length: 6\r\n\r\nden", PEERAPI_NEED_MORE, PEERAPI_PROTOCOL, 40, false},
        {"HTTP/1.1 403", PEERAPI_NEED_MORE, PEERAPI_PROTOCOL, 12, false},
        {"", PEERAPI_NEED_MORE, PEERAPI_PROTOCOL, 0, false},
        {"SSH-2.0\r\n", PEERAPI_PROTOCOL, PEERAPI_PROTOCOL, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peerapi_answer a;
        size_t used;

        if (answer(&a, cases[i].text, 1000, &used) != cases[i].fed || used != cases[i].used)
            fail_msg("case %zu: %s, used %zu", i, peerapi_verdict_name(a.verdict), used);
        if (cases[i].fed != PEERAPI_ACCEPTED && cases[i].fed != PEERAPI_NEED_MORE)
            assert_int_equal(a.keep_alive, cases[i].keep_alive);
        assert_int_equal(peerapi_answer_end(&a), cases[i].ended);
        assert_false(a.keep_alive);
    }
}

static void half_close(void **state)
{
    char out[PEERAPI_REPLY_BYTES];
    struct peerapi_answer a;
    size_t used;

    (void)state;
    size_t n = peerapi_accept_write(out, sizeof(out), true);

    assert_int_equal(n, strlen(out));
    assert_int_equal(answer(&a, out, 1, &used), PEERAPI_ACCEPTED);
    assert_true(a.half_close_propagate);
    assert_int_equal(peerapi_accept_write(out, sizeof(out), false), 36);
    assert_string_equal(out, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_int_equal(peerapi_accept_write(out, 36, false), 0);
    assert_int_equal(answer(&a, "HTTP/1.1 101 S\r\nfunnel-half-close: Propagate\r\n\r\n", 1, &used), PEERAPI_ACCEPTED);
    assert_true(a.half_close_propagate);
    assert_int_equal(answer(&a, "HTTP/1.1 101 S\r\nFunnel-Half-Close: hold\r\n\r\n", 1, &used), PEERAPI_ACCEPTED);
    assert_false(a.half_close_propagate);
}

static void answer_too_large(void **state)
{
    char text[PEERAPI_ANSWER_MAX + 2];
    struct peerapi_answer a;
    size_t used;

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "HTTP/1.1 403 F\r\nContent-Length: 5000\r\n\r\n", 40);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(answer(&a, text, 100, &used), PEERAPI_PROTOCOL);
    assert_int_equal(used, PEERAPI_ANSWER_MAX);
    assert_int_equal(a.status, 403);
    assert_int_equal(a.reason_len, PEERAPI_REASON_MAX);
    memset(text + 14, 'x', 100);
    assert_int_equal(answer(&a, text, 100, &used), PEERAPI_PROTOCOL);
    assert_int_equal(a.status, 0);
}

/* ---- the node's side ---- */

static struct addr own[2];

static int own_addresses(void **state)
{
    (void)state;
    own[0] = ap("100.64.0.1:0").addr;
    own[1] = ap("[fd7a:115c:a1e0::1]:0").addr;
    return 0;
}

static enum peerapi_offer_result offer(struct peerapi_offer *o, const char *text, size_t piece, bool may_offer,
                                       size_t *used)
{
    enum peerapi_offer_result result = PEERAPI_OFFER_NEED_MORE;
    size_t len = strlen(text), n;

    peerapi_offer_init(o, own, ARRAY_SIZE(own), may_offer);
    for (*used = 0; *used < len && result == PEERAPI_OFFER_NEED_MORE; *used += n)
        result = peerapi_offer_feed(o, text + *used, MIN(piece, len - *used), &n);
    return result;
}

/* the same requests get the same status and body as from a stock node */
static void stock_requests(void **state)
{
    json_t *file = vectors(), *c;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(file, "cases"), i, c)
    {
        const char *sent = text_of(c, "request"), *want_head = text_of(c, "answer_head");
        const char *want_body = text_of(c, "answer_body"), *port = strstr(sent, "PEERAPIPORT");
        bool may_offer = strcmp(want_body, "denied; no ingress cap\n") != 0;
        char text[1024], reply[PEERAPI_REPLY_BYTES];

        snprintf(text, sizeof(text), "%.*s%s%s", (int)(port ? port - sent : 0), sent, port ? "41112" : "",
                 port ? port + 11 : sent);
        for (size_t piece = 1; piece <= strlen(text); piece++) {
            struct peerapi_offer o;
            size_t used;
            enum peerapi_offer_result r = offer(&o, text, piece, may_offer, &used);

            assert_int_equal(used, strlen(text));
            if (r == PEERAPI_OFFER_OK) { /* whether the target is allowed is left to the caller */
                assert_true(strncmp(want_head, "HTTP/1.1 101", 12) == 0 || strcmp(want_body, "denied\n") == 0);
                assert_true(o.port == 443 || o.port == 8443);
                assert_int_equal(strcmp(o.name, "web.tail-scale.ts.net") == 0,
                                 !strstr(text_of(c, "name"), "another case"));
                assert_false(o.early_data);
                continue;
            }
            assert_int_equal(r, PEERAPI_OFFER_REFUSE);
            assert_true(o.keep_alive);
            size_t n = peerapi_refuse_write(reply, sizeof(reply), o.refusal, true);
            const char *body = strstr(reply, "\r\n\r\n");

            assert_true(n > 0 && body);
            assert_int_equal(strncmp(reply, want_head, 15), 0);
            assert_string_equal(body + 4, want_body);
        }
    }
    json_decref(file);
}

#define SRC    "Tailscale-Ingress-Src: 192.0.2.1:5\r\n"
#define TARGET "Tailscale-Ingress-Target: a.example:443\r\n"
#define OK     -1

static void requests(void **state)
{
    static const struct {
        const char *text;
        int refusal; /* OK, or which */
        bool keep_alive;
    } cases[] = {
        {"POST /v0/ingress HTTP/1.1\r\nhost: peer\r\n" SRC TARGET "\r\n", OK, true},
        {"POST /v0/ingress?x=y HTTP/1.1\r\nHost: peer\r\n" SRC TARGET "\r\n", OK, true},
        {"POST /v0/ingress HTTP/1.0\r\nHost: peer\r\n" SRC TARGET "\r\n", OK, false},
        {"POST http://peer/v0/ingress HTTP/1.1\r\nHost: other\r\n" SRC TARGET "\r\n", OK, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: [fd7a:115c:a1e0::1]:9\r\n" SRC TARGET "\r\n", OK, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nContent-Length: 5\r\n" SRC TARGET "\r\n", OK, false},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nConnection: upgrade\r\nUpgrade: x\r\n" SRC TARGET "\r\n", OK,
         true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nTransfer-Encoding: chunked\r\n" SRC TARGET "\r\n", OK, false},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nOrigin:\r\n" SRC TARGET "\r\n", OK, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: 100.64.0.1\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_REQUEST, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: 100.64.0.2:1\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_REQUEST, true},
        {"POST http://other/v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_REQUEST, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nReferer: x\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_REQUEST, true},
        {"POST /v0/ingress HTTP/1.0\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_REQUEST, false},
        {"POST /v0/ingress HTTP/1.1\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_HOST_MISSING, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nHost: peer\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_MALFORMED, true},
        {"GET /v0/ingress/ HTTP/1.1\r\nHost: peer\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_PATH, true},
        {"HEAD /v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC TARGET "\r\n", PEERAPI_REFUSE_METHOD, true},
        {"PUT /v0/ingress HTTP/1.1\r\nHost: peer\r\nContent-Length: 5\r\n\r\n", PEERAPI_REFUSE_METHOD, false},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\n" TARGET "\r\n", PEERAPI_REFUSE_SRC_MISSING, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC SRC TARGET "\r\n", PEERAPI_REFUSE_SRC_INVALID, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nTailscale-Ingress-Src: a.example:1\r\n" TARGET "\r\n",
         PEERAPI_REFUSE_SRC_INVALID, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC "Tailscale-Ingress-Target:\r\n\r\n",
         PEERAPI_REFUSE_TARGET_MISSING, true},
        {"POST /v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC TARGET TARGET "\r\n", PEERAPI_REFUSE_TARGET_INVALID, true},
        {"GARBAGE\r\n\r\n", PEERAPI_REFUSE_MALFORMED, false},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PEERAPI_REFUSE_MALFORMED, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peerapi_offer o;
        size_t used;
        enum peerapi_offer_result r = offer(&o, cases[i].text, 1000, true, &used);

        if (r == PEERAPI_OFFER_OK ? cases[i].refusal != OK : cases[i].refusal != (int)o.refusal)
            fail_msg("case %zu: result %d, refusal %d", i, (int)r, (int)o.refusal);
        if (o.keep_alive != cases[i].keep_alive)
            fail_msg("case %zu: keep_alive %d", i, o.keep_alive);
    }
}

static void targets(void **state)
{
    static const struct {
        const char *target, *name;
        int refusal;
    } cases[] = {
        {"a.example:1", "a.example", OK},
        {"A.example.:65535", "A.example.", OK},
        {"a.example", "", PEERAPI_REFUSE_TARGET_INVALID},
        {"a:b:443", "", PEERAPI_REFUSE_TARGET_INVALID},
        {"[::1:443", "", PEERAPI_REFUSE_TARGET_INVALID},
        {"[:1", "", PEERAPI_REFUSE_TARGET_INVALID},
        {"a]:443", "", PEERAPI_REFUSE_TARGET_INVALID},
        {"[::1]:443", "", PEERAPI_REFUSE_DENIED},
        {"[]:443", "", PEERAPI_REFUSE_DENIED},
        {":443", "", PEERAPI_REFUSE_DENIED},
        {"a:", "", PEERAPI_REFUSE_DENIED},
        {"a:0", "", PEERAPI_REFUSE_DENIED},
        {"a:65536", "", PEERAPI_REFUSE_DENIED},
        {"a:https", "", PEERAPI_REFUSE_DENIED},
        {"a:4430000", "", PEERAPI_REFUSE_DENIED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[512];
        struct peerapi_offer o;
        size_t used;

        snprintf(text, sizeof(text),
                 "POST /v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC "Tailscale-Ingress-Target: %s\r\n\r\n",
                 cases[i].target);
        enum peerapi_offer_result r = offer(&o, text, 1000, true, &used);

        if (r == PEERAPI_OFFER_OK ? cases[i].refusal != OK : cases[i].refusal != (int)o.refusal)
            fail_msg("%s: result %d, refusal %d", cases[i].target, (int)r, (int)o.refusal);
        if (r == PEERAPI_OFFER_OK)
            assert_string_equal(o.name, cases[i].name);
    }
}

static void early_data(void **state)
{
    static const char text[] = "POST /v0/ingress HTTP/1.1\r\nHost: peer\r\n" SRC TARGET "\r\n\x16\x03";
    struct peerapi_offer o;
    size_t used;

    (void)state;
    assert_int_equal(offer(&o, text, 1000, true, &used), PEERAPI_OFFER_OK);
    assert_int_equal(used, strlen(text) - 2);
    assert_true(o.early_data && !o.keep_alive);
}

static void refusals(void **state)
{
    (void)state;
    for (int i = 0; i < PEERAPI_REFUSAL_COUNT; i++)
        for (int keep = 0; keep < 2; keep++) {
            char out[PEERAPI_REPLY_BYTES];
            struct peerapi_answer a;
            size_t used, n = peerapi_refuse_write(out, sizeof(out), (enum peerapi_refusal)i, keep);

            assert_true(n > 0 && n == strlen(out));
            assert_int_equal(peerapi_refuse_write(out, n, (enum peerapi_refusal)i, keep), 0);
            n = peerapi_refuse_write(out, sizeof(out), (enum peerapi_refusal)i, keep);
            enum peerapi_verdict v = answer(&a, out, 1, &used);

            assert_int_equal(v, i == PEERAPI_REFUSE_NO_CAP   ? PEERAPI_NO_CAP
                                : i == PEERAPI_REFUSE_DENIED ? PEERAPI_DENIED
                                                             : PEERAPI_REFUSED);
            assert_int_equal(used, n);
            bool closes = i == PEERAPI_REFUSE_HOST_MISSING || i == PEERAPI_REFUSE_MALFORMED ||
                          i == PEERAPI_REFUSE_TOO_LARGE;

            assert_int_equal(a.keep_alive, keep && !closes);
        }
}

static void request_too_large(void **state)
{
    static char text[PEERAPI_OFFER_MAX + 2];
    struct peerapi_offer o;
    size_t used;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "POST /v0/ingress HTTP/1.1\r\nX: ", 30);
    assert_int_equal(offer(&o, text, 1000, true, &used), PEERAPI_OFFER_REFUSE);
    assert_int_equal(o.refusal, PEERAPI_REFUSE_TOO_LARGE);
    assert_false(o.keep_alive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request),        cmocka_unit_test(stock_answers), cmocka_unit_test(other_answers),
        cmocka_unit_test(half_close),     cmocka_unit_test(answer_too_large),
        cmocka_unit_test(stock_requests), cmocka_unit_test(requests),      cmocka_unit_test(targets),
        cmocka_unit_test(early_data),     cmocka_unit_test(refusals),      cmocka_unit_test(request_too_large),
    };

    return cmocka_run_group_tests(tests, own_addresses, NULL);
}
