#include "ingress/generation.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/key.h"
#include "common/crypto/secret.h"

#define JOINED_NAME "tailnet" /* of the identity that a feed brings, in logs */

static const struct generation_key *key_of(const struct generation_key *keys, size_t count, const char *identity,
                                           bool previous)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].previous == previous && strcmp(keys[i].identity, identity) == 0)
            return &keys[i];
    return NULL;
}

/* take_key - into the guarded block, with its public half; NULL: not a key. */
static const uint8_t *take_key(struct generation *g, const struct generation_key *from, uint8_t public_out[WG_KEY_BYTES])
{
    uint8_t *to = g->private_keys[g->private_keys_count++];

    memcpy(to, from->key, WG_KEY_BYTES);
    return key_public(to, public_out) == 0 ? to : NULL;
}

static bool make_identity(struct generation *g, struct identity *out, const struct ingress_config_identity *config,
                          const struct generation_key *keys, size_t keys_count, struct config_errors *errors)
{
    const struct generation_key *key = key_of(keys, keys_count, config->name, false);
    const struct generation_key *previous = key_of(keys, keys_count, config->name, true);

    out->name = strdup(config->name);
    if (!out->name || !key || !(out->private_key = take_key(g, key, out->public_key)) ||
        (previous && !(out->previous_private = take_key(g, previous, out->previous_public)))) {
        config_errors_add(errors, (struct config_place){0}, config->name, "no usable key for this identity");
        return false;
    }
    out->has_previous = previous != NULL;
    if (config->addresses_count > TUNNEL_ADDRS_MAX) {
        config_errors_add(errors, (struct config_place){0}, config->name, "more than %d addresses", TUNNEL_ADDRS_MAX);
        return false;
    }
    if (config->addresses_count > 0)
        memcpy(out->addrs, config->addresses, config->addresses_count * sizeof(struct addr));
    else
        key_ula(out->public_key, &out->addrs[0]);
    out->addrs_count = MAX(config->addresses_count, 1);
    return true;
}

static bool make_room(struct generation *g, size_t count)
{
    g->identities = calloc(count, sizeof(*g->identities));
    g->private_keys = secret_alloc(2 * count * sizeof(*g->private_keys)); /* a current and a previous one each */
    return g->identities && g->private_keys;
}

/* make_identities - false: errors filled, or out of memory. */
static bool make_identities(struct generation *g, const struct generation_key *keys, size_t keys_count,
                            struct config_errors *errors)
{
    size_t count = g->config->identities_count;

    if (count == 0) /* the feed brings it: generation_joined */
        return make_room(g, 1) && (g->identities[g->identities_count++].name = strdup(JOINED_NAME)) != NULL;
    if (!make_room(g, count))
        return false;
    while (g->identities_count < count) {
        const struct ingress_config_identity *config = &g->config->identities[g->identities_count];

        if (!make_identity(g, &g->identities[g->identities_count++], config, keys, keys_count, errors))
            return false;
    }
    secret_seal(g->private_keys);
    return true;
}

struct generation *generation_load(uint32_t number, const char *config_name, const char *text, size_t len,
                                   const struct generation_key *keys, size_t keys_count, struct config_errors *errors)
{
    struct generation *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    atomic_init(&g->references, 1);
    g->number = number;
    if (ingress_config_load(config_name, text, len, errors, &g->config) == 0 &&
        make_identities(g, keys, keys_count, errors))
        return g;
    generation_put(g);
    return NULL;
}

static bool make_joined(struct generation *g, const uint8_t *key, const uint8_t *previous, const struct addr *addrs,
                        size_t addrs_count)
{
    if (!make_room(g, 1))
        return false;
    struct identity *id = &g->identities[g->identities_count++];

    id->name = strdup(JOINED_NAME);
    id->private_key = take_key(g, &(struct generation_key){.key = key}, id->public_key);
    id->has_previous = previous != NULL;
    if (previous)
        id->previous_private = take_key(g, &(struct generation_key){.key = previous}, id->previous_public);
    id->addrs_count = MIN(addrs_count, TUNNEL_ADDRS_MAX);
    memcpy(id->addrs, addrs, id->addrs_count * sizeof(*addrs));
    secret_seal(g->private_keys);
    return id->name && id->private_key && (!previous || id->previous_private);
}

struct generation *generation_joined(struct generation *base, const uint8_t key[WG_KEY_BYTES], const uint8_t *previous,
                                     const struct addr *addrs, size_t addrs_count)
{
    struct generation *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    atomic_init(&g->references, 1);
    g->base = generation_get(base->base ? base->base : base);
    g->number = base->number;
    g->config = base->config;
    if (make_joined(g, key, previous, addrs, addrs_count))
        return g;
    generation_put(g);
    return NULL;
}

struct generation *generation_get(struct generation *g)
{
    atomic_fetch_add_explicit(&g->references, 1, memory_order_relaxed);
    return g;
}

void generation_put(struct generation *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < g->identities_count; i++)
        free(g->identities[i].name);
    free(g->identities);
    secret_free(g->private_keys);
    if (g->base)
        generation_put(g->base);
    else
        ingress_config_free(g->config);
    free(g);
}

const struct identity *generation_identity(const struct generation *g, const char *tailnet)
{
    return &g->identities[ingress_config_tailnet_identity(g->config, tailnet, strlen(tailnet))];
}

bool identity_has_key(const struct identity *identity, const uint8_t public_key[WG_KEY_BYTES])
{
    return memcmp(identity->public_key, public_key, WG_KEY_BYTES) == 0 ||
           (identity->has_previous && memcmp(identity->previous_public, public_key, WG_KEY_BYTES) == 0);
}
