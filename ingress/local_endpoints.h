/* local_endpoints.h - where our WireGuard sockets can be reached from the same network: for the coordination server, which
 * tells the nodes. What a NAT makes of them STUN finds out (underlay.h). */
#ifndef INGRESS_LOCAL_ENDPOINTS_H
#define INGRESS_LOCAL_ENDPOINTS_H

#include "common/tailnet/control.h"

/* local_endpoints - of the configured listen addresses those that name one, and for "0.0.0.0" and "::" the machine's
 * addresses of that family. At most cap; returns how many. A port of 0 stays 0. */
size_t local_endpoints(const struct addrport *listen, size_t listen_count, const struct addr *machine,
                       size_t machine_count, struct control_endpoint *out, size_t cap);

#endif
