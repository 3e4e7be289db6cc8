/* test_limits.c - what comes in goes out again, and each maximum holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/limits.h"

static struct addr a(const char *text)
{
    struct addr out;

    assert_true(addr_parse(text, strlen(text), &out));
    return out;
}

static struct limits *fresh(void)
{
    struct rng rng;

    rng_seed(&rng, 3);
    struct limits *l = limits_new(&rng);

    assert_non_null(l);
    return l;
}

static void a_source_has_its_maximum(void **state)
{
    struct limits *l = fresh();
    struct addr one = a("192.0.2.1"), two = a("192.0.2.2");

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(limits_enter(l, &one, 100, 3, 100), LIMITS_OK);
    assert_int_equal(limits_enter(l, &one, 100, 3, 100), LIMITS_SOURCE);
    assert_int_equal(limits_enter(l, &two, 100, 3, 100), LIMITS_OK);
    limits_hello_done(l);
    limits_leave(l, &one);
    assert_int_equal(limits_enter(l, &one, 100, 3, 100), LIMITS_OK);
    limits_free(l);
}

static void an_ipv6_site_is_one_source(void **state)
{
    struct limits *l = fresh();
    struct addr one = a("2001:db8:0:1::1"), same = a("2001:db8:0:1:ffff::2"), other = a("2001:db8:0:2::1");

    (void)state;
    assert_int_equal(limits_enter(l, &one, 100, 1, 100), LIMITS_OK);
    assert_int_equal(limits_enter(l, &same, 100, 1, 100), LIMITS_SOURCE);
    assert_int_equal(limits_enter(l, &other, 100, 1, 100), LIMITS_OK);
    limits_free(l);
}

static void the_total_and_pending_hellos_are_bounded(void **state)
{
    struct limits *l = fresh();
    struct addr one = a("192.0.2.1");

    (void)state;
    assert_int_equal(limits_enter(l, &one, 2, 100, 1), LIMITS_OK);
    assert_int_equal(limits_enter(l, &one, 2, 100, 1), LIMITS_TOTAL); /* one hello is pending */
    limits_hello_done(l);
    assert_int_equal(limits_enter(l, &one, 2, 100, 1), LIMITS_OK);
    limits_hello_done(l);
    assert_int_equal(limits_enter(l, &one, 2, 100, 1), LIMITS_TOTAL);
    limits_leave(l, &one);
    limits_leave(l, &one);
    assert_int_equal(atomic_load(&l->connections), 0);
    assert_int_equal(atomic_load(&l->pending_hellos), 0);
    limits_free(l);
}

static void a_balancer_moves_the_visitor(void **state)
{
    struct limits *l = fresh();
    struct addr balancer = a("10.0.0.1"), visitor = a("203.0.113.9");

    (void)state;
    assert_int_equal(limits_enter(l, &balancer, 100, 1, 100), LIMITS_OK);
    assert_int_equal(limits_move(l, &balancer, &visitor, 1), LIMITS_OK);
    assert_int_equal(limits_enter(l, &balancer, 100, 1, 100), LIMITS_OK);
    assert_int_equal(limits_move(l, &balancer, &visitor, 1), LIMITS_SOURCE); /* and stays counted as the balancer's */
    limits_leave(l, &balancer);
    limits_leave(l, &visitor);
    assert_int_equal(atomic_load(&l->connections), 0);
    limits_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_its_maximum),
        cmocka_unit_test(an_ipv6_site_is_one_source),
        cmocka_unit_test(the_total_and_pending_hellos_are_bounded),
        cmocka_unit_test(a_balancer_moves_the_visitor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
