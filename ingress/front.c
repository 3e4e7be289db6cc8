/* front.c
 *
 *      listener --accept--> greeting: [PROXY header] [ClientHello] --visitor--> worker_dispatch
 *
 * A greeting holds at most hello.max_size bytes and hello.timeout of time. It reads no more than it needs to decide,
 * and everything read is kept for the node. Each listener reads its settings from the worker's generation, so a reload
 * changes them for the next visitor. */
#include "ingress/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/hello/hello.h"
#include "common/net/stream.h"
#include "common/proxy/proxy.h"

#define ACCEPTS_A_TURN   64                /* then other work gets its turn */
#define ACCEPT_PAUSE_NS  (100 * TS_MS)     /* out of descriptors or memory: try again after this */
#define READ_BYTES       2048              /* a usual ClientHello in one read */

struct listener {
    struct loop_poll poll; /* first */
    struct front *front;
    struct listener *next;
    struct loop_timer pause;
    int fd;
    struct addrport address;
};

struct greeting {
    struct loop_poll poll; /* first */
    struct front *front;
    struct greeting *next, *prev;
    struct loop_timer timeout;
    struct visitor *visitor;
    size_t need;        /* don't parse before this many bytes are held */
    size_t max_bytes;
    bool proxy_header;  /* comes first */
    bool tls;           /* else the listener's target is the name */
    char *fixed_name;   /* of a raw listener; owned until it becomes the visitor's */
    uint16_t fixed_port;
};

struct front {
    struct worker *worker;
    struct listener *listeners;
    struct greeting *greetings;
    size_t greetings_count;
    struct log_limit accept_errors;
    struct log_limit turned_away;
};

struct front *front_new(struct worker *worker)
{
    struct front *front = calloc(1, sizeof(*front));

    if (front) {
        front->worker = worker;
        bucket_init(&front->accept_errors.bucket, 1, 5);
        bucket_init(&front->turned_away.bucket, 10, 100);
    }
    return front;
}

void front_free(struct front *front)
{
    if (!front)
        return;
    BUG_ON(front->listeners || front->greetings);
    free(front);
}

size_t front_pending(const struct front *front)
{
    return front->greetings_count;
}

static const struct ingress_config_listen *settings(const struct generation *g, const struct addrport *address)
{
    const struct ingress_config *c = g->config;

    for (size_t i = 0; i < c->listen_count; i++)
        if (addrport_equal(&c->listen[i].address, address))
            return &c->listen[i];
    return NULL;
}

/* ---- greetings ---- */

static void greeting_freed(struct loop_poll *p)
{
    struct greeting *g = container_of(p, struct greeting, poll);

    free(g->fixed_name);
    free(g);
}

/* the visitor has left the greeting, by either way */
static void greeting_close(struct greeting *g)
{
    struct front *front = g->front;

    loop_timer_arm(&front->worker->loop, &g->timeout, TS_NEVER);
    limits_hello_done(front->worker->all->limits);
    if (g->prev)
        g->prev->next = g->next;
    else
        front->greetings = g->next;
    if (g->next)
        g->next->prev = g->prev;
    front->greetings_count--;
    loop_poll_close(&g->poll, greeting_freed);
}

static void greeting_end(struct greeting *g, enum reason reason, ts_t now)
{
    struct worker *worker = g->front->worker;
    struct visitor *v = g->visitor;

    greeting_close(g);
    visitor_refuse(v, reason);
    worker_end_visit(worker, &v->visit, reason, NULL, NULL, NULL, now);
    visitor_free(v);
    worker_check_empty(worker);
}

static void greeting_timeout(struct loop_timer *t, ts_t now)
{
    greeting_end(container_of(t, struct greeting, timeout), REASON_HELLO_TIMEOUT, now);
}

/* the name is known: off to the node's worker */
static void greeting_done(struct greeting *g, char *name, uint16_t port, ts_t now)
{
    struct worker *worker = g->front->worker;
    struct visitor *v = g->visitor;

    v->visit.hello_at = now;
    v->route_name = name;
    v->route_port = port;
    greeting_close(g);
    worker_dispatch(worker, v, now);
    worker_check_empty(worker);
}

static enum reason hello_reason(enum hello_result result)
{
    switch (result) {
    case HELLO_NOT_TLS:
        return REASON_HELLO_NOT_TLS;
    case HELLO_TOO_LARGE:
        return REASON_HELLO_TOO_LARGE;
    case HELLO_NO_SNI:
        return REASON_NO_SNI;
    default:
        return REASON_HELLO_MALFORMED;
    }
}

