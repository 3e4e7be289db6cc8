/* A relay between a real socket pair and a real inner connection; the far end of that connection is a second TCP stack,
 * joined by a wire without loss. The loop is the programs' own; a test turns it until what it waits for is true. Shows
 * bytes, ends, holds, resets and deadlines of section 9 of the design, plain and through TLS. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"
#include "common/net/loop.h"
#include "common/net/stream.h"
#include "common/net/tls.h"
#include "common/relay/relay.h"

#define PORT     443
#define BULK     ((size_t)8 << 20)
#define PATIENCE (20 * TS_S)

/* one side of the wire */
struct side {
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct tcp_conn *conn;
    unsigned flags; /* of all events so far */
    int error;
};

static struct world {
    struct loop loop;
    struct pool pool;
    struct rng rng;
    struct side near, far; /* near: the relay's */
    struct relay relay;
    struct relay_config config;
    bool relaying, done;
    enum relay_end end;
    int visitor; /* the socket's other end */
    struct loop_timer tick; /* so that the loop never sleeps long */
} w;

static const struct addr near_addr = {{0xfd, 1, [15] = 1}}, far_addr = {{0xfd, 1, [15] = 2}};

/* ---- the wire ---- */

static bool carry(struct side *from, struct side *to, ts_t now)
{
    uint8_t packet[2048];
    struct tcp_peer *peer;
    size_t len;
    bool any = false;

    while ((len = tcp_stack_output(from->stack, packet, sizeof(packet), &peer, now)) > 0) {
        tcp_stack_input(to->stack, &to->peer, packet, len, now);
        any = true;
    }
    return any;
}

static bool take(struct side *s, ts_t now)
{
    struct tcp_event event;
    bool any = false;

    while (tcp_stack_event(s->stack, &event)) {
        any = true;
        s->flags |= event.flags;
        if (event.flags & TCP_EVENT_CLOSED)
            s->error = event.error;
        if (event.flags & TCP_EVENT_ACCEPTED)
            s->conn = event.conn;
        else if (s == &w.near && w.relaying)
            relay_event(&w.relay, &event, now);
    }
    return any;
}

static ts_t flush(void *ctx, ts_t now)
{
    bool any;

    (void)ctx;
    tcp_stack_expire(w.near.stack, now);
    tcp_stack_expire(w.far.stack, now);
    do {
        any = carry(&w.near, &w.far, now) | carry(&w.far, &w.near, now);
        any |= take(&w.near, now) | take(&w.far, now);
    } while (any);
    return ts_min(tcp_stack_deadline(w.near.stack), tcp_stack_deadline(w.far.stack));
}

static void on_tick(struct loop_timer *timer, ts_t now)
{
    loop_timer_arm(&w.loop, timer, ts_add(now, TS_MS));
}

/* turn the loop until the condition holds, or fail */
#define wait_until(condition)                                                                                          \
    do {                                                                                                               \
        ts_t wait_end_ = ts_add(loop_now(), PATIENCE);                                                                 \
        flush(NULL, loop_now());                                                                                       \
        while (!(condition)) {                                                                                         \
            assert_true(loop_now() < wait_end_);                                                                       \
            uv_run(&w.loop.uv, UV_RUN_ONCE);                                                                           \
        }                                                                                                              \
    } while (0)

static void turn_for(uint64_t ns)
{
    ts_t end = ts_add(loop_now(), ns);

    flush(NULL, loop_now());
    while (loop_now() < end)
        uv_run(&w.loop.uv, UV_RUN_ONCE);
}

static void on_done(struct relay *relay, enum relay_end end)
{
    assert_ptr_equal(relay, &w.relay);
    assert_false(w.done);
    w.done = true;
    w.end = end;
}

/* ---- the socket ---- */

