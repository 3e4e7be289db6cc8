/* manynodes.c - many nodes behind NAT in one process: sessions to one ingress, keepalives and renewals, no packets.
 *
 *     manynodes --nodes N --seed TEXT --keys                               print the nodes' public keys and end
 *     manynodes --nodes N --seed TEXT --key PUBLIC --to ADDRESS:PORT [--rate N]
 *
 * A node's key follows from the seed and its number, and its number is its receiver index. It does what stock ones do
 * that have nothing to say: initiate (again after 5 s, with a cookie where it got one), confirm the session by a
 * keepalive, send one each 25 s, and renew the session after 120 s. They share SOCKETS sockets on loopback addresses
 * of their own, as nodes behind a few NATs do; `rate` is how many begin in a second. On each line of standard input
 * it answers with one of totals. IPv4. Handshakes come from the WireGuard engine's own parts; a device of it a node
 * would cost more than the ingress that is measured. */
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/rng.h"
#include "common/base/timerq.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/wg/wg_cookie.h"
#include "common/wg/wg_keypair.h"
#include "common/wg/wg_noise.h"
#include "common/wg/wg_stamp.h"
#include "common/wg/wg_timers.h"

#define NODES_MAX     (1u << 24)
#define SOCKETS       256
#define KEEPALIVE_NS  (25 * TS_S)
#define DATAGRAM_MAX  256
#define SOCKET_BUFFER (4 << 20)

struct node {
    uint8_t private_key[KEY_BYTES], public_key[KEY_BYTES];
    struct wg_cookie_jar jar;
    bool asking; /* an initiation is out: noise and ephemeral are of it */
    struct wg_noise noise;
    uint8_t ephemeral[WG_KEY_BYTES];
    uint64_t stamp;
    ts_t born; /* of the session; 0: none */
    struct wg_keys keys;
    uint32_t remote_index;
    uint64_t counter;
    struct timer handshake, keepalive;
};

static struct many {
    uint8_t key[KEY_BYTES];
    struct addrport to;
    const char *seed;
    uint32_t nodes_count, rate;
    struct node *nodes;
    struct pollfd polled[1 + SOCKETS]; /* [0]: standard input */
    struct timerq timers;
    struct rng rng;
    unsigned long sent, received, handshakes, retries, cookies, called;
} m = {.rate = 1000};

static ts_t now_is(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (ts_t)t.tv_sec * TS_S + (ts_t)t.tv_nsec;
}

static void node_make(struct node *n, uint32_t number)
{
    uint8_t bytes[4];

    le32_put(bytes, number);
    blake2s_hash(n->private_key, m.seed, strlen(m.seed), bytes, sizeof(bytes));
    BUG_ON(key_public(n->private_key, n->public_key) != 0);
    timer_init(&n->handshake);
    timer_init(&n->keepalive);
}

static uint32_t number_of(const struct node *n)
{
    return (uint32_t)(n - m.nodes);
}

static void transmit(const struct node *n, const void *datagram, size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(m.to.port)};

    memcpy(&to.sin_addr, addr_v4_bytes(&m.to.addr), 4);
    m.sent++; /* one that is refused is one lost on the way */
    (void)!sendto(m.polled[1 + number_of(n) % SOCKETS].fd, datagram, len, MSG_DONTWAIT, (void *)&to, sizeof(to));
}

static uint64_t jitter(void)
{
    return rng_below(&m.rng, WG_JITTER_NS);
}

static struct wg_identity identity_of(const struct node *n)
{
    struct wg_identity identity = {.private_key = n->private_key};

    memcpy(identity.public_key, n->public_key, KEY_BYTES);
    return identity;
}

static void initiate(struct node *n, ts_t now)
{
    struct wg_identity identity = identity_of(n);
    uint8_t shared[CRYPTO_KEY_BYTES], stamp[WG_STAMP_BYTES];
    struct wg_initiation_message message;

    m.retries += n->asking;
    n->asking = true;
    n->stamp = wg_stamp_after(n->stamp, now_is(CLOCK_REALTIME));
    wg_stamp_write(n->stamp, stamp);
    rng_fill(&m.rng, n->ephemeral, sizeof(n->ephemeral));
    BUG_ON(crypto_dh(shared, n->private_key, m.key) != 0);
    BUG_ON(wg_noise_initiation_make(&n->noise, &message, &identity, m.key, shared, n->ephemeral, stamp) != 0);
    le32_put(message.type, WG_MESSAGE_INITIATION);
    le32_put(message.sender, number_of(n));
    wg_cookie_sign(&n->jar, m.key, (void *)&message, sizeof(message), now);
    transmit(n, &message, sizeof(message));
    timerq_arm(&m.timers, &n->handshake, now + WG_REKEY_TIMEOUT_NS + jitter());
}

static void keepalive(struct node *n, ts_t now)
{
    struct {
        struct wg_data_message head;
        uint8_t tag[WG_TAG_BYTES];
    } message;

    timerq_arm(&m.timers, &n->keepalive, now + KEEPALIVE_NS);
    if (!n->born)
        return;
    le32_put(message.head.type, WG_MESSAGE_DATA);
    le32_put(message.head.receiver, n->remote_index);
    le64_put(message.head.counter, n->counter);
    aead_seal(message.tag, NULL, 0, NULL, 0, n->counter++, n->keys.send);
    transmit(n, &message, sizeof(message));
}

