/* endpoint.h - one way to reach a peer from outside the tunnel: where its datagrams come from and go to. */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include "common/base/addr.h"

enum endpoint_kind {
    ENDPOINT_NONE = 0,
    ENDPOINT_UDP = 1,
};

struct endpoint {
    enum endpoint_kind kind;
    struct addrport remote; /* the peer's side */
    struct addr local;      /* our address it was heard on, to answer from the same one; none: let the system choose */
};

#endif
