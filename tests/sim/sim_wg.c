/* sim_wg.c - two WireGuard devices on a bad link, in invented time, one world a seed.
 *
 * The seed draws the link (loss, delay, reordering, duplicates, flipped bits, datagrams replayed and forged), whether
 * the ends are under load, who sends how often (one end may have nothing to say), and what happens to an end: it
 * restarts and forgets its sessions; its wall clock steps, by up to an hour to either side; it takes a new identity and
 * answers to the old one until the other end has learned of it; its counter jumps to near a limit. For half an hour
 * the ends send numbered packets through that; then the link turns good and nothing of the kind happens any more,
 * except that counters still jump to where a session is renewed. Always:
 *
 *     no packet comes out twice, changed, or without having been sent
 *     handshakes are not sent more often than the timers allow
 *     a wg_peer_seal refused for want of a session is followed by an UP event before any later one works
 * and on the good link, after at most RECOVERY:
 *     every packet sealed comes out, through several renewals, and nobody goes down.
 *
 * Usage: sim_wg [--seed S] [--seeds N]. The failing seed is printed; a seed always gives the same world. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/wg/wg_peer.h"
#include "seeds.h"

#define SEEDS_DEFAULT 150
#define STORM         (1800 * TS_S)
#define CALM          (600 * TS_S)
/* Missing an answer takes 15.3 s; then, when both ends demand cookies, three initiations 5.3 s apart; and one more
 * when the last of the storm has left an initiation that nobody will answer. */
#define RECOVERY   (40 * TS_S)
#define WALL_START (1700000000 * TS_S)
#define WALL_WRONG (3600 * TS_S)
#define PACKET     64 /* id, then bytes that follow from it */
#define MTU        1280
#define FLYING_MAX 256
#define KEPT_MAX   64
#define IDS_MAX    65536

struct link {
    uint32_t loss, duplicate, flip, replay, forge; /* in 10,000 */
    uint64_t delay_ns, jitter_ns;
};

struct flying {
    ts_t at; /* TS_NEVER: free */
    int to;
    size_t len;
    uint8_t bytes[256];
};

struct end {
    struct wg_device *dev;
    struct wg_peer *peer;
    uint8_t private_key[32], public_key[32];
    uint8_t previous_key[32]; /* private; answered to while the other end knows us by it */
    uint8_t known_as[32];     /* the public key that the other end knows */
    uint32_t handshakes_per_s;
    uint64_t keepalive_ns, every_ns;
    bool mute;              /* sends no packets of its own */
    uint64_t wall_ahead_ns; /* its wall clock, against WALL_START and the world's time */
    ts_t send_at, restart_at, step_at, rotate_at;
    ts_t learned_at; /* when the other end learns our new key; TS_NEVER: it knows */
    uint64_t stamp_kept;
    bool told_up; /* by events */
    bool refused; /* a seal was, and no UP came since */
    uint32_t ids; /* packets sealed */
    uint8_t arrived[IDS_MAX]; /* at the other end, by id */
    unsigned initiations, restarts, rotations, downs_in_calm;
    uint32_t ids_at_calm;
};

static struct world {
    uint64_t seed;
    struct rng rng;        /* the world's dice */
    struct rng device_rng; /* the devices' */
    ts_t now;
    ts_t calm_at;
    struct link link;
    struct end ends[2];
    struct flying flying[FLYING_MAX];
    struct flying kept[KEPT_MAX];
    size_t kept_count;
} w;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "sim_wg: seed %llu at %.3f s: %s\n", (unsigned long long)w.seed, (double)w.now / (double)TS_S,
            what);
    exit(1);
}

static void expect(bool ok, const char *what)
{
    if (!ok)
        fail(what);
}

static bool dice(uint32_t in_10000)
{
    return rng_below(&w.rng, 10000) < in_10000;
}

static uint64_t between(uint64_t low, uint64_t high)
{
    return low + rng_below(&w.rng, high - low + 1);
}

