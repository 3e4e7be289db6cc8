#include "ingress/underlay_metrics.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP funnel_%s %s\n# TYPE funnel_%s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    fprintf(out, "funnel_%s %llu\n", name, (unsigned long long)value);
}

static void pair(FILE *out, const char *name, const char *label, const char *value, uint64_t count)
{
    fprintf(out, "funnel_%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)count);
}

static void message(FILE *out, const char *type, uint64_t in, uint64_t sent)
{
    fprintf(out, "funnel_disco_messages_total{type=\"%s\",direction=\"in\"} %llu\n", type, (unsigned long long)in);
    fprintf(out, "funnel_disco_messages_total{type=\"%s\",direction=\"out\"} %llu\n", type, (unsigned long long)sent);
}

static void write_disco(FILE *out, const struct paths_stats *s)
{
    head(out, "disco_messages_total", "counter", "Authentic disco messages.");
    message(out, "ping", s->pings_in, s->pings_out);
    message(out, "pong", s->pongs_in, s->pongs_out);
    message(out, "call_me_maybe", s->calls_in, s->calls_out);
    head(out, "disco_dropped_total", "counter", "Disco that was not followed, by reason.");
    pair(out, "disco_dropped_total", "reason", "unknown_key", s->unknown);
    pair(out, "disco_dropped_total", "reason", "not_authentic", s->forged);
    pair(out, "disco_dropped_total", "reason", "unwanted", s->unwanted);
    pair(out, "disco_dropped_total", "reason", "full", s->full);
    one(out, "tailnet_peers", "gauge", "Nodes of the tailnet.", s->peers);
    head(out, "tailnet_paths", "gauge", "Nodes that are talked to, by how they are reached.");
    pair(out, "tailnet_paths", "way", "direct", s->direct);
    pair(out, "tailnet_paths", "way", "relay", s->talks - s->direct);
}

static void write_relays(FILE *out, const struct underlay_stats *s)
{
    one(out, "relay_home_region", "gauge", "DERP region that others send to us in; 0: none.", s->home);
    head(out, "relay_home_latency_seconds", "gauge", "Least STUN round trip to it of the last minutes; 0: not measured.");
    fprintf(out, "funnel_relay_home_latency_seconds %.6f\n", (double)s->home_latency_ns / (double)TS_S);
    one(out, "relay_regions", "gauge", "DERP regions in the map.", s->derps.regions);
    one(out, "relay_connections", "gauge", "DERP connections that are logged in.", s->derps.up);
    one(out, "relay_connects_total", "counter", "DERP connections begun.", s->derps.connects);
    one(out, "relay_failures_total", "counter", "DERP connections that broke or never came.", s->derps.failures);
    one(out, "relay_dropped_total", "counter", "Packets that found no room or no connection, or were over the relay's rate.",
        s->derps.dropped);
    head(out, "relay_datagrams_total", "counter", "WireGuard datagrams through relays.");
    pair(out, "relay_datagrams_total", "direction", "in", s->relayed_in);
    pair(out, "relay_datagrams_total", "direction", "out", s->relayed_out);
    one(out, "stun_addresses", "gauge", "Addresses that the world sees us by.", s->mapped);
    one(out, "underlay_mail_lost_total", "counter", "Mail to workers that found no room.", s->lost);
}

void underlay_metrics(FILE *out, const struct underlay_stats *stats)
{
    write_relays(out, stats);
    write_disco(out, &stats->paths);
}
