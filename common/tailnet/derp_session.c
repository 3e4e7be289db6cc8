#include "common/tailnet/derp_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"

#define HEAD_MAX      4096                                /* of the answer to the upgrade */
#define BODY_KEPT_MAX (DERP_KEY_BYTES + DERP_PACKET_MAX)  /* a longer body is read over */
#define CONTROL_MAX   2048                                /* what is ours to say, packets aside */
#define QUEUE_FIRST   4096

enum state {
    STATE_UPGRADE = 0,
    STATE_SERVER_KEY,
    STATE_SERVER_INFO,
    STATE_UP,
    STATE_FAILED,
};

/* bytes in order; taken from the front */
struct queue {
    uint8_t *bytes;
    size_t first, len, room, max;
};

struct derp_session {
    struct derp_session_config config;
    enum state state;
    struct http_reader http;
    char head[HEAD_MAX];
    uint8_t header[DERP_FRAME_HEADER];
    size_t header_len;
    uint8_t type;
    size_t body_len, body_read; /* of the frame being read */
    uint8_t *body;              /* the first BODY_KEPT_MAX bytes of it */
    size_t body_room;
    uint8_t shared[BOX_KEY_BYTES]; /* with the server; from SERVER_INFO on */
    struct queue control; /* goes first */
    struct queue packets; /* whole frames, but for the first, which may be partly gone */
    size_t packet_left;   /* of that one: it must be finished before control goes again */
    bool prefer, prefer_said;
    ts_t opened_at, heard_at;
    uint64_t bytes_per_s, bytes_burst; /* of frames; 0: as many as we like */
    ts_t rate_full_at;
};

/* ---- queues ---- */

static uint8_t *queue_room(struct queue *q, size_t len)
{
    if (q->len + len > q->max)
        return NULL;
    if (q->first > 0 && q->first + q->len + len > q->room) {
        memmove(q->bytes, q->bytes + q->first, q->len);
        q->first = 0;
    }
    if (q->len + len > q->room) {
        size_t room = q->room ? q->room : QUEUE_FIRST;

        while (room < q->len + len)
            room *= 2;
        uint8_t *more = realloc(q->bytes, room);

        if (!more)
            return NULL;
        q->bytes = more;
        q->room = room;
    }
    q->len += len;
    return q->bytes + q->first + q->len - len;
}

static void queue_take(struct queue *q, size_t len)
{
    BUG_ON(len > q->len);
    q->first += len;
    q->len -= len;
    if (q->len > 0)
        return;
    free(q->bytes); /* an idle connection holds no buffer */
    q->bytes = NULL;
    q->first = q->room = 0;
}

/* ---- life ---- */

static void fail(struct derp_session *s, struct derp_event *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct derp_session *s, struct derp_event *event, const char *fmt, ...)
{
    va_list args;

    s->state = STATE_FAILED;
    *event = (struct derp_event){.kind = DERP_EVENT_FAILED};
    va_start(args, fmt);
    vsnprintf(event->text, sizeof(event->text), fmt, args);
    va_end(args);
}

static bool write_upgrade(struct derp_session *s)
{
    char text[DERP_HOST_MAX + 512];
    const char *node = s->config.node;
    int len = snprintf(text, sizeof(text),
                       "GET /derp HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n%s%.100s%s\r\n",
                       s->config.host, node ? "Ideal-Node: " : "", node ? node : "", node ? "\r\n" : "");
    uint8_t *room = len < (int)sizeof(text) ? queue_room(&s->control, (size_t)len) : NULL;

    if (room)
        memcpy(room, text, (size_t)len);
    return room != NULL;
}

struct derp_session *derp_session_new(const struct derp_session_config *config, ts_t now)
{
    struct derp_session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->config = *config;
    s->opened_at = s->heard_at = now;
    s->control.max = CONTROL_MAX;
    s->packets.max = DERP_QUEUE_MAX;
    http_response_init(&s->http, s->head, sizeof(s->head), 0);
    if (!write_upgrade(s)) {
        derp_session_free(s);
        return NULL;
    }
    return s;
}