/* the odds of a fault: often none, sometimes much */
static uint32_t fault(uint32_t most)
{
    return dice(3000) ? 0 : (uint32_t)between(0, most);
}

/* --- ends --- */

static ts_t some_time(uint64_t most)
{
    return dice(5000) ? TS_NEVER : w.now + between(TS_S, most);
}

static void peer_make(int i, const uint8_t *stamp_heard)
{
    struct end *e = &w.ends[i];
    struct wg_peer_config peer = {.keepalive_ns = e->keepalive_ns, .shard = (uint8_t)i, .owner = e};
    int err;

    memcpy(peer.public_key, w.ends[!i].known_as, 32);
    memcpy(peer.identity, e->public_key, 32);
    if (stamp_heard)
        memcpy(peer.stamp_heard, stamp_heard, sizeof(peer.stamp_heard));
    e->peer = wg_peer_new(e->dev, &peer, w.now, &err);
    expect(e->peer, "a peer can't be made");
    e->told_up = e->refused = false;
}

static void end_start(int i)
{
    struct end *e = &w.ends[i];
    struct wg_config config = {.rng = &w.device_rng, .handshakes_per_s = e->handshakes_per_s};

    e->dev = wg_device_new(&config);
    expect(e->dev && wg_identity_add(e->dev, e->private_key) == 0, "a device can't be made");
    expect(e->learned_at == TS_NEVER || wg_identity_add(e->dev, e->previous_key) == 0, "no second identity");
    wg_device_stamp_floor_set(e->dev, e->stamp_kept);
    peer_make(i, NULL);
    e->restart_at = dice(5000) ? TS_NEVER : w.now + between(TS_S, 900 * TS_S);
}

static void end_restart(int i)
{
    struct end *e = &w.ends[i];

    e->stamp_kept = wg_device_stamp_last(e->dev);
    wg_device_free(e->dev);
    e->restarts++;
    e->wall_ahead_ns = between(0, 2 * WALL_WRONG);
    end_start(i);
}

static void end_step_clock(int i)
{
    w.ends[i].wall_ahead_ns = between(0, 2 * WALL_WRONG);
    w.ends[i].step_at = some_time(900 * TS_S);
}

/* a new identity, as after a reload with a new key file and the old one as previous */
static void end_rotate(int i)
{
    struct end *e = &w.ends[i];
    uint8_t stamp_heard[12];

    e->rotate_at = some_time(900 * TS_S);
    if (e->learned_at != TS_NEVER)
        return;
    memcpy(e->previous_key, e->private_key, 32);
    key_generate(&w.rng, e->private_key);
    expect(key_public(e->private_key, e->public_key) == 0, "a key can't be made");
    expect(wg_identity_add(e->dev, e->private_key) == 0, "no second identity");
    memcpy(stamp_heard, wg_peer_stamp_heard(e->peer), sizeof(stamp_heard));
    wg_peer_free(e->peer);
    peer_make(i, stamp_heard);
    e->rotations++;
    e->learned_at = w.now + between(0, 200 * TS_S);
}

static void end_learned(int i)
{
    struct end *e = &w.ends[i], *other = &w.ends[!i];
    uint8_t previous[32];

    e->learned_at = TS_NEVER;
    memcpy(previous, e->known_as, 32);
    memcpy(e->known_as, e->public_key, 32);
    wg_peer_free(other->peer);
    peer_make(!i, NULL);
    expect(wg_identity_remove(e->dev, previous) == 0, "the old identity stays");
}

/* The counter jumps ahead, never back: to where a session must be renewed or, in the storm, can't go on. On the good
 * link not when the other end is about to renew it by age: initiations that cross may cost a packet that is in flight
 * under the session before (three are kept, as in stock implementations). */
