/* tcp_track.h - the scoreboard: every segment in flight and what is known of it.
 *
 * Segments stand in a ring in stream order, without gaps between them: each begins where the one before it ends. Those
 * still thought to be travelling are also linked in the order they were last sent, which is the order RACK (RFC 8985)
 * looks at them. A ring that grew exists only while something is in flight. */
#ifndef TCP_TCP_TRACK_H
#define TCP_TCP_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ts.h"
#include "common/tcp/tcp_rate.h"

#define TCP_TRACK_MAX (1u << 16) /* segments in flight; 76 MiB of full ones */

enum tcp_sent_flag {
    TCP_SENT_SACKED = 1 << 0,
    TCP_SENT_LOST = 1 << 1,    /* to be sent again */
    TCP_SENT_AGAIN = 1 << 2,   /* was sent more than once */
    TCP_SENT_COUNTED = 1 << 3, /* not sacked, yet its bytes were counted as delivered already */
};

struct tcp_sent {
    uint64_t start;     /* position of its first byte; the SYN is 0 */
    ts_t sent_at;       /* last time */
    uint32_t next, prev; /* neighbours in the order of sending, as ring indexes */
    uint16_t len;       /* bytes, a FIN counted as one; 0 < len */
    uint8_t flags;      /* enum tcp_sent_flag */
    struct tcp_rate_stamp rate; /* set by the sender after tcp_track_sent and _resent */
};

struct tcp_track {
    struct tcp_track_ring *ring; /* NULL: nothing in flight, but not the other way round */
};

/* What the segments that one acknowledgement newly delivered tell; filled by tcp_track_acked and _sacked. */
struct tcp_delivery {
    ts_t now;            /* in: set by the caller */
    uint64_t rtt_min_ns; /* in: a segment sent again and "answered" faster than this was answered before */
    uint64_t bytes;      /* newly delivered */
    uint64_t rtt_ns;     /* of the last sent segment among them; 0: that one was sent more than once */
    ts_t newest_at;      /* RACK: when the last sent one was sent; 0: none */
    uint64_t newest_end; /* and where it ends */
    bool reordered;      /* one sent once came after a later one: RFC 8985 section 6.2 step 3 */
    bool again;          /* one that was sent more than once is among them */
    struct tcp_sent newest; /* the last sent whole segment among them; len 0: none */
};

/* a scoreboard with nothing in flight, for those who have none of their own */
extern const struct tcp_track tcp_track_none;

void tcp_track_init(struct tcp_track *t);
void tcp_track_deinit(struct tcp_track *t);

/* tcp_track_reserve - room for one more segment; false: no memory, or TCP_TRACK_MAX in flight. */
bool tcp_track_reserve(struct tcp_track *t);

/* tcp_track_sent - [start, start + len) goes out for the first time, right after what went before. Reserve first.
 * Returns its entry, good until the next call. */
struct tcp_sent *tcp_track_sent(struct tcp_track *t, uint64_t start, uint16_t len, ts_t now);

/* tcp_track_resent - this segment goes out once more; it is not lost from now on. */
void tcp_track_resent(struct tcp_track *t, struct tcp_sent *s, ts_t now);

/* tcp_track_acked - everything before `upto` arrived; segments are dropped, a cut one keeps its rest. */
void tcp_track_acked(struct tcp_track *t, uint64_t upto, struct tcp_delivery *d);

/* tcp_track_sacked - [start, end) arrived, in part perhaps known. Only whole segments are marked. */
void tcp_track_sacked(struct tcp_track *t, uint64_t start, uint64_t end, struct tcp_delivery *d);

/* tcp_track_duplicate - without SACK: something beyond the first segment arrived, nobody knows what. The earliest
 * that may have counts as sacked; no round trip is measured by it. RFC 5681 section 3.2. */
void tcp_track_duplicate(struct tcp_track *t, struct tcp_delivery *d);

/* tcp_track_missing - without SACK: an acknowledgement ended before the first segment, so that one is missing; if it
 * passed for sacked, another one does from now on. NULL: nothing in flight. RFC 6582 section 3.2, step 3. */
struct tcp_sent *tcp_track_missing(struct tcp_track *t);

/* tcp_track_resegment - everything not sacked is lost and goes out again in segments of at most len_max. False: no
 * memory, or too many segments; nothing changed. */
bool tcp_track_resegment(struct tcp_track *t, uint16_t len_max);

/* tcp_track_lose - mark s lost unless it is, or is sacked. */
void tcp_track_lose(struct tcp_track *t, struct tcp_sent *s);

/* tcp_track_oldest - the travelling segment sent longest ago; tcp_track_later - the next one after it. NULL: none. */
struct tcp_sent *tcp_track_oldest(const struct tcp_track *t);
struct tcp_sent *tcp_track_later(const struct tcp_track *t, const struct tcp_sent *s);

/* tcp_track_first, tcp_track_last - in stream order, of all in flight. NULL: none. */
struct tcp_sent *tcp_track_first(const struct tcp_track *t);
struct tcp_sent *tcp_track_last(const struct tcp_track *t);

/* tcp_track_lost - the first lost segment in stream order, NULL when there is none. */
struct tcp_sent *tcp_track_lost(struct tcp_track *t);

/* tcp_track_renege - the peer threw away what it had sacked: forget all sacks. RFC 2018 section 8. */
void tcp_track_renege(struct tcp_track *t);

/* tcp_track_unlose - the losses were a mistake: everything marked lost travels again, as sent when it was. */
void tcp_track_unlose(struct tcp_track *t);

bool tcp_track_empty(const struct tcp_track *t);
uint64_t tcp_track_pipe(const struct tcp_track *t);         /* bytes thought to be travelling */
uint64_t tcp_track_lost_bytes(const struct tcp_track *t);   /* waiting to be sent again */
uint64_t tcp_track_sacked_bytes(const struct tcp_track *t); /* arrived beyond a hole */
uint32_t tcp_track_sacked_count(const struct tcp_track *t); /* the same in segments */

/* tcp_track_check - every counter and link against the segments themselves. una, nxt: what must be covered. */
void tcp_track_check(const struct tcp_track *t, uint64_t una, uint64_t nxt);

#endif
