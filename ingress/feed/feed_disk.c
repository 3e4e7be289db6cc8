#include "ingress/feed/feed_disk.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"

#define HEAD 12 /* length and checksum */

/* What a record begins with; the header also says which form of file this is. */
#define MAGIC "funnel map 1\n"
#define TYPE_HEADER 'H'
#define TYPE_ROW    'R'
#define TYPE_END    'E'

#define FLAG_ADMIN     1u
#define FLAG_KEEPALIVE 2u
#define FLAG_PRESHARED 4u
#define FLAG_REVOKED   8u

void feed_disk_init(struct feed_disk *disk)
{
    *disk = (struct feed_disk){.chain = {0x66756e6e656c, 0x6d6170}};
}

/* ---- writing ---- */

/* Bytes that may not fit: what is beyond cap is counted and not written. */
struct out {
    uint8_t *at;
    size_t len, cap;
};

static void put(struct out *o, const void *data, size_t len)
{
    if (len > 0 && o->len + len <= o->cap)
        memcpy(o->at + o->len, data, len);
    o->len += len;
}

static void put8(struct out *o, unsigned v)
{
    uint8_t b = (uint8_t)v;

    put(o, &b, 1);
}

static void put16(struct out *o, unsigned v)
{
    uint8_t b[2];

    le16_put(b, (uint16_t)v);
    put(o, b, sizeof(b));
}

static void put32(struct out *o, uint32_t v)
{
    uint8_t b[4];

    le32_put(b, v);
    put(o, b, sizeof(b));
}

static void put64(struct out *o, uint64_t v)
{
    uint8_t b[8];

    le64_put(b, v);
    put(o, b, sizeof(b));
}

static void put_text(struct out *o, const char *text)
{
    put(o, text, strlen(text) + 1);
}

static struct out begin(uint8_t *out, size_t cap, char type)
{
    struct out o = {out, HEAD, cap};

    put8(&o, (unsigned char)type);
    return o;
}

/* finish - length and checksum; 0: it did not fit */
static size_t finish(struct feed_disk *disk, struct out *o)
{
    if (o->len > o->cap)
        return 0;
    uint64_t sum = map_hash(&disk->chain, o->at + HEAD, o->len - HEAD);

    le32_put(o->at, (uint32_t)(o->len - HEAD));
    le64_put(o->at + 4, sum);
    disk->chain.k0 = sum;
    return o->len;
}

size_t feed_disk_write_header(struct feed_disk *disk, const struct feed_disk_info *info, uint8_t *out, size_t cap)
{
    struct out o = begin(out, cap, TYPE_HEADER);

    put(&o, MAGIC, strlen(MAGIC));
    put64(&o, info->point.revision);
    put64(&o, info->wall_ns);
    put64(&o, info->point.origin);
    return finish(disk, &o);
}

size_t feed_disk_write_row(struct feed_disk *disk, const struct route_node *n, uint8_t *out, size_t cap)
{
    struct out o = begin(out, cap, TYPE_ROW);

    put(&o, n->key, ROUTE_KEY_BYTES);
    put8(&o, (n->admin ? FLAG_ADMIN : 0) | (n->keepalive ? FLAG_KEEPALIVE : 0) |
                 (n->preshared_key ? FLAG_PRESHARED : 0) | (n->revoked ? FLAG_REVOKED : 0));
    put8(&o, n->consent);
    put8(&o, n->transport);
    put8(&o, n->proxy_protocol);
    put8(&o, n->half_close);
    put16(&o, n->peerapi4);
    put16(&o, n->peerapi6);
    put16(&o, n->mtu);
    put32(&o, n->connections_max);
    put64(&o, n->expires);
    put8(&o, n->addresses_count);
    put8(&o, n->endpoints_count);
    put16(&o, n->ports_count);
    put16(&o, n->names_count);
    if (n->preshared_key)
        put(&o, n->preshared_key, ROUTE_KEY_BYTES);
    for (size_t i = 0; i < n->addresses_count; i++)
        put(&o, n->addresses[i].b, sizeof(n->addresses[i].b));
    for (size_t i = 0; i < n->endpoints_count; i++) {
        put(&o, n->endpoints[i].addr.b, sizeof(n->endpoints[i].addr.b));
        put16(&o, n->endpoints[i].port);
    }
    for (size_t i = 0; i < n->ports_count; i++)
        put16(&o, n->ports[i]);
    put_text(&o, n->id);
    put_text(&o, n->tailnet);
    for (size_t i = 0; i < n->names_count; i++) {
        put_text(&o, n->names[i].name);
        put_text(&o, n->names[i].target ? n->names[i].target : "");
        put16(&o, n->names[i].target_port);
    }
    size_t len = finish(disk, &o);

    disk->rows += len > 0;
    return len;
}

size_t feed_disk_write_end(struct feed_disk *disk, uint8_t *out, size_t cap)
{
    struct out o = begin(out, cap, TYPE_END);

    put64(&o, disk->rows);
    return finish(disk, &o);
}

/* ---- reading: straight down, asked once at the end ---- */

struct in {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static const uint8_t *take(struct in *in, size_t len)
{
    static const uint8_t nothing[64];

    if (in->bad || len > in->left) {
        in->bad = true;
        BUG_ON(len > sizeof(nothing));
        return nothing;
    }
    const uint8_t *at = in->at;

