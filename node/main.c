/* main.c - funnel-node: the command line. */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/config/config.h"
#include "common/crypto/crypto.h"
#include "common/net/logsink.h"
#include "node/agent.h"
#include "node/selfsigned.h"
#include "node/setup.h"
#include "node/show.h"

#define PROGRAM      "funnel-node"
#define CONFIG_FILE  "/etc/funnel-node/config.yaml"
#define CONFIG_ENV   "FUNNEL_NODE_CONFIG"
#define DAYS_DEFAULT 365
#define DAYS_MAX     3650
#define WHY_STR      512

static const char help[] =
    "usage: " PROGRAM " [-c FILE]            serve until SIGTERM\n"
    "       " PROGRAM " -t [-q] [-c FILE]    check the configuration, keys and certificates; change nothing\n"
    "       " PROGRAM " -T [-c FILE]         print the effective configuration, defaults included\n"
    "       " PROGRAM " show [--row] [-c FILE]\n"
    "                                      print public key, address and a row for the ingress's feed; or that only\n"
    "       " PROGRAM " genkey               print a new private key\n"
    "       " PROGRAM " pubkey               read a private key, print its public key\n"
    "       " PROGRAM " selfsigned NAME... --cert FILE --key FILE [--days N]\n"
    "                                      make a key and a certificate to try things out\n"
    "\n"
    "Makes this machine a node of a funnel: it keeps a WireGuard tunnel to one or more ingresses, accepts visitors\n"
    "of the services that the configuration opens, and forwards them to a local port. TLS ends here or in the local\n"
    "service; never on the ingress. Needs no privileges, no TUN device and no open port.\n"
    "\n"
    "  -c, --config FILE   the configuration (default: $" CONFIG_ENV ",\n"
    "                      else " CONFIG_FILE ")\n"
    "  -t, --test          say everything that is wrong with it, or \"FILE: ok\"\n"
    "  -q, --quiet         with -t: say nothing when all is well\n"
    "  -T, --print         print it as the program sees it\n"
    "  -V, --version       print the version\n"
    "  -h, --help          print this\n"
    "\n"
    "A first start:\n"
    "  umask 077; " PROGRAM " genkey > node.key\n"
    "  " PROGRAM " show -c config.yaml         # what the ingress's feed needs\n"
    "  " PROGRAM " -t -c config.yaml && " PROGRAM " -c config.yaml\n"
    "\n"
    "It stays in the foreground and logs to standard error. Signals:\n"
    "  SIGHUP              reload configuration and certificates; a mistake in them changes nothing\n"
    "  SIGTERM, SIGINT     end in order: no new visitors, live streams get 10 s; again: end now\n"
    "\n"
    "Exit status: 0 ended in order, 1 failed, 2 usage, 78 the configuration is wrong.\n"
    "More: funnel-node(1), and the annotated sample conf/node.yaml.\n";

static const char genkey_help[] =
    "usage: " PROGRAM " genkey\n"
    "\n"
    "Prints a new private key, base64. Nobody else should be able to read the file it goes to:\n"
    "  umask 077; " PROGRAM " genkey > node.key\n";

static const char pubkey_help[] =
    "usage: " PROGRAM " pubkey\n"
    "\n"
    "Reads a private key from standard input and prints its public key, which ingresses find in their feed:\n"
    "  " PROGRAM " pubkey < node.key\n";

static const char show_help[] =
    "usage: " PROGRAM " show [--row] [-c FILE]\n"
    "\n"
    "Prints this node's public key, its addresses inside the tunnel, and a row for the feed of its ingresses with the\n"
    "names and ports of all services whose funnel is on.\n"
    "\n"
    "  -r, --row           the row only, for `nodes` of the feed\n"
    "  -c, --config FILE   the configuration\n";

static const char selfsigned_help[] =
    "usage: " PROGRAM " selfsigned NAME... --cert FILE --key FILE [--days N]\n"
    "\n"
    "Makes a P-256 key and a self-signed certificate for these names (wildcards such as '*.example.net' and addresses\n"
    "allowed), to try things out: visitors must be told to trust it. Existing files are not overwritten.\n"
    "\n"
    "      --cert FILE     where the certificate goes\n"
    "      --key FILE      where its key goes\n"
    "      --days N        valid for N days, 1 to 3650 (default 365)\n";

