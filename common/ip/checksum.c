/* checksum.c - the ones' complement sum may be formed in any word size and byte order as long as carries come back in
 * at the low end (RFC 1071 section 2): here in 64-bit words of the machine's own order, swapped once at the end. */
#include "common/ip/checksum.h"

#include <string.h>

#include "common/base/bytes.h"

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t s = a + b;

    return s + (s < a);
}

static uint64_t word(const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (; len >= 32; p += 32, len -= 32) {
        uint64_t a = add(word(p), word(p + 8)), b = add(word(p + 16), word(p + 24));

        sum = add(sum, add(a, b));
    }
    for (; len >= 8; p += 8, len -= 8)
        sum = add(sum, word(p));
    if (len > 0) {
        uint64_t last = 0;

        memcpy(&last, p, len); /* missing bytes count as zero */
        sum = add(sum, last);
    }
    return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
    uint16_t native;

    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    native = (uint16_t)~sum;
    return be16_get(&native);
}
