#include "ingress/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/stream.h"
#include "ingress/admin_status.h"
#include "ingress/probe.h"

struct client {
    struct loop_poll poll;
    struct admin *admin;
    int fd;
    struct probe *probe; /* NULL: none under way */
    struct metrics_round *round; /* NULL: none under way */
    char line[ADMIN_LINE_MAX];
    size_t line_len;
    bool gone; /* closed as soon as nobody works with it */
    struct client *next;
};

struct admin {
    struct loop *loop;
    struct loop_poll poll;
    int listen_fd;
    struct workers *workers;
    struct feed_host *feed;
    struct generation *generation; /* with a reference; NULL before the first */
    struct client *clients;
    size_t clients_count;
};

/* One collection of samples: it outlives its client if that leaves, until the last worker has answered. */
struct metrics_round {
    struct client *client; /* NULL: gone */
    unsigned awaited;
    bool status; /* else metrics */
    struct metrics_sample sum;
};

/* ---- answers ---- */

/* a line into the socket's buffer, which holds many; false: the client does not read, or is gone */
static bool send_line(int fd, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
    size_t len = text ? strlen(text) : 0;
    bool sent = false;

    if (text) {
        text[len] = '\n'; /* in place of its zero: from here on it is bytes */
        sent = send(fd, text, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len + 1;
    }
    free(text);
    return sent;
}

static void say(struct client *c, const json_t *object)
{
    if (!c->gone && !send_line(c->fd, object))
        c->gone = true;
}

static void say_error(struct client *c, const char *error)
{
    json_t *object = json_pack("{s:s}", "error", error);

    if (object)
        say(c, object);
    json_decref(object);
}

/* ---- clients ---- */

static void on_client_closed(struct loop_poll *poll)
{
    free(container_of(poll, struct client, poll));
}

static void client_close(struct client *c)
{
    struct admin *admin = c->admin;
    struct client **at = &admin->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    admin->clients_count--;
    probe_free(c->probe);
    if (c->round)
        c->round->client = NULL;
    loop_poll_close(&c->poll, on_client_closed);
    close(c->fd);
}

static void on_step(void *ctx, const json_t *step)
{
    say(ctx, step);
}

static void on_done(void *ctx, bool passed)
{
    struct client *c = ctx;
    json_t *result = json_pack("{s:s, s:s}", "step", "result", "status", passed ? "ok" : "failed");

    if (result)
        say(c, result);
    json_decref(result);
    log_info("admin", "event=probed passed=%s", passed ? "yes" : "no");
    probe_free(c->probe);
    c->probe = NULL;
}

static void run_probe(struct client *c, const json_t *request, ts_t now)
{
    const struct probe_listener listener = {.step = on_step, .done = on_done, .ctx = c};
    const char *name = json_string_value(json_object_get(request, "name"));
    const json_int_t port = json_integer_value(json_object_get(request, "port"));
    struct probe_request probe;
    const char *wrong = name ? probe_request_read(&probe, name, port > 0 ? (unsigned long long)port : 0,
                                                  json_string_value(json_object_get(request, "source")))
                             : "a probe needs a name";

    if (!wrong && !c->admin->generation)
        wrong = "the server is starting";
    if (wrong) {
        say_error(c, wrong);
        return;
    }
    log_info("admin", "event=probe name=%s port=%u", probe.name, (unsigned)probe.port);
    c->probe = probe_new(c->admin->loop, c->admin->workers, c->admin->generation, &probe, &listener);
    if (c->probe)
        probe_start(c->probe, now); /* may be done when it returns */
    else
        say_error(c, err_str(ERR_NOMEM));
}

/* ---- metrics ---- */

static void run_lines(struct client *c, ts_t now);

static json_t *metrics_answer(const struct metrics_round *round, const struct underlay *underlay)
{
    struct admin *admin = round->client->admin;
    struct feed_report feed;
    ts_t now = loop_now();

    feed_host_report(admin->feed, &feed, now);
    char *text = metrics_text(&round->sum, admin->generation, admin->workers->count, &feed, underlay, now);
    json_t *answer = text ? json_pack("{s:s}", "metrics", text) : NULL;

    free(text);
    return answer;
}

static json_t *status_answer(const struct metrics_round *round, const struct underlay *underlay)
{
    struct admin *admin = round->client->admin;
    struct feed_report feed;
    ts_t now = loop_now();

    feed_host_report(admin->feed, &feed, now);
    return json_pack("{s:o}", "status", admin_status(&round->sum, admin->generation, &feed, underlay, now));
}

static void round_done(struct metrics_round *round, const struct underlay *underlay)
{
    struct client *c = round->client;

    if (c) {
        json_t *answer = round->status ? status_answer(round, underlay) : metrics_answer(round, underlay);

        c->round = NULL;
        if (answer)
            say(c, answer);
        else
            say_error(c, err_str(ERR_NOMEM));
        json_decref(answer);
    }
    free(round);
}

void admin_sampled(struct admin *admin, struct metrics_mail *mail, const struct underlay *underlay)
{
    struct metrics_round *round = mail->round;

    (void)admin; /* may be gone: the round knows its client */
    metrics_add(&round->sum, &mail->sample);
    free(mail);
    if (--round->awaited > 0)
        return;
    struct client *c = round->client;

    round_done(round, underlay);
    if (c)
        run_lines(c, loop_now()); /* the next request may wait */
}

static void run_round(struct client *c, bool status)
{
    struct workers *workers = c->admin->workers;
    struct metrics_round *round = c->admin->generation ? calloc(1, sizeof(*round)) : NULL;

    if (!round) {
        say_error(c, c->admin->generation ? err_str(ERR_NOMEM) : "the server is starting");
        return;
    }
    round->client = c;
    round->status = status;
    c->round = round;
    for (unsigned i = 0; i < workers->count; i++) {
        struct metrics_mail *mail = calloc(1, sizeof(*mail));

        if (!mail)
            continue;
        mail->round = round;
        if (mailbox_post(workers->list[i].mailbox, MAIL_SAMPLE, mail))
            round->awaited++;
        else
            free(mail);
    }
    if (round->awaited == 0)
        round_done(round, NULL); /* no worker could be asked */
}

static void run_metrics(struct client *c, const json_t *request, ts_t now)
{
    (void)request;
    (void)now;
    run_round(c, false);
}

static void run_status(struct client *c, const json_t *request, ts_t now)
{
    (void)request;
    (void)now;
    run_round(c, true);
}

static const struct command {
    const char *name;
    void (*run)(struct client *client, const json_t *request, ts_t now);
} commands[] = {
    {"probe", run_probe},
    {"metrics", run_metrics},
    {"status", run_status},
};

static void run(struct client *c, const char *line, size_t len, ts_t now)
{
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(request, "command"));
    size_t i = 0;

    while (name && i < ARRAY_SIZE(commands) && strcmp(commands[i].name, name) != 0)
        i++;
    if (name && i < ARRAY_SIZE(commands))
        commands[i].run(c, request, now);
    else
        say_error(c, request ? "no such command" : "not a line of JSON");
    json_decref(request);
}

