#include "common/base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/base/bug.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct addr addr_v4(const uint8_t bytes[4])
{
    struct addr a;

    memcpy(a.b, mapped, 12);
    memcpy(a.b + 12, bytes, 4);
    return a;
}

struct addr addr_v6(const uint8_t bytes[16])
{
    struct addr a;

    memcpy(a.b, bytes, 16);
    return a;
}

bool addr_is_v4(const struct addr *a)
{
    return memcmp(a->b, mapped, 12) == 0;
}

bool addr_is_none(const struct addr *a)
{
    static const struct addr none;

    return addr_equal(a, &none);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return memcmp(a->b, b->b, 16) == 0;
}

bool addrport_equal(const struct addrport *a, const struct addrport *b)
{
    return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

const uint8_t *addr_v4_bytes(const struct addr *a)
{
    BUG_ON(!addr_is_v4(a));
    return a->b + 12;
}

bool addr_parse(const char *text, size_t len, struct addr *out)
{
    char buf[ADDR_STR];
    uint8_t bytes[16];

    if (len >= sizeof(buf) || memchr(text, 0, len))
        return false;
    memcpy(buf, text, len);
    buf[len] = 0;
    if (inet_pton(AF_INET, buf, bytes) == 1)
        *out = addr_v4(bytes);
    else if (inet_pton(AF_INET6, buf, bytes) == 1)
        *out = addr_v6(bytes);
    else
        return false;
    return true;
}

static bool number_parse(const char *text, size_t len, unsigned max, unsigned *out)
{
    unsigned v = 0;

    if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (unsigned)(text[i] - '0');
    }
    *out = v;
    return v <= max;
}

bool addrport_parse(const char *text, size_t len, struct addrport *out)
{
    const char *colon = len ? memrchr(text, ':', len) : NULL;
    struct addrport ap;
    unsigned port;

    if (!colon)
        return false;
    size_t host = (size_t)(colon - text);
    bool bracketed = host >= 2 && text[0] == '[' && text[host - 1] == ']';

    if (!number_parse(colon + 1, len - host - 1, 65535, &port))
        return false;
    ap.port = (uint16_t)port;
    if (bracketed) {
        if (!memchr(text, ':', host - 1) || !addr_parse(text + 1, host - 2, &ap.addr))
            return false;
    } else if (memchr(text, ':', host) || !addr_parse(text, host, &ap.addr)) {
        return false;
    }
    *out = ap;
    return true;
}

bool prefix_parse(const char *text, size_t len, struct prefix *out)
{
    const char *slash = len ? memchr(text, '/', len) : NULL;
    struct prefix p;
    unsigned bits;

    if (!addr_parse(text, slash ? (size_t)(slash - text) : len, &p.addr))
        return false;
    bool v4 = addr_is_v4(&p.addr);

    bits = v4 ? 32 : 128;
    if (slash && !number_parse(slash + 1, len - (size_t)(slash + 1 - text), bits, &bits))
        return false;
    p.bits = (uint8_t)(bits + (v4 ? 96 : 0));
    for (unsigned i = p.bits; i < 128; i++)
        if (p.addr.b[i / 8] & (0x80 >> (i % 8)))
            return false;
    *out = p;
    return true;
}

bool prefix_holds(const struct prefix *p, const struct addr *a)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;

    if (memcmp(p->addr.b, a->b, whole) != 0)
        return false;
    return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

const char *addr_format(const struct addr *a, char out[ADDR_STR])
{
    bool v4 = addr_is_v4(a);

    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + 12 : a->b, out, ADDR_STR))
        out[0] = 0;
    return out;
}

const char *addrport_format(const struct addrport *ap, char out[ADDRPORT_STR])
{
    char text[ADDR_STR];

    addr_format(&ap->addr, text);
    snprintf(out, ADDRPORT_STR, addr_is_v4(&ap->addr) ? "%s:%u" : "[%s]:%u", text, (unsigned)ap->port);
    return out;
}
