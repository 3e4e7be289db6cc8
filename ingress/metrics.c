#include "ingress/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "ingress/front.h"
#include "ingress/feed_host.h"
#include "ingress/generation.h"
#include "ingress/underlay_metrics.h"
#include "ingress/worker.h"

void metrics_take(struct metrics_sample *out, const struct worker *worker)
{
    *out = (struct metrics_sample){
        .bytes_up = worker->bytes_up,
        .bytes_down = worker->bytes_down,
        .flows = worker->flows_count,
        .links = worker->links.count,
        .greetings = front_pending(worker->front),
        .warm = worker->warm.ready,
        .warm_hits = worker->warm.hits,
        .warm_misses = worker->warm.misses,
        .warm_stale = worker->warm.stale,
        .foreign = worker->foreign,
        .unknown_keys = worker->unknown_keys,
        .underlay_dropped = worker->underlay_dropped,
        .udp_sent = worker->sender.sent,
        .udp_calls = worker->sender.send_calls,
        .udp_failed = worker->sender.failed,
        .pool_chunks = worker->pool.chunks_out,
        .pool_chunks_peak = worker->pool.chunks_peak,
        .pool_chunk_bytes = worker->pool.chunk_bytes,
        .turn_max_ns = worker->loop.turn_max_ns,
        .tunnel = *tunnel_stats(worker->tunnel),
    };
    memcpy(out->ended, worker->ended, sizeof(out->ended));
    tcp_stack_stats(tunnel_tcp(worker->tunnel), &out->tcp);
}

void metrics_add(struct metrics_sample *sum, const struct metrics_sample *one)
{
    for (int i = 0; i < REASON_COUNT; i++)
        sum->ended[i] += one->ended[i];
    for (int i = 0; i < WG_IN_COUNT; i++)
        sum->tunnel.wg[i] += one->tunnel.wg[i];
    for (int i = 0; i < TCP_IN_COUNT; i++)
        sum->tunnel.tcp[i] += one->tunnel.tcp[i];
    for (int i = 0; i < TUNNEL_DROP_COUNT; i++)
        sum->tunnel.dropped[i] += one->tunnel.dropped[i];
    sum->tunnel.datagrams_in += one->tunnel.datagrams_in;
    sum->tunnel.datagrams_out += one->tunnel.datagrams_out;
    sum->tunnel.bytes_in += one->tunnel.bytes_in;
    sum->tunnel.bytes_out += one->tunnel.bytes_out;
    sum->bytes_up += one->bytes_up;
    sum->bytes_down += one->bytes_down;
    sum->flows += one->flows;
    sum->links += one->links;
    sum->greetings += one->greetings;
    sum->warm += one->warm;
    sum->warm_hits += one->warm_hits;
    sum->warm_misses += one->warm_misses;
    sum->warm_stale += one->warm_stale;
    sum->foreign += one->foreign;
    sum->unknown_keys += one->unknown_keys;
    sum->underlay_dropped += one->underlay_dropped;
    sum->udp_sent += one->udp_sent;
    sum->udp_calls += one->udp_calls;
    sum->udp_failed += one->udp_failed;
    sum->pool_chunks += one->pool_chunks;
    sum->pool_chunks_peak += one->pool_chunks_peak;
    sum->pool_chunk_bytes = one->pool_chunk_bytes; /* the same for all */
    sum->turn_max_ns = MAX(sum->turn_max_ns, one->turn_max_ns);
    sum->tcp.conns += one->tcp.conns;
    sum->tcp.time_wait += one->tcp.time_wait;
    sum->tcp.segments_in += one->tcp.segments_in;
    sum->tcp.segments_out += one->tcp.segments_out;
    sum->tcp.retransmits += one->tcp.retransmits;
    sum->tcp.resets_in += one->tcp.resets_in;
    sum->tcp.resets_out += one->tcp.resets_out;
    sum->tcp.challenges += one->tcp.challenges;
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP funnel_%s %s\n# TYPE funnel_%s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    fprintf(out, "funnel_%s %llu\n", name, (unsigned long long)value);
}

