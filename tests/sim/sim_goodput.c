/* sim_goodput - how much of a link bulk transfers make use of, in virtual time.
 *
 * Each flow is a pair of stacks of its own, so that each may have its own congestion control; all share one link to the
 * receivers and one back. A case says what the links are like and in which band each flow's share must lie: below it we
 * waste the path, above it (for the one beside which another flow has to live) we take too much. Real hosts do not look
 * at each packet when it comes: `turn_ns` is how long they are at other things between two looks.
 *     sim_goodput [--seed S] [--only WORDS]     the cases whose name holds WORDS
 *     sim_goodput --grid [--seconds S]          round trips x losses x algorithms at 100 Mbit/s, for a look, no bands
 *     ... --turn-us N                           hosts look once in N microseconds, whatever the case says; no bands */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/tcp/tcp.h"
#include "world.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* what a case leaves out is zero */

#define FLOWS_MAX   2
#define SERVER_PORT 443
#define MTU         1280
#define PIECE       65536

struct end {
    struct rng rng;
    struct pool pool;
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct addr addr;
    struct tcp_conn *conn;
};

struct flow {
    enum tcp_congestion congestion;
    struct end end[2]; /* 0 sends, having connected */
    uint64_t written, read, read_before; /* bytes; read until the measurement began */
    double peak_rtt_ms;
};

struct bulk {
    struct rng rng;
    struct link link[2]; /* [0]: to the receivers */
    struct flow flow[FLOWS_MAX];
    int flows;
    uint64_t turn_ns;
    ts_t turn_at[2]; /* when each side's hosts look again */
    ts_t start, now;
};

struct band {
    double low, high; /* of the link's rate */
};

struct bulk_case {
    const char *name;
    struct link_config link[2];
    int flows;
    enum tcp_congestion congestion[FLOWS_MAX];
    double limit_mbit; /* what the link allows */
    int seconds, warm_seconds;
    struct band band[FLOWS_MAX];
    uint64_t turn_ns;
    size_t window; /* what receivers offer at most; 0: what a stack does by itself */
};

static uint8_t pattern[PIECE + 251]; /* position p has byte p mod 251 */

static void end_open(struct bulk *w, struct flow *f, int i, int side, size_t window)
{
    struct end *e = &f->end[side];
    const uint8_t addr[4] = {10, 0, (uint8_t)i, (uint8_t)(side + 1)};
    struct tcp_config config;

    rng_seed(&e->rng, rng_u64(&w->rng));
    pool_init(&e->pool, 16384, 4096, 64);
    tcp_config_default(&config);
    config.rng = &e->rng;
    config.pool = &e->pool;
    config.congestion = f->congestion;
    if (window)
        config.recv_window_max = window;
    e->stack = tcp_stack_new(&config);
    e->addr = addr_v4(addr);
    tcp_peer_init(&e->peer, e->stack, f, MTU);
}

static void bulk_open(struct bulk *w, const struct bulk_case *c)
{
    int err;

    memset(w, 0, sizeof(*w));
    rng_seed(&w->rng, world_seed);
    w->now = w->start = TS_S;
    w->flows = c->flows;
    w->turn_ns = c->turn_ns;
    for (int i = 0; i < 2; i++) {
        struct link_config config = c->link[i];

        if (config.route_at)
            config.route_at += w->start;
        link_init(&w->link[i], &config, &w->rng);
    }
    for (int i = 0; i < c->flows; i++) {
        struct flow *f = &w->flow[i];

        f->congestion = c->congestion[i];
        end_open(w, f, i, 0, 0);
        end_open(w, f, i, 1, c->window);
        if (tcp_listen(f->end[1].stack, SERVER_PORT, 1, NULL) != 0)
            world_fail("listen");
        struct tcp_dial dial = {
            .peer = &f->end[0].peer,
            .local = f->end[0].addr,
            .remote = {.addr = f->end[1].addr, .port = SERVER_PORT},
        };

        f->end[0].conn = tcp_connect(f->end[0].stack, &dial, &err, w->now);
        if (!f->end[0].conn)
            world_fail("connect: %s", err_str(err));
    }
}

