/* admin_command.h - a word on the command line that is one question to the running ingress. */
#ifndef INGRESS_ADMIN_COMMAND_H
#define INGRESS_ADMIN_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

struct admin_command {
    const char *name; /* of the command and of the question; the answer has it as its key */
    const char *help;
    bool has_json;    /* it knows --json */
    void (*print)(const json_t *answer, bool json);
};

/* admin_command - ask and print. argv[0] is the command; file: the configuration where no -c names another. Returns an
 * exit status. */
int admin_command(const struct admin_command *command, int argc, char **argv, const char *file);

#endif
