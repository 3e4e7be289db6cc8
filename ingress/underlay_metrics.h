/* underlay_metrics.h - what the underlay counts, as Prometheus text. Families are documented where they are written. */
#ifndef INGRESS_UNDERLAY_METRICS_H
#define INGRESS_UNDERLAY_METRICS_H

#include <stdio.h>

#include "ingress/underlay.h"

void underlay_metrics(FILE *out, const struct underlay_stats *stats);

#endif
