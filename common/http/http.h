/* http.h - reading one HTTP/1 message out of a stream of bytes, in memory that the caller brings. The only door to
 * llhttp.
 *
 * The reader is pulled: each http_feed says at most one thing, and how many bytes it used up; the rest is fed again.
 *
 *     GOT_HEAD   start line and header fields are known
 *     GOT_BODY   a slice of the body, still lying in the caller's buffer (nothing is copied: bodies may be endless)
 *     DONE       the message is over; what follows belongs to the next message, or, after a 101, to another protocol
 *
 *     while ((result = http_feed(&r, data, len, &used)) == HTTP_GOT_HEAD || result == HTTP_GOT_BODY)
 *         data += used, len -= used, ...;
 *
 * The head is kept in the caller's store, whose size is also the limit: for the head in raw bytes, and for what may
 * stand between two body bytes (chunk sizes, extensions, trailers). Trailers are read over. Line ends and other
 * liberties are llhttp's defaults; folded header fields are refused (RFC 9112 section 5.2), as is any version but
 * HTTP/1.x. A new message needs a new http_*_init. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_result {
    HTTP_NEED_MORE = 0, /* everything was used; more bytes are needed */
    HTTP_GOT_HEAD,
    HTTP_GOT_BODY,
    HTTP_DONE,
    HTTP_BAD,       /* not HTTP/1, or broken; the stream is of no more use */
    HTTP_TOO_LARGE, /* the head is larger than the store, or the body than body_max; likewise */
};

struct http_reader {
    uint64_t parser[16]; /* llhttp's state; its names stay out of this header */

    /* the head, from HTTP_GOT_HEAD on */
    unsigned status;  /* responses: 100 to 999 */
    unsigned minor;   /* x of HTTP/1.x */
    bool keep_alive;  /* the connection may carry another message after this one. RFC 9112 section 9.3 */

    /* with HTTP_GOT_BODY: the slice, borrowed from the data just fed */
    const char *body;
    size_t body_len;

    /* private */
    char *store; /* target, then name and value of each field, all zero-terminated */
    size_t store_max, store_len;
    size_t fields_at; /* where the fields begin in the store */
    size_t quiet;     /* raw bytes since the start, or since the last byte of body */
    const char *piece;  /* what llhttp is being fed, and where in the head that lies */
    size_t piece_at;
    size_t value_end; /* where in the head the value being read has come to; 0: not begun */
    uint64_t body_left;
    uint8_t part;   /* what of the head is being read */
    uint8_t due;    /* results not yet given */
    uint8_t failed; /* HTTP_BAD or HTTP_TOO_LARGE, for ever */
};

/* http_request_init, http_response_init - ready for one message.
 * store     the caller's, used until the reader is no more; store_max > 0 is the limit of the head in raw bytes
 * body_max  most bytes of body; UINT64_MAX for a stream */
void http_request_init(struct http_reader *r, char *store, size_t store_max, uint64_t body_max);
void http_response_init(struct http_reader *r, char *store, size_t store_max, uint64_t body_max);

/* http_feed - read on. *used <= len says how many bytes were consumed; with HTTP_NEED_MORE all of them.
 * len may be 0, to ask for a result that needs no more bytes (HTTP_DONE after a head without a body).
 * A response of 1xx ends with its head, whatever its fields say: *used is then the exact start of what follows. */
enum http_result http_feed(struct http_reader *r, const void *data, size_t len, size_t *used);

/* http_end - the connection has ended: HTTP_DONE if that is how this message says it ends, else HTTP_BAD. */
enum http_result http_end(struct http_reader *r);

/* What the head says, from HTTP_GOT_HEAD on; the strings live in the store. */
const char *http_method(const struct http_reader *r); /* requests: "POST"; static */
const char *http_target(const struct http_reader *r); /* requests: as sent, any form */

/* http_header - the value of the first field of that name (any case), without the space around it; NULL when absent.
 * len may be NULL: values are zero-terminated and hold no zero byte. */
const char *http_header(const struct http_reader *r, const char *name, size_t *len);

/* http_header_count - how many fields have that name: for those where a second one is a lie. */
size_t http_header_count(const struct http_reader *r, const char *name);

#endif
