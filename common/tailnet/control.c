/* control.c - one connection after another to a coordination server.
 *
 *      WAITING -> OPENING -> KEY -> UPGRADE -> RESPONSE -> EARLY -> OPEN
 *         ^                   |        ^
 *         |                   +--------+  (the key is known, or pinned: no KEY)
 *         +--- drop: whatever failed, the reason is said, and the next try is up to 30 s away
 *
 * In OPEN three requests may be under way: a registration, the map stream, and an update of ourselves. What HTTP/2 tells
 * of them is only noted (it tells from inside); settle() then decides. It runs after each input and each deadline.
 *
 * Node keys are exchanged with a registration that names both. The new one counts from the moment the server has taken
 * it; until then the old one, and the map that belongs to it, go on. */
#include "common/tailnet/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/rfc3339.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/http/http.h"
#include "common/tailnet/control_body.h"
#include "common/tailnet/http2.h"
#include "common/tailnet/map_frames.h"
#include "common/tailnet/ts2021.h"

#define STEP_NS        (15 * TS_S)  /* each step up to OPEN */
#define ANSWER_NS      (60 * TS_S)  /* a registration, or the head of a map stream */
#define FOLLOWUP_NS    (600 * TS_S) /* a registration that waits for somebody to log in */
#define SILENCE_NS     (120 * TS_S) /* a map stream without a frame is dead: tailscale direct.go, watchdogTimeout */
#define RETRY_MIN_NS   (250 * TS_MS)
#define RETRY_MAX_NS   (30 * TS_S)
#define SETTLED_NS     (10 * TS_S)  /* a map stream that lived so long was a success */
#define REFUSED_NS     (60 * TS_S)  /* said no for good: the operator may change his mind */
#define NEXT_URL_NS    (5 * TS_S)   /* after the first URL, the same one again or another */
#define RATE_LIMIT_NS  (8 * TS_S)   /* 429 without a usable Retry-After */
#define RATE_LIMIT_MAX_S 3600
#define GOODBYE_NS     (2 * TS_S)
#define EXCHANGED_NS   (60 * TS_S)  /* a node key lives that long, whatever the server says of its end */
#define ROTATE_BEFORE_S 3600        /* with an auth key we don't wait until peers take us for gone */

#define HEAD_BYTES_MAX  8192
#define TEXT_BYTES_MAX  4096            /* the answer to GET /key; or of an error */
#define ANSWER_BYTES_MAX ((size_t)1 << 20)
#define EARLY_BYTES_MAX ((uint32_t)10 << 20)
#define EARLY_HEAD      9

static const uint8_t early_magic[5] = {0xff, 0xff, 0xff, 'T', 'S'};

enum phase { WAITING = 0, OPENING, KEY, UPGRADE, RESPONSE, EARLY, OPEN, ENDED };

/* A request on its way: what HTTP/2 told of it. */
struct request {
    int32_t stream; /* 0: none */
    unsigned status;
    bool over, whole;
    uint64_t retry_after_s; /* 0: not said, or not usable */
    char *text; /* of its answer, unless that is a map */
    size_t len;
};

struct control {
    struct rng *rng;
    char *host, *hostname, *auth_key;
    bool pinned, ephemeral;
    struct control_keys keys;
    uint8_t next_node[TAILNET_KEY_BYTES]; /* private: what a registration under way offers; zero: keys.node */
    struct control_whereabouts whereabouts;
    unsigned flags;

    enum phase phase;
    ts_t phase_deadline;
    unsigned failures; /* in a row */
    char trouble[CONTROL_TEXT_MAX];
    enum control_state state;

    char out[1024]; /* HTTP/1.1 to send */
    size_t out_at, out_len;
    struct http_reader reader;
    char head[HEAD_BYTES_MAX];
    char text[TEXT_BYTES_MAX];
    size_t text_len;
    struct ts2021 noise;
    struct ts2021_frames frames;
    uint8_t early[EARLY_HEAD];
    size_t early_len;
    uint32_t early_left;
    struct http2 *http2;

    struct request registration, map, update;
    bool registered;     /* the server knows keys.node, or has not denied it */
    bool saying_goodbye;
    bool expiry_tried;   /* an exchange ahead of expiry was refused: wait for the real end */
    ts_t register_at;    /* not before */
    ts_t exchange_at;    /* not before: no exchange of the node key because it ends */
    ts_t register_deadline, map_deadline, goodbye_deadline;
    char auth_url[CONTROL_TEXT_MAX];
    bool update_wanted;
    struct map_frames map_frames;
    bool first;          /* the next frame is the stream's first */
    ts_t map_since;
    bool heard, time_told; /* noted inside a callback: a frame came; it said the time */
    const char *broken;    /* likewise: drop for this reason */

