/* server.c - the main thread of the server child.
 *
 *      supervisor --ipc--> staged --COMMIT--> generation --mail--> every worker --MAIL_READY--> READY or APPLIED
 *
 * What comes between BEGIN and COMMIT is only collected. COMMIT parses the configuration, enters the sandbox if it is the
 * first, and has the feed read (feed_host.h); if anything is wrong the stage is thrown away and the supervisor is told
 * why. Otherwise each worker gets the new generation by mail and says when it has taken over; when all have, and the feed
 * is in force, that is the generation's answer.
 *
 * The main thread also keeps the floor of WireGuard's initiation stamps. */
#include "ingress/server.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "common/crypto/secret.h"
#include "common/net/loop.h"
#include "common/net/stampfile.h"
#include "ingress/access_log.h"
#include "ingress/address_book.h"
#include "ingress/admin.h"
#include "ingress/feed_host.h"
#include "ingress/feed_remote.h"
#include "ingress/generation.h"
#include "ingress/ipc.h"
#include "ingress/limits.h"
#include "ingress/mailbox.h"
#include "ingress/membership.h"
#include "ingress/sandbox/sandbox.h"
#include "ingress/sandbox/sandbox_filter.h"
#include "ingress/worker.h"

#define KEYS_MAX        16             /* 8 identities with a previous key each */
#define STAMP_EVERY_NS  (30 * TS_S)
#define CONFIG_BYTES_MAX (1 << 20)
#define HANDSHAKES_PER_S 1000          /* until the workers have measured what one costs */

struct staged_listener {
    struct staged_listener *next;
    uint32_t worker;
    struct listener_mail *mail;
};

/* a generation under way, from BEGIN to COMMIT */
struct stage {
    bool open;
    uint32_t number;
    uint32_t workers;
    char *config_name;
    char *config_text;
    size_t config_len;
    struct ipc_key *keys; /* KEYS_MAX, in one guarded block */
    size_t keys_count;
    struct staged_listener *listeners;
    int udp[WORKERS_MAX][2]; /* [1]: IPv4; -1: none */
    int admin;               /* -1: none */
};

enum phase {
    PHASE_STARTING = 0,
    PHASE_SERVING,
    PHASE_APPLYING, /* a generation is with the workers */
    PHASE_DELAY,    /* drain.delay: still accepting */
    PHASE_CLOSING,  /* listeners are being closed */
    PHASE_DRAINING,
    PHASE_STOPPING,
};

struct server {
    struct loop loop;
    struct loop_poll ipc;
    int ipc_fd;
    struct rng rng;
    struct stage stage;
    struct generation *generation;
    struct generation *next; /* its feed is being read */
    struct feed_host *feed;
    struct address_book *book;
    struct resolver *resolver;             /* NULL: the feed is a file */
    struct feed_remote *remote;            /* likewise */
    struct feed_remote_files *remote_files; /* of the generation that is staged, until its remote begins */
    struct workers workers;
    struct worker list[WORKERS_MAX];
    unsigned running; /* workers whose threads were started */
    unsigned awaited; /* workers that have not said MAIL_READY yet */
    enum phase phase;
    bool drain_wanted; /* DRAIN came while a generation was under way */
    struct loop_timer drain;
    struct loop_timer stamp;
    char *state_dir; /* the first generation's: a later one's needs a restart */
    struct stampfile stampfile;
    struct admin *admin; /* NULL: none configured */
    struct membership *membership; /* of a tailnet; NULL: another feed */
    int status;
};

static void tell(struct server *s, enum ipc_type type, uint32_t generation)
{
    int rc = ipc_send(s->ipc_fd, type, generation, NULL, 0, -1);

    if (rc != 0)
        log_error("server", "event=ipc_send type=%s error=\"%s\"", ipc_type_name(type), err_str(rc));
}

/* ---- the stage ---- */

