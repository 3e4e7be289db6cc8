/* test_feed_document.c - feeds as text: what they mean, and the exact words for what is wrong with them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "ingress/feed/feed_document.h"
#include "ingress/feed/feed_file.h"

#define KEY_A "cj3iszAi1y0Q3l1XdVqSgjGu0bEHkGxMaZ0fXhN0uwE="
#define KEY_B "nodekey:723de2b33022d72d10de5d57755a928231aed1b107906c4c699d1f5e1374bb02"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* The least a row may say, with room for more. */
#define ROW_WITH(id, key, more)                                                                                        \
    "{\"id\":\"" id "\",\"names\":[\"" id ".net\"],\"key\":\"" key "\",\"peerapi6\":41112,\"ports\":[443],"            \
    "\"funnel\":{\"admin\":true,\"node\":\"ask\"}" more "}"
#define ROW(id, key)    ROW_WITH(id, key, "")
#define DOCUMENT(nodes) "{\"version\":1,\"nodes\":[" nodes "]}"

static const struct map_seed seed = {1, 2};
static struct config_errors errors;

static struct route_table *parse(const char *text)
{
    size_t len = strlen(text);
    char *exact = malloc(len ? len : 1); /* without a zero, so that reading past the end is seen */
    struct route_table *t;

    assert_non_null(exact);
    memcpy(exact, text, len);
    config_errors_init(&errors);
    int err = feed_document_parse("f.json", exact, len, &seed, &errors, &t);

    free(exact);
    assert_int_equal(err == 0, t != NULL);
    assert_int_equal(err == 0, errors.count == 0);
    return t;
}

static struct route_table *parse_good(const char *text)
{
    struct route_table *t = parse(text);

    if (!t)
        config_errors_print(&errors, stderr);
    assert_non_null(t);
    return t;
}

/* Exactly this one line. */
static void expect_error(const char *text, const char *line)
{
    struct route_table *t = parse(text);

    assert_null(t);
    assert_string_equal(errors.line[0], line);
    assert_int_equal(errors.count, 1);
}

static void least_row(void **state)
{
    (void)state;
    struct route_table *t = parse_good(DOCUMENT(ROW("a", KEY_A)));
    const struct route_node *n = route_node_by_id(t, "a", 1);

    assert_non_null(n);
    assert_string_equal(n->tailnet, "");
    assert_int_equal(n->names_count, 1);
    assert_string_equal(n->names[0].name, "a.net");
    assert_null(n->names[0].target);
    assert_int_equal(n->addresses_count, 1); /* the derived one */
    assert_int_equal(n->addresses[0].b[0], 0xfd);
    assert_int_equal(n->endpoints_count, 0);
    assert_int_equal(n->peerapi4, 0);
    assert_int_equal(n->peerapi6, 41112);
    assert_int_equal(n->mtu, 1280);
    assert_true(n->admin);
    assert_int_equal(n->consent, ROUTE_CONSENT_ASK);
    assert_false(n->keepalive);
    assert_null(n->preshared_key);
    assert_int_equal(n->transport, ROUTE_PEERAPI);
    assert_int_equal(n->proxy_protocol, ROUTE_PROXY_OFF);
    assert_int_equal(n->half_close, ROUTE_HALF_CLOSE_DEFAULT);
    assert_int_equal(n->connections_max, 0);
    assert_int_equal(n->expires, 0);
    route_table_free(t);
}

/* Every key there is; compared with the JSON Schema below. */
static const char full_row[] =
    "{\"id\":\"full\",\"tailnet\":\"home\",\"names\":[\"A.Example.NET.\",\"*.b.example\","
    "{\"name\":\"www.example.org\",\"target\":\"Web.tail1234.ts.net:8443\"}],\"key\":\"" KEY_B "\","
    "\"preshared_key\":\"" KEY_A "\",\"addresses\":[\"100.64.0.1\",\"fd00::1\"],\"peerapi4\":1,\"peerapi6\":2,"
    "\"endpoints\":[\"203.0.113.9:41641\",\"[2001:db8::9]:41641\"],\"ports\":[443,8443],"
    "\"funnel\":{\"admin\":true,\"node\":false},\"expires\":\"2030-01-01T00:00:00Z\",\"mtu\":1420,\"keepalive\":true,"
    "\"transport\":\"tcp\",\"proxy_protocol\":\"v2\",\"half_close\":\"propagate\",\"limits\":{\"connections\":7}}";

