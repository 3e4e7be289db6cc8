#include "common/tailnet/tailnet_key.h"

#include <stdio.h>
#include <string.h>

static const char *const prefixes[] = {
    [TAILNET_KEY_MACHINE] = "mkey:", [TAILNET_KEY_NODE] = "nodekey:", [TAILNET_KEY_DISCO] = "discokey:"};

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tailnet_key_parse(enum tailnet_key_kind kind, const char *text, size_t len, uint8_t out[TAILNET_KEY_BYTES])
{
    size_t skip = strlen(prefixes[kind]);

    if (len != skip + 2 * TAILNET_KEY_BYTES || memcmp(text, prefixes[kind], skip) != 0)
        return false;
    for (size_t i = 0; i < TAILNET_KEY_BYTES; i++) {
        int high = digit(text[skip + 2 * i]), low = digit(text[skip + 2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

const char *tailnet_key_format(enum tailnet_key_kind kind, const uint8_t key[TAILNET_KEY_BYTES],
                               char out[TAILNET_KEY_STR])
{
    int at = snprintf(out, TAILNET_KEY_STR, "%s", prefixes[kind]);

    for (size_t i = 0; i < TAILNET_KEY_BYTES; i++)
        at += snprintf(out + at, TAILNET_KEY_STR - (size_t)at, "%02x", key[i]);
    return out;
}
