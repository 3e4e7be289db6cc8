/* generation.h - one configuration with all that belongs to it: settings and identities. Immutable, counted.
 *
 * A reload builds a second one and swaps it in worker by worker; whoever still works with the old one holds a
 * reference. The map of nodes is not part of it: that changes row by row (route_table.h). */
#ifndef INGRESS_GENERATION_H
#define INGRESS_GENERATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/config/config_errors.h"
#include "common/tunnel/tunnel.h"
#include "ingress/ingress_config.h"

struct identity {
    char *name; /* that of the tailnet feed has no key before the coordination server has let us in */
    uint8_t public_key[WG_KEY_BYTES];
    const uint8_t *private_key; /* in the generation's guarded block */
    bool has_previous;
    uint8_t previous_public[WG_KEY_BYTES];
    const uint8_t *previous_private; /* likewise, or NULL */
    struct addr addrs[TUNNEL_ADDRS_MAX]; /* ours inside the tunnels; by default the ULA of the key */
    size_t addrs_count;
};

struct generation {
    atomic_uint references;
    struct generation *base; /* whose config this is, with a reference; NULL: our own */
    uint32_t number;
    struct ingress_config *config;
    struct identity *identities; /* in the config's order */
    size_t identities_count;
    uint8_t (*private_keys)[WG_KEY_BYTES]; /* all of theirs, in one guarded block, read-only */
    size_t private_keys_count;
};

/* A private key as it came from the supervisor. */
struct generation_key {
    const char *identity;
    bool previous;
    const uint8_t *key;
};

/* generation_load - parse the config text and join it with the keys. Opens no file.
 * errors  every problem found, for the operator
 * Returns the generation with one reference, or NULL with errors filled. */
struct generation *generation_load(uint32_t number, const char *config_name, const char *text, size_t len,
                                   const struct generation_key *keys, size_t keys_count, struct config_errors *errors);

/* generation_joined - the same configuration, under the one identity that a coordination server gave us.
 * base      borrowed; its config is shared
 * key       private; previous: the one before, or NULL
 * NULL: out of memory. */
struct generation *generation_joined(struct generation *base, const uint8_t key[WG_KEY_BYTES], const uint8_t *previous,
                                     const struct addr *addrs, size_t addrs_count);

struct generation *generation_get(struct generation *g);
void generation_put(struct generation *g); /* NULL allowed; wipes keys with the last reference */

/* generation_identity - the identity that serves a tailnet: the one the config names, else the first. */
const struct identity *generation_identity(const struct generation *g, const char *tailnet);

/* identity_has_key - whether this public key is the identity's current or previous one. */
bool identity_has_key(const struct identity *identity, const uint8_t public_key[WG_KEY_BYTES]);

#endif