    struct netmap *netmap;
    struct netmap_changes changes;
    ts_t heard_at;
    uint64_t time; /* the server's clock when it last said it, Unix seconds; 0: never */
    ts_t time_at;
};

const char *control_state_name(enum control_state state)
{
    static const char *const names[] = {"offline", "connected", "needs_login", "needs_approval", "refused", "online"};

    return names[state];
}

/* ---- telling the owner ---- */

static void state_set(struct control *c, enum control_state state)
{
    if (c->state != state)
        c->flags |= CONTROL_STATE;
    c->state = state;
}

__attribute__((format(printf, 2, 3))) static void trouble(struct control *c, const char *fmt, ...)
{
    char text[CONTROL_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    control_text_clean(text); /* it may quote whoever answered */
    if (strcmp(text, c->trouble) != 0)
        c->flags |= CONTROL_STATE;
    memcpy(c->trouble, text, sizeof(text));
}

static void auth_url_set(struct control *c, const char *url)
{
    if (strcmp(url, c->auth_url) != 0)
        c->flags |= CONTROL_STATE;
    snprintf(c->auth_url, sizeof(c->auth_url), "%s", url);
}

unsigned control_take(struct control *c)
{
    unsigned flags = c->flags;

    c->flags = 0;
    return flags;
}

/* ---- the connection's life ---- */

static void request_clear(struct request *r)
{
    free(r->text);
    *r = (struct request){0};
}

static void connection_clear(struct control *c)
{
    http2_free(c->http2);
    c->http2 = NULL;
    ts2021_wipe(&c->noise);
    map_frames_deinit(&c->map_frames);
    request_clear(&c->registration);
    request_clear(&c->map);
    request_clear(&c->update);
    c->register_deadline = c->map_deadline = TS_NEVER;
    c->frames.len = c->early_len = c->out_at = c->out_len = 0;
    c->early_left = 0;
    c->broken = NULL;
}

static void ended(struct control *c)
{
    connection_clear(c);
    c->phase = ENDED;
    c->phase_deadline = c->goodbye_deadline = TS_NEVER;
    c->flags |= CONTROL_ENDED;
    state_set(c, CONTROL_OFFLINE);
}

static uint64_t retry_delay(struct control *c)
{
    uint64_t most = RETRY_MIN_NS << MIN(c->failures, 10);

    most = MIN(most, RETRY_MAX_NS);
    return most / 2 + rng_below(c->rng, most / 2);
}

static void wait_until(struct control *c, ts_t at)
{
    connection_clear(c);
    c->phase = WAITING;
    c->phase_deadline = at;
    if (c->state != CONTROL_NEEDS_LOGIN && c->state != CONTROL_REFUSED)
        state_set(c, CONTROL_OFFLINE);
}

/* drop - the connection is given up; told: the owner knows already */
static void drop(struct control *c, bool told, ts_t now)
{
    if (c->phase == ENDED)
        return;
    if (!told)
        c->flags |= CONTROL_CLOSE;
    if (c->saying_goodbye) {
        ended(c);
        return;
    }
    bool success = c->phase == OPEN && c->map_since != TS_NEVER && ts_since(now, c->map_since) >= SETTLED_NS;

    c->map_since = TS_NEVER;
    c->failures = success ? 0 : c->failures + 1;
    wait_until(c, ts_add(now, retry_delay(c)));
}

static void step(struct control *c, enum phase phase, ts_t now)
{
    c->phase = phase;
    c->phase_deadline = ts_add(now, STEP_NS);
}

static bool has_server_key(const struct control *c)
{
    return !crypto_is_zero(c->keys.server, sizeof(c->keys.server));
}

static void say(struct control *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct control *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(c->out, sizeof(c->out), fmt, args);
    va_end(args);
    BUG_ON(len < 0 || (size_t)len >= sizeof(c->out)); /* the host is a DNS name: see control_new */
    c->out_len = (size_t)len;
    c->out_at = 0;
    http_response_init(&c->reader, c->head, sizeof(c->head), sizeof(c->text));
    c->text_len = 0;
}

static void base64(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) |
                        (i + 2 < len ? data[i + 2] : 0);

        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        *out++ = i + 2 < len ? digits[bits & 63] : '=';
    }
    *out = 0;
}

