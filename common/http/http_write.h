/* http_write.h - a request's bytes, into a buffer of fixed size.
 *
 *     http_write_start(&w, buf, sizeof(buf), "GET", target);
 *     http_write_field(&w, "Host", authority);
 *     size_t len = http_write_end(&w, NULL, 0);
 *
 * What could break out of its place (a line end, a space in the target) spoils the request: http_write_end then says 0,
 * as it does when there was no room. */
#ifndef HTTP_HTTP_WRITE_H
#define HTTP_HTTP_WRITE_H

#include <stdbool.h>
#include <stddef.h>

struct http_write {
    char *out;
    size_t cap, len;
    bool spoilt;
};

void http_write_start(struct http_write *w, char *out, size_t cap, const char *method, const char *target);
void http_write_field(struct http_write *w, const char *name, const char *value);

/* http_write_end - the end of the head, and a body (with its Content-Length; NULL: none). Bytes in all, or 0. */
size_t http_write_end(struct http_write *w, const char *body, size_t len);

#endif
