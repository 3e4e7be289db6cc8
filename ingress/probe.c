#include "ingress/probe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/bug.h"
#include "common/config/config_text.h"
#include "ingress/advice.h"
#include "ingress/offer.h"

#define TEXT_MAX  1024
#define MARGIN_NS (5 * TS_S) /* an offer ends by its own deadline; who is later than this was lost */

/* One offer to make: a node by its place among those that may be used, and a family. */
struct leg {
    const struct route_node *node; /* with a reference */
    unsigned attempt;
    unsigned families;
};

struct probe {
    uint64_t id;
    struct loop *loop;
    struct workers *workers;
    struct generation *generation; /* with a reference */
    struct probe_request request;
    struct probe_listener listener;
    struct leg legs[2 * ROUTE_NODES_PER_NAME];
    size_t legs_count, leg; /* leg: the one under way */
    bool failed;
    struct loop_timer patience; /* for the answer of the leg */
};

/* ---- steps ---- */

struct text {
    char chars[TEXT_MAX];
    size_t len;
};

/* append; what does not fit is cut */
static void __attribute__((format(printf, 2, 3))) say(struct text *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(t->chars + t->len, sizeof(t->chars) - t->len, fmt, args);
    va_end(args);
    t->len = MIN(t->len + (size_t)MAX(n, 0), sizeof(t->chars) - 1);
}

json_t *probe_step(const char *step, const char *status, double ms, enum reason reason, const char *text)
{
    json_t *out = json_pack("{s:s, s:s, s:f, s:s}", "step", step, "status", status, "ms", ms, "text", text);

    if (out && reason != REASON_OK) {
        json_object_set_new(out, "reason", json_string(reason_name(reason)));
        json_object_set_new(out, "advice", json_string(advice(reason)));
    }
    return out;
}

static double milliseconds(ts_t from, ts_t to)
{
    return (double)(ts_since(to, from) / TS_US) / 1000.0;
}

/* tell one step; family 0: of no family */
static void tell(struct probe *p, const char *name, const char *status, double ms, enum reason reason,
                 const char *node, unsigned family, const char *text)
{
    json_t *step = probe_step(name, status, ms, reason, text);

    if (strcmp(status, "failed") == 0)
        p->failed = true;
    if (!step)
        return; /* out of memory: the verdict still counts */
    if (node && *node)
        json_object_set_new(step, "node", json_string(node));
    if (family)
        json_object_set_new(step, "family", json_integer(family));
    p->listener.step(p->listener.ctx, step);
    json_decref(step);
}

/* ---- the feed's row ---- */

static void say_expiry(struct text *t, uint64_t expires, uint64_t unix_now)
{
    time_t seconds = (time_t)expires;
    struct tm tm;
    char when[32];

    if (!expires || !gmtime_r(&seconds, &tm))
        return;
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    say(t, ", %s %s", unix_now >= expires ? "expired" : "expires", when);
}

static void describe_owner(struct text *t, const struct route_owner *owner, const struct probe_request *request,
                           uint64_t unix_now)
{
    static const char *const consents[] = {
        [ROUTE_CONSENT_NO] = "no", [ROUTE_CONSENT_YES] = "yes", [ROUTE_CONSENT_ASK] = "ask"};
    const struct route_node *node = owner->node;

    say(t, "node %s has %s %s; port %u ", node->id, owner->rule->name[0] == '*' ? "wildcard" : "name",
        owner->rule->name, (unsigned)request->port);
    if (owner->result == ROUTE_PORT_NOT_FUNNELLED) {
        say(t, "is not among its ports");
        for (size_t i = 0; i < node->ports_count; i++)
            say(t, "%s%u", i ? ", " : " ", (unsigned)node->ports[i]);
    } else {
        say(t, "funnelled");
    }
    say(t, "; administrator %s, node %s", node->admin ? "yes" : "no", consents[node->consent]);
    say_expiry(t, node->expires, unix_now);
    if (node->revoked)
        say(t, "; withdrawn by the feed");
    if (owner->rule->target)
        say(t, "; offered as %s:%u", owner->rule->target, (unsigned)owner->rule->target_port);
}

static bool has_family(const struct addr *addrs, size_t count, bool v4)
{
    for (size_t i = 0; i < count; i++)
        if (addr_is_v4(&addrs[i]) == v4)
            return true;
    return false;
}

/* the families in which both sides have an address and the node a port; none: nobody gets there */
static unsigned families_of(const struct generation *g, const struct route_node *node)
{
    const struct identity *own = generation_identity(g, node->tailnet);
    unsigned families = 0;

    for (int v4 = 0; v4 < 2; v4++) {
        bool port = node->transport == ROUTE_TCP || (v4 ? node->peerapi4 : node->peerapi6) != 0;

        if (port && has_family(node->addresses, node->addresses_count, v4) &&
            has_family(own->addrs, own->addrs_count, v4))
            families |= v4 ? OFFER_V4 : OFFER_V6;
    }
    return families;
}

