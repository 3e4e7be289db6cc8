/* offers.h - the peerapi: connections that ingresses open through the tunnel, each with offers and then one stream.
 *
 *     READING    waiting for a request; refusals are answered and the next request waited for
 *     DIALING    the request is fine: connecting to the local service. A dead one is a 502, not an accepted stream
 *                that ends at once (docs/decisions/0020)
 *     STREAMING  the 101 is out; a relay moves the bytes
 *
 * Only known ingresses get here: the tunnel has no other peers. Still everything is bounded: connections, the time
 * without a request, the bytes of one. What an ingress sends before our 101 is thrown away, as stock nodes do. */
#ifndef NODE_OFFERS_H
#define NODE_OFFERS_H

#include "common/base/list.h"
#include "common/net/resolver.h"
#include "common/tcp/tcp.h"
#include "node/setup.h"

#define OFFERS_MAX 8192 /* connections at once, of all ingresses; more are reset */

struct offers {
    struct loop *loop;
    struct tcp_stack *tcp;
    struct resolver *resolver;
    struct setup *setup; /* of new offers; counted */
    const struct addr *own; /* our addresses: what a Host header may name */
    size_t own_count;
    uint16_t port;
    struct list all;
    size_t count;
    uint64_t last_id;
    struct log_limit refused; /* lines about refusals */
    bool draining; /* no new offers */
};

/* offers_init - listen on the peerapi port of `setup`, whose own addresses must outlive the offers. Returns 0 or what
 * tcp_listen says. */
int offers_init(struct offers *offers, struct loop *loop, struct tcp_stack *tcp, struct resolver *resolver,
                struct setup *setup);
/* offers_setup - offers from now on follow this configuration. */
void offers_setup(struct offers *offers, struct setup *setup);
/* offers_event - an event of any inner connection. */
void offers_event(struct offers *offers, const struct tcp_event *event, ts_t now);
/* offers_drain - take no more connections and drop those without a stream; streams go on. */
void offers_drain(struct offers *offers, ts_t now);
/* offers_stop - after offers_drain: end the streams too. Their memory goes with the loop's next turns: wait until count
 * is 0. */
void offers_stop(struct offers *offers, ts_t now);
/* offers_deinit - count must be 0. */
void offers_deinit(struct offers *offers);

#endif
