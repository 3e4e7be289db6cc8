/* tcp_isn.h - where a connection's sequence numbers and timestamps start. RFC 6528, RFC 7323 section 5.4. */
#ifndef TCP_TCP_ISN_H
#define TCP_TCP_ISN_H

#include "common/base/addr.h"
#include "common/base/map.h"
#include "common/base/ts.h"

/* tcp_isn - M + F(local, remote, secret): guessing needs the secret, and a new connection of the same four-tuple starts
 * beyond the old one because M ticks every 4 us. */
uint32_t tcp_isn(const struct map_seed *secret, const struct addrport *local, const struct addrport *remote, ts_t now);

/* tcp_ts_offset - what is added to our millisecond clock for this pair of hosts: the same for all of their connections,
 * so that a timestamp can tell a new connection from an old one's segment (RFC 6191). */
uint32_t tcp_ts_offset(const struct map_seed *secret, const struct addr *local, const struct addr *remote);

#endif
