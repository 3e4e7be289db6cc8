/* fuzz_wg.c - two wired devices; the input is a list of things that happen: wishes, packets, time, restarts, and what a
 * stranger on the path may do (drop, repeat, change, cut, forge, also with a mac1 that fits).
 *
 * Beyond not crashing: no packet comes out twice or changed, what is authenticated is from the one peer there is,
 * handshake state stays within its bound, and deadlines move when they are served. */
#include <string.h>

#include "common/base/bug.h"
#include "common/base/cursor.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/wg/wg_device.h"
#include "common/wg/wg_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ON_WIRE_MAX 16
#define PACKET_MAX  64
#define IDS_MAX     256
#define WALL        (1700000000 * TS_S)

struct datagram {
    int to;
    size_t len;
    uint8_t bytes[WG_HANDSHAKE_BYTES_MAX + PACKET_MAX];
};

struct end {
    struct wg_device *dev;
    struct wg_peer *peer; /* NULL: forgotten; the next initiation comes out half */
    uint8_t private_key[32], public_key[32];
    uint64_t stamp;
    uint8_t stamp_heard[12];
};

static struct {
    struct rng rng;
    ts_t now;
    struct end ends[2];
    struct datagram wire[ON_WIRE_MAX];
    size_t wire_count;
    struct datagram seen[ON_WIRE_MAX]; /* for replays */
    size_t seen_count;
    unsigned ids;
    bool arrived[IDS_MAX];
} f;

static const uint64_t steps_ns[] = {TS_MS,     25 * TS_MS, 333 * TS_MS, 5 * TS_S,   6 * TS_S,   10 * TS_S,
                                    16 * TS_S, 91 * TS_S,  120 * TS_S,  166 * TS_S, 180 * TS_S, 541 * TS_S};

static void peer_make(int i)
{
    struct wg_peer_config config = {.shard = (uint8_t)i, .owner = &f.ends[i]};
    int err;

    memcpy(config.public_key, f.ends[!i].public_key, 32);
    memcpy(config.identity, f.ends[i].public_key, 32);
    memcpy(config.stamp_heard, f.ends[i].stamp_heard, sizeof(config.stamp_heard));
    f.ends[i].peer = wg_peer_new(f.ends[i].dev, &config, f.now, &err);
    BUG_ON(!f.ends[i].peer);
}

static void peer_forget(int i)
{
    struct end *e = &f.ends[i];

    if (e->peer)
        memcpy(e->stamp_heard, wg_peer_stamp_heard(e->peer), sizeof(e->stamp_heard));
    wg_peer_free(e->peer);
    e->peer = NULL;
}

static void end_make(int i, uint32_t handshakes_per_s)
{
    struct end *e = &f.ends[i];
    struct wg_config config = {.rng = &f.rng, .handshakes_per_s = handshakes_per_s};

    e->dev = wg_device_new(&config);
    BUG_ON(!e->dev || wg_identity_add(e->dev, e->private_key) != 0);
    wg_device_stamp_floor_set(e->dev, e->stamp);
    peer_make(i);
}

static void end_free(int i)
{
    f.ends[i].stamp = wg_device_stamp_last(f.ends[i].dev);
    peer_forget(i);
    wg_device_free(f.ends[i].dev);
}

static void put_on_wire(const uint8_t *bytes, size_t len, int to)
{
    struct datagram d = {.to = to, .len = len};

    BUG_ON(len > sizeof(d.bytes));
    memcpy(d.bytes, bytes, len);
    f.seen[f.seen_count++ % ON_WIRE_MAX] = d;
    if (f.wire_count < ON_WIRE_MAX)
        f.wire[f.wire_count++] = d;
}

static struct datagram take_from_wire(size_t at)
{
    struct datagram d = f.wire[at];

    memmove(&f.wire[at], &f.wire[at + 1], (--f.wire_count - at) * sizeof(d));
    return d;
}

static void give(struct datagram *d)
{
    struct endpoint from = {.kind = ENDPOINT_UDP, .remote = {.port = 1}};
    struct end *e = &f.ends[d->to];
    struct wg_input in;
    enum wg_in verdict = wg_device_input(e->dev, d->bytes, d->len, &from, &in, f.now);

    BUG_ON(in.peer && in.peer != e->peer);
    BUG_ON(in.roam && !in.peer);
    if (verdict == WG_IN_HALF) {
        BUG_ON(e->peer && memcmp(in.half.static_public, f.ends[!d->to].public_key, 32) == 0);
        if (!e->peer && memcmp(in.half.static_public, f.ends[!d->to].public_key, 32) == 0) {
            peer_make(d->to);
            wg_peer_input_half(e->peer, &in.half, &in, f.now);
        }
        wg_half_wipe(&in.half);
    } else if (verdict == WG_IN_DATA) {
        uint8_t id = in.plaintext[0];

        BUG_ON(id >= f.ids || f.arrived[id]);
        f.arrived[id] = true;
        for (size_t i = 0; i < in.plaintext_len; i++)
            BUG_ON(in.plaintext[i] != id && in.plaintext[i] != 0);
    }
}

