/* sandbox.c - the order matters: groups before user (a mere user can't change them), user before capabilities (changing
 * it is one), dumpable after user (changing it resets it), files before system calls (Landlock's own are not on that
 * list), and those last. capabilities(7), prctl(2), setresuid(2). */
#include "ingress/sandbox/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "ingress/sandbox/sandbox_filter.h"

struct identity {
    uid_t uid;
    gid_t gid;
    const char *name; /* for its supplementary groups; NULL: none */
};

static int failed(const char *step, int err)
{
    log_error("sandbox", "event=failed step=%s error=\"%s\"", step, err_str(err));
    return err;
}

/* parse_id - a decimal number up to `end`, which is not the reserved -1. */
static bool parse_id(const char *text, const char **end, uint32_t *out)
{
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, (char **)(uintptr_t)end, 10);
    *out = (uint32_t)n;
    return errno == 0 && n < UINT32_MAX;
}

/* look_up - who `user` is; false when there is nobody of that name. */
static bool look_up(const char *user, struct identity *out)
{
    const char *end;

    if (parse_id(user, &end, &out->uid)) {
        out->name = NULL;
        out->gid = out->uid;
        return *end == 0 || (*end == ':' && parse_id(end + 1, &end, &out->gid) && *end == 0);
    }
    const struct passwd *pw = getpwnam(user);

    if (!pw)
        return false;
    *out = (struct identity){.uid = pw->pw_uid, .gid = pw->pw_gid, .name = user};
    return true;
}

static int change_user(const char *user)
{
    struct identity who;

    if (!*user) {
        if (geteuid() == 0)
            log_warn("sandbox", "user=root hint=\"name an unprivileged `user:` in the configuration\"");
        return 0;
    }
    if (!look_up(user, &who)) {
        log_error("sandbox", "event=failed step=user error=\"no such user\" user=%s", user);
        return ERR_NOT_FOUND;
    }
    if (geteuid() != 0) {
        if (geteuid() != who.uid)
            log_warn("sandbox", "user=%s ignored=\"only root can change user\" uid=%u", user, (unsigned)geteuid());
        return 0;
    }
    if (who.name ? initgroups(who.name, who.gid) != 0 : setgroups(0, NULL) != 0)
        return failed("groups", -errno);
    if (setresgid(who.gid, who.gid, who.gid) != 0)
        return failed("gid", -errno);
    if (setresuid(who.uid, who.uid, who.uid) != 0)
        return failed("uid", -errno);
    BUG_ON(who.uid != 0 && setuid(0) == 0);
    return 0;
}

/* drop_bounding - capabilities that not even an exec can bring back. Needs CAP_SETPCAP; who lacks that has
 * no_new_privs for the same end. */
static void drop_bounding(void)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return -errno;
    return syscall(SYS_capset, &header, none) == 0 ? 0 : -errno;
}

int sandbox_hide_memory(void)
{
    const struct rlimit no_core = {0, 0};

    if (setrlimit(RLIMIT_CORE, &no_core) != 0)
        return failed("core", -errno);
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : failed("dumpable", -errno);
}

void sandbox_show_memory(void)
{
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* confine - to these files and to the list of system calls. Looking up a user and logging have opened what they need by
 * now (name services, time zones). */
static int confine(const struct sandbox_files *files)
{
    int landlock = sandbox_files_enter(files);

    if (landlock < 0)
        return failed("files", landlock);
    if (landlock == 0)
        log_warn("sandbox", "landlock=0 note=\"this kernel has none: every file its user can read can be opened\"");
    log_info("sandbox", "event=entered uid=%u gid=%u landlock=%d", (unsigned)geteuid(), (unsigned)getegid(), landlock);
    int rc = sandbox_filter_enter(files->dials);

    return rc == 0 ? 0 : failed("system calls", rc);
}

int sandbox_enter(const struct sandbox *sandbox)
{
    int rc;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed("no_new_privs", -errno);
    drop_bounding();
    rc = change_user(sandbox->user);
    if (rc != 0)
        return rc;
    rc = drop_capabilities();
    if (rc != 0)
        return failed("capabilities", rc);
    rc = sandbox_hide_memory();
    return rc != 0 || !sandbox->confine ? rc : confine(&sandbox->files);
}
