/* test_segments.c - one stack against a scripted peer, segment by segment, in the manner of packetdrill: each case is a
 * table of what comes in, what must go out, what the owner does, and how time passes.
 *
 * Sequence numbers in the tables are relative to both sides' initial ones, the SYN being 0. The peer's initial number
 * is just below 2^32, so every case also crosses the wrap. */
#include "common/tcp/tcp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/ip/ip.h"
#include "common/ip/tcp_header.h"
#include "common/tcp/tcp_reply.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* what a line leaves out is zero */

#define PEER_ISN 0xffffffe0u
#define MSS      1000

enum what {
    END = 0,
    IN,      /* the peer sends this segment */
    OUT,     /* exactly this comes out next */
    SILENCE, /* nothing comes out */
    WAIT,    /* `seq` milliseconds pass, timers fire */
    WRITE,   /* `seq` bytes */
    READ,    /* exactly `seq` bytes are there, and are consumed */
    CONSUME, /* `seq` of the bytes that are there */
    SHUTDOWN,
    RELEASE,
    ABORT,
    EVENT, /* these flags and no other (flags), with this error (ack) */
    STATE, /* name */
};

#define S TCP_SYN
#define A TCP_ACK
#define F TCP_FIN
#define R TCP_RST
#define P TCP_PSH
#define NO_ACK 0

struct line {
    enum what what;
    int flags;
    long seq, ack;
    size_t len;
    int window;         /* the field as it is; -1 means 0; 0 in IN: 60000, in OUT: whatever it is */
    long sack[3][2];    /* end 0: no more */
    const char *name;
    uint32_t ts;        /* in IN: a timestamp of this value, echoing ours; 0: none */
    bool no_sack;       /* in IN: a SYN without SACK-permitted */
    int shift;          /* in IN: a SYN with this window shift and one more; 0: without the option */
    uint16_t mss;       /* in IN: a SYN with this one; 0: MSS */
};

static struct {
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct pool pool;
    struct rng rng;
    struct tcp_conn *conn;
    struct addrport local, remote;
    uint32_t isn;
    uint32_t ts, ts_echo; /* on the last segment that came out */
    ts_t now;
} t;

static void segment_from(struct tcp_peer *peer, const struct line *l)
{
    struct tcp_header h = {
        .src_port = t.remote.port,
        .dst_port = t.local.port,
        .seq = PEER_ISN + (uint32_t)l->seq,
        .ack = l->flags & A ? t.isn + (uint32_t)l->ack : 0,
        .flags = (uint8_t)l->flags,
        .window = l->window < 0 ? 0 : l->window ? (uint16_t)l->window : 60000,
    };
    uint8_t buf[2048];
    size_t header, ip;

    if (l->flags & S) {
        h.mss = l->mss ? l->mss : MSS;
        h.sack_permitted = !l->no_sack;
        h.has_window_shift = l->shift > 0;
        h.window_shift = (uint8_t)(l->shift - h.has_window_shift);
    }
    if (l->ts) {
        h.has_timestamp = true;
        h.ts_value = l->ts;
        h.ts_echo = t.ts;
    }
    for (; h.sack_count < 3 && l->sack[h.sack_count][1]; h.sack_count++) {
        h.sack[h.sack_count].start = t.isn + (uint32_t)l->sack[h.sack_count][0];
        h.sack[h.sack_count].end = t.isn + (uint32_t)l->sack[h.sack_count][1];
    }
    header = tcp_header_len(&h);
    ip = ip_header_write(buf, &t.remote.addr, &t.local.addr, IP_PROTOCOL_TCP, header + l->len);
    tcp_header_write(&h, buf + ip);
    memset(buf + ip + header, 'p', l->len);
    tcp_checksum_put(buf + ip, header + l->len,
                     ip_pseudo_sum(&t.remote.addr, &t.local.addr, IP_PROTOCOL_TCP, header + l->len));
    tcp_stack_input(t.stack, peer, buf, ip + header + l->len, t.now);
}

static void segment_in(const struct line *l)
{
    segment_from(&t.peer, l);
}

static bool segment_out(struct tcp_header *h, size_t *len)
{
    uint8_t buf[2048];
    struct tcp_peer *peer;
    struct ip_packet ip;
    const uint8_t *payload;
    size_t n = tcp_stack_output(t.stack, buf, sizeof(buf), &peer, t.now);

    if (n == 0)
        return false;
    assert_int_equal(ip_parse(buf, n, &ip), 0);
    assert_int_equal(tcp_header_parse(ip.payload, ip.payload_len, h, &payload, len), 0);
    if (h->flags & S)
        t.isn = h->seq;
    t.local = (struct addrport){ip.src, h->src_port};
    t.ts = h->ts_value;
    t.ts_echo = h->ts_echo;
    return true;
}

static void expect(const char *name, int number, const struct line *l)
{
    struct tcp_header h;
    size_t len = 0;
    bool any = segment_out(&h, &len);
    char got[200] = "silence", want[200];
    int n;

    if (l->what == SILENCE && !any)
        return;
    n = snprintf(want, sizeof(want), "flags=%02x seq=%ld ack=%ld len=%zu", (unsigned)l->flags, l->seq,
                 l->flags & A ? l->ack : 0, l->len);
    for (int i = 0; i < 3 && l->sack[i][1]; i++)
        n += snprintf(want + n, sizeof(want) - (size_t)n, " sack=%ld-%ld", l->sack[i][0], l->sack[i][1]);
    if (l->window)
        snprintf(want + n, sizeof(want) - (size_t)n, " window=%d", MAX(l->window, 0));
    if (any) {
        n = snprintf(got, sizeof(got), "flags=%02x seq=%d ack=%d len=%zu", h.flags, (int32_t)(h.seq - t.isn),
                     h.flags & A ? (int32_t)(h.ack - PEER_ISN) : 0, len);
        for (int i = 0; i < h.sack_count; i++)
            n += snprintf(got + n, sizeof(got) - (size_t)n, " sack=%d-%d", (int32_t)(h.sack[i].start - PEER_ISN),
                          (int32_t)(h.sack[i].end - PEER_ISN));
        if (l->window)
            snprintf(got + n, sizeof(got) - (size_t)n, " window=%u", h.window);
    }
    if (l->what == SILENCE || strcmp(got, want) != 0)
        fail_msg("%s, line %d: wanted %s, got %s", name, number, l->what == SILENCE ? "silence" : want, got);
}

static void pass(long ms)
{
    ts_t end = t.now + (uint64_t)ms * TS_MS;

    for (ts_t next; (next = tcp_stack_deadline(t.stack)) <= end;) {
        t.now = ts_max(t.now, next);
        tcp_stack_expire(t.stack, t.now);
        if (tcp_stack_deadline(t.stack) == next)
            fail_msg("a deadline that does not go away");
    }
    t.now = end;
}

static void expect_event(const char *name, int number, const struct line *l)
{
    struct tcp_event e = {0};

    tcp_stack_event(t.stack, &e);
    if (e.flags & TCP_EVENT_ACCEPTED)
        t.conn = e.conn;
    if (e.flags != (unsigned)l->flags || e.error != (int)l->ack)
        fail_msg("%s, line %d: wanted events %02x error %ld, got %02x error %d", name, number, (unsigned)l->flags,
                 l->ack, e.flags, e.error);
}

static void play(const char *name, const struct line *line)
{
    static uint8_t bytes[100000];
    struct tcp_conn_info info;
    struct iovec iov[64];
    size_t n;

    for (int i = 0; line[i].what != END; i++) {
        const struct line *l = &line[i];

        switch (l->what) {
        case IN:
            segment_in(l);
            break;
        case OUT:
        case SILENCE:
            expect(name, i, l);
            break;
        case WAIT:
            pass(l->seq);
            break;
        case WRITE:
            assert_int_equal(tcp_write(t.conn, bytes, (size_t)l->seq, t.now), l->seq);
            break;
        case READ:
            tcp_read_iov(t.conn, iov, 64, &n);
            if (n != (size_t)l->seq)
                fail_msg("%s, line %d: %zu bytes to read", name, i, n);
            tcp_consume(t.conn, n, t.now);
            break;
        case CONSUME:
            tcp_consume(t.conn, (size_t)l->seq, t.now);
            break;
        case SHUTDOWN:
            tcp_shutdown(t.conn, t.now);
            break;
        case RELEASE:
            tcp_release(t.conn, t.now);
            t.conn = NULL;
            break;
        case ABORT:
            tcp_abort(t.conn, t.now);
            t.conn = NULL;
            break;
        case EVENT:
            expect_event(name, i, l);
            break;
        case STATE:
            tcp_conn_info(t.conn, &info);
            if (strcmp(info.state, l->name) != 0)
                fail_msg("%s, line %d: wanted %s, is %s", name, i, l->name, info.state);
            break;
        case END:
            break;
        }
        if (t.conn)
            tcp_conn_check(t.conn);
    }
}