static void ask_upgrade(struct control *c, ts_t now)
{
    uint8_t initiation[TS2021_INITIATION_BYTES], ephemeral[TS2021_KEY_BYTES];
    char text[(sizeof(initiation) + 2) / 3 * 4 + 1];

    key_generate(c->rng, ephemeral);
    int rc = ts2021_start(&c->noise, c->keys.machine, c->keys.server, ephemeral, CONTROL_VERSION, initiation);

    crypto_wipe(ephemeral, sizeof(ephemeral));
    if (rc != 0) {
        trouble(c, "the server's key is none");
        drop(c, false, now);
        return;
    }
    base64(initiation, sizeof(initiation), text);
    say(c,
        "POST /ts2021 HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
        "X-Tailscale-Handshake: %s\r\nContent-Length: 0\r\n\r\n",
        c->host, text);
    step(c, UPGRADE, now);
}

static void ask_key(struct control *c, ts_t now)
{
    say(c, "GET /key?v=%d HTTP/1.1\r\nHost: %s\r\n\r\n", CONTROL_VERSION, c->host);
    step(c, KEY, now);
}

void control_connected(struct control *c, ts_t now)
{
    if (c->phase != OPENING)
        return;
    if (has_server_key(c))
        ask_upgrade(c, now);
    else
        ask_key(c, now);
}

/* forget_server_key - it did not fit: the server may have a new one */
static void forget_server_key(struct control *c)
{
    if (c->pinned)
        return;
    memset(c->keys.server, 0, sizeof(c->keys.server));
    c->flags |= CONTROL_KEYS;
}

void control_closed(struct control *c, const char *why, ts_t now)
{
    if (c->phase == WAITING || c->phase == ENDED)
        return;
    if (c->phase == RESPONSE) {
        /* headscale ends a connection of a version it does not take with nothing but this */
        trouble(c, "closed in the handshake: the server may refuse capability version %d", CONTROL_VERSION);
        forget_server_key(c);
    } else {
        trouble(c, "%s", why);
    }
    drop(c, true, now);
}

/* ---- HTTP/1.1 ---- */

static void key_done(struct control *c, ts_t now)
{
    bool again = c->reader.keep_alive;

    if (c->reader.status != 200 || !control_server_key_read(c->text, c->text_len, c->keys.server)) {
        trouble(c, "GET /key: status %u, no key of a coordination server in it", c->reader.status);
        drop(c, false, now);
        return;
    }
    c->flags |= CONTROL_KEYS;
    if (again) {
        ask_upgrade(c, now);
        return;
    }
    c->flags |= CONTROL_CLOSE;
    wait_until(c, now); /* another connection, at once */
}

static void upgrade_done(struct control *c, ts_t now)
{
    if (c->reader.status == 101) {
        step(c, RESPONSE, now);
        return;
    }
    trouble(c, "POST /ts2021: status %u: %.*s", c->reader.status, (int)MIN(c->text_len, 100), c->text);
    drop(c, false, now);
}

/* input_http - returns how many bytes were used */
static size_t input_http(struct control *c, const uint8_t *data, size_t len, ts_t now)
{
    size_t used;

    switch (http_feed(&c->reader, data, len, &used)) {
    case HTTP_GOT_BODY:
        BUG_ON(c->text_len + c->reader.body_len > sizeof(c->text)); /* the reader's limit */
        memcpy(c->text + c->text_len, c->reader.body, c->reader.body_len);
        c->text_len += c->reader.body_len;
        return used;
    case HTTP_DONE:
        if (c->phase == KEY)
            key_done(c, now);
        else
            upgrade_done(c, now);
        return used;
    case HTTP_BAD:
    case HTTP_TOO_LARGE:
        trouble(c, "what answers is no coordination server");
        drop(c, false, now);
        return len;
    default:
        return used;
    }
}

/* ---- what HTTP/2 tells: notes only ---- */

static struct request *request_of(struct control *c, int32_t stream)
{
    struct request *all[] = {&c->registration, &c->map, &c->update};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i]->stream == stream)
            return all[i];
    return NULL;
}

static uint64_t read_retry_after(const char *text)
{
    char *end;
    unsigned long s = strtoul(text, &end, 10);

    return *end == 0 && s <= RATE_LIMIT_MAX_S ? s : 0; /* a date counts as none */
}

