/* ip.h - whole IPv4 and IPv6 packets: read and written, never fragments.
 *
 * What arrives through a tunnel was made by another machine's TCP: plain headers. Whatever a plain sender doesn't use
 * (IPv4 options, IPv6 extension headers, fragments) is refused rather than half understood. RFC 791, RFC 8200. */
#ifndef IP_IP_H
#define IP_IP_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

#define IP_PROTOCOL_ICMP   1
#define IP_PROTOCOL_TCP    6
#define IP_PROTOCOL_UDP    17
#define IP_PROTOCOL_ICMPV6 58
#define IP_PROTOCOL_TSMP   99 /* "any private encryption scheme": carries Tailscale's TSMP */

#define IP_HEADER_V4 20
#define IP_HEADER_V6 40
#define IP_HOP_LIMIT 64

struct ip_packet {
    struct addr src, dst; /* one family; an IPv6 packet with mapped addresses is refused */
    uint8_t protocol;
    const uint8_t *payload; /* points into the packet */
    size_t payload_len;
    size_t len; /* of the whole packet; bytes after it were padding */
};

/* ip_parse - look at the packet in p. len may be larger than the packet says (WireGuard pads): the rest is cut.
 * Returns 0; ERR_TRUNCATED: shorter than its headers say; ERR_TOO_LARGE: a fragment of something larger;
 * ERR_INVALID: any other fault, IPv4 options and IPv6 extension headers among them. */
int ip_parse(const uint8_t *p, size_t len, struct ip_packet *out);

/* ip_header_len - of the header that ip_header_write writes for this family. */
size_t ip_header_len(const struct addr *any);

/* ip_header_write - a header of ip_header_len bytes for payload_len bytes (header and payload <= 65535).
 * src and dst are of one family. Don't-fragment is set. Returns the header's length. */
size_t ip_header_write(uint8_t *out, const struct addr *src, const struct addr *dst, uint8_t protocol,
                       size_t payload_len);

/* ip_pseudo_sum - the pseudo header as a running checksum (checksum.h). RFC 9293 section 3.1. */
uint64_t ip_pseudo_sum(const struct addr *src, const struct addr *dst, uint8_t protocol, size_t payload_len);

#endif
