/* dial.c - one descriptor at a time; the loop lets go of one before the next is made, and of the last before the
 * memory goes. Every step after a descriptor's end therefore begins in its close callback. */
#include "node/dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/stream.h"

struct dial {
    struct loop_poll poll; /* of fd */
    struct loop *loop;
    struct loop_timer timer; /* the whole deadline; before the first step: now */
    struct resolver *resolver;
    struct resolver_query query;
    const struct config_hostport *to;
    void (*done)(void *ctx, int fd_or_error, ts_t now);
    void *ctx;
    struct addr addrs[RESOLVER_ADDRS_MAX];
    size_t addrs_count, addrs_next;
    ts_t deadline;
    int fd; /* -1: none */
    int error;
    bool begun;
    bool over; /* done was called, or is not wanted */
};

static void release(struct loop_poll *poll)
{
    free(container_of(poll, struct dial, poll));
}

static void over(struct dial *d, int fd_or_error, ts_t now)
{
    if (!d->over) {
        d->over = true;
        d->done(d->ctx, fd_or_error, now);
    }
}

/* no descriptor is in the loop: tell and free */
static void fail(struct dial *d, int error, ts_t now)
{
    resolver_cancel(&d->query);
    loop_timer_arm(d->loop, &d->timer, TS_NEVER);
    over(d, error, now);
    free(d);
}

static void try_next(struct dial *d, ts_t now);

static void on_failed_closed(struct loop_poll *poll)
{
    struct dial *d = container_of(poll, struct dial, poll);

    if (d->over) /* cancelled meanwhile */
        free(d);
    else
        try_next(d, loop_now());
}

static void on_poll(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct dial *d = container_of(poll, struct dial, poll);
    int fd = d->fd;

    (void)readable;
    (void)writable;
    d->error = stream_error(fd);
    d->fd = -1;
    if (d->error == 0) {
        loop_timer_arm(d->loop, &d->timer, TS_NEVER);
        loop_poll_close(&d->poll, release);
        over(d, fd, now);
        return;
    }
    loop_poll_close(&d->poll, on_failed_closed);
    close(fd);
}

/* connect to the next address; the ones that fail at once are passed over */
static void try_next(struct dial *d, ts_t now)
{
    bool unix_socket = *d->to->unix_path != 0;

    while (d->addrs_next < (unix_socket ? 1 : d->addrs_count)) {
        size_t i = d->addrs_next++;
        struct addrport to = {.port = d->to->port};

        if (!unix_socket)
            to.addr = d->addrs[i];
        int fd = unix_socket ? stream_connect_unix(d->to->unix_path) : stream_connect(&to);

        if (fd >= 0) {
            d->error = loop_poll_init(d->loop, &d->poll, fd, on_poll);
            if (d->error == 0) {
                d->fd = fd;
                loop_poll_set(&d->poll, UV_WRITABLE);
                return;
            }
            close(fd);
        } else {
            d->error = fd;
        }
    }
    fail(d, d->error, now);
}

static void on_resolved(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now)
{
    struct dial *d = container_of(query, struct dial, query);

    if (status != 0) {
        fail(d, status, now);
        return;
    }
    memcpy(d->addrs, addrs, count * sizeof(*addrs));
    d->addrs_count = count;
    try_next(d, now);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct dial *d = container_of(timer, struct dial, timer);

    if (!d->begun) {
        d->begun = true;
        loop_timer_arm(d->loop, &d->timer, d->deadline);
        if (*d->to->unix_path)
            try_next(d, now);
        else
            resolver_ask(d->resolver, &d->query, d->to->host);
        return;
    }
    if (d->fd < 0) {
        /* between two descriptors: the close callback frees it; else it waits for the resolver */
        if (d->poll.closing)
            over(d, -ETIMEDOUT, now);
        else
            fail(d, -ETIMEDOUT, now);
        return;
    }
    int fd = d->fd;

    d->fd = -1;
    loop_poll_close(&d->poll, release);
    close(fd);
    over(d, -ETIMEDOUT, now);
}

struct dial *dial_start(struct loop *loop, struct resolver *resolver, const struct config_hostport *to,
                        uint64_t timeout_ns, void (*done)(void *ctx, int fd_or_error, ts_t now), void *ctx, ts_t now)
{
    struct dial *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->loop = loop;
    d->resolver = resolver;
    d->query.done = on_resolved;
    d->to = to;
    d->done = done;
    d->ctx = ctx;
    d->deadline = ts_add(now, timeout_ns);
    d->fd = -1;
    d->error = ERR_NOT_FOUND;
    loop_timer_init(&d->timer, on_timer);
    loop_timer_arm(loop, &d->timer, now); /* a step of its own, so that done never comes from inside here */
    return d;
}

void dial_cancel(struct dial *d)
{
    if (!d)
        return;
    d->over = true;
    resolver_cancel(&d->query);
    loop_timer_arm(d->loop, &d->timer, TS_NEVER);
    if (d->fd >= 0) {
        int fd = d->fd;

        d->fd = -1;
        loop_poll_close(&d->poll, release);
        close(fd);
    } else if (!d->poll.closing) {
        free(d);
    }
}
