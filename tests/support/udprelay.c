/* udprelay.c - a bad network in user space: UDP between many clients and one target, with delay, a rate and its queue,
 * loss and reordering.
 *
 *     udprelay [--up IMPAIR] [--down IMPAIR] [--seed N] [--capture FILE] LISTEN TARGET
 *     IMPAIR   delay=MS,jitter=MS,rate=MBIT,queue=KB,loss=PERCENT,reorder=PERCENT     any of them, decimals allowed
 *
 * Up is towards TARGET. Each client address gets a socket of its own there, so the target sees different peers.
 * A datagram waits delay plus up to jitter, never overtaking the one before it, except that `reorder` percent are held
 * back HOLD_NS longer and thus arrive late. With a rate, all clients of a direction share it and the queue before it;
 * what finds the queue full is dropped. When a datagram came is what the kernel says: a relay that gets no turn for some
 * milliseconds neither leaves its link idle nor finds its queue overrun. Equal seeds give equal decisions for equal traffic. --capture writes the
 * payload of everything received, lost or not, so that a test can look for what must not be there.
 * Prints "listening ADDRESS" when ready; on SIGUSR1, and before it ends with 0 on SIGTERM or SIGINT, a line for each
 * direction with what it did to datagrams. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/rng.h"
#include "common/base/timerq.h"

#define CLIENTS_MAX   64
#define QUEUED_MAX    65536 /* datagrams waiting; what comes beyond is dropped, as a router's queue would */
#define DATAGRAM_MAX  65535
#define HOLD_NS       (5 * TS_MS)
#define RCVBUF_BYTES  (8 * 1024 * 1024) /* loss shall be ours, not the socket's */
#define FIRST_CLIENT  1 /* in the poll set; 0 is the listening socket */

enum direction {
    UP = 0,
    DOWN,
};

struct impair {
    uint64_t delay_ns, jitter_ns;
    double rate;          /* bytes a second; 0: without limit */
    double queue;         /* bytes that may wait for it */
    double loss, reorder; /* 0 to 1 */
    ts_t busy_until;      /* the rate has sent everything by then */
    ts_t last;            /* when the newest datagram in order is due */
    unsigned long passed, lost, reordered, overflowed, unsent;
};

struct client {
    struct sockaddr_storage from;
    socklen_t from_len;
    ts_t used; /* the one unused for longest makes room */
    int fd;    /* towards the target; -1 when free */
};

/* datagram - waiting for its time; the timer comes first so that the queue's answer is the datagram. */
struct datagram {
    struct timer timer;
    enum direction direction;
    int fd;                     /* UP: the client's socket */
    struct sockaddr_storage to; /* DOWN: the client */
    socklen_t to_len;
    size_t len;
    uint8_t bytes[];
};

static struct impair impairs[2];
static struct client clients[CLIENTS_MAX];
static struct timerq queue;
static size_t queued;
static struct rng rng;
static FILE *capture;
static struct sockaddr_storage target;
static socklen_t target_len;
static int listen_fd;
static volatile sig_atomic_t stopping, counts_wanted;

static void on_signal(int signo)
{
    if (signo == SIGUSR1)
        counts_wanted = 1;
    else
        stopping = 1;
}

static void die(const char *what, const char *which)
{
    fprintf(stderr, "udprelay: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static ts_t clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ts_t)t.tv_sec * TS_S + (ts_t)t.tv_nsec;
}

/* receive - the next datagram; arrived: when it came. -1: none. */
static ssize_t receive(int fd, void *bytes, size_t cap, struct sockaddr_storage *from, socklen_t *from_len,
                       ts_t *arrived)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec iov = {bytes, cap};
    struct msghdr msg = {
        .msg_name = from,
        .msg_namelen = from ? sizeof(*from) : 0,
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n = recvmsg(fd, &msg, 0);
    struct timespec came, wall;

    if (n < 0)
        return n;
    if (from)
        *from_len = msg.msg_namelen;
    *arrived = clock_now();
    clock_gettime(CLOCK_REALTIME, &wall); /* the kernel's stamps are of this clock */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&came, CMSG_DATA(c), sizeof(came));
        int64_t age_ns = (int64_t)(wall.tv_sec - came.tv_sec) * (int64_t)TS_S + (wall.tv_nsec - came.tv_nsec);

        if (age_ns > 0 && age_ns < (int64_t)TS_S) /* else that clock was set */
            *arrived -= (ts_t)age_ns;
    }
    return n;
}

static bool chance(double p)
{
    return p > 0 && (double)(rng_u64(&rng) >> 11) * 0x1p-53 < p;
}

