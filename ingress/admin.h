/* admin.h - the operator's door into a running server: a Unix socket, one JSON object a line, both ways.
 *
 *      > {"command": "probe", "name": "app.example.net", "port": 443, "source": "192.0.2.1:1"}
 *      < {"step": "feed", "status": "ok", "ms": 0.1, "text": "…", …}      see probe.h
 *      < …
 *      < {"step": "result", "status": "ok"}
 *      > {"command": "metrics"}
 *      < {"metrics": "# HELP …"}                                          Prometheus text, see metrics.h
 *      > {"command": "status"}
 *      < {"status": {…}}                                                  how the feed is, see admin_status.h
 *      < {"error": "…"}                                                   instead, for what is no request
 *
 * The socket's file permissions say who may ask. One request at a time a client, a few clients at a time; who does not
 * read its answers is let go. SHELL. */
#ifndef INGRESS_ADMIN_H
#define INGRESS_ADMIN_H

#include "ingress/feed_host.h"
#include "ingress/metrics.h"
#include "ingress/probe_offer.h"
#include "ingress/worker.h"

#define ADMIN_CLIENTS_MAX 8
#define ADMIN_LINE_MAX    4096 /* bytes of a request, its end of line included */

struct admin;
struct underlay;

/* admin_new - answers on listen_fd, which is taken. workers and feed are borrowed. NULL: out of memory, or libuv's refusal; then
 * listen_fd is closed. */
struct admin *admin_new(struct loop *loop, int listen_fd, struct workers *workers, struct feed_host *feed);

/* admin_generation - what is in force from now on; takes a reference. Before the first one every request is refused. */
void admin_generation(struct admin *admin, struct generation *generation);

/* admin_probed - an offer came back (taken). */
void admin_probed(struct admin *admin, struct probe_offer *offer, ts_t now);

/* admin_sampled - a worker's sample came back (taken). underlay: the tailnet's, for the answer; NULL: there is none. */
void admin_sampled(struct admin *admin, struct metrics_mail *mail, const struct underlay *underlay);

/* admin_free - lets all clients go; the memory goes with the loop's next turn. NULL allowed. */
void admin_free(struct admin *admin);

#endif