static void begin_with(bool connect, enum tcp_congestion congestion, size_t recv_window)
{
    struct tcp_config config;
    int err;

    memset(&t, 0, sizeof(t));
    t.now = TS_S;
    rng_seed(&t.rng, 7);
    pool_init(&t.pool, 2048, 1000, 8);
    tcp_config_default(&config);
    config.rng = &t.rng;
    config.pool = &t.pool;
    config.congestion = congestion;
    if (recv_window)
        config.recv_window_max = recv_window;
    t.stack = tcp_stack_new(&config);
    tcp_peer_init(&t.peer, t.stack, NULL, 1280);
    addrport_parse("10.0.0.2:443", 12, &t.remote);
    addrport_parse("10.0.0.1:443", 12, &t.local);
    struct tcp_dial dial = {.peer = &t.peer, .local = t.local.addr, .remote = t.remote};

    if (connect)
        t.conn = tcp_connect(t.stack, &dial, &err, t.now);
    else
        t.remote.port = 5000;
    assert_int_equal(tcp_listen(t.stack, 443, 2, NULL), 0);
}

static void begin(bool connect)
{
    begin_with(connect, TCP_CONGESTION_CUBIC, 0); /* the scripts know its pace */
}

static void finish(void)
{
    struct tcp_event e;

    tcp_release(t.conn, t.now);
    while (tcp_stack_event(t.stack, &e))
        tcp_abort(e.conn, t.now);
    tcp_peer_deinit(&t.peer, t.now);
    tcp_stack_free(t.stack);
    pool_deinit(&t.pool);
}

#define HANDSHAKE                                                                                                      \
    {OUT, S, 0, 0}, {WAIT, .seq = 10}, {IN, S | A, 0, 1}, {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1}, {SILENCE}

#define CASE(title, connects, ...) CASE_WITH(title, connects, TCP_CONGESTION_CUBIC, 0, __VA_ARGS__)
#define CASE_WITH(title, connects, congestion, recv_window, ...)                                                       \
    static void title(void **state)                                                                                    \
    {                                                                                                                  \
        static const struct line lines[] = {__VA_ARGS__, {END}};                                                       \
        (void)state;                                                                                                   \
        begin_with(connects, congestion, recv_window);                                                                 \
        play(#title, lines);                                                                                           \
        finish();                                                                                                      \
    }

/* -- opening ---- */
CASE(active_open, true, HANDSHAKE, {STATE, .name = "ESTABLISHED"})

/* the request rides on the handshake's ACK */
CASE(early_write, true, {OUT, S, 0, 0}, {WRITE, .seq = 300}, {SILENCE}, {WAIT, .seq = 5}, {IN, S | A, 0, 1},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A | P, 1, 1, 300}, {SILENCE})

CASE(syn_again, true, {OUT, S, 0, 0}, {WAIT, .seq = 999}, {SILENCE}, {WAIT, .seq = 1}, {EVENT, TCP_EVENT_SYN_TIMEOUT},
     {OUT, S, 0, 0}, {WAIT, .seq = 1999}, {SILENCE}, {WAIT, .seq = 1}, {OUT, S, 0, 0})

CASE(refused, true, {OUT, S, 0, 0}, {IN, R | A, 0, 1}, {EVENT, TCP_EVENT_CLOSED, .ack = -ECONNREFUSED})
CASE(refused_by_another, true, {OUT, S, 0, 0}, {IN, R | A, 0, 7}, {SILENCE}, {EVENT}, {STATE, .name = "SYN-SENT"})
/* RFC 9293 section 3.10.7.3: an ACK for something never sent is answered with a reset */
CASE(old_syn_ack, true, {OUT, S, 0, 0}, {IN, S | A, 0, 9}, {OUT, R, 9, 0}, {STATE, .name = "SYN-SENT"})

CASE(passive_open, false, {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1}, {IN, A, 1, 1},
     {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED}, {STATE, .name = "ESTABLISHED"})
CASE(passive_syn_again, false, {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1}, {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1},
     {IN, A, 1, 1, 10}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED | TCP_EVENT_READABLE}, {READ, .seq = 10})
CASE(passive_reset, false, {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1}, {IN, R, 1, NO_ACK}, {EVENT}, {SILENCE},
     {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1})

/* -- what rides on a SYN ---- */
CASE(syn_with_bytes, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {SILENCE}, {WAIT, .seq = 5},
     {IN, S | A, 0, 301}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_DRAINED}, {OUT, A, 301, 1}, {SILENCE})
/* its answer comes with the SYN-ACK */
CASE(syn_ack_with_bytes, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {IN, S | A, 0, 301, 90},
     {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_DRAINED | TCP_EVENT_READABLE}, {READ, .seq = 90}, {OUT, A, 301, 91},
     {IN, F | A, 91, 301}, {EVENT, TCP_EVENT_EOF}, {OUT, A, 301, 92})
/* a peer that leaves them lying gets them again, and a part of them where it took a part */
CASE(syn_bytes_lie, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {IN, S | A, 0, 1}, {EVENT, TCP_EVENT_CONNECTED},
     {OUT, A | P, 1, 1, 300}, {SILENCE}, {IN, A, 1, 301}, {EVENT, TCP_EVENT_DRAINED})
/* the window counts from what was taken */
CASE(syn_bytes_window, true, {WRITE, .seq = 350}, {OUT, S, 0, 0, 350}, {WRITE, .seq = 50},
     {IN, S | A, 0, 351, .window = 200}, {EVENT, TCP_EVENT_CONNECTED}, {OUT, A | P, 351, 1, 50}, {SILENCE})
CASE(syn_bytes_in_part, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {IN, S | A, 0, 101},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A | P, 101, 1, 200}, {SILENCE})
CASE(syn_bytes_never_sent, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {IN, S | A, 0, 302}, {OUT, R, 302, 0},
     {STATE, .name = "SYN-SENT"})
/* without options 536 bytes are what any peer takes (RFC 9293 section 3.7.1), ours among them */
CASE(syn_bytes_most, true, {WRITE, .seq = 2000}, {OUT, S, 0, 0, 516}, {SILENCE}, {IN, S | A, 0, 517},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 517, 1, 1000}, {OUT, A | P, 1517, 1, 484})
/* what may be stopped on the way is tried without; what was written after the SYN waits for its answer */
CASE(syn_bytes_once, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {WAIT, .seq = 1000},
     {EVENT, TCP_EVENT_SYN_TIMEOUT}, {OUT, S, 0, 0}, {WRITE, .seq = 50}, {SILENCE}, {IN, S | A, 0, 1},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A | P, 1, 1, 350})
CASE(syn_bytes_refused, true, {WRITE, .seq = 300}, {OUT, S, 0, 0, 300}, {IN, R | A, 0, 301},
     {EVENT, TCP_EVENT_CLOSED, .ack = -ECONNREFUSED})

#define ASKED                                                                                                          \
    {IN, S, 0, NO_ACK, 300}, {SILENCE}, {EVENT, TCP_EVENT_ACCEPTED | TCP_EVENT_READABLE}, {READ, .seq = 300},           \
    {STATE, .name = "SYN-RECEIVED"}, {SILENCE}
CASE(asked_early, false, ASKED, {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 90}, {SILENCE}, {WAIT, .seq = 10},
     {IN, A, 301, 91}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_DRAINED}, {STATE, .name = "ESTABLISHED"}, {SILENCE})
/* the first ACK brings bytes, and only a part of the answer had been taken */
CASE(asked_early_in_part, false, ASKED, {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 90}, {IN, A, 301, 41, 10},
     {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_READABLE}, {READ, .seq = 10}, {OUT, A | P, 41, 311, 50})
CASE(asked_early_lie, false, ASKED, {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 90}, {IN, A, 301, 92}, {OUT, R, 92, 0})
/* who takes his time is not waited for */
CASE(asked_early_late, false, ASKED, {WAIT, .seq = 4}, {SILENCE}, {WAIT, .seq = 1}, {OUT, S | A, 0, 301}, {SILENCE},
     {WRITE, .seq = 90}, {SILENCE}, {IN, A, 301, 1}, {EVENT, TCP_EVENT_CONNECTED}, {OUT, A | P, 1, 301, 90})
/* the SYN-ACK was lost: it comes without bytes, and those of the first may have arrived all the same */
CASE(asked_early_again, false, ASKED, {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 90}, {IN, S, 0, NO_ACK, 300},
     {OUT, S | A, 0, 301}, {IN, A, 301, 91}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_DRAINED}, {SILENCE})
CASE(asked_early_lost, false, ASKED, {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 90}, {WAIT, .seq = 1000},
     {EVENT, TCP_EVENT_SYN_TIMEOUT}, {OUT, S | A, 0, 301}, {IN, A, 301, 1}, {EVENT, TCP_EVENT_CONNECTED},
     {OUT, A | P, 1, 301, 90})
CASE(asked_early_end, false, ASKED, {SHUTDOWN}, {OUT, S | A, 0, 301}, {IN, A, 301, 1}, {EVENT, TCP_EVENT_CONNECTED},
     {OUT, F | A, 1, 301})
CASE(asked_early_abort, false, ASKED, {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 90}, {ABORT}, {OUT, R | A, 91, 301},
     {IN, A, 301, 91}, {OUT, R, 91, 0})
CASE(asked_early_reset, false, ASKED, {IN, R, 301, NO_ACK}, {EVENT, TCP_EVENT_CLOSED, .ack = -ECONNREFUSED}, {SILENCE})
/* a window that is smaller than the answer */
CASE(asked_early_window, false, {IN, S, 0, NO_ACK, 300, .window = 40}, {EVENT, TCP_EVENT_ACCEPTED | TCP_EVENT_READABLE},
     {WRITE, .seq = 90}, {OUT, S | A, 0, 301, 40})