static void full_row_is_read(void **state)
{
    (void)state;
    struct route_table *t = parse_good(full_row); /* one line: the lines form */
    const struct route_node *n = route_table_at(t, 0);

    assert_string_equal(n->tailnet, "home");
    assert_int_equal(n->names_count, 3);
    assert_string_equal(n->names[0].name, "a.example.net");
    assert_string_equal(n->names[1].name, "*.b.example");
    assert_string_equal(n->names[2].name, "www.example.org");
    assert_string_equal(n->names[2].target, "web.tail1234.ts.net");
    assert_int_equal(n->names[2].target_port, 8443);
    assert_int_equal(n->key[0], 0x72);
    assert_non_null(n->preshared_key);
    assert_int_equal(n->addresses_count, 2);
    assert_true(addr_is_v4(&n->addresses[0]));
    assert_int_equal(n->peerapi4, 1);
    assert_int_equal(n->peerapi6, 2);
    assert_int_equal(n->endpoints_count, 2);
    assert_int_equal(n->endpoints[1].port, 41641);
    assert_int_equal(n->ports_count, 2);
    assert_int_equal(n->consent, ROUTE_CONSENT_NO);
    assert_int_equal(n->expires, 1893456000);
    assert_int_equal(n->mtu, 1420);
    assert_true(n->keepalive);
    assert_int_equal(n->transport, ROUTE_TCP);
    assert_int_equal(n->proxy_protocol, ROUTE_PROXY_V2);
    assert_int_equal(n->half_close, ROUTE_HALF_CLOSE_PROPAGATE);
    assert_int_equal(n->connections_max, 7);
    route_table_free(t);
}

static void forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t nodes;
    } cases[] = {
        {DOCUMENT(""), 0},
        {" \n" DOCUMENT("") "\n\n", 0},
        {"{\n\"$schema\":\"feed.schema.json\",\n\"version\":1,\n\"nodes\":\n[]}", 0},
        {DOCUMENT(ROW("a", KEY_A) "," ROW("b", KEY_B)), 2},
        {ROW("a", KEY_A), 1},
        {ROW("a", KEY_A) "\n", 1},
        {ROW("a", KEY_A) "\r\n" ROW("b", KEY_B) "\r\n", 2},
        {"\n  \n" ROW("a", KEY_A) "\n\n \t\n" ROW("b", KEY_B) "\n\n", 2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct route_table *t = parse_good(cases[i].text);

        assert_int_equal(route_node_count(t), cases[i].nodes);
        route_table_free(t);
    }
}

static void syntax_errors_have_a_place(void **state)
{
    (void)state;
    assert_null(parse(""));
    assert_non_null(strstr(errors.line[0], "f.json: is empty"));
    assert_null(parse("\n \n"));
    assert_non_null(strstr(errors.line[0], "f.json: is empty"));
    assert_null(parse("{\n  \"version\": 1,\n  \"nodes\": [}\n"));
    assert_memory_equal(errors.line[0], "f.json:3:13: ", 13);
    assert_null(parse("{\"version\":1,\n\"nodes\":[],\n\"nodes\":[]}"));
    assert_memory_equal(errors.line[0], "f.json:3:", 9);
    assert_non_null(strstr(errors.line[0], "duplicate object key"));
    assert_null(parse(DOCUMENT("") " x"));
    assert_memory_equal(errors.line[0], "f.json:1:", 9);
    assert_null(parse(ROW("a", KEY_A) "\n\n{\"id\":}\n" ROW("b", KEY_B)));
    assert_memory_equal(errors.line[0], "f.json:3:7: ", 12);
    assert_int_equal(errors.count, 1);
    assert_null(parse("{\"version\":1,\"nodes\":[{\"id\":\"\\u0000\"}]}"));
    assert_null(parse("{\"version\":1,\"nodes\":[{\"id\":\"\xff\"}]}"));
}

/* What stood at the wrong place may be a secret. */
static void syntax_errors_quote_nothing(void **state)
{
    (void)state;
    assert_null(parse("{\"version\":1,\"nodes\":[{\"preshared_key\":\"" KEY_A "\" \"" KEY_A "\"}]}"));
    assert_null(strstr(errors.line[0], "cj3isz"));
}

