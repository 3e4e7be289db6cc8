/* feedtail.c - the network feed of a configuration, without an ingress: each step and each change of state as a line.
 *
 *      feedtail CONFIG [REVISION]        resumes from REVISION; ends on SIGTERM
 *
 *      begin | put TEXT | remove ID | revoke ID | end N | at N | abort | state NAME WHERE "ERROR" */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/config/config_file.h"
#include "common/crypto/crypto.h"
#include "ingress/feed_remote.h"

static struct loop loop;
static unsigned busy; /* every so many steps one is not taken at once, as by a map that is busy */
static struct feed_remote *remote;
static struct loop_timer room;

static void on_room(struct loop_timer *timer, ts_t now)
{
    (void)timer;
    feed_remote_source(remote)->go_on(feed_remote_source(remote), now);
}

static bool take(void *ctx, const struct feed_op *op, ts_t now)
{
    static const char *const names[] = {[FEED_OP_BEGIN] = "begin", [FEED_OP_PUT] = "put",
                                        [FEED_OP_REMOVE] = "remove", [FEED_OP_REVOKE] = "revoke",
                                        [FEED_OP_END] = "end", [FEED_OP_ABORT] = "abort",
                                        [FEED_OP_HEARTBEAT] = "at"};

    (void)ctx;
    if (op->kind != FEED_OP_ABORT && op->kind != FEED_OP_HEARTBEAT && ++busy % 7 == 0) {
        loop_timer_arm(&loop, &room, ts_add(now, TS_MS));
        return false;
    }
    printf("%s", names[op->kind]);
    if (op->kind == FEED_OP_PUT)
        printf(" %.*s", (int)op->text_len, op->text);
    else if (op->id)
        printf(" %.*s", (int)op->id_len, op->id);
    else if (op->kind == FEED_OP_END || op->kind == FEED_OP_HEARTBEAT)
        printf(" %" PRIu64, op->revision);
    printf("\n");
    fflush(stdout);
    return true;
}

static void say(void *ctx, const struct feed_source_status *status, ts_t now)
{
    (void)ctx;
    (void)now;
    printf("state %s %s \"%s\"\n", feed_source_state_name(status->state), status->where, status->error);
    fflush(stdout);
}

static void on_term(uv_signal_t *handle, int signum)
{
    (void)signum;
    uv_close((uv_handle_t *)handle, NULL);
    loop_stop(&loop);
}

int main(int argc, char **argv)
{
    struct config_errors errors;
    struct ingress_config *config;
    char *text;
    size_t len;
    uv_signal_t term;
    struct rng rng;

    config_errors_init(&errors);
    if (argc < 2 || config_file_read(argv[1], &text, &len, &errors) != 0 ||
        ingress_config_load(argv[1], text, len, &errors, &config) != 0) {
        config_errors_print(&errors, stderr);
        return 1;
    }
    struct feed_remote_files *files = feed_remote_files_load(&config->feed, &errors);

    if (!files) {
        config_errors_print(&errors, stderr);
        return 1;
    }
    crypto_rng(&rng);
    BUG_ON(loop_init(&loop, NULL, NULL) != 0);
    uv_signal_init(&loop.uv, &term);
    uv_signal_start(&term, on_term, SIGTERM);
    loop_timer_init(&room, on_room);
    struct resolver *resolver = resolver_new(&loop);
    const struct feed_sink sink = {take, say, NULL};

    const struct feed_point resume = {.revision = argc > 2 ? strtoull(argv[2], NULL, 10) : 0};

    remote = feed_remote_new(&loop, resolver, &config->feed, files, &sink, &resume, &rng, loop_now());
    BUG_ON(!remote || !resolver);
    loop_run(&loop);
    feed_remote_free(remote);
    loop_timer_arm(&loop, &room, TS_NEVER);
    resolver_free(resolver);
    loop_deinit(&loop);
    ingress_config_free(config);
    free(text);
    return 0;
}