/* RFC 9293 figure 8 */
CASE(simultaneous_open, true, {OUT, S, 0, 0}, {IN, S, 0, NO_ACK}, {STATE, .name = "SYN-RECEIVED"}, {OUT, S | A, 0, 1},
     {IN, S | A, 0, 1}, {EVENT, TCP_EVENT_CONNECTED}, {STATE, .name = "ESTABLISHED"})

/* -- closing ---- */
CASE(close_first, true, HANDSHAKE, {SHUTDOWN}, {OUT, F | A, 1, 1}, {STATE, .name = "FIN-WAIT-1"}, {IN, A, 1, 2},
     {EVENT, TCP_EVENT_DRAINED}, {STATE, .name = "FIN-WAIT-2"}, {IN, A, 1, 2, 50}, {EVENT, TCP_EVENT_READABLE},
     {READ, .seq = 50}, {IN, F | A, 51, 2}, {SILENCE}, {WAIT, .seq = 5}, {OUT, A, 2, 52}, {EVENT, TCP_EVENT_EOF}, {STATE, .name = "TIME-WAIT"},
     {IN, F | A, 51, 2}, {OUT, A, 2, 52}, {SILENCE})
CASE(close_second, true, HANDSHAKE, {IN, F | A, 1, 1}, {EVENT, TCP_EVENT_EOF}, {OUT, A, 1, 2},
     {STATE, .name = "CLOSE-WAIT"}, {WRITE, .seq = 70}, {OUT, A | P, 1, 2, 70}, {SHUTDOWN}, {OUT, F | A, 71, 2},
     {STATE, .name = "LAST-ACK"}, {IN, A, 2, 72}, {EVENT, TCP_EVENT_DRAINED}, {STATE, .name = "CLOSED"}, {SILENCE})
CASE(close_together, true, HANDSHAKE, {SHUTDOWN}, {OUT, F | A, 1, 1}, {IN, F | A, 1, 1}, {EVENT, TCP_EVENT_EOF},
     {STATE, .name = "CLOSING"}, {OUT, A, 2, 2}, {IN, A, 2, 2}, {EVENT, TCP_EVENT_DRAINED},
     {STATE, .name = "TIME-WAIT"}, {SILENCE})
/* the FIN came before bytes that precede it */
CASE(early_fin, true, HANDSHAKE, {IN, F | A, 101, 1}, {OUT, A, 1, 1}, {EVENT}, {IN, A, 1, 1, 100},
     {EVENT, TCP_EVENT_READABLE | TCP_EVENT_EOF}, {OUT, A, 1, 102}, {STATE, .name = "CLOSE-WAIT"}, {READ, .seq = 100})
CASE(fin_with_data, true, HANDSHAKE, {WRITE, .seq = 1500}, {SHUTDOWN}, {OUT, A, 1, 1, 1000},
     {OUT, F | A | P, 1001, 1, 500}, {SILENCE}, {IN, A, 1, 1502}, {EVENT, TCP_EVENT_DRAINED},
     {STATE, .name = "FIN-WAIT-2"})

/* -- TIME-WAIT ---- */
#define SERVED                                                                                                         \
    {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1}, {IN, A, 1, 1}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED},           \
    {SHUTDOWN}, {OUT, F | A, 1, 1}, {IN, F | A, 1, 2}, {EVENT, TCP_EVENT_DRAINED | TCP_EVENT_EOF}, {WAIT, .seq = 5},    \
    {OUT, A, 2, 2}, {STATE, .name = "TIME-WAIT"}
/* RFC 9293 section 3.6.1: a SYN beyond all that was sent opens anew, one that is old is answered as the old one would */
CASE(time_wait_again, false, SERVED, {IN, S, 5000, NO_ACK}, {OUT, S | A, 0, 5001}, {IN, A, 5001, 1},
     {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED})
CASE(time_wait_old_syn, false, SERVED, {IN, S, 0, NO_ACK}, {OUT, A, 2, 2}, {SILENCE})
/* RFC 1337: a reset does not end it */
CASE(time_wait_reset, false, SERVED, {IN, R, 2, NO_ACK}, {SILENCE}, {IN, F | A, 1, 2}, {OUT, A, 2, 2},
     {WAIT, .seq = 59000}, {IN, F | A, 1, 2}, {OUT, A, 2, 2}, {WAIT, .seq = 61000}, {IN, F | A, 1, 2}, {OUT, R, 2, 0})
/* RFC 6191: the timestamp tells a new SYN from an old one, whatever its number */
CASE(time_wait_stamps, false, {IN, S, 0, NO_ACK, .ts = 1000}, {OUT, S | A, 0, 1}, {IN, A, 1, 1, .ts = 1001},
     {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED}, {SHUTDOWN}, {OUT, F | A, 1, 1}, {IN, F | A, 1, 2, .ts = 1002},
     {EVENT, TCP_EVENT_DRAINED | TCP_EVENT_EOF}, {WAIT, .seq = 5}, {OUT, A, 2, 2}, {STATE, .name = "TIME-WAIT"},
     {IN, S, 5000, NO_ACK, .ts = 1002}, {OUT, A, 2, 2}, {IN, S, -5000, NO_ACK, .ts = 1003}, {OUT, S | A, 0, -4999})

/* -- resets ---- */
CASE(abort_once, true, HANDSHAKE, {WRITE, .seq = 10}, {OUT, A | P, 1, 1, 10}, {ABORT}, {OUT, R | A, 11, 1}, {SILENCE},
     {WAIT, .seq = 100000}, {SILENCE})
CASE(unread_release, true, HANDSHAKE, {IN, A, 1, 1, 10}, {EVENT, TCP_EVENT_READABLE}, {RELEASE}, {OUT, R | A, 1, 11})
CASE(data_after_release, true, HANDSHAKE, {RELEASE}, {OUT, F | A, 1, 1}, {IN, A, 1, 2, 10}, {OUT, R | A, 2, 1})
/* RFC 5961 section 3.2 */
CASE(reset_exact, true, HANDSHAKE, {IN, R, 1, NO_ACK}, {EVENT, TCP_EVENT_CLOSED, .ack = -ECONNRESET}, {SILENCE})
CASE(reset_near, true, HANDSHAKE, {IN, R, 2, NO_ACK}, {OUT, A, 1, 1}, {EVENT}, {STATE, .name = "ESTABLISHED"})
CASE(reset_far, true, HANDSHAKE, {IN, R, 10000000, NO_ACK}, {SILENCE}, {EVENT}, {STATE, .name = "ESTABLISHED"})
/* RFC 5961 sections 4.2 and 5.2 */
CASE(syn_in_window, true, HANDSHAKE, {IN, S, 20, NO_ACK}, {OUT, A, 1, 1}, {STATE, .name = "ESTABLISHED"})
CASE(ack_of_future, true, HANDSHAKE, {IN, A, 1, 5, 10}, {OUT, A, 1, 1}, {EVENT})
CASE(ack_of_long_ago, true, HANDSHAKE, {IN, A, 1, -70000, 10}, {OUT, A, 1, 1}, {EVENT})
CASE(unknown_connection, false, {IN, A, 5, 77}, {OUT, R, 77, 0}, {IN, R, 5, NO_ACK}, {SILENCE})

/* -- receiving ---- */
/* the first sixteen are not held back, whatever the congestion window behind them; the next ones are, for a round trip,
 * unless two full segments came, be they shorter than ours; and after a silence it begins anew */
#define PROMPT(n) {IN, A, (n) * 1000L + 1, 1, 1000}, {OUT, A, 1, (n) * 1000L + 1001}, {SILENCE}
#define PROMPT_8(n)                                                                                                    \
    PROMPT(n), PROMPT((n) + 1), PROMPT((n) + 2), PROMPT((n) + 3), PROMPT((n) + 4), PROMPT((n) + 5), PROMPT((n) + 6),   \
        PROMPT((n) + 7)
CASE(delayed_ack, true, HANDSHAKE, PROMPT_8(0), PROMPT_8(8), {IN, A, 16001, 1, 1000}, {SILENCE}, {WAIT, .seq = 9},
     {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 1, 17001}, {IN, A, 17001, 1, 1000}, {SILENCE}, {IN, A, 18001, 1, 1000},
     {OUT, A, 1, 19001}, {WAIT, .seq = 199}, {IN, A, 19001, 1, 1000}, {SILENCE}, {WAIT, .seq = 10}, {OUT, A, 1, 20001},
     {WAIT, .seq = 190}, PROMPT(20), PROMPT(21), {SILENCE})
#define SHORT(n) {IN, A, (n) * 600L + 1, 1, 600}, {OUT, A, 1, (n) * 600L + 601}
CASE(delayed_ack_short, true, HANDSHAKE, SHORT(0), SHORT(1), SHORT(2), SHORT(3), SHORT(4), SHORT(5), SHORT(6), SHORT(7),
     SHORT(8), SHORT(9), SHORT(10), SHORT(11), SHORT(12), SHORT(13), SHORT(14), SHORT(15), {IN, A, 9601, 1, 600},
     {SILENCE}, {IN, A, 10201, 1, 600}, {OUT, A, 1, 10801}, {SILENCE})
