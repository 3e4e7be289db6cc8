/* worker.h - one event loop with everything that lives on it. Workers share nothing but counts (limits) and mail.
 *
 *      listeners -> front --visitor--> (mail to the owner) -> flow -> offer -> relay
 *                                                              |
 *      UDP sockets <-> tunnel <-> link (a connected node) <----+
 *
 * A node belongs to the worker of its shard (shard mod workers); so do its session, its inner connections and the
 * sockets that reach it. A visitor accepted elsewhere is mailed to that worker once its name is known; a datagram
 * that landed elsewhere is mailed too. SHELL. */
#ifndef INGRESS_WORKER_H
#define INGRESS_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/bucket.h"
#include "common/base/map.h"
#include "common/net/loop.h"
#include "common/net/udp.h"
#include "common/relay/relay.h"
#include "common/tunnel/tunnel.h"
#include "ingress/disco_filter.h"
#include "ingress/generation.h"
#include "ingress/limits.h"
#include "ingress/mailbox.h"
#include "ingress/route/route_table.h"
#include "ingress/visitor.h"
#include "ingress/warm.h"

#define WORKERS_MAX 64

/* Mail between workers and the server's main thread; `data` belongs to the receiver. */
enum mail_kind {
    /* to a worker */
    MAIL_GENERATION = 1,  /* struct generation with a reference: use this from now on */
    MAIL_LISTENER,        /* struct listener_mail: listen on this one too */
    MAIL_VISITOR,         /* struct visitor: yours to offer */
    MAIL_DATAGRAM,        /* struct datagram_mail: it is for one of your nodes */
    MAIL_HALF,            /* struct wg_half: an initiation of one of your nodes */
    MAIL_CLOSE_LISTENERS, /* take what waits, then close */
    MAIL_STAMP,           /* uint64_t: the floor of initiation stamps, ns */
    MAIL_SAMPLE,          /* struct metrics_mail: fill it and send it back */
    MAIL_WAY,             /* struct way_mail: where a node of a tailnet is sent to from now on */
    MAIL_LOST,            /* struct sending_mail: an initiation to that node went to a relay that is not there */
    MAIL_ASK,             /* nothing: who waits for a way may be known now, so ask (MAIL_SENDING) again */
    MAIL_NODE_CHANGED,    /* a row of one of your nodes (a reference): the table has another one now */
    MAIL_NODE_REMOVED,    /* likewise: the node is no longer in the feed */
    MAIL_NODE_REVOKED,    /* likewise: it was withdrawn */
    MAIL_CALL,            /* struct call_mail: one of your nodes was there before the restart */
    MAIL_STOP,            /* end everything now */
    /* to the server */
    MAIL_READY,  /* struct worker: it has taken over its generation; or listeners closed */
    MAIL_EMPTY,  /* struct worker: draining, and the last visitor is gone */
    MAIL_PROBED, /* struct probe_offer: how it went */
    MAIL_SAMPLED, /* struct metrics_mail: filled */
    MAIL_UNDERLAY, /* struct datagram_mail: disco or STUN, from its `from` */
    MAIL_RELAY,    /* struct datagram_mail: WireGuard to its `from`, through a relay */
    MAIL_SENDING,  /* struct sending_mail: that node is sent to, or would be */
    MAIL_HEARD,   /* struct call_mail: a session with the node came up from there */
};

/* A node and where it was heard from; the node's row with a reference. */
struct call_mail {
    const struct route_node *node;
    struct addrport at;
};

struct listener_mail {
    int fd; /* -1: held already, named again by this generation */
    uint32_t generation;
    char address[ADDRPORT_STR];
};

struct datagram_mail {
    struct endpoint from;
    size_t len;
    uint8_t bytes[];
};

struct way_mail {
    uint8_t key[WG_KEY_BYTES];
    size_t count; /* of to */
    struct endpoint to[TUNNEL_WAYS_MAX];
};

struct sending_mail {
    uint8_t key[WG_KEY_BYTES];
    bool lost; /* its link holds no way: it is new, or what it was told did not arrive */
};

struct workers; /* all of them, see below */

