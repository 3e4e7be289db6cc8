/* sim_tcp - two stacks, a bad network between them, random applications on both; everything from one seed.
 *
 * What must hold in every world: each byte arrives once, in order and unchanged; an end arrives as an end and after all
 * bytes, a reset as a reset; nothing hangs; every invariant of every connection holds after each step; and when all is
 * over no memory is left.
 *     sim_tcp [--seed S] [--seeds N] [--verbose]      worlds S to S + N - 1
 *     sim_tcp --listed FILE                           the worlds whose numbers begin FILE's lines */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/tcp/tcp.h"
#include "world.h"

#define FLOWS_MAX   6
#define SERVER_PORT 443
#define PATIENCE_NS (3600 * TS_S) /* of virtual time for a whole world */
#define ROUNDS_MAX  1000          /* round trips that all bytes may take where the send queue holds few of them */

enum ending {
    END_SHUTDOWN = 0, /* FIN after the last byte, read to the end, release */
    END_RELEASE,      /* release after the last byte is acknowledged and the other's end came */
    END_ABORT,        /* reset in the middle */
};

/* One end of a flow and what its application wants. */
struct app {
    struct tcp_conn *conn;
    struct flow *flow;
    int side;
    uint64_t total, written, read;
    enum ending ending;
    uint64_t abort_at; /* bytes written */
    bool connected, shut, eof, done, reset;
    bool patient; /* writes nothing before it is connected: no bytes on its SYN */
    int error;
    ts_t read_pause_until;
    uint32_t read_pause_ppm;
    size_t piece_max;
};

struct flow {
    uint32_t id;
    struct app app[2]; /* 0 opens */
    ts_t start_at;
    bool started;
};

struct side {
    struct pool pool;
    struct rng rng;
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct addr addr;
    size_t send_queue_max;
};

struct world {
    struct rng rng;
    struct side side[2];
    struct link link[2]; /* [i]: from side i */
    struct flow flow[FLOWS_MAX];
    int flows;
    ts_t now;
    ts_t unblock_at[2];
    uint32_t block_ppm;
    uint64_t turn_ns[2]; /* for so long a host does not look at its packets again */
    ts_t turn_at[2];
    uint64_t bytes, steps;
};

static bool verbose;

/* the byte at an offset of a flow's direction */
static uint8_t byte_at(uint32_t flow, int side, uint64_t offset)
{
    uint64_t x = offset * 0x9e3779b97f4a7c15u + flow * 77u + (uint64_t)side;

    return (uint8_t)(x >> 56 ^ x >> 13);
}

static void fill(uint8_t *out, size_t len, const struct app *a)
{
    for (size_t i = 0; i < len; i++)
        out[i] = byte_at(a->flow->id, a->side, a->written + i);
}

/* -- applications ---------------------------------------------------------------------------------------------- */

static void app_finish(struct app *a)
{
    a->done = true;
    a->conn = NULL;
}

static void app_read(struct world *w, struct app *a)
{
    struct app *from = &a->flow->app[!a->side];
    struct iovec iov[3];
    size_t bytes;

    while (w->now >= a->read_pause_until) {
        int pieces = tcp_read_iov(a->conn, iov, 1 + (int)rng_below(&w->rng, 3), &bytes);
        size_t take = bytes ? 1 + rng_below(&w->rng, bytes) : 0, seen = 0;

        if (rng_below(&w->rng, 4))
            take = bytes;
        for (int i = 0; i < pieces && seen < take; i++)
            for (size_t j = 0; j < iov[i].iov_len && seen < take; j++, seen++)
                if (((uint8_t *)iov[i].iov_base)[j] != byte_at(a->flow->id, from->side, a->read + seen))
                    world_fail("flow %u: wrong byte at %llu", a->flow->id, (unsigned long long)a->read + seen);
        if (take == 0)
            break;
        tcp_consume(a->conn, take, w->now);
        a->read += take;
        w->bytes += take;
        if (a->read > from->written)
            world_fail("flow %u: more read than written", a->flow->id);
        if (rng_below(&w->rng, 1000000) < a->read_pause_ppm)
            a->read_pause_until = w->now + rng_below(&w->rng, 2 * TS_S);
    }
    if (!a->eof && tcp_eof(a->conn)) {
        a->eof = true;
        if (a->read != from->total || !from->shut)
            world_fail("flow %u: end after %llu of %llu bytes", a->flow->id, (unsigned long long)a->read,
                       (unsigned long long)from->total);
    }
}