/* two ends of a TCP connection over loopback, as a reset needs TCP */
static void socket_pair(int *a, int *b)
{
    struct addrport at, client;
    uint8_t loopback[4] = {127, 0, 0, 1};

    at = (struct addrport){addr_v4(loopback), 0};
    int listener = stream_listen(&at, 1, false);

    assert_true(listener >= 0);
    assert_int_equal(stream_local(listener, &at), 0);
    *a = stream_connect(&at);
    assert_true(*a >= 0);
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    assert_int_equal(poll(&ready, 1, 5000), 1);
    *b = stream_accept(listener, &client);
    assert_true(*b >= 0);
    close(listener);
}

static int setup(void **state)
{
    struct tcp_config config;
    int err;

    (void)state;
    memset(&w, 0, sizeof(w));
    rng_seed(&w.rng, 7);
    pool_init(&w.pool, 16384, 4096, 16);
    tcp_config_default(&config);
    config.rng = &w.rng;
    config.pool = &w.pool;
    w.near.stack = tcp_stack_new(&config);
    w.far.stack = tcp_stack_new(&config);
    tcp_peer_init(&w.near.peer, w.near.stack, &w.near, 1280);
    tcp_peer_init(&w.far.peer, w.far.stack, &w.far, 1280);
    assert_int_equal(loop_init(&w.loop, flush, NULL), 0);
    loop_timer_init(&w.tick, on_tick);
    loop_timer_arm(&w.loop, &w.tick, loop_now());
    assert_int_equal(tcp_listen(w.far.stack, PORT, 8, &w.far), 0);
    struct tcp_dial dial = {.peer = &w.near.peer, .local = near_addr, .remote = {far_addr, PORT}, .ctx = &w.near};

    w.near.conn = tcp_connect(w.near.stack, &dial, &err, loop_now());
    assert_non_null(w.near.conn);
    wait_until((w.near.flags & TCP_EVENT_CONNECTED) && w.far.conn);
    w.config = (struct relay_config){.half_close = RELAY_PROPAGATE, .hold_ns = 10 * TS_S};
    return 0;
}

static void start(enum relay_half_close half_close, struct ssl_ctx_st *tls)
{
    int fd;

    socket_pair(&w.visitor, &fd);
    int rc = tls ? relay_start_tls(&w.relay, &w.loop, fd, w.near.conn, &w.config, half_close, tls, on_done, loop_now())
                 : relay_start(&w.relay, &w.loop, fd, w.near.conn, &w.config, half_close, on_done, loop_now());

    assert_int_equal(rc, 0);
    w.relaying = true;
}

static int teardown(void **state)
{
    ts_t now = loop_now();

    (void)state;
    if (w.relaying && !w.done) {
        relay_stop(&w.relay, now);
        wait_until(w.done);
    }
    if (w.visitor > 0)
        close(w.visitor);
    tcp_abort(w.far.conn, now);
    if (!w.relaying)
        tcp_abort(w.near.conn, now);
    loop_timer_arm(&w.loop, &w.tick, TS_NEVER);
    loop_deinit(&w.loop);
    tcp_peer_deinit(&w.near.peer, now);
    tcp_peer_deinit(&w.far.peer, now);
    tcp_stack_free(w.near.stack);
    tcp_stack_free(w.far.stack);
    assert_int_equal(w.pool.chunks_out, 0);
    pool_deinit(&w.pool);
    return 0;
}

/* ---- saying and hearing ---- */

static void far_says(const char *text)
{
    assert_int_equal(tcp_write(w.far.conn, text, strlen(text), loop_now()), strlen(text));
}