/* whoever answers soon gets no acknowledgement of its own for a question, also after a silence; until an answer is late */
CASE(answers, true, HANDSHAKE, {IN, A, 1, 1, 100}, {OUT, A, 1, 101}, {WRITE, .seq = 50}, {OUT, A | P, 1, 101, 50},
     {WAIT, .seq = 10}, {IN, A, 101, 51}, {WAIT, .seq = 300}, {IN, A, 101, 51, 100}, {SILENCE}, {WAIT, .seq = 5},
     {WRITE, .seq = 50}, {OUT, A | P, 51, 201, 50}, {WAIT, .seq = 10}, {IN, A, 201, 101}, {WAIT, .seq = 300},
     {IN, A, 201, 101, 100}, {WAIT, .seq = 9}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 101, 301}, {WAIT, .seq = 300},
     {IN, A, 301, 101, 100}, {OUT, A, 101, 401}, {SILENCE})
/* who was called is asked something, and answers: until that is late */
#define ACCEPTED                                                                                                       \
    {IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1}, {IN, A, 1, 1}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED}
CASE(asked, false, ACCEPTED, {IN, A, 1, 1, 100}, {SILENCE}, {READ, .seq = 100}, {SILENCE}, {WAIT, .seq = 4}, {WRITE, .seq = 50},
     {OUT, A | P, 1, 101, 50}, {SILENCE})
CASE(asked_late, false, ACCEPTED, {IN, A, 1, 1, 100}, {WAIT, .seq = 4}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 1, 101},
     {IN, A, 101, 1, 100}, {OUT, A, 1, 201}, {SILENCE})
/* such a one's FIN may answer a FIN */
#define ANSWERED                                                                                                       \
    ACCEPTED, {IN, A, 1, 1, 100}, {WRITE, .seq = 50}, {OUT, A | P, 1, 101, 50}, {IN, A, 101, 51},                       \
        {EVENT, TCP_EVENT_READABLE | TCP_EVENT_DRAINED}
/* ... and needs no news of the window, which a SYN can't say whole, before it has answered */
CASE(asked_wide, false, {IN, S, 0, NO_ACK, .shift = 8}, {OUT, S | A, 0, 1}, {IN, A, 1, 1, 100},
     {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED | TCP_EVENT_READABLE}, {READ, .seq = 100}, {SILENCE},
     {WRITE, .seq = 50}, {OUT, A | P, 1, 101, 50}, {IN, A, 101, 51, 100}, {READ, .seq = 100}, {SILENCE},
     {WRITE, .seq = 50}, {OUT, A | P, 51, 201, 50}, {IN, F | A, 201, 101}, {SILENCE}, {SHUTDOWN},
     {OUT, F | A, 101, 202}, {SILENCE})
CASE(fin_for_fin, false, ANSWERED, {IN, F | A, 101, 51}, {EVENT, TCP_EVENT_EOF}, {SILENCE}, {WAIT, .seq = 4},
     {SHUTDOWN}, {OUT, F | A, 51, 102}, {SILENCE})
CASE(fin_alone, false, ANSWERED, {IN, F | A, 101, 51}, {WAIT, .seq = 4}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 51, 102},
     {SHUTDOWN}, {OUT, F | A, 51, 102}, {SILENCE})
CASE(fin_second, false, ANSWERED, {IN, A, 101, 51, 100}, {SILENCE}, {IN, F | A, 201, 51}, {OUT, A, 51, 202}, {SILENCE})
CASE(hole, true, HANDSHAKE, {IN, A, 1001, 1, 1000}, {OUT, A, 1, 1, .sack = {{1001, 2001}}}, {IN, A, 3001, 1, 1000},
     {OUT, A, 1, 1, .sack = {{3001, 4001}, {1001, 2001}}}, {IN, A, 1, 1, 1000},
     {OUT, A, 1, 2001, .sack = {{3001, 4001}}}, {IN, A, 2001, 1, 1000}, {OUT, A, 1, 4001}, {READ, .seq = 4000})
/* RFC 2883 section 4.1 */
CASE(duplicate, true, HANDSHAKE, {IN, A, 1, 1, 1000}, {WAIT, .seq = 40}, {OUT, A, 1, 1001}, {IN, A, 1, 1, 1000},
     {OUT, A, 1, 1001, .sack = {{1, 1001}}}, {SILENCE})
CASE(overlap, true, HANDSHAKE, {IN, A, 501, 1, 1000}, {OUT, A, 1, 1, .sack = {{501, 1501}}}, {IN, A, 1, 1, 1000},
     {OUT, A, 1, 1501, .sack = {{501, 1001}}}, {READ, .seq = 1500})
/* a sender without SACK counts our repeats: each segment beyond the hole gets one, also when they come together */
CASE(repeats, true, {OUT, S, 0, 0}, {IN, S | A, 0, 1, .no_sack = true}, {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1},
     {IN, A, 1001, 1, 1000}, {IN, A, 2001, 1, 1000}, {IN, A, 3001, 1, 1000}, {OUT, A, 1, 1}, {OUT, A, 1, 1},
     {OUT, A, 1, 1}, {SILENCE}, {IN, A, 1, 1, 1000}, {OUT, A, 1, 4001}, {SILENCE}, {READ, .seq = 4000})
/* with SACK one says it all; but each range that changed comes first in one of its own, in their order, and is repeated
 * in the next ones */
CASE(together, true, HANDSHAKE, {IN, A, 1001, 1, 1000}, {IN, A, 2001, 1, 1000}, {IN, A, 3001, 1, 1000},
     {OUT, A, 1, 1, .sack = {{1001, 4001}}}, {SILENCE}, {IN, A, 5001, 1, 1000}, {IN, A, 7001, 1, 1000},
     {IN, A, 8001, 1, 1000}, {OUT, A, 1, 1, .sack = {{5001, 6001}, {1001, 4001}}},
     {OUT, A, 1, 1, .sack = {{7001, 9001}, {5001, 6001}, {1001, 4001}}}, {SILENCE}, {IN, A, 9001, 1, 1000},
     {IN, A, 4001, 1, 1000}, {OUT, A, 1, 1, .sack = {{7001, 10001}, {1001, 6001}}},
     {OUT, A, 1, 1, .sack = {{1001, 6001}, {7001, 10001}}}, {SILENCE})
#define EARLY(n) {IN, A, (n) * 1000L + 1, 1, 1000}
/* and of many an eighth: what leaves at the same moment says nothing more, but keeps the other's sending even */
CASE(stretched, true, HANDSHAKE, EARLY(1), EARLY(2), EARLY(3), EARLY(4), EARLY(5), EARLY(6), EARLY(7), EARLY(8),
     EARLY(9), EARLY(10), EARLY(11), EARLY(12), EARLY(13), EARLY(14), EARLY(15), EARLY(16), EARLY(17),
     {OUT, A, 1, 1, .sack = {{1001, 18001}}}, {OUT, A, 1, 1, .sack = {{1001, 18001}}},
     {OUT, A, 1, 1, .sack = {{1001, 18001}}}, {SILENCE})
/* RFC 2883 section 4: only the last duplicate, only once, before all else; also one beyond a hole (4.2.2), which is named
 * inside the range it lies in */
CASE(duplicate_once, true, HANDSHAKE, {IN, A, 1, 1, 1000}, {OUT, A, 1, 1001}, {IN, A, 2001, 1, 2000},
     {OUT, A, 1, 1001, .sack = {{2001, 4001}}}, {IN, A, 1, 1, 1000}, {OUT, A, 1, 1001, .sack = {{1, 1001}, {2001, 4001}}},
     {IN, A, 3001, 1, 1000}, {OUT, A, 1, 1001, .sack = {{3001, 4001}, {2001, 4001}}}, {SILENCE}, {IN, A, 4001, 1, 1000},
     {OUT, A, 1, 1001, .sack = {{2001, 5001}}}, {IN, A, 1001, 1, 1000}, {OUT, A, 1, 5001}, {SILENCE})
/* RFC 7323 section 2.2: both SYNs must carry the option, and a SYN's own window is not scaled */
CASE(window_scaled, true, {OUT, S, 0, 0, .window = 65535}, {IN, S | A, 0, 1, .window = 100, .shift = 3 + 1},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1, .window = 1024}, {IN, A, 1, 1, .window = 250},
     {WRITE, .seq = 3000}, {OUT, A, 1, 1, 1000}, {OUT, A, 1001, 1, 1000}, {SILENCE})
CASE(window_not_scaled, true, {OUT, S, 0, 0, .window = 65535}, {IN, S | A, 0, 1, .window = 100},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1, .window = 65535}, {WRITE, .seq = 3000}, {IN, A, 1, 1, .window = 2000},
     {OUT, A, 1, 1, 1000}, {OUT, A, 1001, 1, 1000}, {SILENCE})
CASE(window_scaled_passive, false, {IN, S, 0, NO_ACK, .window = 100, .shift = 3 + 1}, {OUT, S | A, 0, 1, .window = 65535},
     {IN, A, 1, 1, .window = 125}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED}, {WRITE, .seq = 3000},
     {OUT, A, 1, 1, 1000}, {SILENCE})
CASE(window_not_scaled_passive, false, {IN, S, 0, NO_ACK, .window = 100}, {OUT, S | A, 0, 1, .window = 65535},
     {IN, A, 1, 1, .window = 1000}, {EVENT, TCP_EVENT_CONNECTED | TCP_EVENT_ACCEPTED}, {WRITE, .seq = 3000},
     {OUT, A, 1, 1, 1000, .window = 65535}, {SILENCE})
