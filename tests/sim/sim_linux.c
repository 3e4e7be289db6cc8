/* sim_linux - our engine against the kernel's TCP, in real time: a TUN device in a network namespace of our own, and
 * between the two a link that loses and delays.
 *
 *      kernel socket -- tun0 10.9.0.1 -- [link] -- our stack 10.9.0.2
 *
 * Each case moves bytes one way, in both roles: what we send goes to a kernel listener, what the kernel sends comes
 * from a kernel connect. Every byte is compared, both ends check every checksum, the end must arrive as an end, and
 * where we send the goodput has a floor. Without a TUN device nothing is proven, and the program says so.
 *     sim_linux [--only WORDS]        needs CAP_SYS_ADMIN, or user namespaces */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/tcp/tcp.h"
#include "tests/not_tested.h"
#include "world.h"

#define SKIPPED 77 /* what ctest is told to take for "not run" */
#define PORT        443
#define MTU         1280
#define PERIOD      251 /* position p of the stream has byte p mod 251 */
#define PIECE       65536
#define PATIENCE_NS (60 * TS_S)
#define TUN_BATCH   256 /* packets from the device before the rest gets its turn */

enum direction {
    WE_SEND = 0,
    KERNEL_SENDS,
};

struct linux_case {
    const char *name;
    enum direction direction;
    enum tcp_congestion ours;
    const char *theirs; /* the kernel's; NULL: its default */
    uint32_t loss_ppm, reorder_ppm;
    uint64_t rtt_ns;
    uint64_t bytes;
    double mbit_min;
};

static const struct linux_case cases[] = {
    {"to Linux, 20 ms, clean, BBR", WE_SEND, TCP_CONGESTION_BBR, NULL, 0, 0, 20 * TS_MS, 12000000, 20},
    {"to Linux, 20 ms, 1 %, BBR", WE_SEND, TCP_CONGESTION_BBR, NULL, 10000, 0, 20 * TS_MS, 12000000, 15},
    {"to Linux, 80 ms, 3 %, BBR", WE_SEND, TCP_CONGESTION_BBR, NULL, 30000, 0, 80 * TS_MS, 12000000, 20},
    {"to Linux, 20 ms, 1 %, CUBIC", WE_SEND, TCP_CONGESTION_CUBIC, NULL, 10000, 0, 20 * TS_MS, 2000000, 1},
    {"to Linux, 20 ms, reordered", WE_SEND, TCP_CONGESTION_BBR, NULL, 0, 20000, 20 * TS_MS, 12000000, 15},
    {"from Linux, 20 ms, clean", KERNEL_SENDS, TCP_CONGESTION_BBR, NULL, 0, 0, 20 * TS_MS, 12000000, 0},
    {"from Linux, 20 ms, 1 %, reno", KERNEL_SENDS, TCP_CONGESTION_BBR, "reno", 10000, 0, 20 * TS_MS, 2000000, 0},
    {"from Linux, 20 ms, 3 %, cubic", KERNEL_SENDS, TCP_CONGESTION_BBR, "cubic", 30000, 0, 20 * TS_MS, 1000000, 0},
    {"from Linux, 20 ms, reordered", KERNEL_SENDS, TCP_CONGESTION_BBR, NULL, 0, 20000, 20 * TS_MS, 12000000, 0},
};

struct run {
    const struct linux_case *c;
    int tun, listener, sock; /* sock: the kernel's end of the connection; -1: not yet */
    struct rng rng;
    struct pool pool;
    struct tcp_stack *stack;
    struct tcp_peer peer;
    struct tcp_conn *conn;
    struct link link[2];    /* [0]: from the kernel to us */
    uint64_t sent, received;
    bool shut, ended;       /* the sender is done; the receiver saw the end */
    ts_t start, now;
};

static uint8_t pattern[PIECE + PERIOD];

static ts_t clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ts_t)t.tv_sec * TS_S + (ts_t)t.tv_nsec;
}

/* -- the kernel's side ----------------------------------------------------------------------------------------- */

static void interface_set(const char *name, int tun)
{
    struct ifreq r = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&r.ifr_addr;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(r.ifr_name, name);
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (s < 0 || ioctl(tun, TUNSETIFF, &r) != 0)
        world_fail("TUN device: %s", strerror(errno));
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.9.0.1")};
    int err = ioctl(s, SIOCSIFADDR, &r);

    in->sin_addr.s_addr = inet_addr("255.255.255.0");
    err |= ioctl(s, SIOCSIFNETMASK, &r);
    r.ifr_mtu = MTU;
    err |= ioctl(s, SIOCSIFMTU, &r);
    r.ifr_qlen = 10000; /* losses shall be the link's */
    err |= ioctl(s, SIOCSIFTXQLEN, &r);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    err |= ioctl(s, SIOCSIFFLAGS, &r);
    if (err)
        world_fail("%s: %s", name, strerror(errno));
    close(s);
}