static socklen_t sockaddr_of(const struct addrport *ap, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (addr_is_v4(&ap->addr)) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;

        in->sin_family = AF_INET;
        in->sin_port = htons(ap->port);
        memcpy(&in->sin_addr, addr_v4_bytes(&ap->addr), 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(ap->port);
    memcpy(&in6->sin6_addr, ap->addr.b, 16);
    return sizeof(*in6);
}

static int socket_new(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int size = RCVBUF_BYTES, yes = 1;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* unprivileged: what the system allows */
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes));
    return fd;
}

static struct client *client_for(const struct sockaddr_storage *from, socklen_t from_len, ts_t now)
{
    struct client *slot = &clients[0];

    for (struct client *c = clients; c < clients + CLIENTS_MAX; c++) {
        if (c->fd >= 0 && c->from_len == from_len && memcmp(&c->from, from, from_len) == 0) {
            c->used = now;
            return c;
        }
        if (slot->fd >= 0 && (c->fd < 0 || c->used < slot->used))
            slot = c;
    }
    int fd = socket_new(target.ss_family);

    if (fd < 0)
        return NULL;
    if (connect(fd, (struct sockaddr *)&target, target_len) != 0) {
        close(fd);
        return NULL;
    }
    if (slot->fd >= 0) { /* whoever waits for the old socket's number would meet the new client */
        dup3(fd, slot->fd, O_CLOEXEC);
        close(fd);
        fd = slot->fd;
    }
    *slot = (struct client){.from = *from, .from_len = from_len, .used = now, .fd = fd};
    return slot;
}

/* when a datagram will have left at the rate; TS_NEVER: the queue is full */
static ts_t leaves_at(struct impair *im, size_t len, ts_t now)
{
    if (im->rate == 0)
        return now;
    if ((double)ts_since(im->busy_until, now) / TS_S * im->rate + (double)len > im->queue)
        return TS_NEVER;
    im->busy_until = ts_max(im->busy_until, now) + (uint64_t)((double)len * TS_S / im->rate);
    return im->busy_until;
}

static void enqueue(enum direction direction, const struct client *client, const uint8_t *bytes, size_t len, ts_t now)
{
    struct impair *im = &impairs[direction];

    if (capture)
        fwrite(bytes, 1, len, capture);
    if (chance(im->loss)) {
        im->lost++;
        return;
    }
    ts_t leaves = leaves_at(im, len, now);
    struct datagram *d = leaves != TS_NEVER && queued < QUEUED_MAX ? malloc(sizeof(*d) + len) : NULL;

    if (!d) {
        im->overflowed++;
        return;
    }
    ts_t at = leaves + im->delay_ns + (im->jitter_ns ? rng_below(&rng, im->jitter_ns) : 0);

    at = ts_max(at, im->last);
    if (chance(im->reorder)) {
        at += HOLD_NS;
        im->reordered++;
    } else {
        im->last = at;
    }
    d->direction = direction;
    d->fd = client->fd;
    d->to = client->from;
    d->to_len = client->from_len;
    d->len = len;
    memcpy(d->bytes, bytes, len);
    timer_init(&d->timer);
    timerq_arm(&queue, &d->timer, at);
    queued++;
}

static void deliver_due(ts_t now)
{
    struct timer *t;

    while ((t = timerq_pop(&queue, now))) {
        struct datagram *d = (struct datagram *)t;
        struct impair *im = &impairs[d->direction];
        ssize_t n = d->direction == UP ? send(d->fd, d->bytes, d->len, 0)
                                       : sendto(listen_fd, d->bytes, d->len, 0, (struct sockaddr *)&d->to, d->to_len);

        if (n < 0)
            im->unsent++; /* nobody listens there, or the socket is full: lost like any other */
        else
            im->passed++;
        free(d);
        queued--;
    }
}

static void receive_up(void)
{
    static uint8_t bytes[DATAGRAM_MAX];

    for (;;) {
        struct sockaddr_storage from = {0};
        socklen_t from_len;
        ts_t now;
        ssize_t n = receive(listen_fd, bytes, sizeof(bytes), &from, &from_len, &now);

        if (n < 0)
            return;
        struct client *client = client_for(&from, from_len, now);

        if (client)
            enqueue(UP, client, bytes, (size_t)n, now);
    }
}

static void receive_down(struct client *client)
{
    static uint8_t bytes[DATAGRAM_MAX];
    ssize_t n;

    while ((n = receive(client->fd, bytes, sizeof(bytes), NULL, NULL, &client->used)) >= 0)
        enqueue(DOWN, client, bytes, (size_t)n, client->used);
}

static void print_counts(void)
{
    if (capture)
        fflush(capture); /* whoever reads the counts finds at least as much captured */
    for (int i = UP; i <= DOWN; i++)
        printf("%s passed=%lu lost=%lu reordered=%lu overflowed=%lu unsent=%lu\n", i == UP ? "up" : "down",
               impairs[i].passed, impairs[i].lost, impairs[i].reordered, impairs[i].overflowed, impairs[i].unsent);
    fflush(stdout);
}

