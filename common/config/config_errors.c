/* config_errors.c - forming and keeping the lines. */
#include "common/config/config_errors.h"

#include "common/base/bug.h"

void config_errors_init(struct config_errors *errors)
{
    errors->count = 0;
}

/* snprintf that goes on where the last one ended; a full line stays full */
static size_t put(char *line, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static size_t put(char *line, size_t at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(line + at, CONFIG_ERROR_STR - at, fmt, args);

    va_end(args);
    return n < 0 ? at : MIN(at + (size_t)n, (size_t)CONFIG_ERROR_STR - 1);
}

void config_errors_addv(struct config_errors *errors, struct config_place place, const char *path, const char *fmt,
                        va_list args)
{
    if (errors->count++ >= CONFIG_ERRORS_MAX)
        return;
    char *line = errors->line[errors->count - 1];
    size_t at = place.file ? put(line, 0, "%s:", place.file) : 0;

    if (place.line)
        at = put(line, at, "%u:", place.line);
    if (place.line && place.column)
        at = put(line, at, "%u:", place.column);
    if (*path)
        at = put(line, at, " %s:", path);
    at = at ? put(line, at, " ") : 0;
    vsnprintf(line + at, CONFIG_ERROR_STR - at, fmt, args);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

void config_errors_add(struct config_errors *errors, struct config_place place, const char *path, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    config_errors_addv(errors, place, path, fmt, args);
    va_end(args);
}

void config_errors_print(const struct config_errors *errors, FILE *out)
{
    size_t kept = MIN(errors->count, (size_t)CONFIG_ERRORS_MAX);

    for (size_t i = 0; i < kept; i++)
        fprintf(out, "%s\n", errors->line[i]);
    if (errors->count > kept)
        fprintf(out, "and %zu more\n", errors->count - kept);
}