static void packet(int i, size_t len)
{
    uint8_t buf[PACKET_MAX + WG_OVERHEAD_MAX];

    if (!f.ends[i].peer || f.ids == IDS_MAX)
        return;
    memset(buf + WG_HEADER_BYTES, (int)f.ids, len);
    int n = wg_peer_seal(f.ends[i].peer, buf, len, PACKET_MAX, f.now);

    if (n <= 0)
        return;
    f.ids += len > 0;
    put_on_wire(buf, (size_t)n, !i);
}

static void change(struct datagram *d, struct cursor *c)
{
    size_t at = cursor_u8(c) % d->len;

    d->bytes[at] ^= cursor_u8(c);
    if (cursor_u8(c) & 1 && d->len >= 92 && le32_get(d->bytes) <= WG_MESSAGE_RESPONSE) {
        struct wg_cookie_jar jar = {0}; /* as anybody can who knows the public key */

        wg_cookie_sign(&jar, f.ends[d->to].public_key, d->bytes, d->len, 0);
    }
}

static void forge(struct cursor *c, int to)
{
    struct datagram d = {.to = to, .len = cursor_u8(c)};

    d.len = MIN(d.len, MIN(sizeof(d.bytes), cursor_left(c)));
    if (d.len)
        memcpy(d.bytes, cursor_take(c, d.len), d.len);
    give(&d);
}

static void happen(struct cursor *c)
{
    uint8_t what = cursor_u8(c);
    int i = what >> 7;
    struct datagram *d = f.wire_count ? &f.wire[(what >> 4 & 7) % f.wire_count] : NULL;
    struct datagram copy;

    switch (what & 15) {
    case 0:
        if (f.ends[i].peer)
            wg_peer_initiate(f.ends[i].peer, f.now);
        break;
    case 1:
        packet(i, cursor_u8(c) % (PACKET_MAX + 1));
        break;
    case 2:
    case 3:
        if (d) {
            copy = take_from_wire((size_t)(d - f.wire));
            give(&copy);
        }
        break;
    case 4:
        if (d)
            take_from_wire((size_t)(d - f.wire));
        break;
    case 5:
        if (d) {
            copy = *d;
            give(&copy);
        }
        break;
    case 6:
        if (d)
            change(d, c);
        break;
    case 7:
        if (d)
            d->len = 1 + cursor_u8(c) % d->len;
        break;
    case 8:
    case 9:
        f.now += steps_ns[cursor_u8(c) % ARRAY_SIZE(steps_ns)];
        break;
    case 10:
        end_free(i);
        end_make(i, cursor_u8(c) & 1 ? 0 : 1000);
        break;
    case 11:
        peer_forget(i);
        break;
    case 12:
        if (f.seen_count) {
            copy = f.seen[cursor_u8(c) % MIN(f.seen_count, ON_WIRE_MAX)];
            give(&copy);
        }
        break;
    case 13:
        if (f.ends[i].peer)
            wg_peer_keepalive_set(f.ends[i].peer, (cursor_u8(c) & 3) * 10 * TS_S, f.now);
        break;
    case 14:
        forge(c, i);
        break;
    default: /* near the counter's end */
        if (f.ends[i].peer && f.ends[i].peer->keypairs.current)
            f.ends[i].peer->keypairs.current->send_counter = WG_REJECT_AFTER_MESSAGES - 2;
        break;
    }
}

static void settle(int i)
{
    struct end *e = &f.ends[i];
    uint8_t buf[WG_HANDSHAKE_BYTES_MAX];
    struct wg_output out;
    struct wg_event event;

    wg_device_expire(e->dev, f.now);
    BUG_ON(wg_device_deadline(e->dev) <= f.now);
    while (wg_device_output(e->dev, buf, sizeof(buf), &out, f.now, WALL + f.now))
        put_on_wire(buf, out.len, !i);
    while (wg_device_event(e->dev, &event))
        BUG_ON(event.peer != e->peer);
    BUG_ON(e->dev->indices.count > 4); /* one initiation, three sessions */
    BUG_ON(e->dev->keypair_pool.pieces_out > 3 || e->dev->initiation_pool.pieces_out > 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c;

    if (crypto_init() != 0)
        return 0;
    memset(&f, 0, sizeof(f));
    rng_seed(&f.rng, 1);
    f.now = TS_S;
    for (int i = 0; i < 2; i++) {
        key_generate(&f.rng, f.ends[i].private_key);
        BUG_ON(key_public(f.ends[i].private_key, f.ends[i].public_key) != 0);
    }
    for (int i = 0; i < 2; i++)
        end_make(i, 1000);
    cursor_init(&c, data, size);
    while (cursor_left(&c) && cursor_ok(&c)) {
        happen(&c);
        settle(0);
        settle(1);
    }
    for (int i = 0; i < 2; i++)
        end_free(i);
    return 0;
}
