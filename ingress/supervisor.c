/* supervisor.c - keeps one server child running, and tells it what to serve.
 *
 *      SIGHUP --> supply_load --> next --COMMIT--> server --APPLIED--> current
 *                                   |                 |
 *                                   +<----FAILED------+   next is dropped: nothing has changed
 *
 * `current` is the supply in force, `next` one that a server has been sent and has not answered yet. The first start is
 * no special case: there is a next and no current, and a failure leaves nothing to go on with, so the program ends.
 * A server that dies later is replaced, after a pause that grows with each failure; meanwhile visitors wait in the
 * kernel's queue, because the listening sockets are ours too. A next outlives the server that was to change over to it:
 * the successor starts with it. A next that died with a server that was started with it is not tried again.
 *
 * A server is believed one answer to a question, and one farewell. One that says more is ended.
 *
 * Ending goes through three stages, each entered once, each with a deadline after which the child is killed:
 * DRAINING (the first SIGTERM), STOPPING (the second), and after the child's exit the loop stops. */
#include "ingress/supervisor.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/cli/cli.h"
#include "common/crypto/crypto.h"
#include "common/net/loop.h"
#include "common/net/open_files.h"
#include "ingress/ipc.h"
#include "ingress/sandbox/sandbox.h"
#include "ingress/server_process.h"
#include "ingress/sockets.h"
#include "ingress/supply.h"

#define RESTART_MIN_NS  TS_S
#define RESTART_MAX_NS  (30 * TS_S)
#define HEALTHY_NS      (60 * TS_S) /* who served this long starts the back-off anew when it dies */
#define STOP_NS         (2 * TS_S)  /* from STOP, or from a hang-up, to SIGKILL */
#define DRAIN_MARGIN_NS (10 * TS_S) /* beyond the drain the server was configured for */

enum stage {
    STAGE_SERVING = 0,
    STAGE_DRAINING,
    STAGE_STOPPING,
};

static const int signals_wanted[] = {SIGHUP, SIGINT, SIGTERM, SIGCHLD};

struct supervisor {
    struct loop loop;
    uv_signal_t signals[ARRAY_SIZE(signals_wanted)];
    const char *file;
    struct sockets sockets;
    struct supply *current; /* in force; NULL until the first server was ready */
    struct supply *next;    /* sent and not answered; NULL: no reload under way */
    uint32_t number;        /* the last generation's */
    bool reload_again;      /* a SIGHUP came while one could not be begun */
    enum stage stage;
    struct server_process *server; /* NULL while waiting to restart */
    uint64_t restart_delay_ns;
    struct loop_timer restart;
    struct loop_timer patience; /* the child must have ended by then */
    int status;                 /* what supervisor_run returns */
};

static void reload(struct supervisor *s, ts_t now);

static void log_errors(const struct config_errors *errors)
{
    size_t kept = MIN(errors->count, (size_t)CONFIG_ERRORS_MAX);

    for (size_t i = 0; i < kept; i++)
        log_error("config", "%s", errors->line[i]);
    if (errors->count > kept)
        log_error("config", "... and %zu more", errors->count - kept);
}