static void app_write(struct world *w, struct app *a)
{
    uint64_t stop = a->ending == END_ABORT ? a->abort_at : a->total;

    while (a->written < stop) {
        size_t want = 1 + rng_below(&w->rng, a->piece_max), n;

        want = MIN(want, (size_t)(stop - a->written));
        if (rng_below(&w->rng, 2)) {
            uint8_t piece[65536];

            want = MIN(want, sizeof(piece));
            fill(piece, want, a);
            n = tcp_write(a->conn, piece, want, w->now);
            a->written += n;
        } else {
            struct iovec iov[2];
            int pieces = tcp_write_room(a->conn, iov, 2, &n);

            n = MIN(n, want);
            for (size_t i = 0, done = 0; pieces && done < n; done += iov[i++].iov_len) {
                size_t part = MIN(iov[i].iov_len, n - done);

                fill(iov[i].iov_base, part, a);
                a->written += part;
            }
            tcp_write_commit(a->conn, n, w->now);
        }
        if (n == 0)
            break;
    }
}

static void app_run(struct world *w, struct app *a)
{
    if (!a->conn || a->done)
        return;
    if (a->error) { /* dead: the other side must have given a reason */
        struct app *other = &a->flow->app[!a->side];

        if (!other->reset && other->ending != END_ABORT)
            world_fail("flow %u side %d: %s without a reason", a->flow->id, a->side, err_str(a->error));
        a->reset = true;
        tcp_release(a->conn, w->now);
        app_finish(a);
        return;
    }
    app_read(w, a);
    if (!a->shut && (a->connected || !a->patient))
        app_write(w, a);
    if (a->ending == END_ABORT && a->written >= a->abort_at && a->connected) {
        a->reset = true;
        tcp_abort(a->conn, w->now);
        app_finish(a);
        return;
    }
    if (!a->shut && a->written == a->total && a->ending != END_ABORT) {
        if (a->ending == END_RELEASE && a->eof) {
            a->shut = true;
            tcp_release(a->conn, w->now);
            app_finish(a);
            return;
        }
        if (a->ending == END_SHUTDOWN) {
            a->shut = true;
            tcp_shutdown(a->conn, w->now);
        }
    }
    if (a->shut && a->eof) {
        tcp_release(a->conn, w->now);
        app_finish(a);
    }
}

static void flow_start(struct world *w, struct flow *f)
{
    struct tcp_dial dial = {
        .peer = &w->side[0].peer,
        .local = w->side[0].addr,
        .remote = {.addr = w->side[1].addr, .port = SERVER_PORT},
        .ctx = &f->app[0],
    };
    int err;

    f->started = true;
    f->app[0].conn = tcp_connect(w->side[0].stack, &dial, &err, w->now);
    if (!f->app[0].conn)
        world_fail("connect: %s", err_str(err));
}

/* the server knows a flow by the client's port */
static struct app *accepted(struct world *w, struct tcp_conn *conn)
{
    struct addrport remote, local;

    tcp_conn_remote(conn, &remote);
    for (int i = 0; i < w->flows; i++) {
        struct app *client = &w->flow[i].app[0];

        if (w->flow[i].started && client->conn) {
            tcp_conn_local(client->conn, &local);
            if (local.port == remote.port)
                return &w->flow[i].app[1];
        }
    }
    return NULL;
}

static void events_take(struct world *w, int side)
{
    struct tcp_event e;

    while (tcp_stack_event(w->side[side].stack, &e)) {
        struct app *a = e.ctx;

        if (e.flags & TCP_EVENT_ACCEPTED) {
            a = accepted(w, e.conn);
            if (!a || a->conn) { /* its client is gone */
                tcp_abort(e.conn, w->now);
                continue;
            }
            a->conn = e.conn;
            tcp_conn_ctx_set(e.conn, a);
        }
        if (e.flags & TCP_EVENT_CONNECTED)
            a->connected = true;
        if (e.flags & TCP_EVENT_CLOSED)
            a->error = e.error ? e.error : ERR_CLOSED;
    }
}

/* -- the world ------------------------------------------------------------------------------------------------- */

