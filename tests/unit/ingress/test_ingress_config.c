/* Shows that conf/ingress.yaml is what the table says - every key, every default, the commented examples too - that
 * conf/ingress.schema.json follows from it, and what the cross-checks refuse.
 * CONFIG_SCHEMA_WRITE=1 in the environment rewrites the schema file instead of comparing. */
#include "ingress/ingress_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/ts.h"
#include "common/config/config_file.h"

#define CONF   TEST_VECTORS "/../../conf/"
#define SAMPLE CONF "ingress.yaml"

static struct config_errors errors;

static struct ingress_config *load(const char *text)
{
    struct ingress_config *config;

    config_errors_init(&errors);
    if (ingress_config_load("f", text, strlen(text), &errors, &config) != 0) {
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

static char *print(const struct ingress_config *config)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    config_print(&ingress_config_schema, config, out);
    fclose(out);
    return text;
}

/* What the sample shows is what is left out of a file. */
static void test_sample_defaults(void **state)
{
    char *text = read_file(SAMPLE);
    struct ingress_config *sample = load(text);
    struct ingress_config *bare = load("listen: [{address: \"[::]:443\"}]\n"
                                       "identities: [{name: default, key_file: ingress.key}]\n"
                                       "feed: {path: nodes.json}\n");

    (void)state;
    assert_non_null(sample);
    assert_non_null(bare);
    char *a = print(sample), *b = print(bare);

    assert_string_equal(a, b);
    free(a);
    free(b);
    free(text);
    ingress_config_free(sample);
    ingress_config_free(bare);
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

/* uncomment - make "# key: value" and "# - key: value" lines real ones */
static void uncomment(char *text)
{
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        char *mark = line + strspn(line, " "), *key = mark;

        if (strncmp(mark, "# ", 2) != 0)
            continue;
        key = mark + 2 + strspn(mark + 2, " -");
        size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyz_");

        if (n > 0 && key[n] == ':')
            memmove(mark, mark + 2, strlen(mark + 2) + 1);
    }
}

static void replace(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);

    assert_non_null(at);
    assert_true(strlen(to) <= strlen(from));
    memcpy(at, to, strlen(to));
    memset(at + strlen(to), ' ', strlen(from) - strlen(to));
}

static void test_sample_examples(void **state)
{
    char *text = read_file(SAMPLE), *tailnet = read_file(CONF "ingress-tailnet.yaml"), *both = NULL;

    (void)state;
    assert_true(asprintf(&both, "%s%s", text, tailnet) > 0);
    all_keys(&ingress_config_schema, both);
    free(both);
    struct ingress_config *joined = load(tailnet);

    assert_non_null(joined);
    assert_int_equal(joined->feed.tailnet.names_count, 1);
    ingress_config_free(joined);
    free(tailnet);
    uncomment(text);
    replace(text, "proxy_protocol: off     ", "proxy_protocol: require");
    replace(text, "tailnets: []", "tailnets:");
    struct ingress_config *c = load(text);

    if (!c)
        config_errors_print(&errors, stderr);
    assert_non_null(c);
    assert_int_equal(c->listen_count, 2);
    assert_int_equal(c->listen[0].proxy_from_count, 1);
    assert_int_equal(c->listen[1].protocol, INGRESS_CONFIG_TCP);
    assert_int_equal(c->listen[1].public_port, 2222);
    assert_string_equal(c->listen[1].target.host, "git.example.net");
    assert_int_equal(c->listen[1].target.port, 22);
    assert_string_equal(c->identities[0].previous_key_file, "old.key");
    assert_int_equal(c->identities[0].addresses_count, 2);
    assert_int_equal(c->tailnets_count, 1);
    ingress_config_free(c);
    free(text);
}