enum action {
    ACTION_SERVE = 0,
    ACTION_TEST,
    ACTION_PRINT,
    ACTION_SHOW,
    ACTION_ROW,
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

/* look - load all that a start would load, and say something about it. */
static int look(const char *file, enum action action, bool quiet)
{
    struct config_errors errors;
    struct setup *setup;

    config_errors_init(&errors);
    if (setup_load(file, &errors, &setup) != 0) {
        config_errors_print(&errors, stderr);
        return CLI_CONFIG;
    }
    if (action == ACTION_PRINT)
        config_print(&node_config_schema, setup->config, stdout);
    else if (action == ACTION_SHOW)
        show_print(setup, stdout);
    else if (action == ACTION_ROW)
        show_row(setup, stdout);
    else if (!quiet)
        printf("%s: ok\n", file);
    setup_put(setup);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* selfsigned - argv[0] is the word itself; options may stand anywhere. */
static int selfsigned(int argc, char **argv)
{
    static const struct option options[] = {
        {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"days", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    const char *certificate = NULL, *key = NULL;
    long days = DAYS_DEFAULT;
    char why[WHY_STR], *end;
    int option;

    if (cli_wants_help(argc, argv)) {
        fputs(selfsigned_help, stdout);
        return CLI_OK;
    }
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c') {
            certificate = optarg;
        } else if (option == 'k') {
            key = optarg;
        } else if (option == 'd') {
            days = strtol(optarg, &end, 10);
            if (*end || days < 1 || days > DAYS_MAX)
                return usage("--days is a number from 1 to 3650");
        } else {
            return CLI_USAGE;
        }
    }
    if (optind == argc || !certificate || !key)
        return usage("selfsigned needs a name, --cert and --key");
    if (selfsigned_write((const char *const *)argv + optind, (size_t)(argc - optind), (int)days, certificate, key, why,
                         sizeof(why)) != 0) {
        fprintf(stderr, PROGRAM ": %s\n", why);
        return CLI_FAILED;
    }
    return CLI_OK;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
        {"quiet", no_argument, NULL, 'q'},        {"print", no_argument, NULL, 'T'},
        {"version", no_argument, NULL, 'V'},      {"help", no_argument, NULL, 'h'},
        {"row", no_argument, NULL, 'r'},          {NULL, 0, NULL, 0},
    };
    const char *word = argc > 1 ? argv[1] : "", *file = getenv(CONFIG_ENV);
    enum action action = ACTION_SERVE;
    bool quiet = false, named = file && *file;
    int option;

    logsink_init(LOG_INFO);
    signal(SIGPIPE, SIG_IGN); /* a write to who went away is an error like others */
    if (crypto_init() != 0) {
        fprintf(stderr, PROGRAM ": a cryptographic algorithm is missing from libsodium or libcrypto\n");
        return CLI_FAILED;
    }
    if (strcmp(word, "genkey") == 0)
        return key_command(cli_genkey, genkey_help, argc - 1, argv + 1);
    if (strcmp(word, "pubkey") == 0)
        return key_command(cli_pubkey, pubkey_help, argc - 1, argv + 1);
    if (strcmp(word, "selfsigned") == 0)
        return selfsigned(argc - 1, argv + 1);
    if (strcmp(word, "show") == 0) {
        action = ACTION_SHOW;
        argc--;
        argv++;
    }
    if (!named)
        file = CONFIG_FILE;
    while ((option = getopt_long(argc, argv, "c:tqTVhr", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            file = optarg;
            named = true;
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
            fputs(action == ACTION_SHOW || action == ACTION_ROW ? show_help : help, stdout);
            return CLI_OK;
        case 'r':
            if (action != ACTION_SHOW && action != ACTION_ROW)
                return usage("--row is an option of show");
            action = ACTION_ROW;
            break;
        default: /* getopt_long has said what is wrong */
            return CLI_USAGE;
        }
    }
    if (optind < argc)
        return usage("no command '%s'", argv[optind]);
    if (!named && access(file, F_OK) != 0)
        return usage("no configuration: give one with -c, there is no " CONFIG_FILE);
    return action == ACTION_SERVE ? agent_run(file) : look(file, action, quiet);
}
