/* test_vectors.c - the published handshakes, packets, cookie exchange, stamps and replay decisions, byte for byte.
 *
 * The engine draws its ephemeral keys and indices from its generator, so a generator that answers requests of 32 and
 * of 4 bytes with the vector's values makes it repeat the vector's handshake. */
#include "tests/unit/wg/pair.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/wg/wg_stamp.h"

struct script {
    struct rng rng;
    struct rng rest;
    uint8_t ephemeral[32];
    uint32_t index;
};

static void script_fill(struct rng *rng, void *out, size_t len)
{
    struct script *s = container_of(rng, struct script, rng);

    if (len == 32)
        memcpy(out, s->ephemeral, len);
    else if (len == 4)
        memcpy(out, &s->index, len);
    else
        rng_fill(&s->rest, out, len);
}

static void script_init(struct script *s)
{
    *s = (struct script){.rng = {.fill = script_fill}};
    rng_seed(&s->rest, 1);
}

static size_t unhex(const json_t *object, const char *name, void *out, size_t cap)
{
    const char *hex = json_string_value(json_object_get(object, name));
    uint8_t *bytes = out;
    size_t len = hex ? strlen(hex) / 2 : 0;

    assert_non_null(hex);
    assert_true(len <= cap);
    for (size_t i = 0; i < len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return len;
}

static json_t *load(const char *name)
{
    char path[512];
    json_error_t error;

    snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, name);
    json_t *all = json_load_file(path, 0, &error);

    assert_non_null(all);
    return all;
}

#define HEX(name, out) unhex(one, name, out, sizeof(out))

/* one side of a vector's handshake as an `end`, with its own scripted generator */
static void side(struct end *e, struct script *s, const json_t *one, const char *role, const uint8_t peer[32])
{
    struct wg_config config = {.rng = &s->rng, .handshakes_per_s = 1000};
    struct wg_peer_config pc = {0};
    char name[64];
    int err;

    script_init(s);
    snprintf(name, sizeof(name), "%s_static_private", role);
    unhex(one, name, e->private_key, 32);
    snprintf(name, sizeof(name), "%s_static_public", role);
    unhex(one, name, e->public_key, 32);
    snprintf(name, sizeof(name), "%s_ephemeral_private", role);
    unhex(one, name, s->ephemeral, 32);
    snprintf(name, sizeof(name), "%s_index", role);
    s->index = (uint32_t)json_integer_value(json_object_get(one, name));
    e->dev = wg_device_new(&config);
    assert_int_equal(wg_identity_add(e->dev, e->private_key), 0);
    memcpy(pc.public_key, peer, 32);
    memcpy(pc.identity, e->public_key, 32);
    HEX("preshared_key", pc.preshared_key);
    pc.shard = s->index & 0xff;
    e->peer = wg_peer_new(e->dev, &pc, TS_S, &err);
    assert_non_null(e->peer);
}

static void check_packet(struct pair *p, const json_t *one)
{
    bool forth = strcmp(json_string_value(json_object_get(one, "direction")), "initiator_to_responder") == 0;
    struct end *from = forth ? &p->a : &p->b, *to = other(p, from);
    uint8_t packet[256], plain[256], message[256];
    size_t packet_len = HEX("ip_packet", packet), plain_len = HEX("padded_plaintext", plain);
    size_t message_len = HEX("message", message);
    struct datagram d;

    from->peer->keypairs.current->send_counter = strtoull(json_string_value(json_object_get(one, "counter")), NULL, 10);
    memcpy(d.bytes + WG_HEADER_BYTES, packet, packet_len);
    d.len = (size_t)wg_peer_seal(from->peer, d.bytes, packet_len, MTU, p->now);
    assert_int_equal(d.len, message_len);
    assert_memory_equal(d.bytes, message, message_len);
    assert_int_equal(given(p, to, &d), packet_len ? WG_IN_DATA : WG_IN_KEEPALIVE);
    assert_int_equal(to->in.plaintext_len, plain_len);
    assert_memory_equal(to->in.plaintext, plain, plain_len);
    assert_int_equal(given(p, to, &d), WG_IN_DROP_REPLAY);
}

