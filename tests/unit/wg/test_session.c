/* test_session.c - how sessions come, overlap and go: both roles, crossing initiations, lost messages, renewal without
 * loss, and what a stranger's datagrams can't do. */
#include "tests/unit/wg/pair.h"

#include "common/base/err.h"

static void first_session(void **state)
{
    struct pair p;
    struct datagram d;

    pair_start(&p);
    assert_false(sealed(&p, &p.a, 1, 10, &d)); /* asks for one */
    assert_int_equal(settle(&p), 3);           /* initiation, response, keepalive that confirms */
    assert_int_equal(p.a.ups, 1);
    assert_int_equal(p.b.ups, 1);
    assert_true(sent(&p, &p.a));
    assert_true(sent(&p, &p.b));
    assert_int_equal(wg_peer_heard(p.a.peer), p.now);
    assert_int_equal(wg_peer_handshake_at(p.a.peer), p.now);
    pair_stop(&p);
    (void)state;
}

/* the responder is mute until it has heard the initiator under the new keys; a packet does as well as a keepalive */
static void responder_waits_for_confirmation(void **state)
{
    struct pair p;
    struct datagram d;

    pair_start(&p);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    assert_int_equal(given(&p, &p.b, &d), WG_IN_HANDSHAKE);
    assert_false(wg_peer_can_send(p.b.peer, p.now));
    made(&p, &p.b, &d);
    assert_true(d.out.reply);
    assert_ptr_equal(d.out.peer, p.b.peer);
    assert_true(addrport_equal(&d.out.to.remote, &p.a.at.remote));
    assert_int_equal(given(&p, &p.a, &d), WG_IN_HANDSHAKE);
    assert_true(wg_peer_can_send(p.a.peer, p.now));
    assert_true(sent(&p, &p.a));
    assert_true(wg_peer_can_send(p.b.peer, p.now));
    assert_int_equal(settle(&p), 0); /* the packet made the keepalive unnecessary */
    pair_stop(&p);
    (void)state;
}

/* the confirmation is lost: the responder, with something to send, initiates 5 s after its response */
static void lost_confirmation_heals(void **state)
{
    struct pair p;
    struct datagram d;

    pair_start(&p);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    given(&p, &p.b, &d);
    made(&p, &p.b, &d);
    given(&p, &p.a, &d);
    assert_int_equal(drop(&p, &p.a), 1);
    assert_false(sealed(&p, &p.b, 1, 10, &d));
    assert_int_equal(drop(&p, &p.b), 0); /* within 5 s of its response: not yet */
    pass(&p, WG_REKEY_TIMEOUT_NS + WG_JITTER_NS);
    assert_true(sent(&p, &p.b));
    assert_true(sent(&p, &p.a));
    pair_stop(&p);
    (void)state;
}

/* both initiate at once: each role has its own state, so both handshakes end well and packets flow at once */
static void crossing_initiations(void **state)
{
    struct pair p;
    struct datagram from_a, from_b;

    pair_start(&p);
    wg_peer_initiate(p.a.peer, p.now);
    wg_peer_initiate(p.b.peer, p.now);
    assert_true(made(&p, &p.a, &from_a));
    assert_true(made(&p, &p.b, &from_b));
    assert_int_equal(given(&p, &p.b, &from_a), WG_IN_HANDSHAKE);
    assert_int_equal(given(&p, &p.a, &from_b), WG_IN_HANDSHAKE);
    settle(&p);
    for (int i = 0; i < 3; i++) {
        assert_true(sent(&p, &p.a));
        assert_true(sent(&p, &p.b));
    }
    pass(&p, 60 * TS_S);
    assert_true(sent(&p, &p.a));
    assert_true(sent(&p, &p.b));
    assert_int_equal(p.a.downs + p.b.downs + p.a.gave_ups + p.b.gave_ups, 0);
    pair_stop(&p);
    (void)state;
}

