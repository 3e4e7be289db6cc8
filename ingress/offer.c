#include "ingress/offer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/proxy/proxy.h"

#define NONE (-1)

static void fail(struct offer *o, enum reason reason)
{
    o->state = OFFER_FAILED;
    o->reason = reason;
}

static enum reason connect_reason(int err)
{
    switch (err) {
    case ERR_NO_PORTS:
        return REASON_PORT_EXHAUSTED;
    case ERR_NOMEM:
    case ERR_FULL:
        return REASON_OUT_OF_MEMORY;
    default:
        return REASON_NODE_UNREACHABLE;
    }
}

/* no family connected, this time: what one that was asked before has said tells more than that */
static void fail_to_connect(struct offer *o, enum reason reason)
{
    fail(o, o->refusal ? o->refusal : reason);
}

/* The request of a family that is dialled alone goes at once, and rides on the SYN. Of two it would be two requests. */
static void send_early(struct offer *o, ts_t now)
{
    struct tcp_conn *alone = o->conns[0] ? o->conns[0] : o->conns[1];

    o->request_sent = o->conns[0] && o->conns[1] ? 0 : tcp_write(alone, o->request, o->request_len, now);
}

/* dial the families that have a port and had no turn yet; false when there is none to dial */
static bool dial(struct offer *o, ts_t now)
{
    bool any = false;
    int err = ERR_NOT_FOUND;

    for (int v4 = 0; v4 < 2; v4++) {
        int rc = 0;

        if (o->ports[v4] == 0 || o->tried[v4])
            continue;
        o->conns[v4] = tunnel_connect(o->peer, v4, o->ports[v4], o->ctx, &rc, now);
        any |= o->conns[v4] != NULL;
        if (!o->conns[v4] && rc != ERR_NOT_FOUND) /* "no address of that family" says least */
            err = rc;
    }
    if (any)
        send_early(o, now);
    else
        fail_to_connect(o, connect_reason(err));
    return any;
}

/* the PROXY header says the node's own address in the visitor's family, where it has one */
static void write_plain_head(struct offer *o, const struct route_node *row, const struct addrport *src,
                             const char *name, size_t name_len, uint16_t port)
{
    struct addrport dst = {row->addresses[0], port};

    for (size_t i = 0; i < row->addresses_count; i++)
        if (addr_is_v4(&row->addresses[i]) == addr_is_v4(&src->addr))
            dst.addr = row->addresses[i];
    if (row->proxy_protocol == ROUTE_PROXY_V1)
        o->request_len = proxy_v1_write(o->request, sizeof(o->request), src, &dst);
    else if (row->proxy_protocol == ROUTE_PROXY_V2)
        o->request_len = proxy_v2_write((uint8_t *)o->request, sizeof(o->request), src, &dst, name, name_len);
}

static void drop(struct offer *o, int which, ts_t now)
{
    tcp_abort(o->conns[which], now);
    o->conns[which] = NULL;
}

/* what is left of the request; a fresh connection takes 512 bytes at once unless memory is out */
static void send_request(struct offer *o, ts_t now)
{
    struct tcp_conn *conn = o->conns[o->asked];

    o->request_sent += tcp_write(conn, o->request + o->request_sent, o->request_len - o->request_sent, now);
    if (o->plain && o->request_sent == o->request_len)
        o->state = OFFER_ACCEPTED;
}

static void on_connected(struct offer *o, int which, ts_t now)
{
    o->connected_at = now;
    o->connected_v4 = which;
    o->asked = which;
    o->tried[which] = true;
    drop(o, !which, now);
    send_request(o, now);
}

static void ask_warm(struct offer *o, struct tcp_conn *warm, ts_t now)
{
    struct addrport remote;

    tcp_conn_remote(warm, &remote);
    int v4 = addr_is_v4(&remote.addr);

    tcp_conn_ctx_set(warm, o->ctx);
    o->conns[v4] = warm;
    o->warm = true;
    on_connected(o, v4, now);
}

struct offer *offer_new(struct pool *pool, struct tunnel_peer *peer, const struct route_node *row,
                        const struct addrport *src, const char *target_name, size_t target_len, uint16_t target_port,
                        unsigned families, struct tcp_conn *warm, void *ctx, ts_t now)
{
    struct offer *o = pool_get(pool);

    if (!o) {
        tcp_abort(warm, now);
        return NULL;
    }
    memset(o, 0, sizeof(*o));
    o->pool = pool;
    o->peer = peer;
    o->plain = row->transport == ROUTE_TCP;
    o->ports[0] = o->plain ? target_port : row->peerapi6;
    o->ports[1] = o->plain ? target_port : row->peerapi4;
    o->tried[0] = !(families & OFFER_V6);
    o->tried[1] = !(families & OFFER_V4);
    o->ctx = ctx;
    o->asked = NONE;
    peerapi_answer_init(&o->answer);
    if (o->plain) {
        write_plain_head(o, row, src, target_name, target_len, target_port);
    } else {
        o->request_len = peerapi_request_write(o->request, sizeof(o->request), src, target_name, target_len,
                                               target_port);
        if (o->request_len == 0) {
            fail(o, REASON_UNKNOWN_NAME); /* a target that can't be said in a request is nobody's */
            tcp_abort(warm, now);
            return o;
        }
    }
    if (warm)
        ask_warm(o, warm, now);
    else
        (void)dial(o, now);
    return o;
}