static void on_answer(void *ctx, int32_t stream, unsigned status, const char *retry_after)
{
    struct request *r = request_of(ctx, stream);

    if (!r)
        return;
    r->status = status;
    r->retry_after_s = retry_after ? read_retry_after(retry_after) : 0;
}

static void frame(struct control *c, const char *text, size_t len)
{
    struct netmap_asides asides;
    enum netmap_frame got = netmap_apply(c->netmap, text, len, c->first, &c->changes, &asides);

    switch (got) {
    case NETMAP_NOT_FIRST:
        c->broken = "a map stream that does not begin with ourselves";
        return;
    case NETMAP_BAD:
        c->broken = "a map frame that is none";
        return;
    case NETMAP_NOMEM:
        c->broken = "out of memory for the map";
        return;
    case NETMAP_APPLIED:
        c->first = false;
        c->flags |= CONTROL_MAP;
        break;
    case NETMAP_KEEPALIVE:
        break;
    }
    c->heard = true;
    c->changes.left_out += asides.left_out;
    if (asides.control_time) {
        c->time = asides.control_time;
        c->time_told = true;
    }
}

static void map_bytes(struct control *c, const uint8_t *data, size_t len)
{
    while (len > 0 && !c->broken) {
        const char *text;
        size_t used, text_len;
        int got = map_frames_feed(&c->map_frames, data, len, &used, &text, &text_len);

        data += used;
        len -= used;
        if (got == 1) {
            frame(c, text, text_len);
            map_frames_done(&c->map_frames);
        } else if (got < 0) {
            c->broken = got == ERR_TOO_LARGE ? "a map frame above all bounds" : "out of memory for a map frame";
        }
    }
}

static void on_body(void *ctx, int32_t stream, const uint8_t *data, size_t len)
{
    struct control *c = ctx;
    struct request *r = request_of(c, stream);

    if (!r || r == &c->update)
        return;
    if (r == &c->map && r->status == 200) {
        map_bytes(c, data, len);
        return;
    }
    char *grown = r->len + len <= ANSWER_BYTES_MAX ? realloc(r->text, r->len + len) : NULL;

    if (!grown) {
        c->broken = "an answer above all bounds";
        return;
    }
    memcpy(grown + r->len, data, len);
    r->text = grown;
    r->len += len;
}

static void on_over(void *ctx, int32_t stream, bool whole)
{
    struct request *r = request_of(ctx, stream);

    if (!r)
        return;
    r->over = true;
    r->whole = whole;
}

/* ---- saying things ---- */

static bool post(struct control *c, struct request *r, const char *path, char *text)
{
    int32_t stream = text ? http2_post(c->http2, path, text, strlen(text)) : ERR_NOMEM;

    if (text)
        crypto_wipe(text, strlen(text));
    free(text);
    if (stream < 0) {
        c->broken = "the server takes no more requests on this connection";
        return false;
    }
    request_clear(r);
    r->stream = stream;
    return true;
}

static bool exchanging(const struct control *c)
{
    return !crypto_is_zero(c->next_node, sizeof(c->next_node));
}

/* public_of - a private key's; keys of ours are clamped, so it can't fail */
static const uint8_t *public_of(const uint8_t private_key[TAILNET_KEY_BYTES], uint8_t out[TAILNET_KEY_BYTES])
{
    BUG_ON(key_public(private_key, out) != 0);
    return out;
}

static void begin_exchange(struct control *c, ts_t at)
{
    key_generate(c->rng, c->next_node);
    c->register_at = at;
}

static void post_register(struct control *c, ts_t now)
{
    uint8_t node[TAILNET_KEY_BYTES], old[TAILNET_KEY_BYTES];
    struct control_body body = {
        .hostname = c->hostname,
        .node = public_of(exchanging(c) ? c->next_node : c->keys.node, node),
        .old_node = exchanging(c) ? public_of(c->keys.node, old) : NULL,
        .whereabouts = &c->whereabouts,
    };

    if (post(c, &c->registration, "/machine/register",
             control_body_register(&body, *c->auth_url ? "" : c->auth_key, c->auth_url, c->ephemeral)))
        c->register_deadline = ts_add(now, *c->auth_url ? FOLLOWUP_NS : ANSWER_NS);
}

