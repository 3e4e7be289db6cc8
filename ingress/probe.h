/* probe.h - walks the way of a visitor for an operator and tells each step: feed, session, connect, offer.
 *
 *      feed                      who has the name, and whether it may be offered on this port
 *      for each such node and each family it can be dialled over:
 *          session               WireGuard: kept, or made now
 *          connect               inner TCP to the peerapi (or to the target's port, with the tcp transport)
 *          offer                 the request and the node's answer; an accepted stream is closed at once
 *
 * The offers travel as visitors do (probe_offer.h), on the sessions that visitors use. A walk lives on the thread that
 * owns the workers' common mailbox; it outlives a reload, but its later offers follow the new feed.
 *
 * A step is a JSON object: "step", "status" ("ok", "failed", or "note": not to be judged), "ms", "text" for people,
 * and where they apply "node", "family" (4 or 6), "reason" and "advice". SHELL. */
#ifndef INGRESS_PROBE_H
#define INGRESS_PROBE_H

#include <jansson.h>

#include "ingress/probe_offer.h"
#include "ingress/worker.h"

#define PROBE_NAME_MAX 253

/* Whom a node is told to be asked for when the operator names nobody: TEST-NET-1, RFC 5737. */
#define PROBE_SOURCE "192.0.2.1"

struct probe_request {
    char name[PROBE_NAME_MAX + 1]; /* canonical: lower case, no last dot */
    uint16_t port;                 /* the public one */
    struct addrport source;        /* whom the node takes the visitor for */
    uint64_t call_ns;              /* a node without a known endpoint has at least this long to call; else, and if that
                                    * is longer, an offer has the configured offer.timeout */
};

/* probe_request_read - from the parts an operator gives; source NULL: PROBE_SOURCE. call_ns becomes 0. Returns NULL, or
 * what is wrong. */
const char *probe_request_read(struct probe_request *out, const char *name, unsigned long long port,
                               const char *source);

/* probe_step - a step as described above; reason REASON_OK leaves reason and advice out. NULL: out of memory. */
json_t *probe_step(const char *step, const char *status, double ms, enum reason reason, const char *text);

struct probe;

/* What the asker hears. */
struct probe_listener {
    /* a step, borrowed for the call */
    void (*step)(void *ctx, const json_t *step);
    /* after the last one; the probe may be freed from here */
    void (*done)(void *ctx, bool passed);
    void *ctx;
};

/* probe_new - begins with its first step when probe_start is called, from there all through the listener.
 * workers     who own the nodes; borrowed
 * generation  a reference is taken
 * NULL: out of memory. */
struct probe *probe_new(struct loop *loop, struct workers *workers, struct generation *generation,
                        const struct probe_request *request, const struct probe_listener *listener);
void probe_start(struct probe *probe, ts_t now);

/* probe_id - what its offers carry as `walk`; unique in the process. */
uint64_t probe_id(const struct probe *probe);

/* probe_answer - one of its offers is back (borrowed). May call step and done. */
void probe_answer(struct probe *probe, const struct probe_offer *offer, ts_t now);

/* probe_free - at any time; an offer still out is let go by whoever gets it. NULL allowed. */
void probe_free(struct probe *probe);

#endif
