/* tcp_conn.c - a connection's life: birth, states, death, and what its owner may ask of it.
 *
 * A connection has two users, the network side and its owner, and is freed when both are done. The network side ends in
 * CLOSED or, leaving a tcp_timewait behind, in TIME-WAIT; the owner ends with tcp_release or tcp_abort. An orderly end
 * is no event of its own: the owner saw EOF and DRAINED. With an error it gets CLOSED.
 *
 * Memory: the struct, and while bytes are held chunks of the pool, while it sends a tcp_sender and the scoreboard,
 * while there is a hole the list of early ranges. An idle connection owns the struct alone. */
#include "common/tcp/tcp_conn_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/ip/ip.h"
#include "common/tcp/tcp_isn.h"
#include "common/tcp/tcp_timewait.h"

const char *tcp_state_name(enum tcp_state state)
{
    static const char *const names[] = {
        [TCP_CLOSED] = "CLOSED",         [TCP_SYN_SENT] = "SYN-SENT",     [TCP_SYN_RECEIVED] = "SYN-RECEIVED",
        [TCP_ESTABLISHED] = "ESTABLISHED", [TCP_FIN_WAIT_1] = "FIN-WAIT-1", [TCP_FIN_WAIT_2] = "FIN-WAIT-2",
        [TCP_CLOSE_WAIT] = "CLOSE-WAIT", [TCP_CLOSING] = "CLOSING",       [TCP_LAST_ACK] = "LAST-ACK",
        [TCP_TIME_WAIT] = "TIME-WAIT",
    };

    return names[state];
}

/* -- birth ----------------------------------------------------------------------------------------------------- */

struct tcp_conn *tcp_conn_new(struct tcp_peer *peer, const struct addrport *local, const struct addrport *remote,
                              ts_t now)
{
    struct tcp_stack *stack = peer->stack;
    struct tcp_conn *c = tcp_stack_full(stack) ? NULL : calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->stack = stack;
    c->peer = peer;
    c->local = *local;
    c->remote = *remote;
    list_init(&c->ready_link);
    list_init(&c->event_link);
    list_init(&c->wait_link);
    list_init(&c->peer_link);
    list_append(&peer->conns, &c->peer_link);
    peer->conns_count++;
    timer_init(&c->timer);
    for (int i = 0; i < TCP_TIMER_COUNT; i++)
        c->at[i] = TS_NEVER;
    c->iss = tcp_isn(&stack->isn_secret, local, remote, now);
    c->ts_offset = tcp_ts_offset(&stack->ts_secret, &local->addr, &remote->addr);
    tcp_sendq_init(&c->sendq);
    tcp_recvq_init(&c->recvq);
    tcp_rtt_init(&c->rtt);
    c->mss = c->mss_agreed = TCP_MSS_DEFAULT;
    c->mss_retry_at = TS_NEVER;
    tcp_window_init(&c->window, stack->config.recv_window_max);
    c->rcv_fin = UINT64_MAX;
    c->stalled_since = TS_NEVER;
    c->heard_at = now;
    map_insert(&stack->conns, &c->node, tcp_stack_hash(stack, peer, local, remote));
    c->attached = true;
    stack->stats.conns++;
    return c;
}

struct tcp_conn *tcp_connect(struct tcp_stack *stack, const struct tcp_dial *dial, int *err, ts_t now)
{
    struct addrport local = {.addr = dial->local};
    int port;

    BUG_ON(dial->peer->stack != stack || addr_is_v4(&dial->local) != addr_is_v4(&dial->remote.addr));
    now = tcp_stack_clock(stack, now);
    if (tcp_stack_full(stack)) {
        *err = ERR_FULL;
        return NULL;
    }
    for (;;) {
        port = tcp_ports_take(&stack->ports, &dial->local, &dial->remote, now);
        if (port < 0) {
            *err = port;
            return NULL;
        }
        local.port = (uint16_t)port;
        if (!tcp_timewait_find(stack, dial->peer, &local, &dial->remote) &&
            !tcp_stack_find(stack, dial->peer, &local, &dial->remote))
            break;
        tcp_ports_put(&stack->ports, &local, &dial->remote, now); /* its TIME-WAIT was prolonged: rest again */
    }
    struct tcp_conn *c = tcp_conn_new(dial->peer, &local, &dial->remote, now);

