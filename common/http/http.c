/* http.c - llhttp calls back while it parses; here every call-back takes a note and pauses, so that outside it looks
 * like a function that returns one result after the other. */
#include "common/http/http.h"

#include <assert.h>
#include <llhttp.h>
#include <string.h>
#include <strings.h>

#include "common/base/bug.h"

static_assert(sizeof(llhttp_t) <= sizeof(((struct http_reader *)0)->parser), "room for the parser");

enum part {
    PART_START = 0, /* the start line, or between two fields */
    PART_NAME,
    PART_VALUE,
    PART_REST, /* after the head */
};

enum due {
    DUE_HEAD = 1,
    DUE_BODY = 2,
    DUE_DONE = 4,
};

static llhttp_t *parser_of(struct http_reader *r)
{
    return (llhttp_t *)(void *)r->parser;
}

/* ---- what llhttp says ---- */

static int fail(struct http_reader *r, enum http_result why)
{
    r->failed = (uint8_t)why;
    return HPE_USER;
}

static int keep(struct http_reader *r, const char *at, size_t len)
{
    /* can't happen while the store's size limits the raw head: what is kept of it is never longer */
    if (len > r->store_max - r->store_len)
        return fail(r, HTTP_TOO_LARGE);
    memcpy(r->store + r->store_len, at, len);
    r->store_len += len;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    return keep(p->data, at, len);
}

static int on_url_complete(llhttp_t *p)
{
    struct http_reader *r = p->data;
    int err = keep(r, "", 1);

    r->fields_at = r->store_len;
    return err;
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    struct http_reader *r = p->data;

    if (r->part == PART_REST) /* trailers */
        return 0;
    if (r->part == PART_VALUE)
        return fail(r, HTTP_BAD);
    r->part = PART_NAME;
    return keep(r, at, len);
}

static int on_header_field_complete(llhttp_t *p)
{
    struct http_reader *r = p->data;

    if (r->part == PART_REST)
        return 0;
    r->part = PART_VALUE;
    r->value_end = 0;
    return keep(r, "", 1);
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    struct http_reader *r = p->data;

    if (r->part == PART_REST)
        return 0;
    size_t from = r->piece_at + (size_t)(at - r->piece);

    if (r->part != PART_VALUE || (r->value_end && r->value_end != from)) /* a gap: the value was folded */
        return fail(r, HTTP_BAD);
    r->value_end = from + len;
    return keep(r, at, len);
}

static int on_header_value_complete(llhttp_t *p)
{
    struct http_reader *r = p->data;

    if (r->part == PART_REST)
        return 0;
    if (r->part != PART_VALUE)
        return fail(r, HTTP_BAD);
    while (r->store[r->store_len - 1] == ' ' || r->store[r->store_len - 1] == '\t') /* stops at the name's zero */
        r->store_len--;
    r->part = PART_START;
    return keep(r, "", 1);
}

