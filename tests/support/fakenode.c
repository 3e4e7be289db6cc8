/* fakenode.c - a node that does not behave: a real WireGuard peer whose answers and inner packets a test decides.
 *
 *     fakenode --key FILE --ingress KEY [--endpoint A:P] [--listen A:P] [--door A:P] [--peerapi PORT]
 *              [--v4 HOW] [--v6 HOW]
 *     HOW   comma-separated, later ones win:
 *           syn=accept|reset|tsmp|ignore   how a connect to the peerapi port is met. ignore: the packets of this
 *                                          family go to the door only, so a test can be the TCP itself
 *           answer=FILE                    the bytes said once the request is whole; none without it
 *           when=request|connected         ... or before anything was asked
 *           pace=BYTES                     ... in segments of so many bytes, one every EVERY ms
 *           every=MS
 *           then=hold|echo|close|reset     after the answer: say nothing more, send back what comes, end in order, reset
 *           repeat=COUNT                   the answer so many times over
 *
 * It serves whatever inner address it is offered at: those are the feed's business. With an endpoint it calls the
 * ingress and keeps the session alive, without one it waits to be called.
 *
 * The door is how a test sends what no honest stack would: every datagram that comes in there is sealed as it is and
 * sent through the session, and every packet that comes out of the session is passed to whoever last used the door.
 *
 * Standard output has one JSON line a fact: {"event": "listening" | "up" | "syn" | "offer" | "early" | "end", ...}. */
#include <errno.h>
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

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/timerq.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/ip/ip.h"
#include "common/ip/tcp_header.h"
#include "common/peerapi/peerapi.h"
#include "common/tcp/tcp.h"
#include "common/tunnel/tsmp.h"
#include "common/wg/wg.h"

#define MTU            1280
#define KEEPALIVE_NS   (2 * TS_S)
#define DATAGRAM_MAX   65535
#define CHUNK_BYTES    16384
#define CHUNKS_MAX     4096
#define LISTEN_BACKLOG 256
#define SOCKET_BYTES   (8 * 1024 * 1024) /* a flood shall not be thinned out by our own sockets */

enum on_syn {
    SYN_ACCEPT = 0,
    SYN_RESET,
    SYN_TSMP,
    SYN_IGNORE,
};

enum then {
    THEN_HOLD = 0,
    THEN_ECHO,
    THEN_CLOSE,
    THEN_RESET,
};

struct behaviour {
    enum on_syn syn;
    enum then then;
    bool unasked; /* answer when connected, not when asked */
    uint8_t *answer;
    size_t answer_len; /* of one */
    uint64_t repeat;
    size_t pace; /* bytes a segment; 0: as TCP likes */
    uint64_t every_ns;
};

/* visit - one connection to our peerapi. */
struct visit {
    struct timer timer; /* first: the next piece of the answer */
    struct tcp_conn *conn;
    struct addr own; /* where it was offered to us */
    const struct behaviour *how;
    struct peerapi_offer offer;
    bool asked;     /* the request is whole */
    bool answering;
    bool drained;   /* the ingress has all we said */
    bool connected; /* and not only asked */
    uint64_t said; /* bytes of all answers */
};

static struct rng rng;
static struct pool pool;
static struct wg_device *wg;
static struct wg_peer *ingress;
static struct tcp_stack *stack;
static struct tcp_peer tcp_peer;
static struct timerq timers;
static struct endpoint endpoint; /* where the ingress is */
static struct behaviour behaviours[2] = {{.repeat = 1, .every_ns = TS_MS}, {.repeat = 1, .every_ns = TS_MS}};
static uint16_t peerapi_port = 41112;
static int udp_fd = -1, door_fd = -1;
static struct sockaddr_storage door_user;
static socklen_t door_user_len; /* 0: nobody yet */
static volatile sig_atomic_t stopping;

static void on_signal(int signo)
{
    (void)signo;
    stopping = 1;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "fakenode: %s: %s\n", what, why);
    exit(1);
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * TS_S + (uint64_t)t.tv_nsec;
}