static void run(const sigset_t *while_waiting)
{
    struct pollfd set[FIRST_CLIENT + CLIENTS_MAX];

    while (!stopping) {
        if (counts_wanted) {
            counts_wanted = 0;
            print_counts();
        }
        ts_t now = clock_now(), next;

        deliver_due(now);
        next = timerq_next(&queue);
        uint64_t wait_ns = next == TS_NEVER ? TS_S : ts_since(next, now);
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / TS_S), .tv_nsec = (long)(wait_ns % TS_S)};

        set[0] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
        for (int i = 0; i < CLIENTS_MAX; i++)
            set[FIRST_CLIENT + i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        if (ppoll(set, FIRST_CLIENT + CLIENTS_MAX, &wait, while_waiting) <= 0)
            continue;
        if (set[0].revents)
            receive_up();
        for (int i = 0; i < CLIENTS_MAX; i++)
            if (set[FIRST_CLIENT + i].revents && clients[i].fd >= 0)
                receive_down(&clients[i]);
    }
}

/* parse_impair - "delay=20,loss=1"; false when a name or number is not understood. */
static bool parse_impair(char *text, struct impair *out)
{
    for (char *item; (item = strsep(&text, ","));) {
        char *value = strchr(item, '='), *end;

        if (!value)
            return false;
        *value++ = 0;
        double number = strtod(value, &end);

        if (end == value || *end || !(number >= 0 && number <= 60000))
            return false;
        if (strcmp(item, "delay") == 0)
            out->delay_ns = (uint64_t)(number * (double)TS_MS);
        else if (strcmp(item, "jitter") == 0)
            out->jitter_ns = (uint64_t)(number * (double)TS_MS);
        else if (strcmp(item, "rate") == 0)
            out->rate = number * 1e6 / 8;
        else if (strcmp(item, "queue") == 0)
            out->queue = number * 1e3;
        else if (strcmp(item, "loss") == 0 && number <= 100)
            out->loss = number / 100;
        else if (strcmp(item, "reorder") == 0 && number <= 100)
            out->reorder = number / 100;
        else
            return false;
    }
    return true;
}

static void usage(void)
{
    fputs("usage: udprelay [--up IMPAIR] [--down IMPAIR] [--seed N] [--capture FILE] LISTEN TARGET\n"
          "       IMPAIR: delay=MS,jitter=MS,rate=MBIT,queue=KB,loss=PERCENT,reorder=PERCENT\n",
          stderr);
    exit(2);
}

static void print_listening(void)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    struct addrport ap;
    char text[ADDRPORT_STR];

    if (getsockname(listen_fd, (struct sockaddr *)&at, &len) != 0)
        die("getsockname", "");
    if (at.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&at;

        ap = (struct addrport){addr_v4((const uint8_t *)&in->sin_addr), ntohs(in->sin_port)};
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&at;

        ap = (struct addrport){addr_v6(in6->sin6_addr.s6_addr), ntohs(in6->sin6_port)};
    }
    printf("listening %s\n", addrport_format(&ap, text));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"up", required_argument, NULL, 'u'},      {"down", required_argument, NULL, 'd'},
        {"seed", required_argument, NULL, 's'},    {"capture", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    uint64_t seed = 1;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if ((opt == 'u' && !parse_impair(optarg, &impairs[UP])) || (opt == 'd' && !parse_impair(optarg, &impairs[DOWN])))
            usage();
        else if (opt == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (opt == 'c' && !(capture = fopen(optarg, "wb")))
            die("open", optarg);
        else if (opt == '?')
            usage();
    }
    struct addrport at, to;

    if (argc - optind != 2 || !addrport_parse(argv[optind], strlen(argv[optind]), &at) ||
        !addrport_parse(argv[optind + 1], strlen(argv[optind + 1]), &to))
        usage();

    struct sockaddr_storage own;
    socklen_t own_len = sockaddr_of(&at, &own);

    target_len = sockaddr_of(&to, &target);
    rng_seed(&rng, seed);
    timerq_init(&queue);
    for (int i = 0; i < CLIENTS_MAX; i++)
        clients[i].fd = -1;
    listen_fd = socket_new(own.ss_family);
    if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&own, own_len) != 0)
        die("listen on", argv[optind]);

    struct sigaction action = {.sa_handler = on_signal};

    sigset_t held, before;

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&held); /* signals arrive only while ppoll waits, so none is missed */
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGUSR1);
    sigprocmask(SIG_BLOCK, &held, &before);
    print_listening();
    run(&before);
    deliver_due(TS_NEVER - 1);
    print_counts();
    if (capture && fclose(capture) != 0)
        die("write", "capture");
    return 0;
}
