#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/ip/ip.h"
#include "common/ip/tcp_header.h"

uint64_t world_seed;

void world_fail(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "FAILED, replay with --seed %llu: ", (unsigned long long)world_seed);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void link_init(struct link *l, const struct link_config *config, struct rng *rng)
{
    *l = (struct link){.config = *config, .rng = rng};
}

void link_deinit(struct link *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->heap[i]);
    free(l->heap);
    *l = (struct link){0};
}

static bool chance(struct link *l, uint32_t ppm)
{
    return ppm > 0 && rng_below(l->rng, 1000000) < ppm;
}

static bool before(const struct link_packet *a, const struct link_packet *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct link *l, const uint8_t *packet, size_t len, ts_t at)
{
    struct link_packet *p = malloc(sizeof(*p));
    size_t i = l->count;

    if (l->count == l->room) {
        l->room = l->room ? l->room * 2 : 64;
        l->heap = realloc(l->heap, l->room * sizeof(l->heap[0]));
    }
    if (!p || !l->heap)
        abort();
    p->at = at;
    p->order = l->orders++;
    p->len = len;
    memcpy(p->bytes, packet, len);
    l->count++;
    for (; i > 0 && before(p, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = p;
}

static struct link_packet *pop(struct link *l)
{
    struct link_packet *first = l->heap[0], *last = l->heap[--l->count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < l->count && before(l->heap[child + 1], l->heap[child]))
            child++;
        if (child >= l->count || !before(l->heap[child], last))
            break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return first;
}

static bool lost(struct link *l, ts_t now)
{
    const struct link_config *c = &l->config;

    if (chance(l, l->in_burst ? c->burst_leave_ppm : c->burst_enter_ppm))
        l->in_burst = !l->in_burst;
    return l->in_burst || chance(l, c->loss_ppm) || (now >= c->blackout_from && now < c->blackout_to);
}

static bool policed(struct link *l, size_t len, ts_t now)
{
    const struct link_config *c = &l->config;

    if (!c->policer_bps)
        return false;
    ts_t full_at = ts_max(l->policer_full_at, now) + len * 8 * TS_S / c->policer_bps;

    if (full_at - now > c->policer_bytes * 8 * TS_S / c->policer_bps)
        return true;
    l->policer_full_at = full_at;
    return false;
}

/* a SYN loses its SACK-permitted option: two no-operations stand in its place */
static void strip_sack(uint8_t *packet, size_t len)
{
    struct ip_packet ip;

    if (ip_parse(packet, len, &ip) != 0 || ip.protocol != IP_PROTOCOL_TCP || ip.payload_len < 20)
        return;
    uint8_t *tcp = packet + (ip.payload - packet);
    size_t header_len = (size_t)(tcp[12] >> 4) * 4;

    if (!(tcp[13] & TCP_SYN) || header_len > ip.payload_len)
        return;
    for (size_t i = 20; i + 1 < header_len && tcp[i] != 0; i += tcp[i] == 1 || tcp[i + 1] < 2 ? 1 : tcp[i + 1])
        if (tcp[i] == 4)
            tcp[i] = tcp[i + 1] = 1;
    tcp[16] = tcp[17] = 0;
    tcp_checksum_put(tcp, ip.payload_len, ip_pseudo_sum(&ip.src, &ip.dst, IP_PROTOCOL_TCP, ip.payload_len));
}

void link_send(struct link *l, const uint8_t *packet, size_t len, ts_t now)
{
    const struct link_config *c = &l->config;
    ts_t leaves = now;

    BUG_ON(len > LINK_PACKET_MAX);
    l->sent++;
    if ((c->mtu && len > c->mtu) || policed(l, len, now)) {
        l->dropped++;
        return;
    }
    if (c->rate_bps) {
        uint64_t waiting = ts_since(l->busy_until, now) / 1000 * c->rate_bps / 8000000;

        if (waiting + len > c->queue_bytes) {
            l->dropped++;
            return;
        }
        l->busy_until = ts_max(l->busy_until, now) + len * 8 * TS_S / c->rate_bps;
        leaves = l->busy_until;
    }
    if (lost(l, now)) {
        l->dropped++;
        return;
    }
    uint64_t delay_ns = c->route_at && now >= c->route_at ? c->route_delay_ns : c->delay_ns;
    ts_t at = leaves + delay_ns + (c->jitter_ns ? rng_below(l->rng, c->jitter_ns) : 0);

    if (chance(l, c->reorder_ppm)) {
        at += rng_below(l->rng, c->reorder_ns + 1);
    } else {
        at = ts_max(at, l->last_at);
        l->last_at = at;
    }
    push(l, packet, len, at);
    if (chance(l, c->duplicate_ppm))
        push(l, packet, len, at + rng_below(l->rng, c->delay_ns + 1));
}

ts_t link_next(const struct link *l)
{
    return l->count ? l->heap[0]->at : TS_NEVER;
}

size_t link_take(struct link *l, uint8_t *buf, ts_t now)
{
    if (l->count == 0 || l->heap[0]->at > now)
        return 0;
    struct link_packet *p = pop(l);
    size_t len = p->len;

    memcpy(buf, p->bytes, len);
    free(p);
    if (l->config.strips_sack)
        strip_sack(buf, len);
    if (chance(l, l->config.corrupt_ppm))
        buf[rng_below(l->rng, len)] ^= (uint8_t)(1u << rng_below(l->rng, 8));
    l->bytes_out += len;
    return len;
}

struct link_config link_random(struct rng *rng)
{
    struct link_config c = {.delay_ns = rng_below(rng, 100 * TS_MS)};
    bool awful = rng_below(rng, 4) == 0;

    if (rng_below(rng, 2))
        c.jitter_ns = rng_below(rng, c.delay_ns / 2 + TS_MS);
    if (rng_below(rng, 2)) {
        c.rate_bps = 200000 + rng_below(rng, 100000000);
        c.queue_bytes = 8000 + rng_below(rng, 400000);
    }
    if (rng_below(rng, 2))
        c.loss_ppm = (uint32_t)rng_below(rng, awful ? 150000 : 20000);
    if (rng_below(rng, 3) == 0) {
        c.reorder_ppm = (uint32_t)rng_below(rng, awful ? 300000 : 20000);
        c.reorder_ns = rng_below(rng, 50 * TS_MS);
    }
    if (rng_below(rng, 3) == 0)
        c.duplicate_ppm = (uint32_t)rng_below(rng, awful ? 200000 : 10000);
    if (rng_below(rng, 3) == 0)
        c.corrupt_ppm = (uint32_t)rng_below(rng, 10000);
    if (rng_below(rng, 4) == 0) {
        c.burst_enter_ppm = (uint32_t)rng_below(rng, 5000);
        c.burst_leave_ppm = 200000 + (uint32_t)rng_below(rng, 500000);
    }
    if (rng_below(rng, 8) == 0) {
        c.policer_bps = 200000 + rng_below(rng, 20000000);
        c.policer_bytes = 5000 + rng_below(rng, 100000);
    }
    if (rng_below(rng, 10) == 0)
        c.mtu = 400 + rng_below(rng, 1000);
    c.strips_sack = rng_below(rng, 5) == 0;
    if (rng_below(rng, 6) == 0) {
        c.route_at = 1 + rng_below(rng, 5 * TS_S);
        c.route_delay_ns = rng_below(rng, 200 * TS_MS);
    }
    if (rng_below(rng, 4) == 0) {
        c.blackout_from = rng_below(rng, 5 * TS_S);
        c.blackout_to = c.blackout_from + rng_below(rng, 4 * TS_S);
    }
    return c;
}
