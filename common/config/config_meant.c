#include "common/config/config_meant.h"

#include <stdint.h>
#include <string.h>

#include "common/base/bug.h"

#define WORD_MAX 40 /* letters; no key of ours is longer, and longer ones are not looked at */

/* Letters to change, add or drop to make b of a. Wagner and Fischer, "The string-to-string correction problem", 1974;
 * one row of the table at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], b_len = strlen(b);

    BUG_ON(b_len > WORD_MAX);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t kept = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(kept, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

const char *config_meant(const char *typed, size_t count, const char *(*word)(const void *ctx, size_t i),
                         const void *ctx)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    if (strlen(typed) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *known = word(ctx, i);
        size_t d = distance(typed, known), allowed = MIN(MAX(strlen(known) / 3, (size_t)1), (size_t)3);

        if (d < best_distance && d <= allowed) {
            best = known;
            best_distance = d;
        }
    }
    return best;
}
