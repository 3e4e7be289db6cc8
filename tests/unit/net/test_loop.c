/* test_loop.c - descriptors in the loop: told while they are ready, not told what nobody waits for, closed at any moment;
 * and the timer, which is set again only for something earlier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/net/loop.h"

struct end {
    struct loop_poll poll; /* first */
    int fd;
    int readable, writable, closed; /* how often it was told so */
    struct end *closes;             /* when told that it is readable */
    bool reads;
    bool deaf; /* wants nothing more once told */
};

static struct loop loop;

static void on_end(struct loop_poll *p, bool readable, bool writable, ts_t now)
{
    struct end *e = container_of(p, struct end, poll);
    char byte;

    (void)now;
    assert_false(p->closing);
    e->readable += readable;
    e->writable += writable;
    if (readable && e->closes)
        loop_poll_close(&e->closes->poll, NULL);
    if (readable && e->reads)
        (void)!read(e->fd, &byte, 1);
    if (e->deaf)
        loop_poll_set(p, 0);
}

static void on_closed(struct loop_poll *p)
{
    container_of(p, struct end, poll)->closed++;
}

static void pair(struct end ends[2])
{
    int fds[2];

    memset(ends, 0, 2 * sizeof(*ends));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        ends[i].fd = fds[i];
        assert_int_equal(loop_poll_init(&loop, &ends[i].poll, fds[i], on_end), 0);
    }
}

