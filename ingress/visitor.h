/* visitor.h - a public connection until a node has accepted it: everything about it, and portable between workers.
 *
 * It owns its descriptor, the bytes read so far and its place in the limits. The front makes it, a flow takes it. */
#ifndef INGRESS_VISITOR_H
#define INGRESS_VISITOR_H

#include <stdint.h>
#include <stdio.h>

#include "common/base/addr.h"
#include "common/base/ts.h"
#include "ingress/limits.h"
#include "ingress/probe_offer.h"
#include "ingress/reason.h"

/* What is known of a stream for the access log; it outlives the visitor. */
struct visit {
    uint64_t id;            /* unique in this process */
    uint64_t wall_ns;       /* accepted at */
    ts_t accepted_at;
    ts_t hello_at;          /* name known; 0: never */
    ts_t offered_at;        /* first offer began; 0: never */
    ts_t open_at;           /* node's 101; 0: never */
    struct addrport client; /* by the balancer's word where one is trusted; its address is what the limits count */
    struct addrport listener;
    uint16_t port;          /* public port */
    char *name;             /* owned; NULL until known. What the visitor asked for */
    uint64_t bytes_up, bytes_down;
    struct probe_offer *probe; /* an operator's question and nobody's stream; NULL: a visitor */
};

struct visitor {
    struct visit visit;
    int fd; /* -1: taken */
    struct limits *limits; /* where it is counted; NULL: the flow has taken its place over */
    uint8_t *held; /* bytes read, not yet passed on */
    size_t held_len, held_cap;
    char *route_name;     /* name to look up: the visit's, or the listener's fixed target; owned */
    uint16_t route_port;
    bool tls;             /* an alert makes sense to it */
    unsigned attempt;     /* nodes tried before */
    ts_t deadline;        /* of all offers together */
    enum reason last;     /* why the last attempt failed */
};

/* visitor_new - takes fd and a place in the limits that limits_enter gave. NULL: out of memory, nothing taken. */
struct visitor *visitor_new(int fd, const struct addrport *client, struct limits *limits, ts_t now, uint64_t wall_ns);

/* visitor_hold - room for `more` bytes behind what is held. False: out of memory. */
bool visitor_hold(struct visitor *v, size_t more);

/* visitor_refuse - say the reason's TLS alert where there is one, and close. The visit stays for the log. */
void visitor_refuse(struct visitor *v, enum reason reason);

/* visitor_free - closes what is still open; leaves the limits; NULL allowed. */
void visitor_free(struct visitor *v);

/* visit_log - the access log's line: JSON and a line end, malloc'ed; NULL when out of memory.
 * node, detail  may be NULL */
char *visit_log(const struct visit *visit, enum reason reason, const char *node, const char *target,
                const char *detail, bool client_address, ts_t now);

/* visit_deinit - frees the name. */
void visit_deinit(struct visit *visit);

#endif