static void test_network_samples(void **state)
{
    static const struct {
        const char *file;
        enum ingress_config_feed_type type;
        size_t urls;
    } cases[] = {{CONF "ingress-https.yaml", INGRESS_CONFIG_FEED_HTTPS, 1},
                 {CONF "ingress-etcd.yaml", INGRESS_CONFIG_FEED_ETCD, 3}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = read_file(cases[i].file);
        struct ingress_config *plain = load(text), *all;

        assert_non_null(plain);
        assert_int_equal(plain->feed.type, cases[i].type);
        assert_int_equal(plain->feed.urls_count, cases[i].urls);
        assert_string_equal(plain->feed.ca_file, "");
        uncomment(text);
        all = load(text);
        if (!all)
            config_errors_print(&errors, stderr);
        assert_non_null(all);
        assert_int_not_equal(*all->feed.certificate_key, 0);
        ingress_config_free(plain);
        ingress_config_free(all);
        free(text);
    }
}

static void test_schema_file(void **state)
{
    char *schema = NULL;
    size_t len;
    FILE *out = open_memstream(&schema, &len);

    (void)state;
    config_json_schema(&ingress_config_schema, out);
    fclose(out);
    if (getenv("CONFIG_SCHEMA_WRITE")) {
        out = fopen(CONF "ingress.schema.json", "w");
        assert_non_null(out);
        fputs(schema, out);
        fclose(out);
    }
    char *file = read_file(CONF "ingress.schema.json");

    assert_string_equal(file, schema);
    free(file);
    free(schema);
}

#define REST "feed: {path: n}\n"
#define ID   "identities: [{name: a, key_file: k}]\n"
#define TLS  "listen: [{address: \"[::]:443\"}]\n"

static void test_values(void **state)
{
    struct ingress_config *c = load("listen:\n"
                                    "  - {address: \"[::]:8443\", public_port: 443}\n"
                                    "  - {address: 0.0.0.0:22, protocol: tcp, target: Git.Example.net:2222,\n"
                                    "     proxy_protocol: require, proxy_from: [0.0.0.0/0]}\n"
                                    "identities: [{name: a, key_file: k}, {name: b, key_file: l}]\n"
                                    "tailnets: [{name: x, identity: b}, {name: y}]\n"
                                    "workers: auto\nhello: {timeout: 250ms, max_size: 32KiB}\n"
                                    "stream: {half_close: propagate}\nlog: {level: debug, access: off}\n" REST);

    (void)state;
    assert_non_null(c);
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->listen[0].public_port, 443);
    assert_int_equal(c->listen[0].address.port, 8443);
    assert_string_equal(c->listen[0].target.host, "");
    assert_int_equal(c->listen[1].public_port, 22);
    assert_string_equal(c->listen[1].target.host, "git.example.net");
    assert_true(c->hello.timeout_ns == 250 * TS_MS);
    assert_true(c->hello.size_bytes_max == 32768);
    assert_int_equal(c->stream.half_close, INGRESS_CONFIG_HALF_CLOSE_PROPAGATE);
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->log.access, INGRESS_CONFIG_ACCESS_OFF);
    assert_int_equal(ingress_config_tailnet_identity(c, "x", 1), 1);
    assert_int_equal(ingress_config_tailnet_identity(c, "y", 1), 0);
    assert_int_equal(ingress_config_tailnet_identity(c, "unknown", 7), 0);
    assert_string_equal(c->state_dir, "");
    ingress_config_free(c);
    ingress_config_free(NULL);
}

