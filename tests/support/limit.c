/* limit.c - what this machine can do at best: the work no encrypted tunnel in user space gets around, and nothing else.
 *
 *     limit up SECONDS      a stream by TCP in, cut and sealed as packets of PACKET_BYTES, out as UDP in trains (GSO)
 *     limit down SECONDS    UDP in in trains (GRO), opened, out as a stream by TCP
 *
 * Three processes: a source, the one that is measured, and a sink. Bytes are those of the stream: each packet has room
 * for the IPv6 and TCP headers a tunnel cannot do without, which nobody fills here. No copy is made in user space: the
 * stream is read into the packets and written out of them, and the AEAD works in place, through EVP with one context
 * and one key schedule. No headers, no acknowledgements, no timers, no lookups, no replay window.
 * Prints {"bytes": N, "seconds": S, "cpu_s": S}. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/ts.h"

#define PACKET_BYTES   1280                    /* an inner packet, the MTU every node has */
#define HEADERS_BYTES  (40 + 32)               /* IPv6, TCP with timestamps */
#define STREAM_BYTES   (PACKET_BYTES - HEADERS_BYTES)
#define HEAD_BYTES     16                      /* WireGuard: type, receiver, counter */
#define TAG_BYTES      16
#define DATAGRAM_BYTES (HEAD_BYTES + PACKET_BYTES + TAG_BYTES)
#define TRAIN          49                      /* datagrams in the 65,507 bytes a UDP send may have */
#define TRAIN_BYTES    (TRAIN * DATAGRAM_BYTES)
#define SINK_BYTES     (1024 * 1024)
#define SOCKET_BYTES   (8 * 1024 * 1024)
#define WARM_S         0.3

static uint8_t train[TRAIN_BYTES];
static uint64_t counter;
static EVP_CIPHER_CTX *cipher;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- sockets --- */

static struct sockaddr_in address_of(int fd)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    if (getsockname(fd, (void *)&at, &len) != 0)
        die("limit: getsockname");
    return at;
}

static int bound(int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0), bytes = SOCKET_BYTES;

    if (fd < 0 || bind(fd, (void *)&at, sizeof(at)) != 0)
        die("limit: bind");
    if (type == SOCK_DGRAM && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    return fd;
}

static void connected(int fd, int to)
{
    struct sockaddr_in at = address_of(to);

    if (connect(fd, (void *)&at, sizeof(at)) != 0)
        die("limit: connect");
}

static void option_set(int fd, int option, int value)
{
    if (setsockopt(fd, IPPROTO_UDP, option, &value, sizeof(value)) != 0)
        die("limit: UDP_SEGMENT or UDP_GRO");
}

/* --- packets --- */

static void cipher_make(bool seals)
{
    static const uint8_t key[32] = "one key for all of this";

    cipher = EVP_CIPHER_CTX_new();
    BUG_ON(!cipher || EVP_CipherInit_ex(cipher, EVP_chacha20_poly1305(), NULL, key, NULL, seals) != 1);
}

static void nonce_set(uint64_t value)
{
    uint8_t nonce[12] = {0};

    le64_put(nonce + 4, value);
    BUG_ON(EVP_CipherInit_ex(cipher, NULL, NULL, NULL, nonce, -1) != 1);
}

static void seal(uint8_t *datagram)
{
    uint8_t *packet = datagram + HEAD_BYTES, none[16];
    int n;

    le64_put(datagram, 4);
    le64_put(datagram + 8, counter);
    nonce_set(counter++);
    BUG_ON(EVP_CipherUpdate(cipher, packet, &n, packet, PACKET_BYTES) != 1);
    BUG_ON(EVP_CipherFinal_ex(cipher, none, &n) != 1);
    BUG_ON(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, packet + PACKET_BYTES) != 1);
}

static void unseal(uint8_t *datagram)
{
    uint8_t *packet = datagram + HEAD_BYTES, none[16];
    int n;

    nonce_set(le64_get(datagram + 8));
    BUG_ON(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, packet + PACKET_BYTES) != 1);
    BUG_ON(EVP_CipherUpdate(cipher, packet, &n, packet, PACKET_BYTES) != 1);
    BUG_ON(EVP_CipherFinal_ex(cipher, none, &n) != 1);
}

