#include "ingress/access_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/net/loop.h"
#include "ingress/mailbox.h"

#define STOP_NS TS_S /* for a reader that has stopped */

enum access_mail {
    ACCESS_LINE = 1,
    ACCESS_STOP,
};

struct access_log {
    struct loop loop;
    struct mailbox *box;
    pthread_t thread;
    atomic_int fd;
    atomic_bool stopping;
    ts_t stop_at; /* the thread's: give up then; TS_NEVER before access_log_free */
    atomic_ulong dropped;
    struct log_limit said; /* the thread's */
};

/* A pipe that is ready takes a line whole: lines are shorter than PIPE_BUF, so they don't mix with others' either. */
static bool ready(struct access_log *log, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (poll(&p, 1, loop_now() < log->stop_at ? 100 : 0) <= 0) {
        if (atomic_load(&log->stopping) && log->stop_at == TS_NEVER)
            log->stop_at = ts_add(loop_now(), STOP_NS);
        if (loop_now() >= log->stop_at)
            return false;
    }
    return true;
}

static void put(struct access_log *log, const char *line)
{
    int fd = atomic_load(&log->fd);
    size_t len = strlen(line), at = 0;

    while (at < len && ready(log, fd)) {
        ssize_t n = write(fd, line + at, len - at);

        if (n > 0)
            at += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return; /* nobody reads it */
    }
}

static void say_dropped(struct access_log *log)
{
    unsigned long dropped = atomic_load(&log->dropped), left_out;

    if (dropped > 0 && log_allowed(&log->said, loop_now(), &left_out))
        log_warn("access", "event=dropped lines=%lu note=\"the log's reader is too slow\"",
                 atomic_exchange(&log->dropped, 0));
}

static void on_mail(void *ctx, const struct mail *mail)
{
    struct access_log *log = ctx;

    if (mail->kind == ACCESS_STOP) {
        loop_stop(&log->loop);
        return;
    }
    put(log, mail->data);
    free(mail->data);
    say_dropped(log);
}

static void *run(void *arg)
{
    struct access_log *log = arg;

    loop_run(&log->loop);
    return NULL;
}

struct access_log *access_log_new(void)
{
    struct access_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    atomic_init(&log->fd, STDOUT_FILENO);
    log->stop_at = TS_NEVER;
    bucket_init(&log->said.bucket, 1, 1);
    if (loop_init(&log->loop, NULL, NULL) != 0) {
        free(log);
        return NULL;
    }
    log->box = mailbox_new(&log->loop.uv, on_mail, log);
    if (!log->box || pthread_create(&log->thread, NULL, run, log) != 0) {
        mailbox_close(log->box);
        loop_deinit(&log->loop);
        free(log);
        return NULL;
    }
    return log;
}

void access_log_to_stderr(struct access_log *log, bool to_stderr)
{
    atomic_store(&log->fd, to_stderr ? STDERR_FILENO : STDOUT_FILENO);
}

void access_log_write(struct access_log *log, char *line)
{
    if (mailbox_try(log->box, ACCESS_LINE, line))
        return;
    atomic_fetch_add(&log->dropped, 1);
    free(line);
}

void access_log_free(struct access_log *log)
{
    if (!log)
        return;
    atomic_store(&log->stopping, true);
    mailbox_post(log->box, ACCESS_STOP, NULL); /* lines fill half the box only */
    pthread_join(log->thread, NULL);
    mailbox_close(log->box);
    loop_deinit(&log->loop);
    free(log);
}
