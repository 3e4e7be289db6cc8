/* access_log.h - the access log's lines, written by a thread of their own.
 *
 * Whoever reads the log may be slow, or not read at all (a full pipe): that must keep neither visitors nor reloads
 * waiting. Lines wait in a bounded box; what finds no room is counted and said, not kept. SHELL. */
#ifndef INGRESS_ACCESS_LOG_H
#define INGRESS_ACCESS_LOG_H

#include <stdbool.h>

struct access_log;

/* access_log_new - starts the thread. NULL: out of memory, descriptors or threads. */
struct access_log *access_log_new(void);

/* access_log_to_stderr - where lines go from now on; standard output until then. From any thread. */
void access_log_to_stderr(struct access_log *log, bool to_stderr);

/* access_log_write - from any thread; takes the line (malloc'ed, with its end of line). Never waits. */
void access_log_write(struct access_log *log, char *line);

/* access_log_free - writes what waits, but gives a reader that has stopped no more than a second. Nobody may write any
 * more. NULL allowed. */
void access_log_free(struct access_log *log);

#endif