static void counter_jump(struct wg_peer *peer)
{
    const struct wg_keypair *kp = peer->keypairs.current;

    if (!kp || (w.now >= w.calm_at && ts_since(w.now, kp->born) > WG_REKEY_AFTER_NS / 2))
        return;
    bool last = w.now < w.calm_at && dice(5000);
    uint64_t to = (last ? WG_REJECT_AFTER_MESSAGES : WG_REKEY_AFTER_MESSAGES) - between(1, 5);

    peer->keypairs.current->send_counter = MAX(kp->send_counter, to);
}

/* --- link --- */

static void fly(const uint8_t *bytes, size_t len, int to)
{
    for (size_t i = 0; i < FLYING_MAX; i++) {
        struct flying *f = &w.flying[i];

        if (f->at != TS_NEVER)
            continue;
        f->at = w.now + w.link.delay_ns + rng_below(&w.rng, w.link.jitter_ns + 1);
        f->to = to;
        f->len = len;
        memcpy(f->bytes, bytes, len);
        if (dice(w.link.flip))
            f->bytes[rng_below(&w.rng, len)] ^= (uint8_t)(1u << rng_below(&w.rng, 8));
        return;
    }
    expect(w.now < w.calm_at, "the link overflows"); /* in the storm that is one more way to lose */
}

static void carry(const uint8_t *bytes, size_t len, int to)
{
    struct flying *kept = &w.kept[w.kept_count++ % KEPT_MAX];

    expect(len <= sizeof(kept->bytes), "an unexpectedly long datagram");
    kept->to = to;
    kept->len = len;
    memcpy(kept->bytes, bytes, len);
    if (!dice(w.link.loss))
        fly(bytes, len, to);
    if (dice(w.link.duplicate))
        fly(bytes, len, to);
    if (dice(w.link.replay)) {
        const struct flying *old = &w.kept[rng_below(&w.rng, MIN(w.kept_count, KEPT_MAX))];

        fly(old->bytes, old->len, old->to);
    }
    if (dice(w.link.forge)) {
        static const size_t lens[] = {148, 92, 64, 32, 80};
        uint8_t noise[148];

        rng_fill(&w.rng, noise, sizeof(noise));
        le32_put(noise, (uint32_t)between(1, 4));
        fly(noise, lens[rng_below(&w.rng, ARRAY_SIZE(lens))], to);
    }
}

/* --- packets --- */

static void packet_make(uint8_t *out, int from, uint32_t id)
{
    struct rng rng;

    rng_seed(&rng, w.seed * 2 + (uint64_t)from + ((uint64_t)id << 32));
    rng_fill(&rng, out, PACKET);
    le32_put(out, id);
}

static void packet_arrived(int at, const struct wg_input *in)
{
    struct end *from = &w.ends[!at];
    uint8_t whole[PACKET];

    expect(in->plaintext_len == PACKET, "a packet of another length came out");
    uint32_t id = le32_get(in->plaintext);

    expect(id < from->ids, "a packet came out that was never sealed");
    packet_make(whole, !at, id);
    expect(memcmp(whole, in->plaintext, PACKET) == 0, "a packet came out changed");
    expect(!from->arrived[id], "a packet came out twice");
    from->arrived[id] = 1;
}

static void packet_send(int i)
{
    struct end *e = &w.ends[i];
    uint8_t buf[WG_OVERHEAD_MAX + PACKET];

    e->send_at = w.now + between(e->every_ns / 2, e->every_ns * 3 / 2);
    if (w.now < w.calm_at && dice(20)) /* a silence in which sessions may end */
        e->send_at += between(10 * TS_S, 400 * TS_S);
    if (w.now >= w.calm_at)
        e->send_at = w.now + between(TS_S / 2, TS_S);
    if (dice(30))
        counter_jump(e->peer);
    packet_make(buf + WG_HEADER_BYTES, i, e->ids);
    int len = wg_peer_seal(e->peer, buf, PACKET, MTU, w.now);

    if (len < 0) {
        e->refused = true;
        expect(w.now < w.calm_at + RECOVERY, "no session long after the link turned good");
        return;
    }
    e->ids++;
    expect(e->ids < IDS_MAX, "more packets than planned");
    carry(buf, (size_t)len, !i);
}