/* false: the greeting is over */
static bool greeting_proxy(struct greeting *g, ts_t now)
{
    struct visitor *v = g->visitor;
    struct worker *worker = g->front->worker;
    struct proxy_header header;

    switch (proxy_parse(v->held, v->held_len, &header)) {
    case PROXY_NEED_MORE:
        return true;
    case PROXY_BAD:
        greeting_end(g, REASON_PROXY_HEADER, now);
        return false;
    case PROXY_OK:
        break;
    }
    memmove(v->held, v->held + header.consumed, v->held_len - header.consumed);
    v->held_len -= header.consumed;
    g->proxy_header = false;
    g->need = 1;
    if (header.local)
        return true;
    if (limits_move(v->limits, &v->visit.client.addr, &header.src.addr,
                    (unsigned)worker->generation->config->limits.connections_per_source) != LIMITS_OK) {
        greeting_end(g, REASON_LIMIT_SOURCE, now);
        return false;
    }
    v->visit.client = header.src;
    return true;
}

static void greeting_hello(struct greeting *g, ts_t now)
{
    struct visitor *v = g->visitor;
    struct hello hello;
    enum hello_result result = hello_parse(v->held, v->held_len, g->max_bytes, &hello);

    if (result == HELLO_NEED_MORE) {
        g->need = hello.need;
        return;
    }
    v->tls = result != HELLO_NOT_TLS;
    if (result != HELLO_OK) {
        greeting_end(g, hello_reason(result), now);
        return;
    }
    char *name = strdup(hello.name);

    v->visit.name = strdup(hello.name);
    if (!name || !v->visit.name) {
        free(name);
        greeting_end(g, REASON_OUT_OF_MEMORY, now);
        return;
    }
    greeting_done(g, name, v->visit.port, now);
}

/* what the bytes held so far allow */
static void greeting_step(struct greeting *g, ts_t now)
{
    if (g->proxy_header && (!greeting_proxy(g, now) || g->proxy_header))
        return;
    if (!g->tls) {
        char *name = g->fixed_name;

        g->fixed_name = NULL;
        greeting_done(g, name, g->fixed_port, now);
    } else if (g->visitor->held_len >= g->need) {
        greeting_hello(g, now);
    }
}

static void greeting_readable(struct loop_poll *p, bool readable, bool writable, ts_t now)
{
    struct greeting *g = container_of(p, struct greeting, poll);
    struct visitor *v = g->visitor;
    /* never hold more than a hello and, before it, a PROXY header may have */
    size_t cap = g->max_bytes + (g->proxy_header ? PROXY_MAX_BYTES : 0);
    size_t want = MIN((size_t)READ_BYTES, cap > v->held_len ? cap - v->held_len : 1);

    (void)readable;
    (void)writable;
    uint8_t came[READ_BYTES];
    ssize_t n = recv(v->fd, came, want, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        greeting_end(g, REASON_VISITOR_GONE, now);
        return;
    }
    if (!visitor_hold(v, (size_t)n)) {
        greeting_end(g, REASON_OUT_OF_MEMORY, now);
        return;
    }
    memcpy(v->held + v->held_len, came, (size_t)n);
    v->held_len += (size_t)n;
    greeting_step(g, now);
}

/* a refusal before there is a visitor: nothing to say, nothing to keep */
static void turn_away(struct listener *l, int fd, const struct addrport *client, enum reason reason, ts_t now)
{
    struct visit visit = {.client = *client, .listener = l->address, .accepted_at = now, .wall_ns = loop_wall()};

    stream_reset_close(fd);
    /* as fast as strangers can connect: all are counted, some are logged */
    unsigned long left_out;

    if (log_allowed(&l->front->turned_away, now, &left_out))
        worker_end_visit(l->front->worker, &visit, reason, NULL, NULL, NULL, now);
    else
        l->front->worker->ended[reason]++;
}

static bool trusted(const struct ingress_config_listen *s, const struct addr *a)
{
    for (size_t i = 0; i < s->proxy_from_count; i++)
        if (prefix_holds(&s->proxy_from[i], a))
            return true;
    return false;
}

static struct greeting *greeting_new(struct front *front, struct visitor *v, const struct ingress_config_listen *s)
{
    struct greeting *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    if (loop_poll_init(&front->worker->loop, &g->poll, v->fd, greeting_readable) != 0) {
        free(g);
        return NULL;
    }
    g->front = front;
    g->visitor = v;
    g->need = 1;
    g->max_bytes = front->worker->generation->config->hello.size_bytes_max;
    g->proxy_header = s->proxy_protocol == INGRESS_CONFIG_PROXY_REQUIRE;
    g->tls = s->protocol == INGRESS_CONFIG_TLS;
    if (!g->tls) {
        g->fixed_name = strdup(s->target.host);
        g->fixed_port = s->target.port;
    }
    loop_timer_init(&g->timeout, greeting_timeout);
    g->next = front->greetings;
    if (g->next)
        g->next->prev = g;
    front->greetings = g;
    front->greetings_count++;
    return g;
}