struct worker {
    unsigned index;
    struct workers *all;
    pthread_t thread;
    struct loop loop;
    struct rng rng;
    struct mailbox *mailbox;
    struct generation *generation;
    struct route_reader reader; /* of the table of nodes; see worker_routes */
    struct relay_config relay;
    struct pool pool;   /* chunks of the inner TCP's queues */
    struct pool offers; /* each as long as it takes to hear an answer */
    struct tunnel *tunnel;
    struct loop_poll udp[2]; /* [1]: IPv4 */
    int udp_fd[2];           /* -1: none */
    struct udp_receiver receiver;
    ts_t received_at; /* of the datagrams being read */
    struct udp_sender sender;
    struct front *front;
    struct warm_pool warm;
    struct map links; /* of nodes with a peer, by feed id */
    struct map_seed seed;
    struct flow *flows;
    size_t flows_count;
    uint8_t identities[WG_IDENTITIES_MAX][WG_KEY_BYTES]; /* public keys that the tunnel answers to */
    size_t identities_count;
    struct list retired; /* links that left the map and still have flows, or an end to say */
    struct loop_timer sweep; /* looks for expired nodes */
    struct timerq expiries;  /* of links, in Unix seconds: looking at 100,000 each time would stop everything else */
    bool draining, stopping;
    uint64_t ended[REASON_COUNT]; /* visitors by how they ended */
    uint64_t bytes_up, bytes_down;  /* of ended streams */
    uint64_t handshakes, handshake_ns[2]; /* how many, and what one takes where it lands; [1]: and when it was mailed */
    uint64_t foreign, unknown_keys; /* datagrams mailed on; initiations of keys that no node has */
    struct bucket underlay; /* how much disco and STUN it hands to the main thread */
    uint64_t underlay_dropped;
};

/* What all workers share. */
struct workers {
    struct worker *list;
    unsigned count;
    struct route_table *routes; /* which nodes there are; the main thread writes it */
    struct limits *limits;
    struct wg_load *load; /* WireGuard's limits hold for all of them together */
    struct mailbox *server; /* mail to the main thread */
    struct access_log *access;
    struct disco_filter disco_keys; /* of the tailnet's nodes */
    atomic_bool tailnet; /* disco and STUN come to the UDP sockets too, and nodes may be reached through relays */
    uint8_t cookie_seed[32]; /* so that any worker honours any other's WireGuard cookies */
};

/* worker_init - set up. Takes a reference of generation and the descriptors (-1: none). 0 or a negative code: then the
 * process can't serve and should end. */
int worker_init(struct worker *worker, struct workers *all, unsigned index, struct generation *generation, int udp4,
                int udp6);
/* worker_start - run in a thread of its own, once every worker is set up, for they post to one another from the first
 * datagram on. A MAIL_READY follows each MAIL_GENERATION. 0 or -errno. */
int worker_start(struct worker *worker);
/* worker_join - after MAIL_STOP: wait for its thread. worker_free - once every worker is joined, for they post to one
 * another to the end: take it apart on this thread. */
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

/* worker_routes - the table of nodes, to look things up in; what is found is valid until the end of the loop turn. On the
 * worker's thread. */
const struct route_table *worker_routes(struct worker *worker);

/* worker_of - who owns the shard. */
struct worker *worker_of(struct workers *all, uint8_t shard);

/* worker_end_visit - count and log how a visit ended, or send a probe's offer home (taken); node, target and detail may be NULL. */
void worker_end_visit(struct worker *worker, const struct visit *visit, enum reason reason, const char *node,
                      const char *target, const char *detail, ts_t now);

/* worker_dispatch - a visitor whose name is known: find its node, give it to the node's worker. Takes the visitor. */
void worker_dispatch(struct worker *worker, struct visitor *visitor, ts_t now);

/* worker_identities - let the tunnel answer to the generation's keys and to no others: one whose peers still live stays
 * until they have gone. Called again when a link has gone, and now and then. */
void worker_identities(struct worker *worker);

/* worker_check_empty - draining and nobody left: tell the server. Called when a visitor or flow has gone. */
void worker_check_empty(struct worker *worker);

#endif
