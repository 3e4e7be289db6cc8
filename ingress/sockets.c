#include "ingress/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/stream.h"
#include "common/net/udp.h"

/* the kernel lowers it to net.core.somaxconn, 4096 since Linux 5.4 */
#define BACKLOG 4096
#define ADMIN_BACKLOG 16

/* how one kind of socket is opened */
typedef int (*open_fn)(const struct addrport *at, bool reuseport);

static int open_stream(const struct addrport *at, bool reuseport)
{
    return stream_listen(at, BACKLOG, reuseport);
}

static void close_group(int *fds, uint32_t workers)
{
    for (uint32_t i = 0; fds && i < workers; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(fds);
}

/* open_group - one socket a worker. With SO_REUSEPORT a second program of this user would silently share the port and
 * take half of the visitors, so a first socket without it asks whether the address is free. Where the port is 0, the
 * others follow the first. */
static int open_group(open_fn open, const struct addrport *at, uint32_t workers, int **out)
{
    struct addrport actual = *at;

    if (at->port) {
        int probe = open(at, false);

        if (probe < 0)
            return probe;
        close(probe);
    }
    int *fds = malloc(workers * sizeof(*fds));

    if (!fds)
        return ERR_NOMEM;
    memset(fds, -1, workers * sizeof(*fds));
    for (uint32_t i = 0; i < workers; i++) {
        int rc = fds[i] = open(&actual, true);

        if (rc >= 0 && i == 0)
            rc = stream_local(fds[0], &actual);
        if (rc < 0) {
            close_group(fds, workers);
            return rc;
        }
    }
    *out = fds;
    return 0;
}

/* advice - what an operator can do about it; "" when the error says it all. */
static const char *advice(int err)
{
    switch (err) {
    case -EACCES:
    case -EPERM:
        return ": ports below 1024 need a privilege: start as root with an unprivileged `user:`, or allow it with "
               "`setcap cap_net_bind_service=+ep` on the program or `sysctl net.ipv4.ip_unprivileged_port_start=443`";
    case -EADDRINUSE:
        return ": another program, or another address of this file, has this port ([::] takes IPv4 too); "
               "`ss -lntup` shows who";
    case -EADDRNOTAVAIL:
        return ": no interface of this machine has this address";
    case -EAFNOSUPPORT:
        return ": this machine has no such address family; use \"0.0.0.0\" where there is no IPv6";
    case -EMFILE:
    case -ENFILE:
        return ": raise the limit of open files (`ulimit -n`, LimitNOFILE=)";
    default:
        return "";
    }
}

static void complain(struct config_errors *errors, const char *file, const char *path, const struct addrport *at,
                     int err)
{
    char text[ADDRPORT_STR];

    config_errors_add(errors, (struct config_place){.file = file}, path, "can't open %s: %s%s",
                      addrport_format(at, text), err_str(err), advice(err));
}

/* log_open - the address it really has, which for port 0 nobody knows yet. */
static void log_open(const char *what, int fd)
{
    struct addrport actual;
    char text[ADDRPORT_STR];

    if (stream_local(fd, &actual) == 0)
        log_info("listen", "event=open %s=%s", what, addrport_format(&actual, text));
}

void sockets_init(struct sockets *s, uint32_t workers)
{
    *s = (struct sockets){.workers = workers};
}

void sockets_deinit(struct sockets *s)
{
    sockets_close_listeners(s);
    for (int family = 0; family < 2; family++) {
        close_group(s->udp[family], s->workers);
        s->udp[family] = NULL;
    }
    if (s->admin_path) {
        unlink(s->admin_path);
        close(s->admin);
        free(s->admin_path);
        s->admin_path = NULL;
    }
}

int sockets_open_udp(struct sockets *s, const struct ingress_config *config, const char *file,
                     struct config_errors *errors)
{
    int first = 0;

    for (size_t i = 0; i < config->wireguard.listen_count; i++) {
        const struct addrport *at = &config->wireguard.listen[i];
        int **group = &s->udp[addr_is_v4(&at->addr) ? 0 : 1];
        int rc = open_group(udp_open, at, s->workers, group);

        if (rc == 0) {
            log_open("udp", (*group)[0]);
            rc = s->workers > 1 ? udp_steer((*group)[0], s->workers) : 0;
            if (rc != 0) /* workers pass on what is another's: right, but slower */
                log_warn("listen", "event=unsteered error=\"%s\"", err_str(rc));
            continue;
        }
        char path[64];

        snprintf(path, sizeof(path), "wireguard.listen[%zu]", i);
        complain(errors, file, path, at, rc);
        first = first ? first : rc;
    }
    return first;
}

/* replace_stale - a socket's file that nobody listens behind any more is in the way of bind(2). */
static int replace_stale(const char *path)
{
    struct stat st;
    int fd;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = stream_connect_unix(path);
    if (fd >= 0)
        close(fd);
    if (fd != -ECONNREFUSED)
        return fd >= 0 ? -EADDRINUSE : fd;
    return unlink(path) == 0 ? 0 : -errno;
}

int sockets_open_admin(struct sockets *s, const struct ingress_config *config, const char *file,
                       struct config_errors *errors)
{
    const char *path = config->admin.socket;
    int rc;

    if (!*path)
        return 0;
    rc = replace_stale(path);
    if (rc == 0)
        rc = s->admin = stream_listen_unix(path, ADMIN_BACKLOG, 0600);
    if (rc < 0) {
        config_errors_add(errors, (struct config_place){.file = file}, "admin.socket", "can't open %s: %s%s", path,
                          err_str(rc), rc == -EADDRINUSE ? ": a running ingress has it" : "");
        return rc;
    }
    s->admin_path = strdup(path);
    if (s->admin_path) {
        log_info("listen", "event=open admin=%s", path);
        return 0;
    }
    close(s->admin);
    unlink(path);
    return ERR_NOMEM;
}

static struct sockets_listener *find(const struct sockets *s, const struct addrport *at)
{
    for (size_t i = 0; i < s->listeners_count; i++)
        if (addrport_equal(&s->listeners[i].at, at))
            return &s->listeners[i];
    return NULL;
}

const struct sockets_listener *sockets_find(const struct sockets *s, const struct addrport *at)
{
    return find(s, at);
}

static int add(struct sockets *s, const struct addrport *at, uint32_t number)
{
    struct sockets_listener *all = reallocarray(s->listeners, s->listeners_count + 1, sizeof(*all));
    int *fds;

    if (!all)
        return ERR_NOMEM;
    s->listeners = all;
    int rc = open_group(open_stream, at, s->workers, &fds);

    if (rc != 0)
        return rc;
    all[s->listeners_count++] =
        (struct sockets_listener){.at = *at, .fds = fds, .opened_by = number, .named_by = number};
    log_open("tcp", fds[0]);
    return 0;
}

int sockets_open(struct sockets *s, const struct ingress_config *config, uint32_t number, const char *file,
                 struct config_errors *errors)
{
    int first = 0;

    for (size_t i = 0; i < config->listen_count; i++) {
        const struct addrport *at = &config->listen[i].address;
        struct sockets_listener *known = find(s, at);

        if (known) {
            known->named_by = number;
            continue;
        }
        int rc = add(s, at, number);

        if (rc != 0) {
            char path[64];

            snprintf(path, sizeof(path), "listen[%zu].address", i);
            complain(errors, file, path, at, rc);
            first = first ? first : rc;
        }
    }
    return first;
}

/* close_where - the listeners that `gone` picks. */
static void close_where(struct sockets *s, bool (*gone)(const struct sockets_listener *, uint32_t), uint32_t number)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->listeners_count; i++) {
        if (gone(&s->listeners[i], number))
            close_group(s->listeners[i].fds, s->workers);
        else
            s->listeners[kept++] = s->listeners[i];
    }
    s->listeners_count = kept;
}

static bool not_named(const struct sockets_listener *l, uint32_t number)
{
    return l->named_by != number;
}

static bool opened(const struct sockets_listener *l, uint32_t number)
{
    return l->opened_by == number;
}

void sockets_commit(struct sockets *s, uint32_t number)
{
    close_where(s, not_named, number);
}

void sockets_abort(struct sockets *s, uint32_t number)
{
    close_where(s, opened, number);
}

void sockets_close_listeners(struct sockets *s)
{
    for (size_t i = 0; i < s->listeners_count; i++)
        close_group(s->listeners[i].fds, s->workers);
    free(s->listeners);
    s->listeners = NULL;
    s->listeners_count = 0;
}
