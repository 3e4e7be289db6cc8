/* dial.h - connecting to a local service: look its name up, try each address in turn, within one deadline. SHELL. */
#ifndef NODE_DIAL_H
#define NODE_DIAL_H

#include "common/config/config_text.h"
#include "common/net/resolver.h"

struct dial;

/* dial_start - begin. `to` is borrowed until the end. done comes once, never before dial_start has returned: a
 * connected non-blocking descriptor, which is then the caller's, or a negative error (that of the last address tried;
 * -ETIMEDOUT after timeout_ns). NULL: out of memory. The object frees itself after done or dial_cancel. */
struct dial *dial_start(struct loop *loop, struct resolver *resolver, const struct config_hostport *to,
                        uint64_t timeout_ns, void (*done)(void *ctx, int fd_or_error, ts_t now), void *ctx, ts_t now);
/* dial_cancel - done will not come. NULL allowed. */
void dial_cancel(struct dial *dial);

#endif
