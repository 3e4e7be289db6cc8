#include "common/net/resolver.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/stream.h"

#define CONF   "/etc/resolv.conf"
#define PORT   53
#define TRY_MS 2000 /* first wait for a server's answer; c-ares grows it with each round */
#define TRIES  3

/* What tells one state of a file from another. */
struct look {
    struct timespec changed;
    dev_t device;
    ino_t inode;
    off_t size;
};

struct resolver {
    ares_channel channel;
    const char *conf;
    uint16_t port; /* of name servers */
    struct look look;                /* at conf, before the channel read it */
    unsigned inside;                 /* calls of c-ares on the stack: an answer may bring the next question */
    bool following;                  /* the channel is being exchanged: */
    struct resolver_request *moved;  /* asked of the old one, to be asked of the new one */
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
    struct resolver *resolver;
    struct resolver_request *next; /* among the moved */
    char name[];
};

static void ask(struct resolver *r, struct resolver_request *request);

static void schedule(struct resolver *r)
{
    struct timeval tv;
    ts_t at = TS_NEVER;

    if (r->moved)
        at = loop_now();
    else if (ares_timeout(r->channel, NULL, &tv))
        at = ts_add(loop_now(), (uint64_t)tv.tv_sec * TS_S + (uint64_t)tv.tv_usec * TS_US);
    loop_timer_arm(r->loop, &r->timer, at);
}

static void process(struct resolver *r, ares_socket_t readable, ares_socket_t writable)
{
    r->inside++;
    ares_process_fd(r->channel, readable, writable);
    r->inside--;
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct resolver *r = container_of(timer, struct resolver, timer);

    (void)now;
    for (struct resolver_request *request; (request = r->moved);) {
        r->moved = request->next;
        ask(r, request);
    }
    process(r, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    schedule(r);
}

static void on_server(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct server *s = container_of(poll, struct server, poll);
    struct resolver *r = s->resolver;
    int fd = s->fd;

    (void)now;
    process(r, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
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

static int open_channel(struct resolver *r, ares_channel *out)
{
    struct ares_options options = {.timeout = TRY_MS,
                                   .tries = TRIES,
                                   .udp_port = r->port,
                                   .sock_state_cb = on_state,
                                   .sock_state_cb_data = r,
                                   .resolvconf_path = (char *)(uintptr_t)r->conf}; /* copied */
    int mask =
        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_UDP_PORT | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;

    return ares_init_options(out, &options, mask);
}

/* false: it is not there now, which says nothing about name servers */
static bool look_at(const char *path, struct look *out)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    *out = (struct look){.changed = st.st_ctim, .device = st.st_dev, .inode = st.st_ino, .size = st.st_size};
    return true;
}

static bool same_look(const struct look *a, const struct look *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec && a->device == b->device &&
           a->inode == b->inode && a->size == b->size;
}

/* follow - the machine may have moved to another network: questions go to the name servers of now, those under way
 * too. c-ares reads them when a channel is made only. */
static void follow(struct resolver *r)
{
    struct look look;
    ares_channel fresh, old = r->channel;

    if (r->inside > 0 || !look_at(r->conf, &look) || same_look(&look, &r->look))
        return;
    r->look = look;
    int rc = open_channel(r, &fresh);

    if (rc != ARES_SUCCESS) {
        log_warn("resolver", "event=name_servers_kept file=%s why=\"%s\"", r->conf, ares_strerror(rc));
        return;
    }
    log_info("resolver", "event=name_servers_read file=%s", r->conf);
    r->channel = fresh;
    r->following = true;
    ares_destroy(old);
    r->following = false;
}

struct resolver *resolver_new_by(struct loop *loop, const char *conf, uint16_t port)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->loop = loop;
    r->conf = conf;
    r->port = port;
    loop_timer_init(&r->timer, on_timer);
    r->library = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
    (void)look_at(conf, &r->look);
    if (!r->library || open_channel(r, &r->channel) != ARES_SUCCESS) {
        if (r->library)
            ares_library_cleanup();
        free(r);
        return NULL;
    }
    return r;
}

struct resolver *resolver_new(struct loop *loop)
{
    return resolver_new_by(loop, CONF, PORT);
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    ares_destroy(r->channel); /* answers every request with ARES_EDESTRUCTION, closes its descriptors */
    BUG_ON(r->servers != NULL);
    for (struct resolver_request *request; (request = r->moved);) {
        r->moved = request->next;
        if (request->query)
            request->query->request = NULL;
        free(request);
    }
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
    if (status == ARES_EDESTRUCTION && request->resolver->following) {
        request->next = request->resolver->moved;
        request->resolver->moved = request;
        return;
    }
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

static void ask(struct resolver *r, struct resolver_request *request)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    if (!request->query) {
        free(request);
        return;
    }
    r->inside++;
    ares_getaddrinfo(r->channel, request->name, NULL, &hints, on_answer, request);
    r->inside--;
}

void resolver_ask(struct resolver *r, struct resolver_query *query, const char *name)
{
    struct addr literal;

    BUG_ON(query->request);
    if (addr_parse(name, strlen(name), &literal)) {
        query->done(query, 0, &literal, 1, loop_now());
        return;
    }
    size_t size = strlen(name) + 1;
    struct resolver_request *request = calloc(1, sizeof(*request) + size);

    if (!request) {
        query->done(query, ERR_NOMEM, NULL, 0, loop_now());
        return;
    }
    request->query = query;
    request->resolver = r;
    memcpy(request->name, name, size);
    query->request = request;
    follow(r);
    ask(r, request);
    schedule(r);
}

void resolver_cancel(struct resolver_query *query)
{
    if (query->request)
        query->request->query = NULL;
    query->request = NULL;
}