/* packets go on both ways for ten minutes: sessions are renewed on the way, none is lost, nobody goes down */
static void renewal_loses_nothing(void **state)
{
    struct pair p;
    ts_t derived;
    int sessions = 0;

    pair_start(&p);
    connect_by(&p, &p.a);
    derived = wg_peer_handshake_at(p.a.peer);
    for (int i = 0; i < 6000; i++) {
        assert_true(sent(&p, &p.a));
        assert_true(sent(&p, &p.b));
        pass(&p, 100 * TS_MS);
        sessions += derived != wg_peer_handshake_at(p.a.peer);
        derived = wg_peer_handshake_at(p.a.peer);
    }
    assert_int_equal(sessions, 4); /* each a little after 120 s of the one before */
    assert_int_equal(p.a.downs + p.b.downs, 0);
    assert_int_equal(p.a.ups + p.b.ups, 2);
    pair_stop(&p);
    (void)state;
}

/* what was sealed before a renewal still arrives after it */
static void packets_in_flight_survive_renewal(void **state)
{
    struct pair p;
    struct datagram to_a, to_b;

    pair_start(&p);
    connect_by(&p, &p.a);
    assert_true(sealed(&p, &p.a, 1, 10, &to_b));
    assert_true(sealed(&p, &p.b, 2, 10, &to_a));
    p.now += 6 * TS_S;
    wg_peer_initiate(p.b.peer, p.now);
    settle(&p);
    assert_true(sent(&p, &p.a));
    assert_int_equal(given(&p, &p.b, &to_b), WG_IN_DATA);
    assert_int_equal(given(&p, &p.a, &to_a), WG_IN_DATA);
    assert_int_equal(given(&p, &p.a, &to_a), WG_IN_DROP_REPLAY);
    pair_stop(&p);
    (void)state;
}

/* after a crossing each end sends under the session it initiated; a renewal must not drop the one in use */
static void crossed_sessions_survive_renewal(void **state)
{
    for (int i = 0; i <= 1; i++) {
        struct pair p;
        struct datagram from_a, from_b, in_flight;

        pair_start(&p);
        wg_peer_initiate(p.a.peer, p.now);
        wg_peer_initiate(p.b.peer, p.now);
        made(&p, &p.a, &from_a);
        made(&p, &p.b, &from_b);
        given(&p, &p.b, &from_a);
        given(&p, &p.a, &from_b);
        settle(&p);
        struct end *renews = i ? &p.a : &p.b, *sends = other(&p, renews);

        p.now += 6 * TS_S;
        assert_true(sent(&p, sends));
        assert_true(sealed(&p, sends, 1, 10, &in_flight));
        wg_peer_initiate(renews->peer, p.now);
        settle(&p);
        assert_int_equal(given(&p, renews, &in_flight), WG_IN_DATA);
        assert_true(sent(&p, sends));
        assert_true(sent(&p, renews));
        pair_stop(&p);
    }
    (void)state;
}

/* the counter's limits: renew above 2^60, stop at the end, never use one twice */
static void counter_limits(void **state)
{
    struct pair p;
    struct datagram d;

    pair_start(&p);
    connect_by(&p, &p.a);
    p.now += 6 * TS_S;
    p.b.peer->keypairs.current->send_counter = WG_REKEY_AFTER_MESSAGES; /* also the responder renews by count */
    assert_true(sealed(&p, &p.b, 1, 10, &d));
    assert_int_equal(settle(&p), 3);
    p.now += 6 * TS_S;
    p.a.peer->keypairs.current->send_counter = WG_REJECT_AFTER_MESSAGES - 1;
    assert_true(sealed(&p, &p.a, 1, 10, &d));
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DATA);
    assert_int_equal(wg_peer_seal(p.a.peer, d.bytes, 10, MTU, p.now), ERR_NO_SESSION);
    assert_int_equal(settle(&p), 3);
    assert_int_equal(p.a.downs, 1);
    assert_true(sent(&p, &p.a));
    pair_stop(&p);
    (void)state;
}

static void padding_stops_at_the_mtu(void **state)
{
    const struct {
        size_t len, mtu, sealed;
    } cases[] = {
        {0, 1280, 32}, {1, 1280, 48}, {16, 1280, 48}, {17, 1280, 64}, {1279, 1280, 1312}, {1285, 1290, 1322},
        {1290, 1290, 1322}, {1300, 1290, 1332},
    };
    struct pair p;
    struct datagram d;

    pair_start(&p);
    connect_by(&p, &p.a);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(wg_peer_seal(p.a.peer, d.bytes, cases[i].len, cases[i].mtu, p.now), cases[i].sealed);
        d.len = cases[i].sealed;
        assert_int_equal(given(&p, &p.b, &d), cases[i].len ? WG_IN_DATA : WG_IN_KEEPALIVE);
    }
    pair_stop(&p);
    (void)state;
}