/* the family that was asked said a no that the other one may not say */
static void try_other_family(struct offer *o, enum reason reason, ts_t now)
{
    drop(o, o->asked, now);
    o->asked = NONE;
    o->warm = false;
    o->refusal = reason;
    if (dial(o, now))
        peerapi_answer_init(&o->answer);
}

/* it had died before the request came, as far as one can tell: the node may have restarted, or closed it meanwhile */
static void dial_instead(struct offer *o, ts_t now)
{
    o->warm = false;
    o->stale = true;
    o->tried[o->asked] = false;
    drop(o, o->asked, now);
    o->asked = NONE;
    (void)dial(o, now);
}

static void on_verdict(struct offer *o, enum peerapi_verdict verdict, ts_t now)
{
    switch (verdict) {
    case PEERAPI_NEED_MORE:
        return;
    case PEERAPI_ACCEPTED:
        o->propagate = o->answer.half_close_propagate;
        o->state = OFFER_ACCEPTED;
        return;
    case PEERAPI_NO_CAP:
        try_other_family(o, REASON_NODE_NO_CAP, now);
        return;
    case PEERAPI_DENIED:
        fail(o, REASON_NODE_DENIED);
        return;
    case PEERAPI_REFUSED:
        fail(o, REASON_NODE_REFUSED);
        return;
    case PEERAPI_PROTOCOL:
        fail(o, REASON_NODE_PROTOCOL);
        return;
    }
}

static void read_answer(struct offer *o, ts_t now)
{
    struct tcp_conn *conn = o->conns[o->asked];
    struct iovec iov;
    size_t bytes;

    while (o->state == OFFER_PENDING && o->asked != NONE && tcp_read_iov(conn, &iov, 1, &bytes) > 0 && bytes > 0) {
        size_t used = 0;
        enum peerapi_verdict verdict = peerapi_answer_feed(&o->answer, iov.iov_base, bytes, &used);

        tcp_consume(conn, used, now);
        on_verdict(o, verdict, now);
        if (used == 0 && verdict == PEERAPI_NEED_MORE)
            break;
    }
}

/* the asked connection ended before an answer was whole */
static void on_end(struct offer *o, ts_t now)
{
    if (o->plain)
        fail(o, REASON_NODE_UNREACHABLE);
    else if (o->warm && o->answer.bytes == 0)
        dial_instead(o, now);
    else if (o->answer.bytes == 0)
        try_other_family(o, REASON_NODE_UNKNOWN_PEER, now);
    else
        on_verdict(o, peerapi_answer_end(&o->answer), now);
}

ts_t offer_doubt_at(const struct offer *o, ts_t now)
{
    struct tcp_conn_info info;

    if (!o->warm)
        return TS_NEVER;
    tcp_conn_info(o->conns[o->asked], &info);
    return ts_add(now, MAX(info.rto_ns, TS_S));
}

void offer_doubt(struct offer *o, ts_t now)
{
    if (o->state != OFFER_PENDING || !o->warm || o->heard)
        return;
    tunnel_peer_doubt(o->peer, now);
    dial_instead(o, now);
}

void offer_event(struct offer *o, const struct tcp_event *event, ts_t now)
{
    int which = event->conn == o->conns[1];

    if (o->state != OFFER_PENDING || event->conn != o->conns[which])
        return;
    if ((event->flags & TCP_EVENT_CLOSED) && which != o->asked) {
        /* a SYN was refused or gave up: the other family may still come through */
        o->tried[which] = true;
        drop(o, which, now);
        if (o->asked == NONE && !o->conns[!which])
            fail_to_connect(o, REASON_NODE_UNREACHABLE);
        return;
    }
    if ((event->flags & TCP_EVENT_CONNECTED) && o->asked == NONE)
        on_connected(o, which, now);
    else if ((event->flags & TCP_EVENT_WRITABLE) && which == o->asked && o->request_sent < o->request_len)
        send_request(o, now);
    o->heard |= which == o->asked && (event->flags & TCP_EVENT_DRAINED);
    if (o->state == OFFER_PENDING && !o->plain && which == o->asked && (event->flags & TCP_EVENT_READABLE))
        read_answer(o, now);
    if (o->state == OFFER_PENDING && which == o->asked && (event->flags & (TCP_EVENT_CLOSED | TCP_EVENT_EOF)))
        on_end(o, now);
}

void offer_expire(struct offer *o, ts_t now)
{
    if (o->state != OFFER_PENDING)
        return;
    if (o->asked != NONE)
        fail(o, REASON_OFFER_TIMEOUT);
    else
        fail_to_connect(o, wg_peer_can_send(tunnel_peer_wg(o->peer), now) ? REASON_NODE_UNREACHABLE
                                                                          : REASON_NODE_NO_SESSION);
}

struct tcp_conn *offer_take(struct offer *o)
{
    BUG_ON(o->state != OFFER_ACCEPTED || o->asked == NONE);
    struct tcp_conn *conn = o->conns[o->asked];

    o->conns[o->asked] = NULL;
    return conn;
}

void offer_free(struct offer *o, ts_t now)
{
    if (!o)
        return;
    for (int i = 0; i < 2; i++)
        if (o->conns[i])
            drop(o, i, now);
    pool_put(o->pool, o);
}
