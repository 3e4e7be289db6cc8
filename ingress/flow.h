/* flow.h - a visitor on the worker that owns its node: the offer, then the stream. SHELL.
 *
 *      OFFER  --101-->  STREAM (relay)  -->  ended
 *        |  failed: the next node of the name, or the reason's alert
 *
 * Until the 101 it holds the visitor, which can still move to another worker; after it only what the stream and the
 * access log need. */
#ifndef INGRESS_FLOW_H
#define INGRESS_FLOW_H

#include "ingress/link.h"
#include "ingress/offer.h"
#include "ingress/worker.h"

struct flow {
    union {
        struct { /* OFFER */
            struct visitor *visitor;
            struct offer *offer;
            struct loop_timer deadline;
            ts_t until; /* time is up then; the deadline may come before, to look after it */
        };
        struct relay relay; /* STREAM */
    };
    struct worker *worker;
    struct flow *next, *prev;           /* of the worker */
    struct link *link;
    struct flow *link_next, *link_prev; /* of the link */
    struct visit visit;                 /* STREAM: for the log */
    enum reason ending;                 /* why relay_stop was called */
    bool streaming;                     /* STREAM, else OFFER */
    char target[];                      /* what was offered, "name:port" */
};

/* flow_start - offer the visitor (taken) to the candidate's node, whose row is of the worker's generation.
 * left  candidates that could still be tried, this one included: they share the time that is left */
void flow_start(struct worker *worker, struct visitor *visitor, const struct route_candidate *candidate, size_t left,
                ts_t now);

/* flow_event - an event of one of its inner connections. */
void flow_event(struct flow *flow, const struct tcp_event *event, ts_t now);

/* flow_stop - end it now. */
void flow_stop(struct flow *flow, enum reason reason, ts_t now);

#endif
