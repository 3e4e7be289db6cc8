/* netcheck.h - how the world sees our UDP socket, and which relay is nearest: STUN to the relays' regions. No I/O.
 *
 *     netcheck_start              a round: requests to the regions that matter
 *     netcheck_output             pull requests until 0; they must leave by the socket of WireGuard itself
 *     netcheck_input              an answer came
 *     netcheck_news               what is new: endpoints as soon as the first answer names one, the home when a round ends
 *     netcheck_deadline / netcheck_expire
 *
 * A round asks the home and the nearest regions, and all of them the first time and each NETCHECK_ALL_NS. Who was not
 * heard is asked again, a region's nodes in turn. The home is the region with the least latency of the last minutes; it
 * is left for another only when that one is better by NETCHECK_GAIN_NS and by a third, or when it can't be connected to
 * (netcheck_failing). Where no STUN gets through, any region that can be connected to will do. netcheck of stock nodes. */
#ifndef TAILNET_NETCHECK_H
#define TAILNET_NETCHECK_H

#include "common/base/endpoint.h"
#include "common/base/rng.h"
#include "common/base/ts.h"
#include "common/tailnet/derp_map.h"
#include "common/tailnet/stun.h"

#define NETCHECK_ROUND_NS     (3 * TS_S)
#define NETCHECK_ALL_NS       (300 * TS_S)
#define NETCHECK_GAIN_NS      (10 * TS_MS)
#define NETCHECK_NEAR         3 /* regions besides the home that a small round asks */
#define NETCHECK_TRIES        3
#define NETCHECK_MAPPED_MAX   8 /* own endpoints that are kept */
#define NETCHECK_NODES_MAX    3 /* of a region that are asked */

enum netcheck_news {
    NETCHECK_ENDPOINTS = 1 << 0, /* netcheck_mapped was confirmed, or is new */
    NETCHECK_HOME = 1 << 1,      /* netcheck_home changed */
    NETCHECK_DONE = 1 << 2,      /* the round is over */
};

struct netcheck;

struct netcheck *netcheck_new(struct rng *rng); /* NULL: out of memory */
void netcheck_free(struct netcheck *nc);        /* NULL allowed */

/* netcheck_map_set - the regions there are; what is needed of them is copied. Ends a round. */
void netcheck_map_set(struct netcheck *nc, const struct derp_map *map, ts_t now);

/* Hosts whose address has to be looked up before they can be asked. netcheck_unresolved: a host not handed out before, or
 * not since the latest round began, if it had no address then; NULL: none. netcheck_resolved: its addresses, for all
 * nodes of that name. */
const char *netcheck_unresolved(struct netcheck *nc);
void netcheck_resolved(struct netcheck *nc, const char *host, const struct addr *addrs, size_t count);

/* netcheck_start - begin a round, unless one is under way. */
void netcheck_start(struct netcheck *nc, ts_t now);
size_t netcheck_output(struct netcheck *nc, uint8_t out[STUN_REQUEST_BYTES], struct endpoint *to, ts_t now);
void netcheck_input(struct netcheck *nc, const uint8_t *datagram, size_t len, ts_t now);

/* netcheck_failing - the home can't be connected to: another one is taken, and this one not again for NETCHECK_ALL_NS.
 * netcheck_stay - true: no other home for the time being, since nobody could be told of it. */
void netcheck_failing(struct netcheck *nc, uint16_t region, ts_t now);
void netcheck_stay(struct netcheck *nc, bool stay, ts_t now);

unsigned netcheck_news(struct netcheck *nc); /* enum netcheck_news, each told once */
uint16_t netcheck_home(const struct netcheck *nc); /* 0: none */
/* netcheck_latency - best of the last minutes; 0: never heard. */
uint64_t netcheck_latency(const struct netcheck *nc, uint16_t region, ts_t now);
/* netcheck_mapped - as whom the world sees us; as the latest round found it. */
size_t netcheck_mapped(const struct netcheck *nc, struct addrport out[NETCHECK_MAPPED_MAX]);

ts_t netcheck_deadline(const struct netcheck *nc);
void netcheck_expire(struct netcheck *nc, ts_t now);

#endif
