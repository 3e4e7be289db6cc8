/* probe_command.c - asks the running ingress where the configuration names an admin socket and somebody answers there,
 * else walks by itself. Then, with --public, it is a visitor like any other. */
#include "ingress/probe_command.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/cli/cli.h"
#include "common/config/config_file.h"
#include "common/net/stream.h"
#include "common/net/tls_look.h"
#include "ingress/admin_call.h"
#include "ingress/probe.h"
#include "ingress/probe_alone.h"

#define PORT_DEFAULT   443
#define PATIENCE_NS    (15 * TS_S) /* beyond offer.timeout, for the next step to come */
#define CALL_NS        (60 * TS_S) /* a funnel-node looks for a silent ingress after two keepalives, 50 s by default */
#define PUBLIC_TEXT    800
#define WIDTH          110 /* columns of a line for people */
#define INDENT         34

static const char help[] =
    "usage: funnel-ingress probe [-c FILE] [--json] [--public ADDRESS:PORT] [--source IP] NAME[:PORT]\n"
    "\n"
    "Walks a visitor's way to NAME on public PORT (443): feed, WireGuard, the node's peerapi, its answer; tells each\n"
    "step with its time and, where it stops, why and what to do.\n"
    "\n"
    "  -c, --config FILE            the ingress's configuration\n"
    "  -p, --public ADDRESS:PORT    then visit the public listener there, with TLS, and show the certificate\n"
    "  -s, --source IP              whom the node is told the visitor is (default " PROBE_SOURCE ", a documentation\n"
    "                               address)\n"
    "  -j, --json                   one JSON object a step\n"
    "  -h, --help                   print this\n"
    "\n"
    "A running ingress is asked through its admin.socket; where none runs, the probe takes its place meanwhile.\n"
    "The node is offered a stream that is closed at once: the service behind it may log a visitor without a request.\n"
    "\n"
    "Exit status: 0 every step passed, 1 one failed, 2 usage, 78 the configuration is wrong.\n";

struct command {
    const char *file;
    const char *public_at; /* NULL: not asked for */
    const char *source;    /* NULL: the default */
    bool json;
    struct probe_request request;
    bool failed;
};

static int usage(const char *what)
{
    fprintf(stderr, "funnel-ingress probe: %s; try funnel-ingress probe --help\n", what);
    return CLI_USAGE;
}

/* ---- steps ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* print_words - at most WIDTH columns, from the column that the step's text begins in */
static void print_words(const char *text)
{
    int at = INDENT;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (at > INDENT && at + 1 + len > WIDTH) {
            printf("\n%*s", INDENT, "");
            at = INDENT;
        }
        at += printf("%s%.*s", at > INDENT ? " " : "", len, text);
        text += len + (text[len] == ' ');
    }
    putchar('\n');
}

static void print_text(const json_t *step)
{
    const char *reason = text_of(step, "reason"), *what = text_of(step, "advice");

    printf("%-11s  %-6s %9.1f ms  ", text_of(step, "step"), text_of(step, "status"),
           json_real_value(json_object_get(step, "ms")));
    print_words(text_of(step, "text"));
    if (*reason)
        printf("%*s%s\n", INDENT, "reason: ", reason);
    if (*what) {
        printf("%*s", INDENT, "to do: ");
        print_words(what);
    }
}

