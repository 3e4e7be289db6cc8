/* service.h - which service a target leads to. */
#ifndef NODE_SERVICE_H
#define NODE_SERVICE_H

#include "node/node_config.h"

/* service_find - the service for this name and public port: an exact name first, then the longest "*." wildcard (which
 * stands for one label or more). The most specific one decides alone: if its funnel is off, a wildcard above it does
 * not open it again. Returns an index into config->services, or -1: not funnelled. Names compare without case. */
int service_find(const struct node_config *config, const char *name, uint16_t port);

#endif
