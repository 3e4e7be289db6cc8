/* feed_etcd.c - etcd 3.4 and later by its HTTP/JSON gateway: one key a node, PREFIX + id, its row as the value.
 *
 *      AUTH --token--> RANGE, a page at a time, all at the revision of the first --last page--> WATCH from revision + 1
 *                        ^-------------- compacted meanwhile, or anything odd -----------------------/
 *
 *   - A deleted key is REMOVE; a value {"revoked":true} is REVOKE.
 *   - The watch asks for its member to have a leader (the gateway passes Grpc-Metadata-hasleader on), so that a member
 *     cut off from the others ends it instead of being silent.
 *   - Progress notifications move the revision on while nothing changes under the prefix. A watch may die without a
 *     word all the same: one that was silent for the session's time is made anew from where it was (`renews`), which
 *     costs one request and misses nothing.
 *   - Another cluster (its id changed, after a restore) is begun with a snapshot. One whose revision lies behind ours
 *     is a member that lags or a restore in place: it is not believed, and the next member is asked. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "ingress/feed/feed_dialect.h"
#include "ingress/feed/feed_gather.h"

#define PAGE_KEYS      200
#define ANSWER_MAX     ((size_t)32 << 20) /* a page, or what one transaction changed; etcd's own limit of a value is 1.5 MiB */
#define PREFIX_MAX     1024
#define TOKEN_MAX      2048
#define BODY_MAX       8192

enum etcd_state {
    AUTH = 0,
    RANGE,
    WATCH,
};

struct feed_etcd {
    struct feed_dialect base;
    struct feed_gather gather;
    char prefix[PREFIX_MAX], username[256];
    size_t prefix_len;
    enum etcd_state state;
    char token[TOKEN_MAX]; /* of AUTH; "": none yet */
    uint64_t cluster;      /* who answers; 0: it did not say. The one we know is base.point.origin */
    char body[BODY_MAX];
    /* RANGE */
    bool open;       /* BEGIN was told */
    bool more;       /* pages follow */
    uint64_t at;     /* the revision of all pages; 0: first page */
    uint64_t pages_of; /* the cluster of all pages */
    char *from;      /* the last key of the page before; the next begins behind it */
    size_t from_len;
    /* an answer being told */
    json_t *answer;
    json_t *list; /* kvs or events, borrowed from answer */
    size_t index;
    bool begin_due, end_due, progress_due;
    uint64_t answer_revision;
    char *key, *text; /* decoded; of the step given out last */
};

/* ---- base64 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(const char *in, size_t len, char *out)
{
    const uint8_t *b = (const uint8_t *)in;
    size_t i;

    for (i = 0; i < len; i += 3) {
        size_t n = MIN(len - i, (size_t)3);
        uint32_t v = (uint32_t)b[i] << 16 | (n > 1 ? (uint32_t)b[i + 1] << 8 : 0) | (n > 2 ? (uint32_t)b[i + 2] : 0);

        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = n > 2 ? digits[v & 63] : '=';
    }
    *out = 0;
}

/* zero-terminated, to be freed; NULL: not base64, or no memory */
static char *decode(const char *in, size_t *len)
{
    size_t n = strlen(in), pad = n > 0 && in[n - 1] == '=' ? (n > 1 && in[n - 2] == '=' ? 2 : 1) : 0;
    char *out = n % 4 == 0 ? malloc(n / 4 * 3 + 1) : NULL;
    uint32_t v = 0;

    if (!out)
        return NULL;
    *len = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digit = i >= n - pad ? digits : in[i] ? strchr(digits, in[i]) : NULL; /* padding counts as zeros */

        if (!digit) {
            free(out);
            return NULL;
        }
        v = v << 6 | (uint32_t)(digit - digits);
        if (i % 4 == 3) {
            out[(*len)++] = (char)(v >> 16);
            out[(*len)++] = (char)(v >> 8);
            out[(*len)++] = (char)v;
        }
    }
    *len -= pad;
    out[*len] = 0;
    return out;
}

/* ---- small things ---- */

static enum feed_heard bad(struct feed_etcd *e, const char *what)
{
    snprintf(e->base.why, sizeof(e->base.why), "etcd: %s", what);
    return FEED_HEARD_BAD;
}

