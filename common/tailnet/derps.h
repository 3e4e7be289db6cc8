/* derps.h - the relays of a tailnet: in which regions we hold a connection, and what goes through them. No I/O.
 *
 * One connection is held always, to the home region: where others send to us. Another is made when something is to be
 * sent in its region, and goes when nothing went over it for DERPS_IDLE_NS. A connection that breaks is made again as
 * long as it is wanted, with growing pauses and a region's nodes in turn.
 *
 *     derps_send                     a packet for a node in a region; makes the connection if there is none
 *     derps_action                   take until false: streams that the owner is to open and to close
 *     derps_opened, derps_input, derps_output, derps_sent, derps_closed      what happens to a stream
 *     derps_change                   take until false: regions that came up or went down
 *     derps_deadline / derps_expire
 *
 * Streams are named by their region; there is one a region at most. What the session says is in derp_session.h. */
#ifndef TAILNET_DERPS_H
#define TAILNET_DERPS_H

#include "common/base/endpoint.h"
#include "common/tailnet/derp_map.h"
#include "common/tailnet/derp_session.h"

#define DERPS_IDLE_NS        (60 * TS_S)
#define DERPS_BACKOFF_MIN_NS (250 * TS_MS)
#define DERPS_BACKOFF_MAX_NS (5 * TS_S)
#define DERPS_FAILING_NS     (5 * TS_S)    /* wanted and down for so long: another home is better */
#define DERPS_RESTART_MAX_NS (30 * TS_S)   /* a server may ask for so much patience */

struct derps;

struct derps_config {
    struct rng *rng;             /* borrowed for its life, as are the keys */
    const uint8_t *node_private;
    const uint8_t *node_public;
    derp_packet_fn *lost; /* a packet that no relay took: dropped by derps_send, or while it waited. Called from inside */
    void *ctx;
};

struct derps *derps_new(const struct derps_config *config); /* NULL: out of memory */
void derps_free(struct derps *derps);                       /* NULL allowed; streams are the owner's to close */

/* derps_map_set - the relays there are; copied. Connections to regions and nodes that stayed as they were go on, others
 * end. NULL or out of memory: the old map stays. */
void derps_map_set(struct derps *derps, const struct derp_map *map, ts_t now);

/* derps_home_set - the region that is connected to always; 0: none. */
void derps_home_set(struct derps *derps, uint16_t region, ts_t now);

/* derps_send - a packet to the node and region of an ENDPOINT_DERP. It waits while the connection is being made. False:
 * dropped (no such region, or no room). */
bool derps_send(struct derps *derps, const struct endpoint *to, const uint8_t *packet, size_t len, ts_t now);

/* derps_heard - something wanted came from that region: its connection is in use. */
void derps_heard(struct derps *derps, uint16_t region, ts_t now);

struct derps_action {
    uint16_t region;
    const struct derp_node *node; /* open a stream to it; NULL: close the one there is. Borrowed until derps_map_set */
};
bool derps_action(struct derps *derps, struct derps_action *out);

/* derps_input - as derp_session_input. All events are for the owner to see; UP, FAILED and RESTARTING are acted on here
 * (after FAILED an action to close follows). */
size_t derps_input(struct derps *derps, uint16_t region, const uint8_t *data, size_t len, struct derp_event *event,
                   ts_t now);
/* derps_closed - the stream could not be opened, or ended: it is gone. */
void derps_closed(struct derps *derps, uint16_t region, ts_t now);
const uint8_t *derps_output(const struct derps *derps, uint16_t region, size_t *len);
void derps_sent(struct derps *derps, uint16_t region, size_t len);
/* derps_next_output - the first region above `after` that has output; 0: none. */
uint16_t derps_next_output(const struct derps *derps, uint16_t after);

struct derps_change {
    uint16_t region;
    bool up;
};
bool derps_change(struct derps *derps, struct derps_change *out);

/* derps_failing - wanted, and down for DERPS_FAILING_NS: as a home it is of no use. */
bool derps_failing(const struct derps *derps, uint16_t region, ts_t now);
bool derps_up(const struct derps *derps, uint16_t region);

struct derps_stats {
    size_t regions, up;
    uint64_t connects, failures, dropped;
};
void derps_stats(const struct derps *derps, struct derps_stats *out);

ts_t derps_deadline(const struct derps *derps, ts_t now);
/* derps_expire - false: nothing (more) to say; else *event is a FAILED of *region: call again. */
bool derps_expire(struct derps *derps, struct derp_event *event, uint16_t *region, ts_t now);

#endif
