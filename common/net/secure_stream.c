/* secure_stream.c - three steps that are events of their own: dial, handshake, bytes.
 *
 * libssl works on the descriptor by a BIO of our own, which is recv and send without SIGPIPE. What is watched follows
 * from the state (see watch). Events that are not the descriptor's (bytes that lie decrypted in libssl, an end noticed
 * inside the owner's read) come by the timer, set to "now"; so none ever comes from inside a call.
 *
 * The owner may free the stream inside an event: `depth` counts events under way, and the memory goes when there is
 * none and the loop has let go of the descriptor. */
#include "common/net/secure_stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/dial.h"
#include "common/net/stream.h"

#define WHY       320
#define NAME_STR  256 /* a DNS name, RFC 1035 section 2.3.4 */
#define QUEUE_MIN ((size_t)4 << 10)

enum state {
    DIALLING = 0,
    HANDSHAKE,
    OPEN,
    ENDED, /* nothing more to read; `closed` is due */
    CLOSED,
};

struct secure_stream {
    struct loop *loop;
    struct dial *dial; /* DIALLING */
    struct loop_poll poll;
    struct loop_timer timer; /* the deadline until connected; then: a turn of our own is due */
    const struct secure_stream_events *events;
    void *ctx;
    enum state state;
    int fd;
    bool polled;      /* the poll is the loop's, until its close callback */
    bool freed;       /* by the owner */
    unsigned depth;   /* events under way */
    bool paused;
    bool wants_write; /* libssl waits for room before it can read or shake hands */
    bool cut_short;   /* a write was: the owner waits for `writable` */
    bool deaf;        /* the peer takes no more; `why` says so */
    SSL *ssl;         /* NULL: plain */
    enum secure_stream_verify verify;
    uint8_t pin[SECURE_STREAM_PIN];
    uint8_t *queue;
    size_t queue_len, queue_cap;
    char why[WHY]; /* "": in order */
    char peer[ADDRPORT_STR];
};

/* ---- libssl's way to the descriptor ---- */

static int socket_read(BIO *bio, char *out, int len)
{
    const struct secure_stream *s = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    ssize_t n = recv(s->fd, out, (size_t)len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)n;
}

static int socket_write(BIO *bio, const char *data, int len)
{
    const struct secure_stream *s = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    ssize_t n = send(s->fd, data, (size_t)len, MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)n;
}

static long socket_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_FLUSH)
        return 1;
    if (cmd == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return 0;
}

static BIO_METHOD *socket_method;

static void make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "client's socket");

    if (m && BIO_meth_set_read(m, socket_read) && BIO_meth_set_write(m, socket_write) &&
        BIO_meth_set_ctrl(m, socket_ctrl))
        socket_method = m;
}

/* ---- what is awaited ---- */

static void watch(struct secure_stream *s)
{
    int events = 0;

    if (!s->polled)
        return;
    if (s->state == HANDSHAKE || (s->state == OPEN && !s->paused))
        events |= s->wants_write ? UV_WRITABLE : UV_READABLE;
    if (s->state == OPEN && s->queue_len > 0)
        events |= UV_WRITABLE;
    loop_poll_set(&s->poll, events);
}

/* come_back - an event of the next turn */
static void come_back(struct secure_stream *s)
{
    loop_timer_arm(s->loop, &s->timer, loop_now());
}

