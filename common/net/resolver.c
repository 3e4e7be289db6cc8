#include "common/net/resolver.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/stream.h"

#define TRY_MS 2000 /* first wait for a server's answer; c-ares grows it with each round */
#define TRIES  3

struct resolver {
    ares_channel channel;
    struct loop *loop;
    struct loop_timer timer;
    struct server *servers;
    bool library;
};

/* A descriptor of c-ares' in the loop. It outlives the descriptor until the loop has let go of it. */
struct server {
    struct loop_poll poll; /* first */
    struct resolver *resolver;
    struct server *next;
    int fd;
};

/* What c-ares holds on to; the query may be gone before the answer comes. */
struct resolver_request {
    struct resolver_query *query; /* NULL: cancelled */
};

static void schedule(struct resolver *r)
{
    struct timeval tv;
    ts_t at = TS_NEVER;

    if (ares_timeout(r->channel, NULL, &tv))
        at = ts_add(loop_now(), (uint64_t)tv.tv_sec * TS_S + (uint64_t)tv.tv_usec * TS_US);
    loop_timer_arm(r->loop, &r->timer, at);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct resolver *r = container_of(timer, struct resolver, timer);

    (void)now;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    schedule(r);
}

static void on_server(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct server *s = container_of(poll, struct server, poll);
    struct resolver *r = s->resolver;
    int fd = s->fd;

    (void)now;
    ares_process_fd(r->channel, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
    schedule(r);
}

static void free_server(struct loop_poll *poll)
{
    free(container_of(poll, struct server, poll));
}

/* c-ares says what it waits for on one of its descriptors; nothing: it is about to close it */
static void on_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = ctx;
    struct server **at = &r->servers, *s;

    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    s = *at;
    if (!readable && !writable) {
        if (s) {
            *at = s->next;
            loop_poll_close(&s->poll, free_server);
        }
        return;
    }
    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s || loop_poll_init(r->loop, &s->poll, fd, on_server) != 0) {
            free(s); /* the query then times out */
            return;
        }
        s->resolver = r;
        s->fd = fd;
        s->next = r->servers;
        r->servers = s;
    }
    loop_poll_set(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0));
}

struct resolver *resolver_new(struct loop *loop)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->loop = loop;
    loop_timer_init(&r->timer, on_timer);
    r->library = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
    struct ares_options options = {
        .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_state, .sock_state_cb_data = r};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

    if (!r->library || ares_init_options(&r->channel, &options, mask) != ARES_SUCCESS) {
        if (r->library)
            ares_library_cleanup();
        free(r);
        return NULL;
    }
    return r;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    ares_destroy(r->channel); /* answers every request with ARES_EDESTRUCTION, closes its descriptors */
    BUG_ON(r->servers != NULL);
    ares_library_cleanup();
    loop_timer_arm(r->loop, &r->timer, TS_NEVER);
    free(r);
}

static int status_of(int ares)
{
    switch (ares) {
    case ARES_ENOMEM:
        return ERR_NOMEM;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
        return -ETIMEDOUT;
    default:
        return ERR_NOT_FOUND;
    }
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolver_request *request = ctx;
    struct resolver_query *query = request->query;
    struct addr addrs[RESOLVER_ADDRS_MAX];
    size_t count = 0;

    (void)timeouts;
    free(request);
    if (status == ARES_SUCCESS && query)
        for (const struct ares_addrinfo_node *n = info->nodes; n && count < RESOLVER_ADDRS_MAX; n = n->ai_next) {
            struct addrport found;

            addrport_from_sockaddr(n->ai_addr, &found);
            addrs[count++] = found.addr;
        }
    ares_freeaddrinfo(info);
    if (!query)
        return;
    query->request = NULL;
    if (status == ARES_EDESTRUCTION)
        return;
    int rc = status != ARES_SUCCESS ? status_of(status) : count == 0 ? ERR_NOT_FOUND : 0;

    query->done(query, rc, addrs, count, loop_now());
}

void resolver_ask(struct resolver *r, struct resolver_query *query, const char *name)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addr literal;

    BUG_ON(query->request);
    if (addr_parse(name, strlen(name), &literal)) {
        query->done(query, 0, &literal, 1, loop_now());
        return;
    }
    struct resolver_request *request = calloc(1, sizeof(*request));

    if (!request) {
        query->done(query, ERR_NOMEM, NULL, 0, loop_now());
        return;
    }
    request->query = query;
    query->request = request;
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, request);
    schedule(r);
}

void resolver_cancel(struct resolver_query *query)
{
    if (query->request)
        query->request->query = NULL;
    query->request = NULL;
}