/* RFC 9293 section 3.8.6.2.2: the edge moves by a segment or half the window, else the offer shrinks as bytes come; who
 * asks hears no less; and an update goes out of itself for half the window */
CASE_WITH(silly_window_offered, true, TCP_CONGESTION_CUBIC, 4000, {OUT, S, 0, 0, .window = 4000}, {IN, S | A, 0, 1},
          {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1, .window = 4000}, {IN, A, 1, 1, 1000}, {OUT, A, 1, 1001, .window = 3000},
          {IN, A, 1001, 1, 1000}, {OUT, A, 1, 2001, .window = 2000}, {IN, A, 2001, 1, 1000}, {OUT, A, 1, 3001, .window = 1000},
          {IN, A, 3001, 1, 1000}, {OUT, A, 1, 4001, .window = -1}, {CONSUME, .seq = 900}, {SILENCE}, {IN, A, 4000, 1},
          {OUT, A, 1, 4001, .window = -1}, {CONSUME, .seq = 100}, {SILENCE}, {IN, A, 4000, 1},
          {OUT, A, 1, 4001, .window = 1000}, {CONSUME, .seq = 1900}, {SILENCE}, {CONSUME, .seq = 100},
          {OUT, A, 1, 4001, .window = 3000}, {SILENCE})
CASE(keepalive_answered, true, HANDSHAKE, {IN, A, 0, 1}, {OUT, A, 1, 1}, {SILENCE})

/* RFC 7323: MSS is less by the option, an older timestamp is a repeat, one missing is no segment of ours */
CASE(paws, true, {OUT, S, 0, 0}, {IN, S | A, 0, 1, .ts = 1000}, {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1},
     {IN, A, 1, 1, 10, .ts = 1001}, {EVENT, TCP_EVENT_READABLE}, {WAIT, .seq = 40}, {OUT, A, 1, 11},
     {IN, A, 11, 1, 10, .ts = 900}, {OUT, A, 1, 11}, {EVENT}, {IN, A, 11, 1, 10}, {OUT, A, 1, 11}, {EVENT},
     {IN, R, 11, NO_ACK}, {EVENT, TCP_EVENT_CLOSED, .ack = -ECONNRESET})
CASE(timestamp_mss, true, {OUT, S, 0, 0}, {WRITE, .seq = 1000}, {IN, S | A, 0, 1, .ts = 5},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1, MSS - 12}, {OUT, A | P, MSS - 11, 1, 12})

/* -- sending ---- */
CASE(tail_probe, true, HANDSHAKE, {WRITE, .seq = 2000}, {OUT, A, 1, 1, 1000}, {OUT, A | P, 1001, 1, 1000},
     {WAIT, .seq = 19}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A | P, 1001, 1, 1000}, {WAIT, .seq = 39}, {SILENCE},
     {WAIT, .seq = 1}, {OUT, A | P, 1001, 1, 1000}, {WAIT, .seq = 199}, {SILENCE},
     {WAIT, .seq = 1}, {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 400}, {OUT, A, 1, 1, 536}, {WAIT, .seq = 10},
     {IN, A, 1, 537}, {OUT, A, 537, 1, 464}, {OUT, A, 1001, 1, 536}, {IN, A, 1, 2001}, {EVENT, TCP_EVENT_DRAINED})
/* RFC 6298 section 5.5: each timeout doubles the wait */
CASE(backoff, true, HANDSHAKE, {WRITE, .seq = 100}, {OUT, A | P, 1, 1, 100}, {WAIT, .seq = 199}, {SILENCE},
     {WAIT, .seq = 1}, {OUT, A | P, 1, 1, 100}, {WAIT, .seq = 399}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A | P, 1, 1, 100},
     {WAIT, .seq = 799}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A | P, 1, 1, 100}, {IN, A, 1, 101},
     {EVENT, TCP_EVENT_DRAINED}, {WRITE, .seq = 100}, {OUT, A | P, 101, 1, 100}, {IN, A, 1, 201})
/* where full segments arrived before, two timeouts in a row are chance, and four are a new path */
CASE(black_hole_late, true, HANDSHAKE, {WRITE, .seq = 1000}, {OUT, A | P, 1, 1, 1000}, {WAIT, .seq = 10}, {IN, A, 1, 1001},
     {WRITE, .seq = 1000}, {OUT, A | P, 1001, 1, 1000}, {WAIT, .seq = 200}, {OUT, A | P, 1001, 1, 1000},
     {WAIT, .seq = 400}, {OUT, A | P, 1001, 1, 1000}, {WAIT, .seq = 800}, {OUT, A | P, 1001, 1, 1000},
     {WAIT, .seq = 1600}, {OUT, A, 1001, 1, 536}, {WAIT, .seq = 10}, {IN, A, 1, 1537}, {OUT, A | P, 1537, 1, 464},
     {IN, A, 1, 2001})
/* RFC 6928: ten segments, and then nothing until an answer comes; or for RFC 8985 section 7.3 a probe, with new data */
#define FLIGHT                                                                                                         \
    {OUT, A, 1, 1, 1000}, {OUT, A, 1001, 1, 1000}, {OUT, A, 2001, 1, 1000}, {OUT, A, 3001, 1, 1000},                   \
    {OUT, A, 4001, 1, 1000}, {SILENCE}, {WAIT, .seq = 10}, {OUT, A, 5001, 1, 1000}, {OUT, A, 6001, 1, 1000},           \
    {OUT, A, 7001, 1, 1000}, {OUT, A, 8001, 1, 1000}, {OUT, A, 9001, 1, 1000}, {SILENCE}
CASE(initial_window, true, HANDSHAKE, {WRITE, .seq = 20000}, FLIGHT, {WAIT, .seq = 19}, {SILENCE}, {WAIT, .seq = 1},
     {OUT, A, 10001, 1, 1000}, {SILENCE})
/* RFC 6937: the window of 12 shall become 8.4. The first repeat goes at once, then one out for each one in */
CASE(rate_reduction, true, HANDSHAKE, {WRITE, .seq = 20000}, FLIGHT, {WAIT, .seq = 5},
     {IN, A, 1, 1, .sack = {{1001, 2001}}}, {OUT, A, 10001, 1, 1000}, {WAIT, .seq = 1},
     {IN, A, 1, 1, .sack = {{1001, 3001}}}, {OUT, A, 11001, 1, 1000}, {WAIT, .seq = 1},
     {IN, A, 1, 1, .sack = {{1001, 4001}}}, {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 1},
     {IN, A, 1, 1, .sack = {{1001, 5001}}}, {SILENCE}, {WAIT, .seq = 1}, {IN, A, 1, 1, .sack = {{1001, 6001}}},
     {OUT, A, 12001, 1, 1000}, {SILENCE}, {WAIT, .seq = 1}, {IN, A, 1, 1, .sack = {{1001, 7001}}},
     {OUT, A, 13001, 1, 1000}, {SILENCE})
/* RACK: three later ones arrived, so the first is lost now */
CASE(fast_repair, true, HANDSHAKE, {WRITE, .seq = 6000}, {OUT, A, 1, 1, 1000}, {OUT, A, 1001, 1, 1000},
     {OUT, A, 2001, 1, 1000}, {OUT, A, 3001, 1, 1000}, {OUT, A, 4001, 1, 1000}, {SILENCE}, {WAIT, .seq = 2},
     {OUT, A | P, 5001, 1, 1000}, {WAIT, .seq = 10}, {IN, A, 1, 1, .sack = {{1001, 6001}}},
     {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 10}, {IN, A, 1, 6001}, {EVENT, TCP_EVENT_DRAINED}, {SILENCE})
/* the repeat is lost too: it goes once more after two round trips, and after four, and only then the timeout's turn comes */
CASE(repair_probed, true, HANDSHAKE, {WRITE, .seq = 5000}, {OUT, A, 1, 1, 1000}, {OUT, A, 1001, 1, 1000},
     {OUT, A, 2001, 1, 1000}, {OUT, A, 3001, 1, 1000}, {OUT, A | P, 4001, 1, 1000}, {WAIT, .seq = 10},
     {IN, A, 1, 1, .sack = {{1001, 5001}}}, {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 19}, {SILENCE},
     {WAIT, .seq = 1}, {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 39}, {SILENCE}, {WAIT, .seq = 1},
     {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 199}, {SILENCE}, {WAIT, .seq = 1},
     {OUT, A, 1, 1, 1000}, {WAIT, .seq = 10}, {IN, A, 1, 5001}, {EVENT, TCP_EVENT_DRAINED}, {SILENCE})
