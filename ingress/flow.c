#include "ingress/flow.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"

#define DETAIL (PEERAPI_REASON_MAX + 16)

static void detach(struct flow *flow, ts_t now)
{
    struct worker *worker = flow->worker;
    struct link *link = flow->link;

    if (flow->prev)
        flow->prev->next = flow->next;
    else
        worker->flows = flow->next;
    if (flow->next)
        flow->next->prev = flow->prev;
    worker->flows_count--;
    if (flow->link_prev)
        flow->link_prev->link_next = flow->link_next;
    else
        link->flows = flow->link_next;
    if (flow->link_next)
        flow->link_next->link_prev = flow->link_prev;
    link->flows_count--;
    link_put(link, now);
}

/* out of the offer: the visitor comes back to the caller */
static struct visitor *leave_offer(struct flow *flow, ts_t now)
{
    struct visitor *v = flow->visitor;

    loop_timer_arm(&flow->worker->loop, &flow->deadline, TS_NEVER);
    offer_free(flow->offer, now);
    flow->offer = NULL;
    flow->visitor = NULL;
    return v;
}

/* what the node said, for the log: status and the start of its text, in printable ASCII */
static void describe(const struct peerapi_answer *answer, char out[DETAIL])
{
    int n = snprintf(out, DETAIL, "%u ", answer->status);

    for (size_t i = 0; i < answer->reason_len && n < DETAIL - 1; i++)
        out[n++] = answer->reason[i] >= 0x20 && answer->reason[i] < 0x7f ? answer->reason[i] : '?';
    out[n] = 0;
}

/* the visitor's way ends before it had a stream */
static void end_offer(struct flow *flow, struct visitor *v, enum reason reason, const char *detail, ts_t now)
{
    struct worker *worker = flow->worker;

    visitor_refuse(v, reason);
    worker_end_visit(worker, &v->visit, reason, flow->link->row->id, flow->target, detail, now);
    visitor_free(v);
    detach(flow, now);
    free(flow);
    worker_check_empty(worker);
}

/* what a probe wants to know of the way to the node, while the offer still tells */
static void note_probe(const struct flow *flow, struct probe_offer *probe, ts_t now)
{
    struct endpoint endpoint = tunnel_peer_endpoint(flow->link->peer);
    struct wg_peer *wg = tunnel_peer_wg(flow->link->peer);

    probe->handshake_at = wg_peer_can_send(wg, now) ? wg_peer_handshake_at(wg) : 0;
    probe->connected_at = flow->offer->connected_at;
    probe->connected_v4 = flow->offer->connected_v4;
    if (endpoint.kind == ENDPOINT_UDP)
        probe->endpoint = endpoint.remote;
}

static void offer_failed(struct flow *flow, ts_t now)
{
    struct worker *worker = flow->worker;
    enum reason reason = flow->offer->reason;
    const struct peerapi_answer *answer = &flow->offer->answer;
    char detail[DETAIL] = "", quoted[LOG_QUOTE];

    if (answer->status)
        describe(answer, detail);
    log_debug("offer", "event=failed id=%llu node=\"%s\" reason=%s answer=%s",
              (unsigned long long)flow->visitor->visit.id, flow->link->row->id, reason_name(reason),
              log_quote(quoted, sizeof(quoted), detail, strlen(detail)));
    if (flow->visitor->visit.probe)
        note_probe(flow, flow->visitor->visit.probe, now);
    struct visitor *v = leave_offer(flow, now);

    v->attempt++;
    v->last = reason;
    if (!v->visit.probe && reason_retry(reason) && now < v->deadline && !worker->stopping) {
        struct route_match match;
        enum route_result found =
            route_find(worker_routes(worker), v->route_name, strlen(v->route_name), v->route_port,
                       loop_wall() / TS_S, &match);

        if (found == ROUTE_OK && v->attempt < match.count) {
            detach(flow, now);
            free(flow);
            worker_dispatch(worker, v, now);
            return;
        }
    }
    end_offer(flow, v, reason, detail[0] ? detail : NULL, now);
}

