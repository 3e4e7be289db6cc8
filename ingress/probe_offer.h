/* probe_offer.h - an offer that an operator asks for: it goes a visitor's whole way without a socket, and how it went
 * comes back to the main thread instead of the access log.
 *
 * It hangs in a visitor (visit.probe) that is in nobody's limits, is offered to one node only, and is let go with the
 * node's 101. Whoever ends the visit (worker_end_visit) sends it home. */
#ifndef INGRESS_PROBE_OFFER_H
#define INGRESS_PROBE_OFFER_H

#include "common/base/addr.h"
#include "common/base/ts.h"
#include "ingress/reason.h"
#include "ingress/route/route.h"

#define PROBE_TEXT 320 /* a name or a node's words, with its zero */

struct probe_offer {
    uint64_t walk;     /* which probe asked */
    unsigned families; /* OFFER_V4, OFFER_V6 or both */
    ts_t started_at;
    /* how it went */
    enum reason reason; /* REASON_OK: 101 */
    ts_t handshake_at;  /* of the session in use; 0: there was none */
    ts_t connected_at;  /* the node answered the SYN; 0: never */
    bool connected_v4;
    ts_t ended_at;
    struct addrport endpoint; /* where the node was heard from; port 0: nowhere */
    char node[ROUTE_ID_MAX + 1];
    char target[PROBE_TEXT]; /* what was offered */
    char detail[PROBE_TEXT]; /* what the node said */
};

#endif