static void stage_clear(struct server *s)
{
    struct stage *stage = &s->stage;

    free(stage->config_name);
    free(stage->config_text);
    secret_free(stage->keys);
    while (stage->listeners) {
        struct staged_listener *l = stage->listeners;

        stage->listeners = l->next;
        if (l->mail && l->mail->fd >= 0)
            close(l->mail->fd);
        free(l->mail);
        free(l);
    }
    for (int i = 0; i < WORKERS_MAX; i++)
        for (int f = 0; f < 2; f++)
            if (stage->open && stage->udp[i][f] >= 0)
                close(stage->udp[i][f]);
    if (stage->open && stage->admin >= 0)
        close(stage->admin);
    memset(stage, 0, sizeof(*stage));
    memset(stage->udp, 0xff, sizeof(stage->udp)); /* -1 */
    stage->admin = -1;
}

static void stage_config(struct server *s, struct ipc_message *msg)
{
    struct stat st;

    if (fstat(msg->fd, &st) != 0 || st.st_size > CONFIG_BYTES_MAX)
        return;
    char *text = malloc((size_t)st.st_size + 1);

    if (!text)
        return;
    ssize_t n = pread(msg->fd, text, (size_t)st.st_size, 0);

    if (n != st.st_size) {
        free(text);
        return;
    }
    text[n] = 0;
    free(s->stage.config_text);
    free(s->stage.config_name);
    s->stage.config_text = text;
    s->stage.config_len = (size_t)n;
    s->stage.config_name = strdup(msg->u.text);
}

static void stage_key(struct server *s, const struct ipc_message *msg)
{
    if (!s->stage.keys)
        s->stage.keys = secret_alloc(KEYS_MAX * sizeof(*s->stage.keys));
    if (s->stage.keys && s->stage.keys_count < KEYS_MAX)
        s->stage.keys[s->stage.keys_count++] = msg->u.key;
}

static void stage_listener(struct server *s, struct ipc_message *msg)
{
    struct staged_listener *l = calloc(1, sizeof(*l));
    struct listener_mail *mail = calloc(1, sizeof(*mail));

    if (!l || !mail || msg->fd < 0) { /* without a descriptor: held already, and the config names it */
        free(l);
        free(mail);
        return;
    }
    mail->fd = msg->fd;
    msg->fd = -1;
    memcpy(mail->address, msg->u.listener.address, sizeof(mail->address));
    l->worker = msg->u.listener.worker;
    l->mail = mail;
    l->next = s->stage.listeners;
    s->stage.listeners = l;
}

static void stage_udp(struct server *s, struct ipc_message *msg)
{
    const struct ipc_udp *udp = &msg->u.udp;

    if (udp->worker >= WORKERS_MAX)
        return;
    s->stage.udp[udp->worker][udp->family == 4] = msg->fd;
    msg->fd = -1;
}

static void stage_admin(struct server *s, struct ipc_message *msg)
{
    if (s->stage.admin >= 0)
        close(s->stage.admin);
    s->stage.admin = msg->fd;
    msg->fd = -1;
}

static void begin_drain(struct server *s, ts_t now);
static void check_ready(struct server *s, ts_t now);

/* ---- generations ---- */

static void fail_stage(struct server *s, const struct config_errors *errors)
{
    char text[IPC_PAYLOAD_MAX];
    size_t at = 0;

    text[0] = 0;
    for (size_t i = 0; i < MIN(errors->count, (size_t)CONFIG_ERRORS_MAX) && at < sizeof(text) - 2; i++)
        at += (size_t)MIN(snprintf(text + at, sizeof(text) - at, "%s%s", i ? "\n" : "", errors->line[i]),
                          (int)(sizeof(text) - at - 1));
    int rc = ipc_send_text(s->ipc_fd, IPC_FAILED, s->stage.number, at ? text : "out of memory");

    if (rc != 0)
        log_error("server", "event=ipc_send type=IPC_FAILED error=\"%s\"", err_str(rc));
    stage_clear(s);
    if (s->phase == PHASE_STARTING) {
        s->status = 1;
        loop_stop(&s->loop);
    }
}

