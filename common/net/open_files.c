#include "common/net/open_files.h"

#include <errno.h>
#include <sys/resource.h>

#include "common/base/err.h"
#include "common/base/log.h"

/* descriptors that are nobody's connection: sockets, loops and logs of all workers, generously */
#define BESIDE 256

void open_files_raise(const char *area)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        log_warn(area, "event=open_files_limit error=\"%s\"", err_str(-errno));
}

void open_files_compare(const char *area, size_t wanted, const char *what, const char *advice)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < (rlim_t)wanted + BESIDE)
        log_warn(area, "event=few_files open_files=%llu %s=%zu note=\"raise the limit of open files (`ulimit -n`, "
                       "LimitNOFILE=)%s\"", (unsigned long long)files.rlim_cur, what, wanted, advice);
}
