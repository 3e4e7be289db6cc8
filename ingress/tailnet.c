#include "ingress/tailnet.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "common/http/url.h"
#include "common/net/secure_stream.h"
#include "common/net/tls.h"
#include "ingress/feed/feed_tailnet.h"
#include "ingress/tailnet_keys.h"
#include "ingress/tailnet_map.h"

#define OUTPUT_BYTES    4096 /* what control_output wants at least: a record */
#define INPUT_BYTES     16384
#define CONNECT_NS      (15 * TS_S)
#define STEPS_A_TURN    1000 /* then other work gets its turn */
#define KEEP_FIRST_NS   TS_S        /* from a change to the map on disk … */
#define KEEP_NS         (10 * TS_S) /* … and between two of them, */
#define KEEP_A_ROW_NS   (2 * TS_MS) /* but this for each node: about 150 KB/s, however large it is */
#define LEFT_OUT_NS     (600 * TS_S) /* between two lines about what was left out */
#define SYNC_LOOK_NS    (20 * TS_MS)
#define SAID_AT_ONCE    20   /* log lines that the server causes; then one a second */
#define IDENTITY_NS     TS_S /* between two identities: each costs every worker something */

struct tailnet {
    struct loop *loop;
    struct resolver *resolver;
    const struct ingress_config_feed *config;
    char *state_dir;
    struct url url;
    struct ssl_ctx_st *tls;
    struct tailnet_events events;
    struct map_seed seed;
    struct control *control;
    struct feed_tailnet *feed;
    struct feed_source source;
    struct feed_source_status status;
    struct secure_stream *stream; /* NULL: none */
    struct loop_timer timer;
    bool full;     /* the map of nodes did not take a step: it will say when */
    bool lacking;  /* the feed ran out of memory: look at everything again */
    uint8_t out[OUTPUT_BYTES];
    size_t out_len, out_at;
    struct tailnet_identity identity; /* as last told; its keys point into control */
    uint8_t told_key[TAILNET_KEY_BYTES];
    ts_t identity_at; /* not before */
    bool identity_due;
    struct log_limit said;
    enum control_state logged;          /* with its note: what the log has last */
    char logged_note[FEED_SOURCE_TEXT];
    struct tailnet_map_writer *keeper; /* NULL: nothing is being written */
    ts_t keep_at;      /* TS_NEVER: what is on disk is what is known */
    ts_t kept_at;      /* when the last one was begun; 0: never */
    bool keep_failed;  /* and it was said */
    unsigned left_out; /* and not said yet; the next line about it not before: */
    ts_t left_out_at;
    ts_t heartbeat_at; /* of the server's last sign of life that the map of nodes was told of */
    bool ended;
};

/* ---- files ---- */

static bool read_auth_key(const char *path, char out[CONTROL_AUTH_KEY_MAX + 3], const char **why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, CONTROL_AUTH_KEY_MAX + 2) : -1;

    *why = fd < 0 ? "can't be opened" : "can't be read";
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
        n--;
    out[n] = 0;
    *why = "does not hold one line with an auth key";
    return n > 0 && control_auth_key_ok(out);
}

int tailnet_files_read(const struct ingress_config_feed *config, struct tailnet_files *out, struct config_errors *errors)
{
    char auth_key[CONTROL_AUTH_KEY_MAX + 3] = "", text[256];
    const char *why, *culprit;
    struct url url;

    *out = (struct tailnet_files){0};
    if (*config->tailnet.auth_key_file && !read_auth_key(config->tailnet.auth_key_file, auth_key, &why)) {
        config_errors_add(errors, (struct config_place){0}, "feed.tailnet.auth_key_file", "'%s' %s",
                          config->tailnet.auth_key_file, why);
        crypto_wipe(auth_key, sizeof(auth_key));
        return ERR_INVALID;
    }
    out->auth_key = strdup(auth_key);
    crypto_wipe(auth_key, sizeof(auth_key));
    BUG_ON(url_parse(config->url, strlen(config->url), &url)); /* the config's check */
    if (url.secure) {
        out->tls = tls_client_new(&(struct tls_client_files){.ca = config->ca_file}, true, &culprit, text, sizeof(text));
        if (!out->tls) {
            config_errors_add(errors, (struct config_place){0}, "feed.ca_file", "%s%s%s", culprit ? culprit : "",
                              culprit ? ": " : "", text);
            tailnet_files_deinit(out);
            return ERR_INVALID;
        }
    }
    return out->auth_key ? 0 : ERR_NOMEM;
}