static bool start_workers(struct server *s)
{
    s->workers.list = s->list;
    s->workers.count = s->stage.workers;
    for (unsigned i = 0; i < s->workers.count; i++) {
        int rc = worker_init(&s->list[i], &s->workers, i, s->generation, s->stage.udp[i][1], s->stage.udp[i][0]);

        if (rc != 0) {
            log_error("server", "event=worker_failed worker=%u error=\"%s\"", i, err_str(rc));
            return false;
        }
        s->stage.udp[i][0] = s->stage.udp[i][1] = -1;
    }
    for (; s->running < s->workers.count; s->running++) {
        int rc = worker_start(&s->list[s->running]);

        if (rc != 0) {
            log_error("server", "event=worker_failed worker=%u error=\"%s\"", s->running, err_str(rc));
            return false;
        }
    }
    return true;
}

/* Orders must arrive. What strangers cause fills half of a box at most, visitors on their way could fill the rest for a
 * moment: the worker is about to empty it. */
static void must_post(struct worker *worker, enum mail_kind kind, void *data)
{
    static const struct timespec moment = {.tv_nsec = (long)TS_MS};

    while (!mailbox_post(worker->mailbox, kind, data))
        nanosleep(&moment, NULL);
}

static void post_stamp_floor(struct server *s, uint64_t floor)
{
    for (unsigned i = 0; floor && i < s->workers.count; i++) {
        uint64_t *copy = malloc(sizeof(*copy));

        if (!copy)
            return;
        *copy = floor;
        must_post(&s->list[i], MAIL_STAMP, copy);
    }
}

static void open_state(struct server *s)
{
    uint64_t floor = 0;

    s->state_dir = strdup(s->generation->config->state_dir);
    int rc = s->state_dir ? stampfile_open(&s->stampfile, s->state_dir, &floor) : ERR_NOMEM;

    if (rc == 0)
        rc = stampfile_keep(&s->stampfile, floor, loop_wall());
    if (rc != 0)
        log_warn("server", "event=state_failed state_dir=\"%s\" error=\"%s\" note=\"WireGuard stamps are not kept\"",
                 s->generation->config->state_dir, err_str(rc));
    post_stamp_floor(s, floor);
}

static void keep_stamp(struct loop_timer *t, ts_t now)
{
    struct server *s = container_of(t, struct server, stamp);
    /* a worker's newest stamp is at most the wall clock, or just above the floor it was given */
    int rc = stampfile_keep(&s->stampfile, 0, loop_wall());

    if (rc != 0)
        log_warn("server", "event=state_failed error=\"%s\"", err_str(rc));
    loop_timer_arm(&s->loop, t, ts_add(now, STAMP_EVERY_NS));
}

static void open_admin(struct server *s)
{
    if (s->stage.admin < 0)
        return;
    s->admin = admin_new(&s->loop, s->stage.admin, &s->workers, s->feed);
    s->stage.admin = -1;
    if (!s->admin)
        log_error("server", "event=admin_failed error=\"%s\"", err_str(ERR_NOMEM));
}

/* ---- the tailnet feed ---- */

static struct generation *joined_as(struct generation *base, const struct identity *identity)
{
    struct generation *g = generation_joined(base, identity->private_key, identity->previous_private, identity->addrs,
                                             identity->addrs_count);

    if (!g)
        log_error("server", "event=identity_failed error=\"%s\"", err_str(ERR_NOMEM));
    return g;
}

/* A generation like a reload's, without the supervisor: the workers answer, and a reload that is under way waits for
 * these answers too. */
static void on_identity(void *ctx, const struct tailnet_identity *identity, ts_t now)
{
    struct server *s = ctx;
    struct identity id = {.private_key = identity->key, .previous_private = identity->previous,
                          .addrs_count = identity->addrs_count};

    (void)now;
    memcpy(id.addrs, identity->addrs, sizeof(id.addrs));
    struct generation *g = joined_as(s->generation, &id);

    if (!g)
        return;
    generation_put(s->generation);
    s->generation = g;
    for (unsigned i = 0; i < s->workers.count; i++)
        must_post(&s->list[i], MAIL_GENERATION, generation_get(g));
    if (s->admin)
        admin_generation(s->admin, g);
    s->awaited += s->workers.count;
}

