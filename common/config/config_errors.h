/* config_errors.h - everything that is wrong with a configuration file, for the operator to read at once.
 *
 * Each error is one finished line, "file:line:column: path: message"; parts that are not known are left out. The list
 * is bounded and holds no memory of its own: later errors are counted, not kept. */
#ifndef CONFIG_ERRORS_H
#define CONFIG_ERRORS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define CONFIG_ERRORS_MAX 20  /* more than this many nobody repairs in one go */
#define CONFIG_ERROR_STR  512 /* a line with its zero; longer ones are cut */

struct config_errors {
    size_t count; /* all that were found; line[] holds the first CONFIG_ERRORS_MAX of them */
    char line[CONFIG_ERRORS_MAX][CONFIG_ERROR_STR];
};

/* config_place - where in which file; line and column count from 1, 0 = not known. */
struct config_place {
    const char *file;
    unsigned line, column;
};

void config_errors_init(struct config_errors *errors);

/* config_errors_add - one more error. path is "listen[0].address", or "" for the file as a whole. Control characters
 * that came in with quoted text become '?'. */
void config_errors_add(struct config_errors *errors, struct config_place place, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_errors_addv(struct config_errors *errors, struct config_place place, const char *path, const char *fmt,
                        va_list args) __attribute__((format(printf, 4, 0)));

/* config_errors_print - all kept lines, and how many were left out. */
void config_errors_print(const struct config_errors *errors, FILE *out);

#endif
