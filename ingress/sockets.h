/* sockets.h - the public sockets, which outlive every server child: a connection that arrives while no server runs
 * waits in a queue instead of being refused. SHELL.
 *
 * A listener is one address with one socket a worker (SO_REUSEPORT). Listeners follow the configuration, a generation
 * at a time: sockets_open opens what is new, then either sockets_commit drops what is not named any more or
 * sockets_abort what was opened. UDP sockets are opened once and stay: the kernel picks one of a group by its place; so
 * does the admin socket. */
#ifndef INGRESS_SOCKETS_H
#define INGRESS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config_errors.h"
#include "ingress/ingress_config.h"

struct sockets_listener {
    struct addrport at;   /* as configured; port 0 stays 0 here */
    int *fds;             /* one a worker */
    uint32_t opened_by;   /* generation */
    uint32_t named_by;    /* the last generation that asked for it */
};

struct sockets {
    uint32_t workers;
    struct sockets_listener *listeners;
    size_t listeners_count;
    int *udp[2]; /* IPv4 and IPv6: one a worker, or NULL */
    char *admin_path; /* NULL: no admin socket */
    int admin;
};

/* sockets_init - nothing is open. workers > 0. */
void sockets_init(struct sockets *s, uint32_t workers);

/* sockets_deinit - closes everything. */
void sockets_deinit(struct sockets *s);

/* sockets_open_udp - the sockets of wireguard.listen. What is wrong goes to errors, with advice; `file` is what they
 * call the configuration. 0, ERR_NOMEM or the first -errno. */
int sockets_open_udp(struct sockets *s, const struct ingress_config *config, const char *file,
                     struct config_errors *errors)
    __attribute__((warn_unused_result));

/* sockets_open_admin - the Unix socket of admin.socket, if there is to be one; only this user and root may connect. A
 * file that a crashed ingress left behind is replaced. Errors as above. sockets_deinit removes the file. */
int sockets_open_admin(struct sockets *s, const struct ingress_config *config, const char *file,
                       struct config_errors *errors)
    __attribute__((warn_unused_result));

/* sockets_open - the listeners of generation `number`: opens those that are new, and notes all as named. All failures
 * go to errors. 0, ERR_NOMEM or the first -errno; then call sockets_abort. */
int sockets_open(struct sockets *s, const struct ingress_config *config, uint32_t number, const char *file,
                 struct config_errors *errors)
    __attribute__((warn_unused_result));

/* sockets_commit - generation `number` is in force: closes listeners that it does not name. */
void sockets_commit(struct sockets *s, uint32_t number);

/* sockets_abort - generation `number` came to nothing: closes listeners that it opened. */
void sockets_abort(struct sockets *s, uint32_t number);

/* sockets_close_listeners - all of them, once a draining server has closed its own: the kernel would go on queueing
 * visitors as long as one copy is open. */
void sockets_close_listeners(struct sockets *s);

/* sockets_find - the listener of that address, or NULL. */
const struct sockets_listener *sockets_find(const struct sockets *s, const struct addrport *at);

#endif
