/* wg.h - the WireGuard engine: handshakes in both roles, sessions, replay window, timers, cookies. No I/O.
 *
 * Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel", sections 5 and 6; section numbers below are of that
 * paper. One device a worker; it holds the identities (our static keys) and the peers. The caller moves datagrams:
 *
 *     wg_device_input(dev, datagram, ...)     a datagram came: verdict, and for data the plaintext, opened in place
 *     wg_peer_seal(peer, buffer, ...)         make a transport datagram of a packet, in place
 *     wg_device_output(dev, ...)              pull until 0: initiations, responses, cookie replies, keepalives
 *     wg_device_deadline / wg_device_expire   timers
 *     wg_device_event(dev, &event)            take until false: sessions that came up, were lost, never came
 *
 * There is no routing by destination address: the caller names the peer. Which inner source addresses a peer may use
 * is checked by the tunnel. Nothing is staged: without a session wg_peer_seal says ERR_NO_SESSION and asks for a
 * handshake; the TCP above keeps its packets until WG_EVENT_UP.
 *
 * An initiation whose static key is no peer of this device is not an error: its opened state comes out as a
 * `struct wg_half`, and the caller may look the key up elsewhere (a route table, another worker's peers), make the
 * peer, and hand the half back with wg_peer_input_half. That is how a million configured nodes cost no peer each. */
#ifndef WG_WG_H
#define WG_WG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/endpoint.h"
#include "common/base/rng.h"
#include "common/base/ts.h"

#define WG_KEY_BYTES        32
#define WG_HEADER_BYTES     16 /* before the plaintext of a transport message: section 5.4.6 */
#define WG_TAG_BYTES        16
#define WG_PADDING          16                                              /* section 5.4.6 */
#define WG_OVERHEAD_MAX     (WG_HEADER_BYTES + WG_TAG_BYTES + WG_PADDING - 1)
#define WG_HANDSHAKE_BYTES_MAX 148                                          /* the largest wg_device_output yields */
#define WG_IDENTITIES_MAX   8

struct wg_device;
struct wg_peer;

/* How many handshakes come and who still gets one: section 5.3. One may serve the devices of all threads, so that a
 * limit holds for all of them; it then outlives them. handshakes_per_s: initiations and responses a second above which
 * we are "under load" (cookies), and how many go on then; 0: always under load. Whoever can measure what a handshake
 * costs sets the limit by that; any thread may. NULL: out of memory. */
struct wg_load;
struct wg_load *wg_load_new(uint32_t handshakes_per_s, struct rng *rng);
void wg_load_free(struct wg_load *load); /* NULL allowed */
void wg_load_limit_set(struct wg_load *load, uint32_t handshakes_per_s);

struct wg_config {
    struct rng *rng;               /* borrowed for the device's life */
    struct wg_load *load;          /* borrowed; NULL: the device's own, with handshakes_per_s */
    uint32_t handshakes_per_s;
    uint64_t keepalive_passive_ns; /* 0: the protocol's KEEPALIVE_TIMEOUT; tests may shorten nothing else */
    uint8_t cookie_seed[32];       /* devices with one seed and one clock honour each other's cookies; all zero: own */
};

/* What became of a datagram. WG_IN_DROP_* are reasons to count; none of them is an error of ours. */
#define WG_IN_MAP(X)                                                                                                   \
    X(DATA, "data")                         /* a packet; plaintext and plaintext_len are set */                        \
    X(KEEPALIVE, "keepalive")               /* authenticated and empty */                                              \
    X(HANDSHAKE, "handshake")               /* an initiation or response was consumed */                               \
    X(COOKIE, "cookie")                     /* a cookie reply was stored, or we sent one */                            \
    X(HALF, "half")                         /* an initiation for us from a key that is no peer: see `half` */          \
    X(DROP_MALFORMED, "malformed")          /* length or type */                                                       \
    X(DROP_MAC1, "bad_mac1")                                                                                           \
    X(DROP_RATE, "rate_limited")            /* under load: over the source's limit, or no cookie left */              \
    X(DROP_UNKNOWN_INDEX, "unknown_index")                                                                             \
    X(DROP_CRYPTO, "bad_crypto")            /* an AEAD or a DH failed */                                               \
    X(DROP_REPLAY, "replay")                /* counter seen, or stamp not newer, or initiations too fast */            \
    X(DROP_EXPIRED, "expired")              /* session too old */                                                      \
    X(DROP_COOKIE, "bad_cookie")            /* cookie reply that answers nothing */                                    \
    X(DROP_FULL, "full")                    /* reply queue full, or no memory for a session */

