/* load.c - visitors by the thousand in one process: says a ClientHello and does what the bench wants next.
 *
 *     load --to ADDRESS:PORT [--sources N]
 *
 * Commands, one a line of standard input:
 *     names N     server names n0.bench.test to n(N-1).bench.test, in turn           default 1
 *     conn N      N at once, each: connect, hello, a reply of REPLY_BYTES, close; and again
 *     once        one of these
 *     up N        N streams that send as much as they can
 *     down N      N streams that receive as much as they can
 *     hold N      N more streams, each proved once by an echo, then silent; `held` of the report counts them
 *     ping        the held streams send PING_BYTES and wait for the echo, over and over
 *     rest        ... and stop that
 *     stop        every stream but the held ones ends
 *     drop        the held ones too
 *     report      {"seconds", "done", "failed", "held", "bytes", "p50_us", "p99_us", "max_us", "cpu_s"} since the
 *                 report before: connections or echoes done and how long they took, bytes received by `down`
 * Ends with its input. IPv4. The N source addresses, 127.2.0.0 and on, give as many times the ports. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/ts.h"
#include "tests/support/greeting.h"

#define FD_MAX       (1 << 20)
#define EVENTS       256
#define CHUNK_BYTES  (256 * 1024)
#define SINK_BYTES   (1024 * 1024)
#define TURN_CHUNKS  4   /* of one stream before the next one's turn */
#define OPENING_MAX  128 /* held streams whose first echo is awaited */
#define TIMES_LINEAR 32  /* cells a power of two: 3 % */
#define TIMES_CELLS  (40 * TIMES_LINEAR)

enum kind {
    KIND_NONE = 0,
    KIND_CONN,
    KIND_UP,
    KIND_DOWN,
    KIND_HELD,
};

struct stream {
    ts_t began; /* the connection, or the ping that is out */
    uint16_t got; /* bytes of the reply or echo */
    uint8_t kind;
    bool greeted; /* our hello is sent */
    bool proved;  /* held: its first echo came */
    bool waiting; /* held: a ping is out */
};

static struct load {
    struct sockaddr_in to;
    uint32_t sources, names, number;
    int poll_fd;
    int fds_end; /* no stream has a descriptor from here on */
    bool pinging, again;
    uint32_t opening, wanted; /* held streams under way, and still to be begun */
    unsigned long held;
    unsigned long done, failed; /* since the last report, as all below */
    unsigned long long bytes;
    ts_t began;
    double cpu_began;
    uint32_t times[TIMES_CELLS];
    uint64_t longest_us;
    int last_error;
} load = {.sources = 64, .names = 1};

static struct stream streams[FD_MAX];
static char chunk[CHUNK_BYTES];

static ts_t now_is(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ts_t)t.tv_sec * TS_S + (ts_t)t.tv_nsec;
}

static double cpu_is(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- how long things took --- */

static size_t cell_of(uint64_t us)
{
    unsigned shift = 0;

    while ((us >> shift) >= 2 * TIMES_LINEAR)
        shift++;
    return MIN(shift * TIMES_LINEAR + (us >> shift), (uint64_t)TIMES_CELLS - 1);
}

static uint64_t us_of(size_t cell)
{
    unsigned shift = cell < 2 * TIMES_LINEAR ? 0 : (unsigned)(cell / TIMES_LINEAR - 1);

    return (uint64_t)(cell - shift * TIMES_LINEAR) << shift;
}

static void took(ts_t began)
{
    uint64_t us = ts_since(now_is(), began) / TS_US;

    load.times[cell_of(us)]++;
    load.longest_us = MAX(load.longest_us, us);
    load.done++;
}

static uint64_t percentile_us(unsigned percent)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < TIMES_CELLS; i++) {
        seen += load.times[i];
        if (seen * 100 >= load.done * percent && seen)
            return us_of(i);
    }
    return 0;
}

static void report(void)
{
    ts_t now = now_is();
    double cpu = cpu_is();

    printf("{\"seconds\": %.6f, \"done\": %lu, \"failed\": %lu, \"held\": %lu, \"bytes\": %llu, \"p50_us\": %llu, "
           "\"p99_us\": %llu, \"max_us\": %llu, \"cpu_s\": %.6f, \"last_error\": %d}\n",
           (double)ts_since(now, load.began) / (double)TS_S, load.done, load.failed, load.held, load.bytes,
           (unsigned long long)percentile_us(50), (unsigned long long)percentile_us(99),
           (unsigned long long)load.longest_us, cpu - load.cpu_began, load.last_error);
    fflush(stdout);
    load.done = load.failed = 0;
    load.bytes = load.longest_us = 0;
    load.began = now;
    load.cpu_began = cpu;
    memset(load.times, 0, sizeof(load.times));
}

/* --- the hello --- */