static void post_map(struct control *c, ts_t now)
{
    uint8_t node[TAILNET_KEY_BYTES];
    struct control_body body = {.hostname = c->hostname, .node = public_of(c->keys.node, node),
                                .whereabouts = &c->whereabouts};

    map_frames_deinit(&c->map_frames);
    c->first = true;
    c->map_since = TS_NEVER;
    if (post(c, &c->map, "/machine/map", control_body_map(&body)))
        c->map_deadline = ts_add(now, ANSWER_NS);
}

static void post_update(struct control *c)
{
    uint8_t node[TAILNET_KEY_BYTES];
    struct control_body body = {.hostname = c->hostname, .node = public_of(c->keys.node, node),
                                .whereabouts = &c->whereabouts};

    if (post(c, &c->update, "/machine/map", control_body_update(&body)))
        c->update_wanted = false;
}

static void post_log_out(struct control *c)
{
    uint8_t node[TAILNET_KEY_BYTES];
    struct control_body body = {.hostname = c->hostname, .node = public_of(c->keys.node, node),
                                .whereabouts = &c->whereabouts};

    post(c, &c->registration, "/machine/register", control_body_log_out(&body));
}

/* ---- deciding ---- */

static void registered(struct control *c, const struct control_answer *answer, ts_t now)
{
    if (exchanging(c)) {
        c->exchange_at = ts_add(now, EXCHANGED_NS);
        memcpy(c->keys.previous, c->keys.node, TAILNET_KEY_BYTES);
        memcpy(c->keys.node, c->next_node, TAILNET_KEY_BYTES);
        crypto_wipe(c->next_node, sizeof(c->next_node));
        c->expiry_tried = false;
        c->flags |= CONTROL_KEYS;
        if (c->map.stream) /* it is the old key's; the map stands until the next one's first frame */
            http2_cancel(c->http2, c->map.stream);
        request_clear(&c->map);
    }
    c->registered = true;
    auth_url_set(c, "");
    trouble(c, "%s", "");
    if (c->state != CONTROL_ONLINE)
        state_set(c, answer->authorized ? CONTROL_CONNECTED : CONTROL_NEEDS_APPROVAL);
}

static void refused(struct control *c, const char *why, uint64_t wait_ns, ts_t now)
{
    trouble(c, "registration refused: %s", why);
    auth_url_set(c, "");
    c->register_at = ts_add(now, wait_ns);
    if (c->registered && exchanging(c)) { /* ahead of its end: the old key still serves */
        crypto_wipe(c->next_node, sizeof(c->next_node));
        c->expiry_tried = true;
        return;
    }
    state_set(c, CONTROL_REFUSED);
}

static void login_wanted(struct control *c, const char *url, ts_t now)
{
    c->register_at = *c->auth_url ? ts_add(now, NEXT_URL_NS) : now;
    auth_url_set(c, url);
    state_set(c, CONTROL_NEEDS_LOGIN);
}

static void on_registration(struct control *c, ts_t now)
{
    struct request r = c->registration;
    struct control_answer answer;

    c->registration = (struct request){0};
    c->register_deadline = TS_NEVER;
    if (c->saying_goodbye) {
        c->flags |= CONTROL_CLOSE;
        ended(c);
    } else if (!r.whole) {
        c->broken = "the answer to a registration was cut off";
    } else if (r.status == 429) {
        refused(c, "too many requests", r.retry_after_s ? r.retry_after_s * TS_S : RATE_LIMIT_NS, now);
    } else if (r.status != 200) {
        trouble(c, "registration: status %u: %.*s", r.status, (int)MIN(r.len, 100), r.text ? r.text : "");
        drop(c, false, now);
    } else if (!control_answer_read(r.text, r.len, &answer)) {
        c->broken = "an answer to a registration that is none";
    } else if (*answer.error) {
        refused(c, answer.error, REFUSED_NS, now);
    } else if (answer.key_expired) {
        bool odd = exchanging(c); /* a fresh key can't be: no going in a circle */

        if (odd)
            trouble(c, "the server calls a fresh key expired");
        c->registered = false;
        begin_exchange(c, odd ? ts_add(now, REFUSED_NS) : now);
    } else if (*answer.auth_url) {
        login_wanted(c, answer.auth_url, now);
    } else {
        registered(c, &answer, now);
    }
    free(r.text);
}