void tailnet_files_deinit(struct tailnet_files *files)
{
    if (files->auth_key)
        crypto_wipe(files->auth_key, strlen(files->auth_key));
    free(files->auth_key);
    tls_free(files->tls);
    *files = (struct tailnet_files){0};
}

/* ---- what the source says of itself ---- */

static void say(struct tailnet *t, ts_t now)
{
    struct feed_source_status *s = &t->status;
    enum control_state state = control_state(t->control);
    const char *trouble = control_trouble(t->control), *url = control_auth_url(t->control);

    s->state = state == CONTROL_ONLINE ? FEED_SOURCE_CONNECTED : FEED_SOURCE_RETRYING;
    s->retry_at = state == CONTROL_OFFLINE ? control_deadline(t->control) : TS_NEVER;
    if (*url)
        snprintf(s->error, sizeof(s->error), "to let this ingress in, open %.*s", (int)sizeof(s->error) - 40, url);
    else if (state == CONTROL_NEEDS_APPROVAL)
        snprintf(s->error, sizeof(s->error), "an administrator has to approve this ingress");
    else
        snprintf(s->error, sizeof(s->error), "%.*s", (int)sizeof(s->error) - 1, trouble);
    bool human = state == CONTROL_NEEDS_LOGIN || state == CONTROL_NEEDS_APPROVAL || state == CONTROL_REFUSED;
    bool new = state != t->logged || strcmp(s->error, t->logged_note) != 0;
    unsigned long unsaid;

    t->logged = state;
    strcpy(t->logged_note, s->error);
    if (new && log_allowed(&t->said, now, &unsaid))
        log_at(human ? LOG_WARN : LOG_INFO, "tailnet", "event=%s server=%s%s%s%s", control_state_name(state), s->where,
               *s->error ? " note=\"" : "", s->error, *s->error ? "\"" : "");
    t->events.sink.say(t->events.sink.ctx, s, now);
    if (t->events.state)
        t->events.state(t->events.ctx, state, now);
}

/* ---- keys, identity ---- */

static void keep_keys(struct tailnet *t)
{
    int rc = tailnet_keys_write(t->state_dir, control_keys(t->control));

    if (rc != 0)
        log_error("tailnet", "event=state_failed state_dir=\"%s\" error=\"%s\" note=\"a restart makes another node\"",
                  t->state_dir, err_str(rc));
}

static bool same_addrs(const struct tailnet_identity *identity, const struct netmap_node *self)
{
    for (size_t i = 0; i < identity->addrs_count; i++)
        if (!addr_equal(&identity->addrs[i], &self->addresses[i]))
            return false;
    return true;
}

/* tell_identity - once there is an address, and whenever key or addresses are others */
static void tell_identity(struct tailnet *t, ts_t now)
{
    const struct control_keys *keys = control_keys(t->control);
    const struct netmap_node *self = netmap_self(control_netmap(t->control));
    struct tailnet_identity *is = &t->identity;

    if (!self || self->addresses_count == 0)
        return;
    size_t count = MIN(self->addresses_count, TUNNEL_ADDRS_MAX);

    if (is->key && crypto_equal(t->told_key, keys->node, sizeof(t->told_key)) && is->addrs_count == count &&
        same_addrs(is, self))
        return;
    t->identity_due = now < t->identity_at;
    if (t->identity_due)
        return; /* with a later turn */
    memcpy(t->told_key, keys->node, sizeof(t->told_key));
    is->key = keys->node;
    is->previous = crypto_is_zero(keys->previous, sizeof(keys->previous)) ? NULL : keys->previous;
    is->addrs_count = count;
    memcpy(is->addrs, self->addresses, count * sizeof(struct addr));
    char text[ADDR_STR], name[LOG_QUOTE];

    t->identity_at = ts_add(now, IDENTITY_NS);
    log_info("tailnet", "event=identity name=%s address=%s", log_quote(name, sizeof(name), self->name, strlen(self->name)),
             addr_format(&self->addresses[0], text));
    t->events.identity(t->events.ctx, is, now);
}

/* ---- the stream ---- */

static void on_connected(void *ctx, ts_t now);
static void on_readable(void *ctx, ts_t now);
static void on_writable(void *ctx, ts_t now);
static void on_closed(void *ctx, const char *why, ts_t now);
static const struct secure_stream_events stream_events = {on_connected, on_readable, on_writable, on_closed};

static void close_stream(struct tailnet *t)
{
    secure_stream_free(t->stream);
    t->stream = NULL;
    t->out_at = t->out_len = 0;
}