static void on_left(void *ctx, ts_t now)
{
    struct server *s = ctx;

    (void)now;
    if (s->phase == PHASE_STOPPING)
        loop_stop(&s->loop);
}

static void join(struct server *s, ts_t now)
{
    const struct membership_owner owner = {.identity = on_identity, .left = on_left, .ctx = s};

    if (s->membership && membership_start(s->membership, &s->workers, &s->rng, feed_host_sink(s->feed), &owner, now) == 0)
        feed_host_source_set(s->feed, membership_source(s->membership));
}

/* keep_identity - a reload's generation goes on under the identity we have; takes and returns a reference */
static struct generation *keep_identity(struct server *s, struct generation *g)
{
    struct generation *same = s->generation->identities[0].private_key ? joined_as(g, &s->generation->identities[0]) : NULL;

    if (!same)
        return g;
    generation_put(g);
    return same;
}

/* begin_remote - the feed's connections by the generation in force. A reload asks for all of it: the server may be
 * another one. */
static void begin_remote(struct server *s, bool first, ts_t now)
{
    const struct ingress_config_feed *config = &s->generation->config->feed;
    struct feed_report report;
    struct feed_point none = {.revision = 0};

    if (config->type != INGRESS_CONFIG_FEED_HTTPS && config->type != INGRESS_CONFIG_FEED_ETCD)
        return;
    feed_host_source_set(s->feed, NULL);
    feed_remote_free(s->remote);
    s->remote = NULL;
    if (!s->resolver)
        s->resolver = resolver_new(&s->loop);
    feed_host_report(s->feed, &report, now);
    if (s->resolver)
        s->remote = feed_remote_new(&s->loop, s->resolver, config, s->remote_files, feed_host_sink(s->feed),
                                    first ? &report.map->point : &none, &s->rng, now);
    else
        feed_remote_files_free(s->remote_files);
    s->remote_files = NULL;
    if (!s->remote) {
        log_error("feed", "event=source_failed error=\"%s\"", err_str(ERR_NOMEM));
        return;
    }
    feed_host_source_set(s->feed, feed_remote_source(s->remote));
}

static void end_remote(struct server *s)
{
    feed_host_source_set(s->feed, NULL);
    feed_remote_free(s->remote);
    feed_remote_files_free(s->remote_files);
    resolver_free(s->resolver);
    s->remote = NULL;
    s->remote_files = NULL;
    s->resolver = NULL;
}

static void apply(struct server *s, struct generation *g, ts_t now)
{
    bool first = s->generation == NULL;

    if (!first && s->membership) {
        g = keep_identity(s, g);
        membership_config(s->membership, g->config, now);
    }
    generation_put(s->generation);
    s->generation = g;
    log_level_set(g->config->log.level);
    if (first)
        s->workers.access = access_log_new(); /* a thread: not before the sandbox */
    if (s->workers.access)
        access_log_to_stderr(s->workers.access, g->config->log.access == INGRESS_CONFIG_ACCESS_STDERR);
    if (first) {
        if (!s->workers.access || !start_workers(s)) {
            s->status = 1;
            loop_stop(&s->loop);
            return;
        }
        open_state(s);
        open_admin(s);
        s->book = s->state_dir ? address_book_new(&s->loop, &s->workers, s->state_dir) : NULL;
        feed_host_watch(s->feed, now);
        loop_timer_arm(&s->loop, &s->stamp, ts_add(now, STAMP_EVERY_NS));
    }
    /* listeners after the generation: it is what tells their settings */
    for (unsigned i = 0; i < s->workers.count; i++)
        must_post(&s->list[i], MAIL_GENERATION, generation_get(g));
    if (first && s->book)
        address_book_call(s->book, now);
    for (struct staged_listener *l = s->stage.listeners; l; l = l->next)
        if (l->worker < s->workers.count) {
            must_post(&s->list[l->worker], MAIL_LISTENER, l->mail);
            l->mail = NULL;
        }
    if (s->admin)
        admin_generation(s->admin, g);
    s->awaited += s->workers.count;
    s->phase = first ? PHASE_STARTING : PHASE_APPLYING;
    stage_clear(s);
    begin_remote(s, first, now);
    if (first)
        join(s, now);
}