static bool far_hears(const char *text)
{
    char got[256];
    struct iovec iov[4];
    size_t bytes, len = 0;
    int n = tcp_read_iov(w.far.conn, iov, 4, &bytes);

    if (bytes < strlen(text))
        return false;
    for (int i = 0; i < n; i++) {
        memcpy(got + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, len);
    tcp_consume(w.far.conn, len, loop_now());
    return true;
}

static void visitor_says(const char *text)
{
    assert_int_equal(send(w.visitor, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static bool visitor_hears(const char *text)
{
    char got[256];
    ssize_t n = recv(w.visitor, got, sizeof(got), MSG_DONTWAIT);

    if (n < 0) {
        assert_int_equal(errno, EAGAIN);
        return false;
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
    return true;
}

static bool visitor_hears_end(void)
{
    return visitor_hears("");
}

static bool visitor_hears_reset(void)
{
    char got[256];
    ssize_t n = recv(w.visitor, got, sizeof(got), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return false;
    assert_true(n < 0);
    assert_int_equal(errno, ECONNRESET);
    return true;
}

/* ---- cases ---- */

static void test_both_ways_and_half_close(void **state)
{
    (void)state;
    far_says("first"); /* what came before the relay began */
    flush(NULL, loop_now());
    start(RELAY_PROPAGATE, NULL);
    wait_until(visitor_hears("first"));
    visitor_says("question");
    wait_until(far_hears("question"));
    shutdown(w.visitor, SHUT_WR);
    wait_until(tcp_eof(w.far.conn));
    assert_false(w.done);
    far_says("answer");
    wait_until(visitor_hears("answer"));
    tcp_shutdown(w.far.conn, loop_now());
    wait_until(visitor_hears_end());
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_OK);
    assert_int_equal(w.relay.bytes_up, strlen("question"));
    assert_int_equal(w.relay.bytes_down, strlen("firstanswer"));
}

static void test_idle_relay_holds_no_buffer(void **state)
{
    (void)state;
    start(RELAY_PROPAGATE, NULL);
    visitor_says("a");
    wait_until(far_hears("a"));
    far_says("b");
    wait_until(visitor_hears("b"));
    turn_for(200 * TS_MS); /* delayed acknowledgements */
    assert_int_equal(w.pool.chunks_out, 0);
}

static void test_hold(void **state)
{
    (void)state;
    start(RELAY_HOLD, NULL);
    visitor_says("question");
    shutdown(w.visitor, SHUT_WR);
    wait_until(far_hears("question"));
    turn_for(100 * TS_MS);
    assert_false(tcp_eof(w.far.conn));
    far_says("answer");
    tcp_shutdown(w.far.conn, loop_now());
    wait_until(visitor_hears("answer"));
    wait_until(tcp_eof(w.far.conn)); /* now it may know */
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_OK);
}

static void test_hold_runs_out(void **state)
{
    (void)state;
    w.config.hold_ns = 150 * TS_MS;
    start(RELAY_HOLD, NULL);
    shutdown(w.visitor, SHUT_WR);
    turn_for(100 * TS_MS);
    far_says("still here"); /* moves the end of the hold */
    wait_until(visitor_hears("still here"));
    turn_for(100 * TS_MS);
    assert_false(tcp_eof(w.far.conn));
    wait_until(tcp_eof(w.far.conn));
    assert_false(w.done);
    tcp_shutdown(w.far.conn, loop_now());
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_HOLD_TIMEOUT);
}

static void test_socket_reset(void **state)
{
    (void)state;
    start(RELAY_PROPAGATE, NULL);
    visitor_says("a");
    wait_until(far_hears("a"));
    stream_reset_close(w.visitor);
    w.visitor = -1;
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_SOCKET_RESET);
    wait_until(w.far.flags & TCP_EVENT_CLOSED);
    assert_int_equal(w.far.error, -ECONNRESET);
}

static void test_inner_reset(void **state)
{
    (void)state;
    start(RELAY_HOLD, NULL);
    tcp_abort(w.far.conn, loop_now());
    w.far.conn = NULL;
    wait_until(visitor_hears_reset());
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_INNER_RESET);
}

/* the node has said all and then resets because the visitor goes on: its last words still arrive */
static void test_inner_end_then_reset(void **state)
{
    (void)state;
    start(RELAY_HOLD, NULL);
    far_says("413 too much");
    tcp_shutdown(w.far.conn, loop_now());
    wait_until(w.relay.socket_shut);
    tcp_abort(w.far.conn, loop_now());
    w.far.conn = NULL;
    visitor_says("more and more");
    wait_until(w.relay.lingering);
    wait_until(visitor_hears("413 too much"));
    wait_until(visitor_hears_end());
    visitor_says("and more");
    shutdown(w.visitor, SHUT_WR);
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_OK);
}