static void on_response(struct node *n, const struct wg_response_message *message, ts_t now)
{
    static const uint8_t no_key[WG_KEY_BYTES];
    struct wg_identity identity = identity_of(n);

    if (!n->asking || wg_noise_response_open(&n->noise, message, &identity, n->ephemeral, no_key, &n->keys) != 0)
        return;
    n->asking = false;
    n->born = now;
    n->remote_index = le32_get(message->sender);
    n->counter = 0;
    m.handshakes++;
    timerq_arm(&m.timers, &n->handshake, now + WG_REKEY_AFTER_NS + jitter());
    keepalive(n, now);
}

static void on_datagram(const uint8_t *datagram, size_t len, ts_t now)
{
    uint32_t index;

    m.received++;
    if (!wg_datagram_index(datagram, len, &index)) {
        m.called++; /* the ingress calls us: it has not heard us for two intervals */
        return;
    }
    if (index >= m.nodes_count)
        return;
    if (datagram[0] == WG_MESSAGE_RESPONSE)
        on_response(&m.nodes[index], (const void *)datagram, now);
    else if (datagram[0] == WG_MESSAGE_COOKIE)
        m.cookies += wg_cookie_take(&m.nodes[index].jar, m.key, (const void *)datagram, now);
}

static void receive(int fd, ts_t now)
{
    uint8_t datagram[DATAGRAM_MAX];
    ssize_t len;

    while ((len = recv(fd, datagram, sizeof(datagram), MSG_DONTWAIT)) >= 0)
        on_datagram(datagram, (size_t)len, now);
}

static void report(ts_t now)
{
    unsigned long up = 0;

    for (uint32_t i = 0; i < m.nodes_count; i++)
        up += m.nodes[i].born && ts_since(now, m.nodes[i].born) < WG_REJECT_AFTER_NS;
    printf("up=%lu handshakes=%lu sent=%lu received=%lu retries=%lu cookies=%lu called=%lu\n", up, m.handshakes, m.sent,
           m.received, m.retries, m.cookies, m.called);
    fflush(stdout);
}

static bool sockets_open(void)
{
    int bytes = SOCKET_BUFFER;

    for (uint32_t i = 0; i < SOCKETS; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010001 + i)}; /* 127.1.0.1 … */
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        if (fd < 0 || bind(fd, (void *)&at, sizeof(at)) != 0)
            return false;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
        m.polled[1 + i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    m.polled[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    return true;
}

static void fire(ts_t now)
{
    struct timer *t;

    while ((t = timerq_pop(&m.timers, now))) {
        struct node *n = &m.nodes[((uint8_t *)t - (uint8_t *)m.nodes) / sizeof(*n)];

        if (t == &n->handshake)
            initiate(n, now);
        else
            keepalive(n, now);
    }
}

static void play(void)
{
    ts_t start = now_is(CLOCK_MONOTONIC);

    for (uint32_t i = 0; i < m.nodes_count; i++)
        timerq_arm(&m.timers, &m.nodes[i].handshake, start + i * TS_S / m.rate);
    for (;;) {
        ts_t now = now_is(CLOCK_MONOTONIC), next = timerq_next(&m.timers);

        if (poll(m.polled, 1 + SOCKETS, next <= now ? 0 : (int)(MIN(next - now, TS_S) / TS_MS) + 1) < 0)
            return;
        now = now_is(CLOCK_MONOTONIC);
        for (uint32_t i = 0; i < SOCKETS; i++)
            if (m.polled[1 + i].revents)
                receive(m.polled[1 + i].fd, now);
        if (m.polled[0].revents) {
            char line[64];

            if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
                return;
            report(now);
        }
        fire(now);
    }
}

static bool option(int which, const char *text)
{
    switch (which) {
    case 'k':
        return key_parse(text, strlen(text), m.key);
    case 't':
        return addrport_parse(text, strlen(text), &m.to) && addr_is_v4(&m.to.addr);
    case 'n':
        m.nodes_count = (uint32_t)strtoul(text, NULL, 10);
        return m.nodes_count > 0 && m.nodes_count <= NODES_MAX;
    case 'r':
        return (m.rate = (uint32_t)strtoul(text, NULL, 10)) > 0;
    case 's':
        m.seed = text;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"key", 1, NULL, 'k'},  {"to", 1, NULL, 't'},   {"nodes", 1, NULL, 'n'},
                                            {"rate", 1, NULL, 'r'}, {"seed", 1, NULL, 's'}, {"keys", 0, NULL, 'K'},
                                            {0}};
    bool ok = true, keys = false;

    for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (which == 'K')
            keys = true;
        else
            ok = ok && which != '?' && option(which, optarg);
    }
    if (!ok || optind != argc || !m.seed || !m.nodes_count || (!keys && !m.to.port) || crypto_init() != 0) {
        fprintf(stderr, "usage: manynodes --nodes N --seed TEXT "
                        "(--keys | --key PUBLIC --to ADDRESS:PORT [--rate N])\n");
        return 2;
    }
    m.nodes = calloc(m.nodes_count, sizeof(*m.nodes));
    if (!m.nodes)
        return 1;
    rng_seed(&m.rng, now_is(CLOCK_REALTIME));
    timerq_init(&m.timers);
    for (uint32_t i = 0; i < m.nodes_count; i++) {
        char text[KEY_STR];

        node_make(&m.nodes[i], i);
        key_format(m.nodes[i].public_key, text);
        if (keys)
            puts(text);
    }
    if (keys)
        return 0;
    if (!sockets_open()) {
        perror("manynodes: sockets");
        return 1;
    }
    play();
    return 0;
}
