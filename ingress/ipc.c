/* ipc.c - messages over a SOCK_SEQPACKET pair: a fixed header, a payload, at most one descriptor as SCM_RIGHTS.
 * unix(7), cmsg(3). */
#include "ingress/ipc.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/net/loop.h"

struct header {
    uint32_t type;
    uint32_t generation;
    uint32_t len; /* of the payload; the packet holds exactly header and payload */
};

struct shape {
    const char *name;
    size_t size; /* IPC_TEXT, or exact */
    enum ipc_fd fd;
};

static const struct shape shapes[] = {
#define X(name, number, size, fd) [number] = {#name, size, fd},
    IPC_MAP(X)
#undef X
};

/* room for more descriptors than one, so that a message with too many is seen and its descriptors closed by us */
#define FDS_MAX 8

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

static const struct shape *shape_of(uint32_t type)
{
    return type < ARRAY_SIZE(shapes) && shapes[type].name ? &shapes[type] : NULL;
}

const char *ipc_type_name(enum ipc_type type)
{
    const struct shape *shape = shape_of(type);

    return shape ? shape->name : "?";
}

int ipc_pair(int *supervisor_fd, int *server_fd)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1)
        return -errno;
    *supervisor_fd = fds[0];
    *server_fd = fds[1];
    return 0;
}

/* wait_for_room - not cut short by signals: the supervisor has a handler for each child that ends. */
static bool wait_for_room(int fd, ts_t until)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n;

    do
        n = poll(&p, 1, (int)(ts_since(until, loop_now()) / TS_MS));
    while (n == -1 && errno == EINTR);
    return n == 1;
}

int ipc_send(int fd, enum ipc_type type, uint32_t generation, const void *payload, size_t len, int pass_fd)
{
    const struct shape *shape = shape_of(type);

    BUG_ON(!shape || len > IPC_PAYLOAD_MAX);
    BUG_ON(shape->size != IPC_TEXT && shape->size != len);
    BUG_ON(shape->fd == IPC_FD_ALWAYS ? pass_fd == -1 : shape->fd == IPC_FD_NEVER && pass_fd != -1);

    struct header header = {.type = type, .generation = generation, .len = (uint32_t)len};
    /* iovec has no const; sendmsg only reads */
    struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)(uintptr_t)payload, len}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    union control control;
    ts_t until = ts_add(loop_now(), IPC_SEND_MS * TS_MS);

    if (pass_fd != -1) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
    }
    /* never block in sendmsg itself: a stuck reader must not take this process with it */
    for (;;) {
        if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != -1)
            return 0;
        if (errno == EAGAIN && !wait_for_room(fd, until))
            return -EAGAIN;
        if (errno != EAGAIN && errno != EINTR)
            return errno == ECONNRESET ? -EPIPE : -errno;
    }
}

int ipc_send_text(int fd, enum ipc_type type, uint32_t generation, const char *text)
{
    return ipc_send(fd, type, generation, text, MIN(strlen(text), (size_t)IPC_PAYLOAD_MAX), -1);
}

/* take_fds - the first received descriptor into *fd (-1: none), the others closed; returns how many there were. */
static size_t take_fds(struct msghdr *msg, int *fd)
{
    size_t count = 0;

    *fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int received;
            memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (count++ == 0)
                *fd = received;
            else
                close(received);
        }
    }
    return count;
}

static bool terminated(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

static bool well_formed(const struct header *header, ssize_t n, size_t fds, const struct ipc_message *m)
{
    const struct shape *shape = shape_of(header->type);

    if (!shape || header->len != (size_t)n - sizeof(*header))
        return false;
    if (shape->fd == IPC_FD_ALWAYS ? fds != 1 : fds > (shape->fd == IPC_FD_MAYBE ? 1 : 0))
        return false;
    if (shape->size == IPC_TEXT)
        return !terminated(m->u.text, header->len);
    if (shape->size != header->len)
        return false;
    if (header->type == IPC_KEY)
        return terminated(m->u.key.identity, sizeof(m->u.key.identity)) && m->u.key.previous <= 1;
    if (header->type == IPC_LISTENER)
        return terminated(m->u.listener.address, sizeof(m->u.listener.address));
    if (header->type == IPC_UDP)
        return m->u.udp.family == 4 || m->u.udp.family == 6;
    return true;
}

int ipc_recv(int fd, struct ipc_message *out)
{
    struct header header;
    struct iovec parts[2] = {{&header, sizeof(header)}, {&out->u, IPC_PAYLOAD_MAX}};
    union control control;
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n;

    out->fd = -1;
    out->len = 0;
    /* ECONNRESET, once: the other side ended before it had read all that we sent. What it said last comes behind it. */
    do {
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (n == -1 && (errno == EINTR || errno == ECONNRESET));
    if (n == -1)
        return -errno;
    if (n == 0)
        return 0;

    size_t fds = take_fds(&msg, &out->fd);
    bool ok = n >= (ssize_t)sizeof(header) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC));

    if (!ok || !well_formed(&header, n, fds, out)) {
        out->len = (size_t)MAX(n, (ssize_t)sizeof(header)) - sizeof(header);
        ipc_message_deinit(out);
        return ERR_INVALID;
    }
    out->type = (enum ipc_type)header.type;
    out->generation = header.generation;
    out->len = header.len;
    if (shapes[header.type].size == IPC_TEXT)
        out->u.text[out->len] = 0;
    return 1;
}

void ipc_message_deinit(struct ipc_message *msg)
{
    if (msg->fd != -1)
        close(msg->fd);
    msg->fd = -1;
    explicit_bzero(&msg->u, MIN(msg->len, sizeof(msg->u)));
    msg->len = 0;
}
