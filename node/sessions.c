#include "node/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"

#define RETRY_FIRST_NS (5 * TS_S)  /* REKEY_TIMEOUT: WireGuard itself calls again after as long */
#define RETRY_MAX_NS   (60 * TS_S)
#define SILENCE_NS     (15 * TS_S) /* three handshakes; WireGuard itself gives up after 90 s, which is long to wonder */

struct session {
    struct list link;
    struct sessions *of;
    struct tunnel_peer *peer;
    const struct node_config_ingress *config; /* in of->setup */
    uint8_t preshared_key[KEY_BYTES];
    struct resolver_query query;
    struct loop_timer retry; /* armed while there is no session and an endpoint to call */
    uint64_t retry_ns;
    bool up;
    bool unresolved; /* said so already */
    struct loop_timer silence; /* from the first call until an answer, or until that was said */
    bool silent;               /* said so already */
};

/* the ingress's addresses inside the tunnel: as configured, or the ULA */
static size_t addresses_of(const struct node_config_ingress *config, struct addr out[TUNNEL_ADDRS_MAX])
{
    if (config->addresses_count == 0) {
        key_ula(config->public_key, &out[0]);
        return 1;
    }
    size_t count = MIN(config->addresses_count, TUNNEL_ADDRS_MAX);

    memcpy(out, config->addresses, count * sizeof(*out));
    return count;
}

static bool same_addresses(const struct node_config_ingress *a, const struct node_config_ingress *b)
{
    struct addr of_a[TUNNEL_ADDRS_MAX], of_b[TUNNEL_ADDRS_MAX];
    size_t count = addresses_of(a, of_a);

    return count == addresses_of(b, of_b) && memcmp(of_a, of_b, count * sizeof(*of_a)) == 0;
}

static bool has_endpoint(const struct session *s)
{
    return s->config->endpoint.port != 0;
}

/* twice as long each time, and a quarter more or less so that nodes don't call in step after an ingress was down */
static void arm_retry(struct session *s, ts_t now)
{
    uint64_t wait = s->retry_ns * 3 / 4 + rng_below(s->of->rng, s->retry_ns / 2);

    loop_timer_arm(s->of->loop, &s->retry, ts_add(now, wait));
    s->retry_ns = MIN(s->retry_ns * 2, RETRY_MAX_NS);
}

static void call(struct session *s, ts_t now)
{
    if (s->up || !has_endpoint(s))
        return;
    arm_retry(s, now);
    if (!s->query.request) /* else the last question is still out: it ends by itself */
        resolver_ask(s->of->resolver, &s->query, s->config->endpoint.host);
}

static void on_retry(struct loop_timer *timer, ts_t now)
{
    call(container_of(timer, struct session, retry), now);
}

static void on_silence(struct loop_timer *timer, ts_t now)
{
    struct session *s = container_of(timer, struct session, silence);

    (void)now;
    s->silent = true;
    log_warn("session", "event=silent ingress=%s after_s=%u hint=\"is public_key the ingress's, is this node in its "
                        "feed, does UDP pass?\"", s->config->name, (unsigned)(SILENCE_NS / TS_S));
}

/* not_silent - it answered, or is not called any more. */
static void not_silent(struct session *s)
{
    s->silent = false;
    loop_timer_arm(s->of->loop, &s->silence, TS_NEVER);
}

static void on_resolved(struct resolver_query *query, int status, const struct addr *addrs, size_t count, ts_t now)
{
    struct session *s = container_of(query, struct session, query);
    struct endpoint endpoints[TUNNEL_ENDPOINTS_MAX];
    size_t usable = 0;

    for (size_t i = 0; i < count && usable < TUNNEL_ENDPOINTS_MAX; i++)
        if (addr_is_v4(&addrs[i]) ? s->of->v4 : s->of->v6)
            endpoints[usable++] = (struct endpoint){.kind = ENDPOINT_UDP,
                                                    .remote = {addrs[i], s->config->endpoint.port}};
    if (usable == 0) {
        if (!s->unresolved)
            log_warn("session", "event=unresolved ingress=%s host=%s why=\"%s\"", s->config->name,
                     s->config->endpoint.host, status ? err_str(status) : "no address of a family we listen on");
        s->unresolved = true;
        return;
    }
    s->unresolved = false;
    tunnel_peer_endpoints_set(s->peer, endpoints, usable);
    tunnel_peer_initiate(s->peer, now);
    if (!s->up && !s->silent && !timer_armed(&s->silence.timer))
        loop_timer_arm(s->of->loop, &s->silence, ts_add(now, SILENCE_NS));
}

static void free_session(struct session *s, ts_t now)
{
    resolver_cancel(&s->query);
    loop_timer_arm(s->of->loop, &s->retry, TS_NEVER);
    not_silent(s);
    tunnel_peer_free(s->peer, now);
    list_remove(&s->link);
    crypto_wipe(s->preshared_key, sizeof(s->preshared_key));
    free(s);
}

static struct session *find(struct sessions *of, const uint8_t key[KEY_BYTES])
{
    for (struct list *l = of->all.next; l != &of->all; l = l->next) {
        struct session *s = container_of(l, struct session, link);

        if (memcmp(s->config->public_key, key, KEY_BYTES) == 0)
            return s;
    }
    return NULL;
}

