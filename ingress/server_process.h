/* server_process.h - one server child: starting it, hearing from it, letting it go. SHELL.
 *
 * The child is this same program again, from /proc/self/exe: a file replaced on disk meanwhile does not mix versions.
 * It ignores SIGHUP, SIGINT and SIGTERM: a terminal or a service manager that signals the whole group must not end it
 * before the supervisor has told it to drain. */
#ifndef INGRESS_SERVER_PROCESS_H
#define INGRESS_SERVER_PROCESS_H

#include <sys/types.h>

#include "common/net/loop.h"
#include "ingress/ipc.h"

#define SERVER_PROCESS_ARG "--server" /* the program's only argument when it is to be the server */

struct server_process;

/* What the owner of a server wants to hear. */
struct server_process_owner {
    /* a message; borrowed for the call */
    void (*message)(struct server_process *server, struct ipc_message *msg, ts_t now);
    /* it closed its end or sent what is no message: it should be about to exit */
    void (*hung_up)(struct server_process *server, ts_t now);
};

struct server_process {
    pid_t pid;           /* 0 once it was waited for */
    uint32_t generation; /* what it serves by: the last it said READY or APPLIED for; 0: not ready yet */
    ts_t ready_at;       /* TS_NEVER before */
    uint32_t said;       /* the owner's: a bit for each message that is said once */
    bool killed;
    int ipc_fd;
    struct loop_poll poll;
    const struct server_process_owner *owner;
    void *ctx; /* the owner's */
};

/* server_process_start - fork and exec. *out gets the process, to be let go with server_process_exited
 * and server_process_free. 0, ERR_NOMEM or -errno. */
int server_process_start(struct loop *loop, const struct server_process_owner *owner, void *ctx,
                         struct server_process **out) __attribute__((warn_unused_result));

/* server_process_kill - at once, by SIGKILL, and nothing it says is heard any more. Its exit is still to be waited for. */
void server_process_kill(struct server_process *server);

/* server_process_exited - waitpid saw it: hands over the messages it left behind, and forgets the pid, which may soon
 * be another's. */
void server_process_exited(struct server_process *server, ts_t now);

/* server_process_free - of one that has exited; NULL does nothing. The memory goes with the loop's next turn. */
void server_process_free(struct server_process *server);

#endif