static void show(void *ctx, const json_t *step)
{
    struct command *c = ctx;

    if (strcmp(text_of(step, "status"), "failed") == 0)
        c->failed = true;
    if (c->json) {
        json_dumpf(step, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        print_text(step);
    }
    fflush(stdout);
}

/* tell - a step of this program's own; advice may be NULL */
static void tell(struct command *c, const char *name, const char *status, ts_t began, const char *what,
                 const char *text)
{
    json_t *step = probe_step(name, status, (double)(ts_since(loop_now(), began) / TS_US) / 1000.0, REASON_OK, text);

    if (step && what)
        json_object_set_new(step, "advice", json_string(what));
    if (step)
        show(c, step);
    else
        c->failed = true;
    json_decref(step);
}

/* ---- the running ingress ---- */

static json_t *request_of(const struct command *c)
{
    char source[ADDRPORT_STR];

    return json_pack("{s:s, s:s, s:i, s:s}", "command", "probe", "name", c->request.name, "port", (int)c->request.port,
                     "source", addrport_format(&c->request.source, source));
}

/* one line of the ingress's; 1: go on, 0: that was the result, -1: it is an error */
static int take_line(struct command *c, const char *line, size_t len)
{
    json_t *step = json_loadb(line, len, 0, NULL);
    const char *error = text_of(step, "error");
    int verdict = 1;

    if (!step || *error) {
        fprintf(stderr, "funnel-ingress probe: the running ingress says: %s\n", *error ? error : "nothing sensible");
        verdict = -1;
    } else if (strcmp(text_of(step, "step"), "result") == 0) {
        if (strcmp(text_of(step, "status"), "ok") != 0)
            c->failed = true;
        verdict = 0;
    } else {
        show(c, step);
    }
    json_decref(step);
    return verdict;
}

/* by the socket's fd, which is taken; an exit status */
static int ask_running(struct command *c, int fd, uint64_t patience_ns)
{
    json_t *request = request_of(c);
    FILE *in = request ? admin_call(fd, request, patience_ns) : NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int verdict = -1;

    if (!request)
        close(fd);
    json_decref(request);
    if (!in) {
        fprintf(stderr, "funnel-ingress probe: the running ingress does not listen: %s\n", err_str(-errno));
        return CLI_FAILED;
    }
    while ((n = getline(&line, &cap, in)) > 0 && (verdict = take_line(c, line, (size_t)n)) > 0)
        ;
    if (n <= 0)
        fprintf(stderr, "funnel-ingress probe: the running ingress broke off; its log may say why\n");
    free(line);
    fclose(in);
    return n > 0 && verdict == 0 ? CLI_OK : CLI_FAILED;
}

/* ---- where none runs ---- */

static int ask_alone(struct command *c)
{
    const struct probe_listener listener = {.step = show, .ctx = c};
    struct config_errors errors;
    bool passed;

    config_errors_init(&errors);
    int status = probe_alone(c->file, &c->request, &listener, &passed, &errors);

    config_errors_print(&errors, stderr);
    if (status == CLI_OK && !passed)
        c->failed = true;
    return status;
}

/* ---- the tunnel's side of the way ---- */

static int walk(struct command *c, const struct ingress_config *config, ts_t began)
{
    const char *path = config->admin.socket;
    int fd = *path ? stream_connect_unix(path) : -ENOENT;
    char text[PUBLIC_TEXT];

    if (fd >= 0) {
        snprintf(text, sizeof(text), "%s; asking the running ingress through %s", c->file, path);
        tell(c, "config", "ok", began, NULL, text);
        return ask_running(c, fd, config->offer.timeout_ns + PATIENCE_NS);
    }
    if (fd == -EACCES) {
        fprintf(stderr, "funnel-ingress probe: %s: %s: run the probe as root, or as the user who started the ingress\n",
                path, err_str(fd));
        return CLI_FAILED;
    }
    c->request.call_ns = CALL_NS;
    snprintf(text, sizeof(text), "%s; %s%s, so the probe takes the ingress's place; nodes that call have %u s", c->file,
             *path ? "nobody answers at " : "there is no admin.socket to ask at", path,
             (unsigned)(CALL_NS / TS_S));
    tell(c, "config", "ok", began, NULL, text);
    return ask_alone(c);
}

/* ---- the public side ---- */

/* the names of the reasons that end in this alert */
static void reasons_of(int alert, char *out, size_t cap)
{
    size_t at = 0;

    out[0] = 0;
    for (int r = 0; r < REASON_COUNT && at < cap; r++)
        if (reason_alert((enum reason)r) == alert)
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? ", " : "", reason_name((enum reason)r));
}

/* split "host:port" or "[host]:port" in place */
static bool split(char *at, char **host, char **port)
{
    char *colon = strrchr(at, ':');

    if (!colon || colon == at || !colon[1])
        return false;
    *colon = 0;
    *port = colon + 1;
    *host = at;
    if (at[0] == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        *host = at + 1;
    } else if (strchr(at, ':')) {
        return false; /* an IPv6 address without brackets: where does it end? */
    }
    return **host != 0;
}

/* a connected socket, or -errno; *why for people */
static int connect_public(const char *where, ts_t deadline, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char *copy = strdup(where), *host, *port;
    int rc = ERR_NOMEM;

    *why = "it is not ADDRESS:PORT";
    if (copy && split(copy, &host, &port)) {
        int gai = getaddrinfo(host, port, &hints, &found);

        *why = gai ? gai_strerror(gai) : NULL;
        rc = ERR_NOT_FOUND;
    }
    free(copy);
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        struct addrport to;
        uint64_t left_ns = ts_since(deadline, loop_now());

        addrport_from_sockaddr(a->ai_addr, &to);
        rc = stream_connect(&to);
        if (rc >= 0) {
            struct pollfd p = {.fd = rc, .events = POLLOUT};
            int err = poll(&p, 1, (int)(left_ns / TS_MS)) == 1 ? stream_error(rc) : -ETIMEDOUT;

            if (err == 0)
                break;
            close(rc);
            rc = err;
        }
        *why = err_str(rc);
    }
    if (found)
        freeaddrinfo(found);
    return rc;
}