    if (!c) {
        tcp_ports_put(&stack->ports, &local, &dial->remote, now);
        *err = ERR_NOMEM;
        return NULL;
    }
    c->ctx = dial->ctx;
    c->port_taken = true;
    c->ts_ok = c->sack_ok = c->shift_ok = true;
    c->window.shift = tcp_window_shift_for(stack->config.recv_window_max);
    c->syn_due = true;
    c->stalled_since = now;
    tcp_conn_state_set(c, TCP_SYN_SENT, "connect");
    tcp_conn_settle(c);
    *err = 0;
    return c;
}

/* -- state ----------------------------------------------------------------------------------------------------- */

static bool step_exists(enum tcp_state from, enum tcp_state to)
{
#define TO(state) (1u << (state))
    static const unsigned next[] = { /* RFC 9293 figure 5; any state may end in CLOSED */
        [TCP_CLOSED] = TO(TCP_SYN_SENT) | TO(TCP_SYN_RECEIVED),
        [TCP_SYN_SENT] = TO(TCP_SYN_RECEIVED) | TO(TCP_ESTABLISHED),
        [TCP_SYN_RECEIVED] = TO(TCP_ESTABLISHED),
        [TCP_ESTABLISHED] = TO(TCP_FIN_WAIT_1) | TO(TCP_CLOSE_WAIT),
        [TCP_FIN_WAIT_1] = TO(TCP_FIN_WAIT_2) | TO(TCP_CLOSING) | TO(TCP_TIME_WAIT),
        [TCP_FIN_WAIT_2] = TO(TCP_TIME_WAIT),
        [TCP_CLOSE_WAIT] = TO(TCP_LAST_ACK),
        [TCP_CLOSING] = TO(TCP_TIME_WAIT),
        [TCP_LAST_ACK] = 0,
        [TCP_TIME_WAIT] = 0,
    };
#undef TO

    return to == TCP_CLOSED || next[from] & 1u << to;
}

void tcp_conn_state_set(struct tcp_conn *c, enum tcp_state to, const char *cause)
{
    BUG_ON(!step_exists(c->state, to));
    log_trace("tcp", "port=%u from=%s to=%s cause=\"%s\"", c->local.port, tcp_state_name(c->state),
              tcp_state_name(to), cause);
    c->state = to;
    if (to == TCP_TIME_WAIT) {
        tcp_timewait_enter(c, c->stack->now);
        for (int i = 0; i < TCP_TIMER_COUNT; i++)
            c->at[i] = TS_NEVER;
    }
}

void tcp_conn_not_half_open(struct tcp_conn *c)
{
    if (!c->passive || c->announced || list_empty(&c->wait_link))
        return;
    list_remove(&c->wait_link);
    tcp_stack_listener(c->stack, c->local.port)->half_open_count--;
}

void tcp_conn_announce(struct tcp_conn *c)
{
    struct tcp_listener *l = tcp_stack_listener(c->stack, c->local.port);

    tcp_conn_not_half_open(c);
    c->announced = true;
    c->ctx = l->ctx;
    tcp_conn_event(c, TCP_EVENT_ACCEPTED);
}

/* What rode on the SYN in vain is new again. A peer that leaves it lying may do so always, and one to which the SYN did
 * not get through may be behind something that stops such ones. */
void tcp_conn_syn_acked(struct tcp_conn *c, uint64_t ack, ts_t now)
{
    c->snd_una = c->snd_nxt = ack;
    tcp_sendq_acked(&c->sendq, c->stack->config.pool, ack);
    if (c->syn_tries == 1) {
        tcp_rtt_sample(&c->rtt, MAX(ts_since(now, c->pace_at), (uint64_t)1), now);
        c->peer->syn_wait_ns = 2 * tcp_rtt_rto(&c->rtt);
        c->peer->syn_wait_until = ts_add(now, TCP_SYN_WAIT_NS);
    }
    if (c->syn_bytes && ack == 1 && !c->passive)
        c->peer->syn_bare_until = ts_add(now, c->syn_tries == 1 ? TCP_SYN_BARE_NS : TCP_SYN_BARE_LOST_NS);
    tcp_conn_established(c, now);
    if (ack == 1)
        return;
    if (ack == tcp_conn_owes(c))
        tcp_conn_event(c, TCP_EVENT_DRAINED);
    tcp_conn_tell_writable(c);
    tcp_stack_feed(c->stack);
}