/* resigned - give a changed handshake message a mac1 that fits, as anybody who knows the public key can */
static void resigned(struct datagram *d, const uint8_t public_key[32])
{
    struct wg_cookie_jar jar = {0};

    wg_cookie_sign(&jar, public_key, d->bytes, d->len, 0);
}

/* `roam` is told for what is authentic and new, and for nothing else */
static void only_authentic_and_new_moves_a_peer(void **state)
{
    struct pair p;
    struct datagram first, d, data;

    pair_start(&p);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &first);
    d = first;
    d.bytes[120] ^= 1;
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DROP_MAC1);
    assert_null(p.b.in.peer);
    d = first;
    d.bytes[100] ^= 1; /* the stamp, under a mac1 that anybody can make */
    resigned(&d, p.b.public_key);
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DROP_CRYPTO);
    assert_null(p.b.in.peer);
    assert_int_equal(given(&p, &p.b, &first), WG_IN_HANDSHAKE);
    assert_true(p.b.in.roam);
    assert_int_equal(given(&p, &p.b, &first), WG_IN_DROP_REPLAY);
    assert_ptr_equal(p.b.in.peer, p.b.peer);
    assert_false(p.b.in.roam);
    made(&p, &p.b, &d);
    first = d;
    d.bytes[50] ^= 1;
    resigned(&d, p.a.public_key);
    assert_int_equal(given(&p, &p.a, &d), WG_IN_DROP_CRYPTO);
    assert_int_equal(given(&p, &p.a, &first), WG_IN_HANDSHAKE);
    assert_true(p.a.in.roam);
    assert_int_equal(given(&p, &p.a, &first), WG_IN_DROP_UNKNOWN_INDEX);
    assert_null(p.a.in.peer);
    assert_true(sealed(&p, &p.a, 1, 50, &data));
    d = data;
    d.bytes[20] ^= 1;
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DROP_CRYPTO);
    assert_null(p.b.in.peer);
    d = data;
    d.bytes[8] ^= 1; /* its counter: part of the nonce */
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DROP_CRYPTO);
    assert_int_equal(given(&p, &p.b, &data), WG_IN_DATA);
    assert_int_equal(given(&p, &p.b, &data), WG_IN_DROP_REPLAY);
    assert_ptr_equal(p.b.in.peer, p.b.peer);
    assert_false(p.b.in.roam);
    pair_stop(&p);
    (void)state;
}

/* every cut and every wrong type or reserved byte is dropped before anything is computed */
static void odd_datagrams(void **state)
{
    static const struct {
        uint32_t type;
        size_t len;
    } right[] = {{1, 148}, {2, 92}, {3, 64}, {4, 32}};
    struct pair p;
    struct datagram d = {0};

    pair_start(&p);
    for (uint32_t type = 0; type <= 5; type++)
        for (d.len = 0; d.len < 200; d.len++) {
            bool fits = type >= 1 && type <= 4 &&
                        (type == 4 ? d.len >= right[3].len : d.len == right[type - 1].len);
            uint32_t index;

            le32_put(d.bytes, type);
            assert_int_equal(given(&p, &p.a, &d) != WG_IN_DROP_MALFORMED, fits);
            assert_int_equal(wg_datagram_index(d.bytes, d.len, &index), fits && type != 1);
            for (int reserved = 1; reserved <= 3 && d.len >= 4; reserved++) {
                d.bytes[reserved] = 1;
                assert_int_equal(given(&p, &p.a, &d), WG_IN_DROP_MALFORMED);
                d.bytes[reserved] = 0;
            }
        }
    pair_stop(&p);
    (void)state;
}

