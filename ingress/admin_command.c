#include "ingress/admin_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/ts.h"
#include "common/cli/cli.h"
#include "common/config/config_file.h"
#include "common/net/stream.h"
#include "ingress/admin_call.h"
#include "ingress/ingress_config.h"

#define PATIENCE_NS (10 * TS_S)

static int failed(const struct admin_command *command, const char *what, const char *why, const char *advice)
{
    fprintf(stderr, "funnel-ingress %s: %s: %s%s\n", command->name, what, why, advice);
    return CLI_FAILED;
}

static int ask(const struct admin_command *command, const char *path, bool as_json)
{
    json_t *request = json_pack("{s:s}", "command", command->name);
    int fd = stream_connect_unix(path);

    if (fd < 0 || !request) {
        json_decref(request);
        if (fd < 0)
            return failed(command, path, err_str(fd), "; is the ingress running, with this admin.socket?");
        close(fd);
        return failed(command, path, err_str(ERR_NOMEM), "");
    }
    FILE *in = admin_call(fd, request, PATIENCE_NS);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = in ? getline(&line, &cap, in) : -1;
    json_t *answer = n > 0 ? json_loadb(line, (size_t)n, 0, NULL) : NULL;
    const json_t *said = json_object_get(answer, command->name);
    const char *error = json_string_value(json_object_get(answer, "error"));
    int status = CLI_OK;

    if (said)
        command->print(said, as_json);
    else
        status = failed(command, path, error ? error : "no answer", "");
    json_decref(answer);
    json_decref(request);
    free(line);
    if (in)
        fclose(in);
    return status;
}

static int usage(const struct admin_command *command, const char *what)
{
    fprintf(stderr, "funnel-ingress %s: %stry funnel-ingress %s --help\n", command->name, what, command->name);
    return CLI_USAGE;
}

int admin_command(const struct admin_command *command, int argc, char **argv, const char *file)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct config_errors errors;
    struct ingress_config *config;
    bool json = false;
    char *text;
    size_t len;
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(command->help, stdout);
            return CLI_OK;
        }
        if (option == 'j' && command->has_json)
            json = true;
        else if (option == 'c')
            file = optarg;
        else
            return usage(command, "");
    }
    if (optind != argc)
        return usage(command, "takes no words; ");
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
    int status = config->admin.socket[0]
                     ? ask(command, config->admin.socket, json)
                     : failed(command, file, "it names no admin.socket to ask the running ingress at", "");

    ingress_config_free(config);
    return status;
}
