/* tcp_reply.c - a small ring in front of the output of connections. */
#include "common/tcp/tcp_reply.h"

#include "common/base/bucket.h"
#include "common/base/bug.h"
#include "common/ip/ip.h"

void tcp_replies_init(struct tcp_replies *r)
{
    r->first = 0;
    r->count = 0;
}

bool tcp_replies_add(struct tcp_replies *r, const struct tcp_reply *reply, ts_t now)
{
    uint64_t cost_ns = TS_S / TCP_REPLY_PER_S;

    if (r->count == TCP_REPLY_SLOTS ||
        !bucket_draw(&reply->peer->replies_full_at, cost_ns, cost_ns * TCP_REPLY_BURST, now))
        return false;
    r->slot[(r->first + r->count++) % TCP_REPLY_SLOTS] = *reply;
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

size_t tcp_replies_output(struct tcp_replies *r, uint8_t *buf, size_t cap, struct tcp_peer **peer)
{
    while (r->count > 0) {
        const struct tcp_reply *x = &r->slot[r->first];
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

        r->first = (r->first + 1) % TCP_REPLY_SLOTS;
        r->count--;
        if (!x->peer || x->peer->blocked || ip_len + len > cap)
            continue;
        ip_header_write(buf, &x->local.addr, &x->remote.addr, IP_PROTOCOL_TCP, len);
        tcp_header_write(&h, buf + ip_len);
        tcp_checksum_put(buf + ip_len, len, ip_pseudo_sum(&x->local.addr, &x->remote.addr, IP_PROTOCOL_TCP, len));
        *peer = x->peer;
        return ip_len + len;
    }
    return 0;
}

struct tcp_peer *tcp_replies_peer(const struct tcp_replies *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct tcp_peer *peer = r->slot[(r->first + i) % TCP_REPLY_SLOTS].peer;

        if (peer && !peer->blocked)
            return peer;
    }
    return NULL;
}

void tcp_replies_forget(struct tcp_replies *r, const struct tcp_peer *peer)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct tcp_reply *x = &r->slot[(r->first + i) % TCP_REPLY_SLOTS];

        if (x->peer == peer)
            x->peer = NULL;
    }
}
