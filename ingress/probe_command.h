/* probe_command.h - `funnel-ingress probe`: the command line around a walk (probe.h), and a look at the public side. */
#ifndef INGRESS_PROBE_COMMAND_H
#define INGRESS_PROBE_COMMAND_H

/* probe_command - argv[0] is "probe". file: the configuration where no -c names another. Returns an exit status:
 * 0 every step passed, 1 one failed, 2 usage, 78 the configuration is wrong. */
int probe_command(int argc, char **argv, const char *file);

#endif