static void stream_of(struct iovec iov[TRAIN])
{
    for (size_t i = 0; i < TRAIN; i++)
        iov[i] = (struct iovec){train + i * DATAGRAM_BYTES + HEAD_BYTES + HEADERS_BYTES, STREAM_BYTES};
}

/* --- the work that is measured, one turn each: bytes of the stream --- */

static size_t turn_up(int tcp, int udp)
{
    struct iovec iov[TRAIN];
    size_t packets;
    ssize_t n;

    stream_of(iov);
    n = readv(tcp, iov, TRAIN);
    if (n <= 0)
        die("limit: the source ended");
    packets = ((size_t)n + STREAM_BYTES - 1) / STREAM_BYTES;
    for (size_t i = 0; i < packets; i++)
        seal(train + i * DATAGRAM_BYTES);
    if (send(udp, train, packets * DATAGRAM_BYTES, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
        die("limit: send");
    return (size_t)n;
}

static size_t turn_down(int tcp, int udp)
{
    ssize_t n = recv(udp, train, sizeof(train), 0);
    size_t packets = n > 0 ? (size_t)n / DATAGRAM_BYTES : 0;
    struct iovec iov[TRAIN];

    stream_of(iov);
    for (size_t i = 0; i < packets; i++)
        unseal(train + i * DATAGRAM_BYTES);
    n = packets ? writev(tcp, iov, (int)packets) : 0;
    if (n < 0)
        die("limit: the sink ended");
    return (size_t)n;
}

/* --- sources and sinks --- */

static _Noreturn void tcp_source(int fd)
{
    static const char bytes[SINK_BYTES];

    while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
        ;
    exit(0);
}

static _Noreturn void tcp_sink(int fd)
{
    while (recv(fd, NULL, SINK_BYTES, MSG_TRUNC) > 0)
        ;
    exit(0);
}

/* The same train again and again: nobody here looks for replays. Its socket's room is what holds it back. */
static _Noreturn void udp_source(int fd)
{
    cipher_make(true);
    for (size_t i = 0; i < TRAIN; i++)
        seal(train + i * DATAGRAM_BYTES);
    for (;;)
        (void)!send(fd, train, sizeof(train), 0);
}

static _Noreturn void udp_sink(int fd)
{
    static uint8_t room[1 << 16];

    while (recv(fd, room, sizeof(room), MSG_TRUNC) >= 0)
        ;
    exit(0);
}

static void begin(void (*what)(int), int fd)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        die("limit: fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            exit(0);
        what(fd);
    }
}

static void measure(size_t (*turn)(int, int), int tcp, int udp, double seconds)
{
    double began = now_s(), cpu, took;
    unsigned long long bytes = 0;

    while (now_s() - began < WARM_S)
        turn(tcp, udp);
    began = now_s();
    cpu = cpu_s();
    while ((took = now_s() - began) < seconds)
        bytes += turn(tcp, udp);
    cpu = cpu_s() - cpu;
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f}\n", bytes, took, cpu);
}

int main(int argc, char **argv)
{
    double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    bool up = argc == 3 && strcmp(argv[1], "up") == 0;
    int listener, near, far, udp_in, udp_out;

    if (seconds <= 0 || (!up && strcmp(argv[1], "down") != 0)) {
        fprintf(stderr, "usage: limit up|down SECONDS\n");
        return 2;
    }
    listener = bound(SOCK_STREAM);
    near = bound(SOCK_STREAM);
    udp_in = bound(SOCK_DGRAM);
    udp_out = bound(SOCK_DGRAM);
    if (listen(listener, 1) != 0)
        die("limit: listen");
    connected(near, listener);
    far = accept(listener, NULL, NULL);
    connected(udp_out, udp_in);
    option_set(udp_out, UDP_SEGMENT, DATAGRAM_BYTES);
    option_set(udp_in, UDP_GRO, 1);
    cipher_make(up);
    begin(up ? tcp_source : tcp_sink, far);
    begin(up ? udp_sink : udp_source, up ? udp_in : udp_out);
    measure(up ? turn_up : turn_down, near, up ? udp_out : udp_in, seconds);
    return 0;
}
