/* agent.c - the loop that joins everything.
 *
 *     UDP sockets --datagrams--> tunnel --events--> sessions (an ingress came up, went down)
 *                 <--datagrams--        --events--> offers   (inner connections)  <--> local services
 *
 * Callbacks only feed the tunnel or move bytes between a socket and an inner connection. Once a turn the flush hands
 * out the tunnel's events and sends what there is to send; its next deadline wakes the loop.
 *
 * SIGHUP reads a new setup and swaps it in, or says what is wrong and changes nothing. SIGTERM takes no more offers,
 * gives streams DRAIN_NS, and ends; a second one ends at once. */
#include "node/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/cli/cli.h"
#include "common/crypto/crypto.h"
#include "common/net/logsink.h"
#include "common/net/open_files.h"
#include "common/net/stampfile.h"
#include "common/net/udp.h"
#include "node/offers.h"
#include "node/sessions.h"
#include "node/setup.h"

#define DRAIN_NS          (10 * TS_S)
#define CHUNK_BYTES       (16 * 1024)
#define CHUNKS_MAX        (256u * 1024 * 1024 / CHUNK_BYTES) /* bytes in flight, all streams together */
#define CHUNKS_SPARE      256
#define HANDSHAKES_PER_S  50     /* more: cookies; a handful of ingresses calls once in two minutes each */
#define RECEIVE_BATCHES   4      /* a turn and socket */
#define STAMP_CHECK_NS    (30 * TS_S)

struct agent;

struct udp_socket {
    struct loop_poll poll; /* first */
    struct agent *agent;
    int fd; /* -1: none */
};

struct agent {
    struct loop loop;
    struct rng rng;
    struct pool pool;
    struct tunnel *tunnel;
    struct resolver *resolver;
    struct udp_socket udp4, udp6;
    struct udp_receiver receiver;
    struct udp_sender sender;
    struct sessions sessions;
    struct offers offers;
    struct setup *started; /* with what it started: identity and all that only a restart changes */
    struct stampfile stamps;
    struct loop_timer stamp_check;
    struct loop_timer drain_end;
    uv_signal_t reload, terminate, interrupt;
    const char *path; /* of the configuration */
    bool draining, stopping;
};

/* ---- datagrams ---- */

static void on_datagram(void *ctx, uint8_t *datagram, size_t len, const struct endpoint *from)
{
    struct agent *a = ctx;
    struct wg_half half;

    /* somebody who knows our key but is no ingress of ours: nothing more to do for him */
    if (tunnel_input(a->tunnel, datagram, len, from, &half, loop_now()) == WG_IN_HALF)
        wg_half_wipe(&half);
}

static void on_udp(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct udp_socket *s = container_of(poll, struct udp_socket, poll);

    (void)writable; /* the flush sends */
    (void)now;
    loop_poll_set(poll, UV_READABLE);
    if (readable) {
        int rc = udp_receive(&s->agent->receiver, s->fd, RECEIVE_BATCHES, on_datagram, s->agent);

        if (rc < 0)
            log_debug("node", "event=receive_failed why=\"%s\"", err_str(rc));
    }
}

static void send_datagrams(struct agent *a, ts_t now)
{
    struct endpoint to;
    uint8_t *room;
    size_t len;

    while ((room = udp_sender_room(&a->sender, TUNNEL_DATAGRAM_MAX)) &&
           (len = tunnel_output(a->tunnel, room, TUNNEL_DATAGRAM_MAX, &to, now, loop_wall())) > 0)
        udp_sender_commit(&a->sender, len, &to);
    bool blocked = !udp_sender_flush(&a->sender);
    int events = UV_READABLE | (blocked ? UV_WRITABLE : 0);

    if (a->udp4.fd >= 0)
        loop_poll_set(&a->udp4.poll, events);
    if (a->udp6.fd >= 0)
        loop_poll_set(&a->udp6.poll, events);
}

static int open_udp(struct agent *a, struct udp_socket *s, const struct addrport *at)
{
    char text[ADDRPORT_STR];
    int fd = udp_open(at, false), rc = fd;

    s->agent = a;
    if (fd >= 0) {
        rc = loop_poll_init(&a->loop, &s->poll, fd, on_udp);
        if (rc == 0) {
            s->fd = fd;
            loop_poll_set(&s->poll, UV_READABLE);
            return 0;
        }
        close(fd);
    }
    if (rc == -EAFNOSUPPORT) /* a machine, or a container, with one family only */
        log_warn("node", "event=family_missing listen=%s", addrport_format(at, text));
    else
        log_error("node", "event=failed listen=%s why=\"%s\"", addrport_format(at, text), err_str(rc));
    return rc;
}

/* ---- once a turn ---- */

static bool take_events(struct agent *a, ts_t now)
{
    struct tunnel_event event;
    bool any = false;

    for (; tunnel_event(a->tunnel, &event, now); any = true)
        if (event.kind == TUNNEL_EVENT_TCP)
            offers_event(&a->offers, &event.tcp, now);
        else
            sessions_event(&a->sessions, &event, now);
    return any;
}