/* RFC 6582: the third repeat, then each acknowledgement of a part, tell what is missing */
CASE(newreno, true, {OUT, S, 0, 0}, {WAIT, .seq = 10}, {IN, S | A, 0, 1, .no_sack = true},
     {EVENT, TCP_EVENT_CONNECTED}, {OUT, A, 1, 1}, {WRITE, .seq = 6000}, {OUT, A, 1, 1, 1000}, {OUT, A, 1001, 1, 1000},
     {OUT, A, 2001, 1, 1000}, {OUT, A, 3001, 1, 1000}, {OUT, A, 4001, 1, 1000}, {WAIT, .seq = 2},
     {OUT, A | P, 5001, 1, 1000}, {WAIT, .seq = 10}, {IN, A, 1, 1}, {IN, A, 1, 1}, {SILENCE}, {IN, A, 1, 1},
     {OUT, A, 1, 1, 1000}, {SILENCE}, {WAIT, .seq = 10}, {IN, A, 1, 2001}, {OUT, A, 2001, 1, 1000}, {SILENCE},
     {WAIT, .seq = 10}, {IN, A, 1, 6001}, {EVENT, TCP_EVENT_DRAINED}, {SILENCE})
/* RFC 8985 section 6.2 step 4: a duplicate was reported, so the loss was none, and the next one waits two quarters; a
 * second report in the same round changes nothing */
CASE(reorder_window_grows, true, HANDSHAKE, {WRITE, .seq = 2000}, {OUT, A, 1, 1, 1000}, {OUT, A | P, 1001, 1, 1000},
     {WAIT, .seq = 10}, {IN, A, 1, 1, .sack = {{1001, 2001}}}, {WAIT, .seq = 3}, {OUT, A, 1, 1, 1000},
     {IN, A, 1, 2001}, {EVENT, TCP_EVENT_DRAINED}, {WRITE, .seq = 2000}, {WAIT, .seq = 6}, {OUT, A, 2001, 1, 1000},
     {SILENCE}, {WAIT, .seq = 4}, {OUT, A | P, 3001, 1, 1000}, {WAIT, .seq = 6}, {IN, A, 1, 2001, .sack = {{1, 1001}}},
     {IN, A, 1, 2001, .sack = {{1, 1001}}}, {WAIT, .seq = 4}, {IN, A, 1, 2001, .sack = {{3001, 4001}}}, {SILENCE},
     {WAIT, .seq = 2}, {OUT, A, 2001, 1, 1000}, {SILENCE})
/* one later arrived: it may be reordering, so wait a quarter of the round trip */
CASE(reorder_window, true, HANDSHAKE, {WRITE, .seq = 2000}, {OUT, A, 1, 1, 1000}, {OUT, A | P, 1001, 1, 1000},
     {WAIT, .seq = 10}, {IN, A, 1, 1, .sack = {{1001, 2001}}}, {SILENCE}, {WAIT, .seq = 2}, {SILENCE},
     {WAIT, .seq = 1}, {OUT, A, 1, 1, 1000}, {SILENCE})
CASE(zero_window, true, HANDSHAKE, {IN, A, 1, 1, .window = -1}, {WRITE, .seq = 100}, {SILENCE}, {WAIT, .seq = 199},
     {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 0, 1}, {IN, A, 1, 1, .window = -1}, {SILENCE}, {WAIT, .seq = 399},
     {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 0, 1}, {IN, A, 1, 1}, {OUT, A | P, 1, 1, 100}, {SILENCE})
/* what the peer asks meanwhile does not put our own question off */
CASE(zero_window_asked, true, HANDSHAKE, {IN, A, 1, 1, .window = -1}, {WRITE, .seq = 100}, {SILENCE}, {WAIT, .seq = 150},
     {IN, A, 0, 1, .window = -1}, {OUT, A, 1, 1}, {WAIT, .seq = 49}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 0, 1},
     {WAIT, .seq = 300}, {IN, A, 0, 1, .window = -1}, {OUT, A, 1, 1}, {WAIT, .seq = 99}, {SILENCE}, {WAIT, .seq = 1},
     {OUT, A, 0, 1}, {IN, A, 1, 1}, {OUT, A | P, 1, 1, 100}, {SILENCE})
/* RFC 9293 section 3.8.6.2.1: no small segment into a small window, until the timer says so */
CASE(silly_window, true, HANDSHAKE, {IN, A, 1, 1, .window = 100}, {WRITE, .seq = 1000}, {SILENCE}, {WAIT, .seq = 200},
     {OUT, A, 1, 1, 100}, {SILENCE})
CASE(user_timeout, true, HANDSHAKE, {WRITE, .seq = 10}, {WAIT, .seq = 120000},
     {EVENT, TCP_EVENT_CLOSED, .ack = -ETIMEDOUT}, {OUT, R | A, 1, 1}, {SILENCE})
CASE(keepalive, true, HANDSHAKE, {WAIT, .seq = 7199999}, {SILENCE}, {WAIT, .seq = 1}, {OUT, A, 0, 1}, {IN, A, 1, 1},
     {WAIT, .seq = 7200000}, {OUT, A, 0, 1}, {WAIT, .seq = 75000}, {OUT, A, 0, 1}, {WAIT, .seq = 8 * 75000},
     {EVENT, TCP_EVENT_CLOSED, .ack = -ETIMEDOUT})

/* no timer of a blocked peer burns, and what was due goes out when it is unblocked */
static void blocked(void **state)
{
    static const struct line before[] = {HANDSHAKE, {WRITE, .seq = 10}, {OUT, A | P, 1, 1, 10}, {END}};
    static const struct line during[] = {{WAIT, .seq = 60000}, {SILENCE}, {EVENT}, {END}};
    static const struct line after[] = {{OUT, A | P, 1, 1, 10}, {SILENCE}, {END}};
    struct tcp_conn_info info;

    (void)state;
    begin(true);
    play("blocked, before", before);
    tcp_peer_block(&t.peer, true);
    assert_null(tcp_stack_ready(t.stack));
    play("blocked, during", during);
    assert_true(tcp_peer_wants_output(&t.peer));
    tcp_conn_info(t.conn, &info);
    assert_in_range(info.rto_ns, 1, TS_S);
    tcp_peer_block(&t.peer, false);
    assert_ptr_equal(tcp_stack_ready(t.stack), &t.peer);
    play("blocked, after", after);
    finish();
}

/* Eifel: the answer to the first sending comes late, so the timeout was a mistake and the window is given back */
static void spurious_timeout(void **state)
{
    static const struct line opening[] = {{OUT, S, 0, 0}, {WAIT, .seq = 10}, {IN, S | A, 0, 1, .ts = 5},
                                          {WRITE, .seq = 1000}, {OUT, A, 1, 1, 988}, {OUT, A | P, 989, 1, 12}, {END}};
    static const struct line timeout[] = {{WAIT, .seq = 20}, {OUT, A | P, 989, 1, 12}, {WAIT, .seq = 40},
                                          {OUT, A | P, 989, 1, 12}, {WAIT, .seq = 200},
                                          {OUT, A, 1, 1, 988}, {END}};
    static const struct line late[] = {{IN, A, 1, 989, .ts = 6}, {END}};
    struct tcp_conn_info before, during, after;
    uint32_t first_ts;

    (void)state;
    begin(true);
    play("spurious_timeout, opening", opening);
    first_ts = t.ts;
    tcp_conn_info(t.conn, &before);
    play("spurious_timeout, timeout", timeout);
    tcp_conn_info(t.conn, &during);
    assert_true(during.cwnd_bytes < before.cwnd_bytes);
    t.ts = first_ts;
    play("spurious_timeout, late", late);
    tcp_conn_info(t.conn, &after);
    assert_true(after.cwnd_bytes >= before.cwnd_bytes);
    finish();
}

/* RFC 7323 section 4.1: what arrives beyond a hole echoes the timestamp of what came before it, and times nothing */
static void stamp_beyond_hole(void **state)
{
    static const struct line opening[] = {{OUT, S, 0, 0}, {WAIT, .seq = 10}, {IN, S | A, 0, 1, .ts = 5},
                                          {WRITE, .seq = 5928}, {OUT, A, 1, 1, 988}, {END}};
    static const struct line losses[] = {
        {OUT, A, 989, 1, 988},  {OUT, A, 1977, 1, 988}, {OUT, A, 2965, 1, 988}, {OUT, A, 3953, 1, 988}, {WAIT, .seq = 2},
        {OUT, A | P, 4941, 1, 988}, {WAIT, .seq = 8}, {IN, A, 1, 1, .ts = 6, .sack = {{2965, 5929}}},
        {OUT, A, 1, 1, 988}, {OUT, A, 989, 1, 988}, {WAIT, .seq = 5}, {OUT, A, 1977, 1, 988}, {WAIT, .seq = 145}, {END}};
    static const struct line beyond[] = {{IN, A, 1, 1, .ts = 7, .sack = {{989, 1977}, {2965, 5929}}}, {END}};
    static const struct line filled[] = {{IN, A, 1, 5929, .ts = 8}, {END}};
    struct tcp_conn_info before, during, after;
    uint32_t first_ts, last_ts;

    (void)state;
    begin(true);
    play("stamp_beyond_hole, opening", opening);
    first_ts = t.ts;
    play("stamp_beyond_hole, losses", losses);
    last_ts = t.ts;
    tcp_conn_info(t.conn, &before);
    t.ts = first_ts;
    play("stamp_beyond_hole, beyond", beyond);
    tcp_conn_info(t.conn, &during);
    assert_int_equal(during.srtt_ns, before.srtt_ns);
    t.ts = last_ts;
    play("stamp_beyond_hole, filled", filled);
    tcp_conn_info(t.conn, &after);
    assert_in_range(after.srtt_ns, before.srtt_ns + 15 * TS_MS, before.srtt_ns + 20 * TS_MS);
    finish();
}

