/* supply.h - what a server child is given to work with: the configuration's text and the identities' keys.
 *
 * The supervisor reads them, because the child may not be able to: it runs as another user, later without a file
 * system. It keeps them in memory, so that a child that died is replaced by one that is equal, whatever happened to the
 * files meanwhile. */
#ifndef INGRESS_SUPPLY_H
#define INGRESS_SUPPLY_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/config_errors.h"
#include "ingress/generation.h"
#include "ingress/ingress_config.h"
#include "ingress/sockets.h"

struct supply {
    uint32_t number; /* of the generation it makes */
    char *file;      /* the configuration's name */
    char *text;
    size_t text_len;
    struct ingress_config *config;
    struct generation_key *keys; /* names in config, keys in key_bytes */
    size_t keys_count;
    uint8_t (*key_bytes)[WG_KEY_BYTES]; /* one guarded block, read-only */
};

/* supply_load - read and check the configuration file, its user, and every key file it names. A key file that
 * others may read is a warning in the log. NULL: see errors, which must be initialised and hold a line for all that is
 * wrong. */
struct supply *supply_load(const char *file, uint32_t number, struct config_errors *errors);

/* supply_free - wipes the keys; NULL does nothing. */
void supply_free(struct supply *supply);

/* supply_send - the whole generation, BEGIN to COMMIT, into the server's ipc descriptor.
 * sockets  its listeners must be open
 * held     the generation this server serves already, whose sockets it holds; 0: it is new and gets them all
 * 0, or as ipc_send. */
int supply_send(const struct supply *supply, const struct sockets *sockets, uint32_t held, int ipc_fd)
    __attribute__((warn_unused_result));

#endif
