/* relay_tls.c - the server side of TLS between an inner connection and a socket with the plaintext.
 *
 * libssl reads and writes the connection's queues through a BIO of our own, so ciphertext is nowhere else; its record
 * buffers exist only while a record is in work (SSL_MODE_RELEASE_BUFFERS, set with the context).
 * Down, a record is looked at with SSL_peek and taken only as far as the socket took it: the rest stays inside libssl
 * and nothing more is read from the inner connection, whose window then closes.
 * Up, a record that the send queue took only in part must be offered again unchanged; its plaintext is kept until
 * then. */
#include "common/relay/relay_move.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/bug.h"
#include "common/base/log.h"

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH
#define READ_PIECES  16 /* of receive queue looked at for one BIO read */
#define UP_RECORDS   4  /* a call, to be fair to other streams */

struct relay_tls {
    SSL *ssl;
    struct tcp_conn *conn; /* for the BIO, during a call */
    ts_t now;
    uint8_t *stuck; /* plaintext of a record that waits for the send queue; NULL: none */
    size_t stuck_len;
    bool ready;
};

static int queue_read(BIO *bio, char *out, int len)
{
    struct relay_tls *tls = BIO_get_data(bio);
    struct iovec iov[READ_PIECES];
    size_t have, copied = 0;
    int n = tcp_read_iov(tls->conn, iov, READ_PIECES, &have);

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    for (int i = 0; i < n && copied < (size_t)len; i++) {
        size_t part = MIN(iov[i].iov_len, (size_t)len - copied);

        memcpy(out + copied, iov[i].iov_base, part);
        copied += part;
    }
    if (copied > 0) {
        tcp_consume(tls->conn, copied, tls->now);
        return (int)copied;
    }
    if (tcp_eof(tls->conn))
        return 0;
    BIO_set_retry_read(bio);
    return -1;
}

static int queue_write(BIO *bio, const char *data, int len)
{
    struct relay_tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    size_t n = tcp_can_write(tls->conn) ? tcp_write(tls->conn, data, (size_t)len, tls->now) : 0;

    if (n > 0)
        return (int)n;
    BIO_set_retry_write(bio);
    return -1;
}

static long queue_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    struct relay_tls *tls = BIO_get_data(bio);

    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_FLUSH)
        return 1;
    if (cmd == BIO_CTRL_EOF)
        return tls->conn && tcp_eof(tls->conn);
    return 0;
}

static BIO_METHOD *queue_method;

static void make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "inner connection");

    if (m && BIO_meth_set_read(m, queue_read) && BIO_meth_set_write(m, queue_write) &&
        BIO_meth_set_ctrl(m, queue_ctrl))
        queue_method = m;
}

struct relay_tls *relay_tls_new(struct ssl_ctx_st *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_method);
    struct relay_tls *tls = calloc(1, sizeof(*tls));
    BIO *bio = queue_method ? BIO_new(queue_method) : NULL;

    if (!tls || !bio || !(tls->ssl = SSL_new(ctx))) {
        BIO_free(bio);
        free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

static void forget_stuck(struct relay_tls *tls)
{
    if (tls->stuck)
        OPENSSL_cleanse(tls->stuck, tls->stuck_len);
    free(tls->stuck);
    tls->stuck = NULL;
}

void relay_tls_free(struct relay_tls *tls)
{
    if (!tls)
        return;
    forget_stuck(tls);
    SSL_free(tls->ssl);
    free(tls);
}

bool relay_tls_ready(const struct relay_tls *tls)
{
    return tls->ready;
}

static void enter(struct relay_tls *tls, struct tcp_conn *conn, ts_t now)
{
    tls->conn = conn;
    tls->now = now;
    ERR_clear_error(); /* the queue is the thread's, shared with every other connection */
}

/* what a call that did not get through means; `waiting` is the answer for "not now" */
static enum relay_move outcome(struct relay_tls *tls, int rc, enum relay_move waiting)
{
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return waiting;
    case SSL_ERROR_ZERO_RETURN:
        return RELAY_MOVE_END;
    default: {
        const char *why = ERR_reason_error_string(ERR_peek_error());

        log_debug("relay", "event=tls_failed why=\"%s\"", why ? why : "connection ended");
        return RELAY_MOVE_TLS;
    }
    }
}

enum relay_move relay_tls_down(struct relay_tls *tls, int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now)
{
    uint8_t plain[RECORD_BYTES];
    int rc;

    enter(tls, conn, now);
    if (!tls->ready && (rc = SSL_do_handshake(tls->ssl)) != 1) {
        enum relay_move move = outcome(tls, rc, RELAY_MOVED);

        return move == RELAY_MOVE_END ? RELAY_MOVE_TLS : move;
    }
    tls->ready = true;
    while ((rc = SSL_peek(tls->ssl, plain, sizeof(plain))) > 0) {
        ssize_t sent = send(fd, plain, (size_t)rc, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? RELAY_MOVE_BLOCKED : RELAY_MOVE_SOCKET;
        int taken = SSL_read(tls->ssl, plain, (int)sent);

        BUG_ON(taken != sent);
        *moved += (uint64_t)sent;
        if (sent < rc)
            return RELAY_MOVE_BLOCKED;
    }
    return outcome(tls, rc, RELAY_MOVED);
}

/* a record, or the rest of one that was stuck */
static enum relay_move put(struct relay_tls *tls, const uint8_t *plain, size_t len)
{
    int rc = SSL_write(tls->ssl, plain, (int)len);

    return rc > 0 ? RELAY_MOVED : outcome(tls, rc, RELAY_MOVE_BLOCKED);
}

enum relay_move relay_tls_up(struct relay_tls *tls, int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now)
{
    uint8_t plain[RECORD_BYTES];
    enum relay_move move;

    enter(tls, conn, now);
    if (!tls->ready)
        return RELAY_MOVE_BLOCKED;
    if (tls->stuck) {
        if ((move = put(tls, tls->stuck, tls->stuck_len)) != RELAY_MOVED)
            return move;
        forget_stuck(tls);
    }
    for (int i = 0; i < UP_RECORDS; i++) {
        ssize_t got = recv(fd, plain, sizeof(plain), MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? RELAY_MOVED : RELAY_MOVE_SOCKET;
        if (got == 0)
            return RELAY_MOVE_END;
        *moved += (uint64_t)got;
        move = put(tls, plain, (size_t)got);
        if (move == RELAY_MOVE_BLOCKED) {
            tls->stuck = malloc((size_t)got);
            if (!tls->stuck)
                return RELAY_MOVE_TLS;
            memcpy(tls->stuck, plain, (size_t)got);
            tls->stuck_len = (size_t)got;
        }
        if (move != RELAY_MOVED || (size_t)got < sizeof(plain))
            return move;
    }
    return RELAY_MOVED;
}

bool relay_tls_end(struct relay_tls *tls, struct tcp_conn *conn, ts_t now)
{
    enter(tls, conn, now);
    int rc = SSL_shutdown(tls->ssl);

    return rc >= 0 || outcome(tls, rc, RELAY_MOVE_BLOCKED) != RELAY_MOVE_BLOCKED;
}