enum wg_in {
#define X(name, text) WG_IN_##name,
    WG_IN_MAP(X)
#undef X
        WG_IN_COUNT
};
const char *wg_in_name(enum wg_in in);

/* An initiation that passed mac1, load, and the opening of its static key: everything needed to go on elsewhere. It
 * is plain data (may be copied between threads) and holds secrets: wipe it with wg_half_wipe after use. */
struct wg_half {
    uint8_t static_public[WG_KEY_BYTES]; /* who says it is calling; proven only by wg_peer_input_half */
    uint8_t identity_public[WG_KEY_BYTES]; /* which of our identities it called */
    struct endpoint from;
    uint8_t message[WG_HANDSHAKE_BYTES_MAX]; /* the initiation itself */
    uint8_t hash[32];
    uint8_t chaining_key[32];
};
void wg_half_wipe(struct wg_half *half);

struct wg_input {
    struct wg_peer *peer;    /* set whenever the datagram was authenticated as from this peer, else NULL */
    bool roam;               /* peer set and the datagram passed the replay check: `from` is where it lives now */
    uint8_t *plaintext;      /* DATA: inside the datagram's buffer; may carry zero padding behind the IP packet */
    size_t plaintext_len;
    struct wg_half half;     /* HALF only; else untouched */
};

enum wg_event_kind {
    WG_EVENT_UP = 1, /* the peer can be sent to now (was not before) */
    WG_EVENT_DOWN,   /* its last session ended or its keys were wiped; data can't be sent */
    WG_EVENT_GAVE_UP /* REKEY_ATTEMPT_TIME of initiations without an answer */
};

struct wg_event {
    enum wg_event_kind kind;
    struct wg_peer *peer;
};
/* Every DOWN stands between two UPs, also when the session came back before the events were taken: who was told
 * ERR_NO_SESSION can wait for the next UP. GAVE_UP may come while an older session still works; the next
 * wg_peer_seal or wg_peer_initiate begins a new attempt. */

struct wg_output {
    struct wg_peer *peer; /* whom it is for; NULL for a cookie reply */
    bool reply;           /* send it to `to`, where the datagram it answers came from; else the path layer decides */
    struct endpoint to;
    size_t len;
};

/* wg_device_new - a device without identities or peers. NULL: out of memory. */
struct wg_device *wg_device_new(const struct wg_config *config);
void wg_device_free(struct wg_device *dev); /* wipes every secret; NULL is allowed; peers are freed too */

/* wg_identity_add - answer as this static key too. `private_key` is copied into guarded memory. Returns 0, ERR_EXISTS,
 * ERR_FULL (more than WG_IDENTITIES_MAX), ERR_NOMEM or ERR_INVALID. wg_identity_remove frees it; peers that initiate
 * as it must be gone, else ERR_WRONG_STATE. Returns 0 or ERR_NOT_FOUND. */
int wg_identity_add(struct wg_device *dev, const uint8_t private_key[WG_KEY_BYTES]);
int wg_identity_remove(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES]);

struct wg_peer_config {
    uint8_t public_key[WG_KEY_BYTES];
    uint8_t preshared_key[WG_KEY_BYTES]; /* all zero: none */
    uint8_t identity[WG_KEY_BYTES];      /* public key of the identity that initiates to it */
    uint64_t keepalive_ns;               /* persistent keepalive; 0: off */
    uint8_t shard;                       /* low 8 bits of every receiver index of this peer */
    uint8_t stamp_heard[12];             /* initiations must have a greater stamp: wg_peer_stamp_heard of the peer's
                                          * earlier life, so that old ones can't be replayed; all zero: none known */
    void *owner;                         /* given back by wg_peer_owner */
};

/* wg_peer_new - add a peer. NULL and *err: ERR_EXISTS (key known), ERR_NOT_FOUND (identity), ERR_NOMEM, ERR_INVALID
 * (zero DH). A peer without a session costs no key memory. */
struct wg_peer *wg_peer_new(struct wg_device *dev, const struct wg_peer_config *config, ts_t now, int *err);
void wg_peer_free(struct wg_peer *peer); /* wipes its keys; pending events and outputs for it vanish; NULL allowed */
struct wg_peer *wg_peer_find(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES]);
void *wg_peer_owner(const struct wg_peer *peer);
const uint8_t *wg_peer_key(const struct wg_peer *peer);
const uint8_t *wg_peer_stamp_heard(const struct wg_peer *peer); /* 12 bytes: the greatest initiation stamp accepted */