/* -- sockets --------------------------------------------------------------------------------------------------- */

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

static struct addrport addrport_of(const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;

        return (struct addrport){addr_v4((const uint8_t *)&in->sin_addr), ntohs(in->sin_port)};
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

    return (struct addrport){addr_v6(in6->sin6_addr.s6_addr), ntohs(in6->sin6_port)};
}

static int udp_socket(const struct addrport *at)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_of(at, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = SOCKET_BYTES;

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) != 0)
        die("bind", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* unprivileged: what the system allows */
    return fd;
}

static void send_datagram(const uint8_t *bytes, size_t len, const struct endpoint *to)
{
    struct sockaddr_storage sa;

    if (to->kind == ENDPOINT_NONE)
        return;
    socklen_t sa_len = sockaddr_of(&to->remote, &sa);

    (void)!sendto(udp_fd, bytes, len, 0, (struct sockaddr *)&sa, sa_len); /* a loss like any other */
}

/* send_packet - through the session, whatever it is. Without a session it is lost. */
static void send_packet(const uint8_t *packet, size_t len, ts_t now)
{
    static uint8_t buf[DATAGRAM_MAX + WG_OVERHEAD_MAX];

    memcpy(buf + WG_HEADER_BYTES, packet, len);
    int sealed = wg_peer_seal(ingress, buf, len, MAX(len, (size_t)MTU), now);

    if (sealed > 0)
        send_datagram(buf, (size_t)sealed, &endpoint);
}

/* -- one connection to the peerapi ----------------------------------------------------------------------------- */

static const char *family_of(const struct addr *a)
{
    return addr_is_v4(a) ? "v4" : "v6";
}

static void visit_free(struct visit *v)
{
    timerq_disarm(&timers, &v->timer);
    free(v);
}

static void visit_end(struct visit *v, const char *how)
{
    printf("{\"event\": \"end\", \"family\": \"%s\", \"how\": \"%s\"}\n", family_of(&v->own), how);
    visit_free(v);
}

static void read_request(struct visit *v, ts_t now)
{
    char src[ADDRPORT_STR];
    struct iovec iov;
    size_t bytes, used;

    while (!v->asked && tcp_read_iov(v->conn, &iov, 1, &bytes) > 0 && bytes > 0) {
        enum peerapi_offer_result result = peerapi_offer_feed(&v->offer, iov.iov_base, bytes, &used);

        tcp_consume(v->conn, used, now);
        if (result == PEERAPI_OFFER_NEED_MORE && used > 0)
            continue;
        v->asked = true;
        v->answering = true;
        if (result == PEERAPI_OFFER_OK)
            printf("{\"event\": \"offer\", \"family\": \"%s\", \"src\": \"%s\", \"target\": \"%s:%u\"}\n",
                   family_of(&v->own), addrport_format(&v->offer.src, src), v->offer.name, (unsigned)v->offer.port);
        else
            printf("{\"event\": \"offer\", \"family\": \"%s\", \"refusal\": %d}\n", family_of(&v->own),
                   (int)v->offer.refusal);
    }
}

/* true: said in full */
static bool say_answer(struct visit *v, ts_t now)
{
    const struct behaviour *how = v->how;
    uint64_t whole = how->answer_len * how->repeat;

    if (timer_armed(&v->timer))
        return false;
    while (v->said < whole) {
        size_t at = (size_t)(v->said % how->answer_len), want = how->answer_len - at;

        if (how->pace > 0)
            want = MIN(want, how->pace);
        size_t took = tcp_write(v->conn, how->answer + at, want, now);

        v->said += took;
        v->drained = false;
        if (took == 0)
            return false; /* WRITABLE follows */
        if (how->pace > 0 && v->said < whole) {
            timerq_arm(&timers, &v->timer, ts_add(now, how->every_ns));
            return false;
        }
    }
    return true;
}

