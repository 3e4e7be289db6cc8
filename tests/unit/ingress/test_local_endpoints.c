/* test_local_endpoints.c - which of our addresses others on the same network may try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/local_endpoints.h"

static struct addrport at(const char *text)
{
    struct addrport out;

    assert_true(addrport_parse(text, strlen(text), &out));
    return out;
}

static void is(const struct control_endpoint *e, const char *text)
{
    struct addrport want = at(text);

    assert_true(addrport_equal(&e->at, &want));
    assert_int_equal(e->kind, CONTROL_ENDPOINT_LOCAL);
}

static void test_listens(void **state)
{
    (void)state;
    struct addr machine[] = {at("10.0.0.5:0").addr, at("[2001:db8::5]:0").addr, at("192.168.1.5:0").addr};
    struct addrport any[] = {at("0.0.0.0:41641"), at("[::]:41642")}, one[] = {at("198.51.100.7:0")};
    struct control_endpoint out[4];

    assert_int_equal(local_endpoints(any, 2, machine, 3, out, 4), 3);
    is(&out[0], "10.0.0.5:41641");
    is(&out[1], "192.168.1.5:41641");
    is(&out[2], "[2001:db8::5]:41642");
    assert_int_equal(local_endpoints(any, 2, machine, 3, out, 2), 2);
    assert_int_equal(local_endpoints(any, 1, machine, 0, out, 4), 0);
    assert_int_equal(local_endpoints(one, 1, machine, 3, out, 4), 1);
    is(&out[0], "198.51.100.7:0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_listens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
