/* disco.h - disco messages as bytes: how two nodes of a tailnet try out paths between them. Pure functions.
 *
 *      magic (6) | sender's disco key (32) | nonce (24) | box: type (1), version (1), fields
 *
 * The box is NaCl's between the two disco keys; who is allowed to send is the caller's to know, and to look up before
 * any of this is opened. Bytes behind what is known are ignored, as are unknown types: later versions add to the end. */
#ifndef TAILNET_DISCO_H
#define TAILNET_DISCO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/crypto/box.h"

#define DISCO_KEY_BYTES     32
#define DISCO_TXID_BYTES    12
#define DISCO_HEADER_BYTES  62 /* before the box */
#define DISCO_ENDPOINTS_MAX 32 /* of a call-me-maybe that are looked at, and most that are sent */
#define DISCO_BYTES_MAX     (DISCO_HEADER_BYTES + BOX_TAG_BYTES + 2 + DISCO_ENDPOINTS_MAX * 18) /* of what we make */

/* A pong for a ping that came over DERP names this in place of an address, with the region as its port. */
#define DISCO_DERP_ADDRESS {127, 3, 3, 40}

enum disco_type {
    DISCO_PING = 1,
    DISCO_PONG = 2,
    DISCO_CALL_ME_MAYBE = 3, /* "I have pinged you from these endpoints, ping them": by DERP only */
    DISCO_OTHER = 255,       /* a relay's, or of the future: authentic, and to be ignored */
};

struct disco_message {
    enum disco_type type;
    uint8_t txid[DISCO_TXID_BYTES]; /* ping, pong */
    bool has_node_key;              /* ping */
    uint8_t node_key[DISCO_KEY_BYTES];
    struct addrport source; /* pong: where its sender saw the ping come from */
    struct addrport endpoints[DISCO_ENDPOINTS_MAX]; /* call-me-maybe */
    size_t endpoints_count;
};

/* disco_looks_like - long enough, with the magic. */
bool disco_looks_like(const uint8_t *datagram, size_t len);

/* disco_sender - the disco key a packet that looks like disco names as its sender's. */
const uint8_t *disco_sender(const uint8_t *datagram);

/* disco_open - open and read. shared: box_shared of our private and the sender's public disco key. False: not authentic,
 * or too short for its type. */
bool disco_open(const uint8_t *datagram, size_t len, const uint8_t shared[BOX_KEY_BYTES], struct disco_message *out);

/* disco_parse - what stands in the box; disco_open calls it. */
bool disco_parse(const uint8_t *plaintext, size_t len, struct disco_message *out);

/* disco_seal - the packet of a message into out (DISCO_BYTES_MAX bytes); returns its length. */
size_t disco_seal(uint8_t *out, const struct disco_message *message, const uint8_t sender[DISCO_KEY_BYTES],
                  const uint8_t nonce[BOX_NONCE_BYTES], const uint8_t shared[BOX_KEY_BYTES]);

#endif
