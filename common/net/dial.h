/* dial.h - a host's name or address and a port to a connected descriptor. SHELL.
 *
 * All addresses of both families are tried, the families in turn, by RFC 8305 ("Happy Eyeballs"): the next attempt
 * starts when the one before failed, or after 250 ms beside it; the first that connects wins and the others end. (The
 * resolver waits for both families' answers, so there is no resolution delay of section 3 here.) */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/net/resolver.h"

#define DIAL_ATTEMPT_DELAY_NS (250 * TS_MS) /* RFC 8305 section 5 */
#define DIAL_WHY              200           /* bytes of the longest reason, with its zero */

struct dial;

struct dial_to {
    const char *host;         /* a name, or an address as text without brackets */
    const struct addr *addrs; /* of the host, where they are known already; NULL: looked up */
    size_t addrs_count;       /* at most RESOLVER_ADDRS_MAX */
    uint16_t port;
    const char *unix_path;    /* instead of all that: a Unix socket; NULL or "": none */
};

/* dial_start - begin. What `to` points to is copied.
 * done  comes once, never before dial_start has returned: a connected non-blocking descriptor, which is then the
 *       caller's, or a negative error (that of the last attempt that failed; -ETIMEDOUT after timeout_ns), with the
 *       story for people in `why` ("192.0.2.1:443: connection refused"; borrowed for the call, "" after success)
 * NULL: out of memory. The object frees itself after done or dial_cancel. */
struct dial *dial_start(struct loop *loop, struct resolver *resolver, const struct dial_to *to, uint64_t timeout_ns,
                        void (*done)(void *ctx, int fd_or_error, const char *why, ts_t now), void *ctx, ts_t now);

/* dial_cancel - done will not come. NULL allowed. */
void dial_cancel(struct dial *dial);

/* dial_interleave - put addresses into the order of attempts: the family of the first one first, then in turn, each
 * family in the order it had. RFC 8305 section 4. count <= RESOLVER_ADDRS_MAX. */
void dial_interleave(struct addr *addrs, size_t count);

#endif
