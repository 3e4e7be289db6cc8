#include "ingress/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"

/* Between fork and exec only what signal-safety(7) lists is allowed. Signals arrive blocked, so that none runs libuv's
 * handler here, which would write into the pipe shared with the supervisor. */
static _Noreturn void become_server(int ipc_fd, const sigset_t *mask)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM};
    char *argv[] = {(char[]){"funnel-ingress"}, (char[]){SERVER_PROCESS_ARG}, NULL};

    /* exec puts every handler back to default, and keeps what is ignored */
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        signal(ignored[i], SIG_IGN);
    /* dup2 onto itself would keep close-on-exec */
    if (ipc_fd == IPC_CHILD_FD ? fcntl(ipc_fd, F_SETFD, 0) == 0 : dup2(ipc_fd, IPC_CHILD_FD) != -1) {
        sigprocmask(SIG_SETMASK, mask, NULL);
        execve("/proc/self/exe", argv, environ);
    }
    static const char text[] = "error supervisor event=exec_failed hint=\"is /proc mounted?\"\n";

    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(1);
}

/* hear - hand over messages until none is there, or the owner has heard enough. */
static void hear(struct server_process *server, ts_t now)
{
    while (!server->killed) {
        struct ipc_message msg;
        int rc = ipc_recv(server->ipc_fd, &msg);

        if (rc == -EAGAIN)
            return;
        if (rc <= 0) {
            if (rc < 0)
                log_error("supervisor", "event=bad_message error=\"%s\"", err_str(rc));
            loop_poll_set(&server->poll, 0); /* an end of file would stay readable */
            server->owner->hung_up(server, now);
            return;
        }
        server->owner->message(server, &msg, now);
        ipc_message_deinit(&msg);
    }
}

static void on_poll(struct loop_poll *poll, bool readable, bool writable, ts_t now)
{
    (void)writable;
    if (readable)
        hear(container_of(poll, struct server_process, poll), now);
}

static pid_t spawn(int child_fd)
{
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();

    if (pid == 0)
        become_server(child_fd, &before);
    int saved = errno;

    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}

int server_process_start(struct loop *loop, const struct server_process_owner *owner, void *ctx,
                         struct server_process **out)
{
    struct server_process *server = calloc(1, sizeof(*server));
    int child_fd, rc;

    if (!server)
        return ERR_NOMEM;
    server->owner = owner;
    server->ctx = ctx;
    server->ready_at = TS_NEVER;
    rc = ipc_pair(&server->ipc_fd, &child_fd);
    if (rc != 0)
        goto free_server;
    server->pid = spawn(child_fd);
    rc = server->pid == -1 ? -errno : 0;
    close(child_fd);
    if (rc != 0)
        goto close_fd;
    rc = loop_poll_init(loop, &server->poll, server->ipc_fd, on_poll);
    if (rc != 0)
        goto close_fd; /* the child sees an end of file and ends; it is reaped as a stranger */
    loop_poll_set(&server->poll, UV_READABLE);
    *out = server;
    return 0;

close_fd:
    close(server->ipc_fd);
free_server:
    free(server);
    return rc;
}

void server_process_kill(struct server_process *server)
{
    server->killed = true;
    loop_poll_set(&server->poll, 0);
    if (server->pid)
        kill(server->pid, SIGKILL);
}

void server_process_exited(struct server_process *server, ts_t now)
{
    server->pid = 0;
    if (server->poll.events)
        hear(server, now);
}

static void on_closed(struct loop_poll *poll)
{
    free(container_of(poll, struct server_process, poll));
}

void server_process_free(struct server_process *server)
{
    if (!server)
        return;
    BUG_ON(server->pid);
    loop_poll_close(&server->poll, on_closed);
    close(server->ipc_fd);
}