/* wg_peer_identity_set - from now on initiate as another identity of ours. Sessions go on until one under it is there, which
 * is asked for at once. Returns 0, ERR_NOT_FOUND (no such identity) or ERR_INVALID (zero DH); then nothing changed. */
int wg_peer_identity_set(struct wg_peer *peer, const uint8_t identity[WG_KEY_BYTES], ts_t now)
    __attribute__((warn_unused_result));

/* wg_peer_initiation_lost - the last initiation is known to have reached nobody, so the next one need not wait 5 s for an
 * answer. It leaves 30 ms after that one: a copy may have come through, and then the peer would drop one that comes too
 * fast, while we could no longer take the answer to the first. Nothing when none is awaited. */
void wg_peer_initiation_lost(struct wg_peer *peer, ts_t now);

/* wg_peer_keepalive_set - change the persistent keepalive; turning it on sends one (or initiates) at once, while a
 * peer made with one waits for its first interval. Section 6.5 and wg(8). */
void wg_peer_keepalive_set(struct wg_peer *peer, uint64_t keepalive_ns, ts_t now);

/* wg_device_input - a datagram of len bytes came from `from`. It is changed in place, and *out filled in. A packet
 * comes out as it was sent, with its padding: its IP header tells its length, and judging it is the caller's.
 * Section 5.4.6, 6. */
enum wg_in wg_device_input(struct wg_device *dev, uint8_t *datagram, size_t len, const struct endpoint *from,
                           struct wg_input *out, ts_t now);

/* wg_peer_input_half - go on with an initiation that came out as WG_IN_HALF, now that its peer exists: any device that
 * holds the same identity may. HANDSHAKE, or why not; the answer goes to half->from. The half stays the caller's to
 * wipe. */
enum wg_in wg_peer_input_half(struct wg_peer *peer, const struct wg_half *half, struct wg_input *out, ts_t now);

/* wg_peer_can_send - a current session exists that is young enough and below its limit. */
bool wg_peer_can_send(const struct wg_peer *peer, ts_t now);

/* wg_peer_seal - turn the packet at buf + WG_HEADER_BYTES (plaintext_len bytes) into a transport datagram at buf.
 * buf has room for plaintext_len + WG_OVERHEAD_MAX bytes; padding goes up to a multiple of 16 but not above `mtu`.
 * Returns the datagram's length, or ERR_NO_SESSION (and a handshake is asked for). Section 5.4.6. */
int wg_peer_seal(struct wg_peer *peer, uint8_t *buf, size_t plaintext_len, size_t mtu, ts_t now);

/* wg_peer_initiate - ask for a handshake: now, or REKEY_TIMEOUT after our last handshake message to this peer. Does
 * nothing while an attempt is under way; one ends with a session or with WG_EVENT_GAVE_UP. Section 6.1, 6.4. */
void wg_peer_initiate(struct wg_peer *peer, ts_t now);

/* wg_peer_heard - when anything authenticated last came from the peer; 0: never. */
ts_t wg_peer_heard(const struct wg_peer *peer);
/* wg_peer_handshake_at - when the newest session was derived; 0: never. */
ts_t wg_peer_handshake_at(const struct wg_peer *peer);

/* wg_device_output - next handshake, cookie or keepalive datagram into buf (cap >= WG_HANDSHAKE_BYTES_MAX bytes).
 * wall_ns: Unix time for the initiation's stamp. Returns its length (out->len) or 0 when there is none.
 * Pull after packets were sealed: a sealed packet makes a keepalive that was due unnecessary. */
size_t wg_device_output(struct wg_device *dev, uint8_t *buf, size_t cap, struct wg_output *out, ts_t now,
                        uint64_t wall_ns);

/* Initiation stamps only move forward, also over restarts: the program gives the floor kept on disk before it makes
 * peers (every stamp sent to them is greater), and keeps the newest one there. Unix time in ns. Section 5.1, 5.4.2. */
void wg_device_stamp_floor_set(struct wg_device *dev, uint64_t wall_ns);
uint64_t wg_device_stamp_last(const struct wg_device *dev);

/* wg_device_deadline - when to call wg_device_expire if nothing happens; TS_NEVER: not at all. It may be early. */
ts_t wg_device_deadline(const struct wg_device *dev);
void wg_device_expire(struct wg_device *dev, ts_t now);

/* wg_device_event - the next event; false when there is none. */
bool wg_device_event(struct wg_device *dev, struct wg_event *out);

/* wg_datagram_index - the receiver index that steers a datagram to its worker; false for initiations and noise. */
bool wg_datagram_index(const uint8_t *datagram, size_t len, uint32_t *index);

#endif