/* --- the world's turn --- */

static void take_events(int i)
{
    struct end *e = &w.ends[i];
    struct wg_event event;

    while (wg_device_event(e->dev, &event)) {
        expect(event.peer == e->peer && wg_peer_owner(event.peer) == e, "an event of nobody");
        switch (event.kind) {
        case WG_EVENT_UP:
            expect(!e->told_up, "up twice");
            e->told_up = true;
            e->refused = false;
            break;
        case WG_EVENT_DOWN:
            expect(e->told_up, "down without up");
            e->told_up = false;
            e->downs_in_calm += w.now >= w.calm_at + RECOVERY;
            break;
        case WG_EVENT_GAVE_UP:
            expect(w.now < w.calm_at + RECOVERY, "gave up on a good link");
            break;
        }
    }
    expect(!e->told_up || !e->refused, "refused while told to be up");
    expect(e->told_up == wg_peer_can_send(e->peer, w.now), "what the owner was told is not so");
}

static void pull(int i)
{
    uint8_t buf[WG_HANDSHAKE_BYTES_MAX];
    struct wg_output out;
    uint64_t wall_ns = WALL_START + w.ends[i].wall_ahead_ns + w.now;
    int n = 0;

    while (wg_device_output(w.ends[i].dev, buf, sizeof(buf), &out, w.now, wall_ns)) {
        w.ends[i].initiations += out.len == WG_HANDSHAKE_BYTES_MAX;
        carry(buf, out.len, !i);
        expect(++n <= 8, "too many datagrams in one turn");
    }
    take_events(i);
}

static void deliver(struct flying *f)
{
    struct endpoint from = {.kind = ENDPOINT_UDP, .remote = {.port = (uint16_t)(f->to + 1)}};
    struct end *e = &w.ends[f->to];
    struct wg_input in;

    f->at = TS_NEVER;
    from.remote.addr = addr_v4((uint8_t[]){192, 0, 2, (uint8_t)f->to});
    enum wg_in verdict = wg_device_input(e->dev, f->bytes, f->len, &from, &in, w.now);

    expect(verdict != WG_IN_HALF || w.ends[!f->to].rotations, "a peer was not known");
    expect(!in.peer || in.peer == e->peer, "authenticated as somebody else");
    expect(!in.roam || in.peer, "nobody roams");
    if (verdict == WG_IN_DATA)
        packet_arrived(f->to, &in);
}

static ts_t next_thing(void)
{
    ts_t next = TS_NEVER;

    for (size_t i = 0; i < FLYING_MAX; i++)
        next = ts_min(next, w.flying[i].at);
    for (int i = 0; i < 2; i++) {
        const struct end *e = &w.ends[i];

        next = ts_min(next, ts_min(wg_device_deadline(e->dev), ts_min(e->send_at, e->restart_at)));
        next = ts_min(next, ts_min(e->step_at, ts_min(e->rotate_at, e->learned_at)));
    }
    return next;
}

static void turn(void)
{
    for (size_t i = 0; i < FLYING_MAX; i++)
        if (w.flying[i].at <= w.now)
            deliver(&w.flying[i]);
    for (int i = 0; i < 2; i++) {
        struct end *e = &w.ends[i];

        if (e->restart_at <= w.now)
            end_restart(i);
        if (e->step_at <= w.now)
            end_step_clock(i);
        if (e->rotate_at <= w.now)
            end_rotate(i);
        if (e->learned_at <= w.now)
            end_learned(i);
        wg_device_expire(e->dev, w.now);
        expect(wg_device_deadline(e->dev) > w.now, "a deadline that stays");
        if (e->send_at <= w.now)
            packet_send(i);
        pull(i);
    }
}

