/* admin_status.h - what an operator asks first, as one JSON object: does the feed speak, how old is the map, what is
 * wrong with it, how many are connected. `funnel-ingress status` prints it. */
#ifndef INGRESS_ADMIN_STATUS_H
#define INGRESS_ADMIN_STATUS_H

#include <jansson.h>

#include "ingress/feed_host.h"
#include "ingress/generation.h"
#include "ingress/metrics.h"
#include "ingress/underlay.h"

#define ADMIN_STATUS_PATHS 100 /* nodes of a tailnet whose paths are told one by one */

/* admin_status - the object; NULL: out of memory. underlay may be NULL. */
json_t *admin_status(const struct metrics_sample *sum, const struct generation *generation,
                     const struct feed_report *feed, const struct underlay *underlay, ts_t now);

#endif
