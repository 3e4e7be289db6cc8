/* relay.h - bytes both ways between a stream socket and an inner TCP connection, by the rules of the design, section 9.
 *
 * SHELL, shared by both programs. The socket's bytes are read straight into the send queue and written straight out of
 * the receive queue: one copy each way. Back-pressure is the queues themselves: a full send queue stops reading the
 * socket, a slow socket leaves bytes in the receive queue and so closes the inner window. An idle relay holds no
 * buffer. Half-close:
 *   PROPAGATE  each side's end is passed on at once, the other direction goes on;
 *   HOLD       the socket's end waits until the inner side has ended too (stock nodes end both directions with the first),
 *              or nothing came from there for hold_ns.
 * A reset on either side becomes a reset on the other. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "common/net/loop.h"
#include "common/tcp/tcp.h"

enum relay_half_close {
    RELAY_HOLD = 0,
    RELAY_PROPAGATE = 1,
};

enum relay_end {
    RELAY_END_NONE = 0,
    RELAY_END_OK,           /* both directions ended in order */
    RELAY_END_SOCKET_RESET, /* the socket's side reset or failed */
    RELAY_END_INNER_RESET,  /* the inner connection was reset */
    RELAY_END_INNER_TIMEOUT,/* the inner connection died unacknowledged */
    RELAY_END_IDLE,
    RELAY_END_HOLD_TIMEOUT, /* the held end was passed on after hold_ns, then both ended */
    RELAY_END_STOPPED,      /* relay_stop */
};
const char *relay_end_name(enum relay_end end);

struct relay_config {
    enum relay_half_close half_close;
    uint64_t hold_ns;
    uint64_t idle_ns; /* 0: no limit */
};

struct relay {
    struct loop_poll poll; /* first: the socket */
    struct tcp_conn *conn; /* NULL once it ended */
    struct loop_timer timer;
    void (*done)(struct relay *relay, enum relay_end end); /* once; the socket is closed; the memory is the owner's */
    const struct relay_config *config; /* borrowed for the relay's life */
    uint64_t bytes_up;   /* socket to inner */
    uint64_t bytes_down; /* inner to socket */
    ts_t active_at;      /* last byte in either direction */
    ts_t inner_at;       /* last byte from the inner side */
    int fd;              /* owned */
    enum relay_half_close half_close;
    enum relay_end end;
    bool socket_eof;    /* read end-of-file from the socket */
    bool inner_shut;    /* FIN queued to the inner side */
    bool socket_shut;   /* SHUT_WR done on the socket */
    bool held;          /* the hold ran out */
    bool stopped;
};

/* relay_start - take over fd and conn (established both; conn's ctx must lead its owner to relay_event). The relay
 * begins with whatever either side holds already. half_close overrides the config's. 0, or a negative code: then
 * nothing was taken. */
int relay_start(struct relay *relay, struct loop *loop, int fd, struct tcp_conn *conn,
                const struct relay_config *config, enum relay_half_close half_close,
                void (*done)(struct relay *, enum relay_end), ts_t now);
/* relay_event - an event of the connection. May end the relay (done is called later, from the loop). */
void relay_event(struct relay *relay, const struct tcp_event *event, ts_t now);
/* relay_stop - end both sides now: reset. done follows. */
void relay_stop(struct relay *relay, ts_t now);

#endif