static void stop(struct agent *a);

/* true: nothing is left that a peer waits for */
static bool drained(const struct agent *a)
{
    struct tcp_stack_stats tcp;

    tcp_stack_stats(tunnel_tcp(a->tunnel), &tcp);
    return a->offers.count == 0 && tcp.conns <= tcp.time_wait;
}

static ts_t flush(void *ctx, ts_t now)
{
    struct agent *a = ctx;

    if (!a->tunnel)
        return TS_NEVER;
    if (tunnel_deadline(a->tunnel) <= now)
        tunnel_expire(a->tunnel, now);
    do
        send_datagrams(a, now);
    while (take_events(a, now));
    if (a->stopping ? a->offers.count == 0 : a->draining && drained(a))
        stop(a);
    return tunnel_deadline(a->tunnel);
}

static void keep_stamps(struct agent *a)
{
    int rc = stampfile_keep(&a->stamps, wg_device_stamp_last(tunnel_wg(a->tunnel)), loop_wall());

    if (rc != 0)
        log_error("node", "event=state_not_kept dir=%s why=\"%s\"", a->started->config->state_dir, err_str(rc));
}

static void on_stamp_check(struct loop_timer *timer, ts_t now)
{
    struct agent *a = container_of(timer, struct agent, stamp_check);

    keep_stamps(a);
    loop_timer_arm(&a->loop, timer, ts_add(now, STAMP_CHECK_NS));
}

/* ---- reload and end ---- */

static void log_errors(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count && i < CONFIG_ERRORS_MAX; i++)
        log_error("config", "%s", errors->line[i]);
    if (errors->count > CONFIG_ERRORS_MAX)
        log_error("config", "and %zu more", errors->count - CONFIG_ERRORS_MAX);
}

static void say_restart(const char *path, void *ctx)
{
    (void)ctx;
    log_warn("reload", "event=needs_restart key=%s", path);
}

static void on_reload(uv_signal_t *signal, int number)
{
    struct agent *a = container_of(signal, struct agent, reload);
    struct config_errors errors;
    struct setup *setup;
    ts_t now = loop_now();

    (void)number;
    if (a->draining)
        return;
    config_errors_init(&errors);
    if (setup_load(a->path, &errors, &setup) != 0) {
        log_errors(&errors);
        log_error("reload", "event=failed errors=%zu", errors.count);
        return;
    }
    config_changed(&node_config_schema, a->started->config, setup->config, say_restart, NULL);
    if (memcmp(a->started->public_key, setup->public_key, KEY_BYTES) != 0)
        say_restart("key_file", NULL);
    log_level_set(setup->config->log.level);
    sessions_apply(&a->sessions, setup, now);
    offers_setup(&a->offers, setup);
    log_info("reload", "event=done ingresses=%zu services=%zu", setup->config->ingresses_count,
             setup->config->services_count);
    setup_put(setup);
}

static void stop(struct agent *a)
{
    a->stopping = true;
    offers_stop(&a->offers, loop_now());
    if (a->offers.count == 0)
        loop_stop(&a->loop);
}

static void on_drain_end(struct loop_timer *timer, ts_t now)
{
    (void)now;
    stop(container_of(timer, struct agent, drain_end));
}

static void end(struct agent *a, int number)
{
    ts_t now = loop_now();

    if (a->draining) {
        log_info("node", "event=stopping signal=%d streams=%zu", number, a->offers.count);
        stop(a);
        return;
    }
    a->draining = true;
    offers_drain(&a->offers, now);
    log_info("node", "event=draining signal=%d streams=%zu", number, a->offers.count);
    loop_timer_arm(&a->loop, &a->drain_end, ts_add(now, DRAIN_NS));
}

static void on_terminate(uv_signal_t *signal, int number)
{
    end(container_of(signal, struct agent, terminate), number);
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    end(container_of(signal, struct agent, interrupt), number);
}

/* ---- beginning ---- */

static int start_tunnel(struct agent *a)
{
    struct tunnel_config config = {.wg = {.rng = &a->rng, .handshakes_per_s = HANDSHAKES_PER_S}};
    uint64_t floor_ns;

    tcp_config_default(&config.tcp);
    config.tcp.rng = &a->rng;
    config.tcp.pool = &a->pool;
    config.tcp.congestion = a->started->config->tcp.congestion;
    a->tunnel = tunnel_new(&config);
    if (!a->tunnel)
        return ERR_NOMEM;
    int rc = stampfile_open(&a->stamps, a->started->config->state_dir, &floor_ns);

    if (rc != 0) {
        log_error("node", "event=failed state_dir=%s why=\"%s\"", a->started->config->state_dir, err_str(rc));
        return rc;
    }
    wg_device_stamp_floor_set(tunnel_wg(a->tunnel), floor_ns);
    keep_stamps(a);
    return wg_identity_add(tunnel_wg(a->tunnel), a->started->private_key);
}

