/* tunnel.c - how the engines are joined.
 *
 * Inwards: a datagram is opened by wg; what it holds must be an IP packet from one of that peer's addresses to one of
 * ours; then TCP sees it, or, for a TSMP refusal, the pending connect ends. Nothing else is looked at.
 *
 * Outwards: TCP's next packet is written behind room for the WireGuard header and sealed where it lies. Only then come
 * WireGuard's own datagrams, so that data confirms a new session where there is some; but where there is always more data
 * than the socket takes, they go between. Before a packet is pulled, its peer's session is looked at: without one the peer
 * is blocked and a handshake asked for; WG_EVENT_UP unblocks it.
 *
 * An initiation that may go to several endpoints goes to one after another, until it is answered. They may all lead to
 * the same node, and stock ones check the stamp before they take the lock under which they remember it: of two copies
 * that came together both can be answered, and only the session of the last answer is known there.
 *
 * Two rules make a lost session short (design, section 6): a SYN that timed out with nothing heard since, or an owner
 * who waits in vain, asks for a fresh handshake, and SYNs go again as soon as that is answered; and a peer with
 * keepalive that was silent for two intervals is called. */
#include "common/tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/timerq.h"
#include "common/crypto/crypto.h"
#include "common/ip/ip.h"
#include "common/tunnel/path.h"
#include "common/tunnel/tsmp.h"
#include "common/wg/wg_messages.h"

#define DATA_IN_A_ROW  64 /* then WireGuard's own datagrams get a turn; as many as a train holds */
#define CALL_STEP_NS   (10 * TS_MS) /* between the endpoints that an initiation goes to */
#define SYN_SILENCE_NS TS_S /* the first SYN timeout, RFC 6298 section 2.1: nothing heard for that long is silence */

/* an initiation that has not gone to all its endpoints */
struct call {
    struct timer timer; /* in tunnel.calls: the next one's turn … */
    struct list due;    /* … which has come: in tunnel.due */
    struct tunnel_peer *peer;
    uint8_t initiation[sizeof(struct wg_initiation_message)];
    uint8_t count, next;
    struct endpoint to[];
};

struct tunnel_peer {
    struct tunnel *tunnel;
    struct wg_peer *wg;
    struct tcp_peer tcp;
    struct path path;
    struct call *call;    /* NULL: none */
    struct timer silence; /* two keepalive intervals without a sign of life */
    uint64_t keepalive_ns;
    void *owner;
    struct tunnel_peer *next, *prev;
    uint16_t mtu;
    struct list report; /* among those whose sending is to be told */
    ts_t reported_at;   /* 0: never */
    bool reports;
    bool unanswered; /* something went unanswered in silence: SYNs go again when the peer can be talked to */
    uint8_t addrs_count;
    uint8_t own_addrs_count;
    struct addr addrs[]; /* the peer's, then ours */
};

struct tunnel {
    struct wg_device *wg;
    struct tcp_stack *tcp;
    struct timerq timers, calls;
    struct tunnel_peer *peers;
    struct tunnel_stats stats;
    struct list due;     /* calls that go on with the next pull */
    struct list reports; /* peers of TUNNEL_EVENT_SENDING */
    unsigned data_in_a_row; /* datagrams pulled since WireGuard had none of its own */
    /* a datagram that still goes to more endpoints */
    uint8_t fan_datagram[TUNNEL_DATAGRAM_MAX];
    size_t fan_len;
    struct endpoint fan[TUNNEL_ENDPOINTS_MAX + 1];
    size_t fan_count, fan_next;
};

const char *tunnel_drop_name(enum tunnel_drop drop)
{
    static const char *const names[] = {
#define X(name, text) [TUNNEL_DROP_##name] = text,
        TUNNEL_DROP_MAP(X)
#undef X
    };

    return names[drop];
}

struct tunnel *tunnel_new(const struct tunnel_config *config)
{
    struct tunnel *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    timerq_init(&t->timers);
    timerq_init(&t->calls);
    list_init(&t->due);
    list_init(&t->reports);
    t->wg = wg_device_new(&config->wg);
    t->tcp = tcp_stack_new(&config->tcp);
    if (!t->wg || !t->tcp) {
        tunnel_free(t);
        return NULL;
    }
    return t;
}

