/* tcp_timewait.c - RFC 9293 section 3.10.7.4 as far as it concerns TIME-WAIT, with RFC 1337 and RFC 6191. */
#include "common/tcp/tcp_timewait.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/bug.h"

static_assert(sizeof(struct tcp_timewait) <= 128, "TIME-WAIT is meant to be small");

static uint32_t ms(ts_t t)
{
    return (uint32_t)(t / TS_MS);
}

static void timer_arm(struct tcp_stack *stack, ts_t now)
{
    struct list *l = list_first(&stack->time_wait_order);

    if (!l) {
        timerq_disarm(&stack->timers, &stack->time_wait_timer);
        return;
    }
    int32_t left_ms = (int32_t)(container_of(l, struct tcp_timewait, order)->until_ms - ms(now));

    timerq_arm(&stack->timers, &stack->time_wait_timer, (now / TS_MS + (uint64_t)MAX(left_ms, 0)) * TS_MS);
}

static void wait_start(struct tcp_timewait *tw, ts_t now)
{
    struct tcp_stack *stack = tw->peer->stack;

    list_remove(&tw->order);
    /* one tick more than asked: the clock's part below a millisecond is cut off */
    tw->until_ms = ms(now) + (uint32_t)(stack->config.time_wait_ns / TS_MS) + 1;
    list_append(&stack->time_wait_order, &tw->order);
    timer_arm(stack, now);
}

void tcp_timewait_enter(struct tcp_conn *c, ts_t now)
{
    struct tcp_stack *stack = c->stack;
    struct tcp_timewait *tw = malloc(sizeof(*tw));

    BUG_ON(!c->attached);
    tcp_conn_detach(c); /* the port's rest begins with its last use: tcp_connect looks whether the wait was prolonged */
    if (!tw)
        return;
    *tw = (struct tcp_timewait){
        .peer = c->peer,
        .local = c->local,
        .remote = c->remote,
        .snd_nxt = c->iss + (uint32_t)c->snd_nxt,
        .rcv_nxt = c->irs + (uint32_t)tcp_conn_rcv_next(c),
        .ts_recent = c->ts_recent,
        .ts_offset = c->ts_offset,
        .ts_ok = c->ts_ok,
    };
    list_init(&tw->order);
    list_init(&tw->peer_link);
    list_append(&c->peer->time_waits, &tw->peer_link);
    map_insert(&stack->time_waits, &tw->node, tcp_stack_hash(stack, tw->peer, &tw->local, &tw->remote));
    stack->stats.time_wait++;
    wait_start(tw, now);
}

struct tcp_timewait *tcp_timewait_find(const struct tcp_stack *stack, const struct tcp_peer *peer,
                                       const struct addrport *local, const struct addrport *remote)
{
    struct map_node *n;

    if (stack->time_waits.count == 0)
        return NULL;
    n = map_first(&stack->time_waits, tcp_stack_hash(stack, peer, local, remote));
    for (; n; n = map_next(n)) {
        struct tcp_timewait *tw = container_of(n, struct tcp_timewait, node);

        if (tw->peer == peer && addrport_equal(&tw->local, local) && addrport_equal(&tw->remote, remote))
            return tw;
    }
    return NULL;
}

void tcp_timewait_free(struct tcp_timewait *tw)
{
    struct tcp_stack *stack = tw->peer->stack;

    map_remove(&stack->time_waits, &tw->node);
    list_remove(&tw->order);
    list_remove(&tw->peer_link);
    stack->stats.time_wait--;
    free(tw);
}

static void acknowledge(const struct tcp_timewait *tw, ts_t now)
{
    struct tcp_reply reply = {
        .peer = tw->peer,
        .local = tw->local,
        .remote = tw->remote,
        .seq = tw->snd_nxt,
        .ack = tw->rcv_nxt,
        .flags = TCP_ACK,
        .has_timestamp = tw->ts_ok,
        .ts_value = ms(now) + tw->ts_offset,
        .ts_echo = tw->ts_recent,
    };

    tcp_replies_add(&tw->peer->stack->replies, &reply, now);
}

enum tcp_in tcp_timewait_input(struct tcp_timewait *tw, const struct tcp_header *h, size_t len, bool *reopen, ts_t now)
{
    bool newer = h->has_timestamp && tw->ts_ok ? (int32_t)(h->ts_value - tw->ts_recent) > 0
                                               : (int32_t)(h->seq - tw->rcv_nxt) > 0;

    *reopen = false;
    /* RFC 1337 fix: a reset does not end the wait */
    if (h->flags & TCP_RST)
        return TCP_IN_OK;
    /* RFC 6191 section 2, RFC 9293 section 3.10.7.4 */
    if ((h->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && newer) {
        tcp_timewait_free(tw);
        *reopen = true;
        return TCP_IN_OK;
    }
    if (h->flags & TCP_FIN || len > 0 || h->flags & TCP_SYN) {
        acknowledge(tw, now);
        if (h->flags & TCP_FIN && (int32_t)(h->seq + (uint32_t)len + 1 - tw->rcv_nxt) == 0)
            wait_start(tw, now);
    }
    return TCP_IN_OK;
}

void tcp_timewait_expire(struct tcp_stack *stack, ts_t now)
{
    struct list *l;

    while ((l = list_first(&stack->time_wait_order))) {
        struct tcp_timewait *tw = container_of(l, struct tcp_timewait, order);

        if ((int32_t)(tw->until_ms - ms(now)) > 0)
            break;
        tcp_timewait_free(tw);
    }
    timer_arm(stack, now);
}