static void tell_refusal(struct command *c, const struct tls_look *look, ts_t began)
{
    char text[PUBLIC_TEXT], reasons[PUBLIC_TEXT / 2], what[PUBLIC_TEXT];

    snprintf(text, sizeof(text), "%s: TLS for %s: %s", c->public_at, c->request.name, look->error);
    reasons_of(look->alert, reasons, sizeof(reasons));
    if (look->not_tls)
        snprintf(what, sizeof(what), "The way is open to its end, where plain bytes come from: let the node end TLS "
                                     "(funnel-node: tls: terminate), or forward to the service's TLS port.");
    else if (look->alert > 0 && *reasons)
        snprintf(what, sizeof(what), "The ingress's access log has this visit with one of these reasons: %s. If it has "
                                     "another there, the alert came from the node.",
                 reasons);
    else if (look->alert != TLS_LOOK_NO_ALERT)
        snprintf(what, sizeof(what), "The ingress never says that: the alert came from the node, see its log.");
    else
        snprintf(what, sizeof(what), "See the access log for this visit. If there is none: is this address an "
                                     "ingress's listener, with protocol: tls and without proxy_protocol: require?");
    tell(c, "public", "failed", began, what, text);
}

static void tell_certificate(struct command *c, const struct tls_look *look, ts_t began)
{
    char text[PUBLIC_TEXT];

    snprintf(text, sizeof(text), "subject %s, issuer %s, until %s%s%s", *look->subject ? look->subject : "(empty)",
             look->issuer, look->expires, look->trusted ? "" : "; browsers may refuse it: ", look->distrust);
    tell(c, "certificate", look->trusted ? "ok" : "note", began, NULL, text);
}

static void visit_public(struct command *c, uint64_t timeout_ns)
{
    ts_t began = loop_now(), deadline = ts_add(began, timeout_ns);
    char text[PUBLIC_TEXT];
    const char *why;
    struct tls_look look;
    int fd = connect_public(c->public_at, deadline, &why);

    if (fd < 0) {
        snprintf(text, sizeof(text), "%s: can't connect: %s", c->public_at, why);
        tell(c, "public", "failed", began,
             "Does the ingress listen there (`listen`), does a firewall or the cloud's security group let it through, "
             "and is the address right?",
             text);
        return;
    }
    if (tls_look(fd, c->request.name, deadline, &look)) {
        snprintf(text, sizeof(text), "%s: %s for %s, no alert", c->public_at, look.version, c->request.name);
        tell(c, "public", "ok", began, NULL, text);
        tell_certificate(c, &look, loop_now());
    } else {
        tell_refusal(c, &look, began);
    }
    close(fd);
}

/* ---- the command ---- */

static int run(struct command *c)
{
    struct ingress_config *config = NULL;
    struct config_errors errors;
    ts_t began = loop_now();
    char *text;
    size_t len;

    config_errors_init(&errors);
    if (config_file_read(c->file, &text, &len, &errors) == 0) {
        (void)ingress_config_load(c->file, text, len, &errors, &config);
        free(text);
    }
    config_errors_print(&errors, stderr);
    if (!config)
        return CLI_CONFIG;
    int status = walk(c, config, began);

    if (c->public_at && status == CLI_OK)
        visit_public(c, config->offer.timeout_ns + PATIENCE_NS);
    if (status == CLI_OK && c->failed)
        status = CLI_FAILED;
    if (c->json)
        printf("{\"step\":\"result\",\"status\":\"%s\"}\n", status == CLI_OK ? "ok" : "failed");
    ingress_config_free(config);
    return status;
}

/* NAME[:PORT]; the port may be left out */
static const char *read_name(struct command *c, char *text)
{
    char *colon = strchr(text, ':'), *end;
    unsigned long long port = PORT_DEFAULT;

    if (colon) {
        *colon = 0;
        errno = 0;
        port = strtoull(colon + 1, &end, 10);
        if (end == colon + 1 || *end || errno != 0)
            port = 0;
    }
    return probe_request_read(&c->request, text, port, c->source);
}

int probe_command(int argc, char **argv, const char *file)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"public", required_argument, NULL, 'p'},
        {"source", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct command c = {.file = file};
    int option;

    log_level_set(LOG_ERROR); /* the steps are what is to be read */
    while ((option = getopt_long(argc, argv, "c:p:s:jh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            c.file = optarg;
            break;
        case 'p':
            c.public_at = optarg;
            break;
        case 's':
            c.source = optarg;
            break;
        case 'j':
            c.json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return CLI_OK;
        default: /* getopt_long has said what is wrong */
            return CLI_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage("name one NAME[:PORT]");
    const char *wrong = read_name(&c, argv[optind]);

    return wrong ? usage(wrong) : run(&c);
}