static void set_why(struct secure_stream *s, const char *what, const char *reason)
{
    if (!*s->why)
        snprintf(s->why, sizeof(s->why), "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

static void end(struct secure_stream *s)
{
    if (s->state >= ENDED)
        return;
    s->state = ENDED;
    watch(s);
    come_back(s);
}

/* ---- memory ---- */

static void release(struct secure_stream *s)
{
    if (!s->freed || s->depth > 0 || s->polled)
        return;
    SSL_free(s->ssl);
    free(s->queue);
    free(s);
}

static void on_poll_closed(struct loop_poll *poll)
{
    struct secure_stream *s = container_of(poll, struct secure_stream, poll);

    s->polled = false;
    release(s);
}

void secure_stream_free(struct secure_stream *s)
{
    if (!s)
        return;
    BUG_ON(s->freed);
    s->freed = true;
    dial_cancel(s->dial);
    s->dial = NULL;
    loop_timer_arm(s->loop, &s->timer, TS_NEVER);
    if (s->state == OPEN && s->ssl && !s->deaf)
        SSL_shutdown(s->ssl); /* close_notify, if there is room for it */
    ERR_clear_error();
    s->state = CLOSED;
    if (s->polled) {
        int fd = s->fd;

        s->fd = -1;
        loop_poll_close(&s->poll, on_poll_closed);
        close(fd);
    }
    release(s);
}

/* ---- telling ---- */

/* tell - an event without more to say; false: the owner freed the stream, which is gone */
static bool tell(struct secure_stream *s, void (*event)(void *ctx, ts_t now), ts_t now)
{
    s->depth++;
    event(s->ctx, now);
    s->depth--;
    if (!s->freed)
        return true;
    release(s);
    return false;
}

static void tell_closed(struct secure_stream *s, ts_t now)
{
    s->state = CLOSED;
    watch(s);
    loop_timer_arm(s->loop, &s->timer, TS_NEVER);
    s->depth++;
    s->events->closed(s->ctx, *s->why ? s->why : NULL, now);
    s->depth--;
    release(s);
}

static void tell_failed(struct secure_stream *s, const char *what, const char *reason, ts_t now)
{
    set_why(s, what, reason);
    tell_closed(s, now);
}

/* ---- writing ---- */

/* what a failed call of libssl was about, for people */
static const char *ssl_reason(int saved_errno)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);

    if (text)
        return text;
    return saved_errno ? err_str(-saved_errno) : "the connection ended";
}

/* the peer takes no more; in TLS nothing can be read either after that */
static void stop_writing(struct secure_stream *s, const char *reason)
{
    set_why(s, "sending", reason);
    s->deaf = true;
    s->queue_len = 0;
    if (s->ssl)
        end(s);
}

static size_t send_some(struct secure_stream *s, const uint8_t *data, size_t len)
{
    if (!s->ssl) {
        ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            stop_writing(s, err_str(-errno));
        return n > 0 ? (size_t)n : 0;
    }
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(s->ssl, data, (int)MIN(len, SECURE_STREAM_QUEUE_MAX));
    int saved = errno;

    if (n > 0)
        return (size_t)n;
    int error = SSL_get_error(s->ssl, n);

    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        stop_writing(s, ssl_reason(saved));
    return 0;
}

static void flush(struct secure_stream *s)
{
    while (s->state == OPEN && !s->deaf && s->queue_len > 0) {
        size_t n = send_some(s, s->queue, s->queue_len);

        if (n == 0)
            break;
        s->queue_len -= n;
        memmove(s->queue, s->queue + n, s->queue_len);
    }
}

size_t secure_stream_write(struct secure_stream *s, const void *data, size_t len)
{
    if (s->deaf || s->state >= ENDED)
        return len;
    size_t n = MIN(len, SECURE_STREAM_QUEUE_MAX - s->queue_len);

    if (n > 0 && s->queue_len + n > s->queue_cap) {
        size_t cap = MAX(MAX(QUEUE_MIN, s->queue_cap * 2), s->queue_len + n);
        uint8_t *more = realloc(s->queue, cap);

        if (!more)
            n = 0;
        else
            s->queue = more, s->queue_cap = cap;
    }
    if (n > 0)
        memcpy(s->queue + s->queue_len, data, n);
    s->queue_len += n;
    s->cut_short = s->cut_short || n < len;
    flush(s);
    if (s->state == OPEN && s->cut_short && s->queue_len <= SECURE_STREAM_QUEUE_MAX / 2)
        come_back(s); /* `writable` is due already */
    watch(s);
    return n;
}