static void on_map_over(struct control *c, ts_t now)
{
    struct request r = c->map;

    c->map = (struct request){0};
    c->map_deadline = TS_NEVER;
    if (r.status == 200 || !r.whole) {
        trouble(c, "the map stream ended");
        drop(c, false, now);
    } else {
        trouble(c, "map: status %u: %.*s", r.status, (int)MIN(r.len, 100), r.text ? r.text : "");
        if (r.status == 400 || r.status == 404)
            c->registered = false; /* node not found, or not with this key */
        drop(c, false, now);
    }
    free(r.text);
}

/* what a frame that just came means */
static void after_frames(struct control *c, ts_t now)
{
    if (!c->heard)
        return;
    c->heard = false;
    c->heard_at = now;
    if (c->time_told)
        c->time_at = now;
    c->time_told = false;
    c->map_deadline = ts_add(now, SILENCE_NS);
    if (!c->first && c->map_since == TS_NEVER) {
        c->map_since = now;
        c->update_wanted = true; /* whatever the stream's request told: only updates count everywhere */
        trouble(c, "%s", "");
    }
    if (!c->first)
        state_set(c, netmap_self(c->netmap)->authorized ? CONTROL_ONLINE : CONTROL_NEEDS_APPROVAL);
}

/* our own key ends, by the server's clock */
static bool key_ends(const struct control *c, ts_t now)
{
    const struct netmap_node *self = netmap_self(c->netmap);

    if (!self || c->first)
        return false;
    uint64_t ahead = *c->auth_key && !c->expiry_tried ? ROTATE_BEFORE_S : 0;

    return netmap_node_gone(self, control_time(c, now) ? control_time(c, now) + ahead : 0);
}

static void settle(struct control *c, ts_t now)
{
    if (c->phase == OPEN && c->registration.over)
        on_registration(c, now);
    if (c->phase == OPEN && c->update.over)
        request_clear(&c->update);
    after_frames(c, now);
    if (c->phase == OPEN && c->map.over)
        on_map_over(c, now);
    if (c->phase == OPEN && !c->broken && http2_over(c->http2))
        c->broken = "the server ended the connection";
    if (c->phase == OPEN && !c->broken && !c->saying_goodbye) {
        if (c->registered && !exchanging(c) && key_ends(c, now) && ts_max(c->register_at, c->exchange_at) <= now)
            begin_exchange(c, now);
        if ((!c->registered || exchanging(c)) && !c->registration.stream && c->register_at <= now)
            post_register(c, now);
        if (c->registered && !c->map.stream)
            post_map(c, now);
        if (c->update_wanted && c->map_since != TS_NEVER && !c->update.stream)
            post_update(c);
    }
    if (c->broken) {
        trouble(c, "%s", c->broken);
        drop(c, false, now);
    }
}

/* ---- Noise ---- */

static void open_http2(struct control *c)
{
    const struct http2_events events = {.answer = on_answer, .body = on_body, .over = on_over, .ctx = c};

    c->phase = OPEN;
    c->phase_deadline = TS_NEVER;
    c->http2 = http2_new(c->host, &events);
    if (!c->http2)
        c->broken = "out of memory";
    if (c->state == CONTROL_OFFLINE)
        state_set(c, CONTROL_CONNECTED);
}

static void http2_bytes(struct control *c, const uint8_t *data, size_t len)
{
    if (!c->broken && len > 0 && http2_input(c->http2, data, len) != 0)
        c->broken = "what came is not HTTP/2";
}

/* before HTTP/2 the server may say something nobody needs */
static void input_early(struct control *c, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, EARLY_HEAD - c->early_len);

    memcpy(c->early + c->early_len, data, n);
    c->early_len += n;
    data += n;
    len -= n;
    if (c->early_len < EARLY_HEAD)
        return;
    if (n > 0) { /* just complete */
        if (memcmp(c->early, early_magic, sizeof(early_magic)) != 0) {
            open_http2(c);
            http2_bytes(c, c->early, EARLY_HEAD);
            http2_bytes(c, data, len);
            return;
        }
        c->early_left = be32_get(c->early + sizeof(early_magic));
        if (c->early_left > EARLY_BYTES_MAX) {
            c->broken = "an early payload above all bounds";
            return;
        }
    }
    n = MIN(len, c->early_left);
    c->early_left -= (uint32_t)n;
    if (c->early_left > 0)
        return;
    open_http2(c);
    http2_bytes(c, data + n, len - n);
}