void tunnel_free(struct tunnel *tunnel)
{
    if (!tunnel)
        return;
    while (tunnel->peers)
        tunnel_peer_free(tunnel->peers, 0);
    if (tunnel->tcp)
        tcp_stack_free(tunnel->tcp);
    wg_device_free(tunnel->wg);
    free(tunnel);
}

struct wg_device *tunnel_wg(struct tunnel *tunnel)
{
    return tunnel->wg;
}

struct tcp_stack *tunnel_tcp(struct tunnel *tunnel)
{
    return tunnel->tcp;
}

const struct tunnel_stats *tunnel_stats(const struct tunnel *tunnel)
{
    return &tunnel->stats;
}

static struct tunnel_peer *of_tcp(struct tcp_peer *peer)
{
    return container_of(peer, struct tunnel_peer, tcp);
}

static void call_end(struct tunnel_peer *peer)
{
    if (!peer->call)
        return;
    timerq_disarm(&peer->tunnel->calls, &peer->call->timer);
    list_remove(&peer->call->due);
    free(peer->call);
    peer->call = NULL;
}

static void silence_arm(struct tunnel_peer *peer, ts_t now)
{
    if (peer->keepalive_ns == 0) {
        timerq_disarm(&peer->tunnel->timers, &peer->silence);
        return;
    }
    ts_t heard = wg_peer_heard(peer->wg), at = ts_add(heard, 2 * peer->keepalive_ns);

    /* already silent: call again after two more intervals, for ever; that is what keeps a NAT open */
    timerq_arm(&peer->tunnel->timers, &peer->silence, at > now ? at : ts_add(now, 2 * peer->keepalive_ns));
}

struct tunnel_peer *tunnel_peer_new(struct tunnel *tunnel, const struct tunnel_peer_config *config, int *err, ts_t now)
{
    BUG_ON(config->addrs_count > TUNNEL_ADDRS_MAX || config->own_addrs_count > TUNNEL_ADDRS_MAX);
    size_t addrs = config->addrs_count + config->own_addrs_count;
    struct tunnel_peer *peer = calloc(1, sizeof(*peer) + addrs * sizeof(struct addr));
    uint16_t mtu = config->mtu ? config->mtu : TUNNEL_MTU_DEFAULT;

    *err = ERR_NOMEM;
    if (!peer)
        return NULL;
    peer->tunnel = tunnel;
    peer->owner = config->owner;
    peer->mtu = MIN(mtu, TUNNEL_MTU_MAX);
    peer->keepalive_ns = config->keepalive_ns;
    peer->addrs_count = (uint8_t)config->addrs_count;
    peer->own_addrs_count = (uint8_t)config->own_addrs_count;
    memcpy(peer->addrs, config->addrs, config->addrs_count * sizeof(struct addr));
    memcpy(peer->addrs + config->addrs_count, config->own_addrs, config->own_addrs_count * sizeof(struct addr));
    timer_init(&peer->silence);
    list_init(&peer->report);
    peer->reports = config->reports;
    path_init(&peer->path);
    if (path_candidates_set(&peer->path, config->endpoints, config->endpoints_count) != 0) {
        free(peer);
        return NULL;
    }
    struct wg_peer_config wg = {.keepalive_ns = config->keepalive_ns, .shard = config->shard, .owner = peer};

    memcpy(wg.public_key, config->key, WG_KEY_BYTES);
    memcpy(wg.preshared_key, config->preshared_key, WG_KEY_BYTES);
    memcpy(wg.identity, config->identity, WG_KEY_BYTES);
    peer->wg = wg_peer_new(tunnel->wg, &wg, now, err);
    crypto_wipe(wg.preshared_key, sizeof(wg.preshared_key));
    if (!peer->wg) {
        path_deinit(&peer->path);
        free(peer);
        return NULL;
    }
    tcp_peer_init(&peer->tcp, tunnel->tcp, peer, peer->mtu);
    peer->next = tunnel->peers;
    if (peer->next)
        peer->next->prev = peer;
    tunnel->peers = peer;
    silence_arm(peer, now);
    *err = 0;
    return peer;
}

