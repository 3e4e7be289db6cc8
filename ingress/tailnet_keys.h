/* tailnet_keys.h - the keys by which a coordination server knows us, kept over restarts. SHELL.
 *
 * One file, written whole, in a folder that is ours alone. Losing the machine key makes us a new node. */
#ifndef INGRESS_TAILNET_KEYS_H
#define INGRESS_TAILNET_KEYS_H

#include "common/tailnet/control.h"

/* tailnet_keys_folder - of all that is kept of a tailnet. False: its path is too long. */
#define TAILNET_KEYS_PATH 4096
bool tailnet_keys_folder(const char *state_dir, char out[TAILNET_KEYS_PATH]);

/* tailnet_keys_read - what is kept in state_dir/tailnet, which is made where it is missing; where there is no file, a new
 * machine key and no node key. A disco key is made where none is kept: peers that hear nothing from the server know us by
 * the one we had. state_dir "": likewise, and nothing will be kept.
 * Returns 0, ERR_INVALID (the file holds something else: it is left alone) or -errno. */
int tailnet_keys_read(const char *state_dir, struct rng *rng, struct control_keys *out)
    __attribute__((warn_unused_result));

/* tailnet_keys_write - 0 or -errno. */
int tailnet_keys_write(const char *state_dir, const struct control_keys *keys) __attribute__((warn_unused_result));

#endif