/* ---- reading ---- */

static void reading_ended(struct secure_stream *s, const char *reason)
{
    if (reason)
        set_why(s, "receiving", reason);
    end(s);
}

static size_t read_plain(struct secure_stream *s, void *out, size_t cap)
{
    ssize_t n = recv(s->fd, out, cap, 0);

    if (n > 0)
        return (size_t)n;
    if (n == 0)
        reading_ended(s, NULL);
    else if (errno != EAGAIN && errno != EINTR)
        reading_ended(s, err_str(-errno));
    return 0;
}

static size_t read_tls(struct secure_stream *s, void *out, size_t cap)
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(s->ssl, out, (int)MIN(cap, (size_t)1 << 20));
    int saved = errno;

    s->wants_write = false;
    if (n > 0)
        return (size_t)n;
    switch (SSL_get_error(s->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_WANT_WRITE:
        s->wants_write = true;
        break;
    case SSL_ERROR_ZERO_RETURN:
        reading_ended(s, NULL);
        break;
    default:
        reading_ended(s, ssl_reason(saved));
        break;
    }
    return 0;
}

size_t secure_stream_read(struct secure_stream *s, void *out, size_t cap)
{
    if (s->state != OPEN || cap == 0)
        return 0;
    size_t n = s->ssl ? read_tls(s, out, cap) : read_plain(s, out, cap);

    watch(s);
    return n;
}

void secure_stream_pause(struct secure_stream *s)
{
    s->paused = true;
    watch(s);
}

void secure_stream_resume(struct secure_stream *s)
{
    s->paused = false;
    watch(s);
    if (s->state >= OPEN)
        come_back(s); /* libssl may hold bytes that the descriptor does not announce */
}

/* ---- turns ---- */

static bool can_write(const struct secure_stream *s)
{
    return s->cut_short && s->queue_len <= SECURE_STREAM_QUEUE_MAX / 2;
}

/* everything that may be due on an open stream; readable: the descriptor said so */
static void turn(struct secure_stream *s, bool readable, ts_t now)
{
    if (s->state == OPEN) {
        flush(s);
        watch(s);
    }
    if (s->state == OPEN && can_write(s)) {
        s->cut_short = false;
        if (s->events->writable && !tell(s, s->events->writable, now))
            return;
    }
    bool held = s->ssl && s->state == OPEN && SSL_has_pending(s->ssl);

    if (s->state == OPEN && !s->paused && (readable || held)) {
        if (!tell(s, s->events->readable, now))
            return;
        if (s->state == OPEN && !s->paused && s->ssl && SSL_pending(s->ssl) > 0)
            come_back(s);
    }
    if (s->state == ENDED && !s->paused)
        tell_closed(s, now);
}

/* ---- the handshake ---- */

static bool pin_fits(const struct secure_stream *s)
{
    X509 *leaf = SSL_get1_peer_certificate(s->ssl);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool fits = leaf && X509_digest(leaf, EVP_sha256(), digest, &len) == 1 && len == SECURE_STREAM_PIN &&
                memcmp(digest, s->pin, sizeof(s->pin)) == 0;

    X509_free(leaf);
    return fits;
}

static void open_up(struct secure_stream *s, ts_t now)
{
    s->state = OPEN;
    loop_timer_arm(s->loop, &s->timer, TS_NEVER);
    if (!tell(s, s->events->connected, now))
        return;
    turn(s, false, now);
}

static void shake(struct secure_stream *s, ts_t now)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(s->ssl), saved = errno;

    if (rc == 1) {
        s->wants_write = false;
        if (s->verify == SECURE_STREAM_PINNED && !pin_fits(s))
            tell_failed(s, "TLS", "the server's certificate is not the pinned one", now);
        else
            open_up(s, now);
        return;
    }
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        s->wants_write = SSL_want_write(s->ssl);
        watch(s);
        break;
    default: {
        long verdict = SSL_get_verify_result(s->ssl);

        if (s->verify == SECURE_STREAM_VERIFY && verdict != X509_V_OK)
            tell_failed(s, "TLS: the server's certificate is refused", X509_verify_cert_error_string(verdict), now);
        else
            tell_failed(s, "TLS handshake", ssl_reason(saved), now);
    }
    }
}