void tunnel_peer_free(struct tunnel_peer *peer, ts_t now)
{
    if (!peer)
        return;
    timerq_disarm(&peer->tunnel->timers, &peer->silence);
    call_end(peer);
    list_remove(&peer->report);
    tcp_peer_deinit(&peer->tcp, now);
    wg_peer_free(peer->wg);
    path_deinit(&peer->path);
    if (peer->prev)
        peer->prev->next = peer->next;
    else
        peer->tunnel->peers = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    free(peer);
}

struct tunnel_peer *tunnel_peer_find(struct tunnel *tunnel, const uint8_t key[WG_KEY_BYTES])
{
    struct wg_peer *wg = wg_peer_find(tunnel->wg, key);

    return wg ? wg_peer_owner(wg) : NULL;
}

void *tunnel_peer_owner(const struct tunnel_peer *peer)
{
    return peer->owner;
}

struct wg_peer *tunnel_peer_wg(struct tunnel_peer *peer)
{
    return peer->wg;
}

size_t tunnel_peer_conns(const struct tunnel_peer *peer)
{
    return peer->tcp.conns_count;
}

struct endpoint tunnel_peer_endpoint(const struct tunnel_peer *peer)
{
    return peer->path.proven;
}

void tunnel_peer_endpoints_set(struct tunnel_peer *peer, const struct endpoint *endpoints, size_t count)
{
    /* out of memory: the old candidates go on serving */
    (void)path_candidates_set(&peer->path, endpoints, count);
}

void tunnel_peer_guide(struct tunnel_peer *peer, const struct endpoint *to, size_t count)
{
    bool known = path_known(&peer->path);

    if (path_guide(&peer->path, to, count) != 0 || known || count == 0)
        return;
    /* who waits now, or comes later, asks for the session that is missing; who waited in vain may have given up */
    tcp_peer_block(&peer->tcp, false);
}

void tunnel_peer_keepalive_set(struct tunnel_peer *peer, uint64_t keepalive_ns, ts_t now)
{
    peer->keepalive_ns = keepalive_ns;
    wg_peer_keepalive_set(peer->wg, keepalive_ns, now);
    silence_arm(peer, now);
}

void tunnel_peer_initiation_lost(struct tunnel_peer *peer, ts_t now)
{
    wg_peer_initiation_lost(peer->wg, now);
}

int tunnel_peer_identity_set(struct tunnel_peer *peer, const uint8_t identity[WG_KEY_BYTES], ts_t now)
{
    return wg_peer_identity_set(peer->wg, identity, now);
}

void tunnel_peer_initiate(struct tunnel_peer *peer, ts_t now)
{
    if (path_known(&peer->path))
        wg_peer_initiate(peer->wg, now);
}

void tunnel_peer_doubt(struct tunnel_peer *peer, ts_t now)
{
    if (ts_since(now, wg_peer_heard(peer->wg)) < SYN_SILENCE_NS)
        return;
    peer->unanswered = true;
    tunnel_peer_initiate(peer, now);
}

static bool has(const struct addr *addrs, size_t count, const struct addr *a)
{
    for (size_t i = 0; i < count; i++)
        if (addr_equal(&addrs[i], a))
            return true;
    return false;
}

static void input_packet(struct tunnel_peer *peer, const uint8_t *packet, size_t len, ts_t now)
{
    struct tunnel_stats *stats = &peer->tunnel->stats;
    struct ip_packet ip;
    struct tsmp_refusal refusal;

    if (ip_parse(packet, len, &ip) != 0) {
        stats->dropped[TUNNEL_DROP_NOT_IP]++;
        return;
    }
    if (!has(peer->addrs, peer->addrs_count, &ip.src)) {
        stats->dropped[TUNNEL_DROP_SOURCE]++;
        return;
    }
    if (!has(peer->addrs + peer->addrs_count, peer->own_addrs_count, &ip.dst)) {
        stats->dropped[TUNNEL_DROP_DESTINATION]++;
        return;
    }
    if (ip.protocol == IP_PROTOCOL_TCP) {
        stats->tcp[tcp_stack_input(peer->tunnel->tcp, &peer->tcp, packet, len, now)]++;
    } else if (ip.protocol == TSMP_PROTOCOL && tsmp_refusal_parse(ip.payload, ip.payload_len, &refusal)) {
        struct addrport local = {ip.dst, refusal.source_port}, remote = {ip.src, refusal.destination_port};

        tcp_peer_refused(&peer->tcp, &local, &remote, now);
    } else {
        stats->dropped[TUNNEL_DROP_PROTOCOL]++;
    }
}