/* half-open connections are bounded, and go when the listener goes */
static void backlog(void **state)
{
    static const struct line syn[] = {{IN, S, 0, NO_ACK}, {OUT, S | A, 0, 1}, {END}};
    static const struct line refused_syn[] = {{IN, S, 0, NO_ACK}, {OUT, R | A, -(long)0, 1}, {END}};
    struct tcp_stack_stats stats;

    (void)state;
    begin(false);
    play("backlog", syn);
    t.remote.port++;
    play("backlog", syn);
    t.remote.port++;
    t.isn = 0;
    play("backlog", refused_syn);
    tcp_listen_stop(t.stack, 443);
    play("backlog", (const struct line[]){{WAIT, .seq = 1}, {END}});
    for (uint8_t buf[2048]; tcp_stack_output(t.stack, buf, sizeof(buf), &(struct tcp_peer *){0}, t.now);)
        ;
    tcp_stack_stats(t.stack, &stats);
    assert_int_equal(stats.conns, 0);
    finish();
}

/* what one peer floods costs another neither its resets nor its challenges */
static void budgets(void **state)
{
    static const struct line opening[] = {HANDSHAKE, {END}};
    static const struct line quiet[] = {{SILENCE}, {END}};
    static const struct line near[] = {{IN, R, 2, NO_ACK}, {END}};
    struct tcp_peer other, *peer;
    struct tcp_header h = {.src_port = 9, .dst_port = 9, .flags = A};
    uint8_t buf[2048], packet[100];
    size_t len = 0, resets = 0, ip;

    (void)state;
    begin(true);
    play("budgets", opening);
    tcp_peer_init(&other, t.stack, NULL, 1280);
    ip = ip_header_write(packet, &t.remote.addr, &t.local.addr, IP_PROTOCOL_TCP, TCP_HEADER_MIN);
    tcp_header_write(&h, packet + ip);
    tcp_checksum_put(packet + ip, TCP_HEADER_MIN,
                     ip_pseudo_sum(&t.remote.addr, &t.local.addr, IP_PROTOCOL_TCP, TCP_HEADER_MIN));
    for (int i = 0; i < 1000; i++)
        tcp_stack_input(t.stack, &other, packet, ip + TCP_HEADER_MIN, t.now);
    tcp_stack_input(t.stack, &t.peer, packet, ip + TCP_HEADER_MIN, t.now);
    while ((len = tcp_stack_output(t.stack, buf, sizeof(buf), &peer, t.now)) > 0)
        resets += peer == &t.peer ? 1000 : 1;
    assert_in_range(resets, 1001, 1100);

    uint64_t before, after;
    struct tcp_stack_stats stats;

    tcp_stack_stats(t.stack, &stats);
    before = stats.challenges;
    for (int i = 0; i < 1000; i++)
        play("budgets, near", near);
    tcp_stack_stats(t.stack, &stats);
    after = stats.challenges;
    assert_int_equal(after - before, 100);
    segment_out(&h, &len);
    play("budgets, quiet", quiet);
    tcp_peer_deinit(&other, t.now);
    finish();
}

/* A connection that rests has nothing to be called for but its keepalive, and holds no memory but itself, once a
 * retransmission timeout has passed. */
static void idle(void **state)
{
    static const struct line lines[] = {HANDSHAKE, {WRITE, .seq = 1000}, {OUT, A | P, 1, 1, 1000}, {IN, A, 1, 1001, 500},
                                        {EVENT, TCP_EVENT_READABLE | TCP_EVENT_DRAINED}, {READ, .seq = 500},
                                        {WAIT, .seq = 40}, {OUT, A, 1001, 501}, {WAIT, .seq = 1000}, {SILENCE}, {END}};

    (void)state;
    begin(true);
    play("idle", lines);
    assert_int_equal(t.pool.chunks_out, 0);
    assert_in_range(tcp_stack_deadline(t.stack) - t.now, 7198 * TS_S, 7200 * TS_S);
    finish();
}

/* the ACK that begins a TIME-WAIT is owed to each connection, however many end at once; its repeats are not */
static void last_acks(void **state)
{
    static const struct line ends[] = {SERVED, {SILENCE}, {END}}, again = {IN, F | A, 1, 2};
    int repeats = 0;
    struct tcp_header h;
    size_t len;

    (void)state;
    begin(false);
    for (int i = 0; i < 2 * TCP_REPLY_BURST; i++) {
        play("last_acks", ends);
        tcp_release(t.conn, t.now);
        t.conn = NULL;
        t.remote.port++;
    }
    for (int i = 0; i < 2 * TCP_REPLY_BURST; i++) {
        t.remote.port--;
        segment_in(&again);
    }
    while (segment_out(&h, &len))
        repeats++;
    assert_int_equal(repeats, TCP_REPLY_BURST);
    finish();
}

static void dial_and_write(void)
{
    struct tcp_dial dial = {.peer = &t.peer, .local = t.local.addr, .remote = t.remote};
    int err;

    tcp_abort(t.conn, t.now);
    t.conn = tcp_connect(t.stack, &dial, &err, t.now);
    assert_non_null(t.conn);
    assert_int_equal(tcp_write(t.conn, "request", 7, t.now), 7);
}

/* the next SYNs to a peer that left the bytes of one lying are bare, for an hour; for a minute where it was lost */
static void syn_bare_next(void **state)
{
    static const struct line lies[] = {{OUT, S, 0, 0, 7}, {IN, S | A, 0, 1}, {EVENT, TCP_EVENT_CONNECTED},
                                       {OUT, A | P, 1, 1, 7}, {END}},
                             bare[] = {{OUT, R | A, 8, 1}, {OUT, S, 0, 0}, {END}},
                             again[] = {{OUT, S, 0, 0, 7}, {WAIT, .seq = 1000}, {EVENT, TCP_EVENT_SYN_TIMEOUT},
                                        {OUT, S, 0, 0}, {IN, S | A, 0, 1}, {EVENT, TCP_EVENT_CONNECTED},
                                        {OUT, A | P, 1, 1, 7}, {END}},
                             last[] = {{OUT, S, 0, 0, 7}, {END}};

    (void)state;
    begin(true);
    dial_and_write();
    play("lies", lies);
    dial_and_write();
    play("bare", bare);
    t.now += 3600 * TS_S;
    dial_and_write();
    play("again", again);
    dial_and_write();
    play("bare", bare);
    t.now += 60 * TS_S;
    dial_and_write();
    play("last", last);
    finish();
}

/* the last handshake took 10 ms, so that an answer is missed after 400 and not after a second; ten minutes later no more */
static void syn_wait(void **state)
{
    static const struct line first[] = {HANDSHAKE, {END}},
                             soon[] = {{OUT, R | A, 1, 1}, {OUT, S, 0, 0, 7}, {WAIT, .seq = 399}, {SILENCE},
                                       {WAIT, .seq = 1}, {EVENT, TCP_EVENT_SYN_TIMEOUT}, {OUT, S, 0, 0},
                                       {WAIT, .seq = 799}, {SILENCE}, {WAIT, .seq = 1}, {OUT, S, 0, 0}, {END}},
                             later[] = {{OUT, S, 0, 0, 7}, {WAIT, .seq = 999}, {SILENCE}, {WAIT, .seq = 1},
                                        {EVENT, TCP_EVENT_SYN_TIMEOUT}, {OUT, S, 0, 0}, {END}};

    (void)state;
    begin(true);
    play("first", first);
    dial_and_write();
    play("soon", soon);
    t.now += 600 * TS_S;
    dial_and_write();
    play("later", later);
    finish();
}

static void take_all_out(void)
{
    struct tcp_header h;
    size_t len;

    while (segment_out(&h, &len))
        ;
}

/* A peer of tiny segments and a large window, who acknowledges in many pieces until more of them travel than are kept
 * track of, and then falls silent: the probe has new bytes to send, and no place for them. */
static void more_than_is_tracked(void **state)
{
    static const struct line syn_ack = {IN, S | A, 0, 1, .shift = 15, .mss = 64};
    static uint8_t bytes[65536];
    struct tcp_conn_info info;
    struct tcp_event e;

    (void)state;
    begin(true);
    pool_deinit(&t.pool);
    pool_init(&t.pool, 16384, 4096, 8);
    take_all_out();
    pass(100);
    segment_in(&syn_ack);
    for (int round = 0;; round++) {
        assert_in_range(round, 0, 60);
        while (tcp_write(t.conn, bytes, sizeof(bytes), t.now) == sizeof(bytes))
            ;
        for (ts_t end = t.now + 100 * TS_MS; tcp_stack_deadline(t.stack) < end;) {
            take_all_out();
            t.now = ts_max(t.now, tcp_stack_deadline(t.stack));
            tcp_stack_expire(t.stack, t.now);
        }
        take_all_out();
        while (tcp_stack_event(t.stack, &e))
            ;
        tcp_conn_info(t.conn, &info);
        if (info.in_flight_bytes / info.mss >= 65536)
            break;
        for (long done = 512, all = info.in_flight_bytes; done < all + 512; done += 512) {
            const struct line ack = {IN, A, 1, (long)info.bytes_sent + 1 + MIN(done, all)};

            segment_in(&ack);
        }
    }
    while (tcp_write(t.conn, bytes, sizeof(bytes), t.now) == sizeof(bytes))
        ;
    alarm(60); /* else it hangs where it fails */
    for (int i = 0; i < 40; i++) {
        pass(25);
        take_all_out();
        tcp_conn_check(t.conn);
    }
    alarm(0);
    tcp_abort(t.conn, t.now);
    t.conn = NULL;
    finish();
}

