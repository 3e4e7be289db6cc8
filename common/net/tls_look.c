#include "common/net/tls_look.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/net/loop.h"

static void on_info(const SSL *ssl, int where, int value)
{
    struct tls_look *look = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT)
        return;
    look->alert = value & 0xff;
    snprintf(look->alert_name, sizeof(look->alert_name), "%s", SSL_alert_desc_string_long(value));
}

/* wait for the socket; false: the deadline has passed */
static bool wait_for(int fd, int ssl_error, ts_t deadline)
{
    struct pollfd p = {.fd = fd, .events = ssl_error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};
    uint64_t left_ns = ts_since(deadline, loop_now());

    return left_ns > 0 && poll(&p, 1, (int)(left_ns / TS_MS) + 1) == 1;
}

static void describe_error(struct tls_look *look, int ssl_error, int system_error)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    if (look->alert != TLS_LOOK_NO_ALERT)
        snprintf(look->error, sizeof(look->error), "alert %d (%s)", look->alert, look->alert_name);
    else if (ssl_error == SSL_ERROR_SYSCALL && system_error != 0)
        snprintf(look->error, sizeof(look->error), "%s", err_str(-system_error));
    else if (ssl_error == SSL_ERROR_SYSCALL || !reason ||
             ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        snprintf(look->error, sizeof(look->error), "closed without an alert");
    else {
        look->not_tls = true;
        snprintf(look->error, sizeof(look->error), "what answers is not TLS (%s)", reason);
    }
}

static bool shake(SSL *ssl, int fd, ts_t deadline, struct tls_look *look)
{
    int rc;

    while ((rc = SSL_connect(ssl)) != 1) {
        int system_error = errno, ssl_error = SSL_get_error(ssl, rc);

        if (ssl_error != SSL_ERROR_WANT_READ && ssl_error != SSL_ERROR_WANT_WRITE) {
            describe_error(look, ssl_error, system_error);
            return false;
        }
        if (!wait_for(fd, ssl_error, deadline)) {
            snprintf(look->error, sizeof(look->error), "no answer in time");
            return false;
        }
        ERR_clear_error();
        errno = 0;
    }
    return true;
}

static void name_text(const X509_NAME *name, char *out, size_t cap)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long len = 0;

    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        len = BIO_get_mem_data(bio, &text);
    snprintf(out, cap, "%.*s", (int)len, len > 0 ? text : "");
    BIO_free(bio);
}

static void time_text(const ASN1_TIME *time, char *out, size_t cap)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long len = 0;

    if (bio && ASN1_TIME_print(bio, time) == 1)
        len = BIO_get_mem_data(bio, &text);
    snprintf(out, cap, "%.*s", (int)len, len > 0 ? text : "");
    BIO_free(bio);
}

/* after the handshake, because reading all authorities takes longer than that, and the time is measured */
static void judge(SSL *ssl, X509 *certificate, const char *name, struct tls_look *look)
{
    X509_STORE *authorities = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();

    if (authorities && check && X509_STORE_set_default_paths(authorities) == 1 &&
        X509_STORE_CTX_init(check, authorities, certificate, SSL_get_peer_cert_chain(ssl)) == 1 &&
        X509_STORE_CTX_set_default(check, "ssl_server") == 1 &&
        X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(check), name, 0) == 1) {
        look->trusted = X509_verify_cert(check) == 1;
        snprintf(look->distrust, sizeof(look->distrust), "%s",
                 look->trusted ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
    } else {
        snprintf(look->distrust, sizeof(look->distrust), "this machine's authorities can't be read");
    }
    X509_STORE_CTX_free(check);
    X509_STORE_free(authorities);
}

static void describe(SSL *ssl, const char *name, struct tls_look *look)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    snprintf(look->version, sizeof(look->version), "%s", SSL_get_version(ssl));
    if (!certificate) {
        snprintf(look->distrust, sizeof(look->distrust), "no certificate was shown");
        return;
    }
    name_text(X509_get_subject_name(certificate), look->subject, sizeof(look->subject));
    name_text(X509_get_issuer_name(certificate), look->issuer, sizeof(look->issuer));
    time_text(X509_get0_notAfter(certificate), look->expires, sizeof(look->expires));
    judge(ssl, certificate, name, look);
}

bool tls_look(int fd, const char *name, ts_t deadline, struct tls_look *out)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    bool through = false;

    memset(out, 0, sizeof(*out));
    out->alert = TLS_LOOK_NO_ALERT;
    ERR_clear_error();
    if (ssl && SSL_set_fd(ssl, fd) == 1 &&
        SSL_set_tlsext_host_name(ssl, name) == 1) {
        SSL_set_app_data(ssl, out);
        SSL_set_info_callback(ssl, on_info);
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        through = shake(ssl, fd, deadline, out);
        if (through)
            describe(ssl, name, out);
    } else {
        snprintf(out->error, sizeof(out->error), "%s", err_str(ERR_NOMEM));
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return through;
}
