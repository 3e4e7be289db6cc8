/* feed_dialect.h - what network sources say differently: requests, and what the answers mean. No I/O.
 *
 *      feed_session  --ask-->  feed_dialect        connection, HTTP, waiting and trying again are the session's
 *                    --hear->  (lines, etcd)       rows, revisions and their order are the dialect's
 *
 * A dialect lives as long as its session, over all connections: it knows how far the feed was told. */
#ifndef FEED_FEED_DIALECT_H
#define FEED_FEED_DIALECT_H

#include <stdbool.h>

#include "common/http/http_write.h"
#include "common/http/url.h"
#include "ingress/feed/feed_op.h"

#define FEED_WHY 200 /* bytes of the longest reason, with its zero */

enum feed_heard {
    FEED_HEARD_ALL = 0, /* everything was used; more is needed */
    FEED_HEARD_OP,      /* *op is the next step; the rest is to be heard again */
    FEED_HEARD_BAD,     /* not what this source says, or nothing to go on with: dialect->why; the connection is of no use */
};

struct feed_dialect {
    /* ask - start the next request of this connection: method, target (below url's) and fields of its own; a body, or
     * NULL, borrowed until the next call. */
    void (*ask)(struct feed_dialect *d, const struct url *url, struct http_write *w, const char **body, size_t *len);
    /* hear - a piece of the body of a 200. *op is borrowed until the next call. */
    enum feed_heard (*hear)(struct feed_dialect *d, const char *data, size_t len, size_t *used, struct feed_op *op);
    /* end - that body is over, in order. HEARD_ALL: ask again. HEARD_OP: call again after it. */
    enum feed_heard (*end)(struct feed_dialect *d, struct feed_op *op);
    /* lost - the connection is gone, or no good; status: of an answer other than 200, or 0. True: a snapshot was under
     * way, and ABORT is due. `why` may be filled with what that status means here. */
    bool (*lost)(struct feed_dialect *d, unsigned status);
    void (*free)(struct feed_dialect *d);

    bool current;      /* what was heard on this connection is whole, and deltas follow */
    uint64_t heard;    /* lines, rows, heartbeats so far: what shows that the far side is alive */
    struct feed_point point; /* told up to here; revision 0: nothing to go on from. Set before the first `ask` to resume */
    const char *secret; /* token or password for this connection, "": none; set by the session before `ask` */
    bool bearer;        /* the session sends the secret as a bearer token */
    bool renews;        /* silence is no fault here, as long as a new connection is answered */
    char why[FEED_WHY];
};

/* feed_lines_new - the stream of lines of docs/feed.md. feed_etcd_new - etcd's HTTP/JSON gateway.
 * NULL: out of memory. To be freed with its own free. */
struct feed_dialect *feed_lines_new(void);

struct feed_etcd_config {
    const char *prefix;   /* of the keys; the rest of a key is the node's id */
    const char *username; /* "": no authentication; the password is the secret */
};

struct feed_dialect *feed_etcd_new(const struct feed_etcd_config *config); /* texts are copied */

#endif