static int start_udp(struct agent *a)
{
    const struct node_config *c = a->started->config;
    int rc = udp_receiver_init(&a->receiver);

    for (size_t i = 0; i < c->listen_count && (rc == 0 || rc == -EAFNOSUPPORT); i++)
        rc = open_udp(a, addr_is_v4(&c->listen[i].addr) ? &a->udp4 : &a->udp6, &c->listen[i]);
    if (rc == -EAFNOSUPPORT && (a->udp4.fd >= 0 || a->udp6.fd >= 0))
        rc = 0; /* the other one will do */
    return rc == 0 ? udp_sender_init(&a->sender, a->udp4.fd, a->udp6.fd) : rc;
}

static int start_signals(struct agent *a)
{
    static const struct {
        size_t offset;
        uv_signal_cb fn;
        int number;
    } signals[] = {
        {offsetof(struct agent, reload), on_reload, SIGHUP},
        {offsetof(struct agent, terminate), on_terminate, SIGTERM},
        {offsetof(struct agent, interrupt), on_interrupt, SIGINT},
    };

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        uv_signal_t *s = (uv_signal_t *)(void *)((char *)a + signals[i].offset);
        int rc = uv_signal_init(&a->loop.uv, s);

        if (rc == 0)
            rc = uv_signal_start(s, signals[i].fn, signals[i].number);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void close_signal(uv_signal_t *s)
{
    if (s->loop) /* zero until initialised */
        uv_close((uv_handle_t *)s, NULL);
}

static void close_udp(struct udp_socket *s)
{
    if (s->fd < 0)
        return;
    loop_poll_close(&s->poll, NULL);
    close(s->fd);
    s->fd = -1;
}

static void say_ready(const struct agent *a)
{
    char key[KEY_STR], addr[ADDR_STR], udp4[ADDRPORT_STR] = "none", udp6[ADDRPORT_STR] = "none";
    struct addrport local;

    key_format(a->started->public_key, key);
    if (a->udp4.fd >= 0 && udp_local(a->udp4.fd, &local) == 0)
        addrport_format(&local, udp4);
    if (a->udp6.fd >= 0 && udp_local(a->udp6.fd, &local) == 0)
        addrport_format(&local, udp6);
    log_info("node", "event=ready version=%s public_key=%s address=%s peerapi_port=%u udp4=%s udp6=%s", FUNNEL_VERSION,
             key, addr_format(&a->started->addrs[0], addr), (unsigned)a->offers.port, udp4, udp6);
}

int agent_run(const char *path)
{
    static struct agent agent; /* handles must not move, and it is big */
    struct agent *a = &agent;
    struct config_errors errors;
    int code = CLI_FAILED, rc;

    *a = (struct agent){.path = path, .udp4.fd = -1, .udp6.fd = -1};
    config_errors_init(&errors);
    if (setup_load(path, &errors, &a->started) != 0) {
        log_errors(&errors);
        return CLI_CONFIG;
    }
    log_level_set(a->started->config->log.level);
    open_files_raise("node");
    open_files_compare("node", OFFERS_MAX, "streams", ""); /* each has a connection to its service */
    crypto_rng(&a->rng);
    pool_init(&a->pool, CHUNK_BYTES, CHUNKS_MAX, CHUNKS_SPARE);
    loop_timer_init(&a->stamp_check, on_stamp_check);
    loop_timer_init(&a->drain_end, on_drain_end);
    rc = loop_init(&a->loop, flush, a);
    if (rc != 0)
        goto put_setup;
    a->resolver = resolver_new(&a->loop);
    rc = a->resolver ? start_tunnel(a) : ERR_NOMEM;
    if (rc == 0)
        rc = start_udp(a);
    if (rc == 0)
        rc = start_signals(a);
    if (rc != 0)
        goto close_all;
    rc = offers_init(&a->offers, &a->loop, tunnel_tcp(a->tunnel), a->resolver, a->started);
    if (rc != 0)
        goto close_all;
    sessions_init(&a->sessions, &a->loop, a->tunnel, a->resolver, &a->rng, a->started, a->udp4.fd >= 0,
                  a->udp6.fd >= 0);
    say_ready(a);
    sessions_apply(&a->sessions, a->started, loop_now());
    loop_timer_arm(&a->loop, &a->stamp_check, ts_add(loop_now(), STAMP_CHECK_NS));
    loop_run(&a->loop);
    sessions_deinit(&a->sessions, loop_now());
    offers_deinit(&a->offers);
    log_info("node", "event=stopped");
    code = CLI_OK;

close_all:
    if (rc != 0)
        log_error("node", "event=failed why=\"%s\"", err_str(rc));
    close_udp(&a->udp4);
    close_udp(&a->udp6);
    udp_sender_deinit(&a->sender);
    udp_receiver_deinit(&a->receiver);
    close_signal(&a->reload);
    close_signal(&a->terminate);
    close_signal(&a->interrupt);
    resolver_free(a->resolver);
    tunnel_free(a->tunnel);
    a->tunnel = NULL;
    loop_deinit(&a->loop);
put_setup:
    pool_deinit(&a->pool);
    setup_put(a->started);
    return code;
}
