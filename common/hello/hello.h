/* hello.h - the server name and the ALPN protocols out of a TLS ClientHello, without ending TLS.
 *
 * hello_parse is a pure function of the bytes received so far: it keeps nothing between calls and takes no memory.
 * The ClientHello may be cut over any number of TLS records and any number of TCP segments. Verdicts are final: once
 * a prefix of a stream has one, every longer prefix has the same.
 * RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3 (server name), RFC 7301 section 3.1 (ALPN). */
#ifndef HELLO_HELLO_H
#define HELLO_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_NAME       254   /* longest host name, with its zero */
#define HELLO_ALPN_COUNT 8     /* protocols kept */
#define HELLO_ALPN_BYTES 128   /* bytes of their names kept */
#define HELLO_BYTES      16384 /* what to pass as `max` unless the operator says otherwise */
#define HELLO_BYTES_MAX  65536 /* a greater `max` is cut to this */

enum hello_result {
    HELLO_NEED_MORE = 0, /* good so far; call again with at least `need` bytes */
    HELLO_OK,            /* a whole ClientHello with a valid host name */
    HELLO_NO_SNI,        /* a whole ClientHello that names no host, or names an IP address */
    HELLO_NOT_TLS,       /* does not begin as a TLS handshake does (HTTP, SSH, SSLv2, an alert…) */
    HELLO_MALFORMED,     /* TLS, but not a well-formed ClientHello */
    HELLO_TOO_LARGE,     /* the ClientHello needs more than `max` bytes */
};

const char *hello_result_name(enum hello_result result);

struct hello_alpn {
    uint8_t at, len; /* where the name lies in alpn_bytes */
};

struct hello {
    char name[HELLO_NAME]; /* HELLO_OK: lower case, without a trailing dot, zero-terminated */
    size_t name_len;
    struct hello_alpn alpn[HELLO_ALPN_COUNT]; /* HELLO_OK and HELLO_NO_SNI: in the client's order */
    size_t alpn_count;
    bool alpn_truncated; /* the client offered more than was kept */
    uint8_t alpn_bytes[HELLO_ALPN_BYTES];
    size_t need; /* HELLO_NEED_MORE: see hello_parse */
};

/* hello_parse - what the first `len` bytes of a connection say.
 * data    borrowed for this call
 * max     most bytes, record headers included, that a ClientHello may take; HELLO_TOO_LARGE comes as soon as the
 *         announced length tells
 * out     written on every call; which fields mean something depends on the result
 *
 * With HELLO_NEED_MORE, out->need (> len) is the least total at which the ClientHello can be whole. Calling only from
 * there on keeps the work for a dribbling sender far from quadratic (each wait takes at least a sixth off what is
 * missing, even when every record holds one byte); a mistake in a record header between is then seen a little later. */
enum hello_result hello_parse(const uint8_t *data, size_t len, size_t max, struct hello *out);

#endif
