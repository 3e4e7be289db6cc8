/* feed_session.h - one network source over all its connections: where to connect, what to say, when to give up, when to
 * try again. No I/O: an adapter owns sockets and files and obeys.
 *
 *      WAITING --wants--> CONNECTING --connected--> TALKING --ended, bad, silent--> WAITING (backoff) …
 *                                                      \--redirected--> CONNECTING at once
 *
 * The adapter, after every call: as feed_session_wants says, open a connection (and feed_session_connected or _ended),
 * or close the one it has; send feed_session_output; feed what arrives to feed_session_input and hand each step on;
 * arm feed_session_deadline.
 *
 * What goes wrong never reaches the map but as ABORT: the reason is in feed_session_status, for log and status. */
#ifndef FEED_FEED_SESSION_H
#define FEED_FEED_SESSION_H

#include "common/base/rng.h"
#include "ingress/feed/feed_dialect.h"
#include "ingress/feed/feed_source.h"

#define FEED_SESSION_URLS_MAX      8
#define FEED_SESSION_REDIRECTS_MAX 5

struct feed_session;

struct feed_session_config {
    const struct url *urls; /* copied; the next one follows a failure */
    size_t urls_count;      /* 1 to FEED_SESSION_URLS_MAX */
    uint64_t silence_ns;    /* a stream that says nothing whole for so long is given up */
    bool plain;             /* http:// may lead to other machines too */
    struct feed_dialect *dialect; /* the session's from here on, also when this fails */
    struct rng *rng;              /* for the backoff's jitter */
};

/* feed_session_new - waits for its first deadline, which is `now`. NULL: out of memory. */
struct feed_session *feed_session_new(const struct feed_session_config *config, ts_t now);
void feed_session_free(struct feed_session *s); /* NULL allowed */

enum feed_session_wants {
    FEED_SESSION_NOTHING = 0, /* no connection: close it if there is one */
    FEED_SESSION_CONNECT,     /* a new connection to feed_session_url (close one that is there) */
    FEED_SESSION_TALK,        /* the connection as it is */
};

enum feed_session_wants feed_session_wants(const struct feed_session *s);

/* feed_session_url - where CONNECT leads. foreign: a redirect led to another origin, where neither secret nor client
 * certificate may go (the session keeps the secret back by itself). */
const struct url *feed_session_url(const struct feed_session *s, bool *foreign);

/* feed_session_connected - the connection stands. secret: token or password for it, NULL: none; copied. */
void feed_session_connected(struct feed_session *s, const char *secret, ts_t now);

/* feed_session_ended - it ended, or could not be made: `why` for people, NULL: in order. */
void feed_session_ended(struct feed_session *s, const char *why, ts_t now);

/* feed_session_input - what arrived. True: *op is the next step, and the rest (from *used on) is to be fed again after
 * it was taken; borrowed until then, and `data` stays where it is. False: all is used, or of no use. len may be 0, for a step that is due anyway
 * (ABORT); call it so after feed_session_ended and feed_session_expire. */
bool feed_session_input(struct feed_session *s, const char *data, size_t len, size_t *used, struct feed_op *op,
                        ts_t now);

/* feed_session_output - bytes to send; 0: none. feed_session_sent - so many of them were. */
size_t feed_session_output(const struct feed_session *s, const char **data);
void feed_session_sent(struct feed_session *s, size_t len);

/* feed_session_hold - a step waits for the map (true), or was taken (false): the far side is not to blame meanwhile. */
void feed_session_hold(struct feed_session *s, bool held, ts_t now);

ts_t feed_session_deadline(const struct feed_session *s);
void feed_session_expire(struct feed_session *s, ts_t now);

/* feed_session_retry - something changed (files, configuration): what waits tries again at once. */
void feed_session_retry(struct feed_session *s, ts_t now);

/* feed_session_again - what was told could not be put in force: end this connection, and ask for a snapshot with the next.
 * Nothing while there is none that is current. */
void feed_session_again(struct feed_session *s, ts_t now);

/* feed_session_status - as the sink wants to hear it; changes counts up with every difference. */
const struct feed_source_status *feed_session_status(const struct feed_session *s);
uint64_t feed_session_changes(const struct feed_session *s);

#endif
