/* feed_remote.h - the feeds that come over the network, https and etcd: connections and files around a feed_session.
 * SHELL.
 *
 * Everything happens on the loop's thread. What arrives is handed on in pieces of 16 KiB, one a loop turn, so that
 * neither a flood nor a large snapshot keeps the loop from its other work; a step that the map does not take stops the
 * reading, and the far side's TCP waits. */
#ifndef INGRESS_FEED_REMOTE_H
#define INGRESS_FEED_REMOTE_H

#include "common/base/rng.h"
#include "common/config/config_errors.h"
#include "common/net/resolver.h"
#include "ingress/feed/feed_source.h"
#include "ingress/ingress_config.h"

struct feed_remote;
struct feed_remote_files;

/* feed_remote_files_load - certificates and authorities that the configuration names, read and checked; whether the
 * secret's file can be read, too. NULL: errors filled. Blocks on files. */
struct feed_remote_files *feed_remote_files_load(const struct ingress_config_feed *config, struct config_errors *errors);
void feed_remote_files_free(struct feed_remote_files *files); /* NULL allowed */

/* feed_remote_new - begin, with the loop's next turn.
 * config  copied as far as it is needed
 * files   taken, also when this fails
 * sink    copied
 * resume  what the map holds whole; revision 0: ask for a snapshot
 * NULL: out of memory. */
struct feed_remote *feed_remote_new(struct loop *loop, struct resolver *resolver,
                                    const struct ingress_config_feed *config, struct feed_remote_files *files,
                                    const struct feed_sink *sink, const struct feed_point *resume, struct rng *rng, ts_t now);

/* feed_remote_source - its side towards the map's owner: go_on. */
struct feed_source *feed_remote_source(struct feed_remote *r);

/* feed_remote_free - ends it; the sink hears ABORT when a snapshot is under way, and nothing else. NULL allowed. */
void feed_remote_free(struct feed_remote *r);

#endif
