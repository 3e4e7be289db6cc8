/* test_hello.c - what ClientHellos of real clients say, every way of cutting a stream into records and segments, and
 * each length in the message made wrong once. */
#include "common/hello/hello.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/hello/alert.h"

/* ---- building hellos ---- */

struct buf {
    uint8_t b[70000];
    size_t len;
};

static void put(struct buf *to, const void *data, size_t len)
{
    assert_true(to->len + len <= sizeof(to->b));
    memcpy(to->b + to->len, data, len);
    to->len += len;
}

static void put_int(struct buf *to, size_t v, int bytes)
{
    while (bytes-- > 0) {
        uint8_t b = (uint8_t)(v >> (8 * bytes));

        put(to, &b, 1);
    }
}

static void put_vector(struct buf *to, const void *data, size_t len, int length_bytes)
{
    put_int(to, len, length_bytes);
    put(to, data, len);
}

static void put_server_name(struct buf *to, const char *name, size_t len)
{
    put_int(to, 0, 2);
    put_int(to, len + 5, 2);
    put_int(to, len + 3, 2);
    put_int(to, 0, 1);
    put_vector(to, name, len, 2);
}

/* the handshake message around a list of extensions; NULL: none */
static void message(struct buf *to, const struct buf *extensions)
{
    static struct buf body;

    body.len = 0;
    put_int(&body, 0x0303, 2);
    put(&body, "0123456789abcdef0123456789abcdef", 32);
    put_vector(&body, "session", 7, 1);
    put_vector(&body, "\x0a\x0a\x13\x01", 4, 2); /* the first one is GREASE */
    put_vector(&body, "\0", 1, 1);
    if (extensions)
        put_vector(&body, extensions->b, extensions->len, 2);
    to->len = 0;
    put_int(to, 1, 1);
    put_vector(to, body.b, body.len, 3);
}

static void records(struct buf *to, const struct buf *msg, size_t record_bytes)
{
    to->len = 0;
    for (size_t at = 0; at < msg->len; at += record_bytes) {
        put_int(to, 22, 1);
        put_int(to, 0x0301, 2);
        put_vector(to, msg->b + at, MIN(record_bytes, msg->len - at), 2);
    }
}

static enum hello_result parse(const struct buf *b, struct hello *out)
{
    uint8_t *exact = malloc(b->len ? b->len : 1);

    assert_non_null(exact);
    memcpy(exact, b->b, b->len);
    enum hello_result r = hello_parse(exact, b->len, HELLO_BYTES_MAX, out);

    free(exact);
    return r;
}

static enum hello_result parse_name(const char *name, size_t len, struct hello *out)
{
    static struct buf ext, msg, stream;

    ext.len = 0;
    put_server_name(&ext, name, len);
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    return parse(&stream, out);
}

/* ---- tests ---- */

static void real_clients(void **state)
{
    (void)state;
    json_t *file = json_load_file(TEST_VECTORS "/client_hello.json", 0, NULL), *c;
    size_t i;

    assert_non_null(file);
    json_array_foreach(json_object_get(file, "cases"), i, c)
    {
        const char *hex = json_string_value(json_object_get(c, "hello"));
        static struct buf stream, msg, cut;
        struct hello h;

        stream.len = 0;
        for (; *hex; hex += 2) {
            char byte[3] = {hex[0], hex[1], 0};

            put_int(&stream, strtoul(byte, NULL, 16), 1);
        }
        msg.len = 0;
        put(&msg, stream.b + 5, stream.len - 5);
        for (size_t record = 1; record < 700; record = record < 20 ? record + 1 : record * 3) {
            records(&cut, &msg, record);
            assert_string_equal(hello_result_name(parse(&cut, &h)),
                                json_string_value(json_object_get(c, "result")));
            assert_string_equal(h.name, json_string_value(json_object_get(c, "server_name")));
            json_t *alpn = json_object_get(c, "alpn");

            assert_int_equal(h.alpn_count, json_array_size(alpn));
            assert_false(h.alpn_truncated);
            for (size_t k = 0; k < h.alpn_count; k++) {
                const char *want = json_string_value(json_array_get(alpn, k));

                assert_int_equal(h.alpn[k].len, strlen(want));
                assert_memory_equal(h.alpn_bytes + h.alpn[k].at, want, strlen(want));
            }
        }
    }
    json_decref(file);
}

/* every prefix asks for more, never for what is already there, and never for more than it takes */
static void prefixes(void **state)
{
    (void)state;
    static struct buf ext, msg, stream, part;
    struct hello h;

    ext.len = 0;
    put_server_name(&ext, "a.example", 9);
    message(&msg, &ext);
    for (size_t record = 1; record <= msg.len; record++) {
        records(&stream, &msg, record);
        for (size_t len = 0; len < stream.len; len++) {
            part.len = 0;
            put(&part, stream.b, len);
            assert_int_equal(parse(&part, &h), HELLO_NEED_MORE);
            assert_in_range(h.need, len + 1, stream.len);
        }
        assert_int_equal(parse(&stream, &h), HELLO_OK);
        put(&stream, "anything", 8);
        assert_int_equal(parse(&stream, &h), HELLO_OK);
        assert_string_equal(h.name, "a.example");
    }
}

