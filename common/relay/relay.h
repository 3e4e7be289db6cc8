/* relay.h - bytes both ways between a stream socket and an inner TCP connection, by the rules of the design, section 9.
 *
 * SHELL, shared by both programs. The socket's bytes are read straight into the send queue and written straight out of
 * the receive queue: one copy each way. Back-pressure is the queues themselves: a full send queue stops reading the
 * socket, a slow socket leaves bytes in the receive queue and so closes the inner window. An idle relay holds no
 * buffer. Half-close:
 *   PROPAGATE  each side's end is passed on at once, the other direction goes on;
 *   HOLD       the socket's end waits until the inner side has ended too (stock nodes end both directions with the
 *              first), or nothing came from there for hold_ns.
 * A reset on either side becomes a reset on the other. One exception: an inner side that has ended in order and then
 * resets has said all it had to say and only refuses more; the socket is then drained for a moment and closed in
 * order, so that a reset does not overtake the last bytes on their way to a slow reader.
 *
 * With relay_start_tls the inner connection carries TLS, whose server side ends here; the socket has the plaintext.
 * The same rules hold, with close_notify and FIN together as the end of a direction. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "common/net/loop.h"
#include "common/tcp/tcp.h"

struct ssl_ctx_st; /* OpenSSL's SSL_CTX; made by common/net/tls.h */
struct relay_tls;

enum relay_half_close {
    RELAY_HOLD = 0,
    RELAY_PROPAGATE = 1,
};

#define RELAY_END_MAP(X)                                                                                               \
    X(NONE, "none")                     /* still going */                                                              \
    X(OK, "ok")                         /* both directions ended in order */                                           \
    X(SOCKET_RESET, "socket_reset")     /* the socket's side reset or failed */                                        \
    X(INNER_RESET, "inner_reset")       /* the inner connection was reset */                                           \
    X(INNER_TIMEOUT, "inner_timeout")   /* the inner connection died unacknowledged */                                 \
    X(IDLE, "idle")                     /* nothing in either direction for idle_ns */                                  \
    X(HOLD_TIMEOUT, "hold_timeout")     /* the held end was passed on after hold_ns, then both ended */                \
    X(STOPPED, "stopped")               /* relay_stop */                                                               \
    X(TLS, "tls_failed")                /* the inner side broke TLS; an alert says why to the visitor */               \
    X(TLS_TIMEOUT, "tls_timeout")       /* no TLS handshake within its time */

enum relay_end {
#define X(name, text) RELAY_END_##name,
    RELAY_END_MAP(X)
#undef X
};
const char *relay_end_name(enum relay_end end);

struct relay_config {
    enum relay_half_close half_close;
    uint64_t hold_ns;
    uint64_t idle_ns;      /* 0: no limit */
    uint64_t handshake_ns; /* relay_start_tls: the TLS handshake must be done by then; 0: no limit */
};

struct relay {
    struct loop_poll poll; /* first: the socket */
    struct tcp_conn *conn; /* NULL once it ended */
    struct relay_tls *tls; /* owned; NULL: the inner side is plain */
    struct loop_timer timer;
    void (*done)(struct relay *relay, enum relay_end end); /* once; the socket is closed; the memory is the owner's */
    const struct relay_config *config; /* borrowed for the relay's life */
    uint64_t bytes_up;   /* socket to inner; with TLS, of plaintext */
    uint64_t bytes_down; /* inner to socket */
    ts_t started_at;
    ts_t active_at; /* last byte in either direction */
    ts_t inner_at;  /* last byte from the inner side, or when the socket's end was read */
    ts_t linger_at; /* when a drained socket is closed at the latest */
    int fd;         /* owned */
    enum relay_half_close half_close : 8;
    enum relay_end end : 8;
    bool socket_eof;  /* read end-of-file from the socket */
    bool inner_shut;  /* FIN queued to the inner side */
    bool socket_shut; /* the inner side ended in order, SHUT_WR done on the socket */
    bool socket_full; /* waiting for the socket to be writable */
    bool inner_full;  /* waiting for the send queue (or the TLS handshake) */
    bool held;        /* the hold ran out */
    bool lingering;   /* only draining the socket */
};

/* relay_start - take over fd and conn (established both; conn's ctx must lead its owner to relay_event). The relay
 * begins with whatever either side holds already. half_close overrides the config's. 0, or a negative code: then
 * nothing was taken. */
int relay_start(struct relay *relay, struct loop *loop, int fd, struct tcp_conn *conn,
                const struct relay_config *config, enum relay_half_close half_close,
                void (*done)(struct relay *, enum relay_end), ts_t now);
/* relay_start_tls - the same with the server side of TLS between inner connection and socket. The context is shared
 * and counted: the caller may drop its own reference any time. */
int relay_start_tls(struct relay *relay, struct loop *loop, int fd, struct tcp_conn *conn,
                    const struct relay_config *config, enum relay_half_close half_close, struct ssl_ctx_st *ctx,
                    void (*done)(struct relay *, enum relay_end), ts_t now);
/* relay_event - an event of the connection. May end the relay (done is called later, from the loop). */
void relay_event(struct relay *relay, const struct tcp_event *event, ts_t now);
/* relay_stop - end both sides now: reset. done follows. Does nothing when the relay is ending already. */
void relay_stop(struct relay *relay, ts_t now);

#endif