static void side_init(struct world *w, int i)
{
    struct side *s = &w->side[i];
    struct tcp_config config;
    static const size_t chunk_bytes[] = {512, 2048, 4096, 16384};
    size_t chunk = chunk_bytes[rng_below(&w->rng, ARRAY_SIZE(chunk_bytes))];
    bool poor = rng_below(&w->rng, 4) == 0;

    rng_seed(&s->rng, rng_u64(&w->rng));
    pool_init(&s->pool, chunk, poor ? 64 + rng_below(&w->rng, 64) : 64 * 1024 * 1024 / chunk, 16);
    tcp_config_default(&config);
    config.rng = &s->rng;
    config.pool = &s->pool;
    if (rng_below(&w->rng, 3) == 0)
        config.recv_window_max = 3000 + rng_below(&w->rng, 300000);
    if (rng_below(&w->rng, 3) == 0)
        config.send_queue_max = 1 + rng_below(&w->rng, 100000);
    s->send_queue_max = config.send_queue_max;
    config.congestion = rng_below(&w->rng, 2) ? TCP_CONGESTION_BBR : TCP_CONGESTION_CUBIC;
    config.time_wait_ns = 10 * TS_S;
    config.keepalive_idle_ns = TS_S + rng_below(&w->rng, 60 * TS_S); /* a reset may be lost: nothing else tells */
    config.user_timeout_ns = 600 * TS_S;
    s->stack = tcp_stack_new(&config);
}

static void side_start(struct world *w, int i, bool v4, uint16_t mtu)
{
    const uint8_t b4[4] = {100, 64, 0, (uint8_t)(i + 1)};
    const uint8_t b6[16] = {0xfd, 0x7a, [15] = (uint8_t)(i + 1)};

    w->side[i].addr = v4 ? addr_v4(b4) : addr_v6(b6);
    tcp_peer_init(&w->side[i].peer, w->side[i].stack, NULL, mtu);
}

static void app_init(struct world *w, struct app *a, struct flow *f, int side)
{
    uint64_t size = 1ull << rng_below(&w->rng, 20);

    *a = (struct app){
        .flow = f,
        .side = side,
        .total = rng_below(&w->rng, 8) ? rng_below(&w->rng, size + 1) : 0,
        .ending = rng_below(&w->rng, 6) ? END_SHUTDOWN : END_ABORT,
        .piece_max = 1 + rng_below(&w->rng, 40000),
        .read_pause_ppm = rng_below(&w->rng, 4) ? 0 : (uint32_t)rng_below(&w->rng, 200000),
    };
    a->total = MIN(a->total, ROUNDS_MAX * w->side[side].send_queue_max);
    a->abort_at = rng_below(&w->rng, a->total + 1);
}

/* Busy hosts look seldom, and at many packets at once. Some applications are patient. Drawn apart, so that seeds from
 * before keep their worlds. */
static void habits_init(struct world *w, uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, ~seed);
    for (int i = 0; i < 2; i++)
        w->turn_ns[i] = rng_below(&rng, 3) ? 0 : rng_below(&rng, 30 * TS_MS);
    for (int i = 0; i < w->flows; i++)
        for (int j = 0; j < 2; j++)
            w->flow[i].app[j].patient = rng_below(&rng, 2);
}

static void world_init(struct world *w, uint64_t seed)
{
    bool v4;
    uint16_t mtu;

    memset(w, 0, sizeof(*w));
    rng_seed(&w->rng, seed);
    w->now = rng_u64(&w->rng) >> (8 + rng_below(&w->rng, 30)); /* any time, so any ISN and any timestamp */
    v4 = rng_below(&w->rng, 2);
    mtu = (uint16_t)(rng_below(&w->rng, 3) ? 1280 : 576 + rng_below(&w->rng, 900));
    for (int i = 0; i < 2; i++) {
        struct link_config config = link_random(&w->rng);

        if (config.blackout_to) {
            config.blackout_from += w->now;
            config.blackout_to += w->now;
        }
        if (config.route_at)
            config.route_at += w->now;
        side_init(w, i);
        side_start(w, i, v4, mtu);
        link_init(&w->link[i], &config, &w->rng);
    }
    if (tcp_listen(w->side[1].stack, SERVER_PORT, 64, NULL) != 0)
        world_fail("listen");
    w->flows = 1 + (int)rng_below(&w->rng, FLOWS_MAX);
    w->block_ppm = rng_below(&w->rng, 4) ? 0 : (uint32_t)rng_below(&w->rng, 2000);
    for (int i = 0; i < w->flows; i++) {
        struct flow *f = &w->flow[i];

        f->id = (uint32_t)i;
        f->start_at = w->now + rng_below(&w->rng, TS_S);
        app_init(w, &f->app[0], f, 0);
        app_init(w, &f->app[1], f, 1);
        if (f->app[0].ending == END_SHUTDOWN && rng_below(&w->rng, 3) == 0)
            f->app[1].ending = END_RELEASE; /* answers the other's end */
    }
    habits_init(w, seed);
}