static void bulk_close(struct bulk *w)
{
    for (int i = 0; i < w->flows; i++)
        for (int side = 0; side < 2; side++) {
            struct end *e = &w->flow[i].end[side];

            tcp_abort(e->conn, w->now);
            tcp_peer_deinit(&e->peer, w->now);
            tcp_stack_free(e->stack);
            pool_deinit(&e->pool);
        }
    for (int i = 0; i < 2; i++)
        link_deinit(&w->link[i]);
}

static void flow_write(struct bulk *w, struct flow *f)
{
    struct tcp_conn *conn = f->end[0].conn;
    size_t n;

    while (tcp_can_write(conn) && (n = tcp_write(conn, pattern + f->written % 251, PIECE, w->now)) > 0)
        f->written += n;
}

static void flow_read(struct bulk *w, struct flow *f)
{
    struct tcp_conn *conn = f->end[1].conn;
    struct iovec iov[8];
    size_t bytes;
    int pieces;

    while (conn && (pieces = tcp_read_iov(conn, iov, ARRAY_SIZE(iov), &bytes)) > 0) {
        for (int i = 0; i < pieces; i++) {
            if (iov[i].iov_len > PIECE || memcmp(iov[i].iov_base, pattern + f->read % 251, iov[i].iov_len) != 0)
                world_fail("wrong bytes near %llu", (unsigned long long)f->read);
            f->read += iov[i].iov_len;
        }
        tcp_consume(conn, bytes, w->now);
    }
}

static void deliver(struct bulk *w, int side)
{
    uint8_t buf[LINK_PACKET_MAX];
    size_t len;

    while ((len = link_take(&w->link[!side], buf, w->now)) > 0) {
        struct end *e = &w->flow[buf[18]].end[side]; /* third byte of the destination: the flow */

        tcp_stack_input(e->stack, &e->peer, buf, len, w->now);
    }
}

static void end_run(struct bulk *w, struct flow *f, int side)
{
    struct end *e = &f->end[side];
    struct tcp_event event;

    tcp_stack_expire(e->stack, w->now);
    while (tcp_stack_event(e->stack, &event)) {
        if (event.flags & TCP_EVENT_ACCEPTED)
            e->conn = event.conn;
        if (event.flags & TCP_EVENT_CLOSED)
            world_fail("a flow ended: %s", err_str(event.error));
    }
    if (side == 0)
        flow_write(w, f);
    else
        flow_read(w, f);
}

static void flush(struct bulk *w, int side)
{
    uint8_t buf[LINK_PACKET_MAX];
    struct tcp_peer *peer;
    int first = (int)rng_below(&w->rng, (uint64_t)w->flows); /* whoever goes first finds more room in a queue */
    size_t len;

    for (int n = 0; n < w->flows; n++) {
        struct tcp_stack *stack = w->flow[(first + n) % w->flows].end[side].stack;

        while ((len = tcp_stack_output(stack, buf, sizeof(buf), &peer, w->now)) > 0)
            link_send(&w->link[side], buf, len, w->now);
    }
}

/* when the hosts of a side have something to do and time to do it */
static ts_t side_next(const struct bulk *w, int side)
{
    ts_t next = link_next(&w->link[!side]);

    for (int i = 0; i < w->flows; i++)
        next = ts_min(next, tcp_stack_deadline(w->flow[i].end[side].stack));
    return next == TS_NEVER ? next : ts_max(next, w->turn_at[side]);
}

static void side_run(struct bulk *w, int side)
{
    deliver(w, side);
    for (int i = 0; i < w->flows; i++)
        end_run(w, &w->flow[i], side);
    flush(w, side);
    w->turn_at[side] = w->now + w->turn_ns;
}

static void bulk_until(struct bulk *w, ts_t end)
{
    for (; w->now < end; w->now = ts_min(ts_max(ts_min(side_next(w, 0), side_next(w, 1)), w->now), end)) {
        for (int side = 0; side < 2; side++)
            if (w->now == w->start || side_next(w, side) <= w->now)
                side_run(w, side);
        for (int i = 0; i < w->flows; i++) {
            struct tcp_conn_info info;

            tcp_conn_info(w->flow[i].end[0].conn, &info);
            w->flow[i].peak_rtt_ms = MAX(w->flow[i].peak_rtt_ms, (double)info.srtt_ns / TS_MS);
        }
    }
}

