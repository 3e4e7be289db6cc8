/* control.h - our side of a coordination server: one connection, one registration, one endless map. No I/O, no clock.
 *
 *      bytes of one connection  <->  HTTP/1.1 upgrade, Noise, HTTP/2  <->  register, map stream, updates of ourselves
 *
 *      CONTROL_CONNECT -> control_connected -> [GET /key] -> POST /ts2021 -> Noise -> HTTP/2 -> register -> map stream
 *                              ^                                                                    |
 *                              +---- backoff with jitter <---- anything that fails, 120 s of silence +
 *
 * The connection is opened by the owner, as the server's URL says: plain TCP, or TLS with a certificate that was checked
 * (stock clients trust none of it but for the key; one connection for everything makes that simpler and stricter).
 * The map outlives connections: after a break the old one stands until the first frame of the next stream.
 *
 *     control_input / control_connected / control_closed     what happened to the connection
 *     control_output                                         pull bytes for it until 0
 *     control_take                                           what the owner should look at; before pulling output, and
 *                                                            CONTROL_CLOSE before CONTROL_CONNECT
 *     control_deadline / control_expire
 *
 * Nothing in here is secret from the log but keys: auth keys and private keys are never put into a text. */
#ifndef TAILNET_CONTROL_H
#define TAILNET_CONTROL_H

#include "common/base/rng.h"
#include "common/base/ts.h"
#include "common/tailnet/netmap.h"

/* The number stands for promises (the comment above tailcfg.CurrentCapabilityVersion). From 120 on peers may think that
 * we know UDP relays. headscale refuses what is much older than itself; 113 is its least of 2026. */
#define CONTROL_VERSION 119

#define CONTROL_ENDPOINTS_MAX 16
#define CONTROL_TEXT_MAX      512
#define CONTROL_HOST_MAX      262 /* a DNS name and a port */
#define CONTROL_AUTH_KEY_MAX  255

enum control_endpoint_kind {
    CONTROL_ENDPOINT_LOCAL = 1, /* an address of an interface */
    CONTROL_ENDPOINT_STUN = 2,
    CONTROL_ENDPOINT_STUN_LOCAL_PORT = 4, /* the address STUN saw, with the port we are bound to */
    CONTROL_ENDPOINT_CONFIGURED = 5,
};

struct control_endpoint {
    struct addrport at;
    enum control_endpoint_kind kind;
};

/* Where and how others find us. All of it is shown to every node of the tailnet. */
struct control_whereabouts {
    uint8_t disco[TAILNET_KEY_BYTES]; /* public; all zero: none yet */
    struct control_endpoint endpoints[CONTROL_ENDPOINTS_MAX];
    size_t endpoints_count;
    uint16_t home_derp; /* region; 0: none yet */
    bool working_udp;
};

/* The keys that must outlive us. */
struct control_keys {
    uint8_t machine[TAILNET_KEY_BYTES];  /* private */
    uint8_t node[TAILNET_KEY_BYTES];     /* private; all zero: none yet */
    uint8_t previous[TAILNET_KEY_BYTES]; /* private node key before this one; all zero: none */
    uint8_t disco[TAILNET_KEY_BYTES];    /* private, for the paths: not control's business; all zero: none */
    uint8_t server[TAILNET_KEY_BYTES];   /* the server's public key as last fetched; all zero: none */
};

struct control_config {
    struct rng *rng;
    const struct map_seed *seed;
    const char *host;          /* of the server, with the port where the URL has one; at most CONTROL_HOST_MAX bytes */
    const char *hostname;      /* what we call ourselves: a DNS label */
    const char *auth_key;      /* "": somebody has to open a URL */
    const uint8_t *server_key; /* pinned; NULL: ask the server */
    bool ephemeral;            /* the server may forget us when we are gone */
};

enum control_flag {
    CONTROL_CONNECT = 1 << 0, /* open a connection and say control_connected or control_closed */
    CONTROL_CLOSE = 1 << 1,   /* close the connection, or stop opening it; control_closed is not wanted */
    CONTROL_KEYS = 1 << 2,    /* control_keys changed: keep them, before any more output is sent */
    CONTROL_MAP = 1 << 3,     /* see control_changes */
    CONTROL_STATE = 1 << 4,   /* control_state, control_auth_url or control_trouble changed */
    CONTROL_ENDED = 1 << 5,   /* control_log_out is through */
};

enum control_state {
    CONTROL_OFFLINE = 0, /* no connection: waiting or opening one */
    CONTROL_CONNECTED,   /* on the way to a map */
    CONTROL_NEEDS_LOGIN, /* somebody has to open control_auth_url */
    CONTROL_NEEDS_APPROVAL, /* registered; an administrator has to let us in */
    CONTROL_REFUSED,     /* the server said no for good; tried again now and then */
    CONTROL_ONLINE,      /* the map stream is running */
};
const char *control_state_name(enum control_state state);

struct control;

/* control_auth_key_ok - letters, digits, '-', '_' and '.', at most CONTROL_AUTH_KEY_MAX of them: what may be given as
 * auth_key. */
bool control_auth_key_ok(const char *text);

/* control_new - config and what it points to are copied. keys->machine must be there. NULL: out of memory.
 * It begins with CONTROL_CONNECT. */
struct control *control_new(const struct control_config *config, const struct control_keys *keys, ts_t now);
void control_free(struct control *control); /* wipes keys; NULL allowed */

/* control_restore - a map that was kept, as a map stream's first frame: it stands until the server's own first one.
 * Before the first control_take. False: that is none, or one of another node than us; there is no map then. */
bool control_restore(struct control *control, const char *frame, size_t len);

unsigned control_take(struct control *control); /* flags, each told once */
const struct control_keys *control_keys(const struct control *control);
enum control_state control_state(const struct control *control);
const char *control_auth_url(const struct control *control); /* "" when nobody is waited for */
const char *control_trouble(const struct control *control);  /* why it is not online, for the log; "" */
const struct netmap *control_netmap(const struct control *control);
/* control_changes - what changed in the map; the owner clears it once everyone has looked. */
struct netmap_changes *control_changes(struct control *control);
/* control_time - the server's clock, Unix seconds: as it last said, and gone on since. 0: it never said. */
uint64_t control_time(const struct control *control, ts_t now);
/* control_heard_at - when the server last gave a sign of life on a map stream; 0: never. */
ts_t control_heard_at(const struct control *control);

/* control_whereabouts_set - we are found elsewhere, or otherwise. The server is told now, and again on each stream. */
void control_whereabouts_set(struct control *control, const struct control_whereabouts *whereabouts, ts_t now);

/* control_log_out - say good-bye, so that an ephemeral node is forgotten at once. CONTROL_ENDED follows, within seconds
 * in any case. */
void control_log_out(struct control *control, ts_t now);

void control_connected(struct control *control, ts_t now);
/* control_closed - the connection ended or could not be opened; why is a text for the log. */
void control_closed(struct control *control, const char *why, ts_t now);
void control_input(struct control *control, const uint8_t *data, size_t len, ts_t now);
/* control_output - up to cap bytes (at least 4096) for the connection; 0: nothing now. */
size_t control_output(struct control *control, uint8_t *out, size_t cap, ts_t now);

ts_t control_deadline(const struct control *control);
void control_expire(struct control *control, ts_t now);

#endif