static enum wg_in after_input(struct tunnel *t, enum wg_in verdict, const struct wg_input *in,
                              const struct endpoint *from, ts_t now)
{
    t->stats.wg[verdict]++;
    if (!in->peer)
        return verdict;
    struct tunnel_peer *peer = wg_peer_owner(in->peer);

    if (in->roam)
        path_heard(&peer->path, from);
    if (verdict == WG_IN_DATA)
        input_packet(peer, in->plaintext, in->plaintext_len, now);
    return verdict;
}

/* something came that shows a session both sides can use; an initiation does not, before it is answered and confirmed */
static void answers(struct tunnel_peer *peer, ts_t now)
{
    if (!peer->unanswered)
        return;
    peer->unanswered = false;
    tcp_peer_answers(&peer->tcp, now);
}

enum wg_in tunnel_input(struct tunnel *tunnel, uint8_t *datagram, size_t len, const struct endpoint *from,
                        struct wg_half *half, ts_t now)
{
    struct wg_input in; /* not zeroed: half is large, and filled only when it is meant */

    tunnel->stats.datagrams_in++;
    tunnel->stats.bytes_in += len;
    bool initiation = len > 0 && datagram[0] == WG_MESSAGE_INITIATION;
    enum wg_in verdict = wg_device_input(tunnel->wg, datagram, len, from, &in, now);

    if (verdict == WG_IN_HALF) {
        *half = in.half;
        wg_half_wipe(&in.half);
    }
    if (in.peer && in.roam && !initiation) {
        answers(wg_peer_owner(in.peer), now);
        if (verdict == WG_IN_HANDSHAKE)
            call_end(wg_peer_owner(in.peer));
    }
    return after_input(tunnel, verdict, &in, from, now);
}

enum wg_in tunnel_peer_input_half(struct tunnel_peer *peer, const struct wg_half *half, ts_t now)
{
    struct wg_input in;
    enum wg_in verdict = wg_peer_input_half(peer->wg, half, &in, now);

    return after_input(peer->tunnel, verdict, &in, &half->from, now);
}

/* something went to the peer, or would if there were a way */
static void report(struct tunnel_peer *peer, ts_t now)
{
    if (!peer->reports || (peer->reported_at != 0 && ts_since(now, peer->reported_at) < TUNNEL_REPORT_NS))
        return;
    peer->reported_at = now;
    if (list_empty(&peer->report))
        list_append(&peer->tunnel->reports, &peer->report);
}

static size_t sent(struct tunnel *t, size_t len)
{
    t->stats.datagrams_out++;
    t->stats.bytes_out += len;
    return len;
}

static size_t output_fan(struct tunnel *t, uint8_t *buf, struct endpoint *to)
{
    if (t->fan_next == t->fan_count)
        return 0;
    memcpy(buf, t->fan_datagram, t->fan_len);
    *to = t->fan[t->fan_next++];
    return t->fan_len;
}

/* the datagram at buf goes to the first count endpoints of the fan: to one now, to the others with the next pulls */
static size_t spread(struct tunnel *t, const uint8_t *buf, size_t len, size_t count, struct endpoint *to)
{
    BUG_ON(count == 0 || len > sizeof(t->fan_datagram));
    *to = t->fan[0];
    t->fan_next = 1;
    t->fan_count = count;
    if (count > 1) {
        memcpy(t->fan_datagram, buf, len);
        t->fan_len = len;
    }
    return len;
}

