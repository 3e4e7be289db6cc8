/* probe_alone.h - a probe where no ingress runs: sockets, keys and one worker, for as long as one walk takes. SHELL.
 *
 * Only then: nodes send to where they last heard the ingress's key from, so a prober beside a running ingress would
 * draw its sessions away. Holding the ingress's own UDP port is what proves that none runs. */
#ifndef INGRESS_PROBE_ALONE_H
#define INGRESS_PROBE_ALONE_H

#include "ingress/probe.h"

/* probe_alone - a whole walk; blocks. Steps go to the listener; its `done` is not called.
 * file     the configuration
 * passed   the walk's verdict
 * Returns an exit status (enum cli_exit): CLI_OK when it was walked to its end, else what could not be done is in
 * errors (initialised by the caller). */
int probe_alone(const char *file, const struct probe_request *request, const struct probe_listener *listener,
                bool *passed, struct config_errors *errors);

#endif
