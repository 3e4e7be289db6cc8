#include "common/relay/relay_move.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PIECES 4 /* of queue a system call: enough for its cost to vanish, few enough to be fair to other streams */

enum relay_move relay_plain_up(int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now)
{
    struct iovec iov[PIECES];
    size_t room;
    int n = tcp_write_room(conn, iov, PIECES, &room);
    ssize_t got;

    if (n == 0)
        return RELAY_MOVE_BLOCKED;
    do
        got = readv(fd, iov, n);
    while (got < 0 && errno == EINTR);
    int error = got < 0 ? errno : 0;

    tcp_write_commit(conn, got > 0 ? (size_t)got : 0, now); /* also of nothing: the room was lent */
    if (got < 0)
        return error == EAGAIN ? RELAY_MOVED : RELAY_MOVE_SOCKET;
    *moved += (uint64_t)got;
    return got == 0 ? RELAY_MOVE_END : RELAY_MOVED;
}

enum relay_move relay_plain_down(int fd, struct tcp_conn *conn, uint64_t *moved, ts_t now)
{
    struct iovec iov[PIECES];
    size_t bytes;
    int n;

    while ((n = tcp_read_iov(conn, iov, PIECES, &bytes)) > 0) {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? RELAY_MOVE_BLOCKED : RELAY_MOVE_SOCKET;
        tcp_consume(conn, (size_t)sent, now);
        *moved += (uint64_t)sent;
        if ((size_t)sent < bytes)
            return RELAY_MOVE_BLOCKED;
    }
    return tcp_eof(conn) ? RELAY_MOVE_END : RELAY_MOVED;
}
