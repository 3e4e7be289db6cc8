/* logsink.h - where both programs' log lines go: standard error, with the time in front.
 *
 *     2026-11-23T06:40:00.123Z info session event=up ingress=fra1
 *
 * SHELL. Time is UTC. A line is one write(2), so lines of several threads and processes never mix. */
#ifndef NET_LOGSINK_H
#define NET_LOGSINK_H

#include "common/base/log.h"

/* logsink_init - send log lines of `level` and above to standard error from now on. Any thread may log afterwards. */
void logsink_init(enum log_level level);

#endif
