/* feed_lines.c - a stream of lines, each a JSON object (docs/feed.md, "The stream"):
 *
 *      {"snapshot":"begin","version":1}   row or revoke …   {"snapshot":"end","revision":N}   deltas …
 *      {"resume":N,"version":1}                                                               deltas …
 *
 *      BEFORE --begin--> SNAPSHOT --end--> LIVE --begin--> SNAPSHOT …
 *         \------------------resume--------^
 *
 * Revisions only grow: a delta or a heartbeat that goes back ends the connection, and the next one asks for a snapshot.
 * What a snapshot's own revision may be is for the map to judge. */
#include "ingress/feed/feed_dialect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/log.h"
#include "ingress/feed/feed_document.h"
#include "ingress/feed/feed_gather.h"
#include "ingress/feed/feed_scan.h"

#define VERSION 1

enum lines_state {
    BEFORE = 0,
    SNAPSHOT,
    LIVE,
};

struct feed_lines {
    struct feed_dialect base;
    struct feed_gather gather;
    enum lines_state state;
    uint64_t line;  /* number of the last one, from 1 */
    uint64_t asked; /* the revision this connection asked to resume from; 0: for a snapshot */
    bool told;      /* a delta had a revision, which is to be told behind it */
};

/* the lines that are no rows, by their first member */
static const char *const words[] = {"snapshot", "resume", "put", "remove", "revoke", "heartbeat", "error"};

static enum feed_heard bad(struct feed_lines *l, const char *what)
{
    snprintf(l->base.why, sizeof(l->base.why), "line %" PRIu64 ": %s", l->line, what);
    return FEED_HEARD_BAD;
}

static enum feed_heard step(struct feed_lines *l, struct feed_op *op, enum feed_op_kind kind)
{
    op->kind = kind;
    op->line = l->line;
    return FEED_HEARD_OP;
}

/* a revision that may be there; false: it is no number, or goes back */
static bool advance(struct feed_lines *l, const struct feed_member *m, const char **why)
{
    uint64_t revision;

    *why = NULL;
    if (!m)
        return true;
    if (!feed_scan_number(m, &revision)) {
        *why = "a revision is a whole number, from 0 to 2^63-1";
        return false;
    }
    if (revision < l->base.point.revision) {
        *why = "goes back in revisions";
        l->base.point.revision = 0; /* only a snapshot tells where we are */
        return false;
    }
    l->base.point.revision = revision;
    return true;
}

static bool version_ok(const struct feed_member *m)
{
    uint64_t version;

    return feed_scan_number(m, &version) && version == VERSION;
}

static enum feed_heard snapshot(struct feed_lines *l, const struct feed_member *m, int count, struct feed_op *op)
{
    const struct feed_member *revision = feed_scan_find(m, count, "revision");
    const struct feed_member *version = feed_scan_find(m, count, "version");
    const char *word;
    size_t len;

    if (feed_scan_text(&m[0], &word, &len) && len == 5 && memcmp(word, "begin", 5) == 0) {
        if (l->state == SNAPSHOT)
            return bad(l, "a snapshot begins inside another");
        if (count != 2 || !version_ok(version))
            return bad(l, "a snapshot begins with {\"snapshot\":\"begin\",\"version\":1}: no other version is known here");
        l->state = SNAPSHOT;
        l->base.current = false;
        return step(l, op, FEED_OP_BEGIN);
    }
    if (feed_scan_text(&m[0], &word, &len) && len == 3 && memcmp(word, "end", 3) == 0) {
        if (l->state != SNAPSHOT)
            return bad(l, "a snapshot ends that has not begun");
        if (count != 2 || !feed_scan_number(revision, &op->revision))
            return bad(l, "a snapshot ends with {\"snapshot\":\"end\",\"revision\":N}, N from 0 to 2^63-1");
        l->state = LIVE;
        l->base.current = true;
        l->base.point.revision = op->revision;
        return step(l, op, FEED_OP_END);
    }
    return bad(l, "\"snapshot\" is \"begin\" or \"end\"");
}

