/* addr.h - IP addresses, ports and prefixes, without sockets.
 *
 * An address is always 16 bytes; IPv4 is kept as its mapped form ::ffff:a.b.c.d, so equality and hashing need no
 * family, and a visitor that came over a dual-stack socket is the same one as over IPv4. All zero means "none".
 * RFC 4291 section 2.5.5.2; text form RFC 5952. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr {
    uint8_t b[16];
};

struct addrport {
    struct addr addr;
    uint16_t port; /* host order */
};

/* prefix: the first `bits` of addr; for IPv4 bits counts from the mapped form (a /24 is 120) */
struct prefix {
    struct addr addr;
    uint8_t bits;
};

#define ADDR_STR     46 /* longest text of an address, with its zero */
#define ADDRPORT_STR 54 /* "[address]:65535", with its zero */
#define PREFIX_STR   50

struct addr addr_v4(const uint8_t bytes[4]);
struct addr addr_v6(const uint8_t bytes[16]); /* a mapped one is IPv4 from then on */
bool addr_is_v4(const struct addr *a);
bool addr_is_none(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addrport_equal(const struct addrport *a, const struct addrport *b);

/* addr_v4_bytes - the 4 bytes of an IPv4 address; only where addr_is_v4. */
const uint8_t *addr_v4_bytes(const struct addr *a);

/* addr_parse - "192.0.2.1" or "2001:db8::1" (no brackets, no zone). False: not an address. */
bool addr_parse(const char *text, size_t len, struct addr *out);

/* addrport_parse - "192.0.2.1:443" or "[2001:db8::1]:443"; port 0 is allowed. */
bool addrport_parse(const char *text, size_t len, struct addrport *out);

/* prefix_parse - "10.0.0.0/8", "2001:db8::/32", or a single address. Host bits must be zero. */
bool prefix_parse(const char *text, size_t len, struct prefix *out);
bool prefix_holds(const struct prefix *p, const struct addr *a);

/* *_format - text with its zero into out; returns out. */
const char *addr_format(const struct addr *a, char out[ADDR_STR]);
const char *addrport_format(const struct addrport *ap, char out[ADDRPORT_STR]);

#endif
