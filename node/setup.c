#include "node/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/cli/cli.h"
#include "common/config/config_file.h"
#include "common/crypto/crypto.h"
#include "common/net/tls.h"
#include "common/tunnel/tunnel.h"

#define WHY_STR  512
#define PATH_STR 64

static void fault(struct config_errors *errors, const char *file, const char *path, const char *what, const char *why)
{
    config_errors_add(errors, (struct config_place){.file = file}, path, "%s%s%s", what, *what ? " " : "", why);
}

static void read_key(const char *file, const char *path, const char *key_file, uint8_t key[KEY_BYTES],
                     struct config_errors *errors)
{
    char why[WHY_STR], quoted[LOG_QUOTE];
    int rc = cli_key_read(key_file, key, why, sizeof(why));

    if (rc < 0)
        fault(errors, file, path, key_file, why);
    else if (rc > 0)
        log_warn("config", "key_file=%s note=\"%s\"", log_quote(quoted, sizeof(quoted), key_file, strlen(key_file)),
                 why);
}

static void load_identity(struct setup *s, const char *file, struct config_errors *errors)
{
    const struct node_config *c = s->config;
    size_t before = errors->count;

    read_key(file, "key_file", c->key_file, s->private_key, errors);
    if (errors->count != before)
        return;
    if (key_public(s->private_key, s->public_key) != 0) {
        fault(errors, file, "key_file", c->key_file, "holds no usable private key");
        return;
    }
    if (c->addresses_count > 0)
        memcpy(s->addrs, c->addresses, s->addrs_count * sizeof(*s->addrs));
    else
        key_ula(s->public_key, &s->addrs[0]);
    for (size_t i = 0; i < c->ingresses_count; i++) {
        char path[PATH_STR];

        snprintf(path, sizeof(path), "ingresses[%zu].public_key", i);
        if (memcmp(c->ingresses[i].public_key, s->public_key, KEY_BYTES) == 0)
            fault(errors, file, path, "", "is this node's own key");
    }
}

static void load_preshared_keys(struct setup *s, const char *file, struct config_errors *errors)
{
    for (size_t i = 0; i < s->config->ingresses_count; i++) {
        const char *key_file = s->config->ingresses[i].preshared_key_file;
        char path[PATH_STR];

        snprintf(path, sizeof(path), "ingresses[%zu].preshared_key_file", i);
        if (*key_file)
            read_key(file, path, key_file, s->preshared_keys[i], errors);
    }
}

static void load_certificates(struct setup *s, const char *file, struct config_errors *errors)
{
    for (size_t i = 0; i < s->config->services_count; i++) {
        const struct node_config_service *service = &s->config->services[i];
        char path[PATH_STR], why[WHY_STR];
        const char *culprit;

        if (service->tls != NODE_CONFIG_TLS_TERMINATE)
            continue;
        s->tls[i] = tls_server_new(service->certificate, service->certificate_key, &culprit, why, sizeof(why));
        snprintf(path, sizeof(path), "services[%zu].%s", i,
                 culprit == service->certificate_key ? "certificate_key" : "certificate");
        if (!s->tls[i])
            fault(errors, file, path, culprit ? culprit : "", why);
        else if (!tls_server_fits(s->tls[i], service->name))
            log_warn("config", "key=%s name=%s warning=\"the certificate is for another name: visitors' browsers will "
                               "refuse it\"", path, service->name);
    }
}

/* legal, as a node may be set up before its services are; but more often a forgotten line */
static void warn_closed(const struct node_config *c)
{
    for (size_t i = 0; i < c->services_count; i++)
        if (c->services[i].funnel)
            return;
    log_warn("config", "key=services warning=\"no service has funnel: on, so no visitor is accepted and a feed row has "
                       "no names\"");
}

static int load_named(struct setup *s, const char *file, struct config_errors *errors)
{
    const struct node_config *c = s->config;

    if (c->addresses_count > TUNNEL_ADDRS_MAX)
        fault(errors, file, "addresses", "", "more addresses than a tunnel has room for");
    s->addrs_count = c->addresses_count > 0 ? c->addresses_count : 1;
    s->addrs = calloc(s->addrs_count, sizeof(*s->addrs));
    s->preshared_keys = calloc(c->ingresses_count, sizeof(*s->preshared_keys));
    s->tls = calloc(c->services_count, sizeof(*s->tls));
    if (!s->addrs || !s->preshared_keys || !s->tls) {
        fault(errors, file, "", "", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    load_identity(s, file, errors);
    load_preshared_keys(s, file, errors);
    load_certificates(s, file, errors);
    warn_closed(c);
    return errors->count > 0 ? ERR_INVALID : 0;
}

int setup_load(const char *path, struct config_errors *errors, struct setup **out)
{
    struct setup *s = calloc(1, sizeof(*s));
    char *text = NULL;
    size_t len;
    int rc;

    *out = NULL;
    if (!s) {
        fault(errors, path, "", "", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    s->references = 1;
    rc = config_file_read(path, &text, &len, errors);
    if (rc == 0)
        rc = node_config_load(path, text, len, errors, &s->config);
    if (rc == 0)
        rc = load_named(s, path, errors);
    crypto_wipe_stack();
    free(text);
    if (rc != 0) {
        setup_put(s);
        return rc;
    }
    *out = s;
    return 0;
}

struct setup *setup_get(struct setup *setup)
{
    setup->references++;
    return setup;
}

void setup_put(struct setup *s)
{
    if (!s)
        return;
    BUG_ON(s->references == 0);
    if (--s->references > 0)
        return;
    crypto_wipe(s->private_key, sizeof(s->private_key));
    if (s->preshared_keys)
        crypto_wipe(s->preshared_keys, s->config->ingresses_count * sizeof(*s->preshared_keys));
    for (size_t i = 0; s->tls && i < s->config->services_count; i++)
        tls_free(s->tls[i]);
    free(s->addrs);
    free(s->preshared_keys);
    free(s->tls);
    node_config_free(s->config);
    free(s);
}
