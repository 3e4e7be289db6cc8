/* dial.c - attempts are objects of their own, because the loop lets go of a descriptor only later: a dial that is over
 * goes at once, and its attempts follow as their close callbacks come. */
#include "common/net/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/net/stream.h"

struct attempt {
    struct loop_poll poll;
    struct list link;
    struct dial *dial; /* not looked at any more once the poll is closing */
    struct addrport to;
    int fd;
};

struct dial {
    struct loop *loop;
    struct resolver *resolver;
    struct resolver_query query;
    struct loop_timer timer;
    struct list attempts; /* under way */
    char *host, *unix_path;
    uint16_t port;
    struct addr addrs[RESOLVER_ADDRS_MAX];
    size_t addrs_count, addrs_next;
    ts_t deadline;
    ts_t next_at; /* when the next address is tried beside those under way; TS_NEVER: none is left */
    bool begun;
    int error; /* of the last attempt that failed */
    char why[DIAL_WHY];
    void (*done)(void *ctx, int fd_or_error, const char *why, ts_t now);
    void *ctx;
};

void dial_interleave(struct addr *addrs, size_t count)
{
    struct addr in[RESOLVER_ADDRS_MAX];
    size_t at[2] = {0, 0}; /* where to look for the next one of the first family, and of the other */

    BUG_ON(count > RESOLVER_ADDRS_MAX);
    if (count == 0)
        return;
    memcpy(in, addrs, count * sizeof(*in));
    bool first_v4 = addr_is_v4(&in[0]);

    for (size_t out = 0, family = 0; out < count; family = !family) {
        bool v4 = first_v4 != (family == 1);

        while (at[family] < count && addr_is_v4(&in[at[family]]) != v4)
            at[family]++;
        if (at[family] < count)
            addrs[out++] = in[at[family]++];
    }
}

/* ---- the end ---- */

static void free_attempt(struct loop_poll *poll)
{
    free(container_of(poll, struct attempt, poll));
}

/* end_attempt - takes it out; its descriptor is the caller's from here on */
static int end_attempt(struct attempt *a)
{
    int fd = a->fd;

    list_remove(&a->link);
    loop_poll_close(&a->poll, free_attempt);
    return fd;
}

static void release(struct dial *d)
{
    struct list *link;

    resolver_cancel(&d->query);
    loop_timer_arm(d->loop, &d->timer, TS_NEVER);
    while ((link = list_first(&d->attempts)))
        close(end_attempt(container_of(link, struct attempt, link)));
    free(d->host);
    free(d->unix_path);
    free(d);
}

static void finish(struct dial *d, int fd_or_error, ts_t now)
{
    void (*done)(void *, int, const char *, ts_t) = d->done;
    void *ctx = d->ctx;
    char why[DIAL_WHY];

    memcpy(why, d->why, sizeof(why));
    release(d);
    done(ctx, fd_or_error, fd_or_error < 0 ? why : "", now);
}

void dial_cancel(struct dial *d)
{
    if (d)
        release(d);
}

/* ---- attempts ---- */

static void note(struct dial *d, const struct addrport *to, int error)
{
    char text[ADDRPORT_STR];

    d->error = error;
    snprintf(d->why, sizeof(d->why), "%.107s: %s", to ? addrport_format(to, text) : d->unix_path, err_str(error));
}

static void on_poll(struct loop_poll *poll, bool readable, bool writable, ts_t now);

/* start an attempt; false: it failed at once, which is noted */
static bool attempt(struct dial *d, const struct addrport *to)
{
    struct attempt *a = calloc(1, sizeof(*a));
    int fd = !a ? ERR_NOMEM : to ? stream_connect(to) : stream_connect_unix(d->unix_path);
    int error = fd < 0 ? fd : loop_poll_init(d->loop, &a->poll, fd, on_poll);

    if (error < 0) {
        note(d, to, error);
        if (fd >= 0)
            close(fd);
        free(a);
        return false;
    }
    a->dial = d;
    a->fd = fd;
    if (to)
        a->to = *to;
    list_init(&a->link);
    list_append(&d->attempts, &a->link);
    loop_poll_set(&a->poll, UV_WRITABLE);
    return true;
}

