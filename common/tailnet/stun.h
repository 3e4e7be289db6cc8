/* stun.h - the one exchange of STUN (RFC 8489) that tells us how the world sees our socket. Pure functions.
 *
 * Tailscale's servers answer only requests of exactly this form: SOFTWARE "tailnode", then FINGERPRINT. */
#ifndef TAILNET_STUN_H
#define TAILNET_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

#define STUN_TXID_BYTES    12
#define STUN_REQUEST_BYTES 40

/* stun_looks_like - a STUN message of some kind, of the "binding" method. */
bool stun_looks_like(const uint8_t *datagram, size_t len);

void stun_request(uint8_t out[STUN_REQUEST_BYTES], const uint8_t txid[STUN_TXID_BYTES]);

/* stun_answer_parse - a success response with an address in it. The caller knows its requests by txid. */
bool stun_answer_parse(const uint8_t *datagram, size_t len, uint8_t txid[STUN_TXID_BYTES], struct addrport *mapped);

#endif