/* log_reasons - a server's FAILED, line by line. */
static void log_reasons(const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");

        log_error("config", "%.*s", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

static void log_needs_restart(const char *path, void *ctx)
{
    (void)ctx;
    log_warn("reload", "key=%s warning=\"a new value needs a restart; the running one stays\"", path);
}

/* ---- the server ---- */

static const struct server_process_owner owner;

static void kill_server(struct supervisor *s, const char *why)
{
    log_error("supervisor", "event=kill pid=%d reason=\"%s\"", (int)s->server->pid, why);
    server_process_kill(s->server);
}

/* drop_next - the generation under way came to nothing. */
static void drop_next(struct supervisor *s)
{
    if (!s->next)
        return;
    if (s->current)
        log_error("reload", "event=failed generation=%u still=%u", s->next->number, s->current->number);
    sockets_abort(&s->sockets, s->next->number);
    supply_free(s->next);
    s->next = NULL;
}

/* promote_next - the server works by it now. */
static void promote_next(struct supervisor *s)
{
    if (s->current) {
        config_changed(&ingress_config_schema, s->current->config, s->next->config, log_needs_restart, NULL);
        log_info("reload", "event=done generation=%u", s->next->number);
    }
    supply_free(s->current);
    s->current = s->next;
    s->next = NULL;
    sockets_commit(&s->sockets, s->current->number);
    log_level_set(s->current->config->log.level);
}

/* sent - what became of sending to the server. -EPIPE: it has ended already; its last words and its exit status say
 * more. */
static void sent(struct supervisor *s, int rc)
{
    if (rc != 0 && rc != -EPIPE)
        kill_server(s, err_str(rc));
}

static void send_stage(struct supervisor *s)
{
    enum ipc_type type = s->stage == STAGE_DRAINING ? IPC_DRAIN : IPC_STOP;

    sent(s, ipc_send(s->server->ipc_fd, type, s->server->generation, NULL, 0, -1));
}

static void restart_later(struct supervisor *s, ts_t now)
{
    struct rng rng;

    crypto_rng(&rng);
    /* up to a quarter more, so that a fleet that fails by one cause does not come back in step */
    uint64_t delay_ns = s->restart_delay_ns + rng_below(&rng, s->restart_delay_ns / 4);

    log_warn("supervisor", "event=restart in_ms=%llu", (unsigned long long)(delay_ns / TS_MS));
    loop_timer_arm(&s->loop, &s->restart, ts_add(now, delay_ns));
    s->restart_delay_ns = MIN(2 * s->restart_delay_ns, RESTART_MAX_NS);
}

/* start_server - and send it what it is to serve: next if there is one. */
static int start_server(struct supervisor *s)
{
    const struct supply *supply = s->next ? s->next : s->current;
    int rc = server_process_start(&s->loop, &owner, s, &s->server);

    if (rc != 0) {
        log_error("supervisor", "event=start_failed error=\"%s\"", err_str(rc));
        return rc;
    }
    log_info("supervisor", "event=start pid=%d generation=%u", (int)s->server->pid, supply->number);
    sent(s, supply_send(supply, &s->sockets, 0, s->server->ipc_fd));
    return 0;
}

static void on_restart(struct loop_timer *timer, ts_t now)
{
    struct supervisor *s = container_of(timer, struct supervisor, restart);

    if (start_server(s) != 0)
        restart_later(s, now);
}

static void on_patience(struct loop_timer *timer, ts_t now)
{
    struct supervisor *s = container_of(timer, struct supervisor, patience);

    (void)now;
    if (s->server)
        kill_server(s, "did not end in time");
}

static void protocol_error(struct supervisor *s, const struct ipc_message *msg)
{
    log_error("supervisor", "event=unexpected_message type=%s generation=%u", ipc_type_name(msg->type),
              msg->generation);
    kill_server(s, "protocol error");
}

/* expect_end - the server should be about to exit by itself. */
static void expect_end(struct supervisor *s, ts_t now)
{
    loop_timer_arm(&s->loop, &s->patience, ts_min(s->patience.timer.at, ts_add(now, STOP_NS)));
}

/* said_once - false: it has said that already. */
static bool said_once(struct server_process *server, enum ipc_type type)
{
    uint32_t bit = 1u << type;
    bool first = !(server->said & bit);

    server->said |= bit;
    return first;
}

/* on_answer - READY, APPLIED or FAILED; about the generation that was sent last. */
static void on_answer(struct supervisor *s, const struct ipc_message *msg, ts_t now)
{
    struct server_process *server = s->server;
    const struct supply *asked = s->next ? s->next : s->current;
    bool started = server->generation != 0;
    bool fits = msg->generation == asked->number &&
                (msg->type == IPC_READY ? !started : msg->type == IPC_FAILED || started) && (!started || s->next);

    if (!fits || (!started && !said_once(server, IPC_FAILED))) {
        protocol_error(s, msg);
        return;
    }
    if (msg->type == IPC_FAILED) {
        log_reasons(msg->u.text);
        if (started)
            drop_next(s);
        else /* it ends by itself, which is where we go on */
            expect_end(s, now);
    } else {
        server->generation = msg->generation;
        server->ready_at = ts_min(server->ready_at, now);
        if (s->next)
            promote_next(s);
    }
    if (server->generation != 0 && s->reload_again)
        reload(s, now);
}

static void on_message(struct server_process *server, struct ipc_message *msg, ts_t now)
{
    struct supervisor *s = server->ctx;

    switch (msg->type) {
    case IPC_READY:
    case IPC_APPLIED:
    case IPC_FAILED:
        on_answer(s, msg, now);
        return;
    case IPC_LISTENERS_CLOSED:
    case IPC_DRAINED:
        if (s->stage == STAGE_SERVING || !said_once(server, msg->type))
            protocol_error(s, msg);
        else if (msg->type == IPC_LISTENERS_CLOSED)
            sockets_close_listeners(&s->sockets);
        else
            log_info("supervisor", "event=drained");
        return;
    default:
        protocol_error(s, msg);
    }
}

static void on_hung_up(struct server_process *server, ts_t now)
{
    expect_end(server->ctx, now);
}

static const struct server_process_owner owner = {.message = on_message, .hung_up = on_hung_up};

static void log_exit(const struct supervisor *s, int wait_status)
{
    enum log_level level = s->stage == STAGE_SERVING || WIFSIGNALED(wait_status) ? LOG_ERROR : LOG_INFO;

    if (WIFSIGNALED(wait_status))
        log_at(level, "supervisor", "event=ended pid=%d signal=%s", (int)s->server->pid,
               sigabbrev_np(WTERMSIG(wait_status)));
    else
        log_at(level, "supervisor", "event=ended pid=%d status=%d", (int)s->server->pid, WEXITSTATUS(wait_status));
}

/* on_exited - its process is gone; what it said last is still to be heard. */
static void on_exited(struct supervisor *s, int wait_status, ts_t now)
{
    struct server_process *server = s->server;
    int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : CLI_FAILED;

    log_exit(s, wait_status);
    server_process_exited(server, now);
    bool reload_died = s->next && s->current;
    bool was_healthy = server->ready_at != TS_NEVER && ts_since(now, server->ready_at) >= HEALTHY_NS;
    bool started_with_next = server->generation == 0;

    s->server = NULL;
    server_process_free(server);
    loop_timer_arm(&s->loop, &s->patience, TS_NEVER);
    if (started_with_next)
        drop_next(s);
    if (s->stage != STAGE_SERVING || !s->current) {
        s->status = s->stage == STAGE_SERVING && status == CLI_OK ? CLI_FAILED : status;
        loop_stop(&s->loop);
        return;
    }
    if (was_healthy || reload_died)
        s->restart_delay_ns = RESTART_MIN_NS;
    restart_later(s, now);
    if (s->reload_again)
        reload(s, now); /* no server may get as far as to be asked again */
}

/* ---- signals ---- */

/* reap - as process 1 of a container all orphans are ours to wait for. */
static void reap(struct supervisor *s, ts_t now)
{
    int wait_status;
    pid_t pid;

    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        if (s->server && pid == s->server->pid)
            on_exited(s, wait_status, now);
}

static void reload(struct supervisor *s, ts_t now)
{
    struct config_errors errors;

    s->reload_again = s->next || (s->server && s->server->generation == 0);
    if (s->reload_again)
        return; /* one at a time */
    config_errors_init(&errors);
    s->next = supply_load(s->file, ++s->number, &errors);
    if (!s->next) {
        log_errors(&errors);
        log_error("reload", "event=failed generation=%u still=%u", s->number, s->current->number);
        return;
    }
    if (sockets_open(&s->sockets, s->next->config, s->number, s->file, &errors) != 0) {
        log_errors(&errors);
        drop_next(s);
        return;
    }
    if (!s->server) {
        loop_timer_arm(&s->loop, &s->restart, now); /* perhaps this repairs what it died of */
        return;
    }
    sent(s, supply_send(s->next, &s->sockets, s->server->generation, s->server->ipc_fd));
}

static void end(struct supervisor *s, ts_t now)
{
    if (s->stage == STAGE_STOPPING)
        return;
    s->stage = s->stage == STAGE_SERVING ? STAGE_DRAINING : STAGE_STOPPING;
    s->reload_again = false;
    if (!s->server) {
        loop_stop(&s->loop);
        return;
    }
    const struct ingress_config_drain *drain = s->current ? &s->current->config->drain : &s->next->config->drain;
    uint64_t patience_ns =
        s->stage == STAGE_STOPPING ? STOP_NS : ts_add(drain->delay_ns, drain->timeout_ns + DRAIN_MARGIN_NS);

    log_info("supervisor", "event=%s", s->stage == STAGE_DRAINING ? "drain" : "stop");
    loop_timer_arm(&s->loop, &s->patience, ts_add(now, patience_ns));
    send_stage(s);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct supervisor *s = handle->data;
    ts_t now = loop_now();

    if (signum == SIGCHLD)
        reap(s, now);
    else if (signum != SIGHUP)
        end(s, now);
    else if (s->stage == STAGE_SERVING)
        reload(s, now);
}

static int watch_signals(struct supervisor *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(signals_wanted); i++) {
        uv_signal_init(&s->loop.uv, &s->signals[i]);
        s->signals[i].data = s;
    }
    for (size_t i = 0; i < ARRAY_SIZE(signals_wanted); i++) {
        int rc = uv_signal_start(&s->signals[i], on_signal, signals_wanted[i]);

        if (rc != 0)
            return rc;
    }
    return 0;
}

static void unwatch_signals(struct supervisor *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(signals_wanted); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
}

/* ---- start ---- */

static uint32_t workers_of(const struct ingress_config *config)
{
    cpu_set_t cpus;

    if (config->workers != 0)
        return config->workers;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        return 1;
    return (uint32_t)MIN(CPU_COUNT(&cpus), INGRESS_CONFIG_WORKERS_MAX);
}

/* prepare - everything that can fail for a reason an operator repairs. Returns an exit status. */
static int prepare(struct supervisor *s)
{
    struct config_errors errors;

    config_errors_init(&errors);
    s->next = supply_load(s->file, ++s->number, &errors);
    if (!s->next) {
        log_errors(&errors);
        return CLI_CONFIG;
    }
    log_level_set(s->next->config->log.level);
    /* visitors beyond it wait in the kernel's queue rather than being turned away */
    open_files_compare("supervisor", s->next->config->limits.connections, "limits_connections",
                       " or lower limits.connections");
    sockets_init(&s->sockets, workers_of(s->next->config));
    int udp = sockets_open_udp(&s->sockets, s->next->config, s->file, &errors);
    int tcp = sockets_open(&s->sockets, s->next->config, s->number, s->file, &errors);
    int admin = sockets_open_admin(&s->sockets, s->next->config, s->file, &errors);

    if (udp == 0 && tcp == 0 && admin == 0)
        return CLI_OK;
    log_errors(&errors);
    return CLI_FAILED;
}

static int run(struct supervisor *s)
{
    int rc = loop_init(&s->loop, NULL, NULL);

    if (rc != 0) {
        log_error("supervisor", "event=start_failed error=\"%s\"", err_str(rc));
        return CLI_FAILED;
    }
    loop_timer_init(&s->restart, on_restart);
    loop_timer_init(&s->patience, on_patience);
    rc = watch_signals(s);
    if (rc != 0)
        log_error("supervisor", "event=start_failed error=\"%s\"", err_str(rc));
    else if (start_server(s) == 0)
        loop_run(&s->loop);
    else
        rc = -1;
    unwatch_signals(s);
    loop_deinit(&s->loop);
    return rc == 0 ? s->status : CLI_FAILED;
}

int supervisor_run(const char *file)
{
    struct supervisor s = {.file = file, .restart_delay_ns = RESTART_MIN_NS};

    log_info("supervisor", "event=begin version=%s config=%s", FUNNEL_VERSION, file);
    open_files_raise("supervisor");
    int status = sandbox_hide_memory() == 0 ? prepare(&s) : CLI_FAILED;

    if (status == CLI_OK)
        status = run(&s);
    sockets_deinit(&s.sockets);
    supply_free(s.next);
    supply_free(s.current);
    log_info("supervisor", "event=end status=%d", status);
    return status;
}
