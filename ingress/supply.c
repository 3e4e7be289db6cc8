#include "ingress/supply.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/cli/cli.h"
#include "common/config/config_file.h"
#include "common/crypto/crypto.h"
#include "common/crypto/secret.h"
#include "ingress/ipc.h"

static void out_of_memory(const char *file, struct config_errors *errors)
{
    config_errors_add(errors, (struct config_place){.file = file}, "", "out of memory");
}

/* load_key - append one key. An unreadable one is an error of the file that names it. */
static void load_key(struct supply *s, size_t identity, bool previous, struct config_errors *errors)
{
    const struct ingress_config_identity *id = &s->config->identities[identity];
    const char *path = previous ? id->previous_key_file : id->key_file;
    uint8_t *key = s->key_bytes[s->keys_count];
    char why[120];
    int rc = cli_key_read(path, key, why, sizeof(why));

    if (rc < 0) {
        char at[64];

        snprintf(at, sizeof(at), "identities[%zu].%s", identity, previous ? "previous_key_file" : "key_file");
        config_errors_add(errors, (struct config_place){.file = s->file}, at, "%s %s", path, why);
        return;
    }
    if (rc > 0)
        log_warn("config", "key_file=%s warning=\"%s\"", path, why);
    s->keys[s->keys_count++] = (struct generation_key){.identity = id->name, .previous = previous, .key = key};
}

static void load_keys(struct supply *s, struct config_errors *errors)
{
    size_t most = 2 * s->config->identities_count; /* a current and a previous one each */

    s->keys = calloc(most, sizeof(*s->keys));
    s->key_bytes = secret_alloc(most * sizeof(*s->key_bytes));
    if (!s->keys || !s->key_bytes) {
        out_of_memory(s->file, errors);
        return;
    }
    for (size_t i = 0; i < s->config->identities_count; i++) {
        load_key(s, i, false, errors);
        if (*s->config->identities[i].previous_key_file)
            load_key(s, i, true, errors);
    }
    secret_seal(s->key_bytes);
}

/* user_known - numbers, uid or uid:gid, need no entry anywhere. */
static bool user_known(const char *user)
{
    static const char digits[] = "0123456789";
    size_t uid = strspn(user, digits), gid = user[uid] == ':' ? strspn(user + uid + 1, digits) : 0;

    if (uid == 0)
        return getpwnam(user) != NULL;
    return user[uid] == 0 || (gid > 0 && user[uid + 1 + gid] == 0);
}

/* check_user - here and not where the configuration is parsed: the server parses it too, and may look up nobody. */
static void check_user(const struct supply *s, struct config_errors *errors)
{
    const char *user = s->config->user;

    if (*user && !user_known(user))
        config_errors_add(errors, (struct config_place){.file = s->file}, "user",
                          "there is no user '%s' on this machine", user);
}

struct supply *supply_load(const char *file, uint32_t number, struct config_errors *errors)
{
    struct supply *s = calloc(1, sizeof(*s));

    if (s)
        s->file = strdup(file);
    if (!s || !s->file) {
        out_of_memory(file, errors);
        goto failed;
    }
    s->number = number;
    if (config_file_read(file, &s->text, &s->text_len, errors) != 0)
        goto failed;
    if (ingress_config_load(file, s->text, s->text_len, errors, &s->config) != 0)
        goto failed;
    check_user(s, errors);
    load_keys(s, errors);
    crypto_wipe_stack();
    if (errors->count == 0)
        return s;
failed:
    supply_free(s);
    return NULL;
}

void supply_free(struct supply *s)
{
    if (!s)
        return;
    secret_free(s->key_bytes);
    free(s->keys);
    ingress_config_free(s->config);
    free(s->text);
    free(s->file);
    free(s);
}

/* sealed_text - the configuration's text as a descriptor that nobody can change any more; -errno. memfd_create(2). */
static int sealed_text(const struct supply *s)
{
    int fd = memfd_create("funnel-ingress config", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1)
        return -errno;
    ssize_t n = write(fd, s->text, s->text_len); /* into memory: whole or not at all */

    if (n == (ssize_t)s->text_len &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int rc = n == -1 || n == (ssize_t)s->text_len ? -errno : -ENOSPC;

    close(fd);
    return rc;
}

static int send_config(const struct supply *s, int ipc_fd)
{
    int fd = sealed_text(s);

    if (fd < 0)
        return fd;
    int rc = ipc_send(ipc_fd, IPC_CONFIG, s->number, s->file, strlen(s->file), fd);

    close(fd);
    return rc;
}

static int send_key(const struct supply *s, const struct generation_key *k, int ipc_fd)
{
    struct ipc_key msg = {.previous = k->previous};

    /* the schema bounds the name's length */
    BUG_ON(strlen(k->identity) >= sizeof(msg.identity));
    strcpy(msg.identity, k->identity);
    memcpy(msg.key, k->key, sizeof(msg.key));
    int rc = ipc_send(ipc_fd, IPC_KEY, s->number, &msg, sizeof(msg), -1);

    crypto_wipe(&msg, sizeof(msg));
    return rc;
}

/* send_listener - its sockets, or their names only where the server holds them already. */
static int send_listener(const struct supply *s, size_t index, const struct sockets *sockets, uint32_t held, int ipc_fd)
{
    const struct sockets_listener *l = sockets_find(sockets, &s->config->listen[index].address);
    struct ipc_listener msg = {.listen_index = (uint32_t)index};
    int rc = 0;

    BUG_ON(!l);
    bool known = held && l->opened_by <= held;

    addrport_format(&l->at, msg.address);
    for (; msg.worker < sockets->workers && rc == 0; msg.worker++)
        rc = ipc_send(ipc_fd, IPC_LISTENER, s->number, &msg, sizeof(msg), known ? -1 : l->fds[msg.worker]);
    return rc;
}

static int send_udp(const struct supply *s, const struct sockets *sockets, int ipc_fd)
{
    int rc = 0;

    for (int family = 0; family < 2; family++)
        for (uint32_t i = 0; sockets->udp[family] && i < sockets->workers && rc == 0; i++) {
            struct ipc_udp msg = {.worker = i, .family = family == 0 ? 4 : 6};

            rc = ipc_send(ipc_fd, IPC_UDP, s->number, &msg, sizeof(msg), sockets->udp[family][i]);
        }
    return rc;
}

int supply_send(const struct supply *s, const struct sockets *sockets, uint32_t held, int ipc_fd)
{
    const struct ipc_begin begin = {.workers = sockets->workers};
    int rc = ipc_send(ipc_fd, IPC_BEGIN, s->number, &begin, sizeof(begin), -1);

    if (rc == 0)
        rc = send_config(s, ipc_fd);
    for (size_t i = 0; i < s->keys_count && rc == 0; i++)
        rc = send_key(s, &s->keys[i], ipc_fd);
    crypto_wipe_stack();
    for (size_t i = 0; i < s->config->listen_count && rc == 0; i++)
        rc = send_listener(s, i, sockets, held, ipc_fd);
    if (rc == 0 && !held)
        rc = send_udp(s, sockets, ipc_fd);
    if (rc == 0 && !held && sockets->admin_path)
        rc = ipc_send(ipc_fd, IPC_ADMIN, s->number, NULL, 0, sockets->admin);
    if (rc == 0)
        rc = ipc_send(ipc_fd, IPC_COMMIT, s->number, NULL, 0, -1);
    return rc;
}
