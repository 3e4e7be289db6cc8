#include "common/net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "common/base/err.h"

#define NAME_STR 256 /* a DNS name, RFC 1035 section 2.3.4 */

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
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
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

struct ssl_ctx_st *tls_server_new(const char *certificate_path, const char *key_path, const char **culprit, char *why,
                                  size_t why_cap)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    const char *what;

    *culprit = NULL;
    ERR_clear_error();
    if (!ctx) {
        what = "no TLS context";
        goto fail;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    /* many clients close without close_notify; what is cut short is for the protocol above to notice */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* resumption is by tickets: no memory of visitors */
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate_path) != 1) {
        what = "holds no certificate in PEM";
        *culprit = certificate_path;
    } else if (SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) != 1) {
        what = "holds no private key in PEM, or that of another certificate";
        *culprit = key_path;
    } else {
        return ctx;
    }
fail:
    explain(what, why, why_cap);
    SSL_CTX_free(ctx);
    return NULL;
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
