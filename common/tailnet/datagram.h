/* datagram.h - what a datagram on the one UDP socket of a tailnet node is, by its first bytes alone.
 *
 * WireGuard, disco and STUN share the socket, so that a NAT has one mapping for all of them. The looks decide: what
 * looks like disco or STUN is never handed to WireGuard, whether or not it turns out to be authentic. */
#ifndef TAILNET_DATAGRAM_H
#define TAILNET_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

enum datagram_kind {
    DATAGRAM_WIREGUARD = 0, /* or noise: WireGuard knows */
    DATAGRAM_DISCO,
    DATAGRAM_STUN,  /* an answer to a binding request, or another message of that class */
    DATAGRAM_RELAY, /* Geneve of a peer relay (RFC 8926): we never ask for one, so it is to be dropped */
};

enum datagram_kind datagram_kind(const uint8_t *datagram, size_t len);

#endif
