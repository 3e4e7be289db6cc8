/* feed_remote.c - after each event the session is asked what it wants (obey), and that is all the logic there is here.
 *
 * The connection is one step behind what the session wants: `talking` says that the stream there is, is the one the
 * session was told of by feed_session_connected. */
#include "ingress/feed_remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/net/secure_stream.h"
#include "common/net/tls.h"
#include "ingress/feed/feed_session.h"

#define PIECE      ((size_t)16 << 10)
#define SECRET_MAX 4096
#define CONNECT_NS (20 * TS_S)

struct feed_remote_files {
    struct ssl_ctx_st *tls;     /* with our certificate, if there is one; NULL: no URL needs TLS */
    struct ssl_ctx_st *foreign; /* for where a redirect leads: without it */
};

struct feed_remote {
    struct feed_source source;
    struct loop *loop;
    struct resolver *resolver;
    struct feed_sink sink;
    struct feed_session *session;
    struct feed_remote_files *files;
    char *secret_file; /* NULL: none */
    struct secure_stream *stream;
    bool talking;
    struct loop_timer timer;
    uint64_t said; /* the session's changes that the sink knows */
    bool open;     /* the map is inside a snapshot of ours */
    bool held;     /* op waits for the map */
    struct feed_op op;
    size_t len, used; /* of piece */
    char piece[PIECE];
};

/* ---- files ---- */

/* the first line of a file that holds a secret; static text: what is wrong */
static const char *read_secret(const char *path, char out[SECRET_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd == -1)
        return err_str(-errno);
    ssize_t n = read(fd, out, SECRET_MAX);
    int rc = n < 0 ? -errno : 0;

    close(fd);
    if (n < 0)
        return err_str(rc);
    if (n == SECRET_MAX)
        return "is larger than 4 KiB";
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r' || out[n - 1] == ' '))
        n--;
    out[n] = 0;
    if (n == 0)
        return "is empty";
    for (ssize_t i = 0; i < n; i++)
        if (out[i] < ' ' || out[i] > '~')
            return "holds more than one line of visible ASCII";
    return NULL;
}

static const char *secret_path(const struct ingress_config_feed *config)
{
    return config->type == INGRESS_CONFIG_FEED_ETCD ? config->password_file : config->token_file;
}

static void check_secret(const struct ingress_config_feed *config, struct config_errors *errors)
{
    char secret[SECRET_MAX];
    const char *path = secret_path(config);
    const char *why = *path ? read_secret(path, secret) : NULL;

    crypto_wipe(secret, sizeof(secret));
    if (why)
        config_errors_add(errors, (struct config_place){.file = path},
                          config->type == INGRESS_CONFIG_FEED_ETCD ? "feed.password_file" : "feed.token_file", "%s", why);
}

static struct ssl_ctx_st *load_tls(const struct tls_client_files *files, struct config_errors *errors)
{
    const char *culprit;
    char why[200];
    struct ssl_ctx_st *ctx = tls_client_new(files, true, &culprit, why, sizeof(why));

    if (!ctx)
        config_errors_add(errors, (struct config_place){.file = culprit}, culprit ? "" : "feed.ca_file", "%s", why);
    return ctx;
}

struct feed_remote_files *feed_remote_files_load(const struct ingress_config_feed *config, struct config_errors *errors)
{
    struct feed_remote_files *files = calloc(1, sizeof(*files));
    const struct tls_client_files names = {
        .ca = config->ca_file, .certificate = config->certificate, .certificate_key = config->certificate_key};
    const struct tls_client_files foreign = {.ca = config->ca_file};
    size_t faults = errors->count;
    bool secure = false;

    if (!files) {
        config_errors_add(errors, (struct config_place){0}, "", "%s", err_str(ERR_NOMEM));
        return NULL;
    }
    for (size_t i = 0; i < config->urls_count; i++)
        secure = secure || strncmp(config->urls[i], "http:", 5) != 0;
    if (secure && (files->tls = load_tls(&names, errors)))
        files->foreign = load_tls(&foreign, errors);
    check_secret(config, errors);
    if (errors->count == faults)
        return files;
    feed_remote_files_free(files);
    return NULL;
}

