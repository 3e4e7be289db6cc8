/* tcp_isn.c - RFC 6528 section 3 with SipHash as F. */
#include "common/tcp/tcp_isn.h"

#include <string.h>

#include "common/base/bytes.h"

#define TICK_NS (4 * TS_US) /* RFC 9293 section 3.4.1 */

uint32_t tcp_isn(const struct map_seed *secret, const struct addrport *local, const struct addrport *remote, ts_t now)
{
    uint8_t key[36];

    memcpy(key, local->addr.b, 16);
    memcpy(key + 16, remote->addr.b, 16);
    be16_put(key + 32, local->port);
    be16_put(key + 34, remote->port);
    return (uint32_t)(map_hash(secret, key, sizeof(key)) + now / TICK_NS);
}

uint32_t tcp_ts_offset(const struct map_seed *secret, const struct addr *local, const struct addr *remote)
{
    uint8_t key[32];

    memcpy(key, local->b, 16);
    memcpy(key + 16, remote->b, 16);
    return (uint32_t)map_hash(secret, key, sizeof(key));
}
