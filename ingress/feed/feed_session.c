#include "ingress/feed/feed_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"

#define HEAD_MAX     ((size_t)16 << 10)      /* of an answer */
#define INTERIMS_MAX 10                      /* 1xx before an answer */
#define REQUEST_MAX  ((size_t)16 << 10)      /* head and body of ours */
#define SECRET_MAX    4096
#define ANSWER_NS    (30 * TS_S)             /* until the head of an answer is there; silence_ns if that is less */
#define SNAPSHOT_NS  (15 * 60 * TS_S)        /* a million rows over 10 Mbit/s take three minutes */
#define BACKOFF_NS   TS_S                    /* first wait at most; doubles with every round of all URLs */
#define BACKOFF_MAX_NS (60 * TS_S)
#define BACKOFF_MIN_NS (50 * TS_MS)          /* full jitter could say "at once" for ever */
#define RETRY_AFTER_MAX_S 600                /* a server may ask for patience, not for surrender */

enum session_state {
    WAITING = 0,
    CONNECTING,
    ASKED,   /* the head of the answer is awaited */
    HEARING, /* its body comes */
};

struct feed_session {
    struct feed_dialect *dialect;
    struct rng *rng;
    struct url urls[FEED_SESSION_URLS_MAX];
    size_t urls_count, at; /* the one in use */
    struct url url;        /* in use: that one, or where it redirected to */
    unsigned redirects;
    unsigned failures; /* since a snapshot or resumption was whole */
    uint64_t silence_ns;
    bool plain;
    enum session_state state;
    bool abort_due;
    bool held;
    unsigned interims; /* 1xx, of the answer that is awaited */
    bool answered; /* DONE of the last answer, the connection may carry another */
    char secret[SECRET_MAX];
    struct http_reader reader;
    char head[HEAD_MAX];
    char request[REQUEST_MAX];
    size_t request_len, request_sent;
    ts_t retry_at;  /* WAITING */
    ts_t alive_at;  /* the far side last said something whole */
    ts_t begun_at;  /* since when it is asked and heard, and not current, over all answers that a snapshot takes */
    uint64_t heard; /* the dialect's count then */
    struct feed_source_status status;
    uint64_t changes;
};

/* ---- status ---- */

static void set_state(struct feed_session *s, enum feed_source_state state)
{
    if (s->status.state == state)
        return;
    s->status.state = state;
    s->changes++;
}

static void set_where(struct feed_session *s)
{
    char text[URL_STR];

    snprintf(s->status.where, sizeof(s->status.where), "%.*s", FEED_SOURCE_TEXT - 1, url_origin(&s->url, text));
}

/* ---- failing, and waiting ---- */

/* full jitter: anything from nothing to the whole wait, so that a fleet that lost its server does not come back as one */
static uint64_t backoff(struct feed_session *s)
{
    unsigned round = s->failures / (unsigned)s->urls_count;
    uint64_t most = BACKOFF_NS << MIN(round, 6u);

    return MAX(BACKOFF_MIN_NS, rng_below(s->rng, MIN(most, BACKOFF_MAX_NS)));
}

static void forget_connection(struct feed_session *s, unsigned status)
{
    if (s->dialect->lost(s->dialect, status))
        s->abort_due = true;
    crypto_wipe(s->request, s->request_len);
    crypto_wipe(s->secret, sizeof(s->secret));
    s->request_len = s->request_sent = 0;
    s->held = false;
}

static void fail(struct feed_session *s, const char *why, unsigned status, uint64_t at_least_ns, ts_t now)
{
    bool was_current = s->dialect->current;

    snprintf(s->status.error, sizeof(s->status.error), "%s", why);
    *s->dialect->why = 0;
    forget_connection(s, status);
    if (*s->dialect->why) { /* it knows more */
        size_t said = strlen(s->status.error);

        snprintf(s->status.error + said, sizeof(s->status.error) - said, ": %s", s->dialect->why);
    }
    s->failures = was_current ? 0 : s->failures + 1;
    s->at = (s->at + 1) % s->urls_count;
    s->redirects = 0;
    s->begun_at = TS_NEVER;
    s->state = WAITING;
    s->retry_at = ts_add(now, at_least_ns + backoff(s));
    s->status.retry_at = s->retry_at;
    s->status.state = FEED_SOURCE_RETRYING;
    s->changes++;
}