    in->at += len;
    in->left -= len;
    return at;
}

static unsigned take8(struct in *in)
{
    return take(in, 1)[0];
}

static uint16_t take16(struct in *in)
{
    return le16_get(take(in, 2));
}

/* a number of at most `most` */
static unsigned take_most(struct in *in, unsigned value, unsigned most)
{
    if (value > most)
        in->bad = true;
    return in->bad ? 0 : value;
}

static const char *take_text(struct in *in, size_t least, size_t most)
{
    const uint8_t *end = in->bad ? NULL : memchr(in->at, 0, MIN(in->left, most + 1));
    const char *text = (const char *)in->at;

    if (!end || (size_t)(end - in->at) < least) {
        in->bad = true;
        return "";
    }
    in->left -= (size_t)(end + 1 - in->at);
    in->at = end + 1;
    return text;
}

#define NAME_MAX_BYTES 255 /* a wildcard's star and dot, and a name's 253 */

static bool read_row(struct in *in, struct feed_disk_row *row)
{
    struct route_node *n = &row->node;

    *n = (struct route_node){.addresses = row->addresses, .endpoints = row->endpoints, .ports = row->ports,
                             .names = row->names};
    memcpy(n->key, take(in, ROUTE_KEY_BYTES), ROUTE_KEY_BYTES);
    unsigned flags = take8(in);

    n->admin = flags & FLAG_ADMIN;
    n->keepalive = flags & FLAG_KEEPALIVE;
    n->revoked = flags & FLAG_REVOKED;
    n->consent = take_most(in, take8(in), ROUTE_CONSENT_ASK);
    n->transport = take_most(in, take8(in), ROUTE_TCP);
    n->proxy_protocol = take_most(in, take8(in), ROUTE_PROXY_V2);
    n->half_close = take_most(in, take8(in), ROUTE_HALF_CLOSE_PROPAGATE);
    n->peerapi4 = take16(in);
    n->peerapi6 = take16(in);
    n->mtu = take16(in);
    n->connections_max = le32_get(take(in, 4));
    n->expires = le64_get(take(in, 8));
    n->addresses_count = (uint8_t)take_most(in, take8(in), ROUTE_ADDRESSES_MAX);
    n->endpoints_count = (uint8_t)take_most(in, take8(in), ROUTE_ENDPOINTS_MAX);
    n->ports_count = (uint16_t)take_most(in, take16(in), ROUTE_PORTS_MAX);
    n->names_count = (uint16_t)take_most(in, take16(in), ROUTE_NAMES_MAX);
    if (flags & FLAG_PRESHARED)
        n->preshared_key = take(in, ROUTE_KEY_BYTES);
    for (size_t i = 0; i < n->addresses_count; i++)
        memcpy(row->addresses[i].b, take(in, sizeof(row->addresses[i].b)), sizeof(row->addresses[i].b));
    for (size_t i = 0; i < n->endpoints_count; i++) {
        memcpy(row->endpoints[i].addr.b, take(in, sizeof(row->endpoints[i].addr.b)), sizeof(row->endpoints[i].addr.b));
        row->endpoints[i].port = take16(in);
    }
    for (size_t i = 0; i < n->ports_count; i++)
        row->ports[i] = take16(in);
    n->id = take_text(in, 1, ROUTE_ID_MAX);
    n->tailnet = take_text(in, 0, ROUTE_ID_MAX);
    for (size_t i = 0; i < n->names_count && !in->bad; i++) {
        row->names[i].name = take_text(in, 1, NAME_MAX_BYTES);
        row->names[i].target = take_text(in, 0, NAME_MAX_BYTES);
        row->names[i].target_port = take16(in);
        if (!*row->names[i].target)
            row->names[i].target = NULL;
    }
    return !in->bad && in->left == 0 && n->mtu >= ROUTE_MTU_MIN && n->mtu <= ROUTE_MTU_MAX &&
           n->addresses_count > 0;
}

static enum feed_disk_verdict read_payload(struct feed_disk *disk, struct in *in, struct feed_disk_info *info,
                                           struct feed_disk_row *row)
{
    switch (take8(in)) {
    case TYPE_HEADER:
        if (disk->begun || memcmp(take(in, strlen(MAGIC)), MAGIC, strlen(MAGIC)) != 0)
            return FEED_DISK_BAD;
        disk->begun = true;
        info->point.revision = le64_get(take(in, 8));
        info->wall_ns = le64_get(take(in, 8));
        info->point.origin = in->left > 0 ? le64_get(take(in, 8)) : 0; /* files of before have none */
        return in->bad ? FEED_DISK_BAD : FEED_DISK_HEADER;
    case TYPE_ROW:
        disk->rows++;
        return disk->begun && read_row(in, row) ? FEED_DISK_ROW : FEED_DISK_BAD;
    case TYPE_END:
        disk->ended = true;
        return disk->begun && le64_get(take(in, 8)) == disk->rows && !in->bad ? FEED_DISK_END : FEED_DISK_BAD;
    default:
        return FEED_DISK_BAD;
    }
}

enum feed_disk_verdict feed_disk_read(struct feed_disk *disk, const uint8_t *data, size_t len, size_t *used,
                                      struct feed_disk_info *info, struct feed_disk_row *row)
{
    *used = 0;
    if (len < HEAD)
        return FEED_DISK_NEED_MORE;
    size_t bytes = le32_get(data);

    if (bytes == 0 || bytes > FEED_DISK_RECORD_MAX || disk->ended)
        return FEED_DISK_BAD;
    if (len - HEAD < bytes)
        return FEED_DISK_NEED_MORE;
    uint64_t sum = map_hash(&disk->chain, data + HEAD, bytes);

    if (sum != le64_get(data + 4))
        return FEED_DISK_BAD;
    disk->chain.k0 = sum;
    *used = HEAD + bytes;
    return read_payload(disk, &(struct in){data + HEAD, bytes, false}, info, row);
}