/* etcd writes 64-bit numbers as strings, by the rules of proto3's JSON; zeros are left out */
static uint64_t number(const json_t *value)
{
    const char *text = json_string_value(value);

    if (json_is_integer(value))
        return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

static void forget_step(struct feed_etcd *e)
{
    free(e->key);
    free(e->text);
    e->key = e->text = NULL;
}

static void forget_answer(struct feed_etcd *e)
{
    json_decref(e->answer);
    e->answer = e->list = NULL;
    e->index = 0;
    e->begin_due = e->end_due = e->progress_due = false;
    forget_step(e);
}

static void forget_range(struct feed_etcd *e)
{
    free(e->from);
    e->from = NULL;
    e->from_len = 0;
    e->at = 0;
    e->open = e->more = false;
}

/* the end of all keys with a prefix: the prefix with its last byte one up */
static size_t range_end(const struct feed_etcd *e, char out[PREFIX_MAX])
{
    size_t len = e->prefix_len;

    memcpy(out, e->prefix, len);
    while (len > 0 && (uint8_t)out[len - 1] == 0xff)
        len--;
    if (len == 0) {
        out[0] = 0; /* "\0": all keys */
        return 1;
    }
    out[len - 1]++;
    return len;
}

/* ---- asking ---- */

/* we say who we are: not where a redirect led away from our servers, which the session tells by keeping the secret back */
static bool known(const struct feed_etcd *e)
{
    return *e->username && e->base.secret && *e->base.secret;
}

static enum etcd_state next_state(const struct feed_etcd *e)
{
    if (known(e) && !*e->token)
        return AUTH;
    return e->base.point.revision == 0 || e->open ? RANGE : WATCH;
}

static void write_range(struct feed_etcd *e)
{
    char end[PREFIX_MAX], key64[2 * PREFIX_MAX], end64[2 * PREFIX_MAX], from[PREFIX_MAX + 256];
    size_t end_len = range_end(e, end), from_len = e->prefix_len;

    memcpy(from, e->prefix, e->prefix_len);
    if (e->from) { /* the first key behind it: itself and a zero */
        memcpy(from, e->from, e->from_len);
        from[e->from_len] = 0;
        from_len = e->from_len + 1;
    }
    encode(from, from_len, key64);
    encode(end, end_len, end64);
    int n = snprintf(e->body, sizeof(e->body), "{\"key\":\"%s\",\"range_end\":\"%s\",\"limit\":%d", key64, end64, PAGE_KEYS);

    if (e->at)
        n += snprintf(e->body + n, sizeof(e->body) - (size_t)n, ",\"revision\":\"%" PRIu64 "\"", e->at);
    snprintf(e->body + n, sizeof(e->body) - (size_t)n, "}");
}

static void write_watch(struct feed_etcd *e)
{
    char end[PREFIX_MAX], key64[2 * PREFIX_MAX], end64[2 * PREFIX_MAX];
    size_t end_len = range_end(e, end);

    encode(e->prefix, e->prefix_len, key64);
    encode(end, end_len, end64);
    snprintf(e->body, sizeof(e->body),
             "{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\",\"start_revision\":\"%" PRIu64
             "\",\"progress_notify\":true}}",
             key64, end64, e->base.point.revision + 1);
}

static void write_auth(struct feed_etcd *e)
{
    json_t *who = json_pack("{s:s,s:s}", "name", e->username, "password", e->base.secret);
    size_t len = who ? json_dumpb(who, e->body, sizeof(e->body) - 1, JSON_COMPACT) : 0;

    e->body[len < sizeof(e->body) ? len : 0] = 0; /* longer ones are counted, not written; a body of nothing is refused */
    json_decref(who);
}

static void ask(struct feed_dialect *d, const struct url *url, struct http_write *w, const char **body, size_t *len)
{
    struct feed_etcd *e = container_of(d, struct feed_etcd, base);
    static const char *const paths[] = {[AUTH] = "/v3/auth/authenticate", [RANGE] = "/v3/kv/range", [WATCH] = "/v3/watch"};

    (void)url; /* the gateway is at the root of each member */
    forget_answer(e);
    feed_gather_deinit(&e->gather);
    e->state = next_state(e);
    http_write_start(w, w->out, w->cap, "POST", paths[e->state]);
    http_write_field(w, "Content-Type", "application/json");
    if (e->state == AUTH)
        write_auth(e);
    else if (e->state == RANGE)
        write_range(e);
    else
        write_watch(e);
    if (e->state == WATCH)
        http_write_field(w, "Grpc-Metadata-hasleader", "true");
    if (e->state != AUTH && known(e))
        http_write_field(w, "Authorization", e->token);
    *body = e->body;
    *len = strlen(e->body);
}

/* ---- steps out of an answer ---- */

/* a key of ours: what follows the prefix; NULL: none, or bad */
static const char *id_of(const struct feed_etcd *e, size_t key_len)
{
    if (!e->key || key_len <= e->prefix_len || memcmp(e->key, e->prefix, e->prefix_len) != 0)
        return NULL;
    return e->key + e->prefix_len;
}

static bool is_tombstone(const char *text, size_t len)
{
    if (len > 64 || !memmem(text, len, "revoked", 7))
        return false;
    json_t *value = json_loadb(text, len, 0, NULL);
    bool revoked = json_object_size(value) == 1 && json_is_true(json_object_get(value, "revoked"));

    json_decref(value);
    return revoked;
}

static enum feed_heard kv_step(struct feed_etcd *e, const json_t *kv, bool deleted, struct feed_op *op)
{
    const char *key64 = json_string_value(json_object_get(kv, "key"));
    const char *value64 = json_string_value(json_object_get(kv, "value"));
    size_t key_len = 0, text_len = 0;

    forget_step(e);
    e->key = key64 ? decode(key64, &key_len) : NULL;
    const char *id = id_of(e, key_len);

    if (!id)
        return bad(e, "an answer with a key that was not asked for");
    e->base.heard++;
    op->id = id;
    op->id_len = key_len - e->prefix_len;
    if (deleted) {
        op->kind = FEED_OP_REMOVE;
        return FEED_HEARD_OP;
    }
    e->text = decode(value64 ? value64 : "", &text_len);
    if (!e->text)
        return bad(e, "an answer with a value that is not base64");
    if (is_tombstone(e->text, text_len)) {
        op->kind = FEED_OP_REVOKE;
        return FEED_HEARD_OP;
    }
    op->kind = FEED_OP_PUT;
    op->text = e->text;
    op->text_len = text_len;
    return FEED_HEARD_OP;
}

/* the page's last key, behind which the next one begins */
static bool note_last_key(struct feed_etcd *e)
{
    size_t n = json_array_size(e->list);
    const char *key64 = json_string_value(json_object_get(json_array_get(e->list, n - 1), "key"));
    size_t len = 0;
    char *key = n > 0 && key64 ? decode(key64, &len) : NULL;

    int order = key && e->from ? memcmp(key, e->from, MIN(len, e->from_len)) : 1;

    if (!key || len >= PREFIX_MAX || order < 0 || (order == 0 && len <= e->from_len)) {
        free(key);
        return false;
    }
    free(e->from);
    e->from = key;
    e->from_len = len;
    return true;
}

/* the next step of the answer at hand; ALL: it is told */
static enum feed_heard tell(struct feed_etcd *e, struct feed_op *op)
{
    memset(op, 0, sizeof(*op));
    if (e->begin_due) {
        e->begin_due = false;
        e->open = true;
        op->kind = FEED_OP_BEGIN;
        return FEED_HEARD_OP;
    }
    while (e->index < json_array_size(e->list)) {
        const json_t *item = json_array_get(e->list, e->index++);
        const char *type = json_string_value(json_object_get(item, "type"));
        bool watch = e->state == WATCH;
        enum feed_heard heard = kv_step(e, watch ? json_object_get(item, "kv") : item,
                                        watch && type && strcmp(type, "DELETE") == 0, op);

        if (heard != FEED_HEARD_ALL)
            return heard;
    }
    if (e->end_due) {
        e->end_due = false;
        e->open = false;
        e->base.point = (struct feed_point){e->at, e->cluster};
        e->base.current = true;
        *op = (struct feed_op){.kind = FEED_OP_END, .revision = e->at, .origin = e->cluster};
        return FEED_HEARD_OP;
    }
    if (e->progress_due) {
        e->progress_due = false;
        e->base.point.revision = MAX(e->base.point.revision, e->answer_revision);
        *op = (struct feed_op){.kind = FEED_OP_HEARTBEAT, .revision = e->base.point.revision};
        return FEED_HEARD_OP;
    }
    return FEED_HEARD_ALL;
}

/* ---- answers ---- */

/* who answers; a cluster that is not the one we know makes what we hold worthless as a place to go on from */
static bool header(struct feed_etcd *e, const json_t *answer)
{
    const json_t *h = json_object_get(answer, "header");

    e->answer_revision = number(json_object_get(h, "revision"));
    uint64_t cluster = number(json_object_get(h, "cluster_id"));

    if (cluster)
        e->cluster = cluster;
    return e->answer_revision > 0 && e->answer_revision < INT64_MAX;
}

static enum feed_heard page(struct feed_etcd *e, struct feed_op *op)
{
    if (!header(e, e->answer))
        return bad(e, "a page without a revision: is this etcd's gateway?");
    if (e->at == 0) {
        e->at = e->answer_revision;
        e->pages_of = e->cluster;
    } else if (e->cluster != e->pages_of) {
        return bad(e, "pages of two clusters");
    }
    e->list = json_object_get(e->answer, "kvs");
    e->more = json_is_true(json_object_get(e->answer, "more"));
    if (e->more && !note_last_key(e))
        return bad(e, "pages that do not go on");
    e->begin_due = !e->open;
    e->end_due = !e->more;
    e->base.heard++;
    return tell(e, op);
}

static enum feed_heard events(struct feed_etcd *e, struct feed_op *op)
{
    const json_t *result = json_object_get(e->answer, "result");
    const json_t *error = json_object_get(json_object_get(e->answer, "error"), "message");
    char quoted[120];

    if (!result) {
        const char *text = json_string_value(error);

        snprintf(e->base.why, sizeof(e->base.why), "etcd: the watch ended: %s",
                 text ? log_quote(quoted, sizeof(quoted), text, strlen(text)) : "no reason given");
        return FEED_HEARD_BAD;
    }
    if (json_is_true(json_object_get(result, "canceled"))) {
        const char *text = json_string_value(json_object_get(result, "cancel_reason"));

        if (number(json_object_get(result, "compact_revision")) > 0) {
            e->base.point.revision = 0; /* what happened since is gone; only a snapshot tells */
            return bad(e, "what happened since was compacted away; a snapshot follows");
        }
        snprintf(e->base.why, sizeof(e->base.why), "etcd: the watch was ended: %s",
                 text ? log_quote(quoted, sizeof(quoted), text, strlen(text)) : "no reason given");
        return FEED_HEARD_BAD;
    }
    if (!header(e, result))
        return bad(e, "a watch without a revision: is this etcd's gateway?");
    if (e->base.point.origin && e->cluster != e->base.point.origin) {
        e->base.point.revision = 0;
        return bad(e, "this is another cluster; a snapshot follows");
    }
    e->list = json_object_get(result, "events");
    if (json_is_true(json_object_get(result, "created"))) {
        if (e->answer_revision < e->base.point.revision)
            return bad(e, "goes back in revisions: a member that lags, or an older copy");
        e->base.current = true;
        e->answer_revision = 0; /* events up to there are still to come */
        e->progress_due = true;
    } else if (json_array_size(e->list) == 0) {
        e->progress_due = true; /* a progress notification: all up to there was told */
    } else {
        /* the events of one answer are whole; its last one's revision is where we are */
        const json_t *last = json_array_get(e->list, json_array_size(e->list) - 1);

        e->answer_revision = number(json_object_get(json_object_get(last, "kv"), "mod_revision"));
        if (e->answer_revision < e->base.point.revision)
            return bad(e, "events that go back in revisions");
        e->progress_due = true;
    }
    e->base.heard++;
    return tell(e, op);
}

static enum feed_heard authenticated(struct feed_etcd *e)
{
    const char *token = json_string_value(json_object_get(e->answer, "token"));

    if (!token || !*token || strlen(token) >= sizeof(e->token))
        return bad(e, "no token in the answer to user and password");
    strcpy(e->token, token);
    return FEED_HEARD_ALL;
}

static enum feed_heard answer(struct feed_etcd *e, const char *text, size_t len, struct feed_op *op)
{
    forget_answer(e);
    e->answer = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(e->answer))
        return bad(e, "an answer that is no JSON object");
    return e->state == AUTH ? authenticated(e) : e->state == RANGE ? page(e, op) : events(e, op);
}