static void document_errors(void **state)
{
    (void)state;
    expect_error("[]", "f.json: must be an object: { … }");
    expect_error("{\"version\":1}", "f.json: 'nodes' is missing");
    expect_error("{\"nodes\":[]}", "f.json: 'version' is missing");
    expect_error("{\"version\":2,\"nodes\":[]}", "f.json: version: must be 1: this program knows no other");
    expect_error("{\"version\":\"1\",\"nodes\":[]}", "f.json: version: must be 1: this program knows no other");
    expect_error("{\"version\":1,\"nodes\":{}}", "f.json: nodes: must be a list: [ … ]");
    expect_error("{\"version\":1,\"nodes\":[],\"node\":[]}", "f.json: node: unknown key; did you mean 'nodes'?");
    expect_error("{\"version\":1,\"nodes\":[],\"x\":[]}", "f.json: x: unknown key");
    expect_error(DOCUMENT("7"), "f.json: nodes[0]: must be an object: { … }");
    expect_error(DOCUMENT(ROW("a", KEY_A) ",[]"), "f.json: nodes[1]: must be an object: { … }");
    expect_error(ROW("a", KEY_A) "\n[]", "f.json:2: must be an object: { … }");
}

static void row_errors(void **state)
{
    (void)state;
    static const struct {
        const char *more, *line; /* a key that the row doesn't have yet; what is said, after "f.json: nodes[0]" */
    } cases[] = {
        {"\"endpoint\":[]", ".endpoint: unknown key; did you mean 'endpoints'?"},
        {"\"NAMES\":[]", ".NAMES: unknown key"},
        {"\"tailnet\":7", ".tailnet: must be a string: \"…\""},
        {"\"tailnet\":\"a b\"", ".tailnet: must be visible ASCII without spaces, quotes and backslashes"},
        {"\"tailnet\":\"\\u00fc\"", ".tailnet: must be visible ASCII without spaces, quotes and backslashes"},
        {"\"preshared_key\":\"abc\"",
         ".preshared_key: must be a key of 32 bytes: base64 (44 characters) or hexadecimal (64)"},
        {"\"preshared_key\":\"" ZEROS "\"", ".preshared_key: is all zero"},
        {"\"addresses\":[\"fd00::1\",\"1.2.3\"]", ".addresses[1]: '1.2.3' is not the address of a node"},
        {"\"addresses\":[\"fd00::1\",\"224.0.0.1\"]", ".addresses[1]: '224.0.0.1' is not the address of a node"},
        {"\"addresses\":[\"::\"]", ".addresses[0]: '::' is not the address of a node"},
        {"\"addresses\":[\"ff02::1\"]", ".addresses[0]: 'ff02::1' is not the address of a node"},
        {"\"addresses\":[\"fd00::1\",\"fd00::0:1\"]", ".addresses[1]: is there twice"},
        {"\"addresses\":[1,2,3,4,5,6,7,8,9]", ".addresses: has 9 elements; 8 is the most"},
        {"\"addresses\":[\"100.64.0.1\"]", ": 'peerapi6' needs an IPv6 address in 'addresses'"},
        {"\"peerapi4\":1", ": 'peerapi4' needs an IPv4 address in 'addresses'"},
        {"\"peerapi4\":0", ".peerapi4: must be a number from 1 to 65535"},
        {"\"peerapi4\":65536", ".peerapi4: must be a number from 1 to 65535"},
        {"\"peerapi4\":1.0", ".peerapi4: must be a number from 1 to 65535"},
        {"\"endpoints\":[\"203.0.113.9\"]", ".endpoints[0]: '203.0.113.9' is not an address and port, as "
                                            "192.0.2.1:41641 or [2001:db8::1]:41641"},
        {"\"endpoints\":[\"203.0.113.9:0\"]", ".endpoints[0]: '203.0.113.9:0' is not an address and port, as "
                                              "192.0.2.1:41641 or [2001:db8::1]:41641"},
        {"\"expires\":\"tomorrow\"", ".expires: 'tomorrow' is not a time after 1970, as 2030-01-01T00:00:00Z"},
        {"\"mtu\":1279", ".mtu: must be a number from 1280 to 9000"},
        {"\"mtu\":-1", ".mtu: must be a number from 1280 to 9000"},
        {"\"keepalive\":25", ".keepalive: must be true or false"},
        {"\"transport\":\"udp\"", ".transport: must be one of \"peerapi\", \"tcp\""},
        {"\"proxy_protocol\":\"v3\"", ".proxy_protocol: must be one of \"off\", \"v1\", \"v2\""},
        {"\"proxy_protocol\":\"v2\"",
         ": 'proxy_protocol' needs transport \"tcp\": the peerapi tells the visitor's address itself"},
        {"\"half_close\":true", ".half_close: must be one of \"default\", \"hold\", \"propagate\""},
        {"\"limits\":{\"connections\":0}", ".limits.connections: must be a number from 1 to 4294967295"},
        {"\"limits\":{\"conections\":1}", ".limits.conections: unknown key; did you mean 'connections'?"},
        {"\"limits\":null", ".limits: must be an object: { … }"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[1024], line[512];

        snprintf(text, sizeof(text), DOCUMENT("%.*s,%s}"), (int)strlen(ROW("a", KEY_A)) - 1, ROW("a", KEY_A),
                 cases[i].more);
        snprintf(line, sizeof(line), "f.json: nodes[0]%s", cases[i].line);
        expect_error(text, line);
        snprintf(text, sizeof(text), "%.*s,%s}", (int)strlen(ROW("a", KEY_A)) - 1, ROW("a", KEY_A), cases[i].more);
        snprintf(line, sizeof(line), "f.json:1: %s", cases[i].line + (cases[i].line[0] == ':' ? 2 : 1));
        expect_error(text, line);
    }
}

/* A row in which one required key has another value. */
static void required_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *line; /* value NULL: left out */
    } cases[] = {
        {"id", NULL, ": 'id' is missing"},
        {"id", "\"\"", ".id: is empty"},
        {"id", "\"a\\\"b\"", ".id: must be visible ASCII without spaces, quotes and backslashes"},
        {"id", "\"a\\nb\"", ".id: must be visible ASCII without spaces, quotes and backslashes"},
        {"names", NULL, ": 'names' is missing"},
        {"names", "\"a\"", ".names: must be a list: [ … ]"},
        {"names", "[7]", ".names[0]: must be a string: \"…\""},
        {"names", "[\"a\",\"a b\"]", ".names[1]: 'a b' is not a DNS name"},
        {"names", "[\"\\u00fc.example\"]",
         ".names[0]: '\xc3\xbc.example' has letters outside ASCII; write the name in its xn-- form"},
        {"names", "[\"192.0.2.1\"]", ".names[0]: '192.0.2.1' is not a DNS name"},
        {"names", "[\"2001:db8::1\"]", ".names[0]: '2001:db8::1' is not a DNS name"},
        {"names", "[\"*\"]", ".names[0]: '*' is not a DNS name"},
        {"names", "[\"a.*.b\"]", ".names[0]: 'a.*.b' is not a DNS name"},
        {"names", "[\"a\",\"A.\"]", ".names[1]: 'a' is there twice"},
        {"names", "[{\"name\":\"a\"},{}]", ".names[1]: 'name' is missing"},
        {"names", "[{\"name\":\"a\",\"targt\":\"b:1\"}]", ".names[0].targt: unknown key; did you mean 'target'?"},
        {"names", "[{\"name\":\"a\",\"target\":\"b c\"}]",
         ".names[0].target: 'b c' must be a name and a port, as web.example.net:443, or a name alone"},
        {"names", "[{\"name\":\"a\",\"target\":\"*.b:1\"}]",
         ".names[0].target: '*.b:1' must be a name and a port, as web.example.net:443, or a name alone"},
        {"names", "[{\"name\":\"a\",\"target\":\"192.0.2.1:1\"}]",
         ".names[0].target: '192.0.2.1:1' must be a name and a port, as web.example.net:443, or a name alone"},
        {"names", "[{\"name\":\"a\",\"target\":\"b:0\"}]",
         ".names[0].target: 'b:0' must be a name and a port, as web.example.net:443, or a name alone"},
        {"key", NULL, ": 'key' is missing"},
        {"key", "\"privkey:" ZEROS "\"",
         ".key: is a private key: it belongs on the node only; here goes the public one"},
        {"key", "\"" ZEROS "\"", ".key: is all zero"},
        {"key", "\"x\"", ".key: must be a key of 32 bytes: base64 (44 characters) or hexadecimal (64)"},
        {"peerapi6", NULL, ": 'peerapi4' or 'peerapi6' must be given, or transport \"tcp\""},
        {"ports", NULL, ": 'ports' is missing"},
        {"ports", "[443,0]", ".ports[1]: must be a number from 1 to 65535"},
        {"ports", "[443,80,443]", ".ports[2]: 443 is there twice"},
        {"funnel", NULL, ": 'funnel' is missing"},
        {"funnel", "true", ".funnel: must be an object: { … }"},
        {"funnel", "{\"admin\":true}", ".funnel: 'node' is missing"},
        {"funnel", "{\"node\":true}", ".funnel: 'admin' is missing"},
        {"funnel", "{\"admin\":\"ask\",\"node\":true}", ".funnel.admin: must be true or false"},
        {"funnel", "{\"admin\":true,\"node\":\"maybe\"}", ".funnel.node: must be true, false or \"ask\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *row = json_loads(ROW("a", KEY_A), 0, NULL);
        char text[2048], line[512];

        json_object_del(row, cases[i].key);
        if (cases[i].value)
            json_object_set_new(row, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        char *dumped = json_dumps(row, JSON_COMPACT);

        snprintf(text, sizeof(text), DOCUMENT("%s"), dumped);
        snprintf(line, sizeof(line), "f.json: nodes[0]%s", cases[i].line);
        expect_error(text, line);
        free(dumped);
        json_decref(row);
    }
}

static void conflicts(void **state)
{
    (void)state;
    expect_error(DOCUMENT(ROW("a", KEY_A) "," ROW("a", KEY_B)),
                 "f.json: nodes[1].id: 'a' is the id of an earlier node");
    expect_error(DOCUMENT(ROW("a", KEY_A) "," ROW("b", KEY_A)), "f.json: nodes[1].key: is the key of node 'a' too");
    expect_error(ROW("a", KEY_A) "\n\n" ROW("b", KEY_A), "f.json:3: key: is the key of node 'a' too");
#define WITH_ADDRESS(id, key, address, more) ROW_WITH(id, key, ",\"addresses\":[\"fd00::" address "\"]" more)
    expect_error(DOCUMENT(WITH_ADDRESS("a", KEY_A, "1", "") "," WITH_ADDRESS("b", KEY_B, "1", "")),
                 "f.json: nodes[1].addresses[0]: is an address of node 'a' too");
    struct route_table *t = parse_good(
        DOCUMENT(WITH_ADDRESS("a", KEY_A, "1", "") "," WITH_ADDRESS("b", KEY_B, "1", ",\"tailnet\":\"x\"")));

    route_table_free(t);
}

static void one_name_of_several_nodes_keeps_order(void **state)
{
    (void)state;
    static const char row[] = "{\"id\":\"n%u\",\"names\":[\"x\"],\"key\":\"%064x\",\"transport\":\"tcp\","
                              "\"ports\":[443],\"funnel\":{\"admin\":true,\"node\":true}}\n";
    char text[ROUTE_NODES_PER_NAME * 256 + 256] = "";
    struct route_match m;

    for (unsigned i = 0; i < ROUTE_NODES_PER_NAME; i++)
        sprintf(text + strlen(text), row, i, i + 1);
    struct route_table *t = parse_good(text);

    assert_int_equal(route_find(t, "x", 1, 443, 0, &m), ROUTE_OK);
    assert_int_equal(m.count, ROUTE_NODES_PER_NAME);
    for (unsigned i = 0; i < ROUTE_NODES_PER_NAME; i++)
        assert_int_equal(m.candidates[i].node->key[ROUTE_KEY_BYTES - 1], i + 1);
    route_table_free(t);
    sprintf(text + strlen(text), row, ROUTE_NODES_PER_NAME, ROUTE_NODES_PER_NAME + 1);
    expect_error(text, "f.json:33: names[0]: 32 other nodes have 'x': no more can");
}

static void all_errors_at_once_up_to_a_bound(void **state)
{
    (void)state;
    char text[200 * 8] = "{\"version\":2,\"nodes\":[7";

    assert_null(parse(DOCUMENT("{\"id\":7,\"nmaes\":[]}")));
    assert_int_equal(errors.count, 6); /* id, nmaes, and names, key, ports, funnel missing */
    for (int i = 0; i < 99; i++)
        strcat(text, ",7");
    strcat(text, "]}");
    assert_null(parse(text));
    assert_int_equal(errors.count, 101);
    assert_non_null(strstr(errors.line[CONFIG_ERRORS_MAX - 1], "must be an object"));
}

static void bounds(void **state)
{
    (void)state;
    static const char front[] = "{\"version\":1,\"nodes\":[", back[] = "]}";
    size_t len = FEED_DOCUMENT_BYTES_MAX + 1;
    char *text = malloc(len);
    struct route_table *t;

    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, front, strlen(front));
    memcpy(text + len - 1 - strlen(back), back, strlen(back));
    config_errors_init(&errors);
    assert_int_equal(feed_document_parse("f", text, len, &seed, &errors, &t), ERR_TOO_LARGE);
    assert_null(t);
    assert_string_equal(errors.line[0], "f: is larger than 64 MiB: write one node a line instead");
    assert_int_equal(feed_document_parse("f", text, len - 1, &seed, &errors, &t), 0);
    route_table_free(t);

    size_t row = strlen(ROW("a", KEY_A));

    memset(text, ' ', len);
    memcpy(text, ROW("a", KEY_A) "\n", row + 1);
    config_errors_init(&errors);
    text[row + 1] = '{';
    assert_int_equal(feed_document_parse("f", text, row + FEED_LINE_BYTES_MAX + 3, &seed, &errors, &t), ERR_INVALID);
    assert_string_equal(errors.line[0], "f:2: is longer than 1024 KiB");
    free(text);
}

