/* hello.c - two steps: `walk` goes along the records until the whole ClientHello is there, then `client_hello` reads
 * it. A verdict of the walk belongs to a position in the stream, and the walk takes positions in order: that is what
 * makes verdicts independent of how the bytes were cut into segments.
 *
 *     | record header 5 | handshake header 4 | ClientHello …     | record header 5 | … ClientHello |
 *       16 03 xx len      01 length (24 bit)
 */
#include "common/hello/hello.h"

#include <string.h>

#include "common/base/addr.h"
#include "common/base/bug.h"
#include "common/base/cursor.h"

#define RECORD_HEADER     5
#define RECORD_BODY_MAX   16384 /* RFC 8446 section 5.1: a plaintext fragment holds no more */
#define RECORD_HANDSHAKE  22
#define MESSAGE_HEADER    4
#define TYPE_CLIENT_HELLO 1
/* a handshake header in records of one byte: below this, `max` could strike before the message's type is known, and
 * the verdict would depend on how the bytes came */
#define BYTES_MIN         (MESSAGE_HEADER * (RECORD_HEADER + 1))
#define EXT_SERVER_NAME   0
#define EXT_ALPN          16
#define NAME_TYPE_HOST    0
#define NAME_LEN_MAX      (HELLO_NAME - 1)
#define LABEL_LEN_MAX     63

const char *hello_result_name(enum hello_result result)
{
    static const char *const names[] = {"need_more", "ok", "no_sni", "not_tls", "malformed", "too_large"};

    BUG_ON((size_t)result >= ARRAY_SIZE(names));
    return names[result];
}

/* ---- records ---- */

struct walk {
    const uint8_t *data;
    size_t len;
    size_t at;       /* end of the records looked at; the last one may reach past len */
    size_t have;     /* bytes of the handshake message in data[0, len) */
    size_t promised; /* bytes of the message those records hold once they are all here */
    size_t want;     /* bytes of the whole message, its header included; only its header's size until that is known */
    uint8_t header[MESSAGE_HEADER];
};

/* the least total of stream bytes at which the message can be whole */
static size_t least(const struct walk *w)
{
    if (w->promised >= w->want)
        return w->at - (w->promised - w->want);
    size_t rest = w->want - w->promised;
    size_t records = (rest + RECORD_BODY_MAX - 1) / RECORD_BODY_MAX;

    return w->at + rest + records * RECORD_HEADER;
}

/* account for the next record; its header's first bytes are judged even when the rest is not here yet */
static enum hello_result record(struct walk *w)
{
    const uint8_t *p = w->data + w->at;
    size_t here = w->len - w->at;
    enum hello_result foreign = w->at == 0 ? HELLO_NOT_TLS : HELLO_MALFORMED;

    if (here >= 1 && p[0] != RECORD_HANDSHAKE)
        return foreign;
    if (here >= 2 && p[1] != 3)
        return foreign;
    if (here < RECORD_HEADER)
        return HELLO_NEED_MORE;
    size_t body = be16_get(p + 3);

    if (body == 0 || body > RECORD_BODY_MAX)
        return HELLO_MALFORMED;
    size_t body_here = MIN(body, here - RECORD_HEADER);

    for (size_t i = 0; i < body_here && w->have + i < MESSAGE_HEADER; i++)
        w->header[w->have + i] = p[RECORD_HEADER + i];
    w->have += body_here;
    w->promised += body;
    w->at += RECORD_HEADER + body;
    return HELLO_OK;
}

/* HELLO_OK: the whole message is in w->data */
static enum hello_result walk(struct walk *w, size_t max)
{
    for (;;) {
        if (w->have >= 1 && w->header[0] != TYPE_CLIENT_HELLO)
            return HELLO_MALFORMED;
        if (w->have >= MESSAGE_HEADER)
            w->want = MESSAGE_HEADER + ((size_t)w->header[1] << 16 | be16_get(w->header + 2));
        if (least(w) > max)
            return HELLO_TOO_LARGE;
        if (w->have >= w->want)
            return HELLO_OK;
        if (w->at > w->len)
            return HELLO_NEED_MORE;
        enum hello_result r = record(w);

        if (r != HELLO_OK)
            return r;
    }
}

/* copy the message out of its records; `to` has room for w->want bytes */
static void join(const struct walk *w, uint8_t *to)
{
    const uint8_t *p = w->data;

    for (size_t done = 0; done < w->want;) {
        size_t n = MIN(be16_get(p + 3), w->want - done);

        memcpy(to + done, p + RECORD_HEADER, n);
        done += n;
        p += RECORD_HEADER + n;
    }
}

/* ---- the message ---- */

/* a vector with its length in front, RFC 8446 section 3.4 */
static struct cursor vector8(struct cursor *c)
{
    return cursor_sub(c, cursor_u8(c));
}

static struct cursor vector16(struct cursor *c)
{
    return cursor_sub(c, cursor_be16(c));
}

/* remember one of 8 * size values; false: it was there before */
static bool first_time(uint8_t *seen, size_t value)
{
    uint8_t bit = (uint8_t)(1u << (value % 8));
    bool fresh = !(seen[value / 8] & bit);

    seen[value / 8] |= bit;
    return fresh;
}