static void test_idle(void **state)
{
    (void)state;
    w.config.idle_ns = 150 * TS_MS;
    start(RELAY_PROPAGATE, NULL);
    turn_for(100 * TS_MS);
    visitor_says("a");
    wait_until(far_hears("a"));
    turn_for(100 * TS_MS);
    assert_false(w.done);
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_IDLE);
    wait_until(visitor_hears_reset());
}

static void test_stop(void **state)
{
    (void)state;
    start(RELAY_PROPAGATE, NULL);
    relay_stop(&w.relay, loop_now());
    assert_false(w.done); /* from the loop */
    relay_stop(&w.relay, loop_now());
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_STOPPED);
    assert_int_equal(w.relay.fd, -1);
}

/* a sequence that shows a byte that is lost, doubled or swapped */
static uint8_t sequence(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 11));
}

static void fill(uint8_t *out, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = sequence(from + i);
}

static void check_sequence(const uint8_t *data, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != sequence(from + i))
            fail_msg("byte %zu is wrong", from + i);
}

static size_t far_sends(size_t sent, size_t all)
{
    uint8_t piece[4096];
    size_t len = MIN(sizeof(piece), all - sent);

    fill(piece, sent, len);
    return tcp_write(w.far.conn, piece, len, loop_now());
}

static size_t far_reads(size_t got)
{
    struct iovec iov;
    size_t bytes;

    if (tcp_read_iov(w.far.conn, &iov, 1, &bytes) == 0)
        return 0;
    size_t len = MIN(iov.iov_len, 3000);

    check_sequence(iov.iov_base, got, len);
    tcp_consume(w.far.conn, len, loop_now());
    return len;
}

static size_t visitor_sends(size_t sent, size_t all)
{
    uint8_t piece[4096];
    size_t len = MIN(sizeof(piece), all - sent);

    fill(piece, sent, len);
    ssize_t n = send(w.visitor, piece, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    return n > 0 ? (size_t)n : 0;
}

static size_t visitor_reads(size_t got)
{
    uint8_t piece[5000];
    ssize_t n = recv(w.visitor, piece, sizeof(piece), MSG_DONTWAIT);

    if (n <= 0)
        return 0;
    check_sequence(piece, got, (size_t)n);
    return (size_t)n;
}

/* both directions at once, every reader and writer in odd sizes; memory stays bounded by the queues */
static void test_bulk_both_ways(void **state)
{
    size_t up_sent = 0, up_got = 0, down_sent = 0, down_got = 0;
    ts_t end = ts_add(loop_now(), PATIENCE);

    (void)state;
    start(RELAY_PROPAGATE, NULL);
    while (up_got < BULK || down_got < BULK) {
        assert_true(loop_now() < end);
        for (int i = 0; i < 32; i++) {
            if (up_sent < BULK)
                up_sent += visitor_sends(up_sent, BULK);
            if (down_sent < BULK)
                down_sent += far_sends(down_sent, BULK);
            up_got += far_reads(up_got);
            down_got += visitor_reads(down_got);
        }
        uv_run(&w.loop.uv, UV_RUN_NOWAIT);
        flush(NULL, loop_now());
    }
    shutdown(w.visitor, SHUT_WR);
    tcp_shutdown(w.far.conn, loop_now());
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_OK);
    assert_int_equal(w.relay.bytes_up, BULK);
    assert_int_equal(w.relay.bytes_down, BULK);
}

