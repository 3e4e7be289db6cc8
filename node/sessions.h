/* sessions.h - one tunnel peer for each ingress of the configuration, kept reachable.
 *
 * While an ingress has no session, its endpoint is looked up and called again and again, ever more slowly; so an
 * address that changed, a name that does not resolve yet or an ingress that is down for a day all end the same way.
 * While there is one, WireGuard's own timers and the keepalive do the rest. */
#ifndef NODE_SESSIONS_H
#define NODE_SESSIONS_H

#include "common/base/list.h"
#include "common/net/resolver.h"
#include "common/tunnel/tunnel.h"
#include "node/setup.h"

struct sessions {
    struct loop *loop;
    struct tunnel *tunnel;
    struct resolver *resolver;
    struct rng *rng;
    const struct setup *identity; /* whose key and addresses are ours; those of the start */
    struct setup *setup;          /* whose ingresses are up; counted; NULL before the first apply */
    struct list all;
    bool v4, v6; /* families there is a UDP socket for */
};

/* sessions_init - no session yet. identity must outlive the sessions. */
void sessions_init(struct sessions *sessions, struct loop *loop, struct tunnel *tunnel, struct resolver *resolver,
                   struct rng *rng, const struct setup *identity, bool v4, bool v6);
/* sessions_apply - have exactly the ingresses of this configuration. Those that are in both go on with their streams;
 * one whose preshared key or addresses changed begins anew, and one that is gone ends with all its streams. */
void sessions_apply(struct sessions *sessions, struct setup *setup, ts_t now);
/* sessions_event - TUNNEL_EVENT_UP, DOWN, GAVE_UP of a peer. */
void sessions_event(struct sessions *sessions, const struct tunnel_event *event, ts_t now);
/* sessions_deinit - forget every peer; streams end. */
void sessions_deinit(struct sessions *sessions, ts_t now);

#endif