/* the initiation of a key that is no peer comes out half opened; any device with the identity can go on from it */
static void half_is_handed_on(void **state)
{
    struct pair p;
    struct datagram d;
    int err;

    pair_keys(&p);
    end_start(&p, &p.a, 1000, true);
    end_start(&p, &p.b, 1000, false);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    assert_int_equal(given(&p, &p.b, &d), WG_IN_HALF);
    struct wg_half half = p.b.in.half, forged = half;
    struct wg_peer_config pc = peer_config(&p, &p.b);

    assert_null(p.b.in.peer);
    assert_memory_equal(half.static_public, p.a.public_key, 32);
    assert_memory_equal(half.identity_public, p.b.public_key, 32);
    assert_true(addrport_equal(&half.from.remote, &p.a.at.remote));

    wg_device_free(p.b.dev); /* another worker's device */
    end_start(&p, &p.b, 1000, false);
    p.b.peer = wg_peer_new(p.b.dev, &pc, p.now, &err);
    forged.message[95] ^= 1;
    assert_int_equal(wg_peer_input_half(p.b.peer, &forged, &p.b.in, p.now), WG_IN_DROP_CRYPTO);
    assert_int_equal(wg_peer_input_half(p.b.peer, &half, &p.b.in, p.now), WG_IN_HANDSHAKE);
    assert_ptr_equal(p.b.in.peer, p.b.peer);
    assert_true(p.b.in.roam);
    assert_int_equal(wg_peer_input_half(p.b.peer, &half, &p.b.in, p.now), WG_IN_DROP_REPLAY);
    settle(&p);
    assert_true(sent(&p, &p.b));

    /* the peer goes and comes back: with the stamp it was heard with, its old initiation stays refused */
    memcpy(pc.stamp_heard, wg_peer_stamp_heard(p.b.peer), sizeof(pc.stamp_heard));
    wg_peer_free(p.b.peer);
    p.b.peer = wg_peer_new(p.b.dev, &pc, p.now, &err);
    assert_int_equal(wg_peer_input_half(p.b.peer, &half, &p.b.in, p.now), WG_IN_DROP_REPLAY);
    wg_half_wipe(&half);
    assert_true(crypto_is_zero(&half, sizeof(half)));
    pair_stop(&p);
    (void)state;
}

/* who calls a key that is not ours isn't heard */
static void foreign_identity(void **state)
{
    struct pair p;
    struct datagram d;

    pair_start(&p);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    uint8_t private_key[32];
    struct wg_config config = {.rng = &p.b.rng, .handshakes_per_s = 1000};

    wg_device_free(p.b.dev);
    p.b.dev = wg_device_new(&config);
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DROP_MAC1); /* no identity at all */
    key_generate(&p.b.rng, private_key);
    assert_int_equal(wg_identity_add(p.b.dev, private_key), 0);
    assert_int_equal(given(&p, &p.b, &d), WG_IN_DROP_MAC1);
    pair_stop(&p);
    (void)state;
}

/* during a change of keys a device answers to both, and initiates as the one its peers name */
static void two_identities(void **state)
{
    struct pair p;
    uint8_t fresh_private[32], fresh_public[32];
    struct wg_peer_config pc;
    int err;

    pair_start(&p);
    key_generate(&p.b.rng, fresh_private);
    assert_int_equal(key_public(fresh_private, fresh_public), 0);
    assert_int_equal(wg_identity_add(p.b.dev, fresh_private), 0);
    assert_int_equal(wg_identity_add(p.b.dev, fresh_private), ERR_EXISTS);
    connect_by(&p, &p.a); /* calls the old one, by which b's peer was made */
    assert_true(sent(&p, &p.b));
    assert_int_equal(wg_identity_remove(p.b.dev, p.b.public_key), ERR_WRONG_STATE);

    pc = peer_config(&p, &p.b); /* b's peer moves to the new one; a still calls the old */
    memcpy(pc.identity, fresh_public, 32);
    memcpy(pc.stamp_heard, wg_peer_stamp_heard(p.b.peer), sizeof(pc.stamp_heard));
    wg_peer_free(p.b.peer);
    p.b.peer = wg_peer_new(p.b.dev, &pc, p.now, &err);
    p.now += 6 * TS_S;
    connect_by(&p, &p.a);
    assert_true(sent(&p, &p.b));

    wg_peer_free(p.a.peer); /* a learns the new key; the old one can go */
    memcpy(p.b.public_key, fresh_public, 32);
    pc = peer_config(&p, &p.a);
    p.a.peer = wg_peer_new(p.a.dev, &pc, p.now, &err);
    p.now += 6 * TS_S;
    connect_by(&p, &p.b);
    assert_true(sent(&p, &p.a));
    assert_int_equal(key_public(p.b.private_key, fresh_public), 0);
    assert_int_equal(wg_identity_remove(p.b.dev, fresh_public), 0);
    assert_int_equal(wg_identity_remove(p.b.dev, fresh_public), ERR_NOT_FOUND);
    assert_true(sent(&p, &p.b));
    pair_stop(&p);
    (void)state;
}