void tcp_conn_established(struct tcp_conn *c, ts_t now)
{
    tcp_conn_state_set(c, TCP_ESTABLISHED, "handshake done");
    c->at[TCP_TIMER_SEND] = TS_NEVER;
    c->rtt.backoff = 0;
    c->syn_due = false;
    c->stalled_since = tcp_conn_owes(c) > c->snd_una ? now : TS_NEVER;
    c->window.rtt_ns = c->rtt.srtt_ns;
    if (c->passive && !c->announced)
        tcp_conn_announce(c);
    tcp_conn_event(c, TCP_EVENT_CONNECTED);
    if (c->fin_queued)
        tcp_conn_state_set(c, TCP_FIN_WAIT_1, "shut down before established");
}

void tcp_conn_detach(struct tcp_conn *c)
{
    if (!c->attached)
        return;
    map_remove(&c->stack->conns, &c->node);
    if (c->peer->found == c)
        c->peer->found = NULL;
    c->attached = false;
    if (c->port_taken)
        tcp_ports_put(&c->stack->ports, &c->local, &c->remote, c->stack->now);
    c->port_taken = false;
}

/* What came in order stays readable after an orderly end; nothing is left to be sent. */
void tcp_conn_close(struct tcp_conn *c, int error, const char *cause)
{
    if (c->state == TCP_CLOSED)
        return;
    tcp_conn_not_half_open(c);
    if (c->passive && !c->announced)
        c->released = true; /* nobody ever knew of it */
    tcp_conn_state_set(c, TCP_CLOSED, cause);
    tcp_conn_detach(c);
    for (int i = 0; i < TCP_TIMER_COUNT; i++)
        c->at[i] = TS_NEVER;
    c->stalled_since = c->stack->now;
    tcp_sender_drop(c);
    tcp_sendq_deinit(&c->sendq, c->stack->config.pool);
    if (error) {
        tcp_recvq_deinit(&c->recvq, c->stack->config.pool);
        c->error = (int16_t)error;
        tcp_conn_event(c, TCP_EVENT_CLOSED);
    }
    list_remove(&c->wait_link);
    tcp_stack_feed(c->stack);
}

void tcp_conn_reset(struct tcp_conn *c, int error, const char *cause)
{
    /* RFC 9293 section 3.10.5; also from LAST-ACK, whose data may not have arrived */
    if (c->state == TCP_SYN_RECEIVED || tcp_conn_synchronized(c))
        c->rst_due = true;
    if (c->state == TCP_SYN_RECEIVED && c->snd_nxt == 1)
        c->snd_nxt += c->syn_bytes; /* who took them heeds no reset before them; who did not is in the window */
    tcp_conn_close(c, error, cause);
}

void tcp_conn_orphan(struct tcp_conn *c)
{
    tcp_conn_close(c, ERR_CLOSED, "peer removed");
    c->rst_due = false;
    tcp_conn_detach(c);
    list_remove(&c->ready_link);
    list_move(&c->stack->orphans, &c->peer_link);
    c->peer->conns_count--;
    c->peer = NULL;
    if (c->state == TCP_TIME_WAIT)
        c->state = TCP_CLOSED;
    tcp_conn_settle(c);
}

static void destroy(struct tcp_conn *c)
{
    struct tcp_stack *stack = c->stack;

    tcp_conn_detach(c);
    timerq_disarm(&stack->timers, &c->timer);
    list_remove(&c->ready_link);
    list_remove(&c->event_link);
    list_remove(&c->wait_link);
    list_remove(&c->peer_link);
    if (c->peer) {
        c->peer->conns_count--;
        tcp_peer_ready(c->peer);
    }
    tcp_sender_drop(c);
    tcp_sendq_deinit(&c->sendq, stack->config.pool);
    tcp_recvq_deinit(&c->recvq, stack->config.pool);
    stack->stats.conns--;
    free(c);
    tcp_stack_feed(stack);
}

/* A writer stopped by the peer's window asks for it from time to time; RFC 9293 section 3.8.6.1. An acknowledgement that
 * is due meanwhile says nothing about the window: were the timer begun anew for it, a peer's keepalives would put the
 * question off for ever. */
