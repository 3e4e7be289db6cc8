/* stream.h - plain TCP and Unix stream sockets: listen, accept, connect. SHELL. All descriptors are non-blocking. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <sys/socket.h>
#include <sys/types.h>

#include "common/base/addr.h"

/* stream_listen - a listening socket; IPv6 any (`[::]`) is dual stack, other IPv6 addresses v6-only. fd or -errno. */
int stream_listen(const struct addrport *at, int backlog, bool reuseport);
/* stream_listen_unix - a listening Unix socket at a path that is free; `mode` are its file's permissions from the first
 * moment. Only where no other thread creates files meanwhile. fd or -errno. */
int stream_listen_unix(const char *path, int backlog, mode_t mode);
/* stream_local / stream_peer - its addresses. 0 or -errno. */
int stream_local(int fd, struct addrport *out);
int stream_peer(int fd, struct addrport *out);
/* stream_accept - next connection: fd, or -errno (-EAGAIN: none; -EMFILE and friends: try later). */
int stream_accept(int fd, struct addrport *client);
/* stream_connect - start connecting; wait for writable, then stream_error. fd or -errno. */
int stream_connect(const struct addrport *to);
int stream_connect_unix(const char *path);
/* stream_error - the socket's pending error as -errno, 0 none. */
int stream_error(int fd);
/* stream_reset_close - close with a reset instead of an orderly end (SO_LINGER 0). */
void stream_reset_close(int fd);
void addrport_from_sockaddr(const struct sockaddr *sa, struct addrport *out);
/* addrport_to_sockaddr - returns the length used. v4 true: an AF_INET address of an IPv4 one, else AF_INET6. */
socklen_t addrport_to_sockaddr(const struct addrport *ap, bool v4, struct sockaddr_storage *out);

#endif