/* an initiation that is known to have reached nobody is not waited for */
static void initiation_is_lost(void **state)
{
    struct pair p;

    (void)state;
    pair_start(&p);
    wg_peer_initiation_lost(p.a.peer, p.now); /* none is under way */
    assert_int_equal(drop(&p, &p.a), 0);
    wg_peer_initiate(p.a.peer, p.now);
    assert_int_equal(drop(&p, &p.a), 1);
    wg_peer_initiate(p.a.peer, p.now);
    assert_int_equal(drop(&p, &p.a), 0); /* waits for the answer */
    wg_peer_initiation_lost(p.a.peer, p.now);
    assert_int_equal(drop(&p, &p.a), 0); /* one that comes too fast would be dropped */
    p.now += 29 * TS_MS;
    wg_device_expire(p.a.dev, p.now);
    assert_int_equal(drop(&p, &p.a), 0);
    p.now += TS_MS;
    wg_device_expire(p.a.dev, p.now);
    settle(&p);
    assert_true(sent(&p, &p.a) && sent(&p, &p.b));
    wg_peer_initiation_lost(p.a.peer, p.now); /* too late to matter */
    assert_int_equal(drop(&p, &p.a), 0);
    pair_stop(&p);
}

/* our key is exchanged under a peer: what we had goes on until it knows the new one, and nothing initiates as the old */
static void identity_is_exchanged(void **state)
{
    struct pair p;
    uint8_t fresh[32], fresh_public[32];
    int err;

    (void)state;
    pair_start(&p);
    connect_by(&p, &p.a);
    key_generate(&p.a.rng, fresh);
    assert_int_equal(key_public(fresh, fresh_public), 0);
    assert_int_equal(wg_peer_identity_set(p.a.peer, fresh_public, p.now), ERR_NOT_FOUND);
    assert_int_equal(wg_identity_add(p.a.dev, fresh), 0);
    assert_int_equal(wg_peer_identity_set(p.a.peer, fresh_public, p.now), 0);
    assert_int_equal(drop(&p, &p.a), 1); /* the other end would not know who that is */
    assert_true(sent(&p, &p.a) && sent(&p, &p.b));
    /* it learns */
    struct wg_peer *was = p.b.peer;
    struct wg_peer_config config = peer_config(&p, &p.b);

    memcpy(config.public_key, fresh_public, 32);
    p.b.peer = wg_peer_new(p.b.dev, &config, p.now, &err);
    assert_non_null(p.b.peer);
    wg_peer_free(was);
    assert_false(sent(&p, &p.a));
    pass(&p, 6 * TS_S);
    assert_true(sent(&p, &p.a) && sent(&p, &p.b));
    assert_int_equal(wg_identity_remove(p.a.dev, p.a.public_key), 0);
    assert_int_equal(wg_peer_identity_set(p.a.peer, fresh_public, p.now), 0); /* nothing to do */
    assert_int_equal(drop(&p, &p.a), 0);
    pair_stop(&p);
}

static void preshared_keys_must_agree(void **state)
{
    struct pair p;
    struct wg_peer_config pc;
    int err;

    for (int agree = 0; agree <= 1; agree++) {
        pair_keys(&p);
        end_start(&p, &p.a, 1000, false);
        end_start(&p, &p.b, 1000, false);
        pc = peer_config(&p, &p.a);
        pc.preshared_key[0] = 1;
        p.a.peer = wg_peer_new(p.a.dev, &pc, p.now, &err);
        pc = peer_config(&p, &p.b);
        pc.preshared_key[0] = (uint8_t)agree;
        p.b.peer = wg_peer_new(p.b.dev, &pc, p.now, &err);
        wg_peer_initiate(p.a.peer, p.now);
        settle(&p);
        assert_int_equal(wg_peer_can_send(p.a.peer, p.now), agree);
        assert_int_equal(p.a.last, agree ? WG_IN_HANDSHAKE : WG_IN_DROP_CRYPTO);
        pair_stop(&p);
    }
    (void)state;
}