static enum feed_heard tell_if_any(struct feed_etcd *e, struct feed_op *op)
{
    return e->answer && e->state != AUTH ? tell(e, op) : FEED_HEARD_ALL;
}

static enum feed_heard hear(struct feed_dialect *d, const char *data, size_t len, size_t *used, struct feed_op *op)
{
    struct feed_etcd *e = container_of(d, struct feed_etcd, base);

    *used = 0;
    for (;;) {
        const char *line;
        size_t line_len, n;
        enum feed_heard heard = tell_if_any(e, op);

        if (heard != FEED_HEARD_ALL)
            return heard;
        if (*used == len)
            return FEED_HEARD_ALL;
        switch (feed_gather(&e->gather, data + *used, len - *used, &n, &line, &line_len)) {
        case FEED_GATHERED_NONE:
            *used = len;
            return FEED_HEARD_ALL;
        case FEED_GATHERED_TOO_LONG:
            return bad(e, "an answer larger than 32 MiB");
        case FEED_GATHERED_NO_MEMORY:
            return bad(e, "out of memory");
        case FEED_GATHERED_LINE:
            break;
        }
        *used += n;
        if (line_len == 0)
            continue;
        heard = answer(e, line, line_len, op);
        if (heard != FEED_HEARD_ALL)
            return heard;
    }
}