static void welcome(struct listener *l, const struct ingress_config_listen *s, int fd, const struct addrport *client,
                    ts_t now)
{
    struct worker *worker = l->front->worker;
    const struct ingress_config *c = worker->generation->config;
    enum limits_verdict verdict = limits_enter(worker->all->limits, &client->addr, (unsigned)c->limits.connections,
                                               (unsigned)c->limits.connections_per_source,
                                               (unsigned)c->limits.pending_hellos);

    if (verdict != LIMITS_OK) {
        turn_away(l, fd, client, verdict == LIMITS_TOTAL ? REASON_LIMIT_TOTAL : REASON_LIMIT_SOURCE, now);
        return;
    }
    struct visitor *v = visitor_new(fd, client, worker->all->limits, now, loop_wall());

    if (!v) {
        limits_hello_done(worker->all->limits);
        limits_leave(worker->all->limits, &client->addr);
        turn_away(l, fd, client, REASON_OUT_OF_MEMORY, now);
        return;
    }
    v->visit.listener = l->address;
    v->visit.port = s->public_port;
    struct greeting *g = greeting_new(l->front, v, s);

    if (!g) {
        limits_hello_done(worker->all->limits);
        worker_end_visit(worker, &v->visit, REASON_OUT_OF_MEMORY, NULL, NULL, NULL, now);
        visitor_free(v);
        return;
    }
    if (g->proxy_header && !trusted(s, &client->addr)) {
        greeting_end(g, REASON_PROXY_HEADER, now);
        return;
    }
    loop_timer_arm(&worker->loop, &g->timeout, ts_add(now, c->hello.timeout_ns));
    if (!g->tls && !g->fixed_name) {
        greeting_end(g, REASON_OUT_OF_MEMORY, now);
        return;
    }
    if (!g->tls && !g->proxy_header) {
        greeting_step(g, now); /* the server may speak first: wait for nothing */
        return;
    }
    greeting_readable(&g->poll, true, false, now); /* often the hello is here already */
    loop_poll_set(&g->poll, UV_READABLE);          /* else it is waited for; nothing happens if the greeting is over */
}

/* ---- listeners ---- */

/* accept at most `most`; false: none left */
static bool accept_some(struct listener *l, int most, ts_t now)
{
    struct worker *worker = l->front->worker;
    const struct ingress_config_listen *s = settings(worker->generation, &l->address);

    while (most-- > 0) {
        struct addrport client;
        int fd = stream_accept(l->fd, &client);

        if (fd >= 0 && s) {
            welcome(l, s, fd, &client, now);
            continue;
        }
        if (fd >= 0) {
            close(fd); /* this listener is on its way out */
            continue;
        }
        if (fd == -EAGAIN)
            return false;
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
            unsigned long left_out;
            char text[ADDRPORT_STR];

            if (log_allowed(&l->front->accept_errors, now, &left_out))
                log_error("front", "event=accept_failed listener=%s error=\"%s\" left_out=%lu advice=\"raise the file limit\"",
                          addrport_format(&l->address, text), err_str(fd), left_out);
            loop_poll_set(&l->poll, 0);
            loop_timer_arm(&worker->loop, &l->pause, ts_add(now, ACCEPT_PAUSE_NS));
            return false;
        }
        /* a connection that died in the queue, or a network error of it (accept(2)): the next one */
    }
    return true;
}

static void on_listener(struct loop_poll *p, bool readable, bool writable, ts_t now)
{
    (void)readable;
    (void)writable;
    accept_some(container_of(p, struct listener, poll), ACCEPTS_A_TURN, now);
}

static void on_pause_over(struct loop_timer *t, ts_t now)
{
    struct listener *l = container_of(t, struct listener, pause);

    (void)now;
    loop_poll_set(&l->poll, UV_READABLE);
}

int front_listen(struct front *front, int fd, const char *address)
{
    struct listener *l = calloc(1, sizeof(*l));

    if (!l)
        return ERR_NOMEM;
    if (!addrport_parse(address, strlen(address), &l->address)) {
        free(l);
        return ERR_INVALID;
    }
    int rc = loop_poll_init(&front->worker->loop, &l->poll, fd, on_listener);

    if (rc != 0) {
        free(l);
        return rc;
    }
    l->front = front;
    l->fd = fd;
    loop_timer_init(&l->pause, on_pause_over);
    l->next = front->listeners;
    front->listeners = l;
    loop_poll_set(&l->poll, UV_READABLE);
    return 0;
}

static void listener_freed(struct loop_poll *p)
{
    free(container_of(p, struct listener, poll));
}

static void listener_close(struct listener *l)
{
    struct listener **at = &l->front->listeners;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    loop_timer_arm(&l->front->worker->loop, &l->pause, TS_NEVER);
    loop_poll_close(&l->poll, listener_freed);
    close(l->fd);
}

void front_generation(struct front *front, const struct generation *generation)
{
    struct listener *next;

    for (struct listener *l = front->listeners; l; l = next) {
        next = l->next;
        if (!settings(generation, &l->address))
            listener_close(l);
    }
}

void front_close_listeners(struct front *front, ts_t now)
{
    while (front->listeners) {
        struct listener *l = front->listeners;

        /* closing a listener resets what waits in its queue: take it first */
        while (accept_some(l, ACCEPTS_A_TURN, now))
            ;
        listener_close(l);
    }
}

void front_stop(struct front *front, ts_t now)
{
    while (front->listeners)
        listener_close(front->listeners);
    while (front->greetings)
        greeting_end(front->greetings, REASON_DRAINED, now);
}