void derp_session_free(struct derp_session *s)
{
    if (!s)
        return;
    free(s->control.bytes);
    free(s->packets.bytes);
    free(s->body);
    crypto_wipe(s, sizeof(*s));
    free(s);
}

bool derp_session_up(const struct derp_session *s)
{
    return s->state == STATE_UP;
}

/* ---- what we say ---- */

static void say_preferred(struct derp_session *s)
{
    uint8_t *room;

    if (s->state < STATE_SERVER_INFO || s->state == STATE_FAILED || s->prefer == s->prefer_said)
        return;
    room = queue_room(&s->control, DERP_FRAME_HEADER + 1);
    if (!room)
        return;
    derp_frame_header_put(room, DERP_NOTE_PREFERRED, 1);
    room[DERP_FRAME_HEADER] = s->prefer;
    s->prefer_said = s->prefer;
}

void derp_session_prefer(struct derp_session *s, bool home)
{
    s->prefer = home;
    say_preferred(s);
}

/* the server's token bucket, kept in time: how long the bytes take that were sent above the burst */
static bool rate_take(struct derp_session *s, size_t len, ts_t now)
{
    if (!s->bytes_per_s)
        return true;
    uint64_t burst_ns = (uint64_t)((double)s->bytes_burst * (double)TS_S / (double)s->bytes_per_s);
    uint64_t cost_ns = (uint64_t)((double)len * (double)TS_S / (double)s->bytes_per_s);
    ts_t full_at = ts_add(ts_max(s->rate_full_at, now), cost_ns);

    if (full_at - now > burst_ns)
        return false;
    s->rate_full_at = full_at;
    return true;
}

bool derp_session_send(struct derp_session *s, const uint8_t key[DERP_KEY_BYTES], const uint8_t *packet, size_t len,
                       ts_t now)
{
    uint8_t *room = NULL;

    if (s->state != STATE_FAILED && len <= DERP_PACKET_MAX && rate_take(s, DERP_SEND_HEADER + len, now))
        room = queue_room(&s->packets, DERP_SEND_HEADER + len);
    if (!room)
        return false;
    derp_send_header_put(room, key, len);
    memcpy(room + DERP_SEND_HEADER, packet, len);
    return true;
}

void derp_session_unsent(const struct derp_session *s, derp_packet_fn *fn, void *ctx)
{
    size_t body;

    for (size_t at = s->packet_left; at < s->packets.len; at += DERP_FRAME_HEADER + body) {
        const uint8_t *frame = s->packets.bytes + s->packets.first + at;
        uint8_t type;

        derp_frame_header_get(frame, &type, &body);
        fn(ctx, frame + DERP_FRAME_HEADER, frame + DERP_SEND_HEADER, body - DERP_KEY_BYTES);
    }
}

/* how much of the packets may go: once begun, a frame goes to its end */
static const struct queue *next_queue(const struct derp_session *s, size_t *len)
{
    bool may_send = s->state == STATE_SERVER_INFO || s->state == STATE_UP;

    *len = 0;
    if (s->state == STATE_FAILED)
        return NULL;
    if (s->packet_left > 0) {
        *len = s->packet_left;
        return &s->packets;
    }
    if (s->control.len > 0) {
        *len = s->control.len;
        return &s->control;
    }
    *len = may_send ? s->packets.len : 0;
    return *len ? &s->packets : NULL;
}

const uint8_t *derp_session_output(const struct derp_session *s, size_t *len)
{
    const struct queue *q = next_queue(s, len);

    return q ? q->bytes + q->first : NULL;
}

/* what is left of the frame that the first len bytes of the queue end in */
static size_t left_of_frame(const struct queue *q, size_t at, size_t len)
{
    while (at < len) {
        uint8_t type;
        size_t body;

        derp_frame_header_get(q->bytes + q->first + at, &type, &body);
        at += DERP_FRAME_HEADER + body;
    }
    return at - len;
}

