/* offer.c - the node's side: one request in, one reply out. */
#include "common/peerapi/peerapi.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/bug.h"

#define PATH "/v0/ingress"

void peerapi_offer_init(struct peerapi_offer *o, const struct addr *own, size_t own_count, bool may_offer)
{
    memset(o, 0, offsetof(struct peerapi_offer, http));
    o->own = own;
    o->own_count = own_count;
    o->may_offer = may_offer;
    http_request_init(&o->http, o->store, sizeof(o->store), 0);
}

/* ---- the checks ---- */

/* a stretch of text that is not zero-terminated */
struct text {
    const char *at;
    size_t len;
};

static bool text_is(struct text t, const char *what)
{
    return t.len == strlen(what) && memcmp(t.at, what, t.len) == 0;
}

/* split a request target into path and, in its absolute form, host. RFC 9112 section 3.2 */
static struct text path_of(const char *target, struct text *host)
{
    static const char scheme[] = "http://";

    if (strncasecmp(target, scheme, sizeof(scheme) - 1) == 0) {
        target += sizeof(scheme) - 1;
        *host = (struct text){target, strcspn(target, "/?")};
        target += host->len;
    }
    return (struct text){target, strcspn(target, "?")};
}

static bool host_is_ours(const struct peerapi_offer *o, struct text host)
{
    struct addrport ap;

    if (text_is(host, "peer"))
        return true;
    if (!addrport_parse(host.at, host.len, &ap))
        return false;
    for (size_t i = 0; i < o->own_count; i++)
        if (addr_equal(&ap.addr, &o->own[i]))
            return true;
    return false;
}

static bool header_set(const struct peerapi_offer *o, const char *name)
{
    const char *value = http_header(&o->http, name, NULL);

    return value && *value;
}

/* split "host:port" where the stock node's net.SplitHostPort would; false where that fails */
static bool split(const char *target, struct text *host, const char **port)
{
    const char *colon = strrchr(target, ':');

    if (!colon)
        return false;
    bool bracketed = target[0] == '[';

    *host = (struct text){target + bracketed, (size_t)(colon - target) - (bracketed ? 2 : 0)};
    *port = colon + 1;
    if (bracketed && (colon - target < 2 || colon[-1] != ']'))
        return false;
    if (!bracketed && memchr(host->at, ':', host->len))
        return false;
    return !memchr(host->at, '[', host->len) && !memchr(host->at, ']', host->len) && !strpbrk(*port, "[]");
}

/* 1 to 65535 in plain decimal, else 0 */
static uint16_t port_number(const char *text)
{
    unsigned v = 0;

    if (strlen(text) > 5 || text[0] == '0')
        return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        v = v * 10 + (unsigned)(*text - '0');
    }
    return v <= UINT16_MAX ? (uint16_t)v : 0;
}

#define ACCEPTABLE PEERAPI_REFUSAL_COUNT

static enum peerapi_refusal check_src(struct peerapi_offer *o)
{
    size_t len = 0;
    const char *src = http_header(&o->http, "Tailscale-Ingress-Src", &len);

    if (len == 0)
        return PEERAPI_REFUSE_SRC_MISSING;
    if (http_header_count(&o->http, "Tailscale-Ingress-Src") > 1 || !addrport_parse(src, len, &o->src))
        return PEERAPI_REFUSE_SRC_INVALID;
    return ACCEPTABLE;
}

static enum peerapi_refusal check_target(struct peerapi_offer *o)
{
    const char *target = http_header(&o->http, "Tailscale-Ingress-Target", NULL), *port;
    struct text host;

    if (!target || !*target)
        return PEERAPI_REFUSE_TARGET_MISSING;
    if (http_header_count(&o->http, "Tailscale-Ingress-Target") > 1 || !split(target, &host, &port))
        return PEERAPI_REFUSE_TARGET_INVALID;
    o->port = port_number(port);
    if (o->port == 0 || host.len == 0 || host.len > PEERAPI_NAME_MAX || target[0] == '[')
        return PEERAPI_REFUSE_DENIED; /* a fine pair of host and port, but none that anybody funnels */
    memcpy(o->target, host.at, host.len);
    o->target[host.len] = 0;
    o->name = o->target;
    return ACCEPTABLE;
}

