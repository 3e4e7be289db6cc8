/* tcp_window.h - how much a peer may send us: the window's size, its edge, and when to say that it moved.
 *
 * The size starts modest and follows what arrives ("dynamic right-sizing", Fisk and Feng, 2001), as long as the reader
 * keeps up: four times the bytes of a round trip. A sender doubles what it has in flight once before it can hear of a
 * wider window, and once more while a loss is repaired, when nothing can be read and the window slides for nobody. What
 * arrives beyond a hole counts, so a lossy path does not pass for a slow one. The
 * advertised edge never moves back (RFC 9293 section 3.8.6) and moves in steps worth a segment (RFC 9293 section
 * 3.8.6.2.2, silly windows). */
#ifndef TCP_TCP_WINDOW_H
#define TCP_TCP_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/ts.h"

#define TCP_WINDOW_START  (256u * 1024)
#define TCP_WINDOW_SCARCE (64u * 1024) /* when memory is short */

struct tcp_window {
    uint64_t edge;     /* first position the peer may not send */
    uint64_t round_bytes; /* arrived in this measuring round */
    ts_t round_since;     /* TS_NEVER: no round yet */
    uint64_t rtt_ns;   /* the path's round trip as a receiver sees it; 0: not known */
    uint32_t size;     /* bytes unread or still to come that we are ready to hold */
    uint8_t shift;     /* ours, RFC 7323; 0 until agreed */
};

/* tcp_window_init - size_max: bytes it will ever be, > 0; the same in all calls. */
void tcp_window_init(struct tcp_window *w, size_t size_max);

/* tcp_window_shift_for - the smallest shift that can express size_max. */
uint8_t tcp_window_shift_for(size_t size_max);

/* tcp_window_rtt - a segment answered one of ours sent rtt_ns ago. Only the smaller ones count much: the peer may have
 * had nothing to say. */
void tcp_window_rtt(struct tcp_window *w, uint64_t rtt_ns);

/* tcp_window_arrived - so many bytes came that had not been here; size_max: as above; unread: those in order that waited
 * for the reader. */
void tcp_window_arrived(struct tcp_window *w, size_t size_max, size_t bytes, size_t unread, ts_t now);

/* tcp_window_due - an acknowledgement should go out only because the edge can move far enough; scarce: as below;
 * soon: one goes soon anyway, and only a peer that may be short of window cannot wait for it. */
bool tcp_window_due(const struct tcp_window *w, uint64_t head, uint64_t next, uint16_t mss, bool scarce, bool soon);

/* tcp_window_offer - the value for the header's field, moving the edge if that is worth it. head: first unread
 * position, next: first position not received (the FIN included). scarce: memory is short, the edge moves to
 * TCP_WINDOW_SCARCE at most. */
uint16_t tcp_window_offer(struct tcp_window *w, uint64_t head, uint64_t next, uint16_t mss, bool scarce);

#endif
