#include "common/tailnet/datagram.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/tailnet/disco.h"
#include "common/tailnet/stun.h"

#define GENEVE_BYTES     8
#define GENEVE_DISCO     0x7a11 /* protocol types of Tailscale's peer relays */
#define GENEVE_WIREGUARD 0x7a12

/* version 0, no options, no flags but "control", reserved bits and bytes zero: RFC 8926 section 3.4 */
static bool is_relay(const uint8_t *d, size_t len)
{
    if (len < GENEVE_BYTES || d[0] != 0 || (d[1] & 0x7f) != 0 || d[7] != 0)
        return false;
    uint16_t protocol = be16_get(d + 2);

    return protocol == GENEVE_DISCO || protocol == GENEVE_WIREGUARD;
}

enum datagram_kind datagram_kind(const uint8_t *d, size_t len)
{
    if (len >= 4 && le32_get(d) - 1 < 4) /* types 1 to 4 with three zeros behind: nothing else begins so */
        return DATAGRAM_WIREGUARD;
    if (stun_looks_like(d, len))
        return DATAGRAM_STUN;
    if (is_relay(d, len))
        return DATAGRAM_RELAY;
    if (disco_looks_like(d, len))
        return DATAGRAM_DISCO;
    return DATAGRAM_WIREGUARD;
}