static uint8_t *extension(uint8_t *p, uint16_t type, const void *data, size_t len)
{
    be16_put(p, type);
    be16_put(p + 2, (uint16_t)len);
    memcpy(p + 4, data, len);
    return p + 4 + len;
}

static void hello_make(uint8_t *hello, uint32_t name_number, char ask)
{
    static const uint8_t suites[] = {0, 6, 0x13, 0x01, 0x13, 0x02, 0x13, 0x03, 1, 0};
    static const uint8_t versions[] = {4, 3, 4, 3, 3};
    static const uint8_t alpn[] = {0, 12, 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    static const uint8_t zeros[GREETING_BYTES];
    uint8_t name[64], *p = hello, *extensions;
    int len = snprintf((char *)name + 5, sizeof(name) - 5, "n%u.bench.test", name_number);

    be16_put(name, (uint16_t)(len + 3));
    name[2] = 0; /* host_name */
    be16_put(name + 3, (uint16_t)len);
    memcpy(p, "\x16\x03\x01", 3);
    be16_put(p + 3, GREETING_BYTES - GREETING_RECORD_HEAD);
    be32_put(p + 5, 0x01000000 | (GREETING_BYTES - GREETING_RECORD_HEAD - 4));
    be16_put(p + 9, 0x0303);
    memset(p + GREETING_ASK_AT, 0x5a, 32);
    p[GREETING_ASK_AT] = (uint8_t)ask;
    p += GREETING_ASK_AT + 32;
    *p++ = 32; /* session id */
    memset(p, 0xa5, 32);
    p += 32;
    memcpy(p, suites, sizeof(suites));
    extensions = p + sizeof(suites);
    p = extension(extensions + 2, 0, name, (size_t)len + 5);
    p = extension(p, 43, versions, sizeof(versions));
    p = extension(p, 16, alpn, sizeof(alpn));
    p = extension(p, 21, zeros, (size_t)(hello + GREETING_BYTES - p) - 4); /* padding */
    be16_put(extensions, (uint16_t)(p - extensions - 2));
}

static char ask_of(enum kind kind)
{
    static const char asks[] = {[KIND_CONN] = ASK_REPLY, [KIND_UP] = ASK_SINK, [KIND_DOWN] = ASK_SOURCE,
                                [KIND_HELD] = ASK_ECHO};

    return asks[kind];
}

/* --- streams --- */

static void watch(int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(load.poll_fd, operation, fd, &event) != 0)
        die("load: epoll_ctl");
}

static void stream_end(int fd)
{
    struct stream *s = &streams[fd];

    if (s->kind == KIND_HELD) {
        load.held -= s->proved;
        load.opening -= !s->proved;
    }
    s->kind = KIND_NONE;
    close(fd);
}

static void ping(int fd)
{
    struct stream *s = &streams[fd];

    s->began = now_is();
    s->got = 0;
    s->waiting = true;
    (void)!send(fd, chunk, PING_BYTES, MSG_NOSIGNAL); /* a failure shows as one to read */
}

static void greet(int fd)
{
    struct stream *s = &streams[fd];
    uint8_t hello[GREETING_BYTES];

    hello_make(hello, load.number++ % load.names, ask_of(s->kind));
    if (send(fd, hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello))
        return; /* not connected yet, or never: shows as writable or as a failure to read */
    s->greeted = true;
    if (s->kind == KIND_HELD)
        ping(fd);
}

static int connect_one(void)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f020000 + load.number % load.sources)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0 || fd >= FD_MAX)
        die("load: socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (void *)&from, sizeof(from)) != 0)
        die("load: bind");
    if (connect(fd, (void *)&load.to, sizeof(load.to)) != 0 && errno != EINPROGRESS)
        die("load: connect");
    return fd;
}

