/* tailnet_key.h - Curve25519 keys as a coordination server writes them: a prefix and 64 hexadecimal digits. */
#ifndef TAILNET_TAILNET_KEY_H
#define TAILNET_TAILNET_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAILNET_KEY_BYTES 32
#define TAILNET_KEY_STR   74 /* the longest prefix, 64 digits and a zero */

enum tailnet_key_kind {
    TAILNET_KEY_MACHINE = 0, /* mkey: who we are to the server, for good */
    TAILNET_KEY_NODE,        /* nodekey: who we are to WireGuard and DERP; may be exchanged */
    TAILNET_KEY_DISCO,       /* discokey: who we are to path discovery; may be new at every start */
};

/* tailnet_key_parse - the public key in a text of that kind; lower and upper case digits. All zero is a key here, and
 * means the same as none. False: not one; out is then unspecified. */
bool tailnet_key_parse(enum tailnet_key_kind kind, const char *text, size_t len, uint8_t out[TAILNET_KEY_BYTES]);

/* tailnet_key_format - its text, with its zero; returns out. */
const char *tailnet_key_format(enum tailnet_key_kind kind, const uint8_t key[TAILNET_KEY_BYTES],
                               char out[TAILNET_KEY_STR]);

#endif
