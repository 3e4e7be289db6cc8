/* bug.h - assertions that stay on in every build.
 *
 * BUG_ON   a mistake of ours that makes going on dangerous: says where and aborts.
 * WARN_ON  a mistake of ours that can be survived: says where (once per place), counts, goes on; yields the condition.
 * What a peer does wrong is never an assertion: it is a reason and a counter. */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/param.h> /* its MIN and MAX are replaced below; libuv brings it in after us otherwise */

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

/* MIN, MAX - each argument is evaluated once, as the common type of both. Not for constant expressions. */
#undef MIN
#undef MAX
#ifdef __cppcheck__ /* version 2.10 can't read a statement inside an initializer */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#else
#define MIN(a, b) BUG_PICK_(<, a, b, __COUNTER__)
#define MAX(a, b) BUG_PICK_(>, a, b, __COUNTER__)
#define BUG_PICK_(op, a, b, n) BUG_PICK_NAMED_(op, a, b, BUG_JOIN_(a_, n), BUG_JOIN_(b_, n))
#define BUG_PICK_NAMED_(op, a, b, a_once, b_once)                                                                      \
    (__extension__({                                                                                                   \
        __typeof__(1 ? (a) : (b)) a_once = (a);                                                                        \
        __typeof__(1 ? (a) : (b)) b_once = (b);                                                                        \
        a_once op b_once ? a_once : b_once;                                                                            \
    }))
#define BUG_JOIN_(a, b)  BUG_JOIN2_(a, b)
#define BUG_JOIN2_(a, b) a##b
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
