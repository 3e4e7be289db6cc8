#include "common/relay/relay.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/stream.h"
#include "common/relay/relay_move.h"

/* how long a socket is drained after the node has ended and then refused more; nginx: lingering_timeout, as long */
#define LINGER_NS (5 * TS_S)

const char *relay_end_name(enum relay_end end)
{
    static const char *const names[] = {
#define X(name, text) [RELAY_END_##name] = text,
        RELAY_END_MAP(X)
#undef X
    };

    return names[end];
}

static void on_closed(struct loop_poll *poll)
{
    struct relay *r = container_of(poll, struct relay, poll);

    r->done(r, r->end);
}

/* the one way out; done follows once the loop has let go of the socket */
static void finish(struct relay *r, enum relay_end end, ts_t now)
{
    bool in_order = end == RELAY_END_OK || end == RELAY_END_HOLD_TIMEOUT;

    if (r->end != RELAY_END_NONE)
        return;
    r->end = end;
    if (in_order || end == RELAY_END_TLS) /* TLS: the alert should arrive */
        tcp_release(r->conn, now);
    else
        tcp_abort(r->conn, now);
    r->conn = NULL;
    relay_tls_free(r->tls);
    r->tls = NULL;
    loop_timer_arm(r->poll.loop, &r->timer, TS_NEVER);
    loop_poll_left(&r->poll, on_closed);
    if (in_order)
        close(r->fd);
    else
        stream_reset_close(r->fd);
    r->fd = -1;
}

