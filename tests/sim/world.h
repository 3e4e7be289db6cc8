/* world.h - a network path in virtual time: one direction of a link with everything that goes wrong on real ones.
 *
 * A packet handed to link_send comes out of link_take at the moment link_next says, or never, or twice, or changed.
 * All chance comes from the world's generator, so a seed is a whole world. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "common/base/ts.h"

#define LINK_PACKET_MAX 1600

struct link_config {
    uint64_t delay_ns;
    uint64_t jitter_ns;   /* 0..jitter more for each packet; order is kept */
    uint64_t rate_bps;    /* bits a second; 0: without limit */
    uint64_t queue_bytes; /* what waits for the rate; more is dropped. With a rate only */
    uint64_t policer_bps, policer_bytes; /* a token bucket that drops what exceeds it; 0: none */
    size_t mtu;           /* longer packets vanish; 0: none do */
    bool strips_sack;     /* a middlebox that takes SACK-permitted out of SYNs */
    ts_t route_at;        /* from here on the route is another one, with another delay; 0: never */
    uint64_t route_delay_ns;
    uint32_t loss_ppm, duplicate_ppm, corrupt_ppm;
    uint32_t reorder_ppm; /* this share is held back by up to reorder_ns */
    uint64_t reorder_ns;
    uint32_t burst_enter_ppm, burst_leave_ppm; /* Gilbert's model: in a burst everything is lost */
    ts_t blackout_from, blackout_to;           /* nothing passes; equal: never */
};

struct link_packet {
    ts_t at;
    uint64_t order; /* ties in the order of sending */
    size_t len;
    uint8_t bytes[LINK_PACKET_MAX];
};

struct link {
    struct link_config config;
    struct rng *rng;
    bool in_burst;
    ts_t busy_until; /* the rate has sent everything by then */
    ts_t policer_full_at; /* when the policer's bucket will be full again */
    ts_t last_at;    /* arrival of the last packet that kept its place */
    struct link_packet **heap;
    size_t count, room;
    uint64_t orders;
    uint64_t sent, dropped, bytes_out;
};

void link_init(struct link *l, const struct link_config *config, struct rng *rng);
void link_deinit(struct link *l);
void link_send(struct link *l, const uint8_t *packet, size_t len, ts_t now);
/* link_next - when the next packet arrives; TS_NEVER: none is under way. */
ts_t link_next(const struct link *l);
/* link_take - the next packet that has arrived by now, into buf (LINK_PACKET_MAX); 0: none yet. */
size_t link_take(struct link *l, uint8_t *buf, ts_t now);

/* link_random - a link as a seed wants it: often good, sometimes awful. */
struct link_config link_random(struct rng *rng);

/* world_fail - say which seed failed and why, and end the program. */
_Noreturn void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern uint64_t world_seed;

#endif
