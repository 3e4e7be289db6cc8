/* test_endpoint.c - ways by UDP and through a relay: what is the same way, and how it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/endpoint.h"

static struct endpoint udp(uint16_t port, uint8_t local)
{
    const uint8_t remote[4] = {192, 0, 2, 1}, ours[4] = {10, 0, 0, local};
    struct endpoint e = {.kind = ENDPOINT_UDP, .remote = {addr_v4(remote), port}};

    if (local)
        e.local = addr_v4(ours);
    return e;
}

static void test_equal(void **state)
{
    (void)state;
    const uint8_t key[32] = {1}, other[32] = {2};
    const struct endpoint none = {0}, a = udp(1, 1), b = udp(1, 2), c = udp(2, 1), relay = endpoint_derp(key, 7),
                          region = endpoint_derp(key, 8), node = endpoint_derp(other, 7);

    assert_true(endpoint_equal(&a, &a));
    assert_false(endpoint_equal(&a, &b));
    assert_true(endpoint_same_remote(&a, &b)); /* the same for the peer */
    assert_false(endpoint_same_remote(&a, &c));
    assert_true(endpoint_equal(&relay, &relay));
    assert_false(endpoint_same_remote(&relay, &region));
    assert_false(endpoint_same_remote(&relay, &node));
    assert_false(endpoint_same_remote(&relay, &a));
    assert_true(endpoint_equal(&none, &none));
    assert_false(endpoint_equal(&none, &a));
}

static void test_text(void **state)
{
    (void)state;
    const uint8_t key[32] = {1};
    const struct endpoint none = {0}, a = udp(41641, 0), relay = endpoint_derp(key, 65535);
    char text[ENDPOINT_STR];

    assert_string_equal(endpoint_format(&none, text), "");
    assert_string_equal(endpoint_format(&a, text), "192.0.2.1:41641");
    assert_string_equal(endpoint_format(&relay, text), "derp-65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