static void test_tailnet(void **state)
{
    struct ingress_config *c = load(TLS "feed:\n"
                                        "  type: tailnet\n"
                                        "  url: \"http://127.0.0.1:8080\"\n"
                                        "  tailnet:\n"
                                        "    auth_key_file: key\n"
                                        "    server_key: \"mkey:" "abababababababababababababababababababababababababababababababab" "\"\n"
                                        "    public_suffix: Funnel.example.net.\n"
                                        "    names: [{name: \"*.Apps.example.org\", node: web, target: \"web.ts.net:8443\"}]\n"
                                        "    users: [a@b]\n"
                                        "    ports: [443, 8443]\n"
                                        "    transport: tcp\n"
                                        "    proxy_protocol: on\n");
    const struct ingress_config_feed_tailnet *t = &c->feed.tailnet;

    (void)state;
    assert_non_null(c);
    assert_int_equal(c->feed.type, INGRESS_CONFIG_FEED_TAILNET);
    assert_int_equal(c->identities_count, 0);
    assert_string_equal(t->hostname, "funnel-ingress");
    assert_string_equal(t->public_suffix, "funnel.example.net");
    assert_string_equal(t->names[0].name, "*.apps.example.org");
    assert_string_equal(t->names[0].target, "web.ts.net:8443");
    assert_int_equal(t->server_key[31], 0xab);
    assert_int_equal(t->ports_count, 2);
    assert_int_equal(t->ports[1], 8443);
    assert_true(t->transport == INGRESS_CONFIG_TRANSPORT_TCP && t->proxy_protocol && !t->ephemeral);
    ingress_config_free(c);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"listen: []\n" ID REST, "f:1:9: listen: must not be empty"},
        {TLS REST, "f:1:1: 'identities' is missing"},
        {TLS ID, "f:1:1: 'feed' is missing"},
        {TLS ID "feed: {type: file}\n", "f:3:7: feed.path: is missing: the file of nodes"},
        {TLS ID "feed: {path: n, url: \"https://h\"}\n", "f:3:22: feed.url: has a meaning with type tailnet only"},
        {TLS "feed: {type: tailnet, tailnet: {tags: [\"tag:a\"], public_suffix: p}}\n",
         "f:2:7: feed: 'url' is missing: the coordination server's"},
        {TLS "feed: {type: tailnet, url: h, tailnet: {tags: [\"tag:a\"], public_suffix: p}}\n",
         "f:2:28: feed.url: must begin with https:// (or http://)"},
        {TLS "feed: {type: tailnet, url: \"https://h\"}\n",
         "f:2:7: feed.tailnet: admits no node: it needs 'tags', 'users' or 'names'"},
        {TLS "feed: {type: tailnet, url: \"https://h\", tailnet: {users: [a]}}\n",
         "f:2:50: feed.tailnet: gives no node a name: it needs 'public_suffix' or 'names'"},
        {TLS ID "feed: {type: tailnet, url: \"https://h\", tailnet: {tags: [\"tag:a\"], public_suffix: p}}\n",
         "f:2:13: identities: with the tailnet feed the ingress gets its one identity from the coordination server"},
        {TLS "feed: {type: tailnet, url: \"https://h\", tailnet: {tags: [\"tag:a\"], public_suffix: p, server_key: x}}\n",
         "f:2:98: feed.tailnet.server_key: must be 'mkey:' and 64 hexadecimal digits, as GET /key of the server says it"},
        {TLS "feed: {type: tailnet, url: \"https://h\", tailnet: {tags: [\"tag:a\"], public_suffix: p, proxy_protocol: on}}\n",
         "f:2:102: feed.tailnet.proxy_protocol: has a meaning with transport tcp only: an offer says the visitor's address"},
        {TLS "feed: {type: tailnet, url: \"https://h\", tailnet: {names: [{name: a, node: b, target: \"c:0\"}]}}\n",
         "f:2:86: feed.tailnet.names[0].target: must be a name in lower case, perhaps with a port, as "
         "web.tail1234.ts.net:443"},
        {"listen: [{address: \"[::]:443\"}, {address: \"[0::]:443\"}]\n" ID REST,
         "f:1:43: listen[1].address: '[::]:443' is there already, as listen[0].address"},
        {"listen: [{address: \"[::]:443\", proxy_protocol: require}]\n" ID REST,
         "f:1:10: listen[0]: proxy_protocol require needs 'proxy_from': who may say where a visitor comes from "
         "(everybody: [\"0.0.0.0/0\", \"::/0\"])"},
        {"listen: [{address: \"[::]:443\", proxy_from: [10.0.0.0/8]}]\n" ID REST,
         "f:1:44: listen[0].proxy_from: has a meaning with proxy_protocol require only"},
        {"listen: [{address: \"[::]:22\", protocol: tcp}]\n" ID REST,
         "f:1:10: listen[0]: protocol tcp has no server name in it: it needs 'target', such as git.example.net:22"},
        {"listen: [{address: \"[::]:22\", protocol: tcp, target: 192.0.2.1:22}]\n" ID REST,
         "f:1:54: listen[0].target: must begin with the name of a node, not an address"},
        {"listen: [{address: \"[::]:443\", target: a:22}]\n" ID REST,
         "f:1:40: listen[0].target: has a meaning with protocol tcp only"},
        {TLS "identities: [{name: a, key_file: k}, {name: a, key_file: l}]\n" REST,
         "f:2:45: identities[1].name: 'a' is there already, as identities[0].name"},
        {TLS "identities: [{name: a/b, key_file: k}]\n" REST,
         "f:2:21: identities[0].name: 'a/b' may only have letters, digits, '-', '_' and '.'"},
        {TLS "identities: [{name: a, key_file: k, previous_key_file: k}]\n" REST,
         "f:2:56: identities[0].previous_key_file: is the same file as key_file"},
        {TLS "identities: [{name: a, key_file: k, addresses: [fd00::1, \"fd00:0::1\"]}]\n" REST,
         "f:2:58: identities[0].addresses[1]: 'fd00::1' is there already, as addresses[0]"},
        {TLS "identities: [{name: a, key_file: k, addresses: [127.0.0.1]}]\n" REST,
         "f:2:49: identities[0].addresses[0]: '127.0.0.1' can't be an own address inside the tunnel"},
        {TLS "identities: [{name: a, key_file: k, previous_key_file: o}, {name: b, key_file: k, previous_key_file: p},"
             "{name: c, key_file: k, previous_key_file: o}, {name: d, key_file: k, previous_key_file: p},"
             "{name: e, key_file: k}]\n" REST,
         "f:2:13: identities: have 9 keys, previous ones included; 8 are allowed"},
        {TLS ID "tailnets: [{name: t, identity: z}]\n" REST,
         "f:3:32: tailnets[0].identity: there is no identity named 'z'"},
        {TLS ID "tailnets: [{name: t}, {name: t}]\n" REST,
         "f:3:30: tailnets[1].name: 't' is there already, as tailnets[0].name"},
        {TLS ID "wireguard: {listen: [\"[::]:1\", \"[::1]:2\"]}\n" REST,
         "f:3:32: wireguard.listen[1]: is a second IPv6 address; one each is served"},
        {TLS ID "feed: {type: https}\n", "f:3:7: feed.urls: is missing: where the stream is, such as "
                                          "[\"https://feed.example.net/nodes\"]"},
        {TLS ID "feed: {type: etcd, path: n, urls: [\"https://e\"]}\n",
         "f:3:26: feed.path: has a meaning with type file only"},
        {TLS ID "feed: {type: file, path: n, urls: [\"https://e\"]}\n",
         "f:3:35: feed.urls: has a meaning with type https or etcd only"},
        {TLS ID "feed: {type: https, urls: [\"ftp://e\"]}\n",
         "f:3:28: feed.urls[0]: must begin with https:// (or http://)"},
        {TLS ID "feed: {type: https, urls: [\"http://feed.example\"]}\n",
         "f:3:28: feed.urls[0]: is http:// to another machine: whoever is on the way could write the feed. Use "
         "https://, or say 'plain: on'"},
        {TLS ID "feed: {type: etcd, urls: [\"https://e/path\"]}\n",
         "f:3:27: feed.urls[0]: is a member of etcd, and has no path"},
        {TLS ID "feed: {type: etcd, urls: [\"https://e\"], token_file: t}\n",
         "f:3:53: feed.token_file: has a meaning with type https only"},
        {TLS ID "feed: {type: https, urls: [\"https://e\"], certificate: c}\n",
         "f:3:7: feed.certificate_key: is missing: one needs the other"},
        {TLS ID "feed: {type: etcd, urls: [\"https://e\"], username: u}\n",
         "f:3:7: feed.password_file: is missing: one needs the other"},
        {TLS ID "workers: 65\n" REST, "f:3:10: workers: '65' is out of range; allowed is 1 to 64"},
        {TLS ID "workers: many\n" REST, "f:3:10: workers: 'many' must be a whole number, or auto"},
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
        cmocka_unit_test(test_sample_defaults), cmocka_unit_test(test_sample_examples),
        cmocka_unit_test(test_network_samples),
        cmocka_unit_test(test_schema_file),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_tailnet), cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
