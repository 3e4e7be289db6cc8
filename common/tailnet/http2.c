#include "common/tailnet/http2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"

/* How much may be under way towards us: a map of 10,000 nodes in a few round trips. */
#define STREAM_WINDOW     (1 << 20)
#define CONNECTION_WINDOW (4 << 20)
#define HEADERS_BYTES_MAX 16384
#define RETRY_AFTER_MAX   64

struct stream {
    int32_t id; /* 0: free */
    char *body;
    size_t len, at;
    unsigned status;
    bool ended; /* the server said that this was all */
    char retry_after[RETRY_AFTER_MAX];
};

struct http2 {
    nghttp2_session *session;
    struct http2_events events;
    char *authority;
    struct stream streams[HTTP2_STREAMS_MAX];
    const uint8_t *pending; /* nghttp2's, until the next nghttp2_session_mem_send */
    size_t pending_len;
};

static struct stream *find(struct http2 *h, int32_t id)
{
    for (size_t i = 0; i < HTTP2_STREAMS_MAX; i++)
        if (h->streams[i].id == id)
            return &h->streams[i];
    return NULL;
}

static void stream_clear(struct stream *s)
{
    free(s->body);
    *s = (struct stream){0};
}

/* ---- what nghttp2 says ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    struct stream *s = find(ctx, frame->hd.stream_id);

    (void)session;
    (void)flags;
    if (!s || frame->hd.stream_id == 0)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0 && value_len == 3) /* nghttp2 has checked: three digits */
        s->status = (unsigned)(value[0] - '0') * 100 + (unsigned)(value[1] - '0') * 10 + (unsigned)(value[2] - '0');
    else if (name_len == 11 && memcmp(name, "retry-after", 11) == 0 && value_len < sizeof(s->retry_after)) {
        memcpy(s->retry_after, value, value_len);
        s->retry_after[value_len] = 0;
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct http2 *h = ctx;
    struct stream *s = frame->hd.stream_id ? find(h, frame->hd.stream_id) : NULL;

    (void)session;
    if (s && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat != NGHTTP2_HCAT_PUSH_RESPONSE && s->status >= 200) {
        h->events.answer(h->events.ctx, s->id, s->status, *s->retry_after ? s->retry_after : NULL);
        s->status = 0; /* trailers are no second answer */
    }
    if (s && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        s->ended = s->ended || frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
    struct http2 *h = ctx;

    (void)session;
    (void)flags;
    if (find(h, id))
        h->events.body(h->events.ctx, id, data, len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *ctx)
{
    struct http2 *h = ctx;
    struct stream *s = find(h, id);

    (void)session;
    if (s) {
        bool whole = s->ended && error == NGHTTP2_NO_ERROR; /* a server may also break off without an error */

        stream_clear(s);
        h->events.over(h->events.ctx, id, whole);
    }
    return 0;
}

static ssize_t give_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t cap, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx)
{
    struct stream *s = find(ctx, id);

    (void)session;
    (void)source;
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = MIN(cap, s->len - s->at);

    memcpy(out, s->body + s->at, n);
    s->at += n;
    if (s->at == s->len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* ---- life ---- */

static int open_session(struct http2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_BYTES_MAX},
    };
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return ERR_NOMEM;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int rc = nghttp2_session_client_new(&h->session, callbacks, h);

    nghttp2_session_callbacks_del(callbacks);
    if (rc != 0 || nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) != 0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
        return ERR_NOMEM;
    return 0;
}

struct http2 *http2_new(const char *authority, const struct http2_events *events)
{
    struct http2 *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->events = *events;
    h->authority = strdup(authority);
    if (h->authority && open_session(h) == 0)
        return h;
    http2_free(h);
    return NULL;
}

void http2_free(struct http2 *h)
{
    if (!h)
        return;
    nghttp2_session_del(h->session);
    for (size_t i = 0; i < HTTP2_STREAMS_MAX; i++)
        stream_clear(&h->streams[i]);
    free(h->authority);
    free(h);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name, .namelen = strlen(name), .value = (uint8_t *)value, .valuelen = strlen(value)};
}

int32_t http2_post(struct http2 *h, const char *path, const char *body, size_t len)
{
    const nghttp2_nv head[] = {field(":method", "POST"), field(":scheme", "https"), field(":authority", h->authority),
                               field(":path", path), field("content-type", "application/json")};
    const nghttp2_data_provider source = {.read_callback = give_body};
    struct stream *s = find(h, 0);

    if (!s)
        return ERR_FULL;
    s->body = malloc(len + 1);
    if (!s->body)
        return ERR_NOMEM;
    memcpy(s->body, body, len);
    s->len = len;
    int32_t id = nghttp2_submit_request(h->session, NULL, head, ARRAY_SIZE(head), &source, NULL);

    if (id > 0) {
        s->id = id;
        return id;
    }
    stream_clear(s);
    return id == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_CLOSED;
}

void http2_cancel(struct http2 *h, int32_t stream)
{
    /* out of memory: the stream goes on until the connection ends, which it then soon does */
    (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

int http2_input(struct http2 *h, const uint8_t *data, size_t len)
{
    ssize_t n = nghttp2_session_mem_recv(h->session, data, len);

    if (n == NGHTTP2_ERR_NOMEM)
        return ERR_NOMEM;
    return n == (ssize_t)len ? 0 : ERR_INVALID;
}

int http2_output(struct http2 *h, uint8_t *out, size_t cap)
{
    if (h->pending_len == 0) {
        ssize_t n = nghttp2_session_mem_send(h->session, &h->pending);

        if (n < 0)
            return ERR_NOMEM;
        h->pending_len = (size_t)n;
    }
    size_t n = MIN(cap, h->pending_len);

    if (n > 0) {
        memcpy(out, h->pending, n);
        h->pending += n;
        h->pending_len -= n;
    }
    return (int)n;
}

bool http2_over(const struct http2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session) && h->pending_len == 0;
}
