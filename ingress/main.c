/* main.c - funnel-ingress: the command line, and which of its two processes this is.
 *
 * What an operator starts becomes the supervisor; the supervisor starts this program again as the server. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/cli/cli.h"
#include "common/config/config.h"
#include "common/crypto/crypto.h"
#include "common/net/logsink.h"
#include "ingress/feed/feed_load.h"
#include "ingress/generation.h"
#include "ingress/ingress_config.h"
#include "ingress/ipc.h"
#include "ingress/metrics_command.h"
#include "ingress/probe_command.h"
#include "ingress/server.h"
#include "ingress/server_process.h"
#include "ingress/status_command.h"
#include "ingress/supervisor.h"
#include "ingress/supply.h"

#define PROGRAM     "funnel-ingress"
#define CONFIG_FILE "/etc/funnel-ingress/config.yaml"
#define CONFIG_ENV  "FUNNEL_INGRESS_CONFIG"

static const char help[] =
    "usage: " PROGRAM " [-c FILE]            serve until SIGTERM\n"
    "       " PROGRAM " -t [-q] [-c FILE]    check the configuration, keys and feed; change nothing\n"
    "       " PROGRAM " -T [-c FILE]         print the effective configuration, defaults included\n"
    "       " PROGRAM " probe NAME[:PORT]    walk a visitor's way to a node and say where it stops (probe --help)\n"
    "       " PROGRAM " metrics              print the running server's counters (metrics --help)\n"
    "       " PROGRAM " status               say how the running server and its feed are (status --help)\n"
    "       " PROGRAM " genkey               print a new private key\n"
    "       " PROGRAM " pubkey               read a private key, print its public key\n"
    "\n"
    "The public side of a funnel: visitors connect here; the name in their TLS ClientHello says which node is offered\n"
    "the stream, through WireGuard. TLS is not ended here.\n"
    "\n"
    "  -c, --config FILE   the configuration (default: $" CONFIG_ENV ",\n"
    "                      else " CONFIG_FILE ")\n"
    "  -t, --test          say everything that is wrong with it, or \"FILE: ok\"\n"
    "  -q, --quiet         with -t: say nothing when all is well\n"
    "  -T, --print         print it as the server sees it\n"
    "  -V, --version       print the version\n"
    "  -h, --help          print this\n"
    "\n"
    "A first start:\n"
    "  umask 077; " PROGRAM " genkey > ingress.key\n"
    "  " PROGRAM " pubkey < ingress.key        # nodes need this one\n"
    "  " PROGRAM " -t -c config.yaml && " PROGRAM " -c config.yaml\n"
    "\n"
    "It stays in the foreground and logs to standard error. Signals, to the process you started:\n"
    "  SIGHUP              reload configuration, keys and feed; a mistake in them changes nothing\n"
    "  SIGTERM, SIGINT     end in order: no new visitors, live streams get drain.timeout; again: end now\n"
    "\n"
    "Exit status: 0 ended in order, 1 failed, 2 usage, 78 the configuration is wrong.\n"
    "More: funnel-ingress(1), and the annotated sample conf/ingress.yaml.\n";

static const char genkey_help[] =
    "usage: " PROGRAM " genkey\n"
    "\n"
    "Prints a new private key, base64. Nobody else should be able to read the file it goes to:\n"
    "  umask 077; " PROGRAM " genkey > ingress.key\n";

static const char pubkey_help[] =
    "usage: " PROGRAM " pubkey\n"
    "\n"
    "Reads a private key from standard input and prints its public key, which nodes are configured with:\n"
    "  " PROGRAM " pubkey < ingress.key\n";

enum action {
    ACTION_SERVE = 0,
    ACTION_TEST,
    ACTION_PRINT,
};

__attribute__((format(printf, 1, 2))) static int usage(const char *fmt, ...)
{
    va_list args;

    fputs(PROGRAM ": ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputs("; try " PROGRAM " --help\n", stderr);
    return CLI_USAGE;
}

static int key_command(int (*run)(const char *program), const char *command_help, int argc, char **argv)
{
    if (cli_wants_help(argc, argv)) {
        fputs(command_help, stdout);
        return CLI_OK;
    }
    return argc == 1 ? run(PROGRAM) : usage("%s takes no arguments", argv[0]);
}

/* warn_unfunnelled - a TLS listener whose port no node has refuses every visitor. A feed without nodes is warned of
 * elsewhere. */
static void warn_unfunnelled(const struct ingress_config *config, const struct route_table *routes)
{
    static bool funnelled[UINT16_MAX + 1];

    for (uint32_t i = 0; i < route_table_places(routes); i++) {
        const struct route_node *node = route_table_at(routes, i);

        for (size_t p = 0; node && p < node->ports_count; p++)
            funnelled[node->ports[p]] = true;
    }
    for (size_t i = 0; route_node_count(routes) > 0 && i < config->listen_count; i++) {
        const struct ingress_config_listen *l = &config->listen[i];

        if (l->protocol == INGRESS_CONFIG_TLS && l->public_port != 0 && !funnelled[l->public_port])
            log_warn("config", "key=listen[%zu] public_port=%u warning=\"no node of the feed has this port in `ports`: "
                               "every visitor is refused; `public_port` says which port visitors dial\"",
                     i, (unsigned)l->public_port);
    }
}