static bool enter_sandbox(const struct ingress_config *config, struct config_errors *errors)
{
    const struct sandbox sandbox = {.user = config->user,
                                    .confine = config->sandbox,
                                    .files = {.feed = config->feed.path,
                                              .state_dir = config->state_dir,
                                              .more = {config->feed.token_file, config->feed.password_file,
                                                       config->feed.ca_file, config->feed.certificate,
                                                       config->feed.certificate_key},
                                              .dials = config->feed.type != INGRESS_CONFIG_FEED_FILE}};

    if (sandbox_enter(&sandbox) != 0) {
        config_errors_add(errors, (struct config_place){0}, "user", "can't give up privileges");
        return false;
    }
    if (!config->sandbox) {
        log_warn("sandbox", "sandbox=off note=\"files and system calls are not restricted, debuggers may look in\"");
        sandbox_show_memory();
    }
    return true;
}

static void explain_access(struct server *s, int rc, struct config_errors *errors)
{
    if (rc == -EACCES && !s->generation)
        config_errors_add(errors, (struct config_place){0}, "feed.path",
                          "is read by the server, which runs as uid %u (see `user`)", (unsigned)geteuid());
    else if (rc == -EACCES)
        config_errors_add(errors, (struct config_place){0}, "feed.path",
                          "a running server (uid %u) can only read in the folder of the feed it started with: "
                          "another folder needs a restart",
                          (unsigned)geteuid());
}

/* remote_files - what a network feed needs of this machine's files, as the user that will read them. */
static bool remote_files(struct server *s, const struct generation *g, struct config_errors *errors)
{
    const struct ingress_config_feed *feed = &g->config->feed;

    if (s->generation && s->generation->config->feed.type != feed->type) {
        config_errors_add(errors, (struct config_place){0}, "feed.type", "can't change in a running server: restart it");
        return false;
    }
    feed_remote_files_free(s->remote_files);
    s->remote_files = NULL;
    if (feed->type != INGRESS_CONFIG_FEED_HTTPS && feed->type != INGRESS_CONFIG_FEED_ETCD)
        return true;
    s->remote_files = feed_remote_files_load(feed, errors);
    return s->remote_files != NULL;
}

/* first_feed - as the user that will read it at every reload, so that what won't work later fails at once. */
static bool first_feed(struct server *s, struct generation *g, struct config_errors *errors)
{
    int rc = feed_host_start(s->feed, g->config, errors);

    explain_access(s, rc, errors);
    return rc == 0;
}

/* staged_generation - everything that is staged, joined; NULL: see errors. The first one enters the sandbox on the way,
 * before any other thread or visitor, and then reads the feed, which others write; later ones read it beside their work. */
static struct generation *staged_generation(struct server *s, struct config_errors *errors)
{
    struct stage *stage = &s->stage;
    struct generation_key keys[KEYS_MAX];
    bool first = s->generation == NULL;

    if (!stage->config_text || !stage->config_name || (first && (stage->workers == 0 || stage->workers > WORKERS_MAX))) {
        config_errors_add(errors, (struct config_place){0}, "", "the supervisor's generation is incomplete");
        return NULL;
    }
    for (size_t i = 0; i < stage->keys_count; i++)
        keys[i] = (struct generation_key){stage->keys[i].identity, stage->keys[i].previous, stage->keys[i].key};
    struct generation *g = generation_load(stage->number, stage->config_name, stage->config_text, stage->config_len,
                                           keys, stage->keys_count, errors);

    if (g && (!first || (membership_read(g->config, &s->loop, &s->membership, errors) == 0 &&
                         enter_sandbox(g->config, errors))) &&
        remote_files(s, g, errors) && (!first || first_feed(s, g, errors)))
        return g;
    generation_put(g);
    return NULL;
}