static enum hello_result host_name(const uint8_t *text, size_t len, struct hello *out)
{
    struct addr literal;
    size_t label = 0;

    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len > NAME_LEN_MAX)
        return HELLO_MALFORMED;
    if (addr_parse((const char *)text, len, &literal))
        return HELLO_NO_SNI; /* RFC 6066: "not permitted"; sent all the same by clients that were given an address */
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text[i];

        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c - 'A' + 'a');
        if (c == '.' ? label == 0 : ++label > LABEL_LEN_MAX)
            return HELLO_MALFORMED;
        if (c == '.')
            label = 0;
        else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return HELLO_MALFORMED;
        out->name[i] = (char)c;
    }
    if (label == 0)
        return HELLO_MALFORMED;
    out->name[len] = 0;
    out->name_len = len;
    return HELLO_OK;
}

static enum hello_result server_name(struct cursor ext, struct hello *out)
{
    struct cursor list = vector16(&ext);
    enum hello_result result = HELLO_NO_SNI;
    uint8_t seen[256 / 8] = {0};

    if (!cursor_ok(&list) || cursor_left(&list) == 0 || cursor_left(&ext) != 0)
        return HELLO_MALFORMED;
    while (cursor_left(&list) > 0) {
        uint8_t type = cursor_u8(&list);
        struct cursor name = vector16(&list); /* names of types yet to come begin with a length as well */

        if (!cursor_ok(&name) || !first_time(seen, type))
            return HELLO_MALFORMED;
        if (type == NAME_TYPE_HOST)
            result = host_name(name.at, cursor_left(&name), out);
        if (result == HELLO_MALFORMED)
            return result;
    }
    return result;
}

static bool alpn(struct cursor ext, struct hello *out)
{
    struct cursor list = vector16(&ext);
    size_t used = 0;

    if (!cursor_ok(&list) || cursor_left(&list) == 0 || cursor_left(&ext) != 0)
        return false;
    while (cursor_left(&list) > 0) {
        struct cursor name = vector8(&list);
        size_t len = cursor_left(&name);

        if (!cursor_ok(&name) || len == 0)
            return false;
        if (out->alpn_truncated || out->alpn_count == HELLO_ALPN_COUNT || used + len > HELLO_ALPN_BYTES) {
            out->alpn_truncated = true;
            continue;
        }
        memcpy(out->alpn_bytes + used, name.at, len);
        out->alpn[out->alpn_count++] = (struct hello_alpn){.at = (uint8_t)used, .len = (uint8_t)len};
        used += len;
    }
    return true;
}

static enum hello_result extensions(struct cursor list, struct hello *out)
{
    enum hello_result result = HELLO_NO_SNI;
    uint8_t seen[65536 / 8] = {0}; /* extension types: a set that thousands of extensions can't make slow */

    while (cursor_left(&list) > 0) {
        uint16_t type = cursor_be16(&list);
        struct cursor ext = vector16(&list);

        if (!cursor_ok(&ext) || !first_time(seen, type))
            return HELLO_MALFORMED;
        if (type == EXT_SERVER_NAME)
            result = server_name(ext, out);
        if (result == HELLO_MALFORMED || (type == EXT_ALPN && !alpn(ext, out)))
            return HELLO_MALFORMED;
    }
    return result;
}

/* RFC 8446 section 4.1.2, in its order */
static enum hello_result client_hello(const uint8_t *body, size_t len, struct hello *out)
{
    struct cursor c;

    cursor_init(&c, body, len);
    uint16_t legacy_version = cursor_be16(&c);

    cursor_take(&c, 32); /* random */
    struct cursor session_id = vector8(&c);
    struct cursor suites = vector16(&c);
    struct cursor compression = vector8(&c);

    if (!cursor_ok(&c) || legacy_version >> 8 != 3 || cursor_left(&session_id) > 32)
        return HELLO_MALFORMED;
    if (cursor_left(&suites) < 2 || cursor_left(&suites) % 2 != 0 || cursor_left(&compression) < 1)
        return HELLO_MALFORMED;
    if (cursor_left(&c) == 0)
        return HELLO_NO_SNI; /* clients from before extensions */
    struct cursor list = vector16(&c);

    if (!cursor_ok(&list) || cursor_left(&c) != 0)
        return HELLO_MALFORMED;
    return extensions(list, out);
}

static enum hello_result joined(const struct walk *w, struct hello *out)
{
    uint8_t message[HELLO_BYTES_MAX];

    join(w, message);
    return client_hello(message + MESSAGE_HEADER, w->want - MESSAGE_HEADER, out);
}

enum hello_result hello_parse(const uint8_t *data, size_t len, size_t max, struct hello *out)
{
    struct walk w = {.data = data, .len = len, .want = MESSAGE_HEADER};
    enum hello_result result = walk(&w, MAX(MIN(max, HELLO_BYTES_MAX), BYTES_MIN));

    *out = (struct hello){0};
    if (result == HELLO_NEED_MORE)
        /* the very first bytes tell most strangers from TLS: worth a call each */
        out->need = len < 2 ? len + 1 : least(&w);
    if (result != HELLO_OK)
        return result;
    if (be16_get(data + 3) >= w.want)
        result = client_hello(data + RECORD_HEADER + MESSAGE_HEADER, w.want - MESSAGE_HEADER, out);
    else
        result = joined(&w, out);
    if (result == HELLO_MALFORMED)
        *out = (struct hello){0};
    return result;
}
