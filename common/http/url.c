#include "common/http/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/addr.h"

#define HTTP_PORT  80
#define HTTPS_PORT 443

/* visible ASCII without what would end a request line or a quotation */
static bool target_char(char c)
{
    return c > ' ' && c <= '~' && c != '"' && c != '<' && c != '>' && c != '\\' && c != '#';
}

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
}

static const char *take_target(const char *at, const char *end, struct url *out)
{
    size_t len = 0;

    if (at == end || *at == '?')
        out->target[len++] = '/';
    for (; at < end; at++) {
        if (*at == '#')
            return "must have no fragment (#)";
        if (!target_char(*at))
            return "has a character that a URL can't have";
        if (len >= URL_TARGET_MAX - 1)
            return "is too long";
        out->target[len++] = *at;
    }
    out->target[len] = 0;
    return NULL;
}

static const char *take_host(const char **at, const char *end, struct url *out)
{
    const char *from = *at, *to;
    struct addr literal;

    out->literal6 = from < end && *from == '[';
    if (out->literal6) {
        from++;
        to = memchr(from, ']', (size_t)(end - from));
        if (!to || !addr_parse(from, (size_t)(to - from), &literal) || addr_is_v4(&literal))
            return "has no IPv6 address between its brackets";
        *at = to + 1;
    } else {
        for (to = from; to < end && host_char(*to); to++)
            ;
        *at = to;
    }
    size_t len = (size_t)(to - from);

    if (len == 0)
        return "names no host";
    if (len >= URL_HOST_MAX)
        return "has too long a host";
    for (size_t i = 0; i < len; i++)
        out->host[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + ('a' - 'A') : from[i]);
    out->host[len] = 0;
    return NULL;
}

static const char *take_port(const char **at, const char *end, struct url *out)
{
    unsigned port = 0;
    const char *c = *at;

    out->port = out->secure ? HTTPS_PORT : HTTP_PORT;
    if (c == end || *c != ':')
        return NULL;
    for (c++; c < end && *c >= '0' && *c <= '9' && port <= UINT16_MAX; c++)
        port = port * 10 + (unsigned)(*c - '0');
    if (port == 0 || port > UINT16_MAX)
        return "has a port that is none";
    out->port = (uint16_t)port;
    *at = c;
    return NULL;
}

const char *url_parse(const char *text, size_t len, struct url *out)
{
    const char *at = text, *end = text + len, *why;
    struct url url;

    memset(&url, 0, sizeof(url));
    if (len >= 8 && strncasecmp(text, "https://", 8) == 0) {
        url.secure = true;
        at += 8;
    } else if (len >= 7 && strncasecmp(text, "http://", 7) == 0) {
        at += 7;
    } else {
        return "must begin with https:// (or http://)";
    }
    if ((why = take_host(&at, end, &url)) || (why = take_port(&at, end, &url)))
        return why;
    if (at < end && *at == '@')
        return "must have no user in it";
    if (at < end && *at != '/' && *at != '?')
        return "has a host that is none";
    if ((why = take_target(at, end, &url)))
        return why;
    *out = url;
    return NULL;
}

const char *url_redirect(const struct url *from, const char *location, struct url *out)
{
    size_t len = strlen(location);

    if (len == 0 || *location != '/' || location[1] == '/')
        return url_parse(location, len, out);
    struct url url = *from;
    const char *why = take_target(location, location + len, &url);

    if (!why)
        *out = url;
    return why;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->secure == b->secure && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool url_loopback(const struct url *url)
{
    struct addr addr;

    if (!addr_parse(url->host, strlen(url->host), &addr))
        return strcmp(url->host, "localhost") == 0;
    if (addr_is_v4(&addr))
        return addr_v4_bytes(&addr)[0] == 127;
    static const struct addr one = {{[15] = 1}};

    return addr_equal(&addr, &one);
}

const char *url_authority(const struct url *url, char out[URL_STR])
{
    int n = snprintf(out, URL_STR, "%s%s%s", url->literal6 ? "[" : "", url->host, url->literal6 ? "]" : "");

    if (url->port != (url->secure ? HTTPS_PORT : HTTP_PORT))
        snprintf(out + n, URL_STR - (size_t)n, ":%u", url->port);
    return out;
}

const char *url_origin(const struct url *url, char out[URL_STR])
{
    char authority[URL_STR];

    snprintf(out, URL_STR, "%s://%.270s", url->secure ? "https" : "http", url_authority(url, authority));
    return out;
}

const char *url_format(const struct url *url, char out[URL_STR])
{
    size_t n = strlen(url_origin(url, out));

    snprintf(out + n, URL_STR - n, "%s", url->target);
    return out;
}