static void making_peers_and_identities(void **state)
{
    struct pair p;
    struct wg_peer_config pc;
    uint8_t key[32];
    int err;

    pair_start(&p);
    pc = peer_config(&p, &p.a);
    assert_null(wg_peer_new(p.a.dev, &pc, p.now, &err));
    assert_int_equal(err, ERR_EXISTS);
    pc.public_key[0] ^= 1;
    pc.identity[0] ^= 1;
    assert_null(wg_peer_new(p.a.dev, &pc, p.now, &err));
    assert_int_equal(err, ERR_NOT_FOUND);
    pc.identity[0] ^= 1;
    memset(pc.public_key, 0, 32);
    assert_null(wg_peer_new(p.a.dev, &pc, p.now, &err));
    assert_int_equal(err, ERR_INVALID);
    assert_ptr_equal(wg_peer_find(p.a.dev, p.b.public_key), p.a.peer);
    assert_memory_equal(wg_peer_key(p.a.peer), p.b.public_key, 32);
    assert_null(wg_peer_find(p.a.dev, p.a.public_key));
    assert_int_equal(wg_identity_add(p.a.dev, pc.public_key), ERR_INVALID);
    for (int i = 1; i < WG_IDENTITIES_MAX; i++) {
        key_generate(&p.a.rng, key);
        assert_int_equal(wg_identity_add(p.a.dev, key), 0);
    }
    key_generate(&p.a.rng, key);
    assert_int_equal(wg_identity_add(p.a.dev, key), ERR_FULL);
    pair_stop(&p);
    (void)state;
}

/* freed with everything pending: a reply, an initiation, a keepalive, events; nothing of it comes out after */
static void freeing_a_busy_peer(void **state)
{
    struct pair p;
    struct datagram d;
    struct wg_event event;

    pair_start(&p);
    connect_by(&p, &p.a);
    p.now += 6 * TS_S;
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    given(&p, &p.b, &d);
    wg_peer_initiate(p.b.peer, p.now + 6 * TS_S);
    wg_peer_free(p.b.peer);
    assert_false(made(&p, &p.b, &d));
    assert_false(wg_device_event(p.b.dev, &event));
    assert_int_equal(wg_device_deadline(p.b.dev), TS_NEVER);
    assert_int_equal(p.b.dev->indices.count, 0);
    assert_int_equal(p.b.dev->keypair_pool.pieces_out + p.b.dev->peer_pool.pieces_out, 0);
    wg_peer_free(NULL);
    pair_stop(&p);
    (void)state;
}

/* indices carry the shard below 24 random bits */
static void index_carries_the_shard(void **state)
{
    struct pair p;
    struct datagram d;
    uint32_t index;

    pair_start(&p);
    wg_peer_initiate(p.a.peer, p.now);
    made(&p, &p.a, &d);
    assert_int_equal(le32_get(d.bytes + 4) & 0xff, 7);
    assert_false(wg_datagram_index(d.bytes, d.len, &index));
    given(&p, &p.b, &d);
    uint32_t asked = le32_get(d.bytes + 4);

    made(&p, &p.b, &d);
    assert_true(wg_datagram_index(d.bytes, d.len, &index));
    assert_int_equal(index, asked);
    pair_stop(&p);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_session),
        cmocka_unit_test(responder_waits_for_confirmation),
        cmocka_unit_test(lost_confirmation_heals),
        cmocka_unit_test(crossing_initiations),
        cmocka_unit_test(renewal_loses_nothing),
        cmocka_unit_test(packets_in_flight_survive_renewal),
        cmocka_unit_test(crossed_sessions_survive_renewal),
        cmocka_unit_test(counter_limits),
        cmocka_unit_test(padding_stops_at_the_mtu),
        cmocka_unit_test(only_authentic_and_new_moves_a_peer),
        cmocka_unit_test(odd_datagrams),
        cmocka_unit_test(half_is_handed_on),
        cmocka_unit_test(foreign_identity),
        cmocka_unit_test(two_identities),
        cmocka_unit_test(initiation_is_lost),
        cmocka_unit_test(identity_is_exchanged),
        cmocka_unit_test(preshared_keys_must_agree),
        cmocka_unit_test(making_peers_and_identities),
        cmocka_unit_test(freeing_a_busy_peer),
        cmocka_unit_test(index_carries_the_shard),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