static enum reason end_reason(const struct flow *flow, enum relay_end end)
{
    switch (end) {
    case RELAY_END_NONE:
    case RELAY_END_OK:
        return REASON_OK;
    case RELAY_END_SOCKET_RESET:
        return REASON_VISITOR_RESET;
    case RELAY_END_INNER_RESET:
        return REASON_NODE_RESET;
    case RELAY_END_INNER_TIMEOUT:
        return REASON_NODE_LOST;
    case RELAY_END_IDLE:
        return REASON_IDLE;
    case RELAY_END_HOLD_TIMEOUT:
        return REASON_HALF_CLOSE;
    case RELAY_END_STOPPED:
        return flow->ending;
    case RELAY_END_TLS: /* only relays that end TLS, as funnel-node does */
    case RELAY_END_TLS_TIMEOUT:
        break;
    }
    WARN_ON(true);
    return REASON_OK;
}

static void relay_done(struct relay *relay, enum relay_end end)
{
    struct flow *flow = container_of(relay, struct flow, relay);
    struct worker *worker = flow->worker;
    ts_t now = loop_now();

    flow->visit.bytes_up += relay->bytes_up;
    flow->visit.bytes_down += relay->bytes_down;
    worker_end_visit(worker, &flow->visit, end_reason(flow, end), flow->link->row->id, flow->target, NULL, now);
    limits_leave(worker->all->limits, &flow->visit.client.addr);
    detach(flow, now);
    visit_deinit(&flow->visit);
    free(flow);
    worker_check_empty(worker);
}

static enum relay_half_close half_close_of(const struct flow *flow, bool node_propagates)
{
    switch (flow->link->row->half_close) {
    case ROUTE_HALF_CLOSE_HOLD:
        return RELAY_HOLD;
    case ROUTE_HALF_CLOSE_PROPAGATE:
        return RELAY_PROPAGATE;
    case ROUTE_HALF_CLOSE_DEFAULT:
        break;
    }
    return node_propagates ? RELAY_PROPAGATE : flow->worker->relay.half_close;
}

/* the 101 is here: what the visitor has said so far goes first, then the stream is open */
static void offer_accepted(struct flow *flow, ts_t now)
{
    struct worker *worker = flow->worker;
    struct tcp_conn *conn = offer_take(flow->offer);
    enum relay_half_close half_close = half_close_of(flow, flow->offer->propagate);

    if (flow->visitor->visit.probe) { /* it has no bytes to send: the answer was all it wanted */
        note_probe(flow, flow->visitor->visit.probe, now);
        tcp_abort(conn, now);
        end_offer(flow, leave_offer(flow, now), REASON_OK, NULL, now);
        return;
    }
    link_accepted(flow->link, flow->offer->connected_v4, now);
    struct visitor *v = leave_offer(flow, now);

    v->visit.open_at = now;
    if (tcp_write(conn, v->held, v->held_len, now) != v->held_len ||
        relay_start(&flow->relay, &worker->loop, v->fd, conn, &worker->relay, half_close, relay_done, now) != 0) {
        tcp_abort(conn, now);
        end_offer(flow, v, REASON_OUT_OF_MEMORY, NULL, now);
        return;
    }
    flow->streaming = true;
    flow->visit = v->visit;
    flow->visit.bytes_up = v->held_len;
    v->visit.name = NULL;
    v->fd = -1;
    v->limits = NULL;
    visitor_free(v);
    log_debug("flow", "event=open id=%llu node=\"%s\" target=%s", (unsigned long long)flow->visit.id,
              flow->link->row->id, flow->target);
}

static void offer_step(struct flow *flow, ts_t now)
{
    if (flow->offer->stale) {
        flow->offer->stale = false;
        link_stale(flow->link, now);
    }
    if (flow->offer->state == OFFER_ACCEPTED)
        offer_accepted(flow, now);
    else if (flow->offer->state == OFFER_FAILED)
        offer_failed(flow, now);
}

static void on_deadline(struct loop_timer *t, ts_t now)
{
    struct flow *flow = container_of(t, struct flow, deadline);

    if (now < flow->until) {
        loop_timer_arm(&flow->worker->loop, t, flow->until);
        offer_doubt(flow->offer, now);
    } else {
        offer_expire(flow->offer, now);
    }
    offer_step(flow, now);
}

void flow_event(struct flow *flow, const struct tcp_event *event, ts_t now)
{
    if (flow->streaming) {
        relay_event(&flow->relay, event, now);
        return;
    }
    offer_event(flow->offer, event, now);
    offer_step(flow, now);
}