static size_t output_tcp(struct tunnel *t, uint8_t *buf, size_t cap, struct endpoint *to, ts_t now)
{
    struct tcp_peer *next;

    while ((next = tcp_stack_ready(t->tcp))) {
        struct tunnel_peer *peer = of_tcp(next);
        size_t ways = path_data(&peer->path, t->fan);

        report(peer, now);
        if (ways == 0 || !wg_peer_can_send(peer->wg, now)) {
            tcp_peer_block(next, true);
            tunnel_peer_initiate(peer, now);
            continue;
        }
        size_t len = tcp_stack_output(t->tcp, buf + WG_HEADER_BYTES, cap - WG_OVERHEAD_MAX, &next, now);

        if (len == 0)
            break;
        if (of_tcp(next) != peer) { /* the first one had nothing after all */
            peer = of_tcp(next);
            ways = path_data(&peer->path, t->fan);
        }
        int datagram = wg_peer_seal(peer->wg, buf, len, peer->mtu, now);

        if (datagram < 0 || ways == 0) /* no session after all: TCP sends it again */
            continue;
        return spread(t, buf, (size_t)datagram, ways, to);
    }
    t->fan_count = t->fan_next = 0;
    return 0;
}

/* The initiation went to the first endpoint of the fan: the others are due later. Without memory for that, all are now. */
static size_t call_begin(struct tunnel_peer *peer, const uint8_t *initiation, size_t count, ts_t now)
{
    struct tunnel *t = peer->tunnel;

    call_end(peer);
    if (count < 2)
        return count;
    peer->call = calloc(1, sizeof(*peer->call) + (count - 1) * sizeof(struct endpoint));
    if (!peer->call)
        return count;
    peer->call->peer = peer;
    peer->call->count = (uint8_t)(count - 1);
    memcpy(peer->call->initiation, initiation, sizeof(peer->call->initiation));
    memcpy(peer->call->to, t->fan + 1, (count - 1) * sizeof(struct endpoint));
    timer_init(&peer->call->timer);
    list_init(&peer->call->due);
    timerq_arm(&t->calls, &peer->call->timer, ts_add(now, CALL_STEP_NS));
    return 1;
}

static size_t output_call(struct tunnel *t, uint8_t *buf, struct endpoint *to, ts_t now)
{
    struct list *due = list_first(&t->due);

    if (!due)
        return 0;
    struct call *call = container_of(due, struct call, due);

    list_remove(due);
    memcpy(buf, call->initiation, sizeof(call->initiation));
    *to = call->to[call->next++];
    if (call->next < call->count)
        timerq_arm(&t->calls, &call->timer, ts_add(now, CALL_STEP_NS));
    else
        call_end(call->peer);
    return sizeof(call->initiation);
}

static size_t output_wg(struct tunnel *t, uint8_t *buf, size_t cap, struct endpoint *to, ts_t now, uint64_t wall_ns)
{
    struct wg_output out;
    size_t len;

    while ((len = wg_device_output(t->wg, buf, cap, &out, now, wall_ns)) > 0) {
        if (out.reply) {
            *to = out.to;
            return len;
        }
        struct tunnel_peer *peer = wg_peer_owner(out.peer);
        size_t ways;

        if (buf[0] == WG_MESSAGE_INITIATION)
            ways = call_begin(peer, buf, path_handshake(&peer->path, t->fan), now);
        else
            ways = path_data(&peer->path, t->fan);
        report(peer, now);
        if (ways > 0)
            return spread(t, buf, len, ways, to);
    }
    return 0;
}

static size_t output_own(struct tunnel *t, uint8_t *buf, size_t cap, struct endpoint *to, ts_t now, uint64_t wall_ns)
{
    size_t len = output_call(t, buf, to, now);

    if (len == 0)
        len = output_wg(t, buf, cap, to, now, wall_ns);
    if (len == 0)
        t->data_in_a_row = 0;
    return len;
}

size_t tunnel_output(struct tunnel *tunnel, uint8_t *buf, size_t cap, struct endpoint *to, ts_t now, uint64_t wall_ns)
{
    BUG_ON(cap < TUNNEL_DATAGRAM_MAX);
    size_t len = output_fan(tunnel, buf, to);

    if (len == 0 && tunnel->data_in_a_row >= DATA_IN_A_ROW)
        len = output_own(tunnel, buf, cap, to, now, wall_ns);
    if (len == 0) {
        len = output_tcp(tunnel, buf, cap, to, now);
        tunnel->data_in_a_row += len > 0;
    }
    if (len == 0)
        len = output_own(tunnel, buf, cap, to, now, wall_ns);
    return len ? sent(tunnel, len) : 0;
}

