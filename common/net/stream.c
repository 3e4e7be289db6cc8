#include "common/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

void addrport_from_sockaddr(const struct sockaddr *sa, struct addrport *out)
{
    memset(out, 0, sizeof(*out));
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        out->addr = addr_v4((const uint8_t *)&in.sin_addr);
        out->port = ntohs(in.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        out->addr = addr_v6(in6.sin6_addr.s6_addr);
        out->port = ntohs(in6.sin6_port);
    }
}

socklen_t addrport_to_sockaddr(const struct addrport *ap, bool v4, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (v4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;

        in->sin_family = AF_INET;
        in->sin_port = htons(ap->port);
        memcpy(&in->sin_addr, addr_v4_bytes(&ap->addr), 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(ap->port);
    memcpy(&in6->sin6_addr, ap->addr.b, 16);
    return sizeof(*in6);
}

static int fail(int fd)
{
    int rc = -errno;

    if (fd >= 0)
        close(fd);
    return rc;
}

static void no_delay(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* Unix sockets refuse: nothing to delay there */
}

int stream_listen(const struct addrport *at, int backlog, bool reuseport)
{
    bool v4 = addr_is_v4(&at->addr);
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(at, v4, &sa);
    int one = 1, v6only = !addr_is_none(&at->addr);
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        (reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
        (!v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) != 0) ||
        bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, backlog) != 0)
        return fail(fd);
    no_delay(fd); /* what is accepted inherits it */
    return fd;
}

static bool unix_address(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(out->sun_path))
        return false;
    strcpy(out->sun_path, path);
    return true;
}

int stream_listen_unix(const char *path, int backlog, mode_t mode)
{
    struct sockaddr_un un;

    if (!unix_address(path, &un))
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(~mode & 0777);
    int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&un, sizeof(un));

    umask(before);
    if (rc != 0 || listen(fd, backlog) != 0)
        return fail(fd);
    return fd;
}

static int name_of(int fd, struct addrport *out, int (*get)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (get(fd, (struct sockaddr *)&sa, &len) != 0)
        return -errno;
    addrport_from_sockaddr((struct sockaddr *)&sa, out);
    return 0;
}

int stream_local(int fd, struct addrport *out)
{
    return name_of(fd, out, getsockname);
}

int stream_peer(int fd, struct addrport *out)
{
    return name_of(fd, out, getpeername);
}

int stream_accept(int fd, struct addrport *client)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int got = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (got < 0)
        return -errno;
    addrport_from_sockaddr((struct sockaddr *)&sa, client);
    return got;
}

static int start(int fd, const struct sockaddr *sa, socklen_t len)
{
    if (fd < 0)
        return -errno;
    no_delay(fd);
    if (connect(fd, sa, len) != 0 && errno != EINPROGRESS)
        return fail(fd);
    return fd;
}

int stream_connect(const struct addrport *to)
{
    bool v4 = addr_is_v4(&to->addr);
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(to, v4, &sa);

    return start(socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                 (struct sockaddr *)&sa, len);
}

int stream_connect_unix(const char *path)
{
    struct sockaddr_un un;

    if (!unix_address(path, &un))
        return -ENAMETOOLONG;
    return start(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), (struct sockaddr *)&un, sizeof(un));
}

int stream_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return -errno;
    return -error;
}

void stream_reset_close(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}
