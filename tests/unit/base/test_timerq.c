/* test_timerq.c - random arming, moving, disarming and popping beside a list that is searched from end to end. */
#include "common/base/timerq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/rng.h"

#define TIMERS 64

static struct timer timers[TIMERS];
static struct {
    ts_t at;
    uint64_t order;
} model[TIMERS];

/* the model's next timer, -1 when none */
static int earliest(void)
{
    int best = -1;

    for (int i = 0; i < TIMERS; i++)
        if (model[i].at != TS_NEVER && (best < 0 || model[i].at < model[best].at ||
                                        (model[i].at == model[best].at && model[i].order < model[best].order)))
            best = i;
    return best;
}

static void random_ops(void **state)
{
    struct timerq q;
    struct rng rng;
    uint64_t orders = 0;

    (void)state;
    timerq_init(&q);
    rng_seed(&rng, 11);
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&timers[i]);
        model[i].at = TS_NEVER;
    }
    for (int step = 0; step < 200000; step++) {
        int i = (int)rng_below(&rng, TIMERS), first = earliest();
        ts_t at = rng_below(&rng, 40); /* many equal ones */

        assert_true(timerq_next(&q) == (first < 0 ? TS_NEVER : model[first].at));
        switch (rng_below(&rng, 8)) {
        case 0: { /* pop what is due */
            struct timer *t = timerq_pop(&q, at);

            if (first >= 0 && model[first].at <= at) {
                assert_ptr_equal(t, &timers[first]);
                assert_false(timer_armed(t));
                model[first].at = TS_NEVER;
            } else {
                assert_null(t);
            }
            break;
        }
        case 1:
            timerq_disarm(&q, &timers[i]);
            model[i].at = TS_NEVER;
            break;
        case 2:
            timerq_arm(&q, &timers[i], TS_NEVER);
            model[i].at = TS_NEVER;
            break;
        default: /* arming for the same moment again keeps the place in line */
            timerq_arm(&q, &timers[i], at);
            if (model[i].at != at)
                model[i].order = orders++;
            model[i].at = at;
        }
        assert_int_equal(timer_armed(&timers[i]), model[i].at != TS_NEVER);
    }
    for (int first; (first = earliest()) >= 0; model[first].at = TS_NEVER)
        assert_ptr_equal(timerq_pop(&q, TS_NEVER - 1), &timers[first]);
    assert_null(timerq_pop(&q, TS_NEVER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_ops)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
