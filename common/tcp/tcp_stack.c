/* tcp_stack.c - everything that is about more than one connection.
 *
 * Input: IP and TCP headers are checked, then the segment belongs to a connection, a TIME-WAIT, a listener, or nobody.
 * Output: peers in turn, and of each peer its connections in turn, TCP_BURST segments at most before the next one, and
 * TCP_PEER_BURST and then the replies (they are few) before the next peer. A blocked peer is not in the queue of peers,
 * so it costs nothing.
 * Time: one heap of deadlines, one timer a connection (the earliest of its four), one for all of TIME-WAIT, one for the
 * replies that wait for company. */
#include "common/tcp/tcp.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/ip/checksum.h"
#include "common/ip/ip.h"
#include "common/tcp/tcp_conn_priv.h"
#include "common/tcp/tcp_timewait.h"

const char *tcp_in_name(enum tcp_in in)
{
    static const char *const names[] = {
#define X(name, text) text,
        TCP_IN_MAP(X)
#undef X
    };

    return in < TCP_IN_COUNT ? names[in] : "?";
}

void tcp_config_default(struct tcp_config *config)
{
    *config = (struct tcp_config){
        .recv_window_max = 8u << 20,
        .send_queue_max = 8u << 20,
        .conns_max = 131072,
        .port_first = 1024,
        .port_last = 65535,
        .time_wait_ns = 60 * TS_S,
        .user_timeout_ns = 120 * TS_S,
        .keepalive_idle_ns = 7200 * TS_S,
    };
}

struct tcp_stack *tcp_stack_new(const struct tcp_config *config)
{
    struct tcp_stack *stack = calloc(1, sizeof(*stack));

    if (!stack)
        return NULL;
    BUG_ON(!config->rng || !config->pool || config->recv_window_max == 0 || config->send_queue_max == 0);
    stack->config = *config;
    map_init(&stack->conns);
    map_init(&stack->time_waits);
    list_init(&stack->ready_peers);
    list_init(&stack->events);
    list_init(&stack->starving);
    list_init(&stack->replies_wait);
    list_init(&stack->orphans);
    list_init(&stack->time_wait_order);
    timerq_init(&stack->timers);
    timer_init(&stack->time_wait_timer);
    timer_init(&stack->replies_timer);
    rng_fill(config->rng, &stack->map_seed, sizeof(stack->map_seed));
    rng_fill(config->rng, &stack->isn_secret, sizeof(stack->isn_secret));
    rng_fill(config->rng, &stack->ts_secret, sizeof(stack->ts_secret));
    tcp_ports_init(&stack->ports, config->port_first, config->port_last, config->time_wait_ns, config->rng);
    tcp_replies_init(&stack->replies);
    return stack;
}

void tcp_stack_free(struct tcp_stack *stack)
{
    struct list *l;

    if (!stack)
        return;
    BUG_ON(stack->conns.count || stack->time_waits.count);
    while ((l = list_first(&stack->orphans))) {
        struct tcp_conn *c = container_of(l, struct tcp_conn, peer_link);

        c->released = true;
        tcp_conn_settle(c);
    }
    while (stack->listeners)
        tcp_listen_stop(stack, stack->listeners->port);
    map_deinit(&stack->conns);
    map_deinit(&stack->time_waits);
    tcp_ports_deinit(&stack->ports);
    free(stack);
}

ts_t tcp_stack_clock(struct tcp_stack *stack, ts_t now)
{
    stack->now = ts_max(stack->now, now);
    return stack->now;
}

/* -- peers ----------------------------------------------------------------------------------------------------- */

void tcp_peer_init(struct tcp_peer *peer, struct tcp_stack *stack, void *owner, uint16_t mtu)
{
    BUG_ON(mtu < TCP_PEER_MTU_MIN);
    *peer = (struct tcp_peer){.stack = stack, .owner = owner, .mtu = mtu};
    list_init(&peer->conns);
    list_init(&peer->time_waits);
    list_init(&peer->ready);
    list_init(&peer->ready_link);
    list_init(&peer->replies_wait);
}