static void run_until(ts_t end)
{
    for (ts_t next; (next = next_thing()) <= end;) {
        expect(next >= w.now, "time runs backwards");
        w.now = next;
        turn();
    }
    w.now = end;
}

static void world_make(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    w.seed = seed;
    rng_seed(&w.rng, seed);
    rng_seed(&w.device_rng, ~seed);
    w.now = between(0, 1000 * TS_S);
    w.calm_at = w.now + STORM;
    w.link.loss = fault(4000);
    w.link.duplicate = fault(1000);
    w.link.flip = fault(500);
    w.link.replay = fault(1000);
    w.link.forge = fault(500);
    w.link.delay_ns = between(0, 200 * TS_MS);
    w.link.jitter_ns = dice(3000) ? 0 : between(0, 2 * TS_S);
    for (size_t i = 0; i < FLYING_MAX; i++)
        w.flying[i].at = TS_NEVER;
    for (int i = 0; i < 2; i++) {
        struct end *e = &w.ends[i];

        key_generate(&w.rng, e->private_key);
        expect(key_public(e->private_key, e->public_key) == 0, "a key can't be made");
        memcpy(e->known_as, e->public_key, 32);
        e->learned_at = TS_NEVER;
        e->step_at = some_time(900 * TS_S);
        e->rotate_at = some_time(900 * TS_S);
        e->handshakes_per_s = dice(7000) ? 1000 : 0;
        e->keepalive_ns = dice(7000) ? 0 : between(5, 60) * TS_S;
        e->every_ns = between(100 * TS_MS, 20 * TS_S);
        e->wall_ahead_ns = WALL_WRONG;
        e->mute = i == 1 && dice(3000);
        e->send_at = e->mute ? TS_NEVER : w.now + between(0, 10 * TS_S);
    }
    for (int i = 0; i < 2; i++)
        end_start(i);
}

static void world_calm(void)
{
    w.link = (struct link){.delay_ns = 20 * TS_MS, .jitter_ns = 20 * TS_MS};
    if (dice(5000))
        end_restart((int)between(0, 1)); /* the last one: what is to be recovered from */
    for (int i = 0; i < 2; i++) {
        if (dice(3000))
            end_rotate(i);
        if (w.ends[i].learned_at != TS_NEVER)
            end_learned(i);
        w.ends[i].restart_at = w.ends[i].step_at = w.ends[i].rotate_at = TS_NEVER;
        w.ends[i].send_at = w.ends[i].mute ? TS_NEVER : w.now;
    }
}

static void run(uint64_t seed)
{
    world_make(seed);
    run_until(w.calm_at);
    world_calm();
    run_until(w.calm_at + RECOVERY);
    for (int i = 0; i < 2; i++)
        w.ends[i].ids_at_calm = w.ends[i].ids;
    run_until(w.calm_at + CALM);
    for (int i = 0; i < 2; i++)
        w.ends[i].send_at = TS_NEVER;
    run_until(w.now + TS_S);
    for (int i = 0; i < 2; i++) {
        const struct end *e = &w.ends[i];

        for (uint32_t id = e->ids_at_calm; id < e->ids; id++)
            expect(e->arrived[id], "a packet was lost on a good link");
        expect(e->mute || e->ids > e->ids_at_calm + CALM / TS_S / 2, "too few packets on a good link");
        expect(e->downs_in_calm == 0, "down on a good link");
        unsigned fresh_starts = e->restarts + e->rotations + w.ends[!i].rotations; /* of its peer */

        expect(e->initiations <= (STORM + CALM) / (5 * TS_S) + 2 * fresh_starts + 10, "too many initiations");
        wg_device_free(e->dev);
    }
}

int main(int argc, char **argv)
{
    struct seeds seeds;

    if (!seeds_read(&seeds, SEEDS_DEFAULT, argc, argv) || crypto_init() != 0)
        return 2;
    for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; seed++)
        run(seed);
    printf("sim_wg: %llu seeds\n", (unsigned long long)seeds.count);
    return 0;
}