static void fail_at(struct feed_session *s, const char *what, const char *why, ts_t now)
{
    char text[FEED_SOURCE_TEXT];

    snprintf(text, sizeof(text), "%s%s%s", what, why ? ": " : "", why ? why : "");
    fail(s, text, 0, 0, now);
}

/* ---- asking ---- */

static bool foreign(const struct feed_session *s)
{
    return !url_same_origin(&s->url, &s->urls[s->at]);
}

static void ask(struct feed_session *s, ts_t now)
{
    struct http_write w = {.out = s->request, .cap = sizeof(s->request)};
    char authority[URL_STR], bearer[SECRET_MAX + 10];
    const char *body;
    size_t len;

    s->dialect->secret = foreign(s) ? "" : s->secret;
    s->dialect->ask(s->dialect, &s->url, &w, &body, &len);
    http_write_field(&w, "Host", url_authority(&s->url, authority));
    http_write_field(&w, "User-Agent", "funnel-ingress/" FUNNEL_VERSION);
    if (s->dialect->bearer && *s->dialect->secret) {
        snprintf(bearer, sizeof(bearer), "Bearer %s", s->dialect->secret);
        http_write_field(&w, "Authorization", bearer);
        crypto_wipe(bearer, sizeof(bearer));
    }
    s->request_len = http_write_end(&w, body, len);
    s->request_sent = 0;
    if (s->request_len == 0) {
        fail_at(s, "the request can't be written: the token or the path holds what must not be there", NULL, now);
        return;
    }
    http_response_init(&s->reader, s->head, sizeof(s->head), UINT64_MAX);
    s->interims = 0;
    s->answered = false;
    s->state = ASKED;
    s->alive_at = now;
}

static void redirect(struct feed_session *s, ts_t now)
{
    const char *location = http_header(&s->reader, "Location", NULL);
    struct url to;
    const char *why = location ? url_redirect(&s->url, location, &to) : "names no place";
    char text[URL_STR];

    if (why)
        fail_at(s, "a redirect whose Location", why, now);
    else if (++s->redirects > FEED_SESSION_REDIRECTS_MAX)
        fail_at(s, "too many redirects", NULL, now);
    else if (s->url.secure && !to.secure)
        fail_at(s, "a redirect from https to http is refused", url_origin(&to, text), now);
    else if (!to.secure && !s->plain && !url_loopback(&to))
        fail_at(s, "a redirect to http on another machine is refused", url_origin(&to, text), now);
    else {
        forget_connection(s, 0);
        s->url = to;
        s->state = CONNECTING;
        set_where(s);
        s->changes++;
    }
}

static uint64_t retry_after_ns(const struct feed_session *s)
{
    const char *value = http_header(&s->reader, "Retry-After", NULL);
    unsigned long seconds = 0;

    for (const char *c = value ? value : ""; *c >= '0' && *c <= '9' && seconds <= RETRY_AFTER_MAX_S; c++)
        seconds = seconds * 10 + (unsigned long)(*c - '0'); /* a date instead of seconds counts as none */
    return MIN(seconds, (unsigned long)RETRY_AFTER_MAX_S) * TS_S;
}

static void refused(struct feed_session *s, unsigned status, ts_t now)
{
    char text[FEED_SOURCE_TEXT];
    const char *meaning = "";

    switch (status) {
    case 400:
        meaning = " Bad Request";
        break;
    case 401:
        meaning = foreign(s) ? " Unauthorized: a redirect led to another server, which gets no credentials"
                             : " Unauthorized: the token, or user and password, are missing or wrong";
        break;
    case 403:
        meaning = " Forbidden: we are known there, and may not read this feed";
        break;
    case 404:
        meaning = " Not Found: is the URL right?";
        break;
    case 429:
        meaning = " Too Many Requests";
        break;
    case 503:
        meaning = " Service Unavailable";
        break;
    default:
        break;
    }
    snprintf(text, sizeof(text), "the server answers %u%s", status, meaning);
    fail(s, text, status, status == 429 || status == 503 ? retry_after_ns(s) : 0, now);
}

static void head(struct feed_session *s, ts_t now)
{
    unsigned status = s->reader.status;

    if (status == 200) {
        s->state = HEARING;
        s->alive_at = now;
        s->begun_at = ts_min(s->begun_at, now);
    } else if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) {
        redirect(s, now);
    } else if (status / 100 == 1 && status != 101 && ++s->interims > INTERIMS_MAX) {
        fail_at(s, "interim answers without end", NULL, now);
    } else if (status / 100 == 1 && status != 101) {
        http_response_init(&s->reader, s->head, sizeof(s->head), UINT64_MAX); /* RFC 9110 section 15.2 */
    } else {
        refused(s, status, now);
    }
}