static enum feed_heard end(struct feed_dialect *d, struct feed_op *op)
{
    struct feed_etcd *e = container_of(d, struct feed_etcd, base);
    const char *line;
    size_t len;
    enum feed_heard heard = FEED_HEARD_ALL;

    if (feed_gather_rest(&e->gather, &line, &len) == FEED_GATHERED_LINE)
        heard = answer(e, line, len, op);
    if (heard == FEED_HEARD_ALL)
        heard = tell_if_any(e, op);
    if (heard != FEED_HEARD_ALL)
        return heard;
    if (e->state == WATCH)
        return bad(e, "the watch ended");
    if (!e->answer)
        return bad(e, "an empty answer");
    if (e->state == RANGE && e->base.current)
        forget_range(e);
    return FEED_HEARD_ALL;
}

static bool lost(struct feed_dialect *d, unsigned status)
{
    struct feed_etcd *e = container_of(d, struct feed_etcd, base);
    bool open = e->open;

    if (status == 400 && e->state == AUTH)
        snprintf(d->why, sizeof(d->why), "user or password are wrong, or authentication is off there");
    else if (status == 400 && !*e->username)
        snprintf(d->why, sizeof(d->why), "does it ask for a user?");
    if (status == 400 || status == 401 || status == 403) /* the token ran out, or its user was changed */
        *e->token = 0;
    forget_answer(e);
    forget_range(e);
    feed_gather_deinit(&e->gather);
    d->current = false;
    return open;
}

static void free_etcd(struct feed_dialect *d)
{
    struct feed_etcd *e = container_of(d, struct feed_etcd, base);

    lost(d, 0);
    crypto_wipe(e->token, sizeof(e->token));
    crypto_wipe(e->body, sizeof(e->body));
    free(e);
}

struct feed_dialect *feed_etcd_new(const struct feed_etcd_config *config)
{
    struct feed_etcd *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    BUG_ON(strlen(config->prefix) >= PREFIX_MAX / 2 || strlen(config->username) >= sizeof(e->username));
    e->base = (struct feed_dialect){
        .ask = ask, .hear = hear, .end = end, .lost = lost, .free = free_etcd, .renews = true};
    strcpy(e->prefix, config->prefix);
    e->prefix_len = strlen(e->prefix);
    strcpy(e->username, config->username);
    feed_gather_init(&e->gather, ANSWER_MAX);
    return &e->base;
}