/* a visitor that does not read stops the node's side: nothing piles up here */
static void test_slow_visitor(void **state)
{
    size_t sent = 0, before;

    (void)state;
    start(RELAY_PROPAGATE, NULL);
    do {
        before = sent;
        for (int i = 0; i < 64; i++)
            sent += far_sends(sent, SIZE_MAX);
        turn_for(20 * TS_MS);
    } while (sent > before);
    assert_true(w.relay.socket_full);
    ts_t quiet = loop_now();
    unsigned turns = 0;

    while (loop_now() < ts_add(quiet, 100 * TS_MS)) {
        uv_run(&w.loop.uv, UV_RUN_ONCE);
        turns++;
    }
    assert_true(turns < 500); /* the tick alone makes 100: no busy loop */
    size_t got = 0, all = sent;
    ts_t end = ts_add(loop_now(), PATIENCE);

    while (got < all) {
        assert_true(loop_now() < end);
        got += visitor_reads(got);
        uv_run(&w.loop.uv, UV_RUN_NOWAIT);
        flush(NULL, loop_now());
    }
}

/* ---- TLS ---- */

static char certificate_file[] = "/tmp/test-relay-cert-XXXXXX", key_file[] = "/tmp/test-relay-key-XXXXXX";
static struct ssl_ctx_st *server;

