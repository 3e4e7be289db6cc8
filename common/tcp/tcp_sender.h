/* tcp_sender.h - what a connection needs only while it sends: the scoreboard, loss recovery, the delivery rate and
 * congestion control. Most connections of a relay are idle most of the time, and this is half of what they would hold.
 *
 * It is made with the first byte and given up when nothing was in flight for TCP_SENDER_KEEP_NS: what was learned about
 * the path is stale by then (BBR's shortest round trip counts as long), and the next byte starts anew from the initial
 * window. One that never lost anything nor delivered more than that window goes after a retransmission timeout already,
 * when RFC 5681 section 4.1 would have it start from there anyway: a request and its answer, then silence, is what
 * most connections are. The smoothed round trip stays with the connection. */
#ifndef TCP_TCP_SENDER_H
#define TCP_TCP_SENDER_H

#include "common/tcp/tcp_cc.h"
#include "common/tcp/tcp_loss.h"
#include "common/tcp/tcp_rate.h"
#include "common/tcp/tcp_track.h"

#define TCP_SENDER_KEEP_NS (10 * TS_S)

struct tcp_conn;

struct tcp_sender {
    struct tcp_track track;
    struct tcp_loss loss;
    struct tcp_rate rate;
    struct tcp_cc cc;
    uint64_t window_grows; /* position: until it is acknowledged, the peer's window counts as one that still grows */
};

/* tcp_sender_wake - the connection's sender, made if need be; NULL: no memory. */
struct tcp_sender *tcp_sender_wake(struct tcp_conn *c, ts_t now);

/* tcp_sender_algorithm - which one it uses, or would. Without SACK that is CUBIC: one repair a round trip leaves BBR,
 * which does not slow down meanwhile, with ever more to repair. */
const struct tcp_cc_ops *tcp_sender_algorithm(const struct tcp_conn *c);

/* tcp_sender_drop - give it up, and with it everything known of what is in flight. Harmless when there is none. */
void tcp_sender_drop(struct tcp_conn *c);

/* tcp_sender_rest_at - when an idle connection gives it up; TS_NEVER: something is in flight, or there is none. */
ts_t tcp_sender_rest_at(const struct tcp_conn *c);

/* tcp_sender_limited - about to look at more to send, or at what was acknowledged: if there was not enough to send
 * until now, or the peer's window held it back that still grows, samples of the delivery rate have to know. */
void tcp_sender_limited(struct tcp_conn *c);

#endif