static void echo(struct visit *v, ts_t now)
{
    struct iovec iov;
    size_t bytes;

    while (tcp_read_iov(v->conn, &iov, 1, &bytes) > 0 && bytes > 0) {
        size_t took = tcp_write(v->conn, iov.iov_base, bytes, now);

        if (took == 0)
            return;
        tcp_consume(v->conn, took, now);
    }
    if (tcp_eof(v->conn)) {
        tcp_release(v->conn, now);
        visit_end(v, "eof");
    }
}

static void step(struct visit *v, ts_t now)
{
    read_request(v, now);
    if (v->asked && v->said == 0 && tcp_readable(v->conn) > 0) /* the ingress must wait for our 101 */
        printf("{\"event\": \"early\", \"bytes\": %zu}\n", tcp_readable(v->conn));
    if (!v->answering || !say_answer(v, now))
        return;
    switch (v->how->then) {
    case THEN_HOLD:
        break;
    case THEN_ECHO:
        echo(v, now);
        break;
    case THEN_CLOSE:
        tcp_release(v->conn, now);
        visit_end(v, "closed");
        break;
    case THEN_RESET: /* a reset throws away what is still to be sent */
        if (v->said > 0 && !v->drained)
            break;
        tcp_abort(v->conn, now);
        visit_end(v, "reset");
        break;
    }
}

/* the request may have come with the SYN; who answers once connected waits for that */
static void on_visit(struct visit *v, unsigned flags, ts_t now)
{
    v->connected |= (flags & TCP_EVENT_CONNECTED) != 0;
    v->drained |= (flags & TCP_EVENT_DRAINED) != 0;
    if (v->connected || !v->how->unasked)
        step(v, now);
}

static void accept_visit(struct tcp_conn *conn, unsigned flags, ts_t now)
{
    struct addrport local;
    struct visit *v = calloc(1, sizeof(*v));

    if (!v) {
        tcp_abort(conn, now);
        return;
    }
    tcp_conn_local(conn, &local);
    timer_init(&v->timer);
    v->conn = conn;
    v->own = local.addr;
    v->how = &behaviours[addr_is_v4(&local.addr)];
    v->answering = v->how->unasked;
    peerapi_offer_init(&v->offer, &v->own, 1, true);
    tcp_conn_ctx_set(conn, v);
    on_visit(v, flags, now);
}

static void on_tcp_event(const struct tcp_event *event, ts_t now)
{
    if (event->flags & TCP_EVENT_CLOSED) {
        if (!(event->flags & TCP_EVENT_ACCEPTED))
            visit_end(event->ctx, event->error == -ECONNRESET ? "was reset" : "lost");
        tcp_abort(event->conn, now);
    } else if (event->flags & TCP_EVENT_ACCEPTED) {
        accept_visit(event->conn, event->flags, now);
    } else {
        on_visit(event->ctx, event->flags, now);
    }
}

/* -- packets out of the session -------------------------------------------------------------------------------- */

static void refuse_with_reset(const struct ip_packet *ip, const struct tcp_header *syn, ts_t now)
{
    struct tcp_header h = {
        .src_port = syn->dst_port, .dst_port = syn->src_port, .ack = syn->seq + 1, .flags = TCP_RST | TCP_ACK};
    uint8_t packet[IP_HEADER_V6 + TCP_HEADER_MAX];
    size_t tcp_len = tcp_header_len(&h), ip_len = ip_header_write(packet, &ip->dst, &ip->src, IP_PROTOCOL_TCP, tcp_len);

    tcp_header_write(&h, packet + ip_len);
    tcp_checksum_put(packet + ip_len, tcp_len, ip_pseudo_sum(&ip->dst, &ip->src, IP_PROTOCOL_TCP, tcp_len));
    send_packet(packet, ip_len + tcp_len, now);
}

/* what a stock node says whose packet filter drops a SYN: type, protocol, reason, both ports */
static void refuse_with_tsmp(const struct ip_packet *ip, const struct tcp_header *syn, ts_t now)
{
    uint8_t packet[IP_HEADER_V6 + 7];
    size_t len = ip_header_write(packet, &ip->dst, &ip->src, TSMP_PROTOCOL, 7);

    packet[len] = '!';
    packet[len + 1] = IP_PROTOCOL_TCP;
    packet[len + 2] = 'A';
    be16_put(packet + len + 3, syn->src_port);
    be16_put(packet + len + 5, syn->dst_port);
    send_packet(packet, len + 7, now);
}