static void commit(struct server *s, ts_t now)
{
    struct config_errors *errors = calloc(1, sizeof(*errors));

    BUG_ON(!errors);
    config_errors_init(errors);
    struct generation *g = staged_generation(s, errors);

    if (!g) {
        fail_stage(s, errors);
    } else if (!s->generation) {
        apply(s, g, now);
    } else { /* on_feed_loaded goes on */
        s->next = g;
        s->phase = PHASE_APPLYING;
        feed_host_reload(s->feed, g->config);
    }
    free(errors);
}

static void on_feed_loaded(void *ctx, int rc, const struct config_errors *errors, ts_t now)
{
    struct server *s = ctx;
    struct generation *g = s->next;

    s->next = NULL;
    if (!g) /* stopping */
        return;
    if (rc == 0) {
        apply(s, g, now);
        return;
    }
    struct config_errors *all = malloc(sizeof(*all));

    BUG_ON(!all);
    *all = *errors;
    explain_access(s, rc, all);
    generation_put(g);
    s->phase = PHASE_SERVING;
    fail_stage(s, all);
    free(all);
    if (s->drain_wanted)
        begin_drain(s, now);
}

static void on_feed_settled(void *ctx, ts_t now)
{
    struct server *s = ctx;

    check_ready(s, now);
}

/* ---- the end ---- */

static void stop(struct server *s)
{
    if (s->phase == PHASE_STOPPING)
        return;
    s->phase = PHASE_STOPPING;
    if (s->membership)
        membership_leave(s->membership, loop_now()); /* on_left goes on, within seconds */
    else
        loop_stop(&s->loop);
}

static void close_listeners(struct server *s)
{
    s->phase = PHASE_CLOSING;
    s->awaited = s->workers.count;
    for (unsigned i = 0; i < s->workers.count; i++)
        must_post(&s->list[i], MAIL_CLOSE_LISTENERS, NULL);
}

static void begin_drain(struct server *s, ts_t now)
{
    const struct ingress_config_drain *config = &s->generation->config->drain;

    log_info("server", "event=draining delay_ms=%llu timeout_ms=%llu", (unsigned long long)(config->delay_ns / TS_MS),
             (unsigned long long)(config->timeout_ns / TS_MS));
    s->phase = PHASE_DELAY;
    loop_timer_arm(&s->loop, &s->drain, ts_add(now, config->delay_ns));
}

static void on_drain_timer(struct loop_timer *t, ts_t now)
{
    struct server *s = container_of(t, struct server, drain);

    if (s->phase == PHASE_DELAY) {
        close_listeners(s);
        loop_timer_arm(&s->loop, t, ts_add(now, s->generation->config->drain.timeout_ns));
        return;
    }
    log_warn("server", "event=drain_timeout note=\"live streams are ended\"");
    stop(s);
}

/* A visitor may be in the mail between two workers that are both empty: the count of all is what tells. The last one's
 * worker says MAIL_EMPTY after it has left. */
static void check_drained(struct server *s)
{
    if (s->phase == PHASE_DRAINING && atomic_load(&s->workers.limits->connections) == 0)
        stop(s);
}

/* ---- mail from the workers ---- */

static void warn_empty(const struct server *s)
{
    /* a feed that comes over the network says later what there is */
    if (s->generation->config->feed.type == INGRESS_CONFIG_FEED_FILE && route_node_count(s->workers.routes) == 0)
        log_warn("feed", "event=empty path=\"%s\" note=\"no node is served\"", s->generation->config->feed.path);
}

