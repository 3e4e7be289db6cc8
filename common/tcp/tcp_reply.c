/* tcp_reply.c - a few slots, which peers hold in lists. */
#include "common/tcp/tcp_reply.h"

#include "common/base/bucket.h"
#include "common/base/bug.h"
#include "common/ip/ip.h"
#include "common/tcp/tcp_conn_priv.h"

void tcp_replies_init(struct tcp_replies *r)
{
    for (uint16_t n = 1; n <= TCP_REPLY_SLOTS; n++)
        r->slot[n - 1].next = n < TCP_REPLY_SLOTS ? n + 1 : 0;
    r->free = 1;
}

/* false: all slots are taken, or the peer is blocked */
static bool put(struct tcp_replies *r, const struct tcp_reply *reply)
{
    struct tcp_peer *peer = reply->peer;
    uint16_t n = r->free;

    if (n == 0 || peer->blocked)
        return false;
    r->free = r->slot[n - 1].next;
    r->slot[n - 1] = *reply;
    r->slot[n - 1].next = 0;
    if (peer->replies_first)
        r->slot[peer->replies_last - 1].next = n;
    else
        peer->replies_first = n;
    peer->replies_last = n;
    return true;
}

static void timer_arm(struct tcp_stack *stack)
{
    struct list *l = list_first(&stack->replies_wait);
    ts_t at = l ? container_of(l, struct tcp_peer, replies_wait)->replies_due : TS_NEVER;

    timerq_arm(&stack->timers, &stack->replies_timer, at);
}

static void wait_no_longer(struct tcp_peer *peer)
{
    if (list_empty(&peer->replies_wait))
        return;
    list_remove(&peer->replies_wait);
    timer_arm(peer->stack);
}

void tcp_replies_go(struct tcp_peer *peer)
{
    wait_no_longer(peer);
    tcp_peer_ready(peer);
}

void tcp_replies_owe(struct tcp_replies *r, const struct tcp_reply *reply, ts_t now)
{
    struct tcp_peer *peer = reply->peer;
    bool first = !peer->replies_first;

    if (!put(r, reply))
        return;
    if (r->free == 0)
        tcp_replies_expire(peer->stack, TS_NEVER); /* nobody's reset shall want for room */
    if (!first || r->free == 0) {
        tcp_peer_ready(peer);
        return;
    }
    peer->replies_due = ts_add(now, TCP_REPLY_WAIT_NS);
    list_append(&peer->stack->replies_wait, &peer->replies_wait);
    timer_arm(peer->stack);
}

void tcp_replies_expire(struct tcp_stack *stack, ts_t now)
{
    struct list *l;

    while ((l = list_first(&stack->replies_wait)) && container_of(l, struct tcp_peer, replies_wait)->replies_due <= now)
        tcp_replies_go(container_of(l, struct tcp_peer, replies_wait));
    timer_arm(stack);
}

bool tcp_replies_add(struct tcp_replies *r, const struct tcp_reply *reply, ts_t now)
{
    uint64_t cost_ns = TS_S / TCP_REPLY_PER_S;

    if (!r->free || !bucket_draw(&reply->peer->replies_full_at, cost_ns, cost_ns * TCP_REPLY_BURST, now) ||
        !put(r, reply))
        return false;
    tcp_replies_go(reply->peer);
    return true;
}

bool tcp_replies_reset(struct tcp_replies *r, struct tcp_peer *peer, const struct addrport *local,
                       const struct addrport *remote, const struct tcp_header *h, size_t payload_len, ts_t now)
{
    struct tcp_reply reply = {.peer = peer, .local = *local, .remote = *remote, .flags = TCP_RST};

    if (h->flags & TCP_RST)
        return false;
    if (h->flags & TCP_ACK) {
        reply.seq = h->ack;
    } else {
        reply.flags |= TCP_ACK;
        reply.ack = h->seq + (uint32_t)payload_len + !!(h->flags & TCP_SYN) + !!(h->flags & TCP_FIN);
    }
    return tcp_replies_add(r, &reply, now);
}

/* the peer's first one leaves its slot, which may be filled again after the next call */
static const struct tcp_reply *take(struct tcp_replies *r, struct tcp_peer *peer)
{
    uint16_t n = peer->replies_first;

    if (n == 0)
        return NULL;
    peer->replies_first = r->slot[n - 1].next;
    r->slot[n - 1].next = r->free;
    r->free = n;
    return &r->slot[n - 1];
}

size_t tcp_replies_output(struct tcp_replies *r, struct tcp_peer *peer, uint8_t *buf, size_t cap)
{
    const struct tcp_reply *x = take(r, peer);

    if (!x)
        return 0;
    struct tcp_header h = {
        .src_port = x->local.port,
        .dst_port = x->remote.port,
        .seq = x->seq,
        .ack = x->ack,
        .flags = x->flags,
        .window = x->window,
        .has_timestamp = x->has_timestamp,
        .ts_value = x->ts_value,
        .ts_echo = x->ts_echo,
    };
    size_t len = tcp_header_len(&h), ip_len = ip_header_len(&x->local.addr);

    BUG_ON(ip_len + len > cap);
    ip_header_write(buf, &x->local.addr, &x->remote.addr, IP_PROTOCOL_TCP, len);
    tcp_header_write(&h, buf + ip_len);
    tcp_checksum_put(buf + ip_len, len, ip_pseudo_sum(&x->local.addr, &x->remote.addr, IP_PROTOCOL_TCP, len));
    return ip_len + len;
}

void tcp_replies_forget(struct tcp_replies *r, struct tcp_peer *peer)
{
    while (take(r, peer))
        ;
    wait_no_longer(peer);
}
