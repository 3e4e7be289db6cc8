#include "common/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"

#define KEY_TEXT_MAX 256 /* a key, its prefix and generous white space */

/* a key's text from a descriptor, white space around it removed; its length or a negative error */
static int read_text(int fd, char text[KEY_TEXT_MAX])
{
    size_t len = 0, from = 0;

    for (;;) {
        ssize_t n = read(fd, text + len, KEY_TEXT_MAX - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
        if (len == KEY_TEXT_MAX)
            return ERR_TOO_LARGE;
    }
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    while (from < len && strchr(" \t\r\n", text[from]))
        from++;
    memmove(text, text + from, len - from);
    return (int)(len - from);
}

static int complain(const char *program, const char *what)
{
    fprintf(stderr, "%s: %s\n", program, what);
    return CLI_FAILED;
}

static int print_key(const char *program, const uint8_t key[KEY_BYTES])
{
    char text[KEY_STR];

    key_format(key, text);
    int rc = printf("%s\n", text) < 0 || fflush(stdout) != 0 ? -1 : 0;

    crypto_wipe(text, sizeof(text));
    return rc == 0 ? CLI_OK : complain(program, "can't write the key");
}

bool cli_wants_help(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int cli_genkey(const char *program)
{
    struct rng rng;
    struct stat st;
    uint8_t key[KEY_BYTES];

    if (crypto_init() != 0)
        return complain(program, "the cryptographic libraries don't work");
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077))
        fprintf(stderr, "%s: warning: others may read the file this key goes to; use `umask 077` before\n", program);
    crypto_rng(&rng);
    key_generate(&rng, key);
    int rc = print_key(program, key);

    crypto_wipe(key, sizeof(key));
    return rc;
}

int cli_pubkey(const char *program)
{
    char text[KEY_TEXT_MAX];
    uint8_t key[KEY_BYTES], public_key[KEY_BYTES];

    if (crypto_init() != 0)
        return complain(program, "the cryptographic libraries don't work");
    int n = read_text(STDIN_FILENO, text), rc;

    if (n < 0 || !key_parse(text, (size_t)n, key) || key_public(key, public_key) != 0)
        rc = complain(program, "standard input holds no private key (44 characters of base64, or 64 hex digits)");
    else
        rc = print_key(program, public_key);
    crypto_wipe(text, sizeof(text));
    crypto_wipe(key, sizeof(key));
    return rc;
}

int cli_version(const char *program)
{
    printf("%s %s\n", program, FUNNEL_VERSION);
    return CLI_OK;
}

int cli_key_read(const char *path, uint8_t key[32], char *why, size_t why_cap)
{
    char text[KEY_TEXT_MAX];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        int rc = -errno;

        snprintf(why, why_cap, "can't be opened: %s", err_str(rc));
        return rc;
    }
    int n = read_text(fd, text), rc = 0;

    if (n < 0) {
        rc = n;
        snprintf(why, why_cap, "can't be read: %s", err_str(rc));
    } else if (!key_parse(text, (size_t)n, key)) {
        rc = ERR_INVALID;
        snprintf(why, why_cap, "holds no key: 44 characters of base64, or 64 hex digits");
    } else if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077)) {
        rc = 1;
        snprintf(why, why_cap, "others may read it; mode should be 0600");
    }
    crypto_wipe(text, sizeof(text));
    close(fd);
    return rc;
}
