/* proxy.h - the PROXY protocol, versions 1 and 2, both ways: who the visitor of a forwarded connection is.
 *
 * Source: "The PROXY protocol", versions 1 and 2, haproxy.org, sections 2.1 and 2.2. Only TCP over IPv4 and IPv6
 * carries addresses here; every other family is accepted and means "no addresses". Type-length values are stepped
 * over. */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

#define PROXY_V1_BYTES      107  /* longest version 1 line, its end included (section 2.1) */
#define PROXY_MAX_BYTES     4096 /* longer version 2 headers are refused; the format would allow 65551 */
#define PROXY_AUTHORITY_MAX 255  /* longest host name in PP2_TYPE_AUTHORITY (section 2.2.2) */

enum proxy_result {
    PROXY_NEED_MORE = 0, /* a valid beginning */
    PROXY_OK,
    PROXY_BAD, /* no PROXY header, a broken one, or one above PROXY_MAX_BYTES */
};

struct proxy_header {
    bool local; /* LOCAL, UNKNOWN or a family without IP addresses: take the connection's own addresses */
    struct addrport src, dst; /* unless local */
    size_t consumed;          /* bytes of the header; the stream begins after them */
};

/* proxy_parse - the header at the start of a connection. Pure: call again with all bytes when more came.
 * data is borrowed for this call; *out is written with PROXY_OK only. A verdict other than PROXY_NEED_MORE is final
 * for every longer prefix of the same stream, and given by PROXY_MAX_BYTES at the latest. */
enum proxy_result proxy_parse(const uint8_t *data, size_t len, struct proxy_header *out);

/* proxy_v1_write - the text header. One IPv4 and one IPv6 address are both written as IPv6. A source of "none" is
 * written as UNKNOWN. Returns bytes written (no terminating zero), 0 when cap is too small: PROXY_V1_BYTES + 1 is
 * always enough. */
size_t proxy_v1_write(char *out, size_t cap, const struct addrport *src, const struct addrport *dst);

/* proxy_v2_write - the binary header. Families as above; a source of "none" is written as LOCAL.
 * authority   the host name the visitor asked for, as PP2_TYPE_AUTHORITY; may be NULL; left out when longer than
 *             PROXY_AUTHORITY_MAX
 * Returns bytes written, 0 when cap is too small: PROXY_V2_WRITE_BYTES is always enough. */
#define PROXY_V2_WRITE_BYTES (16 + 36 + 3 + PROXY_AUTHORITY_MAX)
size_t proxy_v2_write(uint8_t *out, size_t cap, const struct addrport *src, const struct addrport *dst,
                      const char *authority, size_t authority_len);

#endif
