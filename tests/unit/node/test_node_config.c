/* Shows that conf/node.yaml is what the table says, that conf/node.schema.json follows from it, and what the
 * cross-checks refuse. CONFIG_SCHEMA_WRITE=1 in the environment rewrites the schema file instead of comparing. */
#include "node/node_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/ts.h"
#include "common/config/config_file.h"

#define CONF   TEST_VECTORS "/../../conf/"
#define SAMPLE CONF "node.yaml"
#define KEY    "Ht4AEuMMTlETxcKSGXpCVUdcAH4DMj+VSE6ROTRvzlQ="

static struct config_errors errors;

static struct node_config *load(const char *text)
{
    struct node_config *config;

    config_errors_init(&errors);
    if (node_config_load("f", text, strlen(text), &errors, &config) != 0) {
        assert_null(config);
        assert_true(errors.count > 0);
    }
    return config;
}

static char *read_file(const char *name)
{
    char *text;
    size_t len;

    config_errors_init(&errors);
    assert_int_equal(config_file_read(name, &text, &len, &errors), 0);
    return text;
}

static char *print(const struct node_config *config)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    config_print(&node_config_schema, config, out);
    fclose(out);
    return text;
}

static void all_keys(const struct config_schema *schema, const char *text)
{
    for (size_t i = 0; i < schema->count; i++) {
        char key[80];

        snprintf(key, sizeof(key), "%s:", schema->fields[i].name);
        if (!strstr(text, key))
            fail_msg("'%s' is not in the sample", key);
        if (schema->fields[i].sub)
            all_keys(schema->fields[i].sub, text);
    }
}

/* What the sample shows is what is left out of a file, but for the service's own choices. */
static void test_sample(void **state)
{
    char *text = read_file(SAMPLE);
    struct node_config *sample = load(text);
    struct node_config *bare =
        load("key_file: node.key\n"
             "ingresses: [{name: fra1, public_key: " KEY ", endpoint: relay.example.net:41641}]\n"
             "services:\n"
             "  - {name: app.example.net, ports: [443], funnel: on, forward: 127.0.0.1:8080, tls: terminate,\n"
             "     certificate: cert.pem, certificate_key: key.pem}\n");

    (void)state;
    all_keys(&node_config_schema, text);
    assert_non_null(sample);
    assert_non_null(bare);
    char *a = print(sample), *b = print(bare);

    assert_string_equal(a, b);
    assert_int_equal(sample->ingresses[0].public_key[0], 0x1e);
    assert_int_equal(sample->ingresses[0].public_key[31], 0x54);
    assert_int_equal(sample->peerapi_port, 41112);
    assert_int_equal(sample->listen_count, 2);
    free(a);
    free(b);
    free(text);
    node_config_free(sample);
    node_config_free(bare);
    node_config_free(NULL);
}

static void test_schema_file(void **state)
{
    char *schema = NULL;
    size_t len;
    FILE *out = open_memstream(&schema, &len);

    (void)state;
    config_json_schema(&node_config_schema, out);
    fclose(out);
    if (getenv("CONFIG_SCHEMA_WRITE")) {
        out = fopen(CONF "node.schema.json", "w");
        assert_non_null(out);
        fputs(schema, out);
        fclose(out);
    }
    char *file = read_file(CONF "node.schema.json");

    assert_string_equal(file, schema);
    free(file);
    free(schema);
}

#define K   "key_file: k\n"
#define IN  "ingresses: [{name: a, public_key: " KEY "}]\n"
#define SRV "services: [{name: a.b, ports: [1], forward: c:2}]\n"

static void test_values(void **state)
{
    struct node_config *c =
        load(K IN "services:\n"
                  "  - {name: '*.Apps.Example.net.', ports: [443, 8443], forward: 'unix:/run/app.sock',"
                  " proxy_protocol: v2}\n"
                  "  - {name: '*.apps.example.net', ports: [444], forward: '[::1]:80', connect_timeout: 1s}\n");

    (void)state;
    assert_non_null(c);
    assert_string_equal(c->services[0].name, "*.apps.example.net");
    assert_int_equal(c->services[0].ports[1], 8443);
    assert_false(c->services[0].funnel);
    assert_int_equal(c->services[0].tls, NODE_CONFIG_TLS_PASSTHROUGH);
    assert_int_equal(c->services[0].proxy_protocol, NODE_CONFIG_PROXY_V2);
    assert_string_equal(c->services[0].forward.unix_path, "/run/app.sock");
    assert_string_equal(c->services[0].forward.host, "");
    assert_string_equal(c->services[1].forward.host, "::1");
    assert_true(c->services[1].connect_timeout_ns == TS_S);
    assert_int_equal(c->ingresses[0].endpoint.port, 0);
    assert_true(c->ingresses[0].keepalive_ns == 25 * TS_S);
    assert_int_equal(c->addresses_count, 0);
    node_config_free(c);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {IN SRV, "f:1:1: 'key_file' is missing"},
        {K "ingresses: []\n" SRV, "f:2:12: ingresses: must not be empty"},
        {K IN "services:\n", "f:3:10: services: must not be empty"},
        {K "ingresses: [{name: a, public_key: abc}]\n" SRV,
         "f:2:35: ingresses[0].public_key: is not a key: base64 of 32 bytes, or 64 hex digits"},
        {K "ingresses: [{name: a, public_key: \"privkey:0123\"}]\n" SRV,
         "f:2:35: ingresses[0].public_key: is a private key; it must not be here"},
        {K "ingresses: [{name: a, public_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}]\n" SRV,
         "f:2:35: ingresses[0].public_key: is all zero"},
        {K "ingresses: [{name: a, public_key: " KEY "}, {name: b, public_key: " KEY "}]\n" SRV,
         "f:2:104: ingresses[1].public_key: '" KEY "' is there already, as ingresses[0].public_key"},
        {K "ingresses: [{name: a, public_key: " KEY ", endpoint: a}]\n" SRV,
         "f:2:91: ingresses[0].endpoint: 'a' must be host:port"},
        {K IN "services: [{name: a.b, ports: [], forward: c:2}]\n", "f:3:31: services[0].ports: must not be empty"},
        {K IN "services: [{name: a.b, ports: [0], forward: c:2}]\n",
         "f:3:32: services[0].ports[0]: '0' is out of range; allowed is 1 to 65535"},
        {K IN "services: [{name: 10.0.0.1, ports: [1], forward: c:2}]\n",
         "f:3:19: services[0].name: '10.0.0.1' is not a DNS name"},
        {K IN "services: [{name: a.b, ports: [1], forward: 'unix:run'}]\n",
         "f:3:45: services[0].forward: 'unix:run' must have a whole path after unix:, from the root"},
        {K IN "services: [{name: a.b, ports: [1], forward: c:2, tls: terminate, certificate: x}]\n",
         "f:3:12: services[0]: tls terminate needs 'certificate_key'"},
        {K IN "services: [{name: a.b, ports: [1], forward: c:2, certificate: x}]\n",
         "f:3:63: services[0].certificate: has a meaning with tls terminate only"},
        {K IN "services: [{name: a.b, ports: [1, 2], forward: c:2}, {name: A.B., ports: [2], forward: c:2}]\n",
         "f:3:75: services[1].ports[0]: 'a.b:2' is there already, as services[0].ports[1]"},
        {K IN SRV "listen: [\"0.0.0.0:0\", \"127.0.0.1:0\"]\n",
         "f:4:23: listen[1]: is a second IPv4 address; one each is served"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_null(load(cases[i].text));
        assert_string_equal(errors.line[0], cases[i].error);
        assert_int_equal(errors.count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_schema_file),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