static void input_response(struct control *c, const uint8_t *frame, size_t len, ts_t now)
{
    if (len == TS2021_RESPONSE_BYTES && ts2021_finish(&c->noise, frame) == 0) {
        step(c, EARLY, now);
        return;
    }
    if (frame[0] == TS2021_ERROR)
        trouble(c, "handshake refused: %.*s", (int)MIN(len - TS2021_HEAD_BYTES, 200), frame + TS2021_HEAD_BYTES);
    else
        trouble(c, "the handshake does not fit the server's key%s", c->pinned ? ", which is pinned" : "");
    forget_server_key(c);
    drop(c, false, now);
}

static void input_frame(struct control *c, uint8_t *frame, size_t len, ts_t now)
{
    const uint8_t *plain;

    if (c->phase == RESPONSE) {
        input_response(c, frame, len, now);
        return;
    }
    int n = ts2021_open(&c->noise, frame, len, &plain);

    if (n < 0)
        c->broken = "a record that is not the server's";
    else if (c->phase == EARLY)
        input_early(c, plain, (size_t)n);
    else
        http2_bytes(c, plain, (size_t)n);
    settle(c, now);
}

static size_t input_noise(struct control *c, const uint8_t *data, size_t len, ts_t now)
{
    size_t used;
    int got = ts2021_frames_feed(&c->frames, data, len, &used);

    if (got > 0) {
        input_frame(c, c->frames.bytes, (size_t)got, now);
    } else if (got < 0) {
        trouble(c, "a record above all bounds");
        drop(c, false, now);
    }
    return used;
}

void control_input(struct control *c, const uint8_t *data, size_t len, ts_t now)
{
    while (len > 0) {
        size_t used;

        if (c->phase == KEY || c->phase == UPGRADE)
            used = input_http(c, data, len, now);
        else if (c->phase >= RESPONSE && c->phase <= OPEN)
            used = input_noise(c, data, len, now);
        else
            return; /* given up meanwhile */
        data += used;
        len -= used;
    }
    /* a head may be all there is */
    if (c->phase == KEY || c->phase == UPGRADE)
        (void)input_http(c, data, 0, now);
}

size_t control_output(struct control *c, uint8_t *out, size_t cap, ts_t now)
{
    BUG_ON(cap < TS2021_FRAME_MAX);
    size_t n = MIN(cap, c->out_len - c->out_at);

    if (n > 0) {
        memcpy(out, c->out + c->out_at, n);
        c->out_at += n;
        return n;
    }
    if (c->phase != OPEN)
        return 0;
    uint8_t *plain = out + TS2021_HEAD_BYTES;
    size_t len = 0;

    while (len < TS2021_PLAIN_MAX) {
        int more = http2_output(c->http2, plain + len, TS2021_PLAIN_MAX - len);

        if (more < 0)
            c->broken = "out of memory";
        if (more <= 0)
            break;
        len += (size_t)more;
    }
    n = len ? ts2021_seal(&c->noise, out, plain, len) : 0;
    settle(c, now); /* a cancelled stream is over with what was just pulled */
    return n;
}

/* ---- time ---- */

ts_t control_deadline(const struct control *c)
{
    ts_t at = ts_min(c->phase_deadline, c->goodbye_deadline);

    if (c->phase != OPEN)
        return at;
    at = ts_min(at, ts_min(c->register_deadline, c->map_deadline));
    if ((!c->registered || exchanging(c)) && !c->registration.stream)
        at = ts_min(at, c->register_at);
    return at;
}

static void phase_expired(struct control *c, ts_t now)
{
    static const char *const names[] = {[OPENING] = "opening a connection", [KEY] = "GET /key", [UPGRADE] = "POST /ts2021",
                                        [RESPONSE] = "the handshake", [EARLY] = "the server's first words"};

    if (c->phase == WAITING) {
        step(c, OPENING, now);
        c->flags |= CONTROL_CONNECT;
        return;
    }
    trouble(c, "%s took too long", names[c->phase]);
    drop(c, false, now);
}

void control_expire(struct control *c, ts_t now)
{
    if (c->goodbye_deadline <= now) {
        if (c->phase != WAITING)
            c->flags |= CONTROL_CLOSE;
        ended(c);
        return;
    }
    if (c->phase_deadline <= now)
        phase_expired(c, now);
    if (c->phase == OPEN && c->register_deadline <= now)
        c->broken = "no answer to a registration";
    if (c->phase == OPEN && c->map_deadline <= now)
        c->broken = c->map_since == TS_NEVER ? "no answer to a map request" : "silence on the map stream";
    if (c->phase == OPEN)
        settle(c, now);
}

