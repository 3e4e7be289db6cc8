/* A client's stream against a server that is a thread of this program with libssl's blocking calls: who is trusted,
 * what comes through, in which order events come, and how each end is told. Certificates are made here and now. */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/net/secure_stream.h"
#include "common/net/stream.h"
#include "common/net/tls.h"
#include "turning.h"

#define BULK ((size_t)4 << 20)

static char dir[] = "/tmp/test-secure-stream-XXXXXX";
static char ca_file[64], other_ca_file[64], server_cert[64], server_key[64], client_cert[64], client_key[64];
static uint8_t server_pin[SECURE_STREAM_PIN];

/* ---- certificates ---- */

struct signer {
    X509 *certificate;
    EVP_PKEY *key;
};

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);

    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* by == NULL: it signs itself, and others */
static struct signer certify(const char *name, const struct signer *by, const char *san)
{
    static int serial = 1;
    struct signer s = {X509_new(), EVP_EC_gen("P-256")};
    X509_NAME *subject = X509_get_subject_name(s.certificate);

    assert_non_null(s.key);
    X509_set_version(s.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(s.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(s.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(s.certificate), 86400);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(s.certificate, by ? X509_get_subject_name(by->certificate) : subject);
    X509_set_pubkey(s.certificate, s.key);
    extend(s.certificate, by ? by->certificate : s.certificate, NID_basic_constraints,
           by ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (san)
        extend(s.certificate, by->certificate, NID_subject_alt_name, san);
    assert_true(X509_sign(s.certificate, by ? by->key : s.key, EVP_sha256()) > 0);
    return s;
}

static void save(const struct signer *s, const char *certificate, const char *key)
{
    FILE *f = fopen(certificate, "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, s->certificate), 1);
    fclose(f);
    if (key) {
        f = fopen(key, "w");
        assert_non_null(f);
        assert_int_equal(PEM_write_PrivateKey(f, s->key, NULL, NULL, 0, NULL, NULL), 1);
        fclose(f);
    }
}

static void forget(struct signer *s)
{
    X509_free(s->certificate);
    EVP_PKEY_free(s->key);
}

static int make_certificates(void **state)
{
    unsigned len;

    (void)state;
    signal(SIGPIPE, SIG_DFL); /* nothing here may need it ignored */
    if (!mkdtemp(dir))
        return -1;
    const struct {
        char *path;
        const char *name;
    } files[] = {{ca_file, "ca"},          {other_ca_file, "other-ca"},    {server_cert, "server.pem"},
                 {server_key, "server.key"}, {client_cert, "client.pem"}, {client_key, "client.key"}};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        snprintf(files[i].path, sizeof(ca_file), "%s/%s", dir, files[i].name);
    struct signer ca = certify("test authority", NULL, NULL), other = certify("another one", NULL, NULL);
    struct signer server = certify("server", &ca, "DNS:feed.test,DNS:*.wild.test,IP:127.0.0.1");
    struct signer client = certify("client", &ca, NULL);

    save(&ca, ca_file, NULL);
    save(&other, other_ca_file, NULL);
    save(&server, server_cert, server_key);
    save(&client, client_cert, client_key);
    X509_digest(server.certificate, EVP_sha256(), server_pin, &len);
    forget(&ca);
    forget(&other);
    forget(&server);
    forget(&client);
    return 0;
}

static int remove_certificates(void **state)
{
    const char *const files[] = {ca_file, other_ca_file, server_cert, server_key, client_cert, client_key};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        unlink(files[i]);
    return rmdir(dir);
}

/* ---- the server: one connection ---- */

enum manners {
    ECHOES = 0,   /* what comes goes back, until the end */
    POUR,       /* BULK bytes, then an orderly end */
    CUT,        /* some bytes, then an end without close_notify */
    MUTE,       /* accepts, and says nothing, not even the handshake */
    NEVER_READ, /* connected, and reads nothing until told */
};

static struct server {
    int listener;
    uint16_t port;
    bool tls, wants_client;
    enum manners manners;
    pthread_t thread;
    int go[2]; /* a byte here, or its end, lets MUTE and NEVER_READ go on */
    char name_asked[256], alpn[32];
    size_t received;
} server;

static int put(SSL *ssl, int fd, const void *data, size_t len)
{
    return ssl ? SSL_write(ssl, data, (int)len) : (int)send(fd, data, len, MSG_NOSIGNAL);
}

static int get(SSL *ssl, int fd, void *data, size_t len)
{
    return ssl ? SSL_read(ssl, data, (int)len) : (int)recv(fd, data, len, 0);
}

static void wait_to_go(void)
{
    char c;

    (void)!read(server.go[0], &c, 1);
}

static void serve(SSL *ssl, int fd)
{
    static uint8_t buf[65536];
    int n;

    switch (server.manners) {
    case ECHOES:
        while ((n = get(ssl, fd, buf, sizeof(buf))) > 0)
            put(ssl, fd, buf, (size_t)n);
        break;
    case POUR:
        for (size_t sent = 0; sent < BULK; sent += (size_t)n) {
            for (size_t i = 0; i < sizeof(buf); i++)
                buf[i] = (uint8_t)((sent + i) % 251);
            if ((n = put(ssl, fd, buf, sizeof(buf))) <= 0)
                return;
        }
        break;
    case CUT:
        put(ssl, fd, "half a li", 9);
        return;
    case MUTE:
        wait_to_go();
        return;
    case NEVER_READ:
        wait_to_go();
        while ((n = get(ssl, fd, buf, sizeof(buf))) > 0)
            server.received += (size_t)n;
        break;
    }
    if (ssl)
        SSL_shutdown(ssl);
}

static int note_name(SSL *ssl, int *alert, void *ctx)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    (void)ctx;
    snprintf(server.name_asked, sizeof(server.name_asked), "%s", name ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

static void serve_tls(int fd)
{
    const char *culprit;
    char why[200];
    SSL_CTX *ctx = tls_server_new(server_cert, server_key, &culprit, why, sizeof(why));
    const unsigned char *alpn;
    unsigned len;

    if (!ctx)
        abort();
    SSL_CTX_set_tlsext_servername_callback(ctx, note_name);
    if (server.wants_client) {
        SSL_CTX_load_verify_file(ctx, ca_file);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    SSL *ssl = SSL_new(ctx);

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        SSL_get0_alpn_selected(ssl, &alpn, &len);
        snprintf(server.alpn, sizeof(server.alpn), "%.*s", (int)len, (const char *)alpn);
        serve(ssl, fd);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void *server_main(void *ctx)
{
    int fd = accept(server.listener, NULL, NULL);
    sigset_t pipe;

    (void)ctx;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL); /* this side writes by libssl's own means */
    if (server.tls && server.manners != MUTE)
        serve_tls(fd);
    else
        serve(NULL, fd);
    close(fd);
    return NULL;
}

static void server_start(enum manners manners, bool tls)
{
    struct addrport at = {.port = 0};

    assert_true(addr_parse("127.0.0.1", 9, &at.addr));
    server.manners = manners;
    server.tls = tls;
    server.received = 0;
    server.listener = stream_listen(&at, 8, false);
    assert_true(server.listener >= 0);
    fcntl(server.listener, F_SETFL, 0); /* this side blocks */
    assert_int_equal(stream_local(server.listener, &at), 0);
    server.port = at.port;
    assert_int_equal(pipe(server.go), 0);
    assert_int_equal(pthread_create(&server.thread, NULL, server_main, NULL), 0);
}

static void server_join(void)
{
    close(server.go[1]);
    pthread_join(server.thread, NULL);
    close(server.go[0]);
    close(server.listener);
    server.wants_client = false;
}

/* ---- the client ---- */

static struct resolver *resolver;
static struct ssl_ctx_st *context;
static struct secure_stream *stream;

static struct {
    unsigned connected, writable, closed;
    size_t len;
    uint8_t bytes[BULK + 1]; /* with room to see the end */
    char why[400]; /* "": in order */
    size_t read_most; /* a readable event's share; 0: all */
    bool free_when_connected, free_when_readable, free_when_closed;
    bool pause_when_readable; /* after the first read of an event */
} got;

static void maybe_free(bool wanted)
{
    if (wanted) {
        secure_stream_free(stream);
        stream = NULL;
    }
}

static void on_connected(void *ctx, ts_t now)
{
    (void)now;
    assert_ptr_equal(ctx, &got);
    assert_int_equal(got.closed, 0);
    got.connected++;
    maybe_free(got.free_when_connected);
}

static void on_readable(void *ctx, ts_t now)
{
    size_t n;

    (void)ctx;
    (void)now;
    assert_int_equal(got.connected, 1);
    assert_int_equal(got.closed, 0);
    do {
        n = secure_stream_read(stream, got.bytes + got.len,
                               MIN(sizeof(got.bytes) - got.len, got.read_most ? got.read_most : 5000));
        got.len += n;
        if (got.pause_when_readable && n > 0) { /* here: a server that runs meanwhile would have sent all before the next turn */
            secure_stream_pause(stream);
            got.pause_when_readable = false;
            return;
        }
    } while (n > 0 && !got.read_most);
    maybe_free(got.free_when_readable);
}

static void on_writable(void *ctx, ts_t now)
{
    (void)ctx;
    (void)now;
    got.writable++;
}

static void on_closed(void *ctx, const char *why, ts_t now)
{
    (void)ctx;
    (void)now;
    got.closed++;
    snprintf(got.why, sizeof(got.why), "%s", why ? why : "");
    maybe_free(got.free_when_closed);
}

static const struct secure_stream_events events = {on_connected, on_readable, on_writable, on_closed};

static int setup(void **state)
{
    (void)state;
    memset(&got, 0, sizeof(got));
    if (turning_begin() != 0)
        return -1;
    resolver = resolver_new(&loop);
    return resolver ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    secure_stream_free(stream);
    stream = NULL;
    tls_free(context);
    context = NULL;
    resolver_free(resolver);
    turning_end();
    return 0;
}

static struct ssl_ctx_st *trusting(const char *ca, const char *certificate, const char *key)
{
    const struct tls_client_files files = {.ca = ca, .certificate = certificate, .certificate_key = key};
    const char *culprit;
    char why[200];
    struct ssl_ctx_st *ctx = tls_client_new(&files, true, &culprit, why, sizeof(why));

    if (!ctx)
        fail_msg("%s %s", culprit ? culprit : "", why);
    return ctx;
}

static void connect_to(struct secure_stream_to to)
{
    to.host = to.host ? to.host : "127.0.0.1";
    to.port = to.port ? to.port : server.port;
    to.timeout_ns = to.timeout_ns ? to.timeout_ns : 10 * TS_S;
    if (to.tls)
        context = to.tls;
    stream = secure_stream_new(&loop, resolver, &to, &events, &got, loop_now());
    assert_non_null(stream);
}

static void say(const char *text)
{
    assert_int_equal(secure_stream_write(stream, text, strlen(text)), strlen(text));
}

static bool heard(const char *text)
{
    return got.len == strlen(text) && memcmp(got.bytes, text, got.len) == 0;
}

/* ---- cases ---- */

static void test_both_ways(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        char peer[ADDRPORT_STR];

        server_start(ECHOES, tls);
        connect_to((struct secure_stream_to){.tls = tls ? trusting(ca_file, NULL, NULL) : NULL});
        say("early "); /* before it is connected */
        wait_until(got.connected);
        snprintf(peer, sizeof(peer), "127.0.0.1:%u", server.port);
        assert_string_equal(secure_stream_peer(stream), peer);
        wait_until(heard("early "));
        say("late");
        wait_until(heard("early late"));
        secure_stream_free(stream);
        stream = NULL;
        server_join();
        assert_int_equal(got.closed, 0);
        got.len = 0;
        got.connected = 0;
    }
}

static void test_name_and_alpn_are_sent(void **state)
{
    struct addr at;

    (void)state;
    server_start(ECHOES, true);
    assert_true(addr_parse("127.0.0.1", 9, &at));
    connect_to((struct secure_stream_to){
        .host = "feed.test", .addrs = &at, .addrs_count = 1, .tls = trusting(ca_file, NULL, NULL)});
    wait_until(got.connected);
    maybe_free(true);
    server_join();
    assert_string_equal(server.name_asked, "feed.test");
    assert_string_equal(server.alpn, "http/1.1");
}

static void test_whom_it_trusts(void **state)
{
    static const struct {
        const char *name, *verify_name;
        bool other_ca;
        enum secure_stream_verify verify;
        int pin; /* 1: right, -1: wrong */
        const char *why; /* NULL: connected */
    } cases[] = {
        {"feed.test", NULL, false, SECURE_STREAM_VERIFY, 0, NULL},
        {"x.wild.test", NULL, false, SECURE_STREAM_VERIFY, 0, NULL},
        {NULL, NULL, false, SECURE_STREAM_VERIFY, 0, NULL}, /* by its address */
        {"other.test", "feed.test", false, SECURE_STREAM_VERIFY, 0, NULL},
        {"other.test", NULL, false, SECURE_STREAM_VERIFY, 0, "TLS: the server's certificate is refused: hostname mismatch"},
        {"feed.test", "other.test", false, SECURE_STREAM_VERIFY, 0,
         "TLS: the server's certificate is refused: hostname mismatch"},
        {"feed.test", "192.0.2.1", false, SECURE_STREAM_VERIFY, 0,
         "TLS: the server's certificate is refused: IP address mismatch"},
        {"feed.test", NULL, true, SECURE_STREAM_VERIFY, 0,
         "TLS: the server's certificate is refused: unable to get local issuer certificate"},
        {"other.test", NULL, true, SECURE_STREAM_PINNED, 1, NULL},
        {"feed.test", NULL, false, SECURE_STREAM_PINNED, -1, "TLS: the server's certificate is not the pinned one"},
        {"other.test", NULL, true, SECURE_STREAM_UNVERIFIED, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct secure_stream_to to = {.name = cases[i].name,
                                      .verify_name = cases[i].verify_name,
                                      .verify = cases[i].verify,
                                      .tls = trusting(cases[i].other_ca ? other_ca_file : ca_file, NULL, NULL)};

        memcpy(to.pin, server_pin, sizeof(to.pin));
        if (cases[i].pin < 0)
            to.pin[31] ^= 1;
        server_start(ECHOES, true);
        connect_to(to);
        wait_until(got.connected || got.closed);
        assert_string_equal(got.why, cases[i].why ? cases[i].why : "");
        assert_int_equal(got.connected, cases[i].why == NULL);
        maybe_free(true);
        server_join();
        tls_free(context);
        context = NULL;
        got.connected = got.closed = 0;
        got.why[0] = 0;
    }
}

static void test_own_certificate(void **state)
{
    (void)state;
    server.wants_client = true;
    server_start(ECHOES, true);
    connect_to((struct secure_stream_to){.tls = trusting(ca_file, client_cert, client_key)});
    say("it is me");
    wait_until(heard("it is me"));
    maybe_free(true);
    server_join();
    tls_free(context);
    got.connected = 0;
    got.len = 0;
    server.wants_client = true;
    server_start(ECHOES, true);
    connect_to((struct secure_stream_to){.tls = trusting(ca_file, NULL, NULL)});
    wait_until(got.closed); /* TLS 1.3 says so only after the handshake */
    assert_non_null(strstr(got.why, "certificate required"));
    maybe_free(true);
    server_join();
}

static void check_bulk(void)
{
    assert_int_equal(got.len, BULK);
    for (size_t i = 0; i < BULK; i++)
        if (got.bytes[i] != (uint8_t)(i % 251))
            fail_msg("byte %zu", i);
}

static void test_orderly_end_after_every_byte(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++)
        for (size_t most = 0; most <= 3000; most += 3000) {
            got.len = got.connected = got.closed = 0;
            got.read_most = most;
            server_start(POUR, tls);
            connect_to((struct secure_stream_to){.tls = tls ? trusting(ca_file, NULL, NULL) : NULL});
            wait_until(got.closed);
            assert_string_equal(got.why, "");
            check_bulk();
            maybe_free(true);
            server_join();
            tls_free(context);
            context = NULL;
        }
}

static void test_pause_holds_the_peer(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        got.len = got.connected = got.closed = 0;
        got.pause_when_readable = true;
        server_start(POUR, tls);
        connect_to((struct secure_stream_to){.tls = tls ? trusting(ca_file, NULL, NULL) : NULL});
        wait_until(got.len > 0);
        size_t len = got.len;

        for (int i = 0; i < 50; i++)
            uv_run(&loop.uv, UV_RUN_ONCE);
        assert_int_equal(got.len, len);
        assert_int_equal(got.closed, 0);
        secure_stream_resume(stream);
        wait_until(got.closed);
        check_bulk();
        maybe_free(true);
        server_join();
        tls_free(context);
        context = NULL;
    }
}

static void test_cut_is_told_from_an_end(void **state)
{
    (void)state;
    server_start(CUT, true);
    connect_to((struct secure_stream_to){.tls = trusting(ca_file, NULL, NULL)});
    wait_until(got.closed);
    assert_true(heard("half a li"));
    assert_string_equal(got.why, "receiving: unexpected eof while reading");
    maybe_free(true);
    server_join();
}

static void test_full_queue(void **state)
{
    static uint8_t data[BULK];
    size_t sent = 0;

    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        got.connected = got.writable = 0;
        server_start(NEVER_READ, tls);
        connect_to((struct secure_stream_to){.tls = tls ? trusting(ca_file, NULL, NULL) : NULL});
        assert_int_equal(secure_stream_write(stream, data, sizeof(data)), SECURE_STREAM_QUEUE_MAX);
        sent = SECURE_STREAM_QUEUE_MAX;
        wait_until(got.writable == 1); /* the kernel took all of it */
        for (unsigned rounds = 0; rounds < 1000; rounds++) { /* until it takes no more */
            size_t n = secure_stream_write(stream, data, sizeof(data));

            sent += n;
            if (n == 0)
                break;
            uv_run(&loop.uv, UV_RUN_ONCE);
        }
        unsigned before = got.writable;

        assert_int_equal(write(server.go[1], "", 1), 1);
        wait_until(got.writable > before);
        size_t n = secure_stream_write(stream, data, 1000);

        assert_int_equal(n, 1000);
        sent += n;
        /* what was sent arrives: the server counts until our end, which is only written when the queue is empty */
        wait_until(*(volatile size_t *)&server.received == sent);
        maybe_free(true);
        server_join();
        tls_free(context);
        context = NULL;
    }
}

static void test_handshake_deadline(void **state)
{
    ts_t begun = loop_now();

    (void)state;
    server_start(MUTE, true);
    connect_to((struct secure_stream_to){.tls = trusting(ca_file, NULL, NULL), .timeout_ns = 200 * TS_MS});
    wait_until(got.closed);
    assert_non_null(strstr(got.why, "took too long"));
    assert_true(ts_since(loop_now(), begun) >= 200 * TS_MS);
    assert_int_equal(got.connected, 0);
    maybe_free(true);
    server_join();
}

static void test_not_tls(void **state)
{
    (void)state;
    server_start(POUR, false);
    connect_to((struct secure_stream_to){.tls = trusting(ca_file, NULL, NULL)});
    wait_until(got.closed);
    assert_ptr_equal(strstr(got.why, "TLS handshake: "), got.why);
    maybe_free(true);
    server_join();
}

static void test_free_inside_events(void **state)
{
    bool *const when[] = {&got.free_when_connected, &got.free_when_readable, &got.free_when_closed};

    (void)state;
    for (int tls = 0; tls <= 1; tls++)
        for (size_t i = 0; i < ARRAY_SIZE(when); i++) {
            got.len = got.connected = got.closed = 0;
            server_start(POUR, tls);
            *when[i] = true;
            connect_to((struct secure_stream_to){.tls = tls ? trusting(ca_file, NULL, NULL) : NULL});
            wait_until(!stream);
            *when[i] = false;
            server_join();
            tls_free(context);
            context = NULL;
        }
}

/* authorities of our own, and those of the machine besides where that is said */
static void test_machine_too(void **state)
{
    (void)state;
    assert_int_equal(setenv("SSL_CERT_FILE", ca_file, 1), 0);
    for (int too = 0; too <= 1; too++) {
        const struct tls_client_files files = {.ca = other_ca_file, .machine_too = too};
        const char *culprit;
        char why[200];

        server_start(ECHOES, true);
        connect_to((struct secure_stream_to){.name = "feed.test", .tls = tls_client_new(&files, false, &culprit, why, sizeof(why))});
        wait_until(got.connected || got.closed);
        assert_int_equal(got.connected, too);
        maybe_free(true);
        server_join();
        tls_free(context);
        context = NULL;
        got.connected = got.closed = 0;
    }
    /* a machine without any is no reason to do without ours */
    const struct tls_client_files files = {.ca = ca_file, .machine_too = true};
    const char *culprit;
    char why[200];

    assert_int_equal(setenv("SSL_CERT_FILE", "/nowhere", 1), 0);
    context = tls_client_new(&files, false, &culprit, why, sizeof(why));
    assert_non_null(context);
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
}

static void test_contexts(void **state)
{
    static const struct {
        const char *ca, *certificate, *key, *culprit, *why;
    } cases[] = {
        {"/nowhere/ca.pem", NULL, NULL, "/nowhere/ca.pem", "can't be read: No such file or directory"},
        {server_key, NULL, NULL, server_key, "holds no certificates in PEM"},
        {ca_file, client_key, client_key, client_key, "holds no certificate in PEM"},
        {ca_file, client_cert, server_key, server_key, "holds no private key in PEM, or that of another certificate"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct tls_client_files files = {.ca = cases[i].ca, .certificate = cases[i].certificate, .certificate_key = cases[i].key};
        const char *culprit;
        char why[200];

        assert_null(tls_client_new(&files, false, &culprit, why, sizeof(why)));
        assert_string_equal(culprit, cases[i].culprit);
        assert_ptr_equal(strstr(why, cases[i].why), why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_name_and_alpn_are_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whom_it_trusts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orderly_end_after_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause_holds_the_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_is_told_from_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handshake_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_inside_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_machine_too, setup, teardown),
        cmocka_unit_test(test_contexts),
    };

    return cmocka_run_group_tests_name("secure_stream", tests, make_certificates, remove_certificates);
}