/* -1: this machine has none, or we may not */
static int tun_open(void)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return -1;
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (tun >= 0)
        interface_set("tun0", tun);
    return tun;
}

static void sock_tune(struct run *r, int sock)
{
    const char *name = r->c->theirs;

    if (name && setsockopt(sock, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) != 0)
        printf("  (the kernel has no %s: its default)\n", name);
}

static void kernel_open(struct run *r)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = inet_addr("10.9.0.1")};
    int on = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    sock_tune(r, s);
    if (r->c->direction == WE_SEND) {
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(s, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(s, 1) != 0)
            world_fail("listen: %s", strerror(errno));
        r->listener = s;
    } else {
        at.sin_addr.s_addr = inet_addr("10.9.0.2");
        if (connect(s, (struct sockaddr *)&at, sizeof(at)) != 0 && errno != EINPROGRESS)
            world_fail("connect: %s", strerror(errno));
        r->sock = s;
    }
}

static void compare(struct run *r, const uint8_t *data, size_t len)
{
    for (size_t n; len > 0; data += n, len -= n) {
        n = MIN(len, (size_t)PIECE);
        if (memcmp(data, pattern + r->received % PERIOD, n) != 0)
            world_fail("%s: wrong bytes near %llu", r->c->name, (unsigned long long)r->received);
        r->received += n;
    }
}

static void kernel_run(struct run *r)
{
    uint8_t buf[PIECE];
    ssize_t n;

    if (r->sock < 0)
        r->sock = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (r->sock < 0)
        return;
    if (r->c->direction == WE_SEND) {
        while ((n = recv(r->sock, buf, sizeof(buf), 0)) > 0)
            compare(r, buf, (size_t)n);
        r->ended |= n == 0;
    } else {
        while (r->sent < r->c->bytes &&
               (n = send(r->sock, pattern + r->sent % PERIOD, MIN(r->c->bytes - r->sent, PIECE), MSG_NOSIGNAL)) > 0)
            r->sent += (size_t)n;
        if (r->sent == r->c->bytes && !r->shut)
            r->shut = shutdown(r->sock, SHUT_WR) == 0;
        n = r->sent > 0 ? recv(r->sock, buf, sizeof(buf), MSG_PEEK) : -1;
    }
    if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
        world_fail("%s: the kernel's end: %s", r->c->name, strerror(errno));
}

/* -- our side -------------------------------------------------------------------------------------------------- */

static void ours_open(struct run *r)
{
    struct tcp_config config;
    struct tcp_dial dial = {.peer = &r->peer};
    int err = 0;

    rng_seed(&r->rng, world_seed + (uint64_t)(r->c - cases)); /* another port each: the kernel remembers the last one */
    pool_init(&r->pool, 16384, 4096, 64);
    tcp_config_default(&config);
    config.rng = &r->rng;
    config.pool = &r->pool;
    config.congestion = r->c->ours;
    r->stack = tcp_stack_new(&config);
    tcp_peer_init(&r->peer, r->stack, NULL, MTU);
    addr_parse("10.9.0.2", 8, &dial.local);
    addr_parse("10.9.0.1", 8, &dial.remote.addr);
    dial.remote.port = PORT;
    if (r->c->direction == KERNEL_SENDS)
        err = tcp_listen(r->stack, PORT, 1, NULL);
    else
        r->conn = tcp_connect(r->stack, &dial, &err, r->now);
    if (err)
        world_fail("%s", err_str(err));
}

static void ours_run(struct run *r)
{
    struct tcp_event e;
    struct iovec iov[8];
    size_t n;

    tcp_stack_expire(r->stack, r->now);
    while (tcp_stack_event(r->stack, &e)) {
        if (e.flags & TCP_EVENT_ACCEPTED)
            r->conn = e.conn;
        if (e.flags & TCP_EVENT_CLOSED)
            world_fail("%s: our end: %s", r->c->name, err_str(e.error));
    }
    if (!r->conn)
        return;
    tcp_conn_check(r->conn);
    if (r->c->direction == WE_SEND) {
        while (r->sent < r->c->bytes &&
               (n = tcp_write(r->conn, pattern + r->sent % PERIOD, MIN(r->c->bytes - r->sent, PIECE), r->now)) > 0)
            r->sent += n;
        if (r->sent == r->c->bytes && !r->shut) {
            tcp_shutdown(r->conn, r->now);
            r->shut = true;
        }
        return;
    }
    for (int pieces; (pieces = tcp_read_iov(r->conn, iov, ARRAY_SIZE(iov), &n)) > 0; tcp_consume(r->conn, n, r->now))
        for (int i = 0; i < pieces; i++)
            compare(r, iov[i].iov_base, iov[i].iov_len);
    r->ended |= tcp_eof(r->conn);
}

