/* bug.h - assertions that stay on in every build.
 *
 * BUG_ON   a mistake of ours that makes going on dangerous: says where and aborts.
 * WARN_ON  a mistake of ours that can be survived: says where (once per place), counts, goes on; yields the condition.
 * What a peer does wrong is never an assertion: it is a reason and a counter. */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/param.h> /* MIN, MAX */

_Noreturn void bug_stop(const char *file, int line, const char *what);
void bug_warn(const char *file, int line, const char *what, bool *said);

/* bug_warn_count - how many WARN_ON were true since the start. */
uint64_t bug_warn_count(void);

#define BUG_ON(cond)                                                                                                   \
    do {                                                                                                               \
        if (__builtin_expect(!!(cond), 0))                                                                             \
            bug_stop(__FILE__, __LINE__, #cond);                                                                       \
    } while (0)

#define WARN_ON(cond)                                                                                                  \
    (__extension__({                                                                                                   \
        static bool bug_said_;                                                                                         \
        bool bug_cond_ = __builtin_expect(!!(cond), 0);                                                                \
        if (bug_cond_)                                                                                                 \
            bug_warn(__FILE__, __LINE__, #cond, &bug_said_);                                                           \
        bug_cond_;                                                                                                     \
    }))

/* container_of - the struct around one of its members. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
