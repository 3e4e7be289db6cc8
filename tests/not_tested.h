/* not_tested.h - for what can't be tested on this machine. It is said aloud, and written down where tests/run.sh looks: in its
 * summary, which in CI counts it as a failure. */
#ifndef TESTS_NOT_TESTED_H
#define TESTS_NOT_TESTED_H

#include <stdio.h>
#include <stdlib.h>

/* not_tested - what, and why. The caller then leaves it out (cmocka: skip). */
static inline void not_tested(const char *what)
{
    const char *path = getenv("FUNNEL_NOT_TESTED");
    FILE *list = path ? fopen(path, "a") : NULL;

    printf("*** NOT TESTED: %s ***\n", what);
    if (path && (!list || fprintf(list, "%s\n", what) < 0)) {
        perror(path);
        exit(1);
    }
    if (list)
        fclose(list);
}

#endif