static void open_stream(struct tailnet *t, ts_t now)
{
    const struct secure_stream_to to = {.host = t->url.host, .port = t->url.port, .tls = t->tls, .timeout_ns = CONNECT_NS};

    t->status.attempts++;
    t->stream = secure_stream_new(t->loop, t->resolver, &to, &stream_events, t, now);
    if (!t->stream)
        control_closed(t->control, err_str(ERR_NOMEM), now);
}

static void send_out(struct tailnet *t, ts_t now)
{
    while (t->stream) {
        if (t->out_at == t->out_len) {
            t->out_at = 0;
            t->out_len = control_output(t->control, t->out, sizeof(t->out), now);
            if (t->out_len == 0)
                return;
        }
        t->out_at += secure_stream_write(t->stream, t->out + t->out_at, t->out_len - t->out_at);
        if (t->out_at < t->out_len)
            return; /* on_writable goes on */
    }
}

/* ---- the map on disk ---- */

static void keep_later(struct tailnet *t, ts_t now)
{
    uint64_t pause_ns = MAX(KEEP_NS, feed_tailnet_rows(t->feed) * KEEP_A_ROW_NS);

    if (*t->state_dir && t->keep_at == TS_NEVER)
        t->keep_at = ts_max(ts_add(now, KEEP_FIRST_NS), t->kept_at ? ts_add(t->kept_at, pause_ns) : 0);
}

static bool has_row(const struct netmap_node *node, void *ctx)
{
    const struct tailnet *t = ctx;

    return feed_tailnet_has(t->feed, node->id);
}

static void kept(struct tailnet *t, int rc)
{
    tailnet_map_free(t->keeper);
    t->keeper = NULL;
    if (rc != 0 && !t->keep_failed)
        log_warn("tailnet", "event=map_not_kept state_dir=\"%s\" error=\"%s\"", t->state_dir, err_str(rc));
    t->keep_failed = rc != 0;
}

/* keep - some of it; returns when to go on. It is not begun before all rows that are due were told: nodes without one would
 * be missing from it. */
static ts_t keep(struct tailnet *t, bool told, ts_t now)
{
    const struct netmap *netmap = control_netmap(t->control);
    int rc = 0;

    if (!t->keeper && (!told || !netmap_self(netmap)))
        return TS_NEVER;
    if (!t->keeper && t->keep_at <= now) {
        t->keep_at = TS_NEVER;
        t->kept_at = now;
        t->keeper = tailnet_map_begin(t->state_dir, t->status.where, netmap, has_row, t, &rc);
        if (!t->keeper)
            kept(t, rc);
    } else if (t->keeper && !tailnet_map_step(t->keeper, netmap, &rc)) {
        kept(t, rc);
    }
    if (t->keeper)
        return tailnet_map_syncing(t->keeper) ? ts_add(now, SYNC_LOOK_NS) : now;
    return t->keep_at;
}

/* ---- the feed ---- */

/* hand_steps_over - whether there are more, for another turn */
static bool hand_steps_over(struct tailnet *t, ts_t now)
{
    const struct netmap *netmap = control_netmap(t->control);
    struct feed_op op;
    unsigned steps = 0;

    while (!t->full && steps++ < STEPS_A_TURN && feed_tailnet_next(t->feed, netmap, control_time(t->control, now), &op)) {
        t->full = !t->events.sink.take(t->events.sink.ctx, &op, now);
        if (t->full)
            break;
        if (op.kind == FEED_OP_PUT)
            keep_later(t, now); /* it may have had no row when the map was last written */
        feed_tailnet_taken(t->feed);
    }
    return steps > STEPS_A_TURN;
}

/* the server is alive, so what it last said still counts */
static void pass_heartbeat(struct tailnet *t, ts_t now)
{
    if (t->heartbeat_at == control_heard_at(t->control) || control_state(t->control) != CONTROL_ONLINE)
        return;
    t->heartbeat_at = control_heard_at(t->control);
    (void)t->events.sink.take(t->events.sink.ctx, &(struct feed_op){.kind = FEED_OP_HEARTBEAT}, now);
}

static void say_left_out(struct tailnet *t, unsigned count, ts_t now)
{
    t->left_out += count;
    if (t->left_out == 0 || now < t->left_out_at)
        return;
    log_warn("tailnet", "event=left_out count=%u note=\"of what the server says, it was not understood or is above a "
                        "bound: %u nodes, %u users, and less of each\"", t->left_out, NETMAP_PEERS_MAX, NETMAP_USERS_MAX);
    t->left_out = 0;
    t->left_out_at = ts_add(now, LEFT_OUT_NS);
}

