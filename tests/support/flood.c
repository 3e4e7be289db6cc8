/* flood.c - WireGuard datagrams to one port at a steady rate, each from another forged source.
 *
 *     flood --key PUBLIC --to ADDRESS:PORT --sources PREFIX [--rate N] [--seconds S] [--kind KIND]
 *     KIND   initiation   a valid mac1 for the key, no mac2: what a stranger can make without being answered
 *            mac2         the same with a mac2 of noise: who looks at it has to work more
 *            mac1         a mac1 of noise
 *            short        an initiation one byte short, which fails on its length: the control
 *
 * IPv4 only, by a raw socket: for a network namespace of the caller's. Nothing but mac1 is right about an initiation,
 * which is all that shows before a Diffie-Hellman; messages are made before the clock starts and used in turn, as
 * nothing remembers them. Prints "sent N seconds S" at the end. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/base/addr.h"
#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/rng.h"
#include "common/base/ts.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/wg/wg_cookie.h"

#define MESSAGES 4096
#define BATCH    64
#define TICK_NS  TS_MS

enum kind {
    KIND_INITIATION,
    KIND_MAC2,
    KIND_MAC1,
    KIND_SHORT,
};

static const char *const kinds[] = {"initiation", "mac2", "mac1", "short"};

struct datagram {
    struct iphdr ip;
    struct udphdr udp;
    struct wg_initiation_message message;
};

static struct flood {
    uint8_t key[KEY_BYTES];
    struct addrport to;
    struct prefix sources;
    unsigned rate;
    double seconds;
    enum kind kind;
    struct rng rng;
    struct wg_initiation_message messages[MESSAGES];
    int fd;
} flood = {.rate = 50000, .seconds = 1};

static ts_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ts_t)t.tv_sec * TS_S + (ts_t)t.tv_nsec;
}

static void sleep_until(ts_t at)
{
    struct timespec t = {(time_t)(at / TS_S), (long)(at % TS_S)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
}

static void messages_make(void)
{
    uint8_t mac1_key[WG_KEY_BYTES];

    wg_cookie_mac1_key(flood.key, mac1_key);
    for (size_t i = 0; i < MESSAGES; i++) {
        struct wg_initiation_message *m = &flood.messages[i];

        rng_fill(&flood.rng, m, sizeof(*m));
        le32_put(m->type, WG_MESSAGE_INITIATION);
        if (flood.kind != KIND_MAC1)
            blake2s_mac(m->macs.mac1, mac1_key, sizeof(mac1_key), m, offsetof(struct wg_initiation_message, macs), NULL,
                        0);
        if (flood.kind != KIND_MAC2)
            memset(m->macs.mac2, 0, sizeof(m->macs.mac2));
    }
}

static void datagram_make(struct datagram *d, const struct wg_initiation_message *message, size_t len)
{
    uint32_t host = rng_u32(&flood.rng) & (uint32_t)(UINT64_C(0xffffffff) >> (flood.sources.bits - 96));

    *d = (struct datagram){.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP}};
    memcpy(&d->ip.daddr, addr_v4_bytes(&flood.to.addr), 4);
    d->ip.saddr = htonl(be32_get(addr_v4_bytes(&flood.sources.addr)) | host);
    d->ip.tot_len = htons((uint16_t)(sizeof(d->ip) + sizeof(d->udp) + len));
    d->udp.source = htons((uint16_t)(1024 + rng_below(&flood.rng, 64512)));
    d->udp.dest = htons(flood.to.port);
    d->udp.len = htons((uint16_t)(sizeof(d->udp) + len)); /* checksum 0: none, RFC 768 */
    memcpy(&d->message, message, len);
}

static void send_some(uint64_t first, unsigned count)
{
    size_t len = sizeof(struct wg_initiation_message) - (flood.kind == KIND_SHORT);
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct datagram datagrams[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];

    memcpy(&to.sin_addr, addr_v4_bytes(&flood.to.addr), 4);
    for (unsigned i = 0; i < count; i++) {
        datagram_make(&datagrams[i], &flood.messages[(first + i) % MESSAGES], len);
        iov[i] = (struct iovec){&datagrams[i], offsetof(struct datagram, message) + len};
        messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    if (sendmmsg(flood.fd, messages, count, 0) != (int)count)
        perror("flood: sendmmsg");
}

/* one tick after another; a tick that was missed is made up for */
static uint64_t run(ts_t start)
{
    uint64_t sent = 0, total = (uint64_t)(flood.rate * flood.seconds);

    for (ts_t at = start; sent < total; at += TICK_NS) {
        uint64_t due = MIN((at + TICK_NS - start) * flood.rate / TS_S, total);

        sleep_until(at);
        while (sent < due) {
            unsigned count = (unsigned)MIN(due - sent, BATCH);

            send_some(sent, count);
            sent += count;
        }
    }
    return sent;
}

static bool option(int which, const char *text)
{
    size_t len = strlen(text);

    switch (which) {
    case 'k':
        return key_parse(text, len, flood.key);
    case 't':
        return addrport_parse(text, len, &flood.to) && addr_is_v4(&flood.to.addr);
    case 'f':
        return prefix_parse(text, len, &flood.sources) && addr_is_v4(&flood.sources.addr) && flood.sources.bits < 128;
    case 'r':
        return (flood.rate = (unsigned)strtoul(text, NULL, 10)) > 0;
    case 's':
        return (flood.seconds = strtod(text, NULL)) > 0;
    case 'i':
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
            if (strcmp(kinds[i], text) == 0) {
                flood.kind = (enum kind)i;
                return true;
            }
        return false;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"key", 1, NULL, 'k'},     {"to", 1, NULL, 't'},
                                            {"sources", 1, NULL, 'f'}, {"rate", 1, NULL, 'r'},
                                            {"seconds", 1, NULL, 's'}, {"kind", 1, NULL, 'i'},
                                            {0}};
    bool ok = true;

    for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
        ok = ok && which != '?' && option(which, optarg);
    if (!ok || flood.to.port == 0 || flood.sources.bits == 0 || optind != argc || crypto_init() != 0) {
        fprintf(stderr, "usage: flood --key PUBLIC --to ADDRESS:PORT --sources PREFIX [--rate N] [--seconds S] "
                        "[--kind initiation|mac2|mac1|short]\n");
        return 2;
    }
    flood.fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (flood.fd < 0) {
        perror("flood: a raw socket");
        return 1;
    }
    rng_seed(&flood.rng, now());
    messages_make();
    ts_t start = now();
    uint64_t sent = run(start);

    printf("sent %llu seconds %.3f\n", (unsigned long long)sent, (double)(now() - start) / (double)TS_S);
    return 0;
}
