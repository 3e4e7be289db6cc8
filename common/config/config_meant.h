/* config_meant.h - "did you mean": the known word that a mistyped one was probably meant to be. */
#ifndef CONFIG_MEANT_H
#define CONFIG_MEANT_H

#include <stddef.h>

/* config_meant - the nearest of the known words if it is near enough: a third of it may be wrong, at most 3 letters.
 * word(ctx, i) gives the i-th of count known words. NULL: none is near. */
const char *config_meant(const char *typed, size_t count, const char *(*word)(const void *ctx, size_t i),
                         const void *ctx);

#endif