/* -- between them ---------------------------------------------------------------------------------------------- */

static void packets_move(struct run *r)
{
    uint8_t buf[LINK_PACKET_MAX];
    struct tcp_peer *peer;
    size_t len;
    ssize_t n;

    for (int i = 0; i < TUN_BATCH && (n = read(r->tun, buf, sizeof(buf))) > 0; i++)
        if (buf[0] >> 4 == 4) /* the kernel has things to say in IPv6 too */
            link_send(&r->link[0], buf, (size_t)n, r->now);
    while ((len = link_take(&r->link[0], buf, r->now)) > 0) {
        enum tcp_in in = tcp_stack_input(r->stack, &r->peer, buf, len, r->now);

        if (in == TCP_IN_CHECKSUM || in == TCP_IN_MALFORMED)
            world_fail("%s: a packet of the kernel's is %s", r->c->name, tcp_in_name(in));
    }
    ours_run(r);
    while ((len = tcp_stack_output(r->stack, buf, sizeof(buf), &peer, r->now)) > 0)
        link_send(&r->link[1], buf, len, r->now);
    while ((len = link_take(&r->link[1], buf, r->now)) > 0)
        if (write(r->tun, buf, len) != (ssize_t)len)
            world_fail("TUN device: %s", strerror(errno));
}

static void sleep_until(struct run *r)
{
    ts_t next = ts_min(tcp_stack_deadline(r->stack), ts_min(link_next(&r->link[0]), link_next(&r->link[1])));
    uint64_t wait_ns = MIN(ts_since(next, r->now), 10 * TS_MS); /* the kernel's sockets are not waited for */
    struct timespec t = {.tv_nsec = (long)wait_ns};
    struct pollfd fd = {.fd = r->tun, .events = POLLIN};

    ppoll(&fd, 1, &t, NULL);
}

static void case_run(const struct linux_case *c, int tun)
{
    struct run r = {.c = c, .tun = tun, .listener = -1, .sock = -1, .start = clock_now()};
    struct link_config config = {
        .delay_ns = c->rtt_ns / 2,
        .rate_bps = 100000000,
        .queue_bytes = 500000,
        .loss_ppm = c->loss_ppm,
        .reorder_ppm = c->reorder_ppm,
        .reorder_ns = 3 * TS_MS,
    };

    r.now = r.start;
    link_init(&r.link[0], &config, &r.rng);
    link_init(&r.link[1], &config, &r.rng);
    ours_open(&r);
    kernel_open(&r);
    while (!r.ended) {
        r.now = clock_now();
        if (r.now - r.start > PATIENCE_NS)
            world_fail("%s: %llu of %llu bytes after a minute", c->name, (unsigned long long)r.received,
                       (unsigned long long)c->bytes);
        packets_move(&r);
        kernel_run(&r);
        sleep_until(&r);
    }
    if (r.received != c->bytes)
        world_fail("%s: ended after %llu bytes", c->name, (unsigned long long)r.received);
    double mbit = (double)c->bytes * 8 / ((double)(r.now - r.start) / TS_S) / 1e6;
    struct tcp_conn_info info;

    tcp_conn_info(r.conn, &info);
    printf("%-32s %6.1f Mbit/s  %s  mss %u  rtt %.1f ms\n", c->name, mbit,
           c->direction == WE_SEND ? info.congestion : c->theirs ? c->theirs : "default", info.mss,
           (double)info.srtt_ns / TS_MS);
    fflush(stdout);
    if (mbit < c->mbit_min)
        world_fail("%s: less than %.0f Mbit/s", c->name, c->mbit_min);
    tcp_abort(r.conn, r.now);
    packets_move(&r);
    tcp_peer_deinit(&r.peer, r.now);
    tcp_stack_free(r.stack);
    if (r.pool.chunks_out)
        world_fail("%s: %zu chunks leaked", c->name, r.pool.chunks_out);
    pool_deinit(&r.pool);
    close(r.sock);
    if (r.listener >= 0)
        close(r.listener);
    for (int i = 0; i < 2; i++)
        link_deinit(&r.link[i]);
}

int main(int argc, char **argv)
{
    const char *only = argc == 3 && strcmp(argv[1], "--only") == 0 ? argv[2] : NULL;
    int tun, played = 0;

    if (argc != 1 && !only) {
        fprintf(stderr, "usage: sim_linux [--only WORDS]\n");
        return 2;
    }
    world_seed = 1;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i % PERIOD);
    tun = tun_open();
    if (tun < 0) {
        not_tested("no TUN device here: nothing was proven against Linux");
        return SKIPPED;
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (!only || strstr(cases[i].name, only)) {
            case_run(&cases[i], tun);
            played++;
        }
    close(tun);
    if (played == 0)
        world_fail("no case of that name");
    return 0;
}
