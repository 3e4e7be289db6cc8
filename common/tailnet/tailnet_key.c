#include "common/tailnet/tailnet_key.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto/key.h"

static const char *const prefixes[] = {
    [TAILNET_KEY_MACHINE] = "mkey:", [TAILNET_KEY_NODE] = "nodekey:", [TAILNET_KEY_DISCO] = "discokey:"};

bool tailnet_key_parse(enum tailnet_key_kind kind, const char *text, size_t len, uint8_t out[TAILNET_KEY_BYTES])
{
    size_t skip = strlen(prefixes[kind]);

    return len == skip + 2 * TAILNET_KEY_BYTES && memcmp(text, prefixes[kind], skip) == 0 &&
           key_parse(text + skip, len - skip, out);
}

const char *tailnet_key_format(enum tailnet_key_kind kind, const uint8_t key[TAILNET_KEY_BYTES],
                               char out[TAILNET_KEY_STR])
{
    int at = snprintf(out, TAILNET_KEY_STR, "%s", prefixes[kind]);

    for (size_t i = 0; i < TAILNET_KEY_BYTES; i++)
        at += snprintf(out + at, TAILNET_KEY_STR - (size_t)at, "%02x", key[i]);
    return out;
}
