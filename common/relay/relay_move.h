/* relay_move.h - how bytes get across, apart from when and what then: relay.c has the rules, these the copying.
 *
 * Both kinds have the same two movements. Up: from the socket to the inner connection. Down: the other way. */
#ifndef RELAY_MOVE_H
#define RELAY_MOVE_H

#include "common/tcp/tcp.h"

enum relay_move {
    RELAY_MOVED = 0,     /* what there was, or a fair share of it */
    RELAY_MOVE_BLOCKED,  /* the destination takes no more at the moment */
    RELAY_MOVE_END,      /* the source ended in order */
    RELAY_MOVE_SOCKET,   /* the socket failed */
    RELAY_MOVE_TLS,      /* TLS failed */
};

/* plain: what is on the socket is on the inner connection. *moved grows by the bytes that went across. */
enum relay_move relay_plain_up(int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now);
enum relay_move relay_plain_down(int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now);

/* TLS on the inner connection. */
struct ssl_ctx_st;
struct relay_tls;
struct relay_tls *relay_tls_new(struct ssl_ctx_st *ctx); /* NULL: no memory */
void relay_tls_free(struct relay_tls *tls);              /* NULL allowed */
bool relay_tls_ready(const struct relay_tls *tls);       /* the handshake is done */
enum relay_move relay_tls_up(struct relay_tls *tls, int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now);
enum relay_move relay_tls_down(struct relay_tls *tls, int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now);
/* relay_tls_end - queue close_notify. False: the send queue is full, ask again when it is writable. */
bool relay_tls_end(struct relay_tls *tls, struct tcp_conn *conn, ts_t now);

#endif