static void look_at_map(struct tailnet *t, ts_t now)
{
    struct netmap_changes *changes = control_changes(t->control);
    const struct netmap *netmap = control_netmap(t->control);

    say_left_out(t, changes->left_out, now);

    if (feed_tailnet_changed(t->feed, netmap, changes, now) != 0)
        t->lacking = true;
    tell_identity(t, now);
    if (changes->ways)
        keep_later(t, now);
    if (t->events.netmap)
        t->events.netmap(t->events.ctx, netmap, changes, now);
    netmap_changes_clear(changes);
}

static void policy_of(const struct ingress_config_feed *config, struct feed_tailnet_policy *out)
{
    const struct ingress_config_feed_tailnet *c = &config->tailnet;

    *out = (struct feed_tailnet_policy){
        .public_suffix = c->public_suffix,
        .names = c->names,
        .names_count = c->names_count,
        .tags = c->tags,
        .tags_count = c->tags_count,
        .users = c->users,
        .users_count = c->users_count,
        .ports = c->ports,
        .ports_count = c->ports_count,
        .tcp = c->transport == INGRESS_CONFIG_TRANSPORT_TCP,
        .proxy_protocol = c->proxy_protocol,
    };
}

static void apply_policy(struct tailnet *t)
{
    struct feed_tailnet_policy policy;

    policy_of(t->config, &policy);
    t->lacking = feed_tailnet_policy(t->feed, &policy, control_netmap(t->control)) != 0;
}

/* ---- the turn: everything that may have changed is looked at ---- */

static void turn(struct tailnet *t, ts_t now)
{
    unsigned flags;

    do {
        flags = control_take(t->control);
        if (flags & CONTROL_KEYS)
            keep_keys(t); /* before anything is sent that depends on them */
        if (flags & CONTROL_CLOSE)
            close_stream(t);
        if (flags & CONTROL_MAP)
            look_at_map(t, now);
        if (flags & CONTROL_KEYS || t->identity_due)
            tell_identity(t, now);
        if (flags & CONTROL_STATE)
            say(t, now);
        if (flags & CONTROL_CONNECT)
            open_stream(t, now);
        if (flags & CONTROL_ENDED)
            t->ended = true;
        send_out(t, now);
    } while (flags);
    if (t->lacking)
        apply_policy(t);
    bool more = hand_steps_over(t, now);
    ts_t next = more ? now : ts_min(control_deadline(t->control), feed_tailnet_deadline(t->feed));

    next = ts_min(next, keep(t, !more && !t->full, now));
    loop_timer_arm(t->loop, &t->timer, ts_min(next, t->identity_due ? t->identity_at : TS_NEVER));
    pass_heartbeat(t, now);
    if (t->ended) {
        t->ended = false;
        t->events.ended(t->events.ctx, now);
    }
}

static void on_connected(void *ctx, ts_t now)
{
    struct tailnet *t = ctx;

    control_connected(t->control, now);
    turn(t, now);
}

static void on_readable(void *ctx, ts_t now)
{
    struct tailnet *t = ctx;
    uint8_t bytes[INPUT_BYTES];
    size_t n = secure_stream_read(t->stream, bytes, sizeof(bytes));

    if (n == 0)
        return;
    control_input(t->control, bytes, n, now);
    turn(t, now);
}

static void on_writable(void *ctx, ts_t now)
{
    turn(ctx, now);
}

static void on_closed(void *ctx, const char *why, ts_t now)
{
    struct tailnet *t = ctx;

    control_closed(t->control, why ? why : "the server ended the connection", now);
    close_stream(t);
    turn(t, now);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct tailnet *t = container_of(timer, struct tailnet, timer);

    if (control_deadline(t->control) <= now)
        control_expire(t->control, now);
    if (feed_tailnet_deadline(t->feed) <= now)
        feed_tailnet_expire(t->feed, now);
    turn(t, now);
}

static void on_go_on(struct feed_source *source, ts_t now)
{
    struct tailnet *t = container_of(source, struct tailnet, source);

    t->full = false;
    turn(t, now);
}

static void on_again(struct feed_source *source, ts_t now)
{
    struct tailnet *t = container_of(source, struct tailnet, source);

    if (feed_tailnet_again(t->feed, control_netmap(t->control)) != 0)
        log_error("tailnet", "event=not_told_again error=\"%s\"", err_str(ERR_NOMEM));
    turn(t, now);
}

/* ---- the owner's side ---- */

struct feed_source *tailnet_source(struct tailnet *t)
{
    return &t->source;
}

