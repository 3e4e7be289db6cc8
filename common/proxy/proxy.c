/* proxy.c - version 1 is one line of text, version 2 a fixed binary header, addresses and type-length values. */
#include "common/proxy/proxy.h"

#include <stdio.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/cursor.h"

static const char v1_start[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_start[] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

#define V2_HEADER         16
#define V2_VERSION        0x20
#define V2_COMMAND_LOCAL  0
#define V2_COMMAND_PROXY  1
#define V2_TCP4           0x11
#define V2_TCP6           0x21
#define V2_TCP4_BYTES     12
#define V2_TCP6_BYTES     36
#define V2_TYPE_AUTHORITY 2

/* ---- reading ---- */

/* the next word of a line, up to a single space or the line's end */
static struct cursor word(struct cursor *line)
{
    const uint8_t *space = memchr(line->at, ' ', cursor_left(line));
    struct cursor w = cursor_sub(line, space ? (size_t)(space - line->at) : cursor_left(line));

    if (space)
        cursor_take(line, 1);
    return w;
}

static bool v1_port(struct cursor w, uint16_t *out)
{
    size_t len = cursor_left(&w);
    unsigned v = 0;

    if (len == 0 || len > 5 || (len > 1 && w.at[0] == '0'))
        return false;
    while (cursor_left(&w) > 0) {
        uint8_t c = cursor_u8(&w);

        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (c - '0');
    }
    *out = (uint16_t)v;
    return v <= UINT16_MAX;
}

static bool v1_addr(struct cursor w, bool v6, struct addr *out)
{
    bool colon = memchr(w.at, ':', cursor_left(&w));

    return colon == v6 && addr_parse((const char *)w.at, cursor_left(&w), out);
}

static bool word_is(struct cursor w, const char *text)
{
    return cursor_left(&w) == strlen(text) && memcmp(w.at, text, cursor_left(&w)) == 0;
}

/* the line between "PROXY " and its end */
static bool v1_line(struct cursor line, struct proxy_header *out)
{
    struct cursor family = word(&line);
    bool v6 = word_is(family, "TCP6");

    if (word_is(family, "UNKNOWN")) { /* whatever follows is to be ignored */
        out->local = true;
        return true;
    }
    if (!v6 && !word_is(family, "TCP4"))
        return false;
    if (!v1_addr(word(&line), v6, &out->src.addr) || !v1_addr(word(&line), v6, &out->dst.addr) ||
        !v1_port(word(&line), &out->src.port))
        return false;
    return v1_port(line, &out->dst.port); /* the rest: a space too many makes it no number */
}

static enum proxy_result v1_parse(const uint8_t *data, size_t len, struct proxy_header *out)
{
    size_t seen = MIN(len, PROXY_V1_BYTES);
    const uint8_t *cr = memchr(data, '\r', seen);
    size_t end = cr ? (size_t)(cr - data) : seen; /* where the line's text ends */
    struct cursor line;

    if (memchr(data, '\n', end) || end > PROXY_V1_BYTES - 2)
        return PROXY_BAD;
    if (!cr || end + 1 == len)
        return PROXY_NEED_MORE;
    if (data[end + 1] != '\n')
        return PROXY_BAD;
    cursor_init(&line, data, end);
    cursor_take(&line, sizeof(v1_start));
    out->consumed = end + 2;
    return v1_line(line, out) ? PROXY_OK : PROXY_BAD;
}

static bool v2_values(struct cursor c)
{
    while (cursor_left(&c) > 0) {
        cursor_u8(&c);
        cursor_take(&c, cursor_be16(&c));
    }
    return cursor_ok(&c);
}

static enum proxy_result v2_parse(const uint8_t *data, size_t len, struct proxy_header *out)
{
    struct cursor c;

    if (len >= 13 && (data[12] & 0xf0) != V2_VERSION)
        return PROXY_BAD;
    if (len >= 13 && (data[12] & 0x0f) > V2_COMMAND_PROXY)
        return PROXY_BAD;
    if (len < V2_HEADER)
        return PROXY_NEED_MORE;
    size_t body = be16_get(data + 14);
    bool v4 = data[13] == V2_TCP4, v6 = data[13] == V2_TCP6;

    if (V2_HEADER + body > PROXY_MAX_BYTES)
        return PROXY_BAD;
    if (len - V2_HEADER < body)
        return PROXY_NEED_MORE;
    out->consumed = V2_HEADER + body;
    out->local = (data[12] & 0x0f) == V2_COMMAND_LOCAL || (!v4 && !v6);
    if (out->local) /* what follows is in a form we are told to ignore, or don't know */
        return PROXY_OK;
    cursor_init(&c, data + V2_HEADER, body);
    size_t addr_bytes = v4 ? 4 : 16;
    const uint8_t *src = cursor_take(&c, addr_bytes), *dst = cursor_take(&c, addr_bytes);

    out->src.port = cursor_be16(&c);
    out->dst.port = cursor_be16(&c);
    if (!cursor_ok(&c) || !v2_values(c))
        return PROXY_BAD;
    out->src.addr = v4 ? addr_v4(src) : addr_v6(src);
    out->dst.addr = v4 ? addr_v4(dst) : addr_v6(dst);
    return PROXY_OK;
}

enum proxy_result proxy_parse(const uint8_t *data, size_t len, struct proxy_header *out)
{
    struct proxy_header header = {0};
    enum proxy_result result;

    if (len == 0)
        return PROXY_NEED_MORE;
    if (memcmp(data, v1_start, MIN(len, sizeof(v1_start))) == 0)
        result = len < sizeof(v1_start) ? PROXY_NEED_MORE : v1_parse(data, len, &header);
    else if (memcmp(data, v2_start, MIN(len, sizeof(v2_start))) == 0)
        result = len < sizeof(v2_start) ? PROXY_NEED_MORE : v2_parse(data, len, &header);
    else
        result = PROXY_BAD;
    if (result == PROXY_OK)
        *out = header;
    return result;
}

/* ---- writing ---- */

static bool both_v4(const struct addrport *src, const struct addrport *dst)
{
    return addr_is_v4(&src->addr) && addr_is_v4(&dst->addr);
}

size_t proxy_v1_write(char *out, size_t cap, const struct addrport *src, const struct addrport *dst)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    bool v4 = both_v4(src, dst);
    char from[ADDR_STR], to[ADDR_STR];
    int n;

    if (addr_is_none(&src->addr))
        n = snprintf(out, cap, "%s", unknown);
    else
        n = snprintf(out, cap, "PROXY %s %s%s %s%s %u %u\r\n", v4 ? "TCP4" : "TCP6",
                     !v4 && addr_is_v4(&src->addr) ? "::ffff:" : "", addr_format(&src->addr, from),
                     !v4 && addr_is_v4(&dst->addr) ? "::ffff:" : "", addr_format(&dst->addr, to),
                     (unsigned)src->port, (unsigned)dst->port);
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

size_t proxy_v2_write(uint8_t *out, size_t cap, const struct addrport *src, const struct addrport *dst,
                      const char *authority, size_t authority_len)
{
    bool local = addr_is_none(&src->addr), v4 = both_v4(src, dst);
    bool named = authority && !local && authority_len <= PROXY_AUTHORITY_MAX;
    size_t addresses = local ? 0 : v4 ? V2_TCP4_BYTES : V2_TCP6_BYTES;
    size_t body = addresses + (named ? 3 + authority_len : 0);
    uint8_t *p = out;

    if (cap < V2_HEADER + body)
        return 0;
    memcpy(p, v2_start, sizeof(v2_start));
    p[12] = V2_VERSION | (local ? V2_COMMAND_LOCAL : V2_COMMAND_PROXY);
    p[13] = local ? 0 : v4 ? V2_TCP4 : V2_TCP6;
    be16_put(p + 14, (uint16_t)body);
    p += V2_HEADER;
    if (!local) {
        size_t skip = v4 ? 12 : 0, n = 16 - skip; /* an IPv4 address is the end of its mapped form */

        memcpy(p, src->addr.b + skip, n);
        memcpy(p + n, dst->addr.b + skip, n);
        be16_put(p + 2 * n, src->port);
        be16_put(p + 2 * n + 2, dst->port);
        p += addresses;
    }
    if (named) {
        *p++ = V2_TYPE_AUTHORITY;
        be16_put(p, (uint16_t)authority_len);
        memcpy(p + 2, authority, authority_len);
    }
    return V2_HEADER + body;
}