void feed_remote_files_free(struct feed_remote_files *files)
{
    if (!files)
        return;
    tls_free(files->tls);
    tls_free(files->foreign);
    free(files);
}

/* ---- connections ---- */

static void obey(struct feed_remote *r, ts_t now);
static void on_connected(void *ctx, ts_t now);
static void on_readable(void *ctx, ts_t now);
static void on_writable(void *ctx, ts_t now);
static void on_closed(void *ctx, const char *why, ts_t now);

static const struct secure_stream_events stream_events = {on_connected, on_readable, on_writable, on_closed};

static void close_stream(struct feed_remote *r)
{
    secure_stream_free(r->stream);
    r->stream = NULL;
    r->talking = false;
    crypto_wipe(r->piece, r->len);
    r->len = r->used = 0;
    r->held = false;
}

static void open_stream(struct feed_remote *r, ts_t now)
{
    bool foreign;
    const struct url *url = feed_session_url(r->session, &foreign);
    struct secure_stream_to to = {.host = url->host, .port = url->port, .timeout_ns = CONNECT_NS};

    if (url->secure)
        to.tls = foreign ? r->files->foreign : r->files->tls;
    if (url->secure && !to.tls) {
        feed_session_ended(r->session, "no TLS here: the configuration names http only", now);
        return;
    }
    r->stream = secure_stream_new(r->loop, r->resolver, &to, &stream_events, r, now);
    if (!r->stream)
        feed_session_ended(r->session, err_str(ERR_NOMEM), now);
}

static void send_output(struct feed_remote *r)
{
    const char *data;
    size_t len;

    while (r->talking && (len = feed_session_output(r->session, &data)) > 0) {
        size_t n = secure_stream_write(r->stream, data, len);

        if (n == 0)
            return;
        feed_session_sent(r->session, n);
    }
}

/* ---- steps ---- */

/* offer a step; false: it waits */
static bool offer(struct feed_remote *r, ts_t now)
{
    if (r->sink.take(r->sink.ctx, &r->op, now)) {
        r->held = false;
        if (r->op.kind == FEED_OP_BEGIN || r->op.kind == FEED_OP_END || r->op.kind == FEED_OP_ABORT)
            r->open = r->op.kind == FEED_OP_BEGIN;
        return true;
    }
    r->held = true;
    feed_session_hold(r->session, true, now);
    if (r->stream)
        secure_stream_pause(r->stream);
    return false;
}

/* all steps that the piece at hand makes, and those due without one */
static void hand_on(struct feed_remote *r, ts_t now)
{
    size_t n;

    while (!r->held) {
        bool step = feed_session_input(r->session, r->piece + r->used, r->len - r->used, &n, &r->op, now);

        r->used += n;
        if (!step || !offer(r, now))
            break;
    }
    if (!r->held) {
        crypto_wipe(r->piece, r->len);
        r->len = r->used = 0;
    }
}

static void say(struct feed_remote *r, ts_t now)
{
    uint64_t changes = feed_session_changes(r->session);

    if (changes == r->said)
        return;
    r->said = changes;
    r->sink.say(r->sink.ctx, feed_session_status(r->session), now);
}

static void obey(struct feed_remote *r, ts_t now)
{
    hand_on(r, now);
    enum feed_session_wants wants = feed_session_wants(r->session);

    if (r->stream && (wants == FEED_SESSION_NOTHING || (wants == FEED_SESSION_CONNECT && r->talking)))
        close_stream(r);
    if (wants == FEED_SESSION_CONNECT && !r->stream)
        open_stream(r, now);
    send_output(r);
    say(r, now);
    loop_timer_arm(r->loop, &r->timer, feed_session_deadline(r->session));
}

/* ---- events ---- */

static void on_connected(void *ctx, ts_t now)
{
    struct feed_remote *r = ctx;
    char secret[SECRET_MAX] = "";
    /* read anew for each connection: a token that was replaced is taken up when the old one is refused */
    const char *why = r->secret_file ? read_secret(r->secret_file, secret) : NULL;

    if (why) {
        char text[FEED_SOURCE_TEXT];

        snprintf(text, sizeof(text), "%s: %s", r->secret_file, why);
        feed_session_ended(r->session, text, now);
    } else {
        r->talking = true;
        feed_session_connected(r->session, secret, now);
    }
    crypto_wipe(secret, sizeof(secret));
    obey(r, now);
}

