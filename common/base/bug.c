#include "common/base/bug.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/log.h"

static atomic_uint_fast64_t warned;

_Noreturn void bug_stop(const char *file, int line, const char *what)
{
    log_error("bug", "at=%s:%d what=\"%s\"", file, line, what);
    abort();
}

void bug_warn(const char *file, int line, const char *what, bool *said)
{
    atomic_fetch_add_explicit(&warned, 1, memory_order_relaxed);
    if (!*said)
        log_error("bug", "at=%s:%d what=\"%s\" note=\"survived; said once\"", file, line, what);
    *said = true;
}

uint64_t bug_warn_count(void)
{
    return atomic_load_explicit(&warned, memory_order_relaxed);
}
