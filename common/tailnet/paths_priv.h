/* paths_priv.h - what paths.c (peers, datagrams in and out) and paths_talk.c (one conversation) share. */
#ifndef TAILNET_PATHS_PRIV_H
#define TAILNET_PATHS_PRIV_H

#include "common/base/bucket.h"
#include "common/base/list.h"
#include "common/base/timerq.h"
#include "common/crypto/secret.h"
#include "common/tailnet/paths.h"

#define PATHS_WAITING_MAX 512 /* datagrams that wait to be pulled; a power of two */
#define PATHS_REGIONS     65536

/* One address a node may have. */
struct paths_candidate {
    struct addrport at;
    struct addr local; /* ours, where it was heard from; none when it was not */
    bool listed;       /* by the netmap: stays as long as it is there */
    bool waiting;      /* a ping is out, and none was answered since waiting_at */
    ts_t waiting_at;
    struct {
        uint8_t txid[DISCO_TXID_BYTES];
        ts_t at; /* 0: none */
    } pings[2]; /* the last one, and the one before: heartbeats come faster than they time out */
    ts_t pinged_at; /* the last one; 0: never */
    ts_t added_at;
    ts_t ponged_at; /* 0: never */
    uint64_t latency_ns;
};

struct paths_peer;

/* A conversation with a peer. */
struct paths_talk {
    struct paths_peer *peer;
    struct timer timer;
    struct list told; /* among those whose way has changed */
    struct list call; /* among those that wait for our own endpoints */
    const uint8_t *shared; /* box secret with its disco key; NULL: not made, or it can't be */
    struct paths_candidate *candidates;
    uint8_t candidates_count, candidates_room;
    bool ending; /* idle: goes once its last event is taken */
    struct endpoint best; /* by UDP; kind NONE: nothing answers */
    uint64_t best_latency_ns;
    ts_t trusted_until;
    ts_t sent_at;      /* data, last; 0: never */
    ts_t used_at;      /* anything, last */
    ts_t heartbeat_at; /* TS_NEVER: nothing was sent for a session's time */
    ts_t round_at;     /* all candidates were pinged, last; 0: never */
    ts_t called_at;    /* it was called, last; 0: never */
    uint16_t heard_region; /* where it last spoke to us; 0: nowhere */
    ts_t heard_at;
    struct bucket calls; /* how often it may make us ping at once */
    uint8_t answered[DISCO_TXID_BYTES]; /* the last ping answered, and where to */
    struct endpoint answered_to;
    struct paths_way way; /* as last told */
};

struct paths_peer {
    struct map_node by_key, by_disco;
    uint8_t key[PATHS_KEY_BYTES];
    uint8_t disco[DISCO_KEY_BYTES];
    struct addrport *endpoints;
    uint8_t endpoints_count;
    bool told;  /* somebody holds a way of ours */
    bool swept; /* paths_sweep_begin was called, and it was not set since */
    uint16_t home;
    struct paths_talk *talk; /* NULL: nobody talks to it */
};

/* A datagram to be made when it is pulled. */
struct paths_waiting {
    struct paths_peer *peer; /* NULL: it has gone meanwhile */
    enum disco_type type;
    uint8_t txid[DISCO_TXID_BYTES];
    struct addrport source; /* of a pong */
    struct endpoint to;
};

struct paths {
    struct rng *rng;
    const uint8_t *disco_private; /* guarded */
    uint8_t disco_public[DISCO_KEY_BYTES];
    uint8_t node_key[PATHS_KEY_BYTES];
    struct secret_pool secrets;
    struct map_seed seed;
    struct map peers, discos;
    struct timerq timers;
    struct list told, calls;
    struct paths_waiting waiting[PATHS_WAITING_MAX];
    size_t waiting_first, waiting_count;
    struct addrport own[DISCO_ENDPOINTS_MAX];
    size_t own_count;
    ts_t own_at; /* TS_NEVER: never found out */
    bool freshen;
    ts_t busy_until;
    size_t talks;
    uint8_t up[PATHS_REGIONS / 8]; /* regions with a connection, a bit each */
    struct paths_stats stats;
};

/* ---- paths.c ---- */

/* paths_wait - queue a datagram. False: full. */
bool paths_wait(struct paths *paths, const struct paths_waiting *waiting);
size_t paths_room(const struct paths *paths);
bool paths_region_up(const struct paths *paths, uint16_t region);

/* ---- paths_talk.c ---- */

/* paths_talk_get - the peer's conversation, made if there is none. NULL: out of memory. */
struct paths_talk *paths_talk_get(struct paths *paths, struct paths_peer *peer, ts_t now);
void paths_talk_end(struct paths *paths, struct paths_peer *peer);
/* paths_talk_secret - the box secret, made if it is not there; NULL: it has no disco key, or no good one. */
const uint8_t *paths_talk_secret(struct paths *paths, struct paths_talk *talk);
/* paths_talk_disco_changed - another machine, or the same one started again: nothing that was found out holds. */
void paths_talk_disco_changed(struct paths *paths, struct paths_talk *talk, ts_t now);
/* paths_talk_listed - the peer's endpoints in the netmap have changed. */
void paths_talk_listed(struct paths_talk *talk, ts_t now);
/* paths_talk_round - ping every candidate; with spacing: not those pinged within PATHS_PING_SPACING_NS. */
void paths_talk_round(struct paths *paths, struct paths_talk *talk, bool spacing, ts_t now);
/* paths_talk_call - tell the peer to ping us, now or as soon as we know where we are. */
void paths_talk_call(struct paths *paths, struct paths_talk *talk, ts_t now);
void paths_talk_sent(struct paths *paths, struct paths_talk *talk, ts_t now);
/* paths_talk_pinged - a ping of the peer came from there by UDP. */
void paths_talk_pinged(struct paths *paths, struct paths_talk *talk, const struct endpoint *from, ts_t now);
void paths_talk_called(struct paths *paths, struct paths_talk *talk, const struct disco_message *m, ts_t now);
/* paths_talk_pong - false: no ping of ours to this peer. */
bool paths_talk_pong(struct paths *paths, struct paths_talk *talk, const struct disco_message *m,
                     const struct endpoint *from, ts_t now);
/* paths_talk_tell - its way may have changed: if so there is an event. */
void paths_talk_tell(struct paths *paths, struct paths_talk *talk, ts_t now);
struct paths_way paths_talk_way(const struct paths *paths, const struct paths_talk *talk, ts_t now);
void paths_talk_expire(struct paths *paths, struct paths_talk *talk, ts_t now);

/* ---- paths_choice.c ---- */

/* paths_better - whether an address with that latency is to be preferred to the other. */
bool paths_better(const struct addrport *a, uint64_t a_latency_ns, const struct addrport *b, uint64_t b_latency_ns);
/* paths_usable - whether an address that somebody names is worth a ping. */
bool paths_usable(const struct addrport *at);

#endif