const struct control *tailnet_control(const struct tailnet *t)
{
    return t->control;
}

void tailnet_whereabouts(struct tailnet *t, const struct control_whereabouts *whereabouts, ts_t now)
{
    control_whereabouts_set(t->control, whereabouts, now);
    /* not turn(): this may be called from inside its events */
    loop_timer_arm(t->loop, &t->timer, now);
}

void tailnet_log_out(struct tailnet *t, ts_t now)
{
    control_log_out(t->control, now);
    turn(t, now);
}

void tailnet_config(struct tailnet *t, const struct ingress_config_feed *config, ts_t now)
{
    t->config = config;
    apply_policy(t);
    keep_later(t, now);
    turn(t, now);
}

/* restore - what the server said before we were restarted, until it says something */
static void restore(struct tailnet *t)
{
    size_t len = 0;
    int rc = 0;
    char *frame = *t->state_dir ? tailnet_map_read(t->state_dir, t->status.where, &len, &rc) : NULL;

    if (frame) {
        t->identity_due = control_restore(t->control, frame, len);
        rc = t->identity_due ? 0 : ERR_INVALID;
    }
    free(frame);
    if (rc != 0)
        log_warn("tailnet", "event=map_ignored state_dir=\"%s\" error=\"%s\" note=\"nobody is reached until the server "
                 "has spoken\"", t->state_dir, rc == ERR_INVALID ? "damaged, or of another node" : err_str(rc));
    else if (t->identity_due)
        log_info("tailnet", "event=cold_start nodes=%zu", netmap_peers_count(control_netmap(t->control)));
}

static int join(struct tailnet *t, struct rng *rng, const struct tailnet_files *files, ts_t now)
{
    const struct ingress_config_feed_tailnet *c = &t->config->tailnet;
    struct control_keys keys;
    struct feed_tailnet_policy policy;
    char host[URL_STR];
    int rc = tailnet_keys_read(t->state_dir, rng, &keys);

    if (rc != 0) {
        log_error("tailnet", "event=state_failed state_dir=\"%s\" error=\"%s\"", t->state_dir, err_str(rc));
        return rc;
    }
    if (!*t->state_dir)
        log_warn("tailnet", "note=\"without state_dir a restart makes another node of this ingress\"");
    const struct control_config config = {
        .rng = rng,
        .seed = &t->seed,
        .host = url_authority(&t->url, host),
        .hostname = c->hostname,
        .auth_key = files->auth_key,
        .server_key = *c->server_key_text ? c->server_key : NULL,
        .ephemeral = c->ephemeral,
    };

    policy_of(t->config, &policy);
    t->feed = feed_tailnet_new(&policy, &t->seed);
    t->control = control_new(&config, &keys, now);
    crypto_wipe(&keys, sizeof(keys));
    if (!t->feed || !t->control)
        return ERR_NOMEM;
    keep_keys(t); /* the disco key may be a new one */
    restore(t);
    return 0;
}

struct tailnet *tailnet_new(struct loop *loop, struct resolver *resolver, struct rng *rng,
                            const struct ingress_config_feed *config, const char *state_dir,
                            const struct tailnet_files *files, const struct tailnet_events *events, ts_t now)
{
    struct tailnet *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->loop = loop;
    t->resolver = resolver;
    t->config = config;
    t->events = *events;
    t->source.go_on = on_go_on;
    t->source.again = on_again;
    loop_timer_init(&t->timer, on_timer);
    bucket_init(&t->said.bucket, 1, SAID_AT_ONCE);
    t->keep_at = TS_NEVER;
    BUG_ON(url_parse(config->url, strlen(config->url), &t->url)); /* the config's check */
    snprintf(t->status.where, sizeof(t->status.where), "%s", config->url);
    rng_fill(rng, &t->seed, sizeof(t->seed));
    t->tls = files->tls;
    t->state_dir = strdup(state_dir);
    if (!t->state_dir || join(t, rng, files, now) != 0) {
        tailnet_free(t);
        return NULL;
    }
    loop_timer_arm(loop, &t->timer, now); /* the first turn comes from the loop */
    return t;
}

void tailnet_free(struct tailnet *t)
{
    if (!t)
        return;
    close_stream(t);
    tailnet_map_free(t->keeper);
    loop_timer_arm(t->loop, &t->timer, TS_NEVER);
    feed_tailnet_free(t->feed);
    control_free(t->control);
    crypto_wipe(t->told_key, sizeof(t->told_key));
    free(t->state_dir);
    free(t);
}