static void drain(struct relay *r, ts_t now)
{
    uint8_t nowhere[16 * 1024];
    ssize_t got = recv(r->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        finish(r, RELAY_END_OK, now);
}

static void up(struct relay *r, ts_t now)
{
    if (r->end != RELAY_END_NONE || r->socket_eof)
        return;
    if (r->lingering) {
        drain(r, now);
        return;
    }
    uint64_t before = r->bytes_up;
    enum relay_move move = r->tls ? relay_tls_up(r->tls, r->fd, r->conn, &r->bytes_up, now)
                                  : relay_plain_up(r->fd, r->conn, &r->bytes_up, now);

    if (r->bytes_up != before)
        r->active_at = now;
    r->inner_full = move == RELAY_MOVE_BLOCKED;
    if (move == RELAY_MOVE_END) {
        r->socket_eof = true;
        r->inner_at = now; /* a hold begins to count here */
    } else if (move == RELAY_MOVE_SOCKET) {
        finish(r, RELAY_END_SOCKET_RESET, now);
    } else if (move == RELAY_MOVE_TLS) {
        finish(r, RELAY_END_TLS, now);
    }
}

static void down(struct relay *r, ts_t now)
{
    if (r->end != RELAY_END_NONE || r->socket_shut)
        return;
    uint64_t before = r->bytes_down;
    enum relay_move move = r->tls ? relay_tls_down(r->tls, r->fd, r->conn, &r->bytes_down, now)
                                  : relay_plain_down(r->fd, r->conn, &r->bytes_down, now);

    if (r->bytes_down != before)
        r->active_at = r->inner_at = now;
    r->socket_full = move == RELAY_MOVE_BLOCKED;
    if (move == RELAY_MOVE_END) {
        r->socket_shut = true;
        if (!r->socket_eof || r->tls) /* else all is done: settle closes, which says the same */
            shutdown(r->fd, SHUT_WR); /* fails only when the other side is gone: reading tells */
    } else if (move == RELAY_MOVE_SOCKET) {
        finish(r, RELAY_END_SOCKET_RESET, now);
    } else if (move == RELAY_MOVE_TLS) {
        finish(r, RELAY_END_TLS, now);
    }
}

static bool holding(const struct relay *r)
{
    return r->socket_eof && !r->inner_shut && r->half_close == RELAY_HOLD && !r->socket_shut && !r->held;
}

static ts_t deadline(const struct relay *r)
{
    ts_t at = TS_NEVER;

    if (r->lingering)
        return r->linger_at;
    if (r->config->idle_ns > 0)
        at = ts_add(r->active_at, r->config->idle_ns);
    if (r->tls && !relay_tls_ready(r->tls) && r->config->handshake_ns > 0)
        at = ts_min(at, ts_add(r->started_at, r->config->handshake_ns));
    if (holding(r))
        at = ts_min(at, ts_add(r->inner_at, r->config->hold_ns));
    return at;
}

/* after bytes moved: pass ends on, see whether all is done, and say what to wait for */
static void settle(struct relay *r, ts_t now)
{
    if (r->end != RELAY_END_NONE)
        return;
    if (r->conn && r->socket_eof && !r->inner_shut && !holding(r) &&
        (!r->tls || relay_tls_end(r->tls, r->conn, now))) {
        tcp_shutdown(r->conn, now);
        r->inner_shut = true;
    }
    if (r->socket_shut && r->inner_shut) {
        finish(r, r->held ? RELAY_END_HOLD_TIMEOUT : RELAY_END_OK, now);
        return;
    }
    loop_poll_set(&r->poll,
                  (!r->socket_eof && !r->inner_full ? UV_READABLE : 0) | (r->socket_full ? UV_WRITABLE : 0));
    /* deadlines mostly move away: the timer finds out when it fires, and is moved here only to an earlier moment */
    ts_t at = deadline(r);

    if (at < r->timer.timer.at)
        loop_timer_arm(r->poll.loop, &r->timer, at);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct relay *r = container_of(timer, struct relay, timer);

    if (now < deadline(r))
        ; /* it moved */
    else if (r->lingering)
        finish(r, RELAY_END_OK, now);
    else if (r->tls && !relay_tls_ready(r->tls))
        finish(r, RELAY_END_TLS_TIMEOUT, now);
    else if (holding(r) && now >= ts_add(r->inner_at, r->config->hold_ns))
        r->held = true;
    else
        finish(r, RELAY_END_IDLE, now);
    settle(r, now);
}

static void on_poll(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct relay *r = container_of(poll, struct relay, poll);

    if (writable)
        down(r, now);
    if (readable)
        up(r, now);
    settle(r, now);
}

static int start(struct relay *r, struct loop *loop, int fd, struct tcp_conn *conn, const struct relay_config *config,
                 enum relay_half_close half_close, struct relay_tls *tls,
                 void (*done)(struct relay *, enum relay_end), ts_t now)
{
    *r = (struct relay){.conn = conn,
                        .tls = tls,
                        .done = done,
                        .config = config,
                        .started_at = now,
                        .active_at = now,
                        .inner_at = now,
                        .fd = fd,
                        .half_close = half_close};
    int rc = loop_poll_init(loop, &r->poll, fd, on_poll);

    if (rc != 0)
        return rc;
    loop_timer_init(&r->timer, on_timer);
    down(r, now); /* what waits on the socket, the loop will tell */
    settle(r, now);
    return 0;
}

int relay_start(struct relay *relay, struct loop *loop, int fd, struct tcp_conn *conn,
                const struct relay_config *config, enum relay_half_close half_close,
                void (*done)(struct relay *, enum relay_end), ts_t now)
{
    return start(relay, loop, fd, conn, config, half_close, NULL, done, now);
}

int relay_start_tls(struct relay *relay, struct loop *loop, int fd, struct tcp_conn *conn,
                    const struct relay_config *config, enum relay_half_close half_close, struct ssl_ctx_st *ctx,
                    void (*done)(struct relay *, enum relay_end), ts_t now)
{
    struct relay_tls *tls = relay_tls_new(ctx);
    int rc = tls ? start(relay, loop, fd, conn, config, half_close, tls, done, now) : ERR_NOMEM;

    if (rc != 0)
        relay_tls_free(tls);
    return rc;
}

/* the inner connection is dead */
static void inner_closed(struct relay *r, int error, ts_t now)
{
    if (!r->socket_shut) {
        finish(r, error == -ETIMEDOUT ? RELAY_END_INNER_TIMEOUT : RELAY_END_INNER_RESET, now);
        return;
    }
    tcp_release(r->conn, now);
    r->conn = NULL;
    if (r->socket_eof) {
        finish(r, RELAY_END_OK, now);
        return;
    }
    r->lingering = true;
    r->inner_full = false;
    r->linger_at = ts_add(now, LINGER_NS);
}

void relay_event(struct relay *r, const struct tcp_event *event, ts_t now)
{
    if (r->end != RELAY_END_NONE || !r->conn)
        return;
    if (event->flags & TCP_EVENT_CLOSED) {
        inner_closed(r, event->error, now);
        settle(r, now);
        return;
    }
    if (event->flags & TCP_EVENT_WRITABLE)
        r->inner_full = false;
    /* inside TLS any event may let either direction go on: a handshake step, a record that was stuck */
    if ((r->tls || (event->flags & (TCP_EVENT_READABLE | TCP_EVENT_EOF))) && !r->socket_full)
        down(r, now);
    if (r->tls)
        up(r, now);
    settle(r, now);
}

void relay_stop(struct relay *r, ts_t now)
{
    finish(r, RELAY_END_STOPPED, now);
}
