/* talk.h - what the simulations of feed sessions share: chance, the bytes on their way between an invented server and a session,
 * and the session's steps, now and then not taken at once. */
#ifndef TESTS_SIM_TALK_H
#define TESTS_SIM_TALK_H

#include "ingress/feed/feed_session.h"

#define TALK_STREAM  ((size_t)4 << 20)
#define TALK_REQUEST 4096 /* the longest, with its zero */

struct talk {
    /* the simulation's: its name, and what it does with a step that is taken, with what the session wants, with an end */
    const char *name;
    void (*apply)(const struct feed_op *op);
    void (*obey)(void);
    void (*ended)(const char *why);

    uint64_t seed;
    struct rng rng, jitter; /* jitter: the session's */
    ts_t now;
    bool calm; /* no faults any more */
    /* the connection, and what the server sends by it */
    bool open;
    bool cut_at_end; /* it ends once everything is sent */
    bool mute;       /* the server sends no more */
    char *stream;
    size_t len, sent;
    /* the client */
    struct feed_session *session;
    struct feed_op op;
    bool held; /* op was not taken */
    char piece[16384];
    size_t piece_len, piece_used;
};

/* talk_begin - another world; what the simulation set stays, and the memory of the stream (talk_deinit frees it). */
void talk_begin(struct talk *t, uint64_t seed);
void talk_deinit(struct talk *t);

void talk_fail(const struct talk *t, const char *what) __attribute__((noreturn));
bool talk_dice(struct talk *t, unsigned in_10000);
bool talk_fault(struct talk *t, unsigned in_10000); /* the same, and never when all is calm */

void talk_put(struct talk *t, const char *bytes, size_t len); /* the server sends; what would be above TALK_STREAM is lost */
bool talk_request(struct talk *t, char out[TALK_REQUEST]);     /* what the session sends; false: nothing */

void talk_hand_on(struct talk *t); /* all steps that the piece at hand makes, until one is held */
void talk_let_go(struct talk *t);  /* a held step is tried once more */
/* talk_deliver - some pieces of the stream, so many in 10000 of them small ones; then the connection may be cut. */
void talk_deliver(struct talk *t, unsigned small_in_10000, unsigned cut_in_10000);

#endif
