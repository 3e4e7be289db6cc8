/* path.h - which endpoints a peer is sent to.
 *
 * A peer has candidates (where the feed says it may be) and, once anything authenticated came from it, a proven
 * endpoint. Data goes to the proven one. Handshakes go there too, but while nothing is proven, or when the last one
 * stayed unanswered, or whoever names the candidates has named new ones, they go to the candidates as well: who answers
 * first becomes proven (roaming by WireGuard source, section 2.1 of its paper).
 *
 * Stock Tailscale nodes don't roam so: disco decides. The path of such a peer is guided: from path_guide on everything
 * goes to the one or two endpoints it named, to all of them, and the source of what comes moves nothing. While it names
 * none, what was heard last serves. */
#ifndef TUNNEL_PATH_H
#define TUNNEL_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/endpoint.h"
#include "common/tunnel/tunnel.h"

struct path {
    struct endpoint proven; /* kind NONE: nothing heard yet */
    struct endpoint *candidates; /* guided: where everything goes */
    size_t candidates_count;
    bool doubted; /* nothing has come since a handshake went out, or since the candidates changed */
    bool guided;
};

void path_init(struct path *path);
void path_deinit(struct path *path);

/* path_candidates_set - copies; nothing heard yet, or a change of them: the next handshake goes to all. 0 or ERR_NOMEM
 * (the old ones stay). Nothing for a guided path. */
int path_candidates_set(struct path *path, const struct endpoint *candidates, size_t count);

/* path_guide - everything goes there from now on, at most TUNNEL_WAYS_MAX endpoints. 0 or ERR_NOMEM: as before. */
int path_guide(struct path *path, const struct endpoint *to, size_t count);

/* path_heard - an authenticated datagram that passed the replay check came from here. True: the endpoint changed. */
bool path_heard(struct path *path, const struct endpoint *from);

/* path_data - where data goes, to all of them: fills at most TUNNEL_WAYS_MAX endpoints; 0: nowhere yet. */
size_t path_data(const struct path *path, struct endpoint out[TUNNEL_WAYS_MAX]);

/* path_handshake - where an initiation goes, one after another: fills at most TUNNEL_ENDPOINTS_MAX + 1 endpoints, returns
 * how many. */
size_t path_handshake(struct path *path, struct endpoint out[TUNNEL_ENDPOINTS_MAX + 1]);

/* path_known - there is any endpoint to send to. */
bool path_known(const struct path *path);

#endif