void derp_session_sent(struct derp_session *s, size_t len)
{
    size_t most;
    struct queue *q = (struct queue *)(uintptr_t)next_queue(s, &most);

    BUG_ON(!q || len > most);
    if (q == &s->packets)
        s->packet_left = left_of_frame(q, s->packet_left, len);
    queue_take(q, len);
}

/* ---- what the server says ---- */

static void on_server_key(struct derp_session *s, struct derp_event *event)
{
    uint8_t server[DERP_KEY_BYTES], nonce[BOX_NONCE_BYTES];
    uint8_t *room, made[DERP_CLIENT_INFO_MAX];

    if (!derp_server_key_parse(s->body, s->body_len, server) ||
        box_shared(s->shared, s->config.node_private, server) != 0) {
        fail(s, event, "the server's key is not one");
        return;
    }
    rng_fill(s->config.rng, nonce, sizeof(nonce));
    size_t len = derp_client_info_make(made, s->config.node_public, nonce, s->shared);

    room = queue_room(&s->control, len);
    if (!room) {
        fail(s, event, "out of memory");
        return;
    }
    memcpy(room, made, len);
    s->state = STATE_SERVER_INFO;
    say_preferred(s);
}

static void on_server_info(struct derp_session *s, struct derp_event *event)
{
    struct derp_server_info info;

    if (!derp_server_info_parse(s->body, s->body_len, s->shared, &info)) {
        fail(s, event, "the server's greeting is not authentic");
        return;
    }
    if (info.bytes_per_s && info.bytes_burst) {
        s->bytes_per_s = info.bytes_per_s;
        s->bytes_burst = info.bytes_burst;
    }
    s->state = STATE_UP;
    event->kind = DERP_EVENT_UP;
}

static void on_ping(struct derp_session *s)
{
    uint8_t *room = s->body_len >= DERP_PING_BYTES ? queue_room(&s->control, DERP_FRAME_HEADER + DERP_PING_BYTES) : NULL;

    if (!room)
        return; /* more pings than can be answered: some go without */
    derp_frame_header_put(room, DERP_PONG, DERP_PING_BYTES);
    memcpy(room + DERP_FRAME_HEADER, s->body, DERP_PING_BYTES);
}

static void on_packet(struct derp_session *s, struct derp_event *event)
{
    if (s->body_len <= DERP_KEY_BYTES || s->body_len > BODY_KEPT_MAX)
        return;
    event->kind = DERP_EVENT_PACKET;
    event->key = s->body;
    event->data = s->body + DERP_KEY_BYTES;
    event->len = s->body_len - DERP_KEY_BYTES;
}

static void on_peer_gone(struct derp_session *s, struct derp_event *event)
{
    if (s->body_len < DERP_KEY_BYTES)
        return;
    event->kind = DERP_EVENT_PEER_GONE;
    event->key = s->body;
    event->not_here = s->body_len > DERP_KEY_BYTES && s->body[DERP_KEY_BYTES] == 1;
}

static void on_health(struct derp_session *s, struct derp_event *event)
{
    event->kind = DERP_EVENT_HEALTH;
    snprintf(event->text, sizeof(event->text), "%.*s", (int)MIN(s->body_len, sizeof(event->text) - 1),
             s->body_len ? (const char *)s->body : "");
}

static void on_restarting(struct derp_session *s, struct derp_event *event)
{
    if (s->body_len < 8)
        return;
    event->kind = DERP_EVENT_RESTARTING;
    event->reconnect_ms = be32_get(s->body);
    event->try_ms = be32_get(s->body + 4);
}

/* before the login is through only its own frames count; any others are read over */
static void on_frame(struct derp_session *s, struct derp_event *event)
{
    if (s->state == STATE_SERVER_KEY && s->type == DERP_SERVER_KEY)
        on_server_key(s, event);
    else if (s->state == STATE_SERVER_INFO && s->type == DERP_SERVER_INFO)
        on_server_info(s, event);
    else if (s->type == DERP_PING && s->state >= STATE_SERVER_INFO)
        on_ping(s);
    else if (s->state != STATE_UP)
        return;
    else if (s->type == DERP_RECV_PACKET)
        on_packet(s, event);
    else if (s->type == DERP_PEER_GONE)
        on_peer_gone(s, event);
    else if (s->type == DERP_HEALTH)
        on_health(s, event);
    else if (s->type == DERP_RESTARTING)
        on_restarting(s, event);
}