/* ---- the files that stand beside the program ---- */

static void sample_is_read(void **state)
{
    (void)state;
    static const char path[] = TEST_VECTORS "/../../conf/nodes.json";
    struct route_table *t;
    struct route_match m;
    char *text;
    size_t len;

    config_errors_init(&errors);
    assert_int_equal(feed_file_read(path, &text, &len, &errors), 0);
    int err = feed_document_parse(path, text, len, &seed, &errors, &t);

    feed_file_free(text, len);
    config_errors_print(&errors, stderr);
    assert_int_equal(err, 0);
    assert_int_equal(route_node_count(t), 2);
    assert_int_equal(route_find(t, "www.example.org", 15, 443, 0, &m), ROUTE_OK);
    assert_memory_equal(m.candidates[0].target, "web.tail1234.ts.net", m.candidates[0].target_len);
    assert_int_equal(route_find(t, "x.apps.example.net", 18, 443, 0, &m), ROUTE_OK);
    route_table_free(t);
}

static void same_keys(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;

    assert_true(json_is_object(a) && json_is_object(b));
    json_object_foreach((json_t *)a, key, value)
    {
        if (!json_object_get(b, key))
            fail_msg("'%s' is missing", key);
    }
}

/* The schema knows the keys of the full row, no others, and requires what the parser requires. */
static void schema_agrees(void **state)
{
    (void)state;
    json_error_t error;
    json_t *schema = json_load_file(TEST_VECTORS "/../../conf/feed.schema.json", JSON_REJECT_DUPLICATES, &error);
    json_t *row = json_loads(full_row, 0, NULL), *least = json_loads(ROW("a", KEY_A), 0, NULL);

    assert_non_null(schema);
    json_t *node = json_object_get(json_object_get(schema, "$defs"), "node");
    json_t *properties = json_object_get(node, "properties"), *required = json_object_get(node, "required");

    same_keys(properties, row);
    same_keys(row, properties);
    assert_int_equal(json_array_size(required), 5);
    for (size_t i = 0; i < json_array_size(required); i++)
        assert_non_null(json_object_get(least, json_string_value(json_array_get(required, i))));
    json_decref(schema);
    json_decref(row);
    json_decref(least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_row),
        cmocka_unit_test(full_row_is_read),
        cmocka_unit_test(forms),
        cmocka_unit_test(syntax_errors_have_a_place),
        cmocka_unit_test(syntax_errors_quote_nothing),
        cmocka_unit_test(document_errors),
        cmocka_unit_test(row_errors),
        cmocka_unit_test(required_keys),
        cmocka_unit_test(conflicts),
        cmocka_unit_test(one_name_of_several_nodes_keeps_order),
        cmocka_unit_test(all_errors_at_once_up_to_a_bound),
        cmocka_unit_test(bounds),
        cmocka_unit_test(sample_is_read),
        cmocka_unit_test(schema_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