/* a dribbling sender of one-byte records can't make us parse often */
static void few_calls(void **state)
{
    (void)state;
    static struct buf ext, msg, stream, part;
    struct hello h;
    int calls = 0;

    ext.len = 0;
    put_server_name(&ext, "a.example", 9);
    put_int(&ext, 21, 2); /* padding, RFC 7685 */
    put_vector(&ext, msg.b, 2500, 2);
    message(&msg, &ext);
    records(&stream, &msg, 1);
    for (size_t len = 0; len <= stream.len; len = h.need, calls++) {
        part.len = 0;
        put(&part, stream.b, len);
        if (parse(&part, &h) != HELLO_NEED_MORE)
            break;
    }
    assert_string_equal(h.name, "a.example");
    assert_in_range(calls, 2, 80);
}

static void not_tls(void **state)
{
    static const char *const first[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\x80\x2e\x01\x03\x01", "\x15\x03\x03",
                                        "\x14\x03\x03", "\x17\x03\x03", "\x16\x02", "\x16\x04", "PROXY TCP4 "};
    struct hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(first); i++)
        for (size_t len = first[i][0] == 0x16 ? 2 : 1; len <= strlen(first[i]); len++)
            assert_int_equal(hello_parse((const uint8_t *)first[i], len, HELLO_BYTES, &h), HELLO_NOT_TLS);
    assert_int_equal(hello_parse((const uint8_t *)"", 0, HELLO_BYTES, &h), HELLO_NEED_MORE);
    assert_int_equal(h.need, 1);
}

static void names(void **state)
{
    static const char label63[] = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg";
    char name[260];
    static const struct {
        const char *sent, *name;
        enum hello_result result;
    } cases[] = {
        {"a", "a", HELLO_OK},
        {"APP.Example.Net.", "app.example.net", HELLO_OK},
        {"_x-y.0", "_x-y.0", HELLO_OK},
        {"1.2.3", "1.2.3", HELLO_OK},
        {"192.0.2.1", "", HELLO_NO_SNI},
        {"192.0.2.1.", "", HELLO_NO_SNI},
        {"2001:db8::1", "", HELLO_NO_SNI},
        {"", "", HELLO_MALFORMED},
        {".", "", HELLO_MALFORMED},
        {"..", "", HELLO_MALFORMED},
        {".a", "", HELLO_MALFORMED},
        {"a..b", "", HELLO_MALFORMED},
        {"a..", "", HELLO_MALFORMED},
        {"a b", "", HELLO_MALFORMED},
        {"*.a", "", HELLO_MALFORMED},
        {"a:443", "", HELLO_MALFORMED},
        {"b\xc3\xbc.example", "", HELLO_MALFORMED},
        {"a\r\nb", "", HELLO_MALFORMED},
    };
    struct hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(parse_name(cases[i].sent, strlen(cases[i].sent), &h), cases[i].result);
        assert_string_equal(h.name, cases[i].name);
        assert_int_equal(h.name_len, strlen(cases[i].name));
    }
    assert_int_equal(parse_name("a\0b", 3, &h), HELLO_MALFORMED);
    assert_int_equal(parse_name(label63, 63, &h), HELLO_OK);
    snprintf(name, sizeof(name), "%sx", label63);
    assert_int_equal(parse_name(name, 64, &h), HELLO_MALFORMED);
    snprintf(name, sizeof(name), "%s.%s.%s.%.61s.", label63, label63, label63, label63);
    assert_int_equal(strlen(name), 254);
    assert_int_equal(parse_name(name, 254, &h), HELLO_OK);
    assert_int_equal(h.name_len, 253);
    name[253] = 'x';
    assert_int_equal(parse_name(name, 254, &h), HELLO_MALFORMED);
}

/* any single length or count byte off by one makes the whole malformed or cut short, never a different name */
static void lengths(void **state)
{
    (void)state;
    static struct buf ext, msg, stream, bent;
    struct hello h;

    ext.len = 0;
    put_server_name(&ext, "a.example", 9);
    put(&ext, "\0\x10\0\x05\0\x03\x02h2", 9);
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_OK);
    size_t session = 5 + 4 + 2 + 32, suites = session + 8, compression = suites + 6, list = compression + 2;
    size_t sni = list + 2, alpn = sni + 4 + 5 + 9;
    const size_t at[] = {7, 8, session, suites, suites + 1, compression, list, list + 1, sni + 2, sni + 3, sni + 4,
                         sni + 5, sni + 7, sni + 8, alpn + 2, alpn + 3, alpn + 4, alpn + 5, alpn + 6};

    for (size_t i = 0; i < ARRAY_SIZE(at); i++)
        for (int by = -1; by <= 1; by += 2) {
            bent = stream;
            bent.b[at[i]] = (uint8_t)(bent.b[at[i]] + by);
            enum hello_result r = parse(&bent, &h);

            if (r != HELLO_MALFORMED && r != HELLO_NEED_MORE && r != HELLO_TOO_LARGE)
                fail_msg("length at %zu by %d: %s", at[i], by, hello_result_name(r));
        }
}