/* The node is not what it was when the offer began: the new routes decide. By mail, because they are just being put in
 * force. */
static void start_over(struct flow *flow, ts_t now)
{
    struct worker *worker = flow->worker;
    struct visitor *v = leave_offer(flow, now);

    detach(flow, now);
    free(flow);
    if (mailbox_post(worker->mailbox, MAIL_VISITOR, v))
        return;
    visitor_refuse(v, REASON_LIMIT_TOTAL);
    worker_end_visit(worker, &v->visit, REASON_LIMIT_TOTAL, NULL, NULL, NULL, now);
    visitor_free(v);
    worker_check_empty(worker);
}

void flow_stop(struct flow *flow, enum reason reason, ts_t now)
{
    if (flow->streaming) {
        flow->ending = reason;
        relay_stop(&flow->relay, now);
    } else if (reason == REASON_DRAINED || flow->visitor->visit.probe) {
        flow->offer->state = OFFER_FAILED;
        flow->offer->reason = reason;
        offer_failed(flow, now);
    } else {
        start_over(flow, now);
    }
}

/* before there is a flow: log and let go */
static void refuse(struct worker *worker, struct visitor *v, enum reason reason, const struct route_node *row, ts_t now)
{
    visitor_refuse(v, reason);
    worker_end_visit(worker, &v->visit, reason, row->id, NULL, NULL, now);
    visitor_free(v);
    worker_check_empty(worker);
}

void flow_start(struct worker *worker, struct visitor *v, const struct route_candidate *candidate, size_t left,
                ts_t now)
{
    const struct route_node *row = candidate->node;
    int err;
    struct link *link = link_get(worker, row, &err, now);

    if (!link) {
        refuse(worker, v, err == ERR_NOMEM ? REASON_OUT_OF_MEMORY : REASON_NODE_NO_SESSION, row, now);
        return;
    }
    size_t target_cap = candidate->target_len + sizeof(":65535");
    struct flow *flow = calloc(1, sizeof(*flow) + target_cap);

    if (!flow) {
        refuse(worker, v, REASON_OUT_OF_MEMORY, row, now);
        return;
    }
    snprintf(flow->target, target_cap, "%.*s:%u", (int)candidate->target_len, candidate->target,
             (unsigned)candidate->target_port);
    flow->worker = worker;
    flow->visitor = v;
    flow->link = link;
    loop_timer_init(&flow->deadline, on_deadline);
    flow->next = worker->flows;
    if (flow->next)
        flow->next->prev = flow;
    worker->flows = flow;
    worker->flows_count++;
    flow->link_next = link->flows;
    if (flow->link_next)
        flow->link_next->link_prev = flow;
    link->flows = flow;
    link->flows_count++;
    if (v->visit.offered_at == 0)
        v->visit.offered_at = now;
    bool full = link->flows_count > link_flows_max(worker, row) && !v->visit.probe;
    /* a probe looks at the whole way; the row may be newer than the link's, and of another transport */
    bool dial = full || v->visit.probe || row->transport == ROUTE_TCP;
    struct tcp_conn *warm = dial ? NULL : link_take(link, now);

    flow->offer = offer_new(&worker->offers, link->peer, row, &v->visit.client, candidate->target, candidate->target_len,
                            candidate->target_port, v->visit.probe ? v->visit.probe->families : OFFER_BOTH, warm, flow,
                            now);
    if (!flow->offer) {
        detach(flow, now);
        free(flow);
        refuse(worker, v, REASON_OUT_OF_MEMORY, row, now);
        return;
    }
    if (full && flow->offer->state == OFFER_PENDING) {
        flow->offer->state = OFFER_FAILED;
        flow->offer->reason = REASON_LIMIT_NODE;
    }
    if (v->visit.probe)
        left = 1; /* it stays with this node */
    /* what time is left is shared by the nodes that are left */
    flow->until = ts_add(now, ts_since(v->deadline, now) / MAX(left, 1));
    loop_timer_arm(&worker->loop, &flow->deadline, ts_min(flow->until, offer_doubt_at(flow->offer, now)));
    if (flow->offer->state != OFFER_PENDING)
        offer_step(flow, now);
}
