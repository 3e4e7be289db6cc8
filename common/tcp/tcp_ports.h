/* tcp_ports.h - own ports for active opens, kept apart for each (own address, remote address and port).
 *
 * A peer remembers a closed connection for a while and answers its four-tuple with a reset, so a port that was used
 * towards one place rests before it is used for the same place again. Ports are taken in this order:
 *   1. one that rested so long (TCP_PORTS_REST_LONG times the rest) that it is as good as new: this keeps the list of
 *      resting ports as short as the recent traffic, instead of the whole range for ever;
 *   2. one that was never used, upwards from a random one;
 *   3. the one that rested longest, if it rested long enough.
 * What is known of a place is forgotten when nothing is in use and everything rested. RFC 6056 section 3. */
#ifndef TCP_TCP_PORTS_H
#define TCP_TCP_PORTS_H

#include "common/base/addr.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/base/ts.h"

#define TCP_PORTS_REST_LONG 4

struct tcp_ports {
    struct map places;
    struct list idle; /* places with nothing in use, least recently used first */
    struct map_seed seed;
    struct rng *rng; /* borrowed */
    uint16_t first, last;
    uint64_t rest_ns;
};

/* tcp_ports_init - ports first..last (both included, first > 0), each resting rest_ns after its use. */
void tcp_ports_init(struct tcp_ports *p, uint16_t first, uint16_t last, uint64_t rest_ns, struct rng *rng);
void tcp_ports_deinit(struct tcp_ports *p);

/* tcp_ports_take - a port of ours towards `remote`; > 0, or ERR_NO_PORTS, ERR_NOMEM. */
int tcp_ports_take(struct tcp_ports *p, const struct addr *local, const struct addrport *remote, ts_t now);

/* tcp_ports_put - it is not in use any more, since now; it must have been taken. */
void tcp_ports_put(struct tcp_ports *p, const struct addrport *local, const struct addrport *remote, ts_t now);

/* tcp_ports_places - how many places are remembered. */
size_t tcp_ports_places(const struct tcp_ports *p);

#endif
