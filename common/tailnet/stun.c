#include "common/tailnet/stun.h"

#include <string.h>

#include "common/base/cursor.h"

#define HEADER_BYTES       20
#define COOKIE             0x2112a442u
#define TYPE_REQUEST       0x0001
#define TYPE_SUCCESS       0x0101
#define MAPPED_ADDRESS     0x0001
#define XOR_MAPPED_ADDRESS 0x0020
#define XOR_MAPPED_OLD     0x8020 /* of drafts; some servers still send it */
#define SOFTWARE           0x8022
#define FINGERPRINT        0x8028
#define FINGERPRINT_XOR    0x5354554eu /* RFC 8489 section 14.7 */
#define FAMILY_V4          1
#define FAMILY_V6          2

static const char software[8] = "tailnode";

bool stun_looks_like(const uint8_t *d, size_t len)
{
    return len >= HEADER_BYTES && (d[0] & 0xc0) == 0 && d[1] == 1 && be32_get(d + 4) == COOKIE;
}

/* CRC-32 of ITU V.42, bit by bit: 32 bytes a request need no table */
static uint32_t crc32(const uint8_t *data, size_t len)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

void stun_request(uint8_t out[STUN_REQUEST_BYTES], const uint8_t txid[STUN_TXID_BYTES])
{
    be16_put(out, TYPE_REQUEST);
    be16_put(out + 2, STUN_REQUEST_BYTES - HEADER_BYTES);
    be32_put(out + 4, COOKIE);
    memcpy(out + 8, txid, STUN_TXID_BYTES);
    be16_put(out + 20, SOFTWARE);
    be16_put(out + 22, sizeof(software));
    memcpy(out + 24, software, sizeof(software));
    be16_put(out + 32, FINGERPRINT);
    be16_put(out + 34, 4);
    be32_put(out + 36, crc32(out, 32) ^ FINGERPRINT_XOR);
}

/* sections 14.1 and 14.2; pad: what the address was xored with, or zeros */
static bool address(struct cursor value, const uint8_t pad[16], struct addrport *out)
{
    cursor_u8(&value);
    uint8_t family = cursor_u8(&value);
    uint16_t port = cursor_be16(&value);
    size_t len = family == FAMILY_V4 ? 4 : 16;
    const uint8_t *bytes = cursor_take(&value, len);
    uint8_t plain[16];

    if (!bytes || (family != FAMILY_V4 && family != FAMILY_V6))
        return false;
    for (size_t i = 0; i < len; i++)
        plain[i] = bytes[i] ^ pad[i];
    struct addrport read = {.addr = family == FAMILY_V4 ? addr_v4(plain) : addr_v6(plain),
                            .port = (uint16_t)(port ^ be16_get(pad))};

    if (addr_is_none(&read.addr) || read.port == 0)
        return false;
    *out = read; /* what an attribute before said stands otherwise */
    return true;
}

bool stun_answer_parse(const uint8_t *d, size_t len, uint8_t txid[STUN_TXID_BYTES], struct addrport *mapped)
{
    static const uint8_t plain[16];
    struct cursor c;
    bool found = false, is_xored = false;

    if (!stun_looks_like(d, len) || be16_get(d) != TYPE_SUCCESS)
        return false;
    memcpy(txid, d + 8, STUN_TXID_BYTES);
    cursor_init(&c, d + HEADER_BYTES, len - HEADER_BYTES);
    c = cursor_sub(&c, be16_get(d + 2));
    while (cursor_ok(&c) && cursor_left(&c) > 0) {
        uint16_t type = cursor_be16(&c), size = cursor_be16(&c);
        struct cursor value = cursor_sub(&c, size);
        bool xored = type == XOR_MAPPED_ADDRESS || type == XOR_MAPPED_OLD;

        if (cursor_ok(&value) && !is_xored && (xored || type == MAPPED_ADDRESS) &&
            address(value, xored ? d + 4 : plain, mapped)) {
            found = true;
            is_xored = xored; /* it may not have been changed on the way: section 14.2 */
        }
        cursor_take(&c, cursor_left(&c) ? -size & 3 : 0); /* to a multiple of 4; the last one's may be missing */
    }
    return found && cursor_ok(&c);
}