static void stream_open(enum kind kind)
{
    ts_t began = now_is();
    int fd = connect_one();

    streams[fd] = (struct stream){.kind = (uint8_t)kind, .began = began};
    load.fds_end = MAX(load.fds_end, fd + 1);
    greet(fd);
    watch(EPOLL_CTL_ADD, fd, !streams[fd].greeted || kind == KIND_UP ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void open_held(void)
{
    while (load.wanted && load.opening < OPENING_MAX) {
        load.wanted--;
        load.opening++;
        stream_open(KIND_HELD);
    }
}

static void stream_failed(int fd, int error)
{
    enum kind kind = streams[fd].kind;

    load.failed++;
    load.last_error = error;
    stream_end(fd);
    if (kind == KIND_CONN && load.again)
        stream_open(KIND_CONN);
    open_held();
}

static void on_writable(int fd)
{
    struct stream *s = &streams[fd];

    if (!s->greeted) {
        greet(fd);
        if (s->greeted && s->kind != KIND_UP)
            watch(EPOLL_CTL_MOD, fd, EPOLLIN);
        return;
    }
    for (int i = 0; i < TURN_CHUNKS; i++)
        if (send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL) < 0) {
            if (errno != EAGAIN)
                stream_failed(fd, errno);
            return;
        }
}

static void on_reply(int fd)
{
    took(streams[fd].began);
    stream_end(fd);
    if (load.again)
        stream_open(KIND_CONN);
}

static void on_echo(int fd)
{
    struct stream *s = &streams[fd];

    s->waiting = false;
    took(s->began);
    if (!s->proved) {
        s->proved = true;
        load.held++;
        load.opening--;
        open_held();
    }
    if (load.pinging)
        ping(fd);
}

static void on_readable(int fd)
{
    struct stream *s = &streams[fd];
    ssize_t n = recv(fd, NULL, SINK_BYTES, MSG_TRUNC);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            stream_failed(fd, n == 0 ? 0 : errno);
        return;
    }
    if (s->kind == KIND_DOWN) {
        load.bytes += (unsigned long long)n;
        return;
    }
    s->got = (uint16_t)(s->got + n);
    if (s->kind == KIND_CONN && s->got >= REPLY_BYTES)
        on_reply(fd);
    else if (s->kind == KIND_HELD && s->waiting && s->got >= PING_BYTES)
        on_echo(fd);
}

/* --- commands --- */

static void end_all(bool held_too)
{
    if (held_too)
        load.wanted = 0;
    for (int fd = 0; fd < load.fds_end; fd++)
        if (streams[fd].kind != KIND_NONE && (held_too || streams[fd].kind != KIND_HELD))
            stream_end(fd);
}

static void ping_all(void)
{
    load.pinging = true;
    for (int fd = 0; fd < load.fds_end; fd++)
        if (streams[fd].kind == KIND_HELD && streams[fd].proved && !streams[fd].waiting)
            ping(fd);
}

static void open_many(enum kind kind, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        stream_open(kind);
}

static void command(char *line)
{
    char *word = strtok(line, " "), *argument = strtok(NULL, " ");
    uint32_t count = argument ? (uint32_t)strtoul(argument, NULL, 10) : 0;

    if (!word || strcmp(word, "report") == 0) {
        report();
    } else if (strcmp(word, "names") == 0 && count) {
        load.names = count;
    } else if (strcmp(word, "conn") == 0) {
        load.again = true;
        open_many(KIND_CONN, count);
    } else if (strcmp(word, "once") == 0) {
        load.again = false;
        stream_open(KIND_CONN);
    } else if (strcmp(word, "up") == 0) {
        open_many(KIND_UP, count);
    } else if (strcmp(word, "down") == 0) {
        open_many(KIND_DOWN, count);
    } else if (strcmp(word, "hold") == 0) {
        load.wanted += count;
        open_held();
    } else if (strcmp(word, "ping") == 0) {
        ping_all();
    } else if (strcmp(word, "rest") == 0) {
        load.pinging = false;
    } else if (strcmp(word, "stop") == 0) {
        end_all(false);
    } else if (strcmp(word, "drop") == 0) {
        end_all(true);
    } else {
        fprintf(stderr, "load: no such command: %s\n", word);
        exit(2);
    }
}

static void commands(void)
{
    static char input[4096];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, input + len, sizeof(input) - 1 - len);
    char *line = input, *end;

    if (n <= 0)
        exit(0);
    len += (size_t)n;
    input[len] = 0;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        command(line);
    }
    len = strlen(line);
    memmove(input, line, len + 1);
}

static void run(void)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int count = epoll_wait(load.poll_fd, events, EVENTS, -1);
        bool asked = false;

        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (fd == STDIN_FILENO)
                asked = true; /* last: a command may close what other events are about */
            else if (events[i].events & ~(uint32_t)EPOLLOUT)
                on_readable(fd);
            else
                on_writable(fd);
        }
        if (asked)
            commands();
    }
}

static bool option(int which, const char *text)
{
    struct addrport to;

    switch (which) {
    case 't':
        if (!addrport_parse(text, strlen(text), &to) || !addr_is_v4(&to.addr) || to.port == 0)
            return false;
        load.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to.port)};
        memcpy(&load.to.sin_addr, addr_v4_bytes(&to.addr), 4);
        return true;
    case 's':
        load.sources = (uint32_t)strtoul(text, NULL, 10);
        return load.sources > 0 && load.sources <= 1 << 16;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"to", 1, NULL, 't'}, {"sources", 1, NULL, 's'}, {0}};
    bool ok = true;

    for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
        ok = ok && which != '?' && option(which, optarg);
    if (!ok || optind != argc || !load.to.sin_port) {
        fprintf(stderr, "usage: load --to ADDRESS:PORT [--sources N]\n");
        return 2;
    }
    load.poll_fd = epoll_create1(0);
    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN);
    load.began = now_is();
    run();
}
