#include "node/offers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/dial.h"
#include "common/net/stream.h"
#include "common/peerapi/peerapi.h"
#include "common/proxy/proxy.h"
#include "common/relay/relay.h"
#include "node/service.h"

#define BACKLOG          1024           /* half-open connections */
#define IDLE_NS          (120 * TS_S)   /* without a byte: an ingress may open connections ahead of its visitors */
#define REQUEST_NS       (10 * TS_S)    /* from the first byte of a request to its end */
#define LINES_PER_S      5              /* about refusals */
#define LINES_BURST      20

/* The ingress has the deadlines for streams (idle, hello); here only TLS has one, as visitors may connect and say
 * nothing to a name that is terminated. Dead ingresses are found by TCP's own timers. */
static const struct relay_config streaming = {.half_close = RELAY_PROPAGATE, .handshake_ns = 15 * TS_S};

enum offer_state {
    OFFER_READING = 1,
    OFFER_DIALING,
    OFFER_STREAMING,
};

struct offer {
    struct relay relay; /* STREAMING; owns conn then */
    struct list link;
    struct offers *of;
    struct tcp_conn *conn; /* READING, DIALING */
    struct peerapi_offer *request; /* READING, DIALING; several KiB that an idle stream does not need */
    struct loop_timer deadline;
    struct dial *dial;     /* DIALING */
    struct setup *setup;   /* DIALING: the configuration that the service is of; counted */
    size_t service;        /* index there */
    enum offer_state state;
    bool begun; /* some byte of the request has come */
    uint64_t id;
};

static void free_offer(struct offer *o)
{
    loop_timer_arm(o->of->loop, &o->deadline, TS_NEVER);
    dial_cancel(o->dial);
    setup_put(o->setup);
    free(o->request);
    list_remove(&o->link);
    o->of->count--;
    free(o);
}

/* end without a stream: in order when `reset` is false */
static void drop(struct offer *o, bool reset, ts_t now)
{
    if (reset)
        tcp_abort(o->conn, now);
    else
        tcp_release(o->conn, now);
    free_offer(o);
}

static const struct node_config_service *service_of(const struct offer *o)
{
    return &o->setup->config->services[o->service];
}

static void await_request(struct offer *o, ts_t now)
{
    o->state = OFFER_READING;
    o->begun = false;
    peerapi_offer_init(o->request, o->of->own, o->of->own_count, true);
    loop_timer_arm(o->of->loop, &o->deadline, ts_add(now, IDLE_NS));
}

static bool answer(struct offer *o, const char *text, size_t len, ts_t now)
{
    return tcp_can_write(o->conn) && tcp_write(o->conn, text, len, now) == len;
}

/* skip_input - what came before our answer. What belongs to it may still come, so that no other request can be told from
 * it. */
static void skip_input(struct offer *o, ts_t now)
{
    size_t bytes = tcp_readable(o->conn);

    if (bytes > 0)
        o->request->keep_alive = false;
    tcp_consume(o->conn, bytes, now);
}

static void log_refusal(struct offer *o, const char *why, ts_t now)
{
    char target[LOG_QUOTE];
    unsigned long left_out;
    const char *name = o->request->name ? o->request->name : "";

    if (log_allowed(&o->of->refused, now, &left_out))
        log_info("offer", "event=refused id=%" PRIu64 " why=%s name=%s port=%u unlogged=%lu", o->id, why,
                 log_quote(target, sizeof(target), name, strlen(name)), (unsigned)o->request->port, left_out);
}

/* why: for the log; NULL when it was said. False: the offer is gone */
static bool refuse(struct offer *o, enum peerapi_refusal refusal, const char *why, ts_t now)
{
    char text[PEERAPI_REPLY_BYTES];
    bool keep_alive = o->request->keep_alive;

    if (why)
        log_refusal(o, why, now);
    if (!answer(o, text, peerapi_refuse_write(text, sizeof(text), refusal, keep_alive), now)) {
        drop(o, true, now); /* it does not even read the answers */
        return false;
    }
    if (!keep_alive) {
        skip_input(o, now); /* else unread bytes would turn the end into a reset that overtakes the answer */
        drop(o, false, now);
        return false;
    }
    await_request(o, now);
    return true;
}

static void on_done(struct relay *relay, enum relay_end end)
{
    struct offer *o = container_of(relay, struct offer, relay);

    log_debug("offer", "event=ended id=%" PRIu64 " end=%s bytes_up=%" PRIu64 " bytes_down=%" PRIu64, o->id,
              relay_end_name(end), relay->bytes_down, relay->bytes_up); /* up: as the visitor sees it */
    free_offer(o);
}