static void on_readable(void *ctx, ts_t now)
{
    struct feed_remote *r = ctx;

    if (r->held)
        return;
    BUG_ON(r->len != 0);
    r->len = secure_stream_read(r->stream, r->piece, sizeof(r->piece));
    if (r->len > 0)
        obey(r, now);
}

static void on_writable(void *ctx, ts_t now)
{
    obey(ctx, now);
}

static void on_closed(void *ctx, const char *why, ts_t now)
{
    struct feed_remote *r = ctx;

    feed_session_ended(r->session, why, now);
    close_stream(r);
    obey(r, now);
}

static void on_timer(struct loop_timer *timer, ts_t now)
{
    struct feed_remote *r = container_of(timer, struct feed_remote, timer);

    feed_session_expire(r->session, now);
    obey(r, now);
}

static void go_on(struct feed_source *source, ts_t now)
{
    struct feed_remote *r = container_of(source, struct feed_remote, source);

    if (!r->held || !offer(r, now))
        return;
    feed_session_hold(r->session, false, now);
    hand_on(r, now);
    if (r->held)
        return;
    if (r->stream)
        secure_stream_resume(r->stream);
    obey(r, now);
}

static void again(struct feed_source *source, ts_t now)
{
    struct feed_remote *r = container_of(source, struct feed_remote, source);

    feed_session_again(r->session, now);
    obey(r, now);
}

/* ---- life ---- */

static struct feed_session *new_session(const struct ingress_config_feed *config, const struct feed_point *resume,
                                        struct rng *rng, ts_t now)
{
    struct url urls[FEED_SESSION_URLS_MAX];
    const struct feed_etcd_config etcd = {config->prefix, config->username};
    struct feed_session_config session = {.urls = urls,
                                          .urls_count = config->urls_count,
                                          .silence_ns = config->silence_ns,
                                          .plain = config->plain,
                                          .rng = rng};

    for (size_t i = 0; i < config->urls_count; i++)
        BUG_ON(url_parse(config->urls[i], strlen(config->urls[i]), &urls[i]) != NULL); /* checked with the rest */
    session.dialect = config->type == INGRESS_CONFIG_FEED_ETCD ? feed_etcd_new(&etcd) : feed_lines_new();
    if (session.dialect)
        session.dialect->point = *resume;
    return feed_session_new(&session, now);
}

struct feed_remote *feed_remote_new(struct loop *loop, struct resolver *resolver,
                                    const struct ingress_config_feed *config, struct feed_remote_files *files,
                                    const struct feed_sink *sink, const struct feed_point *resume, struct rng *rng, ts_t now)
{
    struct feed_remote *r = calloc(1, sizeof(*r));
    const char *path = secret_path(config);

    if (!r) {
        feed_remote_files_free(files);
        return NULL;
    }
    loop_timer_init(&r->timer, on_timer);
    r->loop = loop;
    r->resolver = resolver;
    r->sink = *sink;
    r->files = files;
    r->source.go_on = go_on;
    r->source.again = again;
    r->secret_file = *path ? strdup(path) : NULL;
    r->session = !*path || r->secret_file ? new_session(config, resume, rng, now) : NULL;
    if (!r->session) {
        feed_remote_free(r);
        return NULL;
    }
    loop_timer_arm(loop, &r->timer, feed_session_deadline(r->session));
    return r;
}

struct feed_source *feed_remote_source(struct feed_remote *r)
{
    return &r->source;
}

void feed_remote_free(struct feed_remote *r)
{
    if (!r)
        return;
    loop_timer_arm(r->loop, &r->timer, TS_NEVER);
    close_stream(r);
    if (r->open)
        r->sink.take(r->sink.ctx, &(struct feed_op){.kind = FEED_OP_ABORT}, loop_now());
    feed_session_free(r->session);
    feed_remote_files_free(r->files);
    free(r->secret_file);
    free(r);
}
