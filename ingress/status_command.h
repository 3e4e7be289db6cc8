/* status_command.h - `funnel-ingress status`: how the running ingress and its feed are, for a person or a script. */
#ifndef INGRESS_STATUS_COMMAND_H
#define INGRESS_STATUS_COMMAND_H

/* status_command - argv[0] is "status". file: the configuration where no -c names another. Returns an exit status. */
int status_command(int argc, char **argv, const char *file);

#endif
