/* backend.c - the service behind whatever is measured: takes a ClientHello and does what its random asks (greeting.h).
 *
 *     backend --port N
 *
 * On each line of standard input it answers with one of totals since it began:
 * {"accepted": N, "open": N, "bytes": N}, bytes being those that were thrown away. Ends with its input. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "tests/support/greeting.h"

#define FD_MAX      (1 << 20)
#define EVENTS      256
#define CHUNK_BYTES (256 * 1024)
#define SINK_BYTES  (1024 * 1024)
#define TURN_CHUNKS 4 /* of one stream before the next one's turn */

struct stream {
    uint16_t got;  /* of the greeting */
    uint16_t need; /* bytes of the greeting in all; 0: its head is not complete */
    uint8_t head[GREETING_ASK_AT + 1];
};

static struct stream streams[FD_MAX];
static char chunk[CHUNK_BYTES];
static unsigned long accepted, ended;
static unsigned long long sunk;
static int poll_fd;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void end(int fd)
{
    ended++;
    close(fd);
}

static void watch(int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(poll_fd, operation, fd, &event) != 0)
        die("backend: epoll_ctl");
}

static char asked(const struct stream *s)
{
    return s->need && s->got == s->need ? (char)s->head[GREETING_ASK_AT] : 0;
}

/* Takes what belongs to the greeting; how much that was. */
static size_t greet(struct stream *s, const uint8_t *data, size_t len)
{
    size_t took = 0;

    while (took < len && s->got < sizeof(s->head))
        s->head[s->got++] = data[took++];
    if (s->got == sizeof(s->head))
        s->need = (uint16_t)(GREETING_RECORD_HEAD + be16_get(s->head + 3));
    if (s->need) {
        size_t rest = MIN((size_t)(s->need - s->got), len - took);

        s->got = (uint16_t)(s->got + rest);
        took += rest;
    }
    return took;
}

/* Whatever does not fit a socket of a few hundred bytes in flight means that the other side is gone. */
static bool say(int fd, const void *data, size_t len)
{
    return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void on_writable(int fd)
{
    for (int i = 0; i < TURN_CHUNKS; i++)
        if (send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL) < 0) {
            if (errno != EAGAIN)
                end(fd);
            return;
        }
}

static bool answer(int fd, const struct stream *s)
{
    switch (asked(s)) {
    case ASK_REPLY:
        return say(fd, chunk, REPLY_BYTES);
    case ASK_SOURCE:
        watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
        return true;
    default:
        return true;
    }
}

static void on_readable(int fd)
{
    struct stream *s = &streams[fd];
    uint8_t data[4096];
    bool sinks = asked(s) == ASK_SINK;
    ssize_t n = sinks ? recv(fd, NULL, SINK_BYTES, MSG_TRUNC) : recv(fd, data, sizeof(data), 0);
    size_t took = 0;

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            end(fd);
        return;
    }
    if (sinks) {
        sunk += (unsigned long long)n;
        return;
    }
    if (!asked(s)) {
        took = greet(s, data, (size_t)n);
        if (!asked(s))
            return;
        if (!answer(fd, s)) {
            end(fd);
            return;
        }
    }
    n -= (ssize_t)took;
    if (asked(s) == ASK_SINK)
        sunk += (unsigned long long)n;
    else if (asked(s) == ASK_ECHO && n > 0 && !say(fd, data + took, (size_t)n))
        end(fd);
}

static void on_visitors(int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= FD_MAX) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        accepted++;
        streams[fd] = (struct stream){0};
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        die("backend: accept");
}

static void report(void)
{
    char line[64];

    if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
        exit(0);
    printf("{\"accepted\": %lu, \"open\": %lu, \"bytes\": %llu}\n", accepted, accepted - ended, sunk);
    fflush(stdout);
}

static int listener_open(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (void *)&at, sizeof(at)) != 0 || listen(fd, 65535) != 0)
        die("backend: listen");
    return fd;
}

static void serve(int listener)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (fd == listener)
                on_visitors(listener);
            else if (fd == STDIN_FILENO)
                report();
            else if (events[i].events & ~(uint32_t)EPOLLOUT)
                on_readable(fd);
            else
                on_writable(fd);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"port", 1, NULL, 'p'}, {0}};
    unsigned long port = 0;

    for (int which; (which = getopt_long(argc, argv, "", options, NULL)) == 'p';)
        port = strtoul(optarg, NULL, 10);
    if (port == 0 || port > UINT16_MAX || optind != argc) {
        fprintf(stderr, "usage: backend --port N\n");
        return 2;
    }
    poll_fd = epoll_create1(0);
    int listener = listener_open((uint16_t)port);

    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN);
    serve(listener);
}
