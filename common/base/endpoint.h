/* endpoint.h - one way to reach a peer from outside the tunnel: where its datagrams come from and go to.
 *
 * A peer is reached by UDP, or through a relay (DERP) that knows it by its node key: in the region it is connected to.
 * Both are 34 bytes, so that the one is as cheap to carry as the other. */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include "common/base/addr.h"

#define ENDPOINT_KEY_BYTES 32
#define ENDPOINT_STR       80 /* longest text, with its zero */

enum endpoint_kind {
    ENDPOINT_NONE = 0,
    ENDPOINT_UDP = 1,
    ENDPOINT_DERP = 2,
};

struct endpoint {
    enum endpoint_kind kind;
    union {
        struct { /* ENDPOINT_UDP */
            struct addrport remote; /* the peer's side */
            struct addr local; /* our address it was heard on, to answer from the same one; none: let the system choose */
        };
        struct {                             /* ENDPOINT_DERP */
            uint8_t key[ENDPOINT_KEY_BYTES]; /* the node's */
            uint16_t region;
        };
    };
};

/* endpoint_equal - the same way, the local address included. */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* endpoint_same_remote - the same way for the peer: our own address may differ. */
bool endpoint_same_remote(const struct endpoint *a, const struct endpoint *b);

struct endpoint endpoint_derp(const uint8_t key[ENDPOINT_KEY_BYTES], uint16_t region);

/* endpoint_format - "192.0.2.1:41641", "derp-7", or "" for none; returns out. */
const char *endpoint_format(const struct endpoint *e, char out[ENDPOINT_STR]);

#endif