static int make_certificate(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    const char *culprit;
    char why[256];

    (void)state;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    FILE *f = fdopen(mkstemp(certificate_file), "w");

    PEM_write_X509(f, certificate);
    fclose(f);
    f = fdopen(mkstemp(key_file), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(certificate);
    EVP_PKEY_free(key);
    server = tls_server_new(certificate_file, key_file, &culprit, why, sizeof(why));
    assert_non_null(server);
    assert_null(tls_server_new(key_file, key_file, &culprit, why, sizeof(why)));
    assert_ptr_equal(culprit, key_file);
    assert_non_null(strstr(why, "no certificate"));
    assert_null(tls_server_new(certificate_file, "/nowhere/key.pem", &culprit, why, sizeof(why)));
    assert_string_equal(culprit, "/nowhere/key.pem");
    assert_string_equal(why, "can't be read: No such file or directory");
    return 0;
}

static int remove_certificate(void **state)
{
    (void)state;
    tls_free(server);
    unlink(certificate_file);
    unlink(key_file);
    return 0;
}

/* the visitor's TLS at the far end of the inner connection */
struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void client_init(struct client *c, const char *alpn)
{
    c->ctx = SSL_CTX_new(TLS_client_method());
    c->ssl = SSL_new(c->ctx);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_connect_state(c->ssl);
    SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (alpn)
        SSL_set_alpn_protos(c->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
}

static void client_deinit(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
}

/* move ciphertext between the client and the far end of the inner connection */
static void client_pump(struct client *c)
{
    char *data;
    struct iovec iov;
    size_t bytes;
    long len = BIO_get_mem_data(c->out, &data);
    size_t took = len > 0 && tcp_can_write(w.far.conn) ? tcp_write(w.far.conn, data, (size_t)len, loop_now()) : 0;
    char skip[4096];

    while (took > 0) {
        int n = BIO_read(c->out, skip, (int)MIN(took, sizeof(skip)));

        assert_true(n > 0);
        took -= (size_t)n;
    }
    while (BIO_pending(c->in) < (1 << 16) && tcp_read_iov(w.far.conn, &iov, 1, &bytes) > 0) {
        assert_int_equal(BIO_write(c->in, iov.iov_base, (int)iov.iov_len), (int)iov.iov_len);
        tcp_consume(w.far.conn, iov.iov_len, loop_now());
    }
}

static bool client_shakes(struct client *c)
{
    int rc = SSL_do_handshake(c->ssl);

    client_pump(c);
    return rc == 1;
}

static bool client_reads(struct client *c, const char *text)
{
    char got[256];

    client_pump(c);
    int n = SSL_read(c->ssl, got, sizeof(got));

    client_pump(c);
    if (n <= 0)
        return false;
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
    return true;
}

static bool client_ended(struct client *c)
{
    char got[16];

    client_pump(c);
    int n = SSL_read(c->ssl, got, sizeof(got));

    assert_true(n <= 0);
    return SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static void test_tls_both_ways_and_half_close(void **state)
{
    struct client c;
    const unsigned char *alpn;
    unsigned alpn_len;

    (void)state;
    client_init(&c, "\x02h2\x08http/1.1");
    start(RELAY_PROPAGATE, server);
    visitor_says("early"); /* the service may speak before TLS is there: it waits */
    wait_until(client_shakes(&c));
    SSL_get0_alpn_selected(c.ssl, &alpn, &alpn_len);
    assert_int_equal(alpn_len, 8);
    assert_memory_equal(alpn, "http/1.1", 8);
    wait_until(client_reads(&c, "early"));
    assert_int_equal(SSL_write(c.ssl, "question", 8), 8);
    client_pump(&c);
    wait_until(visitor_hears("question"));
    SSL_shutdown(c.ssl);
    client_pump(&c);
    wait_until(visitor_hears_end());
    visitor_says("answer");
    wait_until(client_reads(&c, "answer"));
    turn_for(200 * TS_MS);
    assert_int_equal(w.pool.chunks_out, 0);
    shutdown(w.visitor, SHUT_WR);
    wait_until(client_ended(&c));
    wait_until(tcp_eof(w.far.conn));
    tcp_shutdown(w.far.conn, loop_now());
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_OK);
    client_deinit(&c);
}

static void test_tls_bulk_both_ways(void **state)
{
    size_t up_sent = 0, up_got = 0, down_sent = 0, down_got = 0; /* up: from the socket */
    uint8_t piece[8192];
    struct client c;
    ts_t end = ts_add(loop_now(), PATIENCE);
    const size_t all = BULK / 2;

    (void)state;
    client_init(&c, NULL);
    start(RELAY_PROPAGATE, server);
    wait_until(client_shakes(&c));
    while (up_got < all || down_got < all) {
        assert_true(loop_now() < end);
        for (int i = 0; i < 16; i++) {
            if (up_sent < all)
                up_sent += visitor_sends(up_sent, all);
            if (down_sent < all && BIO_pending(c.out) < (1 << 16)) {
                size_t len = MIN(sizeof(piece), all - down_sent);

                fill(piece, down_sent, len);
                int n = SSL_write(c.ssl, piece, (int)len);

                down_sent += n > 0 ? (size_t)n : 0;
            }
            client_pump(&c);
            int n = SSL_read(c.ssl, piece, 5001);

            if (n > 0) {
                check_sequence(piece, up_got, (size_t)n);
                up_got += (size_t)n;
            }
            down_got += visitor_reads(down_got);
        }
        uv_run(&w.loop.uv, UV_RUN_NOWAIT);
        flush(NULL, loop_now());
    }
    assert_int_equal(w.relay.bytes_up, all);
    assert_int_equal(w.relay.bytes_down, all);
    client_deinit(&c);
}

static void test_tls_garbage(void **state)
{
    (void)state;
    start(RELAY_PROPAGATE, server);
    far_says("GET / HTTP/1.1\r\n\r\n");
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_TLS);
    wait_until(visitor_hears_reset());
    wait_until(tcp_readable(w.far.conn) > 0 || (w.far.flags & TCP_EVENT_CLOSED)); /* an alert */
}

static void test_tls_silence(void **state)
{
    (void)state;
    w.config.handshake_ns = 100 * TS_MS;
    start(RELAY_PROPAGATE, server);
    wait_until(w.done);
    assert_int_equal(w.end, RELAY_END_TLS_TIMEOUT);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_both_ways_and_half_close),
        CASE(test_idle_relay_holds_no_buffer),
        CASE(test_hold),
        CASE(test_hold_runs_out),
        CASE(test_socket_reset),
        CASE(test_inner_reset),
        CASE(test_inner_end_then_reset),
        CASE(test_idle),
        CASE(test_stop),
        CASE(test_bulk_both_ways),
        CASE(test_slow_visitor),
        CASE(test_tls_both_ways_and_half_close),
        CASE(test_tls_bulk_both_ways),
        CASE(test_tls_garbage),
        CASE(test_tls_silence),
    };

    return cmocka_run_group_tests_name("relay", tests, make_certificate, remove_certificate);
}
