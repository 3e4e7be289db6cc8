/* membership.h - all that the tailnet feed brings into a server: the node that joined (tailnet.h), and what runs below
 * WireGuard for it (underlay.h), under one key. SHELL, on the main thread.
 *
 *      membership_read     what must be read before the sandbox closes
 *      membership_start    join, once the workers run
 *      membership_leave    the process is about to end
 *
 * A new node key is a new identity: the owner is told, and the underlay is made anew, because relays know it by the key. */
#ifndef INGRESS_MEMBERSHIP_H
#define INGRESS_MEMBERSHIP_H

#include "ingress/tailnet.h"
#include "ingress/underlay.h"

struct membership;

struct membership_owner {
    /* our key or addresses: new ones, or the first */
    void (*identity)(void *ctx, const struct tailnet_identity *identity, ts_t now);
    /* membership_leave is through */
    void (*left)(void *ctx, ts_t now);
    void *ctx;
};

/* membership_read - *out NULL: not with this feed, or errors were added. 0, ERR_INVALID or ERR_NOMEM. config is borrowed
 * until the next membership_config. */
int membership_read(const struct ingress_config *config, struct loop *loop, struct membership **out,
                    struct config_errors *errors) __attribute__((warn_unused_result));

/* membership_start - 0, or an error (logged): this ingress will serve what the map on disk says, and nothing new. */
int membership_start(struct membership *m, struct workers *workers, struct rng *rng, const struct feed_sink *sink,
                     const struct membership_owner *owner, ts_t now);
/* membership_source - of the feed; NULL before the start. */
struct feed_source *membership_source(struct membership *m);
/* membership_underlay - for mail from the workers; NULL: there is none (yet). m may be NULL. */
struct underlay *membership_underlay(const struct membership *m);

void membership_config(struct membership *m, const struct ingress_config *config, ts_t now);
/* membership_leave - `left` follows, perhaps before this returns. */
void membership_leave(struct membership *m, ts_t now);
void membership_free(struct membership *m); /* NULL allowed */

#endif
