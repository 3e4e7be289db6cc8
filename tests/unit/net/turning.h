/* turning.h - a loop that a test turns until what it waits for is true. */
#ifndef TEST_NET_TURNING_H
#define TEST_NET_TURNING_H

#include "common/net/loop.h"

#define PATIENCE (20 * TS_S)

static struct loop loop;
static struct loop_timer tick; /* so that the loop never sleeps long */

static void on_tick(struct loop_timer *timer, ts_t now)
{
    loop_timer_arm(&loop, timer, ts_add(now, TS_MS));
}

/* turn the loop until the condition holds, or fail */
#define wait_until(condition)                                                                                          \
    do {                                                                                                               \
        ts_t wait_end_ = ts_add(loop_now(), PATIENCE);                                                                 \
        while (!(condition)) {                                                                                         \
            assert_true(loop_now() < wait_end_);                                                                       \
            uv_run(&loop.uv, UV_RUN_ONCE);                                                                             \
        }                                                                                                              \
    } while (0)

static int turning_begin(void)
{
    int rc = loop_init(&loop, NULL, NULL);

    loop_timer_init(&tick, on_tick);
    if (rc == 0)
        loop_timer_arm(&loop, &tick, loop_now());
    return rc;
}

static void turning_end(void)
{
    loop_timer_arm(&loop, &tick, TS_NEVER);
    loop_deinit(&loop);
}

#endif
