/* supervisor.h - the process that an operator starts, signals and watches. It holds what must outlive a server: the
 * sockets, the configuration, the keys. The server child does all the rest. SHELL. */
#ifndef INGRESS_SUPERVISOR_H
#define INGRESS_SUPERVISOR_H

/* supervisor_run - serve by the configuration in `file` until told to stop.
 * Signals: SIGHUP reloads; SIGTERM or SIGINT drains, the second one ends at once.
 * Returns the process's exit status: CLI_CONFIG for a configuration or key file that can't be used, CLI_FAILED when
 * a socket can't be opened or the server was killed, else the status the server ended with, which is never CLI_OK when
 * nobody asked it to. The reasons are logged. */
int supervisor_run(const char *file);

#endif