void tcp_peer_deinit(struct tcp_peer *peer, ts_t now)
{
    struct list *l;

    tcp_stack_clock(peer->stack, now);
    while ((l = list_first(&peer->conns)))
        tcp_conn_orphan(container_of(l, struct tcp_conn, peer_link));
    while ((l = list_first(&peer->time_waits)))
        tcp_timewait_free(container_of(l, struct tcp_timewait, peer_link));
    list_remove(&peer->ready_link);
    tcp_replies_forget(&peer->stack->replies, peer);
}

void tcp_peer_ready(struct tcp_peer *peer)
{
    bool replies = peer->replies_first && list_empty(&peer->replies_wait);

    if (peer->blocked || (list_empty(&peer->ready) && !replies))
        list_remove(&peer->ready_link);
    else if (list_empty(&peer->ready_link))
        list_append(&peer->stack->ready_peers, &peer->ready_link);
}

void tcp_peer_block(struct tcp_peer *peer, bool blocked)
{
    peer->blocked = blocked;
    if (blocked)
        tcp_replies_forget(&peer->stack->replies, peer);
    tcp_peer_ready(peer);
}

bool tcp_peer_wants_output(const struct tcp_peer *peer)
{
    return !list_empty(&peer->ready);
}

/* -- look-up --------------------------------------------------------------------------------------------------- */

uint64_t tcp_stack_hash(const struct tcp_stack *stack, const struct tcp_peer *peer, const struct addrport *local,
                        const struct addrport *remote)
{
    uint8_t key[36 + sizeof(peer)];

    memcpy(key, local->addr.b, 16);
    memcpy(key + 16, remote->addr.b, 16);
    be16_put(key + 32, local->port);
    be16_put(key + 34, remote->port);
    memcpy(key + 36, &peer, sizeof(peer));
    return map_hash(&stack->map_seed, key, sizeof(key));
}

static bool is_of(const struct tcp_conn *c, const struct tcp_peer *peer, const struct addrport *local,
                  const struct addrport *remote)
{
    return c->peer == peer && addrport_equal(&c->local, local) && addrport_equal(&c->remote, remote);
}

struct tcp_conn *tcp_stack_find(const struct tcp_stack *stack, const struct tcp_peer *peer,
                                const struct addrport *local, const struct addrport *remote)
{
    struct map_node *n = map_first(&stack->conns, tcp_stack_hash(stack, peer, local, remote));

    for (; n; n = map_next(n)) {
        struct tcp_conn *c = container_of(n, struct tcp_conn, node);

        if (is_of(c, peer, local, remote))
            return c;
    }
    return NULL;
}

/* Segments come in trains: mostly it is the connection of the one before. */
static struct tcp_conn *find_for_segment(const struct tcp_stack *stack, struct tcp_peer *peer,
                                         const struct addrport *local, const struct addrport *remote)
{
    if (!peer->found || !is_of(peer->found, peer, local, remote))
        peer->found = tcp_stack_find(stack, peer, local, remote);
    return peer->found;
}

bool tcp_stack_full(struct tcp_stack *stack)
{
    struct list *l = list_first(&stack->time_wait_order);

    if (stack->stats.conns + stack->stats.time_wait < stack->config.conns_max)
        return false;
    if (!l)
        return true;
    /* its port still rests in tcp_ports, so nobody takes it too early */
    tcp_timewait_free(container_of(l, struct tcp_timewait, order));
    return false;
}

/* -- listeners ------------------------------------------------------------------------------------------------- */

struct tcp_listener *tcp_stack_listener(const struct tcp_stack *stack, uint16_t port)
{
    struct tcp_listener *l = stack->listeners;

    while (l && l->port != port)
        l = l->next;
    return l;
}

