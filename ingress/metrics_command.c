#include "ingress/metrics_command.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/ts.h"
#include "common/cli/cli.h"
#include "common/config/config_file.h"
#include "common/net/stream.h"
#include "ingress/admin_call.h"
#include "ingress/ingress_config.h"

#define PATIENCE_NS (10 * TS_S)

static const char help[] =
    "usage: funnel-ingress metrics [-c FILE]\n"
    "\n"
    "Prints the counters of the running ingress in Prometheus text format; it is asked through its admin.socket.\n"
    "For a scraper, let node_exporter's textfile collector read them:\n"
    "  funnel-ingress metrics -c FILE > /var/lib/node_exporter/funnel.prom.tmp &&\n"
    "      mv /var/lib/node_exporter/funnel.prom.tmp /var/lib/node_exporter/funnel.prom\n"
    "\n"
    "Exit status: 0 printed, 1 the ingress can't be asked, 2 usage, 78 the configuration is wrong.\n";

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "funnel-ingress metrics: %s: %s\n", what, why);
    return CLI_FAILED;
}

static int ask(const char *path)
{
    json_t *request = json_pack("{s:s}", "command", "metrics");
    int fd = stream_connect_unix(path);

    if (fd < 0 || !request) {
        json_decref(request);
        return failed(path, fd < 0 ? err_str(fd) : err_str(ERR_NOMEM));
    }
    FILE *in = admin_call(fd, request, PATIENCE_NS);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = in ? getline(&line, &cap, in) : -1;
    json_t *answer = n > 0 ? json_loadb(line, (size_t)n, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(answer, "metrics"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    int status = CLI_OK;

    if (text)
        fputs(text, stdout);
    else
        status = failed(path, error ? error : "no answer");
    json_decref(answer);
    json_decref(request);
    free(line);
    if (in)
        fclose(in);
    return status;
}

int metrics_command(int argc, char **argv, const char *file)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct config_errors errors;
    struct ingress_config *config;
    char *text;
    size_t len;
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (option != 'c') {
            fputs("funnel-ingress metrics: try funnel-ingress metrics --help\n", stderr);
            return CLI_USAGE;
        }
        file = optarg;
    }
    if (optind != argc) {
        fputs("funnel-ingress metrics: takes no words; try funnel-ingress metrics --help\n", stderr);
        return CLI_USAGE;
    }
    config_errors_init(&errors);
    if (config_file_read(file, &text, &len, &errors) != 0) {
        config_errors_print(&errors, stderr);
        return CLI_CONFIG;
    }
    int rc = ingress_config_load(file, text, len, &errors, &config);

    free(text);
    if (rc != 0) {
        config_errors_print(&errors, stderr);
        return CLI_CONFIG;
    }
    int status = config->admin.socket[0] ? ask(config->admin.socket)
                                         : failed(file, "it names no admin.socket to ask the running ingress at");

    ingress_config_free(config);
    return status;
}