ts_t tunnel_deadline(const struct tunnel *tunnel)
{
    return ts_min(ts_min(timerq_next(&tunnel->timers), timerq_next(&tunnel->calls)),
                  ts_min(wg_device_deadline(tunnel->wg), tcp_stack_deadline(tunnel->tcp)));
}

void tunnel_expire(struct tunnel *tunnel, ts_t now)
{
    struct timer *t;

    wg_device_expire(tunnel->wg, now);
    tcp_stack_expire(tunnel->tcp, now);
    while ((t = timerq_pop(&tunnel->timers, now))) {
        struct tunnel_peer *peer = container_of(t, struct tunnel_peer, silence);

        if (ts_since(now, wg_peer_heard(peer->wg)) >= 2 * peer->keepalive_ns)
            tunnel_peer_initiate(peer, now);
        silence_arm(peer, now);
    }
    while ((t = timerq_pop(&tunnel->calls, now)))
        list_append(&tunnel->due, &container_of(t, struct call, timer)->due);
}

struct tcp_conn *tunnel_connect(struct tunnel_peer *peer, bool v4, uint16_t port, void *ctx, int *err, ts_t now)
{
    struct tcp_dial dial = {.peer = &peer->tcp, .ctx = ctx};
    const struct addr *own = peer->addrs + peer->addrs_count;
    const struct addr *local = NULL, *remote = NULL;

    for (size_t i = 0; i < peer->addrs_count && !remote; i++)
        if (addr_is_v4(&peer->addrs[i]) == v4)
            remote = &peer->addrs[i];
    for (size_t i = 0; i < peer->own_addrs_count && !local; i++)
        if (addr_is_v4(&own[i]) == v4)
            local = &own[i];
    if (!local || !remote) {
        *err = ERR_NOT_FOUND;
        return NULL;
    }
    dial.local = *local;
    dial.remote = (struct addrport){*remote, port};
    return tcp_connect(peer->tunnel->tcp, &dial, err, now);
}

/* what a WireGuard event means here; true: the owner should know too */
static void on_wg_event(struct tunnel_peer *peer, const struct wg_event *event, struct tunnel_event *out, ts_t now)
{
    out->peer = peer;
    switch (event->kind) {
    case WG_EVENT_UP:
        tcp_peer_block(&peer->tcp, false);
        out->kind = TUNNEL_EVENT_UP;
        break;
    case WG_EVENT_DOWN:
        out->kind = TUNNEL_EVENT_DOWN;
        break;
    case WG_EVENT_GAVE_UP:
        if (tcp_peer_wants_output(&peer->tcp))
            tunnel_peer_initiate(peer, now); /* somebody still waits for it */
        out->kind = TUNNEL_EVENT_GAVE_UP;
        break;
    }
}

bool tunnel_event(struct tunnel *tunnel, struct tunnel_event *out, ts_t now)
{
    struct wg_event wg;

    if (wg_device_event(tunnel->wg, &wg)) {
        on_wg_event(wg_peer_owner(wg.peer), &wg, out, now);
        return true;
    }
    struct list *report = list_first(&tunnel->reports);

    if (report) {
        list_remove(report);
        out->kind = TUNNEL_EVENT_SENDING;
        out->peer = container_of(report, struct tunnel_peer, report);
        return true;
    }
    while (tcp_stack_event(tunnel->tcp, &out->tcp)) {
        struct tcp_peer *tcp = tcp_conn_peer(out->tcp.conn);
        struct tunnel_peer *peer = tcp ? of_tcp(tcp) : NULL; /* NULL: it was freed, and this says so */

        if (peer && (out->tcp.flags & TCP_EVENT_SYN_TIMEOUT))
            tunnel_peer_doubt(peer, now);
        out->tcp.flags &= ~(unsigned)TCP_EVENT_SYN_TIMEOUT;
        if (out->tcp.flags == 0)
            continue;
        out->kind = TUNNEL_EVENT_TCP;
        out->peer = peer;
        return true;
    }
    return false;
}
