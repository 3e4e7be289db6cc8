/* link.h - a connected node: its peer in the tunnel, its row in the feed, the flows that reach it. One worker's.
 *
 * Configured nodes are rows of the route table and nothing else; a link is made when the first visitor is offered or
 * when the node calls. From then on the table's writer tells the worker what becomes of the row, by mail: the link goes
 * on with the new one, or it is retired. A retired link gets no new offers and lives until its last flow has ended
 * and the node has been told so. SHELL (no I/O of its own, but of the worker's world). */
#ifndef INGRESS_LINK_H
#define INGRESS_LINK_H

#include "ingress/worker.h"

struct link {
    union {
        struct map_node by_id;  /* of the worker's links */
        struct list of_retired; /* retired: of those */
    };
    struct worker *worker;
    struct generation *generation;   /* whose identity it has; with a reference */
    const struct route_node *row;    /* with a reference */
    struct tunnel_peer *peer;
    uint8_t identity[WG_KEY_BYTES]; /* ours */
    struct flow *flows;             /* list through flow->link_next */
    size_t flows_count;
    struct timer expiry;            /* among the worker's, in Unix seconds */
    struct warm_node *warm;         /* connections opened ahead to its peerapi; NULL: none were wanted yet */
    bool retired;
    bool guided; /* disco says where it is sent to: no keepalives, which would keep its paths warm for ever */
    bool direct; /* … and that is by UDP alone */
    bool lost;   /* an initiation found no relay, and there was no session since */
};

/* link_get - the link of a row out of worker_routes, made if there is none. NULL and *err; ERR_NOT_FOUND: the node has
 * just left the table. */
struct link *link_get(struct worker *worker, const struct route_node *row, int *err, ts_t now);

/* link_event - a session came up or went: logged. */
void link_event(struct link *link, enum tunnel_event_kind kind, ts_t now);

/* link_lost - an initiation found no relay: the next one goes as soon as there is a direct way. */
void link_lost(struct worker *worker, const struct sending_mail *lost, ts_t now);

/* link_guide - disco has found out where a node is to be sent to; does nothing if there is no link. */
void link_guide(struct worker *worker, const struct way_mail *way, ts_t now);

/* link_flows_max - how many flows a node may have. */
size_t link_flows_max(const struct worker *worker, const struct route_node *row);

/* link_take - a connection opened ahead of the visitor who is here now; NULL: none, dial. */
struct tcp_conn *link_take(struct link *link, ts_t now);

/* link_accepted - the node took a visitor's offer over that family: more of them may come soon. */
void link_accepted(struct link *link, bool v4, ts_t now);

/* link_stale - a connection that link_take gave was dead: the others will be too. */
void link_stale(struct link *link, ts_t now);

/* link_put - a flow has left it, which may have been the last of a retired link. */
void link_put(struct link *link, ts_t now);

/* links_changed, links_removed, links_revoked - what became of a node, by one of its rows (a reference, taken). Nodes
 * without a link are ignored. */
void links_changed(struct worker *worker, const struct route_node *row, ts_t now);
void links_removed(struct worker *worker, const struct route_node *row, ts_t now);
void links_revoked(struct worker *worker, const struct route_node *row, ts_t now);

/* links_call - a connected node was there (taken) before the restart: call it. */
void links_call(struct worker *worker, struct call_mail *mail, ts_t now);

/* links_generation - the worker has a new generation: keep, refresh or retire each link. */
void links_generation(struct worker *worker, ts_t now);

/* links_sweep - what a withdrawn opt-in does, for nodes that expired meanwhile; and retired links go that are over. */
void links_sweep(struct worker *worker, ts_t now);

/* links_free - at the end, when no flow is left. */
void links_free(struct worker *worker, ts_t now);

#endif