static void persist_settle(struct tcp_conn *c, const struct tcp_plan *plan)
{
    bool stuck = plan->kind == TCP_PLAN_NOTHING && plan->window_closed && tcp_track_empty(tcp_conn_track(c));
    bool waiting = c->at[TCP_TIMER_SEND] != TS_NEVER && c->send_timer == TCP_SEND_PERSIST;

    if (stuck && !waiting) {
        uint64_t wait_ns = tcp_rtt_rto(&c->rtt);

        for (uint8_t i = 0; i < c->persist_backoff && wait_ns < TCP_RTO_MAX_NS; i++)
            wait_ns *= 2;
        c->send_timer = TCP_SEND_PERSIST;
        c->at[TCP_TIMER_SEND] = ts_add(c->stack->now, MIN(wait_ns, TCP_RTO_MAX_NS));
    } else if (!stuck && waiting && plan->kind != TCP_PLAN_PROBE && plan->kind != TCP_PLAN_ACK) {
        c->at[TCP_TIMER_SEND] = TS_NEVER;
    }
}

void tcp_conn_settle(struct tcp_conn *c)
{
    bool dead = c->state == TCP_CLOSED || c->state == TCP_TIME_WAIT;

    if (c->released && dead && !c->rst_due) {
        destroy(c);
        return;
    }
    if (!c->peer)
        return;
    struct tcp_plan plan = tcp_conn_plan(c);
    ts_t next = TS_NEVER;

    if (plan.kind == TCP_PLAN_NOTHING) {
        list_remove(&c->ready_link);
        c->burst = 0;
    } else if (list_empty(&c->ready_link)) {
        list_append(&c->peer->ready, &c->ready_link);
    }
    tcp_peer_ready(c->peer);
    if (tcp_conn_synchronized(c))
        persist_settle(c, &plan);
    c->at[TCP_TIMER_LIFE] = tcp_conn_life_at(c);
    for (int i = 0; i < TCP_TIMER_COUNT; i++)
        next = ts_min(next, c->at[i]);
    timerq_arm(&c->stack->timers, &c->timer, next);
}

void tcp_conn_event(struct tcp_conn *c, unsigned flags)
{
    if (c->released || (c->passive && !c->announced))
        return;
    c->events |= flags;
    if (list_empty(&c->event_link))
        list_append(&c->stack->events, &c->event_link);
}

struct tcp_loss_ctx tcp_conn_loss(struct tcp_conn *c, ts_t now)
{
    return (struct tcp_loss_ctx){
        .loss = &c->tx->loss,
        .track = &c->tx->track,
        .rtt = &c->rtt,
        .cc = &c->tx->cc,
        .rate = &c->tx->rate,
        .una = c->snd_una,
        .nxt = c->snd_nxt,
        .sack = c->sack_ok,
        .now = now,
    };
}

/* -- what the owner asks --------------------------------------------------------------------------------------- */

void tcp_conn_ctx_set(struct tcp_conn *c, void *ctx)
{
    c->ctx = ctx;
}

struct tcp_peer *tcp_conn_peer(const struct tcp_conn *c)
{
    return c->peer;
}

void tcp_conn_local(const struct tcp_conn *c, struct addrport *out)
{
    *out = c->local;
}

void tcp_conn_remote(const struct tcp_conn *c, struct addrport *out)
{
    *out = c->remote;
}

bool tcp_can_write(const struct tcp_conn *c)
{
    switch (c->state) {
    case TCP_SYN_SENT:
    case TCP_SYN_RECEIVED:
    case TCP_ESTABLISHED:
    case TCP_CLOSE_WAIT:
        return !c->fin_queued;
    default:
        return false;
    }
}

/* The queue may hold two congestion windows: one in flight and one to follow, so that it never runs dry while the
 * window grows and a slow node holds little memory. What was sacked stays in the queue until the holes before it are
 * repaired, but needs no window. */
size_t tcp_conn_send_limit(const struct tcp_conn *c)
{
    size_t limit = MAX((size_t)tcp_conn_cwnd(c) * 2, (size_t)TCP_SEND_QUEUE_START);

    return MIN(limit + tcp_track_sacked_bytes(tcp_conn_track(c)), c->stack->config.send_queue_max);
}

static size_t send_room(const struct tcp_conn *c)
{
    size_t limit = tcp_conn_send_limit(c), used = tcp_sendq_used(&c->sendq);

    return limit > used ? limit - used : 0;
}

/* what the pool gives to writers now, in bytes */
static size_t send_memory(const struct tcp_conn *c)
{
    size_t free_chunks = tcp_stack_chunks_free(c->stack), kept = tcp_stack_chunks_kept(c->stack, true);

    return free_chunks > kept ? (free_chunks - kept) * c->stack->config.pool->chunk_bytes : 0;
}

/* the owner wanted more than it got */
static void write_short(struct tcp_conn *c, size_t room)
{
    c->write_wanted = true;
    if (room > 0 && list_empty(&c->wait_link)) /* memory was the reason */
        list_append(&c->stack->starving, &c->wait_link);
}