/* every worker has answered, and of the feed nothing is left to be put in force */
static void check_ready(struct server *s, ts_t now)
{
    if (s->awaited > 0 || s->next || feed_host_busy(s->feed))
        return;
    switch (s->phase) {
    case PHASE_STARTING:
        warn_empty(s);
        log_info("server", "event=ready workers=%u nodes=%zu", s->workers.count,
                 route_node_count(s->workers.routes));
        s->phase = PHASE_SERVING;
        tell(s, IPC_READY, s->generation->number);
        break;
    case PHASE_APPLYING:
        warn_empty(s);
        log_info("server", "event=applied generation=%u nodes=%zu", s->generation->number,
                 route_node_count(s->workers.routes));
        s->phase = PHASE_SERVING;
        tell(s, IPC_APPLIED, s->generation->number);
        break;
    case PHASE_CLOSING:
        s->phase = PHASE_DRAINING;
        tell(s, IPC_LISTENERS_CLOSED, 0);
        check_drained(s);
        break;
    default:
        break;
    }
    if (s->phase == PHASE_SERVING && s->drain_wanted)
        begin_drain(s, now);
}

static void on_worker_ready(struct server *s, ts_t now)
{
    if (s->awaited > 0 && --s->awaited == 0)
        check_ready(s, now);
}

static void on_heard(struct server *s, struct call_mail *mail, ts_t now)
{
    if (s->book)
        address_book_heard(s->book, mail->node, &mail->at, now);
    else
        route_node_put(mail->node);
    free(mail);
}

static void on_mail(void *ctx, const struct mail *mail)
{
    struct server *s = ctx;
    ts_t now = loop_now();

    switch ((enum mail_kind)mail->kind) {
    case MAIL_READY:
        on_worker_ready(s, now);
        break;
    case MAIL_EMPTY:
        check_drained(s);
        break;
    case MAIL_PROBED:
        if (s->admin)
            admin_probed(s->admin, mail->data, now);
        else
            free(mail->data);
        break;
    case MAIL_HEARD:
        on_heard(s, mail->data, now);
        break;
    case MAIL_SAMPLED:
        admin_sampled(s->admin, mail->data, membership_underlay(s->membership));
        break;
    case MAIL_UNDERLAY:
        if (membership_underlay(s->membership))
            underlay_datagram(membership_underlay(s->membership), mail->data, now);
        else
            free(mail->data);
        break;
    case MAIL_RELAY:
        if (membership_underlay(s->membership))
            underlay_relay(membership_underlay(s->membership), mail->data, now);
        else
            free(mail->data);
        break;
    case MAIL_SENDING:
        if (membership_underlay(s->membership))
            underlay_sending(membership_underlay(s->membership), mail->data, now);
        else
            free(mail->data);
        break;
    default:
        WARN_ON(true); /* the workers' */
        break;
    }
}

/* ---- messages from the supervisor ---- */

static void on_message(struct server *s, struct ipc_message *msg, ts_t now)
{
    switch (msg->type) {
    case IPC_BEGIN:
        stage_clear(s);
        s->stage.open = true;
        s->stage.number = msg->generation;
        s->stage.workers = msg->u.begin.workers;
        break;
    case IPC_CONFIG:
        stage_config(s, msg);
        break;
    case IPC_KEY:
        stage_key(s, msg);
        break;
    case IPC_LISTENER:
        stage_listener(s, msg);
        break;
    case IPC_UDP:
        stage_udp(s, msg);
        break;
    case IPC_ADMIN:
        stage_admin(s, msg);
        break;
    case IPC_COMMIT:
        if (s->stage.open && (s->phase == PHASE_STARTING || s->phase == PHASE_SERVING))
            commit(s, now);
        break;
    case IPC_DRAIN:
        if (s->phase == PHASE_SERVING)
            begin_drain(s, now);
        else if (s->phase < PHASE_DELAY)
            s->drain_wanted = true;
        break;
    case IPC_STOP:
        stop(s);
        break;
    default:
        log_warn("server", "event=ipc_unexpected type=%s", ipc_type_name(msg->type));
        break;
    }
}

static void on_ipc(struct loop_poll *p, bool readable, bool writable, ts_t now)
{
    struct server *s = container_of(p, struct server, ipc);
    struct ipc_message msg;

    (void)readable;
    (void)writable;
    for (;;) {
        int rc = ipc_recv(s->ipc_fd, &msg);

        if (rc == -EAGAIN)
            return;
        if (rc == ERR_INVALID) {
            log_error("server", "event=ipc_invalid note=\"dropped\"");
            continue;
        }
        if (rc <= 0) {
            log_error("server", "event=supervisor_gone error=\"%s\"", err_str(rc));
            s->status = 1;
            loop_poll_set(p, 0);
            stop(s);
            return;
        }
        on_message(s, &msg, now);
        ipc_message_deinit(&msg);
    }
}

