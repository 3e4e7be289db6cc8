/* derp_session.h - one connection to a DERP relay: upgrade, login, packets both ways. No I/O, no clock.
 *
 *      bytes of a TLS stream  ->  derp_session_input   -> one event at a time
 *      derp_session_output    ->  bytes for the stream
 *
 *      GET /derp, 101  ->  ServerKey  ->  ClientInfo, and from then on packets  ->  ServerInfo: UP
 *
 * A relay is trusted with nothing: it says who a packet is from, which routes, and WireGuard and disco prove. Packets
 * wait in a queue of DERP_QUEUE_MAX bytes; what finds no room there is dropped, and so is what is more than the server
 * lets us send. A connection without any frame for DERP_SILENCE_NS is dead. */
#ifndef TAILNET_DERP_SESSION_H
#define TAILNET_DERP_SESSION_H

#include "common/base/rng.h"
#include "common/base/ts.h"
#include "common/tailnet/derp_frame.h"

#define DERP_LOGIN_NS   (10 * TS_S)  /* from the open stream to ServerInfo */
#define DERP_SILENCE_NS (120 * TS_S) /* servers send something every 60 to 65 s */
#define DERP_QUEUE_MAX  ((size_t)128 << 10)
#define DERP_HOST_MAX   264 /* Host header: a name of 255 characters, and a port */
#define DERP_TEXT_MAX   200 /* of a health message, with its zero */

struct derp_session;

struct derp_session_config {
    struct rng *rng;             /* borrowed for the session's life, as is: */
    const uint8_t *node_private; /* our node key */
    const uint8_t *node_public;
    const char *host; /* for the Host header: name, and :port unless it is 443 */
    const char *node; /* not the first of its region: its name, for the relay's statistics; else NULL */
};

enum derp_event_kind {
    DERP_EVENT_NONE = 0,
    DERP_EVENT_UP,         /* logged in */
    DERP_EVENT_PACKET,     /* key, data, len */
    DERP_EVENT_PEER_GONE,  /* key, not_here */
    DERP_EVENT_HEALTH,     /* text; empty: well again */
    DERP_EVENT_RESTARTING, /* it will be back in reconnect_ms, and worth trying for try_ms */
    DERP_EVENT_FAILED,     /* text; the session is of no more use */
};

struct derp_event {
    enum derp_event_kind kind;
    const uint8_t *key; /* borrowed until the next call, as is data */
    const uint8_t *data;
    size_t len;
    bool not_here; /* it was never there; else: it has left */
    uint32_t reconnect_ms, try_ms;
    char text[DERP_TEXT_MAX];
};

/* a packet for a node; borrowed for the call */
typedef void derp_packet_fn(void *ctx, const uint8_t key[DERP_KEY_BYTES], const uint8_t *packet, size_t len);

/* derp_session_new - the stream is about to be open: the login's time begins. NULL: out of memory. */
struct derp_session *derp_session_new(const struct derp_session_config *config, ts_t now);
void derp_session_free(struct derp_session *session); /* wipes; NULL allowed */

/* derp_session_input - read on. Uses up some of the bytes and says at most one thing: call again with the rest until
 * all are used and the event is NONE. Returns how many were used. */
size_t derp_session_input(struct derp_session *session, const uint8_t *data, size_t len, struct derp_event *event,
                          ts_t now);

/* derp_session_send - a packet for that node. False: dropped (no room, too large, over the rate, failed). */
bool derp_session_send(struct derp_session *session, const uint8_t key[DERP_KEY_BYTES], const uint8_t *packet, size_t len,
                       ts_t now);
/* derp_session_unsent - those that wait, and of which nothing was taken yet. */
void derp_session_unsent(const struct derp_session *session, derp_packet_fn *fn, void *ctx);
/* derp_session_prefer - whether this is our home. */
void derp_session_prefer(struct derp_session *session, bool home);

/* derp_session_output - what is to be sent next; *len 0: nothing. derp_session_sent - so much of it was taken. */
const uint8_t *derp_session_output(const struct derp_session *session, size_t *len);
void derp_session_sent(struct derp_session *session, size_t len);

/* derp_session_deadline - when derp_session_expire is to be called. It yields DERP_EVENT_FAILED, or NONE. */
ts_t derp_session_deadline(const struct derp_session *session);
void derp_session_expire(struct derp_session *session, struct derp_event *event, ts_t now);

/* derp_session_up - logged in, and not failed. */
bool derp_session_up(const struct derp_session *session);

#endif