/* the first check that fails, in a stock node's order */
static enum peerapi_refusal check(struct peerapi_offer *o)
{
    struct text host = {"", 0};
    struct text path = path_of(http_target(&o->http), &host);
    size_t hosts = http_header_count(&o->http, "Host");
    enum peerapi_refusal refusal;

    if (hosts == 0 && o->http.minor >= 1)
        return PEERAPI_REFUSE_HOST_MISSING;
    if (hosts > 1)
        return PEERAPI_REFUSE_MALFORMED;
    if (host.len == 0 && hosts == 1)
        host.at = http_header(&o->http, "Host", &host.len);
    if (!host_is_ours(o, host) || header_set(o, "Origin") || header_set(o, "Referer"))
        return PEERAPI_REFUSE_REQUEST;
    if (!text_is(path, PATH))
        return PEERAPI_REFUSE_PATH;
    if (!o->may_offer)
        return PEERAPI_REFUSE_NO_CAP;
    if (strcmp(http_method(&o->http), "POST") != 0)
        return PEERAPI_REFUSE_METHOD;
    refusal = check_src(o);
    return refusal != ACCEPTABLE ? refusal : check_target(o);
}

/* ---- reading ---- */

static enum peerapi_offer_result refuse(struct peerapi_offer *o, enum peerapi_refusal refusal, bool keep_alive)
{
    o->refusal = refusal;
    o->keep_alive = keep_alive;
    return PEERAPI_OFFER_REFUSE;
}

/* `more`: bytes follow the head in the same piece */
static enum peerapi_offer_result head(struct peerapi_offer *o, bool more)
{
    enum peerapi_refusal refusal = check(o);
    size_t none;

    /* a body would have to be read over to find the next request, and early data is to be dropped, whatever it was:
     * not worth it for clients we don't have */
    bool keep_alive = http_feed(&o->http, NULL, 0, &none) == HTTP_DONE && o->http.keep_alive;

    if (refusal != ACCEPTABLE)
        return refuse(o, refusal, keep_alive);
    o->early_data = more;
    o->keep_alive = keep_alive && !more;
    return PEERAPI_OFFER_OK;
}

enum peerapi_offer_result peerapi_offer_feed(struct peerapi_offer *o, const void *data, size_t len, size_t *used)
{
    *used = 0;
    if (o->result != PEERAPI_OFFER_NEED_MORE)
        return o->result;
    switch (http_feed(&o->http, data, len, used)) {
    case HTTP_NEED_MORE:
        break;
    case HTTP_GOT_HEAD:
        o->result = head(o, *used < len);
        break;
    case HTTP_TOO_LARGE:
        o->result = refuse(o, PEERAPI_REFUSE_TOO_LARGE, false);
        break;
    case HTTP_BAD:
    case HTTP_GOT_BODY:
    case HTTP_DONE:
        o->result = refuse(o, PEERAPI_REFUSE_MALFORMED, false);
        break;
    }
    return o->result;
}

/* ---- writing ---- */

static size_t written(int n, size_t cap)
{
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

size_t peerapi_accept_write(char *out, size_t cap, bool propagate)
{
    return written(snprintf(out, cap, "HTTP/1.1 101 Switching Protocols\r\n%s\r\n",
                            propagate ? "Funnel-Half-Close: propagate\r\n" : ""),
                   cap);
}

size_t peerapi_refuse_write(char *out, size_t cap, enum peerapi_refusal refusal, bool keep_alive)
{
    static const struct {
        unsigned status;
        const char *phrase, *body;
        bool close;
    } refusals[] = {
#define X(name, status, phrase, body, close) {status, phrase, body, close},
        PEERAPI_REFUSAL_MAP(X)
#undef X
    };

    BUG_ON((size_t)refusal >= ARRAY_SIZE(refusals));
    return written(snprintf(out, cap,
                            "HTTP/1.1 %u %s\r\n"
                            "Content-Type: text/plain; charset=utf-8\r\n"
                            "X-Content-Type-Options: nosniff\r\n"
                            "%s"
                            "Content-Length: %zu\r\n"
                            "\r\n"
                            "%s",
                            refusals[refusal].status, refusals[refusal].phrase,
                            keep_alive && !refusals[refusal].close ? "" : "Connection: close\r\n",
                            strlen(refusals[refusal].body), refusals[refusal].body),
                   cap);
}
