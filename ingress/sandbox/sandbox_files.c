/* sandbox_files.c - a ruleset: all kinds of access this kernel can restrict, then the exceptions. glibc has no
 * functions for these calls. */
#include "ingress/sandbox/sandbox_files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/err.h"
#include "ingress/sandbox/sandbox_calls.h"

/* Rights by the version that brought them (headers may be older than the kernel): a version's ruleset must not name
 * later ones, and what it doesn't name is not restricted. */
#define RIGHTS_1    (((uint64_t)1 << 13) - 1) /* from EXECUTE to MAKE_SYM */
#define REFER_2     ((uint64_t)1 << 13)       /* move to another folder */
#define TRUNCATE_3  ((uint64_t)1 << 14)
#define IOCTL_DEV_5 ((uint64_t)1 << 15)

#define READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                          \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |                      \
     LANDLOCK_ACCESS_FS_MAKE_DIR)

static uint64_t rights_of(int version)
{
    return RIGHTS_1 | (version >= 2 ? REFER_2 : 0) | (version >= 3 ? TRUNCATE_3 : 0) |
           (version >= 5 ? IOCTL_DEV_5 : 0);
}

/* allow - `rights` for all below path. */
static int allow(int ruleset, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr beneath = {.allowed_access = rights};
    int rc = 0;

    beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (beneath.parent_fd == -1)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
        rc = -errno;
    close(beneath.parent_fd);
    return rc;
}

/* allow_folder_of - reading, in the folder that holds `file`. */
static int allow_folder_of(int ruleset, const char *file)
{
    char *copy = strdup(file);

    if (!copy)
        return ERR_NOMEM;
    int rc = allow(ruleset, dirname(copy), READ);

    free(copy);
    return rc;
}

static int allow_feed(int ruleset, const char *feed)
{
    if (!feed || !*feed)
        return 0;
    char *target = realpath(feed, NULL);
    int rc = allow_folder_of(ruleset, feed);

    if (rc == 0 && target)
        rc = allow_folder_of(ruleset, target);
    free(target);
    return rc;
}

/* allow_dialing - the resolver's files, by themselves: their folders hold too much. One that is replaced by renaming
 * is then not read again before a restart; the one that changes with the network lies in a folder of its own, which is
 * read. Authorities, OpenSSL's settings, and what older c-ares takes its randomness from. */
static int allow_dialing(int ruleset)
{
    static const char *const files[] = {"/etc/hosts",       "/etc/resolv.conf",     "/etc/nsswitch.conf",
                                        "/etc/host.conf",   "/etc/gai.conf",        "/etc/services",
                                        "/dev/urandom",     "/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf"};
    static const char *const folders[] = {"/etc/ssl/certs", "/usr/share/ca-certificates", "/etc/pki/tls/certs",
                                          "/etc/pki/ca-trust/extracted", "/usr/lib/ssl", "/run/systemd/resolve"};
    const char *named = getenv("SSL_CERT_FILE");
    int rc = allow_feed(ruleset, named);

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == 0; i++)
        rc = allow(ruleset, files[i], LANDLOCK_ACCESS_FS_READ_FILE);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && rc == 0; i++)
        rc = allow(ruleset, folders[i], READ);
    return rc;
}

/* allow_sanitizers - what the leak checker and reports read; the program itself for its line numbers. */
static int allow_sanitizers(int ruleset)
{
#ifdef SANDBOX_SANITIZERS
    int rc = allow(ruleset, "/proc", READ);

    return rc == 0 ? allow(ruleset, "/proc/self/exe", LANDLOCK_ACCESS_FS_READ_FILE) : rc;
#else
    (void)ruleset;
    return 0;
#endif
}

int sandbox_files_enter(const struct sandbox_files *files)
{
    struct landlock_ruleset_attr attr;
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version == -1)
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
    memset(&attr, 0, sizeof(attr));
    attr.handled_access_fs = rights_of(version);
    /* only as much of the struct as the first version knows: the rest is about networks, which no call reaches */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);

    if (ruleset == -1)
        return -errno;
    int rc = allow_feed(ruleset, files->feed);

    if (rc == 0 && *files->state_dir)
        rc = allow(ruleset, files->state_dir, READ | WRITE | (attr.handled_access_fs & TRUNCATE_3));
    for (size_t i = 0; i < SANDBOX_FILES_MORE && rc == 0; i++)
        rc = allow_feed(ruleset, files->more[i]);
    if (rc == 0 && files->dials)
        rc = allow_dialing(ruleset);
    if (rc == 0)
        rc = allow_sanitizers(ruleset);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        rc = -errno;
    close(ruleset);
    return rc == 0 ? version : rc;
}
