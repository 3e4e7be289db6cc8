#include "common/net/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/log.h"

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * TS_S + (uint64_t)t.tv_nsec;
}

ts_t loop_now(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t loop_wall(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* fire shell timers that are due; a timer armed again for `now` waits for the next turn */
static void fire(struct loop *loop, ts_t now)
{
    struct timer *t;

    while ((t = timerq_pop(&loop->timers, now))) {
        struct loop_timer *lt = container_of(t, struct loop_timer, timer);

        lt->fn(lt, now);
    }
}

static void set_timerfd(struct loop *loop, ts_t at)
{
    if (at == loop->timer_set)
        return;
    struct itimerspec spec = {0};

    if (at != TS_NEVER) {
        ts_t t = ts_max(at, 1); /* all zero would disarm */

        spec.it_value.tv_sec = (time_t)(t / TS_S);
        spec.it_value.tv_nsec = (long)(t % TS_S);
    }
    int rc = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);

    BUG_ON(rc != 0);
    loop->timer_set = at;
}

static void on_timerfd(struct loop_poll *p, bool readable, bool writable, ts_t now)
{
    struct loop *loop = container_of(p, struct loop, timerfd);
    uint64_t expirations;

    (void)readable;
    (void)writable;
    if (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
        log_error("loop", "timerfd=\"%s\"", strerror(errno));
    loop->timer_set = TS_NEVER;
    fire(loop, now);
}

/* once a turn: move what the callbacks left behind, then wait until the next deadline */
static void turn(struct loop *loop)
{
    ts_t now = loop_now();

    loop->dirty = false;
    fire(loop, now);
    ts_t engine = loop->flush ? loop->flush(loop->ctx, now) : TS_NEVER;

    set_timerfd(loop, ts_min(engine, timerq_next(&loop->timers)));
}

/* what passed since the last wait began, less the waiting */
static void measure(struct loop *loop)
{
    uint64_t idle = uv_metrics_idle_time(&loop->uv);
    ts_t now = loop_now();
    uint64_t passed = ts_since(now, loop->woke_at), waited = idle - loop->idle_ns;

    if (loop->woke_at && passed > waited && passed - waited > loop->turn_max_ns)
        loop->turn_max_ns = passed - waited;
    loop->woke_at = now;
    loop->idle_ns = idle;
}

static void on_check(uv_check_t *check)
{
    struct loop *loop = container_of(check, struct loop, check);

    turn(loop);
    measure(loop);
}

/* before the first wait, and after close callbacks, which come later in a turn than the check: flush what they did */
static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = container_of(prepare, struct loop, prepare);

    if (loop->dirty)
        turn(loop);
}

int loop_init(struct loop *loop, ts_t (*flush)(void *ctx, ts_t now), void *ctx)
{
    memset(loop, 0, sizeof(*loop));
    loop->flush = flush;
    loop->ctx = ctx;
    loop->timer_set = TS_NEVER;
    timerq_init(&loop->timers);
    int rc = uv_loop_init(&loop->uv);

    if (rc != 0)
        return rc;
    (void)uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timer_fd < 0) {
        rc = -errno;
        goto close_loop;
    }
    rc = loop_poll_init(loop, &loop->timerfd, loop->timer_fd, on_timerfd);
    if (rc != 0)
        goto close_fd;
    loop_poll_set(&loop->timerfd, UV_READABLE);
    uv_check_init(&loop->uv, &loop->check);
    uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->check);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_unref((uv_handle_t *)&loop->prepare);
    loop->dirty = true;
    return 0;

close_fd:
    close(loop->timer_fd);
close_loop:
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    uv_loop_close(&loop->uv);
    return rc;
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    uv_stop(&loop->uv);
}

static void say_open(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle))
        log_error("loop", "left_open=%s", uv_handle_type_name(handle->type));
}

void loop_deinit(struct loop *loop)
{
    loop_poll_close(&loop->timerfd, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_walk(&loop->uv, say_open, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT); /* close callbacks */
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    close(loop->timer_fd);
    WARN_ON(uv_loop_close(&loop->uv) != 0);
}

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *, ts_t))
{
    timer_init(&t->timer);
    t->fn = fn;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *t, ts_t at)
{
    timerq_arm(&loop->timers, &t->timer, at);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct loop_poll *p = container_of(uv, struct loop_poll, uv);

    if (p->closing)
        return;
    /* an error or hang-up makes the descriptor both: the read or write then says what it is */
    bool both = status < 0;

    if (both)
        p->events = 0; /* libuv has stopped watching; the next loop_poll_set begins anew */
    p->fn(p, both || (events & (UV_READABLE | UV_DISCONNECT)), both || (events & UV_WRITABLE), loop_now());
}

int loop_poll_init(struct loop *loop, struct loop_poll *p, int fd,
                   void (*fn)(struct loop_poll *, bool readable, bool writable, ts_t now))
{
    memset(p, 0, sizeof(*p));
    int rc = uv_poll_init(&loop->uv, &p->uv, fd);

    if (rc != 0)
        return rc;
    p->loop = loop;
    p->fn = fn;
    return 0;
}

void loop_poll_set(struct loop_poll *p, int events)
{
    if (p->closing || p->events == events)
        return;
    p->events = events;
    int rc = events ? uv_poll_start(&p->uv, events, on_poll) : uv_poll_stop(&p->uv);

    WARN_ON(rc != 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct loop_poll *p = container_of((uv_poll_t *)handle, struct loop_poll, uv);

    if (p->closed) {
        p->loop->dirty = true; /* before: the memory may be gone after */
        p->closed(p);
    }
}

void loop_poll_close(struct loop_poll *p, void (*closed)(struct loop_poll *))
{
    if (p->closing)
        return;
    p->closing = true;
    p->closed = closed;
    uv_poll_stop(&p->uv);
    uv_close((uv_handle_t *)&p->uv, on_closed);
}
