/* fuzz_tcp - the whole engine under bytes from a stranger: a listener, an outgoing connection and an established one.
 *
 * The input is a list of operations. Segments are made to pass the checksum and aimed at a connection, so that the
 * fuzzer gets at what lies behind; raw packets go in as they are. Every invariant is checked after every step, and at
 * the end no memory may be left. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/cursor.h"
#include "common/ip/ip.h"
#include "common/ip/tcp_header.h"
#include "common/tcp/tcp.h"

#define CONNS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct addr ours, theirs;
    struct tcp_conn *conn[CONNS];
    ts_t now;
    uint32_t our_next, their_next; /* last seen of ours: what a segment should acknowledge */
    uint16_t our_port, their_port;
};

static void held(struct world *w, struct tcp_conn *c)
{
    for (int i = 0; i < CONNS; i++)
        if (!w->conn[i]) {
            w->conn[i] = c;
            return;
        }
    tcp_abort(c, w->now);
}

static void events(struct world *w)
{
    struct tcp_event e;

    while (tcp_stack_event(w->stack, &e)) {
        if (e.flags & TCP_EVENT_ACCEPTED)
            held(w, e.conn);
        if (e.flags & TCP_EVENT_CLOSED)
            for (int i = 0; i < CONNS; i++)
                if (w->conn[i] == e.conn) {
                    tcp_release(e.conn, w->now);
                    w->conn[i] = NULL;
                }
    }
}

static void output(struct world *w)
{
    uint8_t buf[1600];
    struct tcp_peer *peer;
    size_t len;

    while ((len = tcp_stack_output(w->stack, buf, sizeof(buf), &peer, w->now)) > 0) {
        struct ip_packet ip;
        struct tcp_header h;
        const uint8_t *payload;
        size_t payload_len;

        BUG_ON(ip_parse(buf, len, &ip) != 0 || ip.len != len);
        BUG_ON(tcp_header_parse(ip.payload, ip.payload_len, &h, &payload, &payload_len) != 0);
        w->our_port = h.src_port;
        w->their_port = h.dst_port;
        w->our_next = h.seq + (uint32_t)payload_len + !!(h.flags & TCP_SYN) + !!(h.flags & TCP_FIN);
        if (h.flags & TCP_ACK)
            w->their_next = h.ack;
    }
}

/* A segment near to what would be right: the fuzzer chooses how far off. */
static void segment(struct world *w, struct cursor *c)
{
    struct tcp_header h = {
        .src_port = w->their_port,
        .dst_port = w->our_port,
        .flags = cursor_u8(c),
        .seq = w->their_next + (uint32_t)(int16_t)cursor_be16(c),
        .ack = w->our_next + (uint32_t)(int16_t)cursor_be16(c),
        .window = cursor_be16(c),
    };
    uint8_t options = cursor_u8(c), packet[2048];
    size_t len = cursor_u8(c) * (size_t)(options & 0x80 ? 5 : 1), header, tcp;

    if (options & 1) {
        h.src_port = (uint16_t)(2000 + cursor_u8(c) % 4);
        h.dst_port = 443;
    }
    if (!(h.flags & TCP_SYN))
        options &= (uint8_t)~(2 | 4 | 8); /* all of them do not fit into one header */
    h.mss = options & 2 ? cursor_be16(c) : 0;
    h.has_window_shift = options & 4;
    h.window_shift = options & 4 ? cursor_u8(c) & 15 : 0;
    h.sack_permitted = options & 8;
    h.has_timestamp = options & 16;
    h.ts_value = options & 16 ? cursor_be16(c) : 0;
    h.sack_count = h.flags & TCP_SYN ? 0 : options >> 5 & 3;
    for (int i = 0; i < h.sack_count; i++) {
        h.sack[i].start = w->our_next + (uint32_t)(int16_t)cursor_be16(c);
        h.sack[i].end = h.sack[i].start + cursor_be16(c);
    }
    header = tcp_header_len(&h);
    tcp = header + len;
    size_t ip = ip_header_write(packet, &w->theirs, &w->ours, IP_PROTOCOL_TCP, tcp);

    tcp_header_write(&h, packet + ip);
    memset(packet + ip + header, 'x', len);
    tcp_checksum_put(packet + ip, tcp, ip_pseudo_sum(&w->theirs, &w->ours, IP_PROTOCOL_TCP, tcp));
    tcp_stack_input(w->stack, &w->peer, packet, ip + tcp, w->now);
}

