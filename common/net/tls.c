#include "common/net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/bug.h"
#include "common/base/err.h"

#define NAME_STR   256 /* a DNS name, RFC 1035 section 2.3.4 */
#define NO_CONTEXT "no TLS context"

static const unsigned char alpn_ours[] = "\x08http/1.1"; /* RFC 7301 section 3.1 */

static int no_password(char *out, int cap, int writing, void *ctx)
{
    (void)out;
    (void)cap;
    (void)writing;
    (void)ctx;
    return 0; /* never ask on a terminal */
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                       unsigned int offered_len, void *ctx)
{
    unsigned char *chosen;

    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_len, alpn_ours, sizeof(alpn_ours) - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* explain - `what`, and OpenSSL's first reason for it; a file that can't be read is the system's matter alone. */
static void explain(const char *what, char *why, size_t why_cap)
{
    unsigned long error = ERR_peek_error();
    const char *reason = ERR_reason_error_string(error); /* NULL where the system failed */

    if (ERR_SYSTEM_ERROR(error))
        snprintf(why, why_cap, "can't be read: %s", err_str(-ERR_GET_REASON(error)));
    else if (reason)
        snprintf(why, why_cap, "%s (%s)", what, reason);
    else
        snprintf(why, why_cap, "%s", what);
    ERR_clear_error();
}

/* new_context - what both sides have in common */
static SSL_CTX *new_context(const SSL_METHOD *method)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* resumption is by tickets: no memory of visitors */
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    return ctx;
}

/* use_pair - our own certificate; what is wrong with it, or NULL */
static const char *use_pair(SSL_CTX *ctx, const char *certificate_path, const char *key_path, const char **culprit)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate_path) != 1) {
        *culprit = certificate_path;
        return "holds no certificate in PEM";
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) != 1) {
        *culprit = key_path;
        return "holds no private key in PEM, or that of another certificate";
    }
    return NULL;
}

/* done - the context, or nothing and the reason when something is wrong */
static SSL_CTX *done(SSL_CTX *ctx, const char *what, char *why, size_t why_cap)
{
    if (!what)
        return ctx;
    explain(what, why, why_cap);
    SSL_CTX_free(ctx);
    return NULL;
}

struct ssl_ctx_st *tls_server_new(const char *certificate_path, const char *key_path, const char **culprit, char *why,
                                  size_t why_cap)
{
    SSL_CTX *ctx = new_context(TLS_server_method());

    *culprit = NULL;
    if (!ctx)
        return done(NULL, NO_CONTEXT, why, why_cap);
    /* many clients close without close_notify; what is cut short is for the protocol above to notice */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    return done(ctx, use_pair(ctx, certificate_path, key_path, culprit), why, why_cap);
}

/* use_machine - the authorities of this machine, from the one file that holds them all: OpenSSL's folders would be
 * looked into at each handshake, out of a sandbox too */
static const char *use_machine(SSL_CTX *ctx)
{
    const char *named = getenv(X509_get_default_cert_file_env()); /* SSL_CERT_FILE, as in all programs with OpenSSL */
    const char *const places[] = {
        named ? named : X509_get_default_cert_file(),
        "/etc/ssl/certs/ca-certificates.crt", /* Debian and its kin, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora and its kin */
    };

    for (size_t i = 0; i < (named ? 1 : ARRAY_SIZE(places)); i++)
        if (SSL_CTX_load_verify_file(ctx, places[i]) == 1) {
            ERR_clear_error();
            return NULL;
        }
    ERR_clear_error();
    return named ? "SSL_CERT_FILE names no file of authorities"
                 : "this machine has no file of authorities (install ca-certificates), and none is named";
}

static const char *use_authorities(SSL_CTX *ctx, const struct tls_client_files *files, const char **culprit)
{
    if (!files->ca || !*files->ca)
        return use_machine(ctx);
    if (SSL_CTX_load_verify_file(ctx, files->ca) != 1) {
        *culprit = files->ca;
        return "holds no certificates in PEM";
    }
    if (files->machine_too)
        (void)use_machine(ctx);
    return NULL;
}

struct ssl_ctx_st *tls_client_new(const struct tls_client_files *files, bool alpn_http, const char **culprit, char *why,
                                  size_t why_cap)
{
    SSL_CTX *ctx = new_context(TLS_client_method());
    const char *what;

    *culprit = NULL;
    if (!ctx)
        return done(NULL, NO_CONTEXT, why, why_cap);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    what = use_authorities(ctx, files, culprit);
    if (!what && files->certificate && *files->certificate)
        what = use_pair(ctx, files->certificate, files->certificate_key ? files->certificate_key : "", culprit);
    if (!what && alpn_http && SSL_CTX_set_alpn_protos(ctx, alpn_ours, sizeof(alpn_ours) - 1) != 0)
        what = NO_CONTEXT;
    return done(ctx, what, why, why_cap);
}

bool tls_server_fits(struct ssl_ctx_st *ctx, const char *name)
{
    char sample[NAME_STR];

    snprintf(sample, sizeof(sample), "%s%s", *name == '*' ? "any" : "", *name == '*' ? name + 1 : name);
    return X509_check_host(SSL_CTX_get0_certificate(ctx), sample, 0, 0, NULL) == 1;
}

void tls_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}