/* Of `room` in at most `pieces` pieces what makes whole segments with the bytes that wait already, if it makes one: a
 * short one in between would end a train of datagrams. */
static size_t whole_segments(const struct tcp_conn *c, size_t room, int pieces)
{
    size_t chunk = c->stack->config.pool->chunk_bytes;
    size_t waits = c->sendq.end > c->snd_nxt ? (size_t)(c->sendq.end - c->snd_nxt) : 0;

    room = MIN(room, (size_t)pieces * chunk - c->sendq.end % chunk);
    size_t over = (waits + room) % c->mss;

    return room > over ? room - over : room;
}

int tcp_write_room(struct tcp_conn *c, struct iovec *iov, int max, size_t *bytes)
{
    size_t room = tcp_can_write(c) ? send_room(c) : 0;
    int pieces;

    *bytes = whole_segments(c, MIN(room, send_memory(c)), max);
    pieces = tcp_sendq_room(&c->sendq, c->stack->config.pool, iov, max, bytes);
    if (pieces == 0 && tcp_can_write(c))
        write_short(c, room);
    return pieces;
}

void tcp_write_commit(struct tcp_conn *c, size_t len, ts_t now)
{
    now = tcp_stack_clock(c->stack, now);
    BUG_ON(len > 0 && !tcp_can_write(c));
    tcp_sender_limited(c);
    if (len > 0 && c->stalled_since == TS_NEVER)
        c->stalled_since = now;
    tcp_sendq_commit(&c->sendq, c->stack->config.pool, len);
    tcp_conn_settle(c);
}

size_t tcp_write(struct tcp_conn *c, const void *data, size_t len, ts_t now)
{
    if (!tcp_can_write(c) || len == 0)
        return 0;
    now = tcp_stack_clock(c->stack, now);
    tcp_sender_limited(c);
    size_t room = send_room(c);
    size_t n = tcp_sendq_write(&c->sendq, c->stack->config.pool, data, MIN(len, MIN(room, send_memory(c))));

    if (n < len)
        write_short(c, room > n ? room : 0);
    if (n > 0 && c->stalled_since == TS_NEVER)
        c->stalled_since = now;
    tcp_conn_settle(c);
    return n;
}