static void input_packet(const uint8_t *packet, size_t len, ts_t now)
{
    struct ip_packet ip;
    struct tcp_header h;
    const uint8_t *payload;
    size_t payload_len;

    if (door_user_len > 0)
        (void)!sendto(door_fd, packet, len, 0, (struct sockaddr *)&door_user, door_user_len);
    if (ip_parse(packet, len, &ip) != 0 || ip.protocol != IP_PROTOCOL_TCP ||
        tcp_header_parse(ip.payload, ip.payload_len, &h, &payload, &payload_len) != 0 || h.dst_port != peerapi_port)
        return;
    const struct behaviour *how = &behaviours[addr_is_v4(&ip.dst)];
    bool syn = (h.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;

    if (syn)
        printf("{\"event\": \"syn\", \"family\": \"%s\", \"port\": %u}\n", family_of(&ip.dst),
               (unsigned)h.src_port);
    if (how->syn == SYN_ACCEPT)
        (void)tcp_stack_input(stack, &tcp_peer, packet, len, now);
    else if (how->syn == SYN_RESET && syn)
        refuse_with_reset(&ip, &h, now);
    else if (how->syn == SYN_TSMP && syn)
        refuse_with_tsmp(&ip, &h, now);
}

static void receive_datagrams(ts_t now)
{
    static uint8_t buf[DATAGRAM_MAX];
    struct sockaddr_storage from = {0};
    socklen_t from_len = sizeof(from);
    struct wg_input in;
    ssize_t n;

    while ((n = recvfrom(udp_fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len)) >= 0) {
        struct endpoint at = {.kind = ENDPOINT_UDP, .remote = addrport_of(&from)};
        enum wg_in verdict = wg_device_input(wg, buf, (size_t)n, &at, &in, now);

        if (verdict == WG_IN_HALF)
            wg_half_wipe(&in.half); /* somebody who is not our ingress */
        else if (in.peer && in.roam)
            endpoint = at;
        if (verdict == WG_IN_DATA)
            input_packet(in.plaintext, in.plaintext_len, now);
        from_len = sizeof(from);
    }
}

static void receive_door(ts_t now)
{
    static uint8_t buf[DATAGRAM_MAX];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(door_fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len)) >= 0) {
        door_user = from;
        door_user_len = from_len;
        if (n > 0)
            send_packet(buf, (size_t)n, now);
        from_len = sizeof(from);
    }
}

/* -- the loop -------------------------------------------------------------------------------------------------- */

static void on_wg_event(const struct wg_event *event, ts_t now)
{
    switch (event->kind) {
    case WG_EVENT_UP:
        tcp_peer_block(&tcp_peer, false);
        printf("{\"event\": \"up\"}\n");
        break;
    case WG_EVENT_DOWN:
        tcp_peer_block(&tcp_peer, true);
        break;
    case WG_EVENT_GAVE_UP:
        wg_peer_initiate(ingress, now);
        break;
    }
}

static void take_events(ts_t now)
{
    struct wg_event wg_event;
    struct tcp_event tcp_event;
    struct timer *t;

    while (wg_device_event(wg, &wg_event))
        on_wg_event(&wg_event, now);
    while ((t = timerq_pop(&timers, now)))
        step((struct visit *)t, now);
    while (tcp_stack_event(stack, &tcp_event))
        on_tcp_event(&tcp_event, now);
}

static void send_all(ts_t now)
{
    uint8_t buf[MTU + WG_OVERHEAD_MAX];
    struct wg_output out;
    struct tcp_peer *to;
    size_t len;

    while ((len = tcp_stack_output(stack, buf, MTU, &to, now)) > 0)
        send_packet(buf, len, now);
    while ((len = wg_device_output(wg, buf, sizeof(buf), &out, now, clock_ns(CLOCK_REALTIME))) > 0)
        send_datagram(buf, len, out.reply ? &out.to : &endpoint);
}