static void on_poll(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct secure_stream *s = container_of(poll, struct secure_stream, poll);

    if (s->state == HANDSHAKE)
        shake(s, now);
    else
        turn(s, readable || (writable && s->wants_write), now);
}

/* ---- the beginning ---- */

static void on_dialled(void *ctx, int fd_or_error, const char *why, ts_t now)
{
    struct secure_stream *s = ctx;
    struct addrport peer;
    int rc = fd_or_error;

    s->dial = NULL;
    if (rc >= 0)
        rc = loop_poll_init(s->loop, &s->poll, fd_or_error, on_poll);
    if (rc < 0) {
        if (fd_or_error >= 0)
            close(fd_or_error);
        tell_failed(s, fd_or_error < 0 ? why : err_str(rc), NULL, now);
        return;
    }
    s->fd = fd_or_error;
    s->polled = true;
    if (stream_peer(s->fd, &peer) == 0)
        addrport_format(&peer, s->peer);
    if (!s->ssl) {
        open_up(s, now);
        return;
    }
    s->state = HANDSHAKE;
    shake(s, now);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct secure_stream *s = container_of(timer, struct secure_stream, timer);

    if (s->state == HANDSHAKE)
        tell_failed(s, s->peer, "the TLS handshake took too long", now);
    else if (s->state >= OPEN)
        turn(s, true, now);
}

/* whose certificate is awaited, and how much it counts */
static bool prepare(struct secure_stream *s, const struct secure_stream_to *to)
{
    const char *name = to->name ? to->name : to->host;
    const char *checked = to->verify_name ? to->verify_name : name;
    struct addr literal;

    if (strlen(name) >= NAME_STR || strlen(checked) >= NAME_STR)
        return false;
    if (!addr_parse(name, strlen(name), &literal) && SSL_set_tlsext_host_name(s->ssl, name) != 1)
        return false;
    if (to->verify != SECURE_STREAM_VERIFY) {
        SSL_set_verify(s->ssl, SSL_VERIFY_NONE, NULL);
        return true;
    }
    if (addr_parse(checked, strlen(checked), &literal))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), checked) == 1;
    SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(s->ssl, checked) == 1;
}

static bool make_ssl(struct secure_stream *s, const struct secure_stream_to *to)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_method);
    BIO *bio = socket_method ? BIO_new(socket_method) : NULL;

    if (!bio || !(s->ssl = SSL_new(to->tls))) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_connect_state(s->ssl);
    return prepare(s, to);
}

struct secure_stream *secure_stream_new(struct loop *loop, struct resolver *resolver, const struct secure_stream_to *to,
                                        const struct secure_stream_events *events, void *ctx, ts_t now)
{
    struct secure_stream *s = calloc(1, sizeof(*s));
    const struct dial_to where = {
        .host = to->host, .addrs = to->addrs, .addrs_count = to->addrs_count, .port = to->port};

    if (!s)
        return NULL;
    s->loop = loop;
    s->events = events;
    s->ctx = ctx;
    s->fd = -1;
    s->verify = to->verify;
    memcpy(s->pin, to->pin, sizeof(s->pin));
    loop_timer_init(&s->timer, on_timer);
    if (!to->tls || make_ssl(s, to))
        s->dial = dial_start(loop, resolver, &where, to->timeout_ns, on_dialled, s, now);
    if (!s->dial) {
        s->freed = true;
        release(s);
        return NULL;
    }
    loop_timer_arm(loop, &s->timer, ts_add(now, to->timeout_ns));
    return s;
}

const char *secure_stream_peer(struct secure_stream *s)
{
    return s->peer;
}