static int on_headers_complete(llhttp_t *p)
{
    struct http_reader *r = p->data;

    if (llhttp_get_http_major(p) != 1)
        return fail(r, HTTP_BAD);
    r->minor = llhttp_get_http_minor(p);
    r->status = llhttp_get_type(p) == HTTP_RESPONSE ? (unsigned)llhttp_get_status_code(p) : 0;
    r->keep_alive = llhttp_should_keep_alive(p);
    r->part = PART_REST;
    r->quiet = 0;
    r->due |= DUE_HEAD;
    if (r->status / 100 == 1)
        return 2; /* no body, and stop right here */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct http_reader *r = p->data;

    if (len == 0)
        return 0;
    if (len > r->body_left)
        return fail(r, HTTP_TOO_LARGE);
    r->body_left -= len;
    r->body = at;
    r->body_len = len;
    r->quiet = 0;
    r->due |= DUE_BODY;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *p)
{
    struct http_reader *r = p->data;

    r->due |= DUE_DONE;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- what we say ---- */

static void init(struct http_reader *r, llhttp_type_t type, char *store, size_t store_max, uint64_t body_max)
{
    BUG_ON(store_max == 0);
    *r = (struct http_reader){.store = store, .store_max = store_max, .body_left = body_max};
    llhttp_init(parser_of(r), type, &settings);
}

void http_request_init(struct http_reader *r, char *store, size_t store_max, uint64_t body_max)
{
    init(r, HTTP_REQUEST, store, store_max, body_max);
}

void http_response_init(struct http_reader *r, char *store, size_t store_max, uint64_t body_max)
{
    init(r, HTTP_RESPONSE, store, store_max, body_max);
}

/* the oldest result that waits; HTTP_DONE stays */
static enum http_result next_due(struct http_reader *r)
{
    enum http_result result = HTTP_NEED_MORE;

    if (r->due & DUE_HEAD) {
        r->due &= (uint8_t)~DUE_HEAD;
        result = HTTP_GOT_HEAD;
    } else if (r->due & DUE_BODY) {
        r->due &= (uint8_t)~DUE_BODY;
        result = HTTP_GOT_BODY;
    } else if (r->due & DUE_DONE) {
        result = HTTP_DONE;
    }
    return result;
}

enum http_result http_feed(struct http_reader *r, const void *data, size_t len, size_t *used)
{
    llhttp_t *p = parser_of(r);
    const char *at = data ? data : "";

    *used = 0;
    if (r->failed)
        return (enum http_result)r->failed;
    if (r->due)
        return next_due(r);
    size_t n = MIN(len, r->store_max - r->quiet);

    p->data = r; /* the reader may have been moved since */
    r->piece = at;
    r->piece_at = r->quiet;
    r->quiet += n;
    enum llhttp_errno err = llhttp_execute(p, at, n);

    if (err == HPE_OK) {
        *used = n;
        if (r->quiet < r->store_max)
            return HTTP_NEED_MORE;
        r->failed = HTTP_TOO_LARGE;
    } else if ((err == HPE_PAUSED || err == HPE_PAUSED_UPGRADE) && r->due) {
        *used = (size_t)(llhttp_get_error_pos(p) - at);
        llhttp_resume(p);
        return next_due(r);
    } else if (!r->failed) {
        r->failed = HTTP_BAD;
    }
    return (enum http_result)r->failed;
}

enum http_result http_end(struct http_reader *r)
{
    if (!r->failed && !r->due) {
        parser_of(r)->data = r;
        llhttp_finish(parser_of(r));
    }
    if (!r->failed && r->due == DUE_DONE)
        return HTTP_DONE;
    r->failed = HTTP_BAD;
    return HTTP_BAD;
}

const char *http_method(const struct http_reader *r)
{
    return llhttp_method_name((llhttp_method_t)((const llhttp_t *)(const void *)r->parser)->method);
}

const char *http_target(const struct http_reader *r)
{
    BUG_ON(r->fields_at == 0);
    return r->store;
}

/* the value of the first field named so at or after *at, which is moved behind it */
static const char *find(const struct http_reader *r, const char *name, size_t *at)
{
    while (*at < r->store_len) {
        const char *field = r->store + *at;
        const char *value = field + strlen(field) + 1;

        *at = (size_t)(value - r->store) + strlen(value) + 1;
        if (strcasecmp(field, name) == 0)
            return value;
    }
    return NULL;
}

const char *http_header(const struct http_reader *r, const char *name, size_t *len)
{
    size_t at = r->fields_at;

    BUG_ON(r->part != PART_REST);
    const char *value = find(r, name, &at);

    if (value && len)
        *len = strlen(value);
    return value;
}

size_t http_header_count(const struct http_reader *r, const char *name)
{
    size_t at = r->fields_at, count = 0;

    BUG_ON(r->part != PART_REST);
    while (find(r, name, &at))
        count++;
    return count;
}
