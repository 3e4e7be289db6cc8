/* pair.h - for the tests of this folder: two devices that know each other, a virtual clock, and a wire that is a call.
 *
 * Nothing moves by itself: `made` pulls one datagram out of an end, `given` puts one into an end, `settle` exchanges
 * until both are quiet, `pass` lets time go by deadline by deadline. */
#ifndef TEST_PAIR_H
#define TEST_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/wg/wg_device.h"
#include "common/wg/wg_peer.h"

#define WALL_START (1700000000 * TS_S)
#define MTU        1280

struct datagram {
    uint8_t bytes[2048];
    size_t len;
    struct wg_output out;
};

struct end {
    struct rng rng;
    uint8_t private_key[32], public_key[32];
    struct wg_device *dev;
    struct wg_peer *peer; /* the other end */
    struct endpoint at;
    int ups, downs, gave_ups;
    enum wg_in last; /* verdict of the last `given` */
    struct wg_input in;
};

struct pair {
    struct end a, b;
    ts_t now;
};

static inline struct end *other(struct pair *p, struct end *e)
{
    return e == &p->a ? &p->b : &p->a;
}

static inline uint64_t wall(const struct pair *p)
{
    return WALL_START + p->now;
}

static inline struct wg_peer_config peer_config(struct pair *p, struct end *e)
{
    struct wg_peer_config config = {.shard = 7, .owner = e};

    memcpy(config.public_key, other(p, e)->public_key, 32);
    memcpy(config.identity, e->public_key, 32);
    return config;
}

static inline void end_start(struct pair *p, struct end *e, uint32_t handshakes_per_s, bool with_peer)
{
    struct wg_config config = {.rng = &e->rng, .handshakes_per_s = handshakes_per_s};
    struct wg_peer_config pc = peer_config(p, e);
    int err = 0;

    e->dev = wg_device_new(&config);
    assert_non_null(e->dev);
    assert_int_equal(wg_identity_add(e->dev, e->private_key), 0);
    e->peer = with_peer ? wg_peer_new(e->dev, &pc, p->now, &err) : NULL;
    assert_int_equal(err, 0);
    e->ups = e->downs = e->gave_ups = 0;
}

static inline void pair_keys(struct pair *p)
{
    memset(p, 0, sizeof(*p));
    p->now = TS_S;
    rng_seed(&p->a.rng, 1);
    rng_seed(&p->b.rng, 2);
    p->a.at.kind = p->b.at.kind = ENDPOINT_UDP;
    p->a.at.remote = (struct addrport){.addr = addr_v4((uint8_t[]){192, 0, 2, 1}), .port = 1};
    p->b.at.remote = (struct addrport){.addr = addr_v4((uint8_t[]){192, 0, 2, 2}), .port = 2};
    key_generate(&p->a.rng, p->a.private_key);
    key_generate(&p->b.rng, p->b.private_key);
    assert_int_equal(key_public(p->a.private_key, p->a.public_key), 0);
    assert_int_equal(key_public(p->b.private_key, p->b.public_key), 0);
}

static inline void pair_start(struct pair *p)
{
    pair_keys(p);
    end_start(p, &p->a, 1000, true);
    end_start(p, &p->b, 1000, true);
}

static inline void pair_stop(struct pair *p)
{
    wg_device_free(p->a.dev);
    wg_device_free(p->b.dev);
}

static inline bool made(struct pair *p, struct end *e, struct datagram *d)
{
    d->len = wg_device_output(e->dev, d->bytes, sizeof(d->bytes), &d->out, p->now, wall(p));
    assert_int_equal(d->len, d->out.len);
    return d->len > 0;
}

static inline enum wg_in given(struct pair *p, struct end *e, const struct datagram *d)
{
    static uint8_t copy[2048];

    memcpy(copy, d->bytes, d->len);
    return e->last = wg_device_input(e->dev, copy, d->len, &other(p, e)->at, &e->in, p->now);
}

static inline void events(struct end *e)
{
    struct wg_event event;

    while (wg_device_event(e->dev, &event)) {
        assert_ptr_equal(wg_peer_owner(event.peer), e);
        e->ups += event.kind == WG_EVENT_UP;
        e->downs += event.kind == WG_EVENT_DOWN;
        e->gave_ups += event.kind == WG_EVENT_GAVE_UP;
    }
}

/* drop - pull and lose everything an end has to send; how many there were */
static inline int drop(struct pair *p, struct end *e)
{
    struct datagram d;
    int n = 0;

    while (made(p, e, &d))
        n++;
    events(e);
    return n;
}

/* settle - exchange until both ends are quiet; how many datagrams crossed */
static inline int settle(struct pair *p)
{
    struct datagram d;
    int n = 0;

    for (int before = -1; before != n;) {
        before = n;
        for (; made(p, &p->a, &d); n++)
            given(p, &p->b, &d);
        for (; made(p, &p->b, &d); n++)
            given(p, &p->a, &d);
    }
    events(&p->a);
    events(&p->b);
    return n;
}

/* pass - let time go by, with everything delivered at once; how many datagrams crossed */
static inline int pass(struct pair *p, uint64_t dur_ns)
{
    ts_t end = p->now + dur_ns;
    int n = settle(p);

    for (;;) {
        ts_t next = ts_min(wg_device_deadline(p->a.dev), wg_device_deadline(p->b.dev));

        p->now = ts_max(p->now, ts_min(next, end));
        wg_device_expire(p->a.dev, p->now);
        wg_device_expire(p->b.dev, p->now);
        n += settle(p);
        if (next > end)
            return n;
    }
}

/* sealed - a packet of len bytes `fill` made into a datagram; false: no session */
static inline bool sealed(struct pair *p, struct end *e, uint8_t fill, size_t len, struct datagram *d)
{
    memset(d->bytes + WG_HEADER_BYTES, fill, len);
    int n = wg_peer_seal(e->peer, d->bytes, len, MTU, p->now);

    d->len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* sent - one packet across: true when it came out at the other end as it went in */
static inline bool sent(struct pair *p, struct end *e)
{
    struct datagram d;
    struct end *to = other(p, e);
    static uint8_t fill;

    if (!sealed(p, e, ++fill, 100, &d) || given(p, to, &d) != WG_IN_DATA)
        return false;
    assert_ptr_equal(to->in.peer, to->peer);
    assert_true(to->in.roam);
    assert_int_equal(to->in.plaintext_len, 112);
    for (int i = 0; i < 112; i++)
        assert_int_equal(to->in.plaintext[i], i < 100 ? fill : 0);
    return true;
}

/* connect - a first session, begun by e */
static inline void connect_by(struct pair *p, struct end *e)
{
    wg_peer_initiate(e->peer, p->now);
    settle(p);
    assert_true(wg_peer_can_send(p->a.peer, p->now));
    assert_true(wg_peer_can_send(p->b.peer, p->now));
}

#endif