/* bulk_run - Mbit/s of each flow after the first warm_seconds. */
static void bulk_run(const struct bulk_case *c, double mbit[FLOWS_MAX])
{
    static struct bulk bulk;
    struct bulk *w = &bulk;

    bulk_open(w, c);
    bulk_until(w, w->start + (uint64_t)c->warm_seconds * TS_S);
    for (int i = 0; i < w->flows; i++)
        w->flow[i].read_before = w->flow[i].read;
    bulk_until(w, w->start + (uint64_t)(c->warm_seconds + c->seconds) * TS_S);
    printf("%-45s", c->name);
    for (int i = 0; i < w->flows; i++) {
        struct flow *f = &w->flow[i];
        struct tcp_conn_info info;

        tcp_conn_info(f->end[0].conn, &info);
        mbit[i] = (double)(f->read - f->read_before) * 8 / c->seconds / 1e6;
        printf("  %-5s %6.1f Mbit/s %5.1f %%  again %4.1f %%  srtt up to %.0f ms", info.congestion, mbit[i],
               100 * mbit[i] / c->limit_mbit, 100.0 * (double)info.bytes_retransmitted / (double)MAX(f->written, 1u),
               f->peak_rtt_ms);
    }
    printf("\n");
    fflush(stdout);
    bulk_close(w);
}

static void grid(const char *only, int seconds, uint64_t turn_ns)
{
    static const int rtts[] = {20, 80, 200};
    static const uint32_t losses[] = {0, 1000, 10000, 30000};
    static const struct {
        const char *name;
        enum tcp_congestion congestion;
    } which[] = {{"bbr", TCP_CONGESTION_BBR}, {"cubic", TCP_CONGESTION_CUBIC}};

    for (size_t a = 0; a < ARRAY_SIZE(which); a++)
        for (size_t r = 0; r < ARRAY_SIZE(rtts); r++)
            for (size_t l = 0; l < ARRAY_SIZE(losses); l++) {
                char name[64];
                double mbit[FLOWS_MAX];
                struct link_config link = {
                    .delay_ns = (uint64_t)rtts[r] * TS_MS / 2,
                    .rate_bps = 100000000,
                    .queue_bytes = 100000000 / 8 / 1000 * (uint64_t)rtts[r],
                    .loss_ppm = losses[l],
                };
                struct bulk_case c = {name, {link, link}, 1, {which[a].congestion}, 100, seconds, 0, {{0, 2}}};

                snprintf(name, sizeof(name), "%s %d ms %g %%", which[a].name, rtts[r], losses[l] / 1e4);
                if (only && !strstr(name, only))
                    continue;
                c.link[1].rate_bps = 0;
                c.turn_ns = turn_ns;
                bulk_run(&c, mbit);
            }
}

#define MBIT 1000000ull
#define ONE_WAY(rtt_ms, mbit, queue_kb, ...)                                                                           \
    {{.delay_ns = (rtt_ms) * TS_MS / 2, .rate_bps = (mbit) * MBIT, .queue_bytes = (queue_kb) * 1000ull,                \
      __VA_ARGS__},                                                                                                    \
     {.delay_ns = (rtt_ms) * TS_MS / 2}}
#define BBR   TCP_CONGESTION_BBR
#define CUBIC TCP_CONGESTION_CUBIC

#define LOSSY(rtt_ms, mbit, loss, low)                                                                                 \
    {#rtt_ms " ms, " #mbit " Mbit/s, " #loss " ppm lost",                                                              \
     ONE_WAY(rtt_ms, mbit, (rtt_ms) * (mbit) / 8, .loss_ppm = loss), 1, {BBR}, mbit, 20, 0, {{low, 1}}}