/* ---- bytes ---- */

static size_t read_upgrade(struct derp_session *s, const uint8_t *data, size_t len, struct derp_event *event)
{
    size_t all = 0, used;
    enum http_result result = http_feed(&s->http, data, len, &all);

    if (result == HTTP_GOT_HEAD && s->http.status != 101) {
        fail(s, event, "HTTP status %u instead of 101", s->http.status);
        return all;
    }
    if (result == HTTP_GOT_HEAD) {
        result = http_feed(&s->http, data + all, len - all, &used);
        all += used;
    }
    if (result == HTTP_DONE)
        s->state = STATE_SERVER_KEY;
    else if (result != HTTP_NEED_MORE)
        fail(s, event, "not an HTTP answer");
    return all;
}

/* room for the part of the body that is kept */
static bool body_room(struct derp_session *s, size_t want)
{
    size_t room = s->body_room ? s->body_room : QUEUE_FIRST;

    if (want <= s->body_room)
        return true;
    while (room < want)
        room *= 2;
    uint8_t *more = realloc(s->body, room);

    if (!more)
        return false;
    s->body = more;
    s->body_room = room;
    return true;
}

static size_t read_frame(struct derp_session *s, const uint8_t *data, size_t len, struct derp_event *event)
{
    size_t used = 0;

    if (s->header_len < DERP_FRAME_HEADER) {
        used = MIN(len, DERP_FRAME_HEADER - s->header_len);
        memcpy(s->header + s->header_len, data, used);
        s->header_len += used;
        if (s->header_len < DERP_FRAME_HEADER)
            return used;
        s->body_read = 0;
        if (!derp_frame_header_get(s->header, &s->type, &s->body_len)) {
            fail(s, event, "a frame of %zu bytes", s->body_len);
            return used;
        }
    }
    size_t part = MIN(len - used, s->body_len - s->body_read);
    size_t keep = s->body_read < BODY_KEPT_MAX ? MIN(part, BODY_KEPT_MAX - s->body_read) : 0;

    /* as it comes, not as it is announced: a stranger's number is no reason to take memory */
    if (!body_room(s, s->body_read + keep)) {
        fail(s, event, "out of memory");
        return used;
    }
    if (keep > 0)
        memcpy(s->body + s->body_read, data + used, keep);
    s->body_read += part;
    used += part;
    if (s->body_read < s->body_len)
        return used;
    s->header_len = 0;
    on_frame(s, event);
    return used;
}

size_t derp_session_input(struct derp_session *s, const uint8_t *data, size_t len, struct derp_event *event, ts_t now)
{
    size_t all = 0;

    *event = (struct derp_event){0};
    if (len > 0)
        s->heard_at = now;
    while (all < len && event->kind == DERP_EVENT_NONE) {
        if (s->state == STATE_FAILED)
            return len;
        all += s->state == STATE_UPGRADE ? read_upgrade(s, data + all, len - all, event)
                                         : read_frame(s, data + all, len - all, event);
    }
    return all;
}

ts_t derp_session_deadline(const struct derp_session *s)
{
    if (s->state == STATE_FAILED)
        return TS_NEVER;
    return s->state == STATE_UP ? ts_add(s->heard_at, DERP_SILENCE_NS) : ts_add(s->opened_at, DERP_LOGIN_NS);
}

void derp_session_expire(struct derp_session *s, struct derp_event *event, ts_t now)
{
    *event = (struct derp_event){0};
    if (now < derp_session_deadline(s))
        return;
    if (s->state == STATE_UP)
        fail(s, event, "silent for %u s", (unsigned)(DERP_SILENCE_NS / TS_S));
    else
        fail(s, event, "no login within %u s", (unsigned)(DERP_LOGIN_NS / TS_S));
}
