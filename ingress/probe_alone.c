#include "ingress/probe_alone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/cli/cli.h"
#include "common/crypto/crypto.h"
#include "common/net/stampfile.h"
#include "ingress/feed/feed_load.h"
#include "ingress/sandbox/sandbox.h"
#include "ingress/sockets.h"
#include "ingress/supply.h"

/* A server's main thread, as far as a walk needs one. */
struct alone {
    struct loop loop;
    struct workers workers;
    struct worker worker;
    struct generation *generation;
    struct route_table *routes;
    struct probe *probe;
    const struct probe_request *request;
    const struct probe_listener *listener;
    bool passed, done;
};

static void on_step(void *ctx, const json_t *step)
{
    const struct alone *a = ctx;

    a->listener->step(a->listener->ctx, step);
}

static void on_done(void *ctx, bool passed)
{
    struct alone *a = ctx;

    a->passed = passed;
    a->done = true;
    loop_stop(&a->loop);
}

static void on_mail(void *ctx, const struct mail *mail)
{
    struct alone *a = ctx;
    struct probe_offer *offer = mail->data;
    ts_t now = loop_now();

    switch ((enum mail_kind)mail->kind) {
    case MAIL_READY:
        probe_start(a->probe, now);
        break;
    case MAIL_PROBED:
        if (!a->done)
            probe_answer(a->probe, offer, now);
        free(offer);
        break;
    case MAIL_EMPTY:
        break;
    case MAIL_HEARD:
        route_node_put(((struct call_mail *)mail->data)->node);
        free(mail->data);
        break;
    default:
        WARN_ON(true); /* no visitor comes here, so nothing is logged */
        break;
    }
}

static void must_post(struct alone *a, enum mail_kind kind, void *data)
{
    BUG_ON(!mailbox_post(a->worker.mailbox, kind, data)); /* of a box for thousands this is among the first five */
}

/* what a start of the ingress does: else nodes would take its next handshakes for old ones */
static int keep_stamps(struct alone *a)
{
    struct stampfile stamps;
    uint64_t floor = 0;
    int rc = stampfile_open(&stamps, a->generation->config->state_dir, &floor);

    if (rc == 0)
        rc = stampfile_keep(&stamps, floor, loop_wall());
    uint64_t *mail = floor ? malloc(sizeof(*mail)) : NULL;

    if (mail) {
        *mail = floor;
        must_post(a, MAIL_STAMP, mail);
    }
    return rc;
}

static int walk(struct alone *a, const struct sockets *sockets)
{
    const struct probe_listener listener = {.step = on_step, .done = on_done, .ctx = a};
    int udp4 = sockets->udp[0] ? sockets->udp[0][0] : -1, udp6 = sockets->udp[1] ? sockets->udp[1][0] : -1;
    int rc = worker_init(&a->worker, &a->workers, 0, a->generation, udp4, udp6);

    if (rc == 0)
        rc = worker_start(&a->worker);

    if (rc != 0)
        return rc; /* the process ends, as a server does that can't start */
    if (udp4 >= 0)
        sockets->udp[0][0] = -1; /* the worker's now */
    if (udp6 >= 0)
        sockets->udp[1][0] = -1;
    rc = keep_stamps(a);
    a->probe = probe_new(&a->loop, &a->workers, a->generation, a->request, &listener);
    if (rc == 0 && !a->probe)
        rc = ERR_NOMEM;
    if (rc == 0) {
        must_post(a, MAIL_GENERATION, generation_get(a->generation));
        loop_run(&a->loop);
    }
    must_post(a, MAIL_STOP, NULL);
    worker_join(&a->worker);
    worker_free(&a->worker);
    return rc;
}

static int run(struct alone *a, const struct sockets *sockets, struct rng *rng)
{
    int rc = loop_init(&a->loop, NULL, NULL);

    if (rc != 0)
        return rc;
    a->workers = (struct workers){.list = &a->worker, .count = 1, .routes = a->routes};
    a->workers.limits = limits_new(rng);
    a->workers.server = mailbox_new(&a->loop.uv, on_mail, a);
    rng_fill(rng, a->workers.cookie_seed, sizeof(a->workers.cookie_seed));
    rc = a->workers.limits && a->workers.server ? walk(a, sockets) : ERR_NOMEM;
    a->done = true;
    if (a->workers.server)
        mailbox_close(a->workers.server);
    probe_free(a->probe);
    limits_free(a->workers.limits);
    loop_deinit(&a->loop);
    return rc;
}

static void complain(struct config_errors *errors, const char *file, const char *key, const char *what)
{
    config_errors_add(errors, (struct config_place){.file = file}, key, "%s", what);
}

/* Everything the ingress itself would need, in its order: what needs privileges, then none. */
int probe_alone(const char *file, const struct probe_request *request, const struct probe_listener *listener,
                bool *passed, struct config_errors *errors)
{
    struct alone a = {.request = request, .listener = listener};
    struct config_errors socket_errors;
    struct sockets sockets;
    struct map_seed seed;
    struct rng rng;
    int status = CLI_FAILED, rc;

    *passed = false;
    config_errors_init(&socket_errors);
    crypto_rng(&rng);
    sockets_init(&sockets, 1);
    struct supply *supply = supply_load(file, 1, errors);

    if (!supply)
        return CLI_CONFIG;
    if (supply->config->feed.type != INGRESS_CONFIG_FEED_FILE) {
        complain(errors, file, "feed.type",
                 "only a running ingress knows the nodes of a live feed: start it, with `admin: {socket: PATH}` to be "
                 "asked at");
        goto out;
    }
    rc = sockets_open_udp(&sockets, supply->config, file, &socket_errors);
    if (rc == -EADDRINUSE) {
        complain(errors, file, "wireguard.listen",
                 "this UDP port is in use, most likely by the running ingress, which must be asked itself: set "
                 "`admin: {socket: PATH}` and restart it. (A second user of its key would draw its sessions away.)");
        goto out;
    }
    if (rc != 0) {
        *errors = socket_errors;
        goto out;
    }
    rng_fill(&rng, &seed, sizeof(seed));
    a.generation = generation_load(1, file, supply->text, supply->text_len, supply->keys, supply->keys_count, errors);
    if (!a.generation || feed_load(a.generation->config->feed.path, &seed, errors, &a.routes) != 0) {
        status = CLI_CONFIG;
        goto out;
    }
    rc = sandbox_enter(&(struct sandbox){.user = a.generation->config->user, .confine = false});
    if (rc == 0)
        rc = run(&a, &sockets, &rng);
    if (rc == 0)
        status = CLI_OK;
    else
        complain(errors, file, "", err_str(rc));
    *passed = a.passed;
out:
    route_table_free(a.routes);
    generation_put(a.generation);
    sockets_deinit(&sockets);
    supply_free(supply);
    return status;
}