static const struct bulk_case cases[] = {
    LOSSY(20, 50, 0, 0.88),
    LOSSY(20, 50, 1000, 0.85),
    LOSSY(20, 50, 10000, 0.80),
    LOSSY(20, 50, 30000, 0.65),
    LOSSY(80, 50, 0, 0.85),
    LOSSY(80, 50, 1000, 0.85),
    LOSSY(80, 50, 10000, 0.80),
    LOSSY(80, 50, 30000, 0.70),
    LOSSY(200, 50, 0, 0.75),
    LOSSY(200, 50, 1000, 0.70),
    LOSSY(200, 50, 10000, 0.70),
    LOSSY(200, 50, 30000, 0.65),
    {"80 ms, 1 %, CUBIC", ONE_WAY(80, 50, 500, .loss_ppm = 10000), 1, {CUBIC}, 50, 20, 0, {{0.02, 1}}},
    {"80 ms, clean, CUBIC", ONE_WAY(80, 50, 500), 1, {CUBIC}, 50, 20, 0, {{0.85, 1}}},
    {"queue of a tenth, BBR", ONE_WAY(40, 50, 25), 1, {BBR}, 50, 20, 0, {{0.80, 1}}},
    {"queue of a tenth, CUBIC", ONE_WAY(40, 50, 25), 1, {CUBIC}, 50, 20, 0, {{0.80, 1}}},
    {"policer of 20 Mbit/s, BBR", ONE_WAY(40, 100, 500, .policer_bps = 20 * MBIT, .policer_bytes = 50000), 1, {BBR}, 20,
     20, 0, {{0.80, 1}}},
    {"policer of 20 Mbit/s, CUBIC", ONE_WAY(40, 100, 500, .policer_bps = 20 * MBIT, .policer_bytes = 50000), 1, {CUBIC},
     20, 20, 0, {{0.70, 1}}},
    {"route grows by 60 ms", ONE_WAY(20, 50, 250, .route_at = 8 * TS_S, .route_delay_ns = 70 * TS_MS), 1, {BBR}, 50, 20,
     20, {{0.80, 1}}},
    {"route shrinks by 45 ms", ONE_WAY(100, 50, 500, .route_at = 8 * TS_S, .route_delay_ns = 5 * TS_MS), 1, {BBR}, 50,
     10, 10, {{0.85, 1}}},
    /* a window that stays is no reason to go on probing: it would overflow the queue for ever */
    {"window of 0.8 BDP, queue of a fifth", ONE_WAY(40, 50, 50), 1, {BBR}, 50, 20, 0, {{0.70, 1}}, .window = 200000},
    {"window of 1.2 BDP, queue of a fifth", ONE_WAY(40, 50, 50), 1, {BBR}, 50, 20, 0, {{0.70, 1}}, .window = 300000},
    {"reordering", ONE_WAY(20, 50, 125, .reorder_ppm = 20000, .reorder_ns = 4 * TS_MS), 1, {BBR}, 50, 20, 0,
     {{0.85, 1}}},
    {"bursts of loss", ONE_WAY(40, 50, 250, .burst_enter_ppm = 500, .burst_leave_ppm = 100000), 1, {BBR}, 50, 20, 0,
     {{0.75, 1}}},
    /* many holes in what a host takes at one look: each must be reported */
    {"a look every 2 ms, 1 % lost", ONE_WAY(20, 200, 1000, .loss_ppm = 10000), 1, {BBR}, 200, 5, 1, {{0.80, 1}},
     .turn_ns = 2 * TS_MS},
    {"a look every 2 ms, 3 % lost", ONE_WAY(20, 200, 1000, .loss_ppm = 30000), 1, {BBR}, 200, 5, 1, {{0.70, 1}},
     .turn_ns = 2 * TS_MS},
    /* timers that come late must not pass for a slow path */
    {"a look every 4 ms, clean", ONE_WAY(20, 200, 1000), 1, {BBR}, 200, 5, 1, {{0.80, 1}}, .turn_ns = 4 * TS_MS},
    /* all of a short path's window fits into one look, so one lost ACK is that of all: what waits must not wait long */
    {"0.1 ms, 1 % lost, CUBIC, a look every 0.5 ms",
     {{.delay_ns = 50 * TS_US, .rate_bps = 1000 * MBIT, .queue_bytes = 1000000, .loss_ppm = 10000},
      {.delay_ns = 50 * TS_US, .loss_ppm = 10000}},
     1, {CUBIC}, 1000, 20, 0, {{0.19, 1}}, .turn_ns = TS_MS / 2},
    /* its windows are of some twenty segments: one that is lost must not make them smaller, nor a lost ACK and a lost
     * probe cost a timeout */
    {"0.1 ms, 3 % lost, BBR, a look every 0.5 ms",
     {{.delay_ns = 50 * TS_US, .rate_bps = 2000 * MBIT, .queue_bytes = 1000000, .loss_ppm = 30000},
      {.delay_ns = 50 * TS_US, .loss_ppm = 30000}},
     1, {BBR}, 2000, 10, 1, {{0.38, 1}}, .turn_ns = TS_MS / 2},
    {"a tenth of the ACKs lost",
     {{.delay_ns = 20 * TS_MS, .rate_bps = 50 * MBIT, .queue_bytes = 250000},
      {.delay_ns = 20 * TS_MS, .loss_ppm = 100000}},
     1, {BBR}, 50, 20, 0, {{0.85, 1}}},
    {"a tenth of the ACKs lost, CUBIC",
     {{.delay_ns = 20 * TS_MS, .rate_bps = 50 * MBIT, .queue_bytes = 250000},
      {.delay_ns = 20 * TS_MS, .loss_ppm = 100000}},
     1, {CUBIC}, 50, 20, 0, {{0.80, 1}}},
    {"no SACK, clean", ONE_WAY(40, 50, 250, .strips_sack = true), 1, {BBR}, 50, 20, 0, {{0.80, 1}}},
    {"no SACK, 0.1 % lost", ONE_WAY(40, 50, 250, .strips_sack = true, .loss_ppm = 1000), 1, {BBR}, 50, 20, 0,
     {{0.15, 1}}},
    {"black hole of 1200 bytes", ONE_WAY(40, 50, 250, .mtu = 1200), 1, {BBR}, 50, 20, 5, {{0.70, 1}}},
    {"black hole of 600 bytes", ONE_WAY(40, 50, 250, .mtu = 600), 1, {BBR}, 50, 20, 8, {{0.60, 1}}},
    /* a CUBIC flow must be able to live beside us, and two of us beside one another */
    {"beside CUBIC, a fifth of a BDP", ONE_WAY(30, 50, 40), 2, {BBR, CUBIC}, 50, 40, 10, {{0.2, 0.8}, {0.15, 0.8}}},
    {"beside CUBIC, half a BDP", ONE_WAY(30, 50, 94), 2, {BBR, CUBIC}, 50, 40, 10, {{0.2, 0.8}, {0.15, 0.8}}},
    {"beside CUBIC, a BDP", ONE_WAY(30, 50, 188), 2, {BBR, CUBIC}, 50, 40, 10, {{0.2, 0.75}, {0.2, 0.8}}},
    {"beside CUBIC, 4 BDP", ONE_WAY(30, 50, 750), 2, {BBR, CUBIC}, 50, 40, 10, {{0.2, 0.75}, {0.2, 0.8}}},
    {"two BBR, a fifth of a BDP", ONE_WAY(30, 50, 40), 2, {BBR, BBR}, 50, 40, 10, {{0.25, 0.7}, {0.25, 0.7}}},
    {"two BBR, a BDP", ONE_WAY(30, 50, 188), 2, {BBR, BBR}, 50, 40, 10, {{0.25, 0.7}, {0.25, 0.7}}},
};

