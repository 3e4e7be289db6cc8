/* Which service a target leads to: exact before wildcard, longer wildcard before shorter, off is off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "node/service.h"

static const char text[] =
    "key_file: node.key\n"
    "ingresses: [{name: a, public_key: \"Ht4AEuMMTlETxcKSGXpCVUdcAH4DMj+VSE6ROTRvzlQ=\"}]\n"
    "services:\n"
    "  - {name: \"*.example.net\", ports: [443], funnel: on, forward: \"127.0.0.1:1\"}\n"        /* 0 */
    "  - {name: \"*.apps.example.net\", ports: [443], funnel: on, forward: \"127.0.0.1:2\"}\n"   /* 1 */
    "  - {name: app.example.net, ports: [443, 8443], funnel: on, forward: \"127.0.0.1:3\"}\n"    /* 2 */
    "  - {name: app.example.net, ports: [10000], funnel: off, forward: \"127.0.0.1:4\"}\n"       /* 3 */
    "  - {name: secret.example.net, ports: [443], funnel: off, forward: \"127.0.0.1:5\"}\n";     /* 4 */

static void test_find(void **state)
{
    static const struct {
        const char *name;
        uint16_t port;
        int service;
    } cases[] = {
        {"app.example.net", 443, 2},
        {"APP.Example.NET", 443, 2},
        {"app.example.net", 8443, 2},
        {"app.example.net", 10000, -1}, /* off */
        {"app.example.net", 80, -1},
        {"other.example.net", 443, 0},
        {"a.b.example.net", 443, 0},
        {"other.example.net", 8443, -1}, /* the wildcard has not this port */
        {"x.apps.example.net", 443, 1},
        {"apps.example.net", 443, 0}, /* a wildcard stands for a label or more, not for none */
        {"example.net", 443, -1},
        {".example.net", 443, -1},
        {"badexample.net", 443, -1},
        {"secret.example.net", 443, -1}, /* off, and the wildcard does not open it again */
        {"", 443, -1},
    };
    static struct config_errors errors;
    struct node_config *config;

    (void)state;
    config_errors_init(&errors);
    if (node_config_load("test.yaml", text, strlen(text), &errors, &config) != 0)
        fail_msg("%s", errors.line[0]);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (service_find(config, cases[i].name, cases[i].port) != cases[i].service)
            fail_msg("%s:%u", cases[i].name, (unsigned)cases[i].port);
    node_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};

    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
