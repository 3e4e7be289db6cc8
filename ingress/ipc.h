/* ipc.h - what the supervisor and the server child say to each other.
 *
 * One SOCK_SEQPACKET pair; the child's end is descriptor IPC_CHILD_FD. One message a packet, with at most one
 * descriptor. Both ends come from the same binary, so integers are in host order. Still the supervisor is the stronger
 * side and the server talks to strangers: every message is checked for its shape before anyone sees it.
 *
 *      supervisor                                     server
 *          BEGIN(1) CONFIG KEY… LISTENER… UDP… ADMIN? COMMIT  ->
 *                                                      <- READY(1)          or FAILED(1), and the process ends
 *      SIGHUP
 *          BEGIN(2) CONFIG KEY… LISTENER… COMMIT       ->
 *                                                      <- APPLIED(2)        or FAILED(2), and nothing has changed
 *      SIGTERM
 *          DRAIN                                       ->
 *                                                      <- LISTENERS_CLOSED  the supervisor closes its copies
 *                                                      <- DRAINED           and the process ends with status 0
 *      SIGTERM again
 *          STOP                                        ->                   the process ends now, orderly
 *
 * A generation is one configuration with all that belongs to it, counted from 1. It is all or nothing: what comes
 * between BEGIN and COMMIT only takes effect by APPLIED. Every generation names all its listeners. One that this
 * server holds already (same address and worker) comes without a descriptor; one that is not named again is closed by
 * the server after APPLIED. UDP sockets, the admin socket and the number of workers come with the first
 * generation only.
 *
 * The memfd of CONFIG is the same one for every server: read it with pread, the offset is shared.
 * End of file means the other side is gone: a server without a supervisor ends. */
#ifndef INGRESS_IPC_H
#define INGRESS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

#define IPC_CHILD_FD    3    /* where a server child finds its end */
#define IPC_PAYLOAD_MAX 4096 /* bytes */
#define IPC_SEND_MS     5000 /* ipc_send waits this long for room, then the other side counts as stuck */
#define IPC_IDENTITY    64   /* an identity's name with its zero */

/* The shape of every message: its payload's exact size, or IPC_TEXT; whether it carries a descriptor. */
#define IPC_TEXT SIZE_MAX
enum ipc_fd {
    IPC_FD_NEVER = 0,
    IPC_FD_MAYBE,
    IPC_FD_ALWAYS,
};

#define IPC_MAP(X)                                                                                                     \
    X(IPC_BEGIN, 1, sizeof(struct ipc_begin), IPC_FD_NEVER)                                                            \
    X(IPC_CONFIG, 2, IPC_TEXT, IPC_FD_ALWAYS) /* the file's name, and a sealed memfd with its text */                  \
    X(IPC_KEY, 3, sizeof(struct ipc_key), IPC_FD_NEVER)                                                                \
    X(IPC_LISTENER, 4, sizeof(struct ipc_listener), IPC_FD_MAYBE)                                                      \
    X(IPC_UDP, 5, sizeof(struct ipc_udp), IPC_FD_ALWAYS)                                                               \
    X(IPC_COMMIT, 6, 0, IPC_FD_NEVER)                                                                                  \
    X(IPC_DRAIN, 7, 0, IPC_FD_NEVER)                                                                                   \
    X(IPC_STOP, 8, 0, IPC_FD_NEVER)                                                                                    \
    X(IPC_READY, 9, 0, IPC_FD_NEVER)                                                                                   \
    X(IPC_APPLIED, 10, 0, IPC_FD_NEVER)                                                                                \
    X(IPC_FAILED, 11, IPC_TEXT, IPC_FD_NEVER) /* why, one line a reason */                                             \
    X(IPC_LISTENERS_CLOSED, 12, 0, IPC_FD_NEVER)                                                                       \
    X(IPC_DRAINED, 13, 0, IPC_FD_NEVER)                                                                                \
    X(IPC_ADMIN, 14, 0, IPC_FD_ALWAYS) /* the listening socket of admin.socket */

enum ipc_type {
#define X(name, number, size, fd) name = number,
    IPC_MAP(X)
#undef X
};

struct ipc_begin {
    uint32_t workers; /* event loops; the running number, whatever the configuration says by now */
};

/* One private key of an identity. Every identity has one with previous = 0, and at most one with previous = 1. */
struct ipc_key {
    char identity[IPC_IDENTITY]; /* its name in the configuration */
    uint8_t previous;            /* 1: previous_key_file, still answered while nodes learn the new key */
    uint8_t key[32];
};

struct ipc_listener {
    uint32_t listen_index;      /* listen[listen_index] of this generation's configuration */
    uint32_t worker;            /* whose socket it is, from 0 */
    char address[ADDRPORT_STR]; /* as configured; with the worker it tells listeners apart across generations */
};

struct ipc_udp {
    uint32_t worker;
    uint32_t family; /* 4 or 6 */
};

/* A received message. The descriptor belongs to the message until someone takes it by setting fd to -1. */
struct ipc_message {
    enum ipc_type type;
    uint32_t generation;
    int fd;     /* close-on-exec; -1: none */
    size_t len; /* of the payload */
    union {
        struct ipc_begin begin;
        struct ipc_key key;
        struct ipc_listener listener;
        struct ipc_udp udp;
        char text[IPC_PAYLOAD_MAX + 1]; /* len bytes and a zero; no other zero among them */
    } u;
};

/* ipc_pair - a connected pair, both close-on-exec. 0 or -errno. */
int ipc_pair(int *supervisor_fd, int *server_fd);

/* ipc_send - one whole message.
 * payload  borrowed; a secret in it is the caller's to wipe; NULL with len 0
 * len      at most IPC_PAYLOAD_MAX
 * pass_fd  duplicated into the receiver, stays the caller's; -1: none
 * Waits up to IPC_SEND_MS for room. 0; -EAGAIN: the other side does not read; -EPIPE: it is gone; other -errno. */
int ipc_send(int fd, enum ipc_type type, uint32_t generation, const void *payload, size_t len, int pass_fd)
    __attribute__((warn_unused_result));

/* ipc_send_text - the same for a text payload without descriptor; cut at IPC_PAYLOAD_MAX. */
int ipc_send_text(int fd, enum ipc_type type, uint32_t generation, const char *text)
    __attribute__((warn_unused_result));

/* ipc_recv - the next message.
 * Returns 1: *out is filled; call ipc_message_deinit when done with it. 0: end of file. ERR_INVALID: not a message
 * this version knows (it was dropped, with its descriptors). -EAGAIN on a non-blocking descriptor without a message,
 * other -errno. Unless 1 is returned, *out holds nothing. */
int ipc_recv(int fd, struct ipc_message *out) __attribute__((warn_unused_result));

/* ipc_message_deinit - closes a descriptor nobody took and wipes the payload. Idempotent. */
void ipc_message_deinit(struct ipc_message *msg);

/* ipc_type_name - "IPC_BEGIN" …; "?" for an unknown number. */
const char *ipc_type_name(enum ipc_type type);

#endif
