#include "common/net/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/log.h"

#define EVENTS_A_WAIT 256 /* then they are flushed; more are found at the next turn */

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

/* deadlines mostly move away: then the timer finds out when it fires, and a call a turn is saved */
static void set_timerfd(struct loop *loop, ts_t at)
{
    if (at >= loop->timer_set)
        return;
    ts_t t = ts_max(at, 1); /* all zero would disarm */
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(t / TS_S), .tv_nsec = (long)(t % TS_S)},
    };
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

/* tell owners that their memory is free again; they may close more meanwhile */
static void tell_closed(struct loop *loop)
{
    struct loop_poll *p;

    while ((p = loop->closed)) {
        loop->closed = p->next_closed;
        if (p->closed)
            p->closed(p);
    }
}

/* once a turn: move what the callbacks left behind, then wait until the next deadline */
static void turn(struct loop *loop)
{
    ts_t now = loop_now();

    loop->dirty = false;
    fire(loop, now);
    tell_closed(loop);
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

/* before the first wait, and when the flush itself has closed something: owners are told, and what they do is flushed */
static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = container_of(prepare, struct loop, prepare);

    if (loop->dirty)
        turn(loop);
    if (loop->dirty) /* and closed more: the wait must not be for something else to happen */
        set_timerfd(loop, 1);
}

static void watch(struct loop_poll *p, unsigned events)
{
    struct epoll_event wanted = {.data.ptr = p};

    wanted.events = (events & UV_READABLE ? EPOLLIN | EPOLLRDHUP : 0) | (events & UV_WRITABLE ? EPOLLOUT : 0);
    WARN_ON(epoll_ctl(p->loop->set_fd, p->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, p->fd, &wanted) != 0);
    p->watched = (uint8_t)events;
}

/* an event came, or is to come again, that nobody waits for: now it pays to say so */
static void watch_less(struct loop_poll *p)
{
    if (p->events) {
        watch(p, p->events);
        return;
    }
    epoll_ctl(p->loop->set_fd, EPOLL_CTL_DEL, p->fd, NULL);
    p->watched = 0;
}

/* one descriptor is ready; its owner may close it, or any other, whose `closing` is then looked at here */
static void dispatch(struct loop_poll *p, uint32_t is)
{
    if (p->closing)
        return;
    if (is & EPOLLERR) {
        /* the read or write says what it is; not watched any more, for the error may stay */
        epoll_ctl(p->loop->set_fd, EPOLL_CTL_DEL, p->fd, NULL);
        p->events = p->watched = 0;
        p->fn(p, true, true, loop_now());
        return;
    }
    bool readable = (p->events & UV_READABLE) && (is & (EPOLLIN | EPOLLHUP | EPOLLRDHUP));
    bool writable = (p->events & UV_WRITABLE) && (is & (EPOLLOUT | EPOLLHUP));

    if (readable || writable)
        p->fn(p, readable, writable, loop_now());
    /* the other side's end stays: who has heard of it need not be woken for it once more */
    bool stays = (is & (EPOLLHUP | EPOLLRDHUP)) && p->watched & ~p->events && !p->closing;

    if (!(readable || writable) || stays)
        watch_less(p);
}

static void on_set(uv_poll_t *set, int status, int events)
{
    struct loop *loop = container_of(set, struct loop, set);
    struct epoll_event is[EVENTS_A_WAIT];
    int n = epoll_wait(loop->set_fd, is, EVENTS_A_WAIT, 0);

    (void)status;
    (void)events;
    for (int i = 0; i < n; i++)
        dispatch(is[i].data.ptr, is[i].events);
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
    loop->set_fd = loop->timer_fd < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (loop->set_fd < 0) {
        rc = -errno;
        goto close_loop;
    }
    rc = uv_poll_init(&loop->uv, &loop->set, loop->set_fd);
    if (rc != 0)
        goto close_loop;
    uv_poll_start(&loop->set, UV_READABLE, on_set);
    BUG_ON(loop_poll_init(loop, &loop->timerfd, loop->timer_fd, on_timerfd) != 0);
    loop_poll_set(&loop->timerfd, UV_READABLE);
    uv_check_init(&loop->uv, &loop->check);
    uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->check);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_unref((uv_handle_t *)&loop->prepare);
    loop->dirty = true;
    return 0;

close_loop:
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    if (loop->set_fd >= 0)
        close(loop->set_fd);
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
    tell_closed(loop);
    if (loop->polls > 0)
        log_error("loop", "left_open=descriptor count=%u", loop->polls);
    uv_close((uv_handle_t *)&loop->set, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_walk(&loop->uv, say_open, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT); /* close callbacks */
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    tell_closed(loop);
    close(loop->timer_fd);
    close(loop->set_fd);
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

int loop_poll_init(struct loop *loop, struct loop_poll *p, int fd,
                   void (*fn)(struct loop_poll *, bool readable, bool writable, ts_t now))
{
    if (fd < 0)
        return -EBADF;
    *p = (struct loop_poll){.loop = loop, .fn = fn, .fd = fd};
    loop->polls++;
    return 0;
}

void loop_poll_set(struct loop_poll *p, int events)
{
    if (p->closing)
        return;
    p->events = (uint8_t)events;
    if (events & ~p->watched)
        watch(p, p->watched | (unsigned)events);
}

static void leave(struct loop_poll *p, void (*closed)(struct loop_poll *))
{
    p->closing = true;
    p->closed = closed;
    p->next_closed = p->loop->closed;
    p->loop->closed = p;
    p->loop->polls--;
    p->loop->dirty = true;
}

void loop_poll_close(struct loop_poll *p, void (*closed)(struct loop_poll *))
{
    if (p->closing)
        return;
    if (p->watched)
        epoll_ctl(p->loop->set_fd, EPOLL_CTL_DEL, p->fd, NULL);
    leave(p, closed);
}

void loop_poll_left(struct loop_poll *p, void (*closed)(struct loop_poll *))
{
    if (!p->closing)
        leave(p, closed);
}
