/* metrics_command.h - `funnel-ingress metrics`: the running server's counters, for a collector or a person. */
#ifndef INGRESS_METRICS_COMMAND_H
#define INGRESS_METRICS_COMMAND_H

/* metrics_command - argv[0] is "metrics". file: the configuration where no -c names another. Returns an exit status. */
int metrics_command(int argc, char **argv, const char *file);

#endif