static void world_deinit(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        tcp_peer_deinit(&w->side[i].peer, w->now);
        tcp_stack_free(w->side[i].stack);
        if (w->side[i].pool.chunks_out)
            world_fail("%zu chunks leaked on side %d", w->side[i].pool.chunks_out, i);
        pool_deinit(&w->side[i].pool);
        link_deinit(&w->link[i]);
    }
}

static bool world_done(const struct world *w)
{
    for (int i = 0; i < w->flows; i++) {
        const struct app *a = w->flow[i].app;

        if (!w->flow[i].started || !a[0].done || (a[1].conn && !a[1].done))
            return false;
        if (!a[1].conn && !a[1].done && !a[0].reset)
            return false;
    }
    return true;
}

static void conns_check(struct world *w)
{
    for (int i = 0; i < w->flows; i++)
        for (int j = 0; j < 2; j++)
            if (w->flow[i].app[j].conn)
                tcp_conn_check(w->flow[i].app[j].conn);
}

static void step(struct world *w, bool apps)
{
    const bool looks[2] = {w->now >= w->turn_at[0], w->now >= w->turn_at[1]};
    uint8_t buf[LINK_PACKET_MAX];
    size_t len;

    for (int i = 0; i < 2; i++) {
        struct side *s = &w->side[i];

        if (s->peer.blocked && w->now >= w->unblock_at[i])
            tcp_peer_block(&s->peer, false);
        if (!looks[i])
            continue;
        while ((len = link_take(&w->link[!i], buf, w->now)) > 0) {
            uint8_t *exact = malloc(len); /* its own block: reading past it is seen */

            memcpy(exact, buf, len);
            enum tcp_in in = tcp_stack_input(s->stack, &s->peer, exact, len, w->now);

            free(exact);
            if (verbose)
                fprintf(stderr, "%.6f side %d: %zu bytes, %s\n", (double)w->now / TS_S, i, len, tcp_in_name(in));
            if (w->steps % 8 == 0)
                conns_check(w);
        }
        tcp_stack_expire(s->stack, w->now);
    }
    for (int i = 0; i < w->flows && apps; i++)
        if (!w->flow[i].started && w->now >= w->flow[i].start_at)
            flow_start(w, &w->flow[i]);
    for (int i = 0; i < 2; i++)
        events_take(w, i);
    for (int i = 0; i < w->flows && apps; i++)
        for (int j = 0; j < 2; j++)
            app_run(w, &w->flow[i].app[j]);
    for (int i = 0; i < 2; i++) {
        struct side *s = &w->side[i];
        struct tcp_peer *peer;

        if (rng_below(&w->rng, 1000000) < w->block_ppm && !s->peer.blocked) {
            tcp_peer_block(&s->peer, true);
            w->unblock_at[i] = w->now + rng_below(&w->rng, 3 * TS_S);
        }
        if (!looks[i])
            continue;
        w->turn_at[i] = w->now + w->turn_ns[i];
        while ((len = tcp_stack_output(s->stack, buf, sizeof(buf), &peer, w->now)) > 0) {
            if (peer != &s->peer || peer->blocked)
                world_fail("a packet for a peer that must not be pulled");
            link_send(&w->link[i], buf, len, w->now);
        }
    }
    conns_check(w);
}

static ts_t next_moment(const struct world *w, bool apps)
{
    ts_t next = TS_NEVER;

    for (int i = 0; i < 2; i++) {
        ts_t event = ts_min(link_next(&w->link[!i]), tcp_stack_deadline(w->side[i].stack));

        if (event != TS_NEVER)
            next = ts_min(next, ts_max(event, w->turn_at[i]));
        if (tcp_stack_ready(w->side[i].stack))
            next = ts_min(next, ts_max(w->turn_at[i], w->now));
        if (w->side[i].peer.blocked)
            next = ts_min(next, w->unblock_at[i]);
    }
    for (int i = 0; i < w->flows && apps; i++) {
        const struct flow *f = &w->flow[i];

        if (!f->started)
            next = ts_min(next, f->start_at);
        for (int j = 0; j < 2; j++)
            if (f->app[j].conn && f->app[j].read_pause_until > w->now)
                next = ts_min(next, f->app[j].read_pause_until);
    }
    return next;
}

