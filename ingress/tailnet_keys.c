#include "ingress/tailnet_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/net/statefile.h"

#define FILE_NAME "keys"
#define TEXT_MAX  1024

/* one line a key: a word, a blank, 64 digits behind a prefix */
struct line {
    const char *word, *prefix;
    size_t offset; /* in struct control_keys */
};
static const struct line lines[] = {
    {"machine", "privkey:", offsetof(struct control_keys, machine)},
    {"node", "privkey:", offsetof(struct control_keys, node)},
    {"previous", "privkey:", offsetof(struct control_keys, previous)},
    {"disco", "privkey:", offsetof(struct control_keys, disco)},
    {"server", "mkey:", offsetof(struct control_keys, server)},
};
#define LINES (sizeof(lines) / sizeof(lines[0]))

bool tailnet_keys_folder(const char *state_dir, char out[TAILNET_KEYS_PATH])
{
    int n = snprintf(out, TAILNET_KEYS_PATH, "%s/tailnet", state_dir);

    return n > 0 && n < TAILNET_KEYS_PATH;
}

/* read_line - false: not one of ours */
static bool read_line(const char *at, size_t len, struct control_keys *out)
{
    for (size_t i = 0; i < LINES; i++) {
        size_t skip = strlen(lines[i].word);

        if (len <= skip + 1 || memcmp(at, lines[i].word, skip) != 0 || at[skip] != ' ')
            continue;
        uint8_t *key = (uint8_t *)out + lines[i].offset;

        at += skip + 1;
        len -= skip + 1;
        return i + 1 == LINES ? tailnet_key_parse(TAILNET_KEY_MACHINE, at, len, key) : key_parse(at, len, key);
    }
    return false;
}

static int read_text(const char *text, size_t len, struct control_keys *out)
{
    for (const char *at = text, *end = text + len; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        if (!stop || !read_line(at, (size_t)(stop - at), out))
            return ERR_INVALID;
        at = stop + 1;
    }
    return crypto_is_zero(out->machine, sizeof(out->machine)) ? ERR_INVALID : 0;
}

int tailnet_keys_read(const char *state_dir, struct rng *rng, struct control_keys *out)
{
    char dir[TAILNET_KEYS_PATH], text[TEXT_MAX];
    int rc = -ENOENT;

    *out = (struct control_keys){0};
    if (*state_dir) {
        if (!tailnet_keys_folder(state_dir, dir))
            return -ENAMETOOLONG;
        if (mkdirat(AT_FDCWD, dir, 0700) != 0 && errno != EEXIST)
            return -errno;
        rc = statefile_read(dir, FILE_NAME, text, sizeof(text));
    }
    if (rc == -ENOENT) {
        key_generate(rng, out->machine);
        rc = 0;
    } else if (rc >= 0) {
        rc = read_text(text, (size_t)rc, out);
    }
    crypto_wipe(text, sizeof(text));
    if (rc != 0)
        crypto_wipe(out, sizeof(*out));
    else if (crypto_is_zero(out->disco, sizeof(out->disco)))
        key_generate(rng, out->disco);
    return rc;
}

int tailnet_keys_write(const char *state_dir, const struct control_keys *keys)
{
    char dir[TAILNET_KEYS_PATH], text[TEXT_MAX];
    int at = 0;

    if (!*state_dir)
        return 0;
    if (!tailnet_keys_folder(state_dir, dir))
        return -ENAMETOOLONG;
    for (size_t i = 0; i < LINES; i++) {
        const uint8_t *key = (const uint8_t *)keys + lines[i].offset;

        if (crypto_is_zero(key, TAILNET_KEY_BYTES))
            continue;
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%s %s", lines[i].word, lines[i].prefix);
        for (size_t k = 0; k < TAILNET_KEY_BYTES; k++)
            at += snprintf(text + at, sizeof(text) - (size_t)at, "%02x", key[k]);
        text[at++] = '\n';
    }
    int rc = statefile_write(dir, FILE_NAME, text, (size_t)at);

    crypto_wipe(text, sizeof(text));
    return rc;
}
