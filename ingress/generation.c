#include "ingress/generation.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/key.h"
#include "common/net/loop.h"
#include "ingress/feed/feed_document.h"
#include "ingress/feed/feed_file.h"

static const struct generation_key *key_of(const struct generation_key *keys, size_t count, const char *identity,
                                           bool previous)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].previous == previous && strcmp(keys[i].identity, identity) == 0)
            return &keys[i];
    return NULL;
}

/* into guarded memory, with its public half */
static bool take_key(const uint8_t key[WG_KEY_BYTES], uint8_t **private_out, uint8_t public_out[WG_KEY_BYTES])
{
    *private_out = sodium_malloc(WG_KEY_BYTES);
    if (!*private_out)
        return false;
    memcpy(*private_out, key, WG_KEY_BYTES);
    return key_public(key, public_out) == 0 && sodium_mprotect_readonly(*private_out) == 0;
}

static bool make_identity(struct identity *out, const struct ingress_config_identity *config,
                          const struct generation_key *keys, size_t keys_count, struct config_errors *errors)
{
    const struct generation_key *key = key_of(keys, keys_count, config->name, false);
    const struct generation_key *previous = key_of(keys, keys_count, config->name, true);

    out->name = strdup(config->name);
    if (!out->name || !key || !take_key(key->key, &out->private_key, out->public_key) ||
        (previous && !take_key(previous->key, &out->previous_private, out->previous_public))) {
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

static int read_feed(const char *path, struct rng *rng, struct config_errors *errors, struct route_table **out)
{
    struct map_seed seed;
    char *text;
    size_t len;
    int rc = feed_file_read(path, &text, &len, errors);

    if (rc != 0)
        return rc;
    rng_fill(rng, &seed, sizeof(seed));
    rc = feed_document_parse(path, text, len, &seed, errors, out);
    feed_file_free(text, len);
    return rc;
}

struct generation *generation_new(uint32_t number, const char *config_name, const char *text, size_t len,
                                  const struct generation_key *keys, size_t keys_count, struct rng *rng,
                                  struct config_errors *errors)
{
    struct generation *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    atomic_init(&g->references, 1);
    g->number = number;
    if (ingress_config_load(config_name, text, len, errors, &g->config) != 0)
        goto fail;
    g->identities = calloc(g->config->identities_count, sizeof(*g->identities));
    if (!g->identities)
        goto fail;
    for (; g->identities_count < g->config->identities_count; g->identities_count++)
        if (!make_identity(&g->identities[g->identities_count], &g->config->identities[g->identities_count], keys,
                           keys_count, errors)) {
            g->identities_count++;
            goto fail;
        }
    if (read_feed(g->config->feed.path, rng, errors, &g->routes) != 0)
        goto fail;
    g->feed_read_wall_ns = loop_wall();
    return g;

fail:
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
    for (size_t i = 0; i < g->identities_count; i++) {
        free(g->identities[i].name);
        sodium_free(g->identities[i].private_key);
        sodium_free(g->identities[i].previous_private);
    }
    free(g->identities);
    route_table_put(g->routes);
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