static void case_check(const struct bulk_case *c, const double mbit[FLOWS_MAX])
{
    for (int i = 0; i < c->flows; i++) {
        double share = mbit[i] / c->limit_mbit;

        if (share < c->band[i].low || share > c->band[i].high)
            world_fail("%s: flow %d has %.0f %% of the link, not %.0f to %.0f", c->name, i, share * 100,
                       c->band[i].low * 100, c->band[i].high * 100);
    }
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: sim_goodput [--seed S] [--only WORDS] [--turn-us N] [--grid [--seconds S]]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    bool whole_grid = false;
    const char *only = NULL;
    int seconds = 20;
    uint64_t turn_ns = 0;
    int played = 0;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i % 251);
    world_seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--grid") == 0)
            whole_grid = true;
        else if (i + 1 < argc && strcmp(argv[i], "--only") == 0)
            only = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0)
            seconds = atoi(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--turn-us") == 0)
            turn_ns = strtoull(argv[++i], NULL, 10) * TS_US;
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            world_seed = strtoull(argv[++i], NULL, 10);
        else
            usage();
    }
    if (whole_grid)
        grid(only, seconds, turn_ns);
    for (size_t i = 0; !whole_grid && i < ARRAY_SIZE(cases); i++) {
        struct bulk_case c = cases[i];
        double mbit[FLOWS_MAX];

        if (only && !strstr(c.name, only))
            continue;
        if (turn_ns)
            c.turn_ns = turn_ns;
        bulk_run(&c, mbit);
        played++;
        if (!turn_ns)
            case_check(&c, mbit);
    }
    if (!whole_grid && played == 0)
        world_fail("no case of that name");
    return 0;
}