static enum feed_heard resume(struct feed_lines *l, const struct feed_member *m, int count, struct feed_op *op)
{
    uint64_t revision;

    if (l->state != BEFORE)
        return bad(l, "\"resume\" is the first line or none");
    if (count != 2 || !version_ok(feed_scan_find(m, count, "version")))
        return bad(l, "a stream resumes with {\"resume\":N,\"version\":1}: no other version is known here");
    if (!feed_scan_number(&m[0], &revision) || l->asked == 0 || revision != l->asked) {
        l->base.point.revision = 0;
        return bad(l, "resumes from another revision than it was asked for");
    }
    l->state = LIVE;
    l->base.current = true;
    op->revision = revision;
    return step(l, op, FEED_OP_HEARTBEAT);
}

static enum feed_heard heartbeat(struct feed_lines *l, const struct feed_member *m, int count, struct feed_op *op)
{
    const char *why;

    if (l->state == BEFORE || count != 1)
        return bad(l, count != 1 ? "a heartbeat is {\"heartbeat\":N} and no more" : "begins with a heartbeat");
    if (l->state == SNAPSHOT)
        return FEED_HEARD_ALL; /* it only shows that somebody is there */
    if (!advance(l, &m[0], &why))
        return bad(l, why);
    op->revision = l->base.point.revision;
    return step(l, op, FEED_OP_HEARTBEAT);
}

static enum feed_heard delta(struct feed_lines *l, enum feed_op_kind kind, const struct feed_member *m, int count,
                             struct feed_op *op)
{
    const struct feed_member *revision = feed_scan_find(m, count, "revision");
    const char *why;

    if (l->state == BEFORE)
        return bad(l, "begins with a change: a stream begins with \"snapshot\" or \"resume\"");
    if (l->state == SNAPSHOT && (kind == FEED_OP_REMOVE || revision))
        return bad(l, "inside a snapshot there are rows and \"revoke\" only, without revisions");
    if (count != 1 + (revision != NULL))
        return bad(l, "a change has one member, and \"revision\" if there is one");
    if (kind == FEED_OP_PUT) {
        op->text = m[0].value;
        op->text_len = m[0].value_len;
        if (*op->text != '{')
            return bad(l, "\"put\" needs a row: { … }");
    } else if (!feed_scan_text(&m[0], &op->id, &op->id_len) || op->id_len == 0) {
        return bad(l, "\"remove\" and \"revoke\" need a node's id");
    }
    if (!advance(l, revision, &why))
        return bad(l, why);
    l->told = revision != NULL;
    return step(l, op, kind);
}

static enum feed_heard server_error(struct feed_lines *l, const struct feed_member *m)
{
    char quoted[FEED_WHY - 40];
    const char *text = m[0].value;
    size_t len = m[0].value_len;

    feed_scan_text(&m[0], &text, &len);
    snprintf(l->base.why, sizeof(l->base.why), "the server says: %s", log_quote(quoted, sizeof(quoted), text, len));
    return FEED_HEARD_BAD;
}

static size_t word_of(const char *name, size_t len)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(words) && (strlen(words[i]) != len || memcmp(words[i], name, len) != 0))
        i++;
    return i;
}

static enum feed_heard interpret(struct feed_lines *l, const char *line, size_t len, struct feed_op *op)
{
    struct feed_member m[FEED_SCAN_MEMBERS_MAX];
    const char *name;
    size_t name_len;

    if (!feed_scan_first(line, len, &name, &name_len))
        return bad(l, "is no JSON object");
    size_t word = word_of(name, name_len);

    if (word == ARRAY_SIZE(words)) {
        if (l->state != SNAPSHOT)
            return bad(l, l->state == LIVE ? "a row outside of a snapshot: write {\"put\": row}"
                                           : "is not a feed's stream: it begins with \"snapshot\" or \"resume\"");
        op->text = line;
        op->text_len = len;
        return step(l, op, FEED_OP_PUT);
    }
    int count = feed_scan_object(line, len, m);