/* ---- life ---- */

static ts_t flush(void *ctx, ts_t now)
{
    struct server *s = ctx;

    struct underlay *underlay = membership_underlay(s->membership);

    return underlay ? underlay_flush(underlay, now) : TS_NEVER;
}

static void stop_workers(struct server *s)
{
    for (unsigned i = 0; i < s->running; i++)
        must_post(&s->list[i], MAIL_STOP, NULL);
    for (unsigned i = 0; i < s->running; i++)
        worker_join(&s->list[i]);
    /* some set up and not started: the machine refused a thread, and the process ends as it is */
    for (unsigned i = 0; s->running == s->workers.count && i < s->running; i++)
        worker_free(&s->list[i]);
}

int server_run(int ipc_fd)
{
    int refused = sandbox_filter_no_io_uring();

    if (refused != 0)
        log_error("sandbox", "event=filter_failed error=\"%s\"", err_str(refused));
    if (refused != 0 || sandbox_hide_memory() != 0)
        return 1;
    struct server *s = calloc(1, sizeof(*s));

    BUG_ON(!s);
    s->ipc_fd = ipc_fd;
    stage_clear(s);
    crypto_rng(&s->rng);
    rng_fill(&s->rng, s->workers.cookie_seed, sizeof(s->workers.cookie_seed));
    /* keys of a feed are somebody else's choice: jansson's tables get a good seed, as later it can't open /dev/urandom */
    json_object_seed((size_t)rng_u64(&s->rng) | 1);
    loop_timer_init(&s->drain, on_drain_timer);
    loop_timer_init(&s->stamp, keep_stamp);
    int rc = loop_init(&s->loop, flush, s);

    if (rc == 0)
        rc = loop_poll_init(&s->loop, &s->ipc, ipc_fd, on_ipc);
    s->workers.limits = limits_new(&s->rng);
    s->workers.load = wg_load_new(HANDSHAKES_PER_S, &s->rng);
    const struct feed_host_listener listener = {.loaded = on_feed_loaded, .settled = on_feed_settled, .ctx = s};

    s->feed = rc == 0 ? feed_host_new(&s->loop, &s->workers, &s->rng, &listener) : NULL;
    s->workers.server = rc == 0 ? mailbox_new(&s->loop.uv, on_mail, s) : NULL;
    if (rc != 0 || !s->feed || !s->workers.limits || !s->workers.load || !s->workers.server) {
        log_error("server", "event=start_failed error=\"%s\"", err_str(rc ? rc : ERR_NOMEM));
        return 1; /* the process ends */
    }
    loop_poll_set(&s->ipc, UV_READABLE);
    loop_run(&s->loop);
    bool ordered = s->phase == PHASE_STOPPING;

    admin_free(s->admin);
    s->admin = NULL;
    membership_free(s->membership);
    s->membership = NULL;
    stop_workers(s);
    access_log_free(s->workers.access);
    mailbox_close(s->workers.server);
    address_book_free(s->book);
    end_remote(s);
    feed_host_free(s->feed);
    if (ordered && s->status == 0) {
        log_info("server", "event=stopped");
        tell(s, IPC_DRAINED, 0);
    }
    loop_timer_arm(&s->loop, &s->drain, TS_NEVER);
    loop_timer_arm(&s->loop, &s->stamp, TS_NEVER);
    loop_poll_close(&s->ipc, NULL);
    loop_deinit(&s->loop);
    stage_clear(s);
    wg_load_free(s->workers.load);
    limits_free(s->workers.limits);
    generation_put(s->next);
    generation_put(s->generation);
    int status = s->status;

    close(s->ipc_fd);
    free(s->state_dir);
    free(s);
    return status;
}