static void add_legs(struct probe *p, const struct route_node *node, unsigned attempt)
{
    unsigned families = families_of(p->generation, node);

    if (!families) /* asked all the same, so that the answer is the ingress's own */
        p->legs[p->legs_count++] = (struct leg){route_node_get(node), attempt, OFFER_BOTH};
    for (unsigned family = OFFER_V6; family <= OFFER_V4; family <<= 1)
        if (families & family)
            p->legs[p->legs_count++] = (struct leg){route_node_get(node), attempt, family};
}

static void walk_feed(struct probe *p, ts_t began)
{
    struct route_owner owners[ROUTE_NODES_PER_NAME];
    uint64_t unix_now = loop_wall() / TS_S;
    const struct probe_request *r = &p->request;
    size_t count = route_explain(p->workers->routes, r->name, strlen(r->name), r->port, unix_now, owners);
    unsigned usable = 0;

    for (size_t i = 0; i < count; i++)
        usable += owners[i].result == ROUTE_OK;
    unsigned attempt = 0;

    for (size_t i = 0; i < count; i++) {
        struct text t = {.len = 0};
        bool ok = owners[i].result == ROUTE_OK;

        describe_owner(&t, &owners[i], r, unix_now);
        /* one of several that is not to be offered now is no fault as long as another is */
        tell(p, "feed", ok ? "ok" : usable ? "note" : "failed", milliseconds(began, loop_now()),
             reason_of_route(owners[i].result), owners[i].node->id, 0, t.chars);
        if (ok)
            add_legs(p, owners[i].node, attempt++);
    }
    if (count == 0) {
        struct text t = {.len = 0};

        say(&t, "none of the feed's %zu nodes has %s, nor a wildcard above it", route_node_count(p->workers->routes),
            r->name);
        tell(p, "feed", "failed", milliseconds(began, loop_now()), REASON_UNKNOWN_NAME, NULL, 0, t.chars);
    }
}

/* ---- the offers ---- */

static void next_leg(struct probe *p, ts_t now);

static void say_address(struct text *t, const struct route_node *node, bool v4)
{
    char text[ADDRPORT_STR];

    for (size_t i = 0; i < node->addresses_count; i++)
        if (addr_is_v4(&node->addresses[i]) == v4) {
            struct addrport at = {node->addresses[i], v4 ? node->peerapi4 : node->peerapi6};

            if (node->transport == ROUTE_TCP)
                say(t, " %s", addr_format(&at.addr, text));
            else
                say(t, " %s", addrport_format(&at, text));
            return;
        }
}

static void tell_session(struct probe *p, const struct leg *leg, const struct probe_offer *o)
{
    struct text t = {.len = 0};
    char at[ADDRPORT_STR];
    bool up = o->handshake_at != 0, kept = up && o->handshake_at <= o->started_at;

    if (up) {
        say(&t, "WireGuard with %s at %s, ", leg->node->id, o->endpoint.port ? addrport_format(&o->endpoint, at) : "?");
        if (kept)
            say(&t, "%" PRIu64 " s old", ts_since(o->started_at, o->handshake_at) / TS_S);
        else
            say(&t, "made now");
    } else if (leg->node->endpoints_count > 0) {
        say(&t, "WireGuard: no answer to handshakes from");
        for (size_t i = 0; i < leg->node->endpoints_count; i++)
            say(&t, "%s %s", i ? "," : "", addrport_format(&leg->node->endpoints[i], at));
    } else {
        say(&t, "WireGuard: the feed names no endpoint, and the node has not called");
    }
    tell(p, "session", up ? "ok" : "failed", milliseconds(o->started_at, up ? o->handshake_at : o->ended_at),
         up ? REASON_OK : o->reason, leg->node->id, 0, t.chars);
}

static void tell_connect(struct probe *p, const struct leg *leg, const struct probe_offer *o, unsigned family)
{
    struct text t = {.len = 0};
    bool ok = o->connected_at != 0;
    ts_t began = ts_max(o->started_at, o->handshake_at);

    if (family) {
        say(&t, "%s", leg->node->transport == ROUTE_TCP ? "TCP to" : family == 4 ? "peerapi4" : "peerapi6");
        say_address(&t, leg->node, family == 4);
        say(&t, ok ? " answered" : ": refused, or no answer");
    } else {
        say(&t, "the node and the ingress's identity have no address of one family with a peerapi port");
    }
    tell(p, "connect", ok ? "ok" : "failed", milliseconds(began, ok ? o->connected_at : o->ended_at),
         ok ? REASON_OK : o->reason, leg->node->id, family, t.chars);
}

static void tell_offer(struct probe *p, const struct leg *leg, const struct probe_offer *o, unsigned family)
{
    struct text t = {.len = 0};
    bool ok = o->reason == REASON_OK;

    say(&t, "%s as %s: %s", leg->node->id, o->target, ok ? "accepted" : reason_meaning(o->reason));
    if (*o->detail)
        say(&t, "; it said: %s", o->detail);
    tell(p, "offer", ok ? "ok" : "failed", milliseconds(ts_max(o->connected_at, o->started_at), o->ended_at), o->reason,
         leg->node->id, family, t.chars);
}

