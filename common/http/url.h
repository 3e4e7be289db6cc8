/* url.h - http and https URLs of servers that the configuration names, and where they redirect to. RFC 3986, only what
 * such URLs need: scheme, host, port, path, query. No user part (credentials have files of their own), no fragment. */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_HOST_MAX   254
#define URL_TARGET_MAX 1024
#define URL_STR        (URL_HOST_MAX + URL_TARGET_MAX + 24)

struct url {
    bool secure;               /* https */
    bool literal6;             /* host is an IPv6 address, written in brackets */
    char host[URL_HOST_MAX];   /* lower case, without brackets */
    uint16_t port;             /* 80 or 443 where it was left out */
    char target[URL_TARGET_MAX]; /* path and query, "/" at least */
};

/* url_parse - NULL: taken into *out; else what is wrong, a static text that reads behind the URL. */
const char *url_parse(const char *text, size_t len, struct url *out);

/* url_redirect - where a Location field leads from `from`: a whole URL, or a path from the root. Same results. */
const char *url_redirect(const struct url *from, const char *location, struct url *out);

/* url_same_origin - scheme, host and port. RFC 6454 section 5. Credentials go no further. */
bool url_same_origin(const struct url *a, const struct url *b);

/* url_loopback - the host is this machine, by its name or address. */
bool url_loopback(const struct url *url);

/* url_format, url_origin - as text: whole, and without path and query. Return out. */
const char *url_format(const struct url *url, char out[URL_STR]);
const char *url_origin(const struct url *url, char out[URL_STR]);

/* url_authority - the value of a Host field. RFC 9110 section 7.2. */
const char *url_authority(const struct url *url, char out[URL_STR]);

#endif