/* ---- hearing ---- */

static bool due_abort(struct feed_session *s, struct feed_op *op)
{
    if (!s->abort_due)
        return false;
    s->abort_due = false;
    *op = (struct feed_op){.kind = FEED_OP_ABORT};
    return true;
}

/* something whole was said */
static void note_life(struct feed_session *s, ts_t now)
{
    struct feed_dialect *d = s->dialect;

    if (d->heard != s->heard) {
        s->heard = d->heard;
        s->alive_at = now;
    }
    if (!d->current) {
        s->begun_at = ts_min(s->begun_at, now); /* another snapshot after the first */
        return;
    }
    s->failures = 0;
    s->begun_at = TS_NEVER;
    if (*s->status.error || s->status.state != FEED_SOURCE_CONNECTED) {
        *s->status.error = 0;
        s->status.retry_at = TS_NEVER;
        set_state(s, FEED_SOURCE_CONNECTED);
    }
}

static bool verdict(struct feed_session *s, enum feed_heard heard, ts_t now)
{
    note_life(s, now);
    if (heard == FEED_HEARD_BAD)
        fail_at(s, s->dialect->why, NULL, now);
    return heard == FEED_HEARD_OP;
}

/* one result of the reader's; true: *op */
static bool hear_body(struct feed_session *s, struct feed_op *op, ts_t now)
{
    size_t used;
    enum feed_heard heard = s->dialect->hear(s->dialect, s->reader.body, s->reader.body_len, &used, op);

    s->reader.body += used;
    s->reader.body_len -= used;
    return verdict(s, heard, now);
}

static bool hear_end(struct feed_session *s, struct feed_op *op, ts_t now)
{
    enum feed_heard heard = s->dialect->end(s->dialect, op);

    if (verdict(s, heard, now))
        return true;
    if (heard == FEED_HEARD_ALL && s->state == HEARING) {
        if (s->reader.keep_alive) {
            ask(s, now);
        } else { /* in order, but this connection can't carry the next question */
            s->state = CONNECTING;
        }
    }
    return false;
}

bool feed_session_input(struct feed_session *s, const char *data, size_t len, size_t *used, struct feed_op *op, ts_t now)
{
    *used = 0;
    for (;;) {
        size_t n = 0;

        if (due_abort(s, op))
            return true;
        if (s->state != ASKED && s->state != HEARING) {
            *used = len; /* of no use any more */
            return false;
        }
        if (s->state == HEARING && s->reader.body_len > 0) {
            if (hear_body(s, op, now))
                return true;
            continue;
        }
        if (s->answered) {
            if (hear_end(s, op, now))
                return true;
            continue;
        }
        enum http_result result = http_feed(&s->reader, data + *used, len - *used, &n);

        *used += n;
        switch (result) {
        case HTTP_NEED_MORE:
            return false;
        case HTTP_GOT_HEAD:
            head(s, now);
            s->reader.body_len = 0;
            break;
        case HTTP_GOT_BODY:
            break;
        case HTTP_DONE:
            if (s->state == HEARING)
                s->answered = true;
            break;
        case HTTP_BAD:
            fail_at(s, "the server's answer is not HTTP/1.1", NULL, now);
            break;
        case HTTP_TOO_LARGE:
            fail_at(s, "the head of the server's answer is larger than 16 KiB", NULL, now);
            break;
        }
    }
}

/* ---- connections ---- */

enum feed_session_wants feed_session_wants(const struct feed_session *s)
{
    return s->state == WAITING ? FEED_SESSION_NOTHING : s->state == CONNECTING ? FEED_SESSION_CONNECT : FEED_SESSION_TALK;
}

const struct url *feed_session_url(const struct feed_session *s, bool *is_foreign)
{
    *is_foreign = foreign(s);
    return &s->url;
}

void feed_session_connected(struct feed_session *s, const char *secret, ts_t now)
{
    if (s->state != CONNECTING)
        return;
    snprintf(s->secret, sizeof(s->secret), "%s", secret ? secret : "");
    ask(s, now);
}

void feed_session_ended(struct feed_session *s, const char *why, ts_t now)
{
    if (s->state == WAITING)
        return;
    if (s->state == CONNECTING)
        fail_at(s, "no connection", why, now);
    else if (s->state == ASKED)
        fail_at(s, "the connection ended before an answer came", why, now);
    else
        fail_at(s, why ? "the stream broke off" : "the server ended the stream", why, now);
}