int tcp_read_iov(const struct tcp_conn *c, struct iovec *iov, int max, size_t *bytes)
{
    size_t left = tcp_recvq_readable(&c->recvq);
    uint64_t at = c->recvq.bytes.base;
    int pieces = 0;

    *bytes = 0;
    while (pieces < max && left > 0) {
        const uint8_t *p;
        size_t n = MIN(stretch_peek(&c->recvq.bytes, c->stack->config.pool, at, &p), left);

        BUG_ON(n == 0);
        iov[pieces++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
        at += n;
        left -= n;
        *bytes += n;
    }
    return pieces;
}

void tcp_consume(struct tcp_conn *c, size_t len, ts_t now)
{
    now = tcp_stack_clock(c->stack, now);
    tcp_recvq_consumed(&c->recvq, c->stack->config.pool, len);
    if ((c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 || c->state == TCP_FIN_WAIT_2) &&
        tcp_window_due(&c->window, c->recvq.bytes.base, tcp_conn_rcv_next(c), c->mss,
                       tcp_stack_scarce(c->stack, 4), c->at[TCP_TIMER_ACK] != TS_NEVER))
        c->ack_due = true;
    tcp_stack_feed(c->stack);
    tcp_conn_settle(c);
}

size_t tcp_readable(const struct tcp_conn *c)
{
    return tcp_recvq_readable(&c->recvq);
}

bool tcp_eof(const struct tcp_conn *c)
{
    return c->fin_received && tcp_recvq_readable(&c->recvq) == 0;
}

static void shut_down(struct tcp_conn *c, ts_t now)
{
    if (c->fin_queued || c->state == TCP_CLOSED)
        return;
    c->fin_queued = true;
    if (c->stalled_since == TS_NEVER)
        c->stalled_since = now;
    if (c->state == TCP_ESTABLISHED)
        tcp_conn_state_set(c, TCP_FIN_WAIT_1, "shutdown");
    else if (c->state == TCP_CLOSE_WAIT)
        tcp_conn_state_set(c, TCP_LAST_ACK, "shutdown");
}

void tcp_shutdown(struct tcp_conn *c, ts_t now)
{
    shut_down(c, tcp_stack_clock(c->stack, now));
    tcp_conn_settle(c);
}

static void owner_gone(struct tcp_conn *c)
{
    c->released = true;
    c->events = 0;
    c->ctx = NULL;
    list_remove(&c->event_link);
    list_remove(&c->wait_link);
}

void tcp_release(struct tcp_conn *c, ts_t now)
{
    if (!c)
        return;
    BUG_ON(c->released);
    now = tcp_stack_clock(c->stack, now);
    owner_gone(c);
    if (c->state == TCP_SYN_SENT)
        tcp_conn_close(c, 0, "released");
    else if (tcp_recvq_readable(&c->recvq) > 0)
        tcp_conn_reset(c, 0, "released with unread bytes"); /* RFC 2525 section 2.17 */
    else
        shut_down(c, now);
    tcp_conn_settle(c);
}

void tcp_abort(struct tcp_conn *c, ts_t now)
{
    if (!c)
        return;
    BUG_ON(c->released);
    tcp_stack_clock(c->stack, now);
    owner_gone(c);
    tcp_conn_reset(c, 0, "abort");
    tcp_conn_settle(c);
}

void tcp_peer_refused(struct tcp_peer *peer, const struct addrport *local, const struct addrport *remote, ts_t now)
{
    struct tcp_conn *c = tcp_stack_find(peer->stack, peer, local, remote);

    tcp_stack_clock(peer->stack, now);
    if (!c || c->state != TCP_SYN_SENT)
        return;
    tcp_conn_close(c, -ECONNREFUSED, "refused by the carrier");
    tcp_conn_settle(c);
}

void tcp_peer_answers(struct tcp_peer *peer, ts_t now)
{
    tcp_stack_clock(peer->stack, now);
    for (struct list *l = peer->conns.next; l != &peer->conns; l = l->next) {
        struct tcp_conn *c = container_of(l, struct tcp_conn, peer_link);

        if (c->state != TCP_SYN_SENT || c->syn_due)
            continue;
        c->syn_due = true;
        c->at[TCP_TIMER_SEND] = TS_NEVER;
        tcp_conn_settle(c);
    }
}

void tcp_conn_info(const struct tcp_conn *c, struct tcp_conn_info *out)
{
    *out = (struct tcp_conn_info){
        .state = tcp_state_name(c->state),
        .congestion = tcp_sender_algorithm(c)->name,
        .srtt_ns = c->rtt.srtt_ns,
        .rto_ns = tcp_rtt_rto(&c->rtt),
        .bytes_sent = c->snd_una ? c->snd_una - 1 : 0,
        .bytes_received = c->recvq.next - 1,
        .bytes_retransmitted = c->bytes_retransmitted,
        .cwnd_bytes = tcp_conn_cwnd(c),
        .pacing_bytes_per_s = c->tx ? c->tx->cc.ops->pacing_rate(&c->tx->cc, tcp_rtt_pace(&c->rtt)) : 0,
        .in_flight_bytes = (uint32_t)(c->snd_nxt - c->snd_una),
        .mss = c->mss,
    };
}

void tcp_conn_check(const struct tcp_conn *c)
{
    BUG_ON(c->snd_una > c->snd_nxt || c->snd_nxt > tcp_conn_owes(c));
    tcp_recvq_check(&c->recvq);
    BUG_ON(c->sendq.bytes.base > c->sendq.end);
    if (c->state == TCP_CLOSED || c->state == TCP_TIME_WAIT) {
        BUG_ON(c->attached || !tcp_track_empty(tcp_conn_track(c)));
        return;
    }
    BUG_ON(!c->attached);
    if (!tcp_conn_synchronized(c)) {
        BUG_ON(!tcp_track_empty(tcp_conn_track(c)));
        return;
    }
    tcp_track_check(tcp_conn_track(c), c->snd_una, c->snd_nxt);
    BUG_ON(c->sendq.bytes.base != MIN(c->snd_una, c->sendq.end));
    BUG_ON(c->fin_received && c->recvq.early);
    BUG_ON(c->window.edge < tcp_conn_rcv_next(c) - c->fin_received);
    /* whatever is owed, something is going to happen: a packet, or a timer */
    BUG_ON(c->snd_una < tcp_conn_owes(c) && list_empty(&c->ready_link) && c->at[TCP_TIMER_SEND] == TS_NEVER &&
           c->at[TCP_TIMER_PACE] == TS_NEVER);
}