static size_t addresses(const struct dial *d)
{
    return d->unix_path ? 1 : d->addrs_count;
}

/* the next address that does not fail at once; nothing under way and none left: that was all */
static void go_on(struct dial *d, ts_t now)
{
    bool started = false;

    while (d->addrs_next < addresses(d) && !started) {
        struct addrport to = {.addr = d->addrs[d->addrs_next++], .port = d->port};

        started = attempt(d, d->unix_path ? NULL : &to);
    }
    if (list_empty(&d->attempts)) {
        finish(d, d->error, now);
        return;
    }
    d->next_at = d->addrs_next < addresses(d) ? ts_add(now, DIAL_ATTEMPT_DELAY_NS) : TS_NEVER;
    loop_timer_arm(d->loop, &d->timer, ts_min(d->next_at, d->deadline));
}

static void on_poll(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct attempt *a = container_of(poll, struct attempt, poll);
    struct dial *d = a->dial;
    struct addrport to = a->to;
    int error = stream_error(a->fd);

    (void)readable;
    (void)writable;
    if (error == 0) {
        finish(d, end_attempt(a), now);
        return;
    }
    note(d, d->unix_path ? NULL : &to, error);
    close(end_attempt(a));
    go_on(d, now);
}

/* ---- the beginning ---- */

static void take_addresses(struct dial *d, const struct addr *addrs, size_t count)
{
    memcpy(d->addrs, addrs, count * sizeof(*addrs));
    d->addrs_count = count;
    dial_interleave(d->addrs, count);
}

static void on_resolved(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now)
{
    struct dial *d = container_of(query, struct dial, query);

    if (status != 0) {
        snprintf(d->why, sizeof(d->why), "looking up %.100s: %s", d->host,
                 status == ERR_NOT_FOUND ? "no such name" : err_str(status));
        finish(d, status, now);
        return;
    }
    take_addresses(d, addrs, count);
    go_on(d, now);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct dial *d = container_of(timer, struct dial, timer);

    if (now >= d->deadline) {
        size_t said = strlen(d->why);

        snprintf(d->why + said, sizeof(d->why) - said, "%s%s%.60s did not answer in time", said ? "; " : "",
                 d->addrs_count ? "" : "looking up ", d->unix_path ? "the socket" : d->host);
        finish(d, -ETIMEDOUT, now);
    } else if (d->begun) {
        go_on(d, now);
    } else {
        d->begun = true;
        loop_timer_arm(d->loop, &d->timer, d->deadline);
        if (addresses(d) > 0)
            go_on(d, now);
        else
            resolver_ask(d->resolver, &d->query, d->host);
    }
}

struct dial *dial_start(struct loop *loop, struct resolver *resolver, const struct dial_to *to, uint64_t timeout_ns,
                        void (*done)(void *ctx, int fd_or_error, const char *why, ts_t now), void *ctx, ts_t now)
{
    struct dial *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    list_init(&d->attempts);
    loop_timer_init(&d->timer, on_timer);
    d->loop = loop;
    d->resolver = resolver;
    d->query.done = on_resolved;
    d->port = to->port;
    d->deadline = ts_add(now, timeout_ns);
    d->error = ERR_NOT_FOUND;
    d->done = done;
    d->ctx = ctx;
    d->host = strdup(to->host ? to->host : "");
    if (to->unix_path && *to->unix_path)
        d->unix_path = strdup(to->unix_path);
    if (!d->host || (to->unix_path && *to->unix_path && !d->unix_path)) {
        release(d);
        return NULL;
    }
    BUG_ON(to->addrs_count > RESOLVER_ADDRS_MAX);
    if (to->addrs_count > 0)
        take_addresses(d, to->addrs, to->addrs_count);
    loop_timer_arm(loop, &d->timer, now); /* a step of its own, so that done never comes from inside here */
    return d;
}
