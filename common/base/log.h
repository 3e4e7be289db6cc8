/* log.h - key=value lines, one fact a line.
 *
 * error = a human acts, warn = a human might, info = life cycle, debug = one connection's story, trace = packets.
 * The library only forms lines; the program says where they go (and adds the time there). Text that a stranger chose
 * goes through LOG_TEXT, which quotes it and escapes what could forge a line. Nothing here may carry keys or payload. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/bucket.h"

enum log_level {
    LOG_ERROR = 0,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
    LOG_TRACE,
};

/* log_sink - receives a finished line: `area` one word, `line` without end of line. Any thread may call it. */
typedef void (*log_sink)(enum log_level level, const char *area, const char *line, size_t len, void *ctx);

/* log_init - where lines go and which are wanted. Before the first call lines go to standard error at info. */
void log_init(log_sink sink, void *ctx, enum log_level level);
void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* log_level_parse - "error" … "trace"; false when unknown. */
bool log_level_parse(const char *text, enum log_level *out);
const char *log_level_name(enum log_level level);

void log_line(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_at(level, area, ...)                                                                                       \
    do {                                                                                                               \
        if ((level) <= log_level_get())                                                                                \
            log_line(level, area, __VA_ARGS__);                                                                        \
    } while (0)
#define log_error(area, ...) log_at(LOG_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...)  log_at(LOG_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  log_at(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_at(LOG_DEBUG, area, __VA_ARGS__)
#define log_trace(area, ...) log_at(LOG_TRACE, area, __VA_ARGS__)

/* log_quote - text as a quoted string with escapes, cut to fit; returns out. For stranger-made text:
 *     char q[LOG_QUOTE]; log_info("flow", "name=%s", log_quote(q, sizeof(q), name, len)); */
#define LOG_QUOTE 300
const char *log_quote(char *out, size_t cap, const void *text, size_t len);

/* log_allowed - for lines that outsiders can cause: true as long as the bucket has tokens; counts what was left out,
 * and *left_out tells how many were dropped since the last true. */
struct log_limit {
    struct bucket bucket;
    unsigned long dropped;
};
bool log_allowed(struct log_limit *limit, ts_t now, unsigned long *left_out);

#endif