/* whole lines that are here, as long as nothing is under way */
static void run_lines(struct client *c, ts_t now)
{
    char *end;

    while (!c->gone && !c->probe && !c->round && (end = memchr(c->line, '\n', c->line_len))) {
        size_t used = (size_t)(end + 1 - c->line);

        run(c, c->line, used, now);
        c->line_len -= used;
        memmove(c->line, c->line + used, c->line_len);
    }
    if (!c->gone && !c->probe && !c->round && c->line_len == sizeof(c->line)) {
        say_error(c, "the request is too long");
        c->gone = true;
    }
}

static void on_client(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct client *c = container_of(poll, struct client, poll);

    (void)readable;
    (void)writable;
    /* without room: who goes on talking while a probe runs does not speak this */
    ssize_t n = recv(c->fd, c->line + c->line_len, sizeof(c->line) - c->line_len, 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        c->gone = true;
    else if (n > 0)
        c->line_len += (size_t)n;
    run_lines(c, now);
    if (c->gone)
        client_close(c);
}

static void client_new(struct admin *admin, int fd)
{
    struct client *c = admin->clients_count < ADMIN_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

    if (!c || loop_poll_init(admin->loop, &c->poll, fd, on_client) != 0) {
        json_t *busy = json_pack("{s:s}", "error", "too many are asking; try again later");

        if (busy)
            (void)send_line(fd, busy);
        json_decref(busy);
        close(fd);
        free(c);
        return;
    }
    c->admin = admin;
    c->fd = fd;
    c->next = admin->clients;
    admin->clients = c;
    admin->clients_count++;
    loop_poll_set(&c->poll, UV_READABLE);
}

static void on_listener(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    struct admin *admin = container_of(poll, struct admin, poll);
    struct addrport nobody;
    int fd = stream_accept(admin->listen_fd, &nobody);

    (void)readable;
    (void)writable;
    (void)now;
    if (fd >= 0)
        client_new(admin, fd);
}

/* ---- life ---- */

struct admin *admin_new(struct loop *loop, int listen_fd, struct workers *workers, struct feed_host *feed)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (!admin || loop_poll_init(loop, &admin->poll, listen_fd, on_listener) != 0) {
        close(listen_fd);
        free(admin);
        return NULL;
    }
    admin->loop = loop;
    admin->listen_fd = listen_fd;
    admin->workers = workers;
    admin->feed = feed;
    loop_poll_set(&admin->poll, UV_READABLE);
    return admin;
}

void admin_generation(struct admin *admin, struct generation *generation)
{
    generation_put(admin->generation);
    admin->generation = generation_get(generation);
}

void admin_probed(struct admin *admin, struct probe_offer *offer, ts_t now)
{
    struct client *c = admin->clients;

    while (c && (!c->probe || probe_id(c->probe) != offer->walk))
        c = c->next;
    if (c) {
        probe_answer(c->probe, offer, now);
        run_lines(c, now);
        if (c->gone)
            client_close(c);
    }
    free(offer);
}

static void on_admin_closed(struct loop_poll *poll)
{
    free(container_of(poll, struct admin, poll));
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    while (admin->clients)
        client_close(admin->clients);
    generation_put(admin->generation);
    loop_poll_close(&admin->poll, on_admin_closed);
    close(admin->listen_fd);
}