int tcp_listen(struct tcp_stack *stack, uint16_t port, uint32_t backlog, void *ctx)
{
    struct tcp_listener *l;

    if (tcp_stack_listener(stack, port))
        return ERR_EXISTS;
    l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_FULL;
    *l = (struct tcp_listener){.next = stack->listeners, .port = port, .backlog = backlog, .ctx = ctx};
    list_init(&l->half_open);
    stack->listeners = l;
    return 0;
}

void tcp_listen_stop(struct tcp_stack *stack, uint16_t port)
{
    struct tcp_listener **at = &stack->listeners;

    while (*at && (*at)->port != port)
        at = &(*at)->next;
    if (!*at)
        return;
    struct tcp_listener *l = *at;

    struct list *half_open;

    while ((half_open = list_first(&l->half_open))) {
        struct tcp_conn *c = container_of(half_open, struct tcp_conn, wait_link);

        tcp_conn_reset(c, ERR_CLOSED, "listener stopped");
        tcp_conn_settle(c);
    }
    *at = l->next;
    free(l);
}

/* -- input ----------------------------------------------------------------------------------------------------- */

static enum tcp_in stranger(struct tcp_stack *stack, struct tcp_peer *peer, const struct addrport *local,
                            const struct addrport *remote, const struct tcp_header *h, const uint8_t *payload,
                            size_t len, ts_t now)
{
    struct tcp_timewait *tw = tcp_timewait_find(stack, peer, local, remote);
    struct tcp_listener *l = tcp_stack_listener(stack, local->port);
    bool syn = (h->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;

    if (tw) {
        bool reopen;
        enum tcp_in in = tcp_timewait_input(tw, h, len, &reopen, now);

        if (!reopen)
            return in;
    }
    if (syn && l && l->half_open_count < l->backlog && !tcp_stack_full(stack))
        return tcp_listener_input(l, peer, local, remote, h, payload, len, now);
    if (tcp_replies_reset(&stack->replies, peer, local, remote, h, len, now))
        stack->stats.resets_out++;
    return syn ? TCP_IN_REFUSED : TCP_IN_UNKNOWN;
}

enum tcp_in tcp_stack_input(struct tcp_stack *stack, struct tcp_peer *peer, const uint8_t *packet, size_t len, ts_t now)
{
    struct ip_packet ip;
    struct tcp_header h;
    const uint8_t *payload;
    size_t payload_len;
    int err = ip_parse(packet, len, &ip);

    now = tcp_stack_clock(stack, now);
    if (err)
        return err == ERR_TOO_LARGE ? TCP_IN_FRAGMENT : TCP_IN_MALFORMED;
    if (ip.protocol != IP_PROTOCOL_TCP)
        return TCP_IN_NOT_TCP;
    uint64_t pseudo = ip_pseudo_sum(&ip.src, &ip.dst, IP_PROTOCOL_TCP, ip.payload_len);

    if (tcp_header_parse(ip.payload, ip.payload_len, &h, &payload, &payload_len) != 0)
        return TCP_IN_MALFORMED;
    if (checksum_fold(checksum_add(pseudo, ip.payload, ip.payload_len)) != 0)
        return TCP_IN_CHECKSUM;
    if (h.src_port == 0 || h.dst_port == 0)
        return TCP_IN_MALFORMED;

    struct addrport local = {.addr = ip.dst, .port = h.dst_port}, remote = {.addr = ip.src, .port = h.src_port};
    struct tcp_conn *c = find_for_segment(stack, peer, &local, &remote);

    stack->stats.segments_in++;
    if (!c)
        return stranger(stack, peer, &local, &remote, &h, payload, payload_len, now);
    enum tcp_in in = tcp_conn_input(c, &h, payload, payload_len, now);

    tcp_conn_settle(c);
    return in;
}

/* -- output ---------------------------------------------------------------------------------------------------- */

/* whoever had its turn goes to the end of its queue */
static void conn_turn_over(struct tcp_conn *c)
{
    if (++c->burst < TCP_BURST)
        return;
    list_move(&c->peer->ready, &c->ready_link);
    c->burst = 0;
}

static void peer_turn_over(struct tcp_peer *peer)
{
    if (!list_empty(&peer->ready_link))
        list_move(&peer->stack->ready_peers, &peer->ready_link);
    peer->burst = 0;
}

struct tcp_peer *tcp_stack_ready(const struct tcp_stack *stack)
{
    struct list *l = list_first(&stack->ready_peers);

    return l ? container_of(l, struct tcp_peer, ready_link) : NULL;
}

static size_t output_conn(struct tcp_peer *peer, uint8_t *buf, size_t cap, ts_t now)
{
    struct tcp_conn *c = container_of(list_first(&peer->ready), struct tcp_conn, ready_link);
    size_t len = tcp_conn_output(c, buf, cap, now);

    if (len > 0) {
        peer->burst++;
        tcp_replies_go(peer); /* company */
    }
    conn_turn_over(c);
    tcp_conn_settle(c);
    return len;
}

static size_t output_reply(struct tcp_peer *peer, uint8_t *buf, size_t cap)
{
    tcp_replies_go(peer);
    size_t len = tcp_replies_output(&peer->stack->replies, peer, buf, cap);

    tcp_peer_ready(peer);
    return len;
}

size_t tcp_stack_output(struct tcp_stack *stack, uint8_t *buf, size_t cap, struct tcp_peer **peer, ts_t now)
{
    struct tcp_peer *p;
    size_t len = 0;

    now = tcp_stack_clock(stack, now);
    while (len == 0 && (p = tcp_stack_ready(stack))) {
        BUG_ON(cap < p->mtu);
        *peer = p;
        if (!list_empty(&p->ready) && p->burst < TCP_PEER_BURST)
            len = output_conn(p, buf, cap, now);
        else
            len = output_reply(p, buf, cap);
        if (p->burst >= TCP_PEER_BURST && !p->replies_first)
            peer_turn_over(p);
    }
    stack->stats.segments_out += len > 0;
    return len;
}

/* -- time ------------------------------------------------------------------------------------------------------ */

ts_t tcp_stack_deadline(const struct tcp_stack *stack)
{
    return timerq_next(&stack->timers);
}

void tcp_stack_expire(struct tcp_stack *stack, ts_t now)
{
    struct timer *t;

    now = tcp_stack_clock(stack, now);
    while ((t = timerq_pop(&stack->timers, now))) {
        if (t == &stack->time_wait_timer) {
            tcp_timewait_expire(stack, now);
        } else if (t == &stack->replies_timer) {
            tcp_replies_expire(stack, now);
        } else {
            struct tcp_conn *c = container_of(t, struct tcp_conn, timer);

            tcp_conn_expire(c, now);
            tcp_conn_settle(c);
        }
    }
}

/* -- events ---------------------------------------------------------------------------------------------------- */

void tcp_stack_feed(struct tcp_stack *stack)
{
    size_t chunks = tcp_stack_chunks_free(stack), kept = tcp_stack_chunks_kept(stack, true);
    struct list *l;

    for (; chunks > kept && (l = list_first(&stack->starving)); chunks--) {
        list_remove(l);
        tcp_conn_event(container_of(l, struct tcp_conn, wait_link), TCP_EVENT_WRITABLE);
    }
}

bool tcp_stack_event(struct tcp_stack *stack, struct tcp_event *out)
{
    struct list *l;

    tcp_stack_feed(stack);
    l = list_first(&stack->events);
    if (!l)
        return false;
    struct tcp_conn *c = container_of(l, struct tcp_conn, event_link);

    *out = (struct tcp_event){.conn = c, .ctx = c->ctx, .flags = c->events, .error = c->error};
    c->events = 0;
    list_remove(l);
    return true;
}

void tcp_stack_stats(const struct tcp_stack *stack, struct tcp_stack_stats *out)
{
    *out = stack->stats;
}
