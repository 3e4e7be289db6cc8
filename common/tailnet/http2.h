/* http2.h - the client's side of one HTTP/2 connection, in memory: several requests at once, bodies as long as they
 * like. The only door to nghttp2.
 *
 * Flow control is kept going as bytes come in (an endless body is read at once, by whoever is called), and PING and
 * SETTINGS are answered. What nghttp2 tells, it tells from inside http2_input: the callbacks may take notes and bytes,
 * and may call nothing of this header. */
#ifndef TAILNET_HTTP2_H
#define TAILNET_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP2_STREAMS_MAX 16

struct http2;

struct http2_events {
    /* the answer to a request has begun. retry_after: that field's text, or NULL */
    void (*answer)(void *ctx, int32_t stream, unsigned status, const char *retry_after);
    /* some of its body, borrowed */
    void (*body)(void *ctx, int32_t stream, const uint8_t *data, size_t len);
    /* it is over; whole: as the server meant it, else it was cut off. Always the last one of a stream */
    void (*over)(void *ctx, int32_t stream, bool whole);
    void *ctx;
};

/* http2_new - authority is sent with each request and copied. NULL: out of memory. The preface is the first output. */
struct http2 *http2_new(const char *authority, const struct http2_events *events);
void http2_free(struct http2 *h); /* NULL allowed; streams end without a word */

/* http2_post - POST a JSON body (copied) to path. Returns the stream, > 0; or ERR_NOMEM, ERR_FULL (too many at once) or
 * ERR_CLOSED (the server wants no more on this connection). */
int32_t http2_post(struct http2 *h, const char *path, const char *body, size_t len);
/* http2_cancel - no more of this one; over(whole false) follows from the next http2_output. */
void http2_cancel(struct http2 *h, int32_t stream);

/* http2_input - bytes came. Returns 0, or ERR_INVALID or ERR_NOMEM: the connection is of no more use. */
int http2_input(struct http2 *h, const uint8_t *data, size_t len) __attribute__((warn_unused_result));
/* http2_output - next bytes to send, at most cap; 0: none now. ERR_NOMEM: of no more use. */
int http2_output(struct http2 *h, uint8_t *out, size_t cap) __attribute__((warn_unused_result));
/* http2_over - both sides have said good-bye. */
bool http2_over(const struct http2 *h);

#endif