static void run(const sigset_t *while_waiting)
{
    struct pollfd set[] = {{.fd = udp_fd, .events = POLLIN}, {.fd = door_fd, .events = POLLIN}};

    while (!stopping) {
        ts_t now = clock_ns(CLOCK_MONOTONIC);

        wg_device_expire(wg, now);
        tcp_stack_expire(stack, now);
        take_events(now);
        send_all(now);
        ts_t next = ts_min(timerq_next(&timers), ts_min(wg_device_deadline(wg), tcp_stack_deadline(stack)));
        uint64_t wait_ns = MIN(ts_since(next, now), TS_S);
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / TS_S), .tv_nsec = (long)(wait_ns % TS_S)};

        if (ppoll(set, ARRAY_SIZE(set), &wait, while_waiting) <= 0)
            continue;
        now = clock_ns(CLOCK_MONOTONIC);
        if (set[0].revents)
            receive_datagrams(now);
        if (set[1].revents)
            receive_door(now);
    }
}

/* -- start ----------------------------------------------------------------------------------------------------- */

/* read_file - whole; the caller frees *out */
static void read_file(const char *path, uint8_t **out, size_t *len)
{
    FILE *file = fopen(path, "rb");

    if (!file || fseek(file, 0, SEEK_END) != 0)
        die(path, strerror(errno));
    *len = (size_t)ftell(file);
    rewind(file);
    *out = malloc(*len + 1);
    if (!*out || fread(*out, 1, *len, file) != *len)
        die(path, "can't be read");
    (*out)[*len] = 0;
    fclose(file);
}

/* choice - the index of a word in a list that NULL ends */
static unsigned choice(const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    die("no such behaviour", word);
    return 0;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);

    if (end == text || *end)
        die("not a number", text);
    return n;
}

static void parse_behaviour(char *text, struct behaviour *b)
{
    static const char *const syns[] = {"accept", "reset", "tsmp", "ignore", NULL};
    static const char *const thens[] = {"hold", "echo", "close", "reset", NULL};
    static const char *const whens[] = {"request", "connected", NULL};

    for (char *item; (item = strsep(&text, ","));) {
        char *value = strchr(item, '=');

        if (!value)
            die("no value", item);
        *value++ = 0;
        if (strcmp(item, "syn") == 0) {
            b->syn = choice(value, syns);
        } else if (strcmp(item, "then") == 0) {
            b->then = choice(value, thens);
        } else if (strcmp(item, "when") == 0) {
            b->unasked = choice(value, whens) == 1;
        } else if (strcmp(item, "answer") == 0) {
            free(b->answer);
            read_file(value, &b->answer, &b->answer_len);
        } else if (strcmp(item, "pace") == 0) {
            b->pace = number(value);
        } else if (strcmp(item, "every") == 0) {
            b->every_ns = number(value) * TS_MS;
        } else if (strcmp(item, "repeat") == 0) {
            b->repeat = number(value);
        } else {
            die("no such key", item);
        }
    }
}

static struct addrport parse_addrport(const char *text)
{
    struct addrport ap;

    if (!addrport_parse(text, strlen(text), &ap))
        die("not an address and port", text);
    return ap;
}

static void read_key(const char *path, uint8_t key[KEY_BYTES])
{
    uint8_t *text;
    size_t len;

    read_file(path, &text, &len);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    if (!key_parse((const char *)text, len, key))
        die(path, "not a key");
    crypto_wipe(text, len);
    free(text);
}