static void labelled(FILE *out, const char *name, const char *label, const char *value, uint64_t count)
{
    fprintf(out, "funnel_%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)count);
}

static void write_streams(FILE *out, const struct metrics_sample *s)
{
    head(out, "visitors_ended_total", "counter", "Visitors by how they ended; docs/reasons.md.");
    for (int i = 0; i < REASON_COUNT; i++)
        labelled(out, "visitors_ended_total", "reason", reason_name((enum reason)i), s->ended[i]);
    head(out, "stream_bytes_total", "counter", "Bytes of ended streams.");
    labelled(out, "stream_bytes_total", "direction", "up", s->bytes_up);
    labelled(out, "stream_bytes_total", "direction", "down", s->bytes_down);
    one(out, "streams_active", "gauge", "Visitors being offered or streaming.", s->flows);
    one(out, "hellos_pending", "gauge", "Visitors that have not said a name yet.", s->greetings);
    one(out, "warm_connections", "gauge", "Inner connections that wait for visitors; offer.warm.", s->warm);
    head(out, "warm_offers_total", "counter",
         "Offers by whether such a connection was there; stale: of the hits, those whose connection was dead.");
    labelled(out, "warm_offers_total", "result", "hit", s->warm_hits);
    labelled(out, "warm_offers_total", "result", "miss", s->warm_misses);
    labelled(out, "warm_offers_total", "result", "stale", s->warm_stale);
    one(out, "nodes_connected", "gauge", "Nodes with a WireGuard peer.", s->links);
}

static void write_tunnel(FILE *out, const struct metrics_sample *s)
{
    head(out, "wireguard_input_total", "counter", "Datagrams by what became of them.");
    for (int i = 0; i < WG_IN_COUNT; i++)
        labelled(out, "wireguard_input_total", "verdict", wg_in_name((enum wg_in)i), s->tunnel.wg[i]);
    head(out, "tunnel_dropped_total", "counter", "Packets out of a session that were not looked at further.");
    for (int i = 0; i < TUNNEL_DROP_COUNT; i++)
        labelled(out, "tunnel_dropped_total", "reason", tunnel_drop_name((enum tunnel_drop)i), s->tunnel.dropped[i]);
    head(out, "tcp_input_total", "counter", "Inner TCP segments by what became of them.");
    for (int i = 0; i < TCP_IN_COUNT; i++)
        labelled(out, "tcp_input_total", "verdict", tcp_in_name((enum tcp_in)i), s->tunnel.tcp[i]);
    head(out, "datagram_bytes_total", "counter", "UDP payload to and from nodes.");
    labelled(out, "datagram_bytes_total", "direction", "in", s->tunnel.bytes_in);
    labelled(out, "datagram_bytes_total", "direction", "out", s->tunnel.bytes_out);
    one(out, "datagrams_received_total", "counter", "Datagrams from nodes.", s->tunnel.datagrams_in);
    one(out, "datagrams_sent_total", "counter", "Datagrams to nodes.", s->udp_sent);
    one(out, "datagrams_failed_total", "counter", "Datagrams that the kernel refused.", s->udp_failed);
    one(out, "udp_sends_total", "counter", "System calls that sent them.", s->udp_calls);
    one(out, "datagrams_foreign_total", "counter", "Datagrams handed to the worker they belong to.", s->foreign);
    one(out, "initiations_unknown_total", "counter", "Handshakes of keys that no node has.", s->unknown_keys);
}

static void write_tcp(FILE *out, const struct metrics_sample *s)
{
    one(out, "tcp_connections", "gauge", "Inner connections, TIME-WAIT left out.", s->tcp.conns);
    one(out, "tcp_time_wait", "gauge", "Inner connections in TIME-WAIT.", s->tcp.time_wait);
    one(out, "tcp_segments_sent_total", "counter", "Inner segments sent.", s->tcp.segments_out);
    one(out, "tcp_retransmits_total", "counter", "Inner segments sent again.", s->tcp.retransmits);
    one(out, "tcp_resets_sent_total", "counter", "Inner resets sent.", s->tcp.resets_out);
    one(out, "buffer_bytes", "gauge", "Memory of bytes in flight.", s->pool_chunks * s->pool_chunk_bytes);
    one(out, "buffer_peak_bytes", "gauge", "Most of it so far, each worker's peak added up.",
        s->pool_chunks_peak * s->pool_chunk_bytes);
}

static void write_feed(FILE *out, const struct feed_report *feed)
{
    const struct feed_map_stats *map = feed->map;

    one(out, "nodes_configured", "gauge", "Nodes in the feed.", feed->nodes);
    one(out, "feed_age_seconds", "gauge", "Since the feed last said that it is current.", feed->age_ns / TS_S);
    if (feed->kept_age_ns != UINT64_MAX)
        one(out, "feed_kept_age_seconds", "gauge", "Since the map in state_dir was written.",
            feed->kept_age_ns / TS_S);
    one(out, "feed_up", "gauge", "1 while the feed can be read.", feed->source->state == FEED_SOURCE_CONNECTED);
    one(out, "feed_stopped", "gauge", "1 while the feed is older than feed.stale_limit, and nobody is served.",
        feed->stopped);
    one(out, "feed_revision", "gauge", "What the feed calls its last word; 0 where it has no numbers.", map->point.revision);
    one(out, "feed_snapshots_total", "counter", "Whole feeds put in force since the first.", map->snapshots);
    one(out, "feed_deltas_total", "counter", "Single changes told.", map->deltas);
    head(out, "feed_snapshots_lost_total", "counter", "Whole feeds that did not count.");
    labelled(out, "feed_snapshots_lost_total", "reason", "aborted", map->aborted);
    labelled(out, "feed_snapshots_lost_total", "reason", "refused", map->refused);
    one(out, "feed_bad_rows_total", "counter", "Rows that are not valid.", map->rows_bad);
    one(out, "feed_conflicts_total", "counter", "Rows left out because another node has what they claim.",
        map->conflicts);
    one(out, "feed_left_out", "gauge", "Rows left out now.", map->waiting);
}

char *metrics_text(const struct metrics_sample *sum, const struct generation *generation, unsigned workers,
                   const struct feed_report *feed, const struct underlay *underlay, ts_t now)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        return NULL;
    head(out, "build_info", "gauge", "1, with the version.");
    labelled(out, "build_info", "version", FUNNEL_VERSION, 1);
    one(out, "workers", "gauge", "Event loops.", workers);
    one(out, "generation", "gauge", "Configurations applied, this one included.", generation->number);
    write_feed(out, feed);
    head(out, "loop_turn_max_seconds", "gauge", "The longest turn of an event loop since the start.");
    fprintf(out, "funnel_loop_turn_max_seconds{loop=\"main\"} %.6f\n", (double)feed->turn_max_ns / TS_S);
    fprintf(out, "funnel_loop_turn_max_seconds{loop=\"workers\"} %.6f\n", (double)sum->turn_max_ns / TS_S);
    one(out, "assertions_survived_total", "counter", "Internal checks that failed; each is a bug.", bug_warn_count());
    write_streams(out, sum);
    write_tunnel(out, sum);
    write_tcp(out, sum);
    if (underlay) {
        struct underlay_stats stats;

        underlay_stats(underlay, &stats, now);
        underlay_metrics(out, &stats);
        one(out, "disco_refused_total", "counter",
            "Datagrams like disco or STUN that a worker dropped: of strangers, too long, or too many.", sum->underlay_dropped);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