static void shapes(void **state)
{
    (void)state;
    static struct buf ext, msg, stream;
    struct hello h;

    message(&msg, NULL); /* no extensions at all */
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_NO_SNI);
    ext.len = 0;
    message(&msg, &ext); /* none in the list */
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_NO_SNI);

    put_server_name(&ext, "a.example", 9);
    put(&ext, "\x0a\x0a\0\0", 4); /* GREASE */
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_OK);
    put(&ext, "\x0a\x0a\0\0", 4); /* twice: RFC 8446 section 4.2 */
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);

    ext.len = 0; /* two host names in one list */
    put(&ext, "\0\0\0\x0a\0\x08\0\0\x01"
              "a\0\0\x01"
              "b",
        14);
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);
    ext.b[10] = 7; /* the second is of a type to come */
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_OK);
    assert_string_equal(h.name, "a");

    stream.b[5] = 2; /* a ServerHello */
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);
    stream.b[5] = 1;
    stream.b[9] = 2; /* legacy_version 0x0203 */
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);

    records(&stream, &msg, 20); /* an alert, an empty record, a wrong version between the pieces */
    assert_int_equal(parse(&stream, &h), HELLO_OK);
    stream.b[25] = 21;
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);
    stream.b[25] = 22;
    stream.b[26] = 2;
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);
    stream.b[26] = 3;
    stream.b[29] = 0;
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);
    stream.b[28] = 0x40;
    stream.b[29] = 1; /* 16385 */
    assert_int_equal(parse(&stream, &h), HELLO_MALFORMED);
}

static void alpn_bounds(void **state)
{
    (void)state;
    static struct buf ext, list, msg, stream;
    struct hello h;

    list.len = 0;
    for (int i = 0; i < HELLO_ALPN_COUNT + 1; i++)
        put_vector(&list, "h2", 2, 1);
    ext.len = 0;
    put_server_name(&ext, "a.example", 9);
    put_int(&ext, 16, 2);
    put_int(&ext, list.len + 2, 2);
    put_vector(&ext, list.b, list.len, 2);
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_OK);
    assert_int_equal(h.alpn_count, HELLO_ALPN_COUNT);
    assert_true(h.alpn_truncated);

    list.len = 0; /* longer than what is kept */
    put_vector(&list, stream.b, 255, 1);
    ext.len = 0;
    put_int(&ext, 16, 2);
    put_int(&ext, list.len + 2, 2);
    put_vector(&ext, list.b, list.len, 2);
    message(&msg, &ext);
    records(&stream, &msg, 16384);
    assert_int_equal(parse(&stream, &h), HELLO_NO_SNI);
    assert_int_equal(h.alpn_count, 0);
    assert_true(h.alpn_truncated);
}

/* too large comes as soon as the announced length tells, and exactly there */
static void too_large(void **state)
{
    (void)state;
    static struct buf ext, msg, stream;
    struct hello h;

    ext.len = 0;
    put_server_name(&ext, "a.example", 9);
    message(&msg, &ext);
    for (size_t record = 1; record <= msg.len; record += 7) {
        records(&stream, &msg, record);
        assert_int_equal(hello_parse(stream.b, stream.len, stream.len, &h), HELLO_OK);
        assert_int_equal(hello_parse(stream.b, stream.len, stream.len - 1, &h), HELLO_TOO_LARGE);
    }
    static const uint8_t huge[] = {22, 3, 1, 0x40, 0, 1, 0x00, 0x40, 0x00};

    assert_int_equal(hello_parse(huge, 8, HELLO_BYTES, &h), HELLO_NEED_MORE);
    assert_int_equal(hello_parse(huge, 9, HELLO_BYTES, &h), HELLO_TOO_LARGE);
    assert_int_equal(hello_parse(huge, 9, HELLO_BYTES + 14, &h), HELLO_NEED_MORE);
    assert_int_equal(h.need, HELLO_BYTES + 14);
}

static void alert(void **state)
{
    uint8_t out[HELLO_ALERT_BYTES];

    (void)state;
    hello_alert(TLS_ALERT_UNRECOGNIZED_NAME, out);
    assert_memory_equal(out, "\x15\x03\x03\x00\x02\x02\x70", sizeof(out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_clients), cmocka_unit_test(prefixes), cmocka_unit_test(few_calls),
        cmocka_unit_test(not_tls),      cmocka_unit_test(names),    cmocka_unit_test(lengths),
        cmocka_unit_test(shapes),       cmocka_unit_test(alpn_bounds), cmocka_unit_test(too_large),
        cmocka_unit_test(alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