static void engines_start(const uint8_t private_key[KEY_BYTES], const uint8_t ingress_key[KEY_BYTES], ts_t now)
{
    struct wg_config wg_config = {.rng = &rng, .handshakes_per_s = 1000};
    struct wg_peer_config peer = {.keepalive_ns = endpoint.kind == ENDPOINT_NONE ? 0 : KEEPALIVE_NS};
    struct tcp_config tcp_config;
    int err;

    timerq_init(&timers);
    pool_init(&pool, CHUNK_BYTES, CHUNKS_MAX, 64);
    tcp_config_default(&tcp_config);
    tcp_config.rng = &rng;
    tcp_config.pool = &pool;
    stack = tcp_stack_new(&tcp_config);
    wg = wg_device_new(&wg_config);
    if (!stack || !wg || wg_identity_add(wg, private_key) != 0)
        die("start", "no engines");
    memcpy(peer.public_key, ingress_key, KEY_BYTES);
    BUG_ON(key_public(private_key, peer.identity) != 0);
    ingress = wg_peer_new(wg, &peer, now, &err);
    if (!ingress)
        die("ingress", err_str(err));
    tcp_peer_init(&tcp_peer, stack, NULL, MTU);
    tcp_peer_block(&tcp_peer, true);
    if (tcp_listen(stack, peerapi_port, LISTEN_BACKLOG, NULL) != 0)
        die("peerapi", "can't listen");
    if (endpoint.kind != ENDPOINT_NONE)
        wg_peer_initiate(ingress, now);
}

static void visit_drop(ts_t now)
{
    struct tcp_event event;

    tcp_peer_deinit(&tcp_peer, now);
    while (tcp_stack_event(stack, &event)) {
        tcp_abort(event.conn, now);
        if (event.ctx)
            visit_free(event.ctx);
    }
}

static void engines_stop(ts_t now)
{
    visit_drop(now);
    tcp_stack_free(stack);
    wg_device_free(wg);
    pool_deinit(&pool);
    for (int i = 0; i < 2; i++)
        free(behaviours[i].answer);
}

static void usage(void)
{
    fputs("usage: fakenode --key FILE --ingress KEY [--endpoint A:P] [--listen A:P] [--door A:P] [--peerapi PORT]\n"
          "                [--v4 HOW] [--v6 HOW]\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'},      {"ingress", required_argument, NULL, 'i'},
        {"endpoint", required_argument, NULL, 'e'}, {"listen", required_argument, NULL, 'l'},
        {"door", required_argument, NULL, 'd'},     {"peerapi", required_argument, NULL, 'p'},
        {"v4", required_argument, NULL, '4'},       {"v6", required_argument, NULL, '6'},
        {NULL, 0, NULL, 0},
    };
    uint8_t private_key[KEY_BYTES], ingress_key[KEY_BYTES];
    struct addrport listen_at = parse_addrport("127.0.0.1:0"), door_at;
    const char *key_file = NULL, *ingress_text = NULL;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'k':
            key_file = optarg;
            break;
        case 'i':
            ingress_text = optarg;
            break;
        case 'e':
            endpoint = (struct endpoint){.kind = ENDPOINT_UDP, .remote = parse_addrport(optarg)};
            break;
        case 'l':
            listen_at = parse_addrport(optarg);
            break;
        case 'd':
            door_at = parse_addrport(optarg);
            door_fd = udp_socket(&door_at);
            break;
        case 'p':
            peerapi_port = (uint16_t)number(optarg);
            break;
        case '4':
        case '6':
            parse_behaviour(optarg, &behaviours[opt == '4']);
            break;
        default:
            usage();
        }
    }
    if (!key_file || !ingress_text || optind != argc)
        usage();
    if (!key_parse(ingress_text, strlen(ingress_text), ingress_key))
        die("not a key", ingress_text);
    if (crypto_init() != 0)
        die("crypto", "can't start");
    read_key(key_file, private_key);
    crypto_rng(&rng);
    udp_fd = udp_socket(&listen_at);
    engines_start(private_key, ingress_key, clock_ns(CLOCK_MONOTONIC));

    struct sigaction action = {.sa_handler = on_signal};
    sigset_t held, before;

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigemptyset(&held); /* signals arrive only while ppoll waits, so none is missed */
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigprocmask(SIG_BLOCK, &held, &before);
    setvbuf(stdout, NULL, _IOLBF, 0); /* a fact is told before anything follows from it */
    printf("{\"event\": \"listening\"}\n");
    run(&before);
    engines_stop(clock_ns(CLOCK_MONOTONIC));
    return 0;
}
