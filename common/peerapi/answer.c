/* answer.c - the ingress's side: one request out, one answer in. */
#include "common/peerapi/peerapi.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/bug.h"

/* ---- the request ---- */

/* lower case; false when it is not the text of a host name */
static bool lower_name(char *out, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
        out[i] = c;
    }
    out[len] = 0;
    return true;
}

size_t peerapi_request_write(char *out, size_t cap, const struct addrport *src, const char *target_name,
                             size_t name_len, uint16_t target_port)
{
    char name[PEERAPI_NAME_MAX + 1], visitor[ADDRPORT_STR];

    if (name_len == 0 || name_len > PEERAPI_NAME_MAX || !lower_name(name, target_name, name_len))
        return 0;
    int n = snprintf(out, cap,
                     "POST /v0/ingress HTTP/1.1\r\n"
                     "Host: peer\r\n"
                     "Tailscale-Ingress-Src: %s\r\n"
                     "Tailscale-Ingress-Target: %s:%u\r\n"
                     "Content-Length: 0\r\n"
                     "\r\n",
                     addrport_format(src, visitor), name, (unsigned)target_port);

    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

/* ---- the answer ---- */

const char *peerapi_verdict_name(enum peerapi_verdict verdict)
{
    static const char *const names[] = {"need_more", "accepted", "no_cap", "denied", "refused", "protocol"};

    BUG_ON((size_t)verdict >= ARRAY_SIZE(names));
    return names[verdict];
}

void peerapi_answer_init(struct peerapi_answer *a)
{
    memset(a, 0, offsetof(struct peerapi_answer, http));
    http_response_init(&a->http, a->store, sizeof(a->store), sizeof(a->store));
}

static enum peerapi_verdict head(struct peerapi_answer *a)
{
    a->head = true;
    a->status = a->http.status;
    a->keep_alive = a->http.keep_alive;
    if (a->status == 101) {
        const char *half_close = http_header(&a->http, "Funnel-Half-Close", NULL);

        a->half_close_propagate = half_close && strcasecmp(half_close, "propagate") == 0;
        return PEERAPI_ACCEPTED;
    }
    return a->status >= 400 && a->status <= 599 ? PEERAPI_NEED_MORE : PEERAPI_PROTOCOL;
}

static void body(struct peerapi_answer *a)
{
    size_t n = MIN(a->http.body_len, sizeof(a->reason) - a->reason_len);

    memcpy(a->reason + a->reason_len, a->http.body, n);
    a->reason_len += n;
}

static bool reason_is(const struct peerapi_answer *a, const char *text)
{
    return a->reason_len == strlen(text) && memcmp(a->reason, text, a->reason_len) == 0;
}

/* the whole refusal is here */
static enum peerapi_verdict refusal(struct peerapi_answer *a)
{
    while (a->reason_len > 0 && (a->reason[a->reason_len - 1] == '\n' || a->reason[a->reason_len - 1] == '\r'))
        a->reason_len--;
    if (a->status == 403 && reason_is(a, "denied; no ingress cap"))
        return PEERAPI_NO_CAP;
    if (a->status == 403 && reason_is(a, "denied"))
        return PEERAPI_DENIED;
    return PEERAPI_REFUSED;
}

/* what the reader's next result means; PEERAPI_NEED_MORE: go on */
static enum peerapi_verdict judge(struct peerapi_answer *a, enum http_result result)
{
    switch (result) {
    case HTTP_GOT_HEAD:
        return head(a);
    case HTTP_GOT_BODY:
        body(a);
        return PEERAPI_NEED_MORE;
    case HTTP_DONE:
        return refusal(a);
    case HTTP_NEED_MORE:
        return PEERAPI_NEED_MORE;
    case HTTP_BAD:
    case HTTP_TOO_LARGE:
        break;
    }
    return PEERAPI_PROTOCOL;
}

enum peerapi_verdict peerapi_answer_feed(struct peerapi_answer *a, const void *data, size_t len, size_t *used)
{
    enum http_result result;

    *used = 0;
    if (a->verdict != PEERAPI_NEED_MORE)
        return a->verdict;
    do {
        size_t room = PEERAPI_ANSWER_MAX - a->bytes, left = MIN(len - *used, room), n;

        result = http_feed(&a->http, (const char *)data + *used, left, &n);
        *used += n;
        a->bytes += n;
        a->verdict = judge(a, result);
    } while (a->verdict == PEERAPI_NEED_MORE && result != HTTP_NEED_MORE);
    if (a->verdict == PEERAPI_NEED_MORE && a->bytes == PEERAPI_ANSWER_MAX)
        a->verdict = PEERAPI_PROTOCOL;
    if (a->verdict == PEERAPI_PROTOCOL || *used < len)
        a->keep_alive = false;
    return a->verdict;
}

enum peerapi_verdict peerapi_answer_end(struct peerapi_answer *a)
{
    if (a->verdict == PEERAPI_NEED_MORE)
        a->verdict = a->head && http_end(&a->http) == HTTP_DONE ? refusal(a) : PEERAPI_PROTOCOL;
    a->keep_alive = false;
    return a->verdict;
}