/* the ACK that begins a TIME-WAIT goes with, and behind, whatever goes before its time is over */
static void last_ack_in_company(void **state)
{
    static const struct line ends[] = {HANDSHAKE, {SHUTDOWN}, {OUT, F | A, 1, 1}, {IN, F | A, 1, 2},
                                       {EVENT, TCP_EVENT_DRAINED | TCP_EVENT_EOF}, {WAIT, .seq = 4}, {SILENCE}, {END}},
                             company[] = {{OUT, S, 0, 0, 7}, {END}};
    struct tcp_header h;
    size_t len;

    (void)state;
    begin(true);
    play("ends", ends);
    dial_and_write();
    play("company", company);
    assert_true(segment_out(&h, &len));
    assert_int_equal(h.flags, A);
    assert_int_equal(len, 0);
    assert_false(segment_out(&h, &len));
    pass(10);
    assert_false(segment_out(&h, &len));
    finish();
}

/* what no connection sends waits with its peer, so that a peer's datagrams come together, and not for a blocked one */
static void replies_by_peer(void **state)
{
    static const struct line stranger = {IN, A, 1, 1};
    struct tcp_peer other, *to[5], *seen = NULL;
    uint8_t buf[2048];
    int count = 0;

    (void)state;
    begin(false);
    tcp_peer_init(&other, t.stack, NULL, 1280);
    for (int i = 0; i < 4; i++)
        segment_from(i % 2 ? &other : &t.peer, &stranger);
    while (tcp_stack_output(t.stack, buf, sizeof(buf), &seen, t.now) > 0)
        to[count++] = seen;
    assert_int_equal(count, 4);
    assert_true(to[0] == &t.peer && to[1] == &t.peer && to[2] == &other && to[3] == &other);
    segment_from(&other, &stranger);
    tcp_peer_block(&other, true);
    segment_from(&other, &stranger);
    tcp_peer_block(&other, false);
    assert_int_equal(tcp_stack_output(t.stack, buf, sizeof(buf), &seen, t.now), 0);
    segment_from(&other, &stranger);
    tcp_peer_deinit(&other, t.now);
    assert_int_equal(tcp_stack_output(t.stack, buf, sizeof(buf), &seen, t.now), 0);
    finish();
}

static uint32_t window(void)
{
    struct tcp_conn_info info;

    tcp_conn_info(t.conn, &info);
    return info.cwnd_bytes;
}

/* what was learned of the path, more than the initial window or a loss, is kept for ten seconds */
static void learned(void **state)
{
    static const struct line much[] = {HANDSHAKE, {WRITE, .seq = 11000}, FLIGHT, {WAIT, .seq = 10}, {IN, A, 1, 10001},
                                       {WAIT, .seq = 10}, {OUT, A | P, 10001, 1, 1000}, {WAIT, .seq = 20},
                                       {IN, A, 1, 11001}, {WAIT, .seq = 9000}, {SILENCE}, {END}};
    static const struct line loss[] = {HANDSHAKE, {WRITE, .seq = 2000}, {OUT, A, 1, 1, 1000},
                                       {OUT, A | P, 1001, 1, 1000}, {WAIT, .seq = 20},
                                       {IN, A, 1, 1, .sack = {{1001, 2001}}}, {WAIT, .seq = 20}, {OUT, A, 1, 1, 1000},
                                       {WAIT, .seq = 20}, {IN, A, 1, 2001}, {WAIT, .seq = 9000}, {SILENCE}, {END}};
    static const struct line later[] = {{WAIT, .seq = 1000}, {SILENCE}, {END}};

    (void)state;
    begin(true);
    play("learned, much", much);
    assert_true(window() > 10 * MSS);
    play("learned, later", later);
    assert_int_equal(window(), 10 * MSS);
    finish();
    begin(true);
    play("learned, loss", loss);
    assert_true(window() < 10 * MSS);
    play("learned, later", later);
    assert_int_equal(window(), 10 * MSS);
    finish();
}

/* a peer that goes takes its connections along; their owners hear of it and may still hold them */
static void peer_gone(void **state)
{
    static const struct line before[] = {HANDSHAKE, {WRITE, .seq = 10}, {END}};
    struct tcp_event e;

    (void)state;
    begin(true);
    play("peer_gone", before);
    tcp_peer_deinit(&t.peer, t.now);
    assert_true(tcp_stack_event(t.stack, &e));
    assert_int_equal(e.flags, TCP_EVENT_CLOSED);
    assert_int_equal(e.error, ERR_CLOSED);
    assert_int_equal(tcp_write(t.conn, "x", 1, t.now), 0);
    t.conn = NULL; /* never released: it goes with the stack */
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(active_open),       cmocka_unit_test(early_write),      cmocka_unit_test(syn_again),
        cmocka_unit_test(refused),           cmocka_unit_test(refused_by_another), cmocka_unit_test(old_syn_ack),
        cmocka_unit_test(passive_open),      cmocka_unit_test(passive_syn_again), cmocka_unit_test(passive_reset),
        cmocka_unit_test(syn_with_bytes),    cmocka_unit_test(syn_ack_with_bytes), cmocka_unit_test(syn_bytes_lie),
        cmocka_unit_test(syn_bytes_in_part), cmocka_unit_test(syn_bytes_window), cmocka_unit_test(syn_bytes_never_sent), cmocka_unit_test(syn_bytes_most),
        cmocka_unit_test(syn_bytes_once),    cmocka_unit_test(syn_bytes_refused), cmocka_unit_test(asked_early),
        cmocka_unit_test(asked_early_in_part), cmocka_unit_test(asked_early_lie), cmocka_unit_test(asked_early_late),
        cmocka_unit_test(asked_early_again), cmocka_unit_test(asked_early_lost), cmocka_unit_test(asked_early_end),
        cmocka_unit_test(asked_early_abort), cmocka_unit_test(asked_early_reset),
        cmocka_unit_test(asked_early_window), cmocka_unit_test(more_than_is_tracked), cmocka_unit_test(syn_bare_next),
        cmocka_unit_test(syn_wait),          cmocka_unit_test(last_ack_in_company),
        cmocka_unit_test(simultaneous_open), cmocka_unit_test(close_first),      cmocka_unit_test(close_second),
        cmocka_unit_test(close_together),    cmocka_unit_test(early_fin),        cmocka_unit_test(fin_with_data),
        cmocka_unit_test(abort_once),        cmocka_unit_test(unread_release),   cmocka_unit_test(data_after_release),
        cmocka_unit_test(reset_exact),       cmocka_unit_test(reset_near),       cmocka_unit_test(reset_far),
        cmocka_unit_test(syn_in_window),     cmocka_unit_test(ack_of_future),    cmocka_unit_test(unknown_connection),
        cmocka_unit_test(delayed_ack),       cmocka_unit_test(delayed_ack_short), cmocka_unit_test(answers),
        cmocka_unit_test(hole),                          cmocka_unit_test(duplicate),
        cmocka_unit_test(repeats),           cmocka_unit_test(newreno),
        cmocka_unit_test(overlap),           cmocka_unit_test(keepalive_answered), cmocka_unit_test(tail_probe),
        cmocka_unit_test(fast_repair),       cmocka_unit_test(reorder_window),   cmocka_unit_test(zero_window),
        cmocka_unit_test(silly_window),      cmocka_unit_test(user_timeout),     cmocka_unit_test(keepalive),
        cmocka_unit_test(paws),              cmocka_unit_test(timestamp_mss),
        cmocka_unit_test(blocked),           cmocka_unit_test(backlog),          cmocka_unit_test(peer_gone),
        cmocka_unit_test(spurious_timeout),  cmocka_unit_test(together),         cmocka_unit_test(stretched),
        cmocka_unit_test(ack_of_long_ago),   cmocka_unit_test(time_wait_again),  cmocka_unit_test(time_wait_old_syn),
        cmocka_unit_test(time_wait_reset),   cmocka_unit_test(time_wait_stamps), cmocka_unit_test(backoff),
        cmocka_unit_test(initial_window),    cmocka_unit_test(rate_reduction),   cmocka_unit_test(budgets),
        cmocka_unit_test(duplicate_once),    cmocka_unit_test(window_scaled),    cmocka_unit_test(window_not_scaled),
        cmocka_unit_test(window_scaled_passive), cmocka_unit_test(window_not_scaled_passive),
        cmocka_unit_test(silly_window_offered), cmocka_unit_test(reorder_window_grows),
        cmocka_unit_test(repair_probed), cmocka_unit_test(stamp_beyond_hole), cmocka_unit_test(black_hole_late),
        cmocka_unit_test(idle),              cmocka_unit_test(zero_window_asked),
        cmocka_unit_test(learned),           cmocka_unit_test(asked),            cmocka_unit_test(asked_late),
        cmocka_unit_test(fin_for_fin),       cmocka_unit_test(asked_wide),       cmocka_unit_test(fin_alone),
        cmocka_unit_test(fin_second),
        cmocka_unit_test(last_acks),         cmocka_unit_test(replies_by_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