static void turns(int n)
{
    while (n-- > 0)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static int begin(void **state)
{
    (void)state;
    return loop_init(&loop, NULL, NULL);
}

static int finish(void **state)
{
    (void)state;
    assert_int_equal(loop.polls, 1); /* the timerfd's: every test has closed its own */
    loop_deinit(&loop);
    return 0;
}

static void close_both(struct end ends[2])
{
    for (int i = 0; i < 2; i++) {
        loop_poll_close(&ends[i].poll, on_closed);
        close(ends[i].fd);
    }
    turns(1);
}

static void told_while_it_is_ready(void **state)
{
    struct end ends[2];

    (void)state;
    pair(ends);
    loop_poll_set(&ends[0].poll, UV_READABLE);
    turns(2);
    assert_int_equal(ends[0].readable, 0);
    assert_int_equal(write(ends[1].fd, "abc", 3), 3);
    turns(2);
    assert_int_equal(ends[0].readable, 2); /* each turn, for nobody reads */
    ends[0].reads = true;
    turns(5);
    assert_int_equal(ends[0].readable, 5); /* three bytes more */
    assert_int_equal(ends[0].writable, 0);
    close_both(ends);
}

static void what_nobody_waits_for_is_found_out_once(void **state)
{
    struct end ends[2];

    (void)state;
    pair(ends);
    loop_poll_set(&ends[0].poll, UV_READABLE | UV_WRITABLE);
    turns(1);
    assert_int_equal(ends[0].writable, 1);
    loop_poll_set(&ends[0].poll, UV_READABLE);
    assert_int_equal(ends[0].poll.watched, UV_READABLE | UV_WRITABLE); /* no call yet */
    turns(1);
    assert_int_equal(ends[0].poll.watched, UV_READABLE);
    assert_int_equal(ends[0].writable, 1);
    loop_poll_set(&ends[0].poll, 0);
    assert_int_equal(write(ends[1].fd, "a", 1), 1);
    turns(2);
    assert_int_equal(ends[0].readable, 0);
    assert_int_equal(ends[0].poll.watched, 0); /* it does not wake the loop any more */
    loop_poll_set(&ends[0].poll, UV_READABLE);
    turns(1);
    assert_int_equal(ends[0].readable, 1);
    close_both(ends);
}

static void an_end_is_readable_and_an_error_both(void **state)
{
    struct end ends[2];
    struct loop_poll broken;
    int fds[2];

    (void)state;
    pair(ends);
    loop_poll_set(&ends[0].poll, UV_READABLE);
    shutdown(ends[1].fd, SHUT_WR);
    turns(1);
    assert_int_equal(ends[0].readable, 1);
    assert_int_equal(ends[0].writable, 0);
    close_both(ends);
    /* a pipe's writing side without a reader is in error */
    memset(ends, 0, sizeof(ends));
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(loop_poll_init(&loop, &ends[0].poll, fds[1], on_end), 0);
    loop_poll_set(&ends[0].poll, UV_READABLE);
    close(fds[0]);
    turns(3);
    assert_int_equal(ends[0].readable, 1); /* once: the owner has to ask again */
    assert_int_equal(ends[0].writable, 1);
    loop_poll_close(&ends[0].poll, NULL);
    close(fds[1]);
    assert_true(loop_poll_init(&loop, &broken, -1, on_end) < 0);
    turns(1);
}

static void who_has_heard_of_an_end_is_not_woken_for_it_again(void **state)
{
    struct end ends[2];

    (void)state;
    pair(ends);
    ends[0].deaf = true;
    loop_poll_set(&ends[0].poll, UV_READABLE);
    shutdown(ends[1].fd, SHUT_WR);
    turns(1);
    assert_int_equal(ends[0].readable, 1);
    assert_int_equal(ends[0].poll.watched, 0); /* without another event */
    close_both(ends);
}

static void a_closed_one_is_told_nothing_but_that(void **state)
{
    struct end a[2], b[2];

    (void)state;
    pair(a);
    pair(b);
    /* both are ready in one turn, and whoever comes first closes the other */
    a[0].closes = &b[0];
    b[0].closes = &a[0];
    loop_poll_set(&a[0].poll, UV_READABLE);
    loop_poll_set(&b[0].poll, UV_READABLE);
    assert_int_equal(write(a[1].fd, "a", 1), 1);
    assert_int_equal(write(b[1].fd, "a", 1), 1);
    turns(2);
    assert_int_equal(!!a[0].readable + !!b[0].readable, 1);
    close_both(a);
    close_both(b);
    assert_int_equal(a[1].closed + b[1].closed, 2);
    loop_poll_close(&a[1].poll, on_closed);
    turns(1);
    assert_int_equal(a[1].closed, 1);
}

static void its_number_may_be_anothers_at_once(void **state)
{
    struct end a[2], b[2];

    (void)state;
    pair(a);
    loop_poll_set(&a[0].poll, UV_READABLE);
    assert_int_equal(write(a[1].fd, "a", 1), 1);
    loop_poll_left(&a[0].poll, on_closed);
    assert_int_equal(a[0].closed, 0); /* not from inside a call of the owner's */
    close(a[0].fd);
    pair(b); /* takes the number */
    assert_int_equal(b[0].fd, a[0].fd);
    loop_poll_set(&b[0].poll, UV_READABLE);
    turns(2);
    assert_int_equal(a[0].closed, 1);
    assert_int_equal(a[0].readable + b[0].readable, 0);
    loop_poll_close(&a[1].poll, NULL);
    close(a[1].fd);
    close_both(b);
}

static ts_t fired_at;

static void on_timer(struct loop_timer *t, ts_t now)
{
    (void)t;
    fired_at = now;
    loop_stop(&loop);
}

static void a_timer_may_move_either_way(void **state)
{
    struct loop_timer timer;
    ts_t start = loop_now();

    (void)state;
    loop_timer_init(&timer, on_timer);
    loop_timer_arm(&loop, &timer, ts_add(start, 20 * TS_MS));
    turns(1);
    loop_timer_arm(&loop, &timer, ts_add(start, 60 * TS_MS)); /* away: the timerfd fires for nothing, and goes on */
    loop_run(&loop);
    assert_true(fired_at >= start + 60 * TS_MS);
    start = loop_now();
    loop_timer_arm(&loop, &timer, ts_add(start, 3600 * TS_S));
    turns(1);
    loop_timer_arm(&loop, &timer, ts_add(start, 5 * TS_MS)); /* nearer */
    turns(1);                                                /* as at the end of the callback that armed it */
    loop_run(&loop);
    assert_true(fired_at >= start + 5 * TS_MS && fired_at < start + 60 * TS_S);
}

/* ---- closed by the flush ---- */

static struct end three[3];
static int to_close;
static bool guarded;

static ts_t close_one(void *ctx, ts_t now)
{
    (void)ctx;
    (void)now;
    if (to_close > 0)
        loop_poll_close(&three[--to_close].poll, on_closed);
    return TS_NEVER;
}

static void on_guard(struct loop_timer *t, ts_t now)
{
    (void)t;
    (void)now;
    guarded = true;
}

/* nothing else happens that would wake the loop */
static void what_a_flush_closes_is_told_without_an_event(void **state)
{
    struct loop_timer guard;

    (void)state;
    loop.flush = close_one;
    memset(three, 0, sizeof(three));
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_poll_init(&loop, &three[i].poll, 0, on_end), 0); /* never watched */
    to_close = 3;
    guarded = false;
    loop_timer_init(&guard, on_guard);
    loop_timer_arm(&loop, &guard, loop_now() + 5 * TS_S);
    while (!guarded && three[0].closed == 0)
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_false(guarded);
    assert_int_equal(three[1].closed + three[2].closed, 2);
    loop_timer_arm(&loop, &guard, TS_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(told_while_it_is_ready, begin, finish),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_is_found_out_once, begin, finish),
        cmocka_unit_test_setup_teardown(an_end_is_readable_and_an_error_both, begin, finish),
        cmocka_unit_test_setup_teardown(who_has_heard_of_an_end_is_not_woken_for_it_again, begin, finish),
        cmocka_unit_test_setup_teardown(a_closed_one_is_told_nothing_but_that, begin, finish),
        cmocka_unit_test_setup_teardown(its_number_may_be_anothers_at_once, begin, finish),
        cmocka_unit_test_setup_teardown(a_timer_may_move_either_way, begin, finish),
        cmocka_unit_test_setup_teardown(what_a_flush_closes_is_told_without_an_event, begin, finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