static void say(const struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct tcp_stack_stats s;

        tcp_stack_stats(w->side[i].stack, &s);
        fprintf(stderr, "side %d: conns=%u time_wait=%u in=%llu out=%llu again=%llu chunks=%zu dropped=%llu/%llu\n", i,
                s.conns, s.time_wait, (unsigned long long)s.segments_in, (unsigned long long)s.segments_out,
                (unsigned long long)s.retransmits, w->side[i].pool.chunks_out,
                (unsigned long long)w->link[i].dropped, (unsigned long long)w->link[i].sent);
    }
    for (int i = 0; i < w->flows; i++)
        for (int j = 0; j < 2; j++) {
            const struct app *a = &w->flow[i].app[j];
            struct tcp_conn_info info = {.state = "-"};

            if (a->conn)
                tcp_conn_info(a->conn, &info);
            fprintf(stderr, "flow %d.%d: %s total=%llu written=%llu read=%llu end=%d shut=%d eof=%d done=%d reset=%d "
                            "cwnd=%u flight=%u rto=%llums\n",
                    i, j, info.state, (unsigned long long)a->total, (unsigned long long)a->written,
                    (unsigned long long)a->read, a->ending, a->shut, a->eof, a->done, a->reset, info.cwnd_bytes,
                    info.in_flight_bytes, (unsigned long long)(info.rto_ns / TS_MS));
        }
}

static void world_run(uint64_t seed)
{
    static struct world world;
    struct world *w = &world;
    ts_t start;

    world_seed = seed;
    world_init(w, seed);
    start = w->now;
    step(w, true);
    while (!world_done(w)) {
        ts_t next = next_moment(w, true);

        if (next == TS_NEVER || next - start > PATIENCE_NS) {
            say(w);
            world_fail(next == TS_NEVER ? "nothing will ever happen again" : "no end in sight");
        }
        if (next < w->now)
            world_fail("time runs backwards");
        w->now = next;
        w->steps++;
        step(w, true);
    }
    if (verbose) {
        fprintf(stderr, "seed %llu: %llu bytes in %.1f s, %llu steps\n", (unsigned long long)seed,
                (unsigned long long)w->bytes, (double)(w->now - start) / TS_S, (unsigned long long)w->steps);
        say(w);
    }
    /* let the ends die out by themselves */
    for (int i = 0; i < 2; i++)
        w->link[i].config.loss_ppm = 0;
    for (ts_t next; (next = next_moment(w, false)) != TS_NEVER && next - start < PATIENCE_NS + 700 * TS_S;) {
        w->now = ts_max(next, w->now);
        step(w, false);
    }
    for (int i = 0; i < 2; i++) {
        struct tcp_stack_stats s;

        tcp_stack_stats(w->side[i].stack, &s);
        if (s.conns || s.time_wait) {
            say(w);
            world_fail("side %d keeps %u connections, %u in TIME-WAIT", i, s.conns, s.time_wait);
        }
    }
    world_deinit(w);
}

static int listed_run(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[500];
    int played = 0;

    while (f && fgets(line, sizeof(line), f))
        if (line[0] >= '0' && line[0] <= '9') {
            world_run(strtoull(line, NULL, 10));
            played++;
        }
    if (f)
        fclose(f);
    printf("%d worlds of %s held\n", played, path);
    return played ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = 3000;
    bool seeds_given = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--listed") == 0) {
            return listed_run(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            first = strtoull(argv[++i], NULL, 10);
            count = seeds_given ? count : 1;
        } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
            count = strtoull(argv[++i], NULL, 10);
            seeds_given = true;
        } else {
            fprintf(stderr, "usage: sim_tcp [--seed S] [--seeds N] [--verbose] | --listed FILE\n");
            return 2;
        }
    }
    for (uint64_t i = 0; i < count; i++)
        world_run(first + i);
    printf("worlds %llu to %llu held\n", (unsigned long long)first, (unsigned long long)(first + count - 1));
    return 0;
}