static void add(struct sessions *of, const struct node_config_ingress *config, const uint8_t *preshared_key, ts_t now)
{
    struct session *s = calloc(1, sizeof(*s));
    struct tunnel_peer_config peer = {.keepalive_ns = config->keepalive_ns, .owner = s};
    int err = ERR_NOMEM;

    if (!s)
        goto fail;
    memcpy(peer.key, config->public_key, KEY_BYTES);
    memcpy(peer.preshared_key, preshared_key, KEY_BYTES);
    memcpy(peer.identity, of->identity->public_key, KEY_BYTES);
    peer.addrs_count = addresses_of(config, peer.addrs);
    peer.own_addrs_count = of->identity->addrs_count;
    memcpy(peer.own_addrs, of->identity->addrs, peer.own_addrs_count * sizeof(*peer.own_addrs));
    s->of = of;
    s->config = config;
    memcpy(s->preshared_key, preshared_key, KEY_BYTES);
    s->query.done = on_resolved;
    s->retry_ns = RETRY_FIRST_NS;
    loop_timer_init(&s->retry, on_retry);
    loop_timer_init(&s->silence, on_silence);
    s->peer = tunnel_peer_new(of->tunnel, &peer, &err, now);
    crypto_wipe(peer.preshared_key, sizeof(peer.preshared_key));
    if (!s->peer) {
        crypto_wipe(s->preshared_key, sizeof(s->preshared_key));
        goto fail;
    }
    list_append(&of->all, &s->link);
    log_info("session", "event=added ingress=%s", config->name);
    call(s, now);
    return;
fail:
    free(s);
    log_error("session", "event=failed ingress=%s why=\"%s\"", config->name, err_str(err));
}

/* the same ingress in the next configuration */
static void keep(struct session *s, const struct node_config_ingress *config, ts_t now)
{
    const struct node_config_ingress *before = s->config;
    bool moved = before->endpoint.port != config->endpoint.port ||
                 strcmp(before->endpoint.host, config->endpoint.host) != 0;

    s->config = config;
    if (before->keepalive_ns != config->keepalive_ns)
        wg_peer_keepalive_set(tunnel_peer_wg(s->peer), config->keepalive_ns, now);
    if (!moved)
        return;
    resolver_cancel(&s->query);
    s->retry_ns = RETRY_FIRST_NS;
    loop_timer_arm(s->of->loop, &s->retry, TS_NEVER);
    not_silent(s);
    if (!has_endpoint(s))
        tunnel_peer_endpoints_set(s->peer, NULL, 0);
    else if (s->up) /* keeps the session; the new endpoint is for when it is lost */
        resolver_ask(s->of->resolver, &s->query, config->endpoint.host);
    else
        call(s, now);
}

void sessions_init(struct sessions *of, struct loop *loop, struct tunnel *tunnel, struct resolver *resolver,
                   struct rng *rng, const struct setup *identity, bool v4, bool v6)
{
    *of = (struct sessions){.loop = loop,
                            .tunnel = tunnel,
                            .resolver = resolver,
                            .rng = rng,
                            .identity = identity,
                            .v4 = v4,
                            .v6 = v6};
    list_init(&of->all);
}

/* where this session's ingress is in the next configuration, if it can go on there */
static const struct node_config_ingress *successor(const struct session *s, const struct setup *setup)
{
    for (size_t i = 0; i < setup->config->ingresses_count; i++) {
        const struct node_config_ingress *next = &setup->config->ingresses[i];

        if (memcmp(s->config->public_key, next->public_key, KEY_BYTES) == 0)
            return crypto_equal(s->preshared_key, setup->preshared_keys[i], KEY_BYTES) &&
                           same_addresses(s->config, next)
                       ? next
                       : NULL;
    }
    return NULL;
}

void sessions_apply(struct sessions *of, struct setup *setup, ts_t now)
{
    struct setup *before = of->setup;
    struct list *after;

    of->setup = setup_get(setup);
    for (struct list *l = of->all.next; l != &of->all; l = after) {
        struct session *s = container_of(l, struct session, link);
        const struct node_config_ingress *next = successor(s, setup);

        after = l->next;
        if (next) {
            keep(s, next, now);
        } else {
            log_info("session", "event=removed ingress=%s", s->config->name);
            free_session(s, now);
        }
    }
    for (size_t i = 0; i < setup->config->ingresses_count; i++)
        if (!find(of, setup->config->ingresses[i].public_key))
            add(of, &setup->config->ingresses[i], setup->preshared_keys[i], now);
    setup_put(before);
}

void sessions_event(struct sessions *of, const struct tunnel_event *event, ts_t now)
{
    struct session *s = tunnel_peer_owner(event->peer);
    struct endpoint at = tunnel_peer_endpoint(event->peer);
    char text[ADDRPORT_STR];

    (void)of;
    switch (event->kind) {
    case TUNNEL_EVENT_UP:
        s->up = true;
        s->retry_ns = RETRY_FIRST_NS;
        loop_timer_arm(s->of->loop, &s->retry, TS_NEVER);
        not_silent(s);
        log_info("session", "event=up ingress=%s endpoint=%s", s->config->name, addrport_format(&at.remote, text));
        break;
    case TUNNEL_EVENT_DOWN:
        s->up = false;
        log_info("session", "event=down ingress=%s", s->config->name);
        call(s, now);
        break;
    case TUNNEL_EVENT_GAVE_UP:
        log_warn("session", "event=no_answer ingress=%s", s->config->name);
        if (!s->up)
            call(s, now);
        else if (has_endpoint(s) && !s->query.request) /* the session is dying: look where the name leads by now */
            resolver_ask(s->of->resolver, &s->query, s->config->endpoint.host);
        break;
    case TUNNEL_EVENT_SENDING: /* not asked for */
    case TUNNEL_EVENT_TCP:
        BUG_ON(true);
    }
}

void sessions_deinit(struct sessions *of, ts_t now)
{
    struct list *l;

    while ((l = list_first(&of->all)))
        free_session(container_of(l, struct session, link), now);
    setup_put(of->setup);
    of->setup = NULL;
}