static void handshakes(void **state)
{
    json_t *all = load("wireguard_handshake.json"), *cases = json_object_get(all, "cases"), *one, *packet;
    size_t i, k;

    assert_int_equal(json_array_size(cases), 2);
    json_array_foreach(cases, i, one)
    {
        struct pair p = {.now = TS_S};
        struct script sa, sb;
        struct datagram d;
        uint8_t expect[256], cookie[16];
        size_t len;

        HEX("initiator_static_public", p.a.public_key);
        HEX("responder_static_public", p.b.public_key);
        side(&p.a, &sa, one, "initiator", p.b.public_key);
        side(&p.b, &sb, one, "responder", p.a.public_key);
        if (HEX("cookie_used_for_initiation_mac2", cookie)) {
            memcpy(p.a.peer->jar.cookie, cookie, sizeof(cookie));
            p.a.peer->jar.cookie_until = p.now + 1;
        }
        wg_peer_initiate(p.a.peer, p.now);
        d.len = wg_device_output(p.a.dev, d.bytes, sizeof(d.bytes), &d.out, p.now, 1700000000487000000u);
        len = HEX("message_initiation", expect);
        assert_int_equal(d.len, len);
        assert_memory_equal(d.bytes, expect, len);
        assert_int_equal(given(&p, &p.b, &d), WG_IN_HANDSHAKE);

        assert_true(made(&p, &p.b, &d));
        len = HEX("message_response", expect);
        assert_int_equal(d.len, len);
        assert_memory_equal(d.bytes, expect, len);
        assert_int_equal(given(&p, &p.a, &d), WG_IN_HANDSHAKE);

        HEX("key_initiator_to_responder", expect);
        assert_memory_equal(p.a.peer->keypairs.current->keys.send, expect, 32);
        assert_memory_equal(p.b.peer->keypairs.next->keys.recv, expect, 32);
        HEX("key_responder_to_initiator", expect);
        assert_memory_equal(p.a.peer->keypairs.current->keys.recv, expect, 32);
        assert_memory_equal(p.b.peer->keypairs.next->keys.send, expect, 32);
        json_array_foreach(json_object_get(one, "transport"), k, packet) check_packet(&p, packet);
        assert_int_not_equal(k, 0);
        pair_stop(&p);
    }
    json_decref(all);
    (void)state;
}

static void cookie_exchange(void **state)
{
    json_t *one = load("wireguard_cookie.json");
    uint8_t public_key[32], key[32], expect[148], secret[32], source[6], cookie[16], nonce[24], message[148];
    struct wg_cookie_jar jar = {0};
    struct wg_cookie_message reply;
    struct blake2s_key secret_key;
    struct addrport from;

    HEX("responder_static_public", public_key);
    HEX("mac1_key", expect);
    wg_cookie_mac1_key(public_key, key);
    assert_memory_equal(key, expect, 32);
    HEX("cookie_encryption_key", expect);
    wg_cookie_reply_key(public_key, key);
    assert_memory_equal(key, expect, 32);

    HEX("cookie_secret", secret);
    assert_int_equal(HEX("source_address_bytes", source), 6);
    from = (struct addrport){.addr = addr_v4(source), .port = be16_get(source + 4)};
    blake2s_key_init(&secret_key, secret, sizeof(secret));
    wg_cookie_make(&secret_key, &from, cookie);
    HEX("cookie", expect);
    assert_memory_equal(cookie, expect, 16);

    /* the asker's side: the same message gets the same mac1; then its cookie; then the right mac2 */
    assert_int_equal(HEX("answered_message", message), 148);
    wg_cookie_sign(&jar, public_key, message, sizeof(message), 0);
    HEX("answered_message", expect);
    assert_memory_equal(message, expect, 148);
    HEX("xchacha_nonce", nonce);
    wg_cookie_reply_write(&reply, le32_get(message + 4), cookie, jar.mac1_sent, key, nonce);
    assert_int_equal(HEX("message_cookie_reply", expect), sizeof(reply));
    assert_memory_equal(&reply, expect, sizeof(reply));
    assert_true(wg_cookie_take(&jar, public_key, &reply, 0));
    assert_false(wg_cookie_take(&jar, public_key, &reply, 0)); /* one reply for each mac1 */
    wg_cookie_sign(&jar, public_key, message, sizeof(message), 0);
    HEX("same_initiation_with_mac2", expect);
    assert_memory_equal(message, expect, 148);
    wg_cookie_sign(&jar, public_key, message, sizeof(message), WG_COOKIE_AGE_NS);
    assert_true(crypto_is_zero(message + 132, 16));
    json_decref(one);
    (void)state;
}

static void stamps(void **state)
{
    json_t *all = load("wireguard_misc.json"), *one;
    size_t i;

    json_array_foreach(json_object_get(all, "tai64n"), i, one)
    {
        uint64_t at = (uint64_t)json_integer_value(json_object_get(one, "unix_seconds")) * TS_S +
                      (uint64_t)json_integer_value(json_object_get(one, "nanoseconds"));
        uint8_t expect[12], got[12];

        HEX("tai64n_whitened_as_wireguard_go", expect);
        wg_stamp_write(at ? wg_stamp_after(0, at) : 0, got);
        assert_memory_equal(got, expect, 12);
    }
    assert_int_not_equal(i, 0);
    json_decref(all);
    (void)state;
}

static void replay_window(void **state)
{
    json_t *all = load("wireguard_misc.json"), *one;
    struct wg_replay replay = {0};
    size_t i;

    json_array_foreach(json_object_get(all, "replay"), i, one)
    {
        uint64_t counter = strtoull(json_string_value(json_object_get(one, "counter")), NULL, 10);
        bool accepted = counter < WG_REJECT_AFTER_MESSAGES && wg_replay_take(&replay, counter);

        assert_int_equal(accepted, json_is_true(json_object_get(one, "accept")));
    }
    wg_replay_deinit(&replay);
    assert_int_not_equal(i, 0);
    json_decref(all);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes),
        cmocka_unit_test(cookie_exchange),
        cmocka_unit_test(stamps),
        cmocka_unit_test(replay_window),
    };

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
