/* agent.h - funnel-node's whole life: one process, one loop, no privileges. */
#ifndef NODE_AGENT_H
#define NODE_AGENT_H

/* agent_run - serve by the configuration at `path` until SIGTERM or SIGINT, re-reading it on SIGHUP. Returns the exit
 * code (common/cli/cli.h). */
int agent_run(const char *path);

#endif
