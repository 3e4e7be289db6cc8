/* tls.h - TLS contexts, ready to be shared by connections: a server's with its certificate chain and key, and a
 * client's with the authorities it trusts. SHELL. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* tls_server_new - TLS 1.2 and up with this chain (PEM, leaf first) and key (PEM, not encrypted). Chooses http/1.1 when
 * the visitor offers ALPN with it, as what stands behind speaks that if it speaks HTTP at all; else no ALPN.
 * NULL: `why` says for people what is wrong, and *culprit is the path of the two it is wrong with, or NULL for neither.
 * Free with tls_free; connections count references. */
struct ssl_ctx_st *tls_server_new(const char *certificate_path, const char *key_path, const char **culprit, char *why,
                                  size_t why_cap);

/* tls_server_fits - whether the certificate is one for `name`, as visitors will check it (RFC 6125); "*.example.net"
 * asks for any name right under example.net. */
bool tls_server_fits(struct ssl_ctx_st *ctx, const char *name);

/* What a client's context is made of; paths may be NULL or "". */
struct tls_client_files {
    const char *ca;              /* authorities in PEM; none given: those of this machine */
    bool machine_too;            /* those of this machine besides ca, if it has any */
    const char *certificate;     /* our own chain (PEM, leaf first) and key (PEM, not encrypted), for servers that ask */
    const char *certificate_key;
};

/* tls_client_new - TLS 1.2 and up, offering http/1.1 when alpn_http is true, else no ALPN. All files are read now, so
 * that a sandbox may close behind it. Results as tls_server_new's. */
struct ssl_ctx_st *tls_client_new(const struct tls_client_files *files, bool alpn_http, const char **culprit, char *why,
                                  size_t why_cap);

void tls_free(struct ssl_ctx_st *ctx); /* NULL allowed */

#endif
