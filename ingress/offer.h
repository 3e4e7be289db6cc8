/* offer.h - one offer to one node: connect to its peerapi, ask, hear the answer. No I/O: a tunnel is all it needs.
 *
 *     offer_start  --> SYN to peerapi4 and peerapi6 (raced, where both are known)
 *     first one connected: the other is dropped; the request goes out (it rides on the handshake's ACK). Where one family
 *     alone is dialled it rides on the SYN, and funnel-node's answer on the SYN-ACK
 *     101: OFFER_ACCEPTED, offer_take gives the connection; the stream's first bytes may wait in it already
 *     "no ingress cap", or closed without a byte: the other family is tried once, for grants are per family; if it can't
 *     even be connected, the reason stays the one that was heard
 *     everything else: OFFER_FAILED with a reason
 * A connection opened ahead (warm.h) is asked at once. If it ends without a byte of an answer, or the request is not even
 * acknowledged, it is as if there had been none: both families are dialled. Nothing of the visitor's goes out before a
 * 101, so a node that took the first request and whose word was lost has opened and closed an empty stream;
 * docs/decisions/0087.
 * With the `tcp` transport the connection itself is the stream: accepted once connected (a PROXY header first, where
 * the feed asks for one). Design, section 8. */
#ifndef INGRESS_OFFER_H
#define INGRESS_OFFER_H

#include "common/peerapi/peerapi.h"
#include "common/tunnel/tunnel.h"
#include "ingress/reason.h"
#include "ingress/route/route.h"

/* Families an offer may dial. */
#define OFFER_V6   1u
#define OFFER_V4   2u
#define OFFER_BOTH (OFFER_V6 | OFFER_V4)

enum offer_state {
    OFFER_PENDING = 0,
    OFFER_ACCEPTED,
    OFFER_FAILED,
};

struct offer {
    struct pool *pool;            /* where its memory goes back */
    struct tunnel_peer *peer;
    uint16_t ports[2];            /* to dial: [1] over IPv4; 0: none */
    bool plain;                   /* ROUTE_TCP: no request, the connection is the stream */
    void *ctx;                    /* of the connections */
    struct tcp_conn *conns[2];    /* [1]: IPv4; NULL: not trying */
    bool tried[2];                /* families that have had their turn with a request */
    bool warm;                    /* the request went to a connection opened ahead */
    bool heard;                   /* ... and was acknowledged */
    bool stale;                   /* ... which was dead, so the node was dialled. The owner may reset it */
    int asked;                    /* index of the connection that carries the request, -1 none yet */
    enum offer_state state;
    enum reason reason;           /* of a failure */
    enum reason refusal;          /* why the family asked first was left; REASON_OK: it was not */
    ts_t connected_at;            /* the connection asked last */
    bool connected_v4;            /* its family */
    bool propagate;               /* the node said it passes an end-of-file on */
    char request[PEERAPI_REQUEST_BYTES];
    size_t request_len;
    size_t request_sent;
    struct peerapi_answer answer;
};

/* offer_new - start an offer of `target_name:target_port` for a visitor from `src`. Its memory is a chunk of `pool`, of at
 * least its size: offers are big and short, and would leave holes between the small things that live on.
 * families  what may be dialled; for visitors OFFER_BOTH
 * warm  a connection opened ahead to the node's peerapi, taken in any case; NULL: there is none. With OFFER_BOTH only
 * ctx  given to the connections, so that their events find their way to offer_event
 * NULL: out of memory. The state may already be OFFER_FAILED. */
struct offer *offer_new(struct pool *pool, struct tunnel_peer *peer, const struct route_node *row,
                        const struct addrport *src, const char *target_name, size_t target_len, uint16_t target_port,
                        unsigned families, struct tcp_conn *warm, void *ctx, ts_t now);

/* offer_event - an event of one of its connections. */
void offer_event(struct offer *offer, const struct tcp_event *event, ts_t now);

/* offer_doubt_at - when a connection opened ahead, just asked, should have acknowledged the request: after a second, as a
 * SYN's first timeout (RFC 6298 section 2.1), or its own timeout where that is longer. TS_NEVER for other offers.
 * offer_doubt - then: if it has not, it is dead, and perhaps the session too. */
ts_t offer_doubt_at(const struct offer *offer, ts_t now);
void offer_doubt(struct offer *offer, ts_t now);

/* offer_expire - time is up: fails with the reason that fits how far it came. */
void offer_expire(struct offer *offer, ts_t now);

/* offer_take - after OFFER_ACCEPTED: the connection is the caller's. */
struct tcp_conn *offer_take(struct offer *offer);

/* offer_free - drops what is still open. NULL allowed. */
void offer_free(struct offer *offer, ts_t now);

#endif
