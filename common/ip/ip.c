/* ip.c - the two IP headers, read strictly and written in one fixed form. */
#include "common/ip/ip.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/ip/checksum.h"

#define V4_DONT_FRAGMENT 0x4000
#define V4_FRAGMENT_MASK 0x3fff /* more-fragments bit and offset */

/* IPv6 next-header values that are extension headers, RFC 7045 section 4 */
enum {
    V6_HOP_BY_HOP = 0,
    V6_ROUTING = 43,
    V6_FRAGMENT = 44,
    V6_ESP = 50,
    V6_AUTHENTICATION = 51,
    V6_NONE = 59,
    V6_DESTINATION = 60,
    V6_MOBILITY = 135,
    V6_HIP = 139,
    V6_SHIM6 = 140,
};

static int parse_v4(const uint8_t *p, size_t len, struct ip_packet *out)
{
    if (len < IP_HEADER_V4)
        return ERR_TRUNCATED;
    size_t total = be16_get(p + 2);

    if (p[0] != 0x45 || total < IP_HEADER_V4)
        return ERR_INVALID;
    if (total > len)
        return ERR_TRUNCATED;
    if (checksum_fold(checksum_add(0, p, IP_HEADER_V4)) != 0)
        return ERR_INVALID;
    if (be16_get(p + 6) & V4_FRAGMENT_MASK)
        return ERR_TOO_LARGE;
    *out = (struct ip_packet){
        .src = addr_v4(p + 12),
        .dst = addr_v4(p + 16),
        .protocol = p[9],
        .payload = p + IP_HEADER_V4,
        .payload_len = total - IP_HEADER_V4,
        .len = total,
    };
    return 0;
}

static int parse_v6(const uint8_t *p, size_t len, struct ip_packet *out)
{
    if (len < IP_HEADER_V6)
        return ERR_TRUNCATED;
    size_t payload_len = be16_get(p + 4);

    if (payload_len > len - IP_HEADER_V6)
        return ERR_TRUNCATED;
    switch (p[6]) {
    case V6_FRAGMENT:
        return ERR_TOO_LARGE;
    case V6_HOP_BY_HOP:
    case V6_ROUTING:
    case V6_ESP:
    case V6_AUTHENTICATION:
    case V6_NONE:
    case V6_DESTINATION:
    case V6_MOBILITY:
    case V6_HIP:
    case V6_SHIM6:
        return ERR_INVALID;
    }
    *out = (struct ip_packet){
        .src = addr_v6(p + 8),
        .dst = addr_v6(p + 24),
        .protocol = p[6],
        .payload = p + IP_HEADER_V6,
        .payload_len = payload_len,
        .len = IP_HEADER_V6 + payload_len,
    };
    /* our own form of an IPv4 address must not come in by the other door */
    return addr_is_v4(&out->src) || addr_is_v4(&out->dst) ? ERR_INVALID : 0;
}

int ip_parse(const uint8_t *p, size_t len, struct ip_packet *out)
{
    if (len == 0)
        return ERR_TRUNCATED;
    switch (p[0] >> 4) {
    case 4:
        return parse_v4(p, len, out);
    case 6:
        return parse_v6(p, len, out);
    default:
        return ERR_INVALID;
    }
}

size_t ip_header_len(const struct addr *any)
{
    return addr_is_v4(any) ? IP_HEADER_V4 : IP_HEADER_V6;
}

size_t ip_header_write(uint8_t *out, const struct addr *src, const struct addr *dst, uint8_t protocol,
                       size_t payload_len)
{
    BUG_ON(addr_is_v4(src) != addr_is_v4(dst));
    size_t header_len = ip_header_len(src);

    BUG_ON(header_len + payload_len > UINT16_MAX);
    memset(out, 0, header_len);
    if (addr_is_v4(src)) {
        out[0] = 0x45;
        be16_put(out + 2, (uint16_t)(IP_HEADER_V4 + payload_len));
        be16_put(out + 6, V4_DONT_FRAGMENT); /* so the id may be zero, RFC 6864 section 4.1 */
        out[8] = IP_HOP_LIMIT;
        out[9] = protocol;
        memcpy(out + 12, addr_v4_bytes(src), 4);
        memcpy(out + 16, addr_v4_bytes(dst), 4);
        be16_put(out + 10, checksum_fold(checksum_add(0, out, IP_HEADER_V4)));
    } else {
        out[0] = 0x60;
        be16_put(out + 4, (uint16_t)payload_len);
        out[6] = protocol;
        out[7] = IP_HOP_LIMIT;
        memcpy(out + 8, src->b, 16);
        memcpy(out + 24, dst->b, 16);
    }
    return header_len;
}

uint64_t ip_pseudo_sum(const struct addr *src, const struct addr *dst, uint8_t protocol, size_t payload_len)
{
    uint8_t tail[8] = {0};
    uint64_t sum;

    be32_put(tail, (uint32_t)payload_len); /* the same sum as IPv4's 16-bit length */
    tail[7] = protocol;
    sum = checksum_add(0, tail, sizeof(tail));
    if (addr_is_v4(src)) {
        sum = checksum_add(sum, addr_v4_bytes(src), 4);
        return checksum_add(sum, addr_v4_bytes(dst), 4);
    }
    sum = checksum_add(sum, src->b, 16);
    return checksum_add(sum, dst->b, 16);
}