static void finish(struct probe *p)
{
    struct probe_listener listener = p->listener;

    loop_timer_arm(p->loop, &p->patience, TS_NEVER);
    listener.done(listener.ctx, !p->failed);
}

void probe_answer(struct probe *p, const struct probe_offer *o, ts_t now)
{
    if (p->leg == p->legs_count)
        return; /* later than its deadline */
    const struct leg *leg = &p->legs[p->leg];
    unsigned family = leg->families == OFFER_V4 ? 4 : leg->families == OFFER_V6 ? 6 : 0;

    if (o->handshake_at || o->reason == REASON_NODE_NO_SESSION)
        tell_session(p, leg, o);
    if (o->connected_at || o->reason == REASON_NODE_UNREACHABLE || o->reason == REASON_PORT_EXHAUSTED)
        tell_connect(p, leg, o, family);
    if (o->connected_at || (o->reason != REASON_NODE_NO_SESSION && o->reason != REASON_NODE_UNREACHABLE &&
                            o->reason != REASON_PORT_EXHAUSTED))
        tell_offer(p, leg, o, family);
    p->leg++;
    next_leg(p, now);
}

/* a visitor without a socket, that counts in nobody's limits */
static struct visitor *make_visitor(struct probe *p, const struct leg *leg, ts_t now)
{
    struct visitor *v = visitor_new(-1, &p->request.source, NULL, now, loop_wall());

    if (!v)
        return NULL;
    v->visit.probe = calloc(1, sizeof(*v->visit.probe));
    v->route_name = strdup(p->request.name);
    if (!v->visit.probe || !v->route_name) {
        free(v->visit.probe);
        visitor_free(v);
        return NULL;
    }
    v->visit.probe->walk = p->id;
    v->visit.probe->families = leg->families;
    v->visit.probe->started_at = now;
    v->route_port = p->request.port;
    v->attempt = leg->attempt;
    v->last = REASON_UNKNOWN_NAME; /* where a reload meanwhile took the node away */
    return v;
}

static void lost(struct probe *p, const char *why)
{
    tell(p, "offer", "failed", 0, REASON_OUT_OF_MEMORY, p->legs[p->leg].node->id, 0, why);
    p->leg = p->legs_count;
    finish(p);
}

static void next_leg(struct probe *p, ts_t now)
{
    if (p->leg == p->legs_count) {
        finish(p);
        return;
    }
    const struct leg *leg = &p->legs[p->leg];
    struct visitor *v = make_visitor(p, leg, now);
    uint64_t wait_ns = p->generation->config->offer.timeout_ns;

    if (leg->node->endpoints_count == 0)
        wait_ns = MAX(wait_ns, p->request.call_ns);
    if (!v) {
        lost(p, "no memory for an offer");
        return;
    }
    v->deadline = ts_add(now, wait_ns);
    loop_timer_arm(p->loop, &p->patience, ts_add(v->deadline, MARGIN_NS));
    if (!mailbox_post(worker_of(p->workers, leg->node->shard)->mailbox, MAIL_VISITOR, v)) {
        free(v->visit.probe);
        visitor_free(v);
        lost(p, "the worker's mailbox is full");
    }
}

static void on_patience(struct loop_timer *t, ts_t now)
{
    (void)now;
    lost(container_of(t, struct probe, patience), "no answer from the worker");
}

/* ---- life ---- */

const char *probe_request_read(struct probe_request *out, const char *name, unsigned long long port, const char *source)
{
    if (strlen(name) > PROBE_NAME_MAX + 1) /* a last dot goes */
        return "the name is too long";
    char text[PROBE_NAME_MAX + 2];

    strcpy(text, name);
    if (config_text_name(text, false))
        return "the name is not a DNS name";
    strcpy(out->name, text);
    if (port < 1 || port > UINT16_MAX)
        return "the port is not one from 1 to 65535";
    out->port = (uint16_t)port;
    out->call_ns = 0;
    if (!source)
        source = PROBE_SOURCE;
    if (addrport_parse(source, strlen(source), &out->source))
        return NULL;
    out->source.port = 1; /* a node wants some port */
    return addr_parse(source, strlen(source), &out->source.addr) ? NULL : "the source is not an IP address";
}

struct probe *probe_new(struct loop *loop, struct workers *workers, struct generation *generation,
                        const struct probe_request *request, const struct probe_listener *listener)
{
    static uint64_t last_id; /* walks are made on one thread */
    struct probe *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->id = ++last_id;
    p->loop = loop;
    p->workers = workers;
    p->generation = generation_get(generation);
    p->request = *request;
    p->listener = *listener;
    loop_timer_init(&p->patience, on_patience);
    return p;
}

void probe_start(struct probe *p, ts_t now)
{
    walk_feed(p, now);
    next_leg(p, now);
}

uint64_t probe_id(const struct probe *p)
{
    return p->id;
}

void probe_free(struct probe *p)
{
    if (!p)
        return;
    loop_timer_arm(p->loop, &p->patience, TS_NEVER);
    for (size_t i = 0; i < p->legs_count; i++)
        route_node_put(p->legs[i].node);
    generation_put(p->generation);
    free(p);
}