size_t feed_session_output(const struct feed_session *s, const char **data)
{
    *data = s->request + s->request_sent;
    return s->state == ASKED || s->state == HEARING ? s->request_len - s->request_sent : 0;
}

void feed_session_sent(struct feed_session *s, size_t len)
{
    s->request_sent = MIN(s->request_len, s->request_sent + len);
    if (s->request_sent == s->request_len) {
        crypto_wipe(s->request, s->request_len);
        s->request_len = s->request_sent = 0;
    }
}

void feed_session_hold(struct feed_session *s, bool held, ts_t now)
{
    if (s->held && !held)
        s->alive_at = now;
    s->held = held;
}

/* ---- time ---- */

static uint64_t answer_ns(const struct feed_session *s)
{
    return MIN(ANSWER_NS, s->silence_ns);
}

ts_t feed_session_deadline(const struct feed_session *s)
{
    switch (s->state) {
    case WAITING:
        return s->retry_at;
    case CONNECTING:
        return TS_NEVER; /* the adapter has its own */
    case ASKED:
        return ts_min(ts_add(s->alive_at, answer_ns(s)), ts_add(s->begun_at, SNAPSHOT_NS));
    default:
        return s->held ? TS_NEVER
                       : ts_min(ts_add(s->alive_at, s->silence_ns),
                                s->dialect->current ? TS_NEVER : ts_add(s->begun_at, SNAPSHOT_NS));
    }
}

static void connect_again(struct feed_session *s)
{
    s->url = s->urls[s->at];
    s->state = CONNECTING;
    s->status.attempts++;
    s->changes++;
    set_where(s);
}

void feed_session_expire(struct feed_session *s, ts_t now)
{
    char text[FEED_SOURCE_TEXT];

    if (now < feed_session_deadline(s))
        return;
    if (s->state == WAITING) {
        connect_again(s);
    } else if (s->state == HEARING && s->dialect->current && s->dialect->renews) {
        forget_connection(s, 0);
        s->state = CONNECTING;
    } else if (s->state == ASKED && now >= ts_add(s->alive_at, answer_ns(s))) {
        snprintf(text, sizeof(text), "no answer within %" PRIu64 " s", answer_ns(s) / TS_S);
        fail_at(s, text, NULL, now);
    } else {
        bool silent = s->state == HEARING && now >= ts_add(s->alive_at, s->silence_ns);

        snprintf(text, sizeof(text), "the server said nothing whole for %" PRIu64 " s", s->silence_ns / TS_S);
        fail_at(s, silent ? text : "the snapshot was not whole within 15 minutes", NULL, now);
    }
}

void feed_session_retry(struct feed_session *s, ts_t now)
{
    if (s->state == WAITING)
        s->retry_at = now;
}

void feed_session_again(struct feed_session *s, ts_t now)
{
    if (s->state != HEARING || !s->dialect->current)
        return;
    s->dialect->point.revision = 0;
    fail_at(s, "what it told could not all be put in force: asking for a snapshot", NULL, now);
}

/* ---- life ---- */

const struct feed_source_status *feed_session_status(const struct feed_session *s)
{
    return &s->status;
}

uint64_t feed_session_changes(const struct feed_session *s)
{
    return s->changes;
}

struct feed_session *feed_session_new(const struct feed_session_config *config, ts_t now)
{
    struct feed_session *s = calloc(1, sizeof(*s));

    if (!s || !config->dialect) {
        free(s);
        if (config->dialect)
            config->dialect->free(config->dialect);
        return NULL;
    }
    BUG_ON(config->urls_count == 0 || config->urls_count > FEED_SESSION_URLS_MAX);
    memcpy(s->urls, config->urls, config->urls_count * sizeof(*s->urls));
    s->urls_count = config->urls_count;
    s->url = s->urls[0];
    s->silence_ns = config->silence_ns;
    s->plain = config->plain;
    s->dialect = config->dialect;
    s->rng = config->rng;
    s->retry_at = now;
    s->begun_at = TS_NEVER;
    s->status.state = FEED_SOURCE_STARTING;
    s->status.retry_at = TS_NEVER;
    set_where(s);
    return s;
}

void feed_session_free(struct feed_session *s)
{
    if (!s)
        return;
    s->dialect->free(s->dialect);
    crypto_wipe(s->secret, sizeof(s->secret));
    crypto_wipe(s->request, sizeof(s->request));
    free(s);
}
