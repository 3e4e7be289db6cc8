/* resolver.h - names to addresses, by c-ares inside the loop: nothing blocks, no threads.
 *
 * SHELL. Both families are asked, /etc/hosts and the search rules of the system hold. One resolver a loop. */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <stddef.h>

#include "common/base/addr.h"
#include "common/net/loop.h"

#define RESOLVER_ADDRS_MAX 32 /* more answers than this are left out */

struct resolver;
struct resolver_request;

/* A question, embedded by who asks. */
struct resolver_query {
    /* the answer, once: status 0 and count >= 1 addresses in order of preference (borrowed for the call), or
     * ERR_NOT_FOUND, ERR_NOMEM, -ETIMEDOUT. May come before resolver_ask returns (a name in /etc/hosts). */
    void (*done)(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now);
    struct resolver_request *request; /* NULL when nothing is under way */
};

/* resolver_new - reads the system's configuration, and again before a question when /etc/resolv.conf has changed: what
 * is under way is then asked anew. A change that can't be read is logged and changes nothing.
 * NULL: no memory, or it can't be read. */
struct resolver *resolver_new(struct loop *loop);
/* resolver_new_by - with another file for /etc/resolv.conf, whose name must outlive the resolver, and another UDP port
 * for 53. */
struct resolver *resolver_new_by(struct loop *loop, const char *conf, uint16_t port);
/* resolver_free - unanswered queries get no answer. The memory goes with the loop's next turns. NULL allowed. */
void resolver_free(struct resolver *resolver);

/* resolver_ask - look `name` up; addresses in text form are answered at once. The query must not be under way. */
void resolver_ask(struct resolver *resolver, struct resolver_query *query, const char *name);
/* resolver_cancel - the answer is not wanted any more; does nothing when none is under way. */
void resolver_cancel(struct resolver_query *query);

#endif