uint64_t control_time(const struct control *c, ts_t now)
{
    return c->time ? c->time + ts_since(now, c->time_at) / TS_S : 0;
}

/* ---- the owner's side ---- */

void control_whereabouts_set(struct control *c, const struct control_whereabouts *whereabouts, ts_t now)
{
    c->whereabouts = *whereabouts;
    c->update_wanted = true; /* without a map stream: told by the next one, and once more after it */
    settle(c, now);
}

void control_log_out(struct control *c, ts_t now)
{
    if (c->phase == ENDED || c->saying_goodbye)
        return;
    c->saying_goodbye = true;
    if (c->phase != OPEN || !c->registered || !c->ephemeral) {
        if (c->phase != WAITING)
            c->flags |= CONTROL_CLOSE;
        ended(c);
        return;
    }
    if (c->registration.stream)
        http2_cancel(c->http2, c->registration.stream);
    post_log_out(c);
    c->goodbye_deadline = ts_add(now, GOODBYE_NS);
    settle(c, now);
}

const struct control_keys *control_keys(const struct control *c)
{
    return &c->keys;
}

enum control_state control_state(const struct control *c)
{
    return c->state;
}

const char *control_auth_url(const struct control *c)
{
    return c->auth_url;
}

const char *control_trouble(const struct control *c)
{
    return c->trouble;
}

const struct netmap *control_netmap(const struct control *c)
{
    return c->netmap;
}

struct netmap_changes *control_changes(struct control *c)
{
    return &c->changes;
}

ts_t control_heard_at(const struct control *c)
{
    return c->heard_at;
}

bool control_auth_key_ok(const char *text)
{
    size_t len = strlen(text);

    for (const char *at = text; *at; at++)
        if (!((*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z') || strchr("-_.", *at)))
            return false;
    return len <= CONTROL_AUTH_KEY_MAX;
}

struct control *control_new(const struct control_config *config, const struct control_keys *keys, ts_t now)
{
    BUG_ON(strlen(config->host) > CONTROL_HOST_MAX || !control_auth_key_ok(config->auth_key));
    BUG_ON(crypto_is_zero(keys->machine, sizeof(keys->machine)));
    struct control *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->rng = config->rng;
    c->keys = *keys;
    c->ephemeral = config->ephemeral;
    c->pinned = config->server_key != NULL;
    if (config->server_key)
        memcpy(c->keys.server, config->server_key, sizeof(c->keys.server));
    c->host = strdup(config->host);
    c->hostname = strdup(config->hostname);
    c->auth_key = strdup(config->auth_key);
    c->netmap = netmap_new(config->seed);
    if (!c->host || !c->hostname || !c->auth_key || !c->netmap) {
        control_free(c);
        return NULL;
    }
    if (crypto_is_zero(c->keys.node, sizeof(c->keys.node))) {
        key_generate(c->rng, c->keys.node);
        c->flags |= CONTROL_KEYS;
    }
    c->register_deadline = c->map_deadline = c->goodbye_deadline = c->map_since = TS_NEVER;
    c->first = true;
    c->flags |= CONTROL_STATE;
    wait_until(c, now);
    return c;
}

/* is_us - by one of the keys we have */
static bool is_us(const struct control *c, const struct netmap_node *node)
{
    uint8_t key[TAILNET_KEY_BYTES];

    return node && (crypto_equal(node->key, public_of(c->keys.node, key), sizeof(key)) ||
                    (!crypto_is_zero(c->keys.previous, sizeof(c->keys.previous)) &&
                     crypto_equal(node->key, public_of(c->keys.previous, key), sizeof(key))));
}

bool control_restore(struct control *c, const char *text, size_t len)
{
    struct netmap_asides asides;
    enum netmap_frame got = netmap_apply(c->netmap, text, len, true, &c->changes, &asides);

    netmap_changes_clear(&c->changes);
    if (got == NETMAP_APPLIED && is_us(c, netmap_self(c->netmap)))
        return true;
    netmap_empty(c->netmap);
    return false;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    connection_clear(c);
    netmap_free(c->netmap);
    netmap_changes_deinit(&c->changes);
    if (c->auth_key)
        crypto_wipe(c->auth_key, strlen(c->auth_key));
    free(c->auth_key);
    free(c->hostname);
    free(c->host);
    crypto_wipe(c, sizeof(*c));
    free(c);
}