    if (count < 1)
        return bad(l, "is no JSON object, or has a member twice");
    switch (word) {
    case 0:
        return snapshot(l, m, count, op);
    case 1:
        return resume(l, m, count, op);
    case 2:
        return delta(l, FEED_OP_PUT, m, count, op);
    case 3:
        return delta(l, FEED_OP_REMOVE, m, count, op);
    case 4:
        return delta(l, FEED_OP_REVOKE, m, count, op);
    case 5:
        return heartbeat(l, m, count, op);
    default:
        return server_error(l, m);
    }
}

static bool is_blank(const char *line, size_t len)
{
    size_t i = 0;

    while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
        i++;
    return i == len;
}

static enum feed_heard hear(struct feed_dialect *d, const char *data, size_t len, size_t *used, struct feed_op *op)
{
    struct feed_lines *l = container_of(d, struct feed_lines, base);

    *used = 0;
    memset(op, 0, sizeof(*op));
    if (l->told) {
        l->told = false;
        op->revision = d->point.revision;
        return step(l, op, FEED_OP_HEARTBEAT);
    }
    while (*used < len) {
        const char *line;
        size_t line_len, n;

        switch (feed_gather(&l->gather, data + *used, len - *used, &n, &line, &line_len)) {
        case FEED_GATHERED_NONE:
            *used = len;
            return FEED_HEARD_ALL;
        case FEED_GATHERED_TOO_LONG:
            l->line++;
            return bad(l, "is longer than 1 MiB");
        case FEED_GATHERED_NO_MEMORY:
            return bad(l, "out of memory");
        case FEED_GATHERED_LINE:
            break;
        }
        *used += n;
        l->line++;
        if (is_blank(line, line_len))
            continue;
        d->heard++;
        enum feed_heard heard = interpret(l, line, line_len, op);

        if (heard != FEED_HEARD_ALL)
            return heard;
    }
    return FEED_HEARD_ALL;
}

static enum feed_heard end(struct feed_dialect *d, struct feed_op *op)
{
    (void)op;
    snprintf(d->why, sizeof(d->why), "the server ended the stream");
    return FEED_HEARD_BAD;
}

static bool lost(struct feed_dialect *d, unsigned status)
{
    struct feed_lines *l = container_of(d, struct feed_lines, base);
    bool open = l->state == SNAPSHOT;

    (void)status;
    feed_gather_deinit(&l->gather);
    l->state = BEFORE;
    l->line = 0;
    l->told = false;
    d->current = false;
    return open;
}

static void ask(struct feed_dialect *d, const struct url *url, struct http_write *w, const char **body, size_t *len)
{
    struct feed_lines *l = container_of(d, struct feed_lines, base);
    char target[URL_TARGET_MAX + 40];
    int n = snprintf(target, sizeof(target), "%s", url->target);

    l->asked = d->point.revision;
    if (l->asked)
        snprintf(target + n, sizeof(target) - (size_t)n, "%crevision=%" PRIu64, strchr(url->target, '?') ? '&' : '?',
                 l->asked);
    http_write_start(w, w->out, w->cap, "GET", target);
    http_write_field(w, "Accept", "application/jsonl");
    *body = NULL;
    *len = 0;
}

static void free_lines(struct feed_dialect *d)
{
    struct feed_lines *l = container_of(d, struct feed_lines, base);

    feed_gather_deinit(&l->gather);
    free(l);
}

struct feed_dialect *feed_lines_new(void)
{
    struct feed_lines *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->base = (struct feed_dialect){.ask = ask, .hear = hear, .end = end, .lost = lost, .free = free_lines, .bearer = true};
    feed_gather_init(&l->gather, FEED_LINE_BYTES_MAX);
    return &l->base;
}