/* check_feed - the file, where the feed is one. */
static void check_feed(const struct ingress_config *config, struct config_errors *errors)
{
    struct route_table *routes;
    struct map_seed seed;
    struct rng rng;

    if (config->feed.type != INGRESS_CONFIG_FEED_FILE)
        return;
    crypto_rng(&rng);
    rng_fill(&rng, &seed, sizeof(seed));
    if (feed_load(config->feed.path, &seed, errors, &routes) == 0)
        warn_unfunnelled(config, routes);
    route_table_free(routes);
}

/* warn_no_folder - of what a start would fail for. Only a warning: a service manager may make the folder with the start. */
static void warn_no_folder(const struct ingress_config *config)
{
    const char *path = config->admin.socket, *slash = strrchr(path, '/');
    struct stat st;
    char folder[PATH_MAX];

    if (!*path)
        return;
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)MAX(slash - path, 1) : 1, slash ? path : ".");
    int rc = stat(folder, &st) != 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;

    if (rc != 0)
        log_warn("config", "key=admin.socket warning=\"the socket can't be made: %s: %s\"", folder, err_str(rc));
}

/* check - what a start would check, without opening a socket. */
static int check(const char *file, enum action action, bool quiet)
{
    struct config_errors errors;

    config_errors_init(&errors);
    struct supply *s = supply_load(file, 1, &errors);

    if (s && action == ACTION_PRINT)
        config_print(&ingress_config_schema, s->config, stdout);
    if (s && action == ACTION_TEST) {
        struct generation *g = generation_load(1, file, s->text, s->text_len, s->keys, s->keys_count, &errors);

        if (g) {
            check_feed(g->config, &errors);
            warn_no_folder(g->config);
        }
        generation_put(g);
    }
    supply_free(s);
    config_errors_print(&errors, stderr);
    if (errors.count > 0)
        return CLI_CONFIG;
    if (action == ACTION_TEST && !quiet)
        printf("%s: ok\n", file);
    return CLI_OK;
}

/* serve_as_child - only where a supervisor has left us its socket. */
static int serve_as_child(void)
{
    int type;
    socklen_t len = sizeof(type);

    if (getsockopt(IPC_CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
        return usage(SERVER_PROCESS_ARG " is how the program starts its own child");
    prctl(PR_SET_NAME, PROGRAM, 0, 0, 0); /* else tools that list processes call it "exe", after /proc/self/exe */
    return server_run(IPC_CHILD_FD);
}

/* command - the words that stand instead of options; false when argv[0] is none of them. */
static bool command(int argc, char **argv, const char *file, int *status)
{
    const char *word = argv[0];

    if (strcmp(word, "probe") == 0)
        *status = probe_command(argc, argv, file);
    else if (strcmp(word, "metrics") == 0)
        *status = metrics_command(argc, argv, file);
    else if (strcmp(word, "status") == 0)
        *status = status_command(argc, argv, file);
    else if (strcmp(word, "genkey") == 0)
        *status = key_command(cli_genkey, genkey_help, argc, argv);
    else if (strcmp(word, "pubkey") == 0)
        *status = key_command(cli_pubkey, pubkey_help, argc, argv);
    else if (strcmp(word, SERVER_PROCESS_ARG) == 0 && argc == 1)
        *status = serve_as_child();
    else
        return false;
    return true;
}

static const char *default_file(void)
{
    const char *file = getenv(CONFIG_ENV);

    return file && *file ? file : CONFIG_FILE;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
        {"quiet", no_argument, NULL, 'q'},        {"print", no_argument, NULL, 'T'},
        {"version", no_argument, NULL, 'V'},      {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *file = default_file();
    enum action action = ACTION_SERVE;
    bool quiet = false;
    int option, status;

    logsink_init(LOG_INFO);
    signal(SIGPIPE, SIG_IGN); /* a write to who went away is an error like others */
    if (crypto_init() != 0) {
        fprintf(stderr, PROGRAM ": a cryptographic algorithm is missing from libsodium or libcrypto\n");
        return CLI_FAILED;
    }
    if (argc >= 2 && command(argc - 1, argv + 1, file, &status))
        return status;
    while ((option = getopt_long(argc, argv, "c:tqTVh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 't':
            action = ACTION_TEST;
            break;
        case 'q':
            quiet = true;
            break;
        case 'T':
            action = ACTION_PRINT;
            break;
        case 'V':
            return cli_version(PROGRAM);
        case 'h':
            fputs(help, stdout);
            return CLI_OK;
        default: /* getopt_long has said what is wrong */
            return CLI_USAGE;
        }
    }
    if (optind < argc)
        return usage("no command '%s'", argv[optind]);
    return action == ACTION_SERVE ? supervisor_run(file) : check(file, action, quiet);
}
