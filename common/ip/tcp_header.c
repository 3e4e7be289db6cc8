/* tcp_header.c - options are read by a bounded cursor each, so that no length in a packet can lead out of it. */
#include "common/ip/tcp_header.h"

#include "common/base/bug.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/ip/checksum.h"

enum option {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WINDOW_SHIFT = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMP = 8,
};

static void parse_sack(struct cursor *value, struct tcp_header *h)
{
    size_t count = cursor_left(value) / 8;

    h->sack_count = (uint8_t)MIN(count, (size_t)TCP_SACK_BLOCKS);
    for (uint8_t i = 0; i < h->sack_count; i++) {
        h->sack[i].start = cursor_be32(value);
        h->sack[i].end = cursor_be32(value);
    }
}

/* An option of the wrong length is skipped like an unknown one. */
static void parse_option(uint8_t kind, struct cursor *value, struct tcp_header *h)
{
    size_t len = cursor_left(value);

    if (kind == OPTION_MSS && len == 2) {
        h->mss = cursor_be16(value);
    } else if (kind == OPTION_WINDOW_SHIFT && len == 1) {
        uint8_t shift = cursor_u8(value);

        h->has_window_shift = true;
        h->window_shift = MIN(shift, (uint8_t)TCP_WINDOW_SHIFT_MAX); /* RFC 7323 section 2.3 */
    } else if (kind == OPTION_SACK_PERMITTED && len == 0) {
        h->sack_permitted = true;
    } else if (kind == OPTION_TIMESTAMP && len == 8) {
        h->has_timestamp = true;
        h->ts_value = cursor_be32(value);
        h->ts_echo = cursor_be32(value);
    } else if (kind == OPTION_SACK && len % 8 == 0) {
        parse_sack(value, h);
    }
}

static bool parse_options(struct cursor options, struct tcp_header *h)
{
    while (cursor_left(&options) > 0) {
        uint8_t kind = cursor_u8(&options);

        if (kind == OPTION_END)
            break;
        if (kind == OPTION_NOP)
            continue;
        uint8_t len = cursor_u8(&options);

        if (!cursor_ok(&options) || len < 2)
            return false;
        struct cursor value = cursor_sub(&options, (size_t)len - 2);

        if (!cursor_ok(&value))
            return false;
        parse_option(kind, &value, h);
    }
    return true;
}

int tcp_header_parse(const uint8_t *p, size_t len, struct tcp_header *out, const uint8_t **payload,
                     size_t *payload_len)
{
    struct tcp_header h = {0};
    struct cursor c;

    if (len < TCP_HEADER_MIN)
        return ERR_TRUNCATED;
    cursor_init(&c, p, len);
    h.src_port = cursor_be16(&c);
    h.dst_port = cursor_be16(&c);
    h.seq = cursor_be32(&c);
    h.ack = cursor_be32(&c);
    size_t header_len = (size_t)(cursor_u8(&c) >> 4) * 4;

    h.flags = cursor_u8(&c);
    h.window = cursor_be16(&c);
    cursor_take(&c, 4); /* checksum, urgent pointer: urgent data is delivered in line, RFC 6093 */
    if (header_len < TCP_HEADER_MIN)
        return ERR_INVALID;
    if (header_len > len)
        return ERR_TRUNCATED;
    if (!parse_options(cursor_sub(&c, header_len - TCP_HEADER_MIN), &h))
        return ERR_INVALID;
    *out = h;
    *payload = p + header_len;
    *payload_len = len - header_len;
    return 0;
}

static uint8_t sack_fits(const struct tcp_header *h)
{
    return MIN(h->sack_count, (uint8_t)(h->has_timestamp ? TCP_SACK_BLOCKS - 1 : TCP_SACK_BLOCKS));
}

size_t tcp_header_len(const struct tcp_header *h)
{
    size_t len = TCP_HEADER_MIN;

    len += h->mss ? 4 : 0;
    len += h->has_window_shift ? 4 : 0;
    len += h->sack_permitted && !h->has_timestamp ? 4 : 0;
    len += h->has_timestamp ? TCP_TIMESTAMP_LEN : 0;
    len += h->sack_count ? 4 + 8 * (size_t)sack_fits(h) : 0;
    return len;
}

/* Each option is padded in front to 4 bytes, so that its values are aligned, as RFC 7323 appendix A draws it. */
static uint8_t *option(uint8_t *at, enum option kind, size_t value_len)
{
    for (size_t n = value_len + 2; n % 4; n++)
        *at++ = OPTION_NOP;
    *at++ = kind;
    *at++ = (uint8_t)(value_len + 2);
    return at;
}

size_t tcp_header_write(const struct tcp_header *h, uint8_t *out)
{
    size_t len = tcp_header_len(h);
    uint8_t *at = out + TCP_HEADER_MIN;

    be16_put(out, h->src_port);
    be16_put(out + 2, h->dst_port);
    be32_put(out + 4, h->seq);
    be32_put(out + 8, h->ack);
    out[12] = (uint8_t)(len / 4 << 4);
    out[13] = h->flags;
    be16_put(out + 14, h->window);
    be32_put(out + 16, 0);
    if (h->mss) {
        at = option(at, OPTION_MSS, 2);
        be16_put(at, h->mss);
        at += 2;
    }
    if (h->has_window_shift) {
        at = option(at, OPTION_WINDOW_SHIFT, 1);
        *at++ = h->window_shift;
    }
    if (h->sack_permitted && h->has_timestamp) { /* instead of its padding: a SYN is no longer than it must be */
        memcpy(at, (uint8_t[]){OPTION_SACK_PERMITTED, 2, OPTION_TIMESTAMP, 10}, 4);
        at += 4;
    } else if (h->sack_permitted) {
        at = option(at, OPTION_SACK_PERMITTED, 0);
    } else if (h->has_timestamp) {
        at = option(at, OPTION_TIMESTAMP, 8);
    }
    if (h->has_timestamp) {
        be32_put(at, h->ts_value);
        be32_put(at + 4, h->ts_echo);
        at += 8;
    }
    if (h->sack_count) {
        uint8_t count = sack_fits(h);

        at = option(at, OPTION_SACK, 8 * (size_t)count);
        for (uint8_t i = 0; i < count; i++, at += 8) {
            be32_put(at, h->sack[i].start);
            be32_put(at + 4, h->sack[i].end);
        }
    }
    BUG_ON(at != out + len || len > TCP_HEADER_MAX);
    return len;
}

void tcp_checksum_put(uint8_t *segment, size_t len, uint64_t pseudo)
{
    be16_put(segment + 16, 0);
    be16_put(segment + 16, checksum_fold(checksum_add(pseudo, segment, len)));
}