static void own_call(struct world *w, uint8_t what)
{
    struct tcp_conn **at = &w->conn[what % CONNS];
    struct iovec iov[2];
    size_t bytes;

    if (!*at)
        return;
    switch (what / CONNS % 6) {
    case 0: {
        static const uint8_t text[5000];

        tcp_write(*at, text, 1 + (what & 1) * 4999, w->now);
        break;
    }
    case 1:
        tcp_read_iov(*at, iov, 2, &bytes);
        tcp_consume(*at, bytes, w->now);
        break;
    case 2:
        tcp_shutdown(*at, w->now);
        break;
    case 3:
        tcp_release(*at, w->now);
        *at = NULL;
        break;
    case 4:
        tcp_abort(*at, w->now);
        *at = NULL;
        break;
    case 5:
        tcp_peer_block(&w->peer, !w->peer.blocked);
        break;
    }
}

static void dial(struct world *w)
{
    struct tcp_dial d = {.peer = &w->peer, .local = w->ours, .remote = {w->theirs, 80}};
    int err;
    struct tcp_conn *c = tcp_connect(w->stack, &d, &err, w->now);

    if (c)
        held(w, c);
}

static void step(struct world *w, struct cursor *c)
{
    uint8_t op = cursor_u8(c);

    switch (op & 7) {
    case 0:
    case 1:
    case 2:
        segment(w, c);
        break;
    case 3: {
        size_t len = cursor_u8(c);
        const uint8_t *raw = cursor_take(c, MIN(len, cursor_left(c)));

        if (raw)
            tcp_stack_input(w->stack, &w->peer, raw, MIN(len, (size_t)(c->end - raw)), w->now);
        break;
    }
    case 4:
        w->now += (uint64_t)cursor_be16(c) << (op >> 3 & 31) % 24;
        break;
    case 5: { /* to the next deadline */
        ts_t next = tcp_stack_deadline(w->stack);

        if (next != TS_NEVER)
            w->now = ts_max(w->now, next);
        tcp_stack_expire(w->stack, w->now);
        break;
    }
    case 6:
        own_call(w, cursor_u8(c));
        break;
    case 7:
        dial(w);
        break;
    }
    tcp_stack_expire(w->stack, w->now);
    if (!(op & 0x80))
        output(w);
    events(w);
    for (int i = 0; i < CONNS; i++)
        if (w->conn[i])
            tcp_conn_check(w->conn[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.now = TS_S};
    struct tcp_config config;
    struct pool pool;
    struct rng rng;
    struct cursor c;

    rng_seed(&rng, 1);
    cursor_init(&c, data, size);
    uint8_t shape = cursor_u8(&c);

    pool_init(&pool, 256, shape & 1 ? 24 : 4096, 8);
    tcp_config_default(&config);
    config.rng = &rng;
    config.pool = &pool;
    config.conns_max = 16;
    if (shape & 2)
        config.recv_window_max = 4000;
    if (shape & 4)
        config.send_queue_max = 3000;
    w.stack = tcp_stack_new(&config);
    if (!w.stack)
        return 0;
    addr_parse("10.0.0.1", 8, &w.ours);
    addr_parse("10.0.0.2", 8, &w.theirs);
    tcp_peer_init(&w.peer, w.stack, NULL, 1280);
    tcp_listen(w.stack, 443, 4, NULL);
    dial(&w);
    output(&w);
    while (cursor_left(&c) > 0 && cursor_ok(&c))
        step(&w, &c);
    for (int i = 0; i < CONNS; i++)
        tcp_release(w.conn[i], w.now);
    tcp_peer_deinit(&w.peer, w.now);
    tcp_stack_free(w.stack);
    pool_deinit(&pool); /* complains about a chunk that is still out */
    return 0;
}