/* our address of the visitor's family, as stock nodes put it into the header; the loopback address if there is none */
static struct addr shown_address(const struct offers *of, const struct addr *visitor)
{
    static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
    bool is_v4 = addr_is_v4(visitor);

    for (size_t i = 0; i < of->own_count; i++)
        if (addr_is_v4(&of->own[i]) == is_v4)
            return of->own[i];
    return is_v4 ? addr_v4(v4) : addr_v6(v6);
}

/* the PROXY header, before anything else; a fresh socket's buffer has room for it */
static bool introduce(struct offer *o, int fd)
{
    const struct node_config_service *service = service_of(o);
    const struct addrport *src = &o->request->src;
    struct addrport dst = {shown_address(o->of, &src->addr), service->forward.port};
    uint8_t header[PROXY_V2_WRITE_BYTES];
    size_t len = 0;

    if (dst.port == 0) /* a Unix socket: the public port says more than none */
        dst.port = o->request->port;
    if (service->proxy_protocol == NODE_CONFIG_PROXY_V1)
        len = proxy_v1_write((char *)header, sizeof(header), src, &dst);
    else if (service->proxy_protocol == NODE_CONFIG_PROXY_V2)
        len = proxy_v2_write(header, sizeof(header), src, &dst, o->request->name, strlen(o->request->name));
    return len == 0 || send(fd, header, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

/* the service is down: a refusal, and the ingress may ask for another */
static void backend_failed(struct offer *o, const char *why, ts_t now)
{
    const char *service = service_of(o)->name;
    char name[LOG_QUOTE];
    unsigned long left_out;

    if (log_allowed(&o->of->refused, now, &left_out))
        log_warn("offer", "event=backend_unreachable id=%" PRIu64 " service=%s why=\"%s\" unlogged=%lu", o->id,
                 log_quote(name, sizeof(name), service, strlen(service)), why, left_out);
    setup_put(o->setup);
    o->setup = NULL;
    skip_input(o, now);
    refuse(o, PEERAPI_REFUSE_BACKEND, NULL, now);
}

static void stream(struct offer *o, int fd, ts_t now)
{
    struct ssl_ctx_st *tls = o->setup->tls[o->service];
    char text[PEERAPI_REPLY_BYTES], name[LOG_QUOTE], src[ADDRPORT_STR];
    int rc;

    if (!introduce(o, fd)) {
        close(fd);
        backend_failed(o, "closed at once", now);
        return;
    }
    skip_input(o, now);
    if (!answer(o, text, peerapi_accept_write(text, sizeof(text), true), now)) {
        close(fd);
        drop(o, true, now);
        return;
    }
    log_debug("offer", "event=accepted id=%" PRIu64 " name=%s port=%u client=%s", o->id,
              log_quote(name, sizeof(name), o->request->name, strlen(o->request->name)), (unsigned)o->request->port,
              addrport_format(&o->request->src, src));
    if (tls)
        rc = relay_start_tls(&o->relay, o->of->loop, fd, o->conn, &streaming, RELAY_PROPAGATE, tls, on_done, now);
    else
        rc = relay_start(&o->relay, o->of->loop, fd, o->conn, &streaming, RELAY_PROPAGATE, on_done, now);
    if (rc != 0) {
        log_warn("offer", "event=failed id=%" PRIu64 " why=\"%s\"", o->id, err_str(rc));
        close(fd);
        drop(o, true, now);
        return;
    }
    o->state = OFFER_STREAMING;
    o->conn = NULL;
    free(o->request);
    o->request = NULL;
    setup_put(o->setup);
    o->setup = NULL;
}

static void on_dialed(void *ctx, int fd_or_error, const char *why, ts_t now)
{
    struct offer *o = ctx;

    o->dial = NULL;
    if (fd_or_error >= 0)
        stream(o, fd_or_error, now);
    else
        backend_failed(o, why, now);
}

/* a request is there and well formed; false: the offer is gone */
static bool consider(struct offer *o, ts_t now)
{
    int service = service_find(o->of->setup->config, o->request->name, o->request->port);

    if (service < 0)
        return refuse(o, PEERAPI_REFUSE_DENIED, "not_funnelled", now);
    if (o->request->early_data)
        log_debug("offer", "event=early_data_dropped id=%" PRIu64, o->id);
    o->state = OFFER_DIALING;
    o->service = (size_t)service;
    o->setup = setup_get(o->of->setup);
    loop_timer_arm(o->of->loop, &o->deadline, TS_NEVER); /* the dial has its own */
    const struct config_hostport *forward = &service_of(o)->forward;
    const struct dial_to to = {.host = forward->host, .port = forward->port, .unix_path = forward->unix_path};

    o->dial = dial_start(o->of->loop, o->of->resolver, &to, service_of(o)->connect_timeout_ns, on_dialed, o, now);
    if (!o->dial) {
        drop(o, true, now);
        return false;
    }
    return true;
}

static void read_requests(struct offer *o, ts_t now)
{
    struct iovec iov;
    size_t bytes, used;

    while (o->state == OFFER_READING && tcp_read_iov(o->conn, &iov, 1, &bytes) > 0) {
        if (!o->begun)
            loop_timer_arm(o->of->loop, &o->deadline, ts_add(now, REQUEST_NS));
        o->begun = true;
        enum peerapi_offer_result result = peerapi_offer_feed(o->request, iov.iov_base, iov.iov_len, &used);

        tcp_consume(o->conn, used, now);
        if (result == PEERAPI_OFFER_OK && !consider(o, now))
            return;
        if (result == PEERAPI_OFFER_REFUSE && !refuse(o, o->request->refusal, "bad_request", now))
            return;
    }
    if (o->state == OFFER_DIALING)
        skip_input(o, now);
    if (tcp_eof(o->conn))
        drop(o, false, now);
}

static void on_deadline(struct loop_timer *timer, ts_t now)
{
    drop(container_of(timer, struct offer, deadline), true, now);
}

static void accept_offer(struct offers *of, struct tcp_conn *conn, ts_t now)
{
    struct offer *o = of->count < OFFERS_MAX ? calloc(1, sizeof(*o)) : NULL;

    if (!o || !(o->request = malloc(sizeof(*o->request)))) {
        unsigned long left_out;

        if (log_allowed(&of->refused, now, &left_out))
            log_warn("offer", "event=reset why=%s count=%zu unlogged=%lu",
                     of->count < OFFERS_MAX ? "no_memory" : "full", of->count, left_out);
        free(o);
        tcp_abort(conn, now);
        return;
    }
    o->of = of;
    o->conn = conn;
    o->id = ++of->last_id;
    loop_timer_init(&o->deadline, on_deadline);
    list_append(&of->all, &o->link);
    of->count++;
    tcp_conn_ctx_set(conn, o);
    await_request(o, now);
    read_requests(o, now); /* the request may have come along */
}

int offers_init(struct offers *of, struct loop *loop, struct tcp_stack *tcp, struct resolver *resolver,
                struct setup *setup)
{
    *of = (struct offers){.loop = loop,
                          .tcp = tcp,
                          .resolver = resolver,
                          .own = setup->addrs,
                          .own_count = setup->addrs_count,
                          .port = setup->config->peerapi_port};
    list_init(&of->all);
    bucket_init(&of->refused.bucket, LINES_PER_S, LINES_BURST);
    int rc = tcp_listen(tcp, of->port, BACKLOG, of);

    if (rc == 0)
        of->setup = setup_get(setup);
    return rc;
}

void offers_setup(struct offers *of, struct setup *setup)
{
    struct setup *before = of->setup;

    of->setup = setup_get(setup);
    setup_put(before);
}

void offers_event(struct offers *of, const struct tcp_event *event, ts_t now)
{
    if (event->flags & TCP_EVENT_ACCEPTED) {
        if (event->flags & TCP_EVENT_CLOSED)
            tcp_release(event->conn, now);
        else if (of->draining)
            tcp_abort(event->conn, now); /* it was accepted in the turn in which listening stopped */
        else
            accept_offer(of, event->conn, now);
        return;
    }
    struct offer *o = event->ctx;

    if (o->state == OFFER_STREAMING)
        relay_event(&o->relay, event, now);
    else if (event->flags & TCP_EVENT_CLOSED)
        drop(o, false, now);
    else
        read_requests(o, now);
}

void offers_drain(struct offers *of, ts_t now)
{
    struct list *next;

    of->draining = true;
    tcp_listen_stop(of->tcp, of->port);
    for (struct list *l = of->all.next; l != &of->all; l = next) {
        struct offer *o = container_of(l, struct offer, link);

        next = l->next;
        if (o->state != OFFER_STREAMING)
            drop(o, true, now);
    }
}

void offers_stop(struct offers *of, ts_t now)
{
    for (struct list *l = of->all.next; l != &of->all; l = l->next)
        relay_stop(&container_of(l, struct offer, link)->relay, now);
}

void offers_deinit(struct offers *of)
{
    BUG_ON(of->count > 0);
    setup_put(of->setup);
    of->setup = NULL;
}
