#include "common/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/bug.h"

#define LINE_MAX_BYTES 2048

static void to_stderr(enum log_level level, const char *area, const char *line, size_t len, void *ctx)
{
    (void)ctx;
    fprintf(stderr, "%s %s %.*s\n", log_level_name(level), area, (int)len, line);
}

static struct {
    log_sink sink;
    void *ctx;
    atomic_int level;
} state = {to_stderr, NULL, LOG_INFO};

static const char *const names[] = {"error", "warn", "info", "debug", "trace"};

void log_init(log_sink sink, void *ctx, enum log_level level)
{
    state.sink = sink ? sink : to_stderr;
    state.ctx = ctx;
    atomic_store(&state.level, (int)level);
}

void log_level_set(enum log_level level)
{
    atomic_store(&state.level, (int)level);
}

enum log_level log_level_get(void)
{
    return (enum log_level)atomic_load_explicit(&state.level, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return names[level];
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    state.sink(level, area, line, MIN((size_t)n, sizeof(line) - 1), state.ctx);
}

const char *log_quote(char *out, size_t cap, const void *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = text;
    size_t n = 0;

    BUG_ON(cap < 8);
    out[n++] = '"';
    for (size_t i = 0; i < len && n + 6 < cap; i++) {
        if (p[i] == '"' || p[i] == '\\') {
            out[n++] = '\\';
            out[n++] = (char)p[i];
        } else if (p[i] < 0x20 || p[i] >= 0x7f) {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[p[i] >> 4];
            out[n++] = hex[p[i] & 15];
        } else {
            out[n++] = (char)p[i];
        }
    }
    out[n++] = '"';
    out[n] = 0;
    return out;
}

bool log_allowed(struct log_limit *limit, ts_t now, unsigned long *left_out)
{
    if (!bucket_take(&limit->bucket, now)) {
        limit->dropped++;
        return false;
    }
    *left_out = limit->dropped;
    limit->dropped = 0;
    return true;
}
