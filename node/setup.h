/* setup.h - everything a configuration names, read and checked: keys, preshared keys, certificates.
 *
 * Immutable once loaded and counted: a reload makes another one, and a connection that is being set up keeps the one it
 * began with. `funnel-node -t` is a load whose result is thrown away. Belongs to one thread. */
#ifndef NODE_SETUP_H
#define NODE_SETUP_H

#include "common/config/config_errors.h"
#include "node/node_config.h"

struct ssl_ctx_st;

struct setup {
    unsigned references;
    struct node_config *config;
    uint8_t private_key[KEY_BYTES];
    uint8_t public_key[KEY_BYTES];
    struct addr *addrs; /* ours inside the tunnel: as configured, or the ULA */
    size_t addrs_count;
    uint8_t (*preshared_keys)[KEY_BYTES]; /* one an ingress; all zero: none */
    struct ssl_ctx_st **tls;              /* one a service; NULL: passed through */
};

/* setup_load - read the file at `path` and all it names. Returns 0 and *out with one reference, or a negative error
 * with lines in errors (initialised by the caller). What is only doubtful (a key file that others may read, a
 * certificate for another name, no service that is on) is logged as a warning. Reads files: blocks for as long as they take. */
int setup_load(const char *path, struct config_errors *errors, struct setup **out);
struct setup *setup_get(struct setup *setup);
void setup_put(struct setup *setup); /* frees with the last reference, wiping keys; NULL allowed */

#endif
