#include "common/net/logsink.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define STAMP_STR 32 /* "2026-11-23T06:40:00.123Z", with room for years beyond 9999 */

static int stamp(char out[STAMP_STR])
{
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, STAMP_STR, "%Y-%m-%dT%H:%M:%S", &utc);

    return (int)n + snprintf(out + n, STAMP_STR - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static void to_stderr(enum log_level level, const char *area, const char *line, size_t len, void *ctx)
{
    char time_text[STAMP_STR], head[STAMP_STR + 64], end[] = "\n";

    (void)ctx;
    stamp(time_text);
    int n = snprintf(head, sizeof(head), "%s %s %s ", time_text, log_level_name(level), area);
    struct iovec parts[] = {
        {head, n < (int)sizeof(head) ? (size_t)n : sizeof(head) - 1},
        {(char *)(uintptr_t)line, len},
        {end, 1},
    };

    /* a log that can't be written has nobody to tell; the rest of a short write is not worth waiting for */
    while (writev(STDERR_FILENO, parts, 3) < 0 && errno == EINTR)
        ;
}

void logsink_init(enum log_level level)
{
    log_init(to_stderr, NULL, level);
}
