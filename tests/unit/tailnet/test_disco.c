/* test_disco.c - disco packets as Tailscale's own code makes them, read and made again byte for byte; and what strangers
 * may send. */
#include "tests/unit/tailnet/vectors.h"

#include "common/crypto/crypto.h"
#include "common/tailnet/datagram.h"
#include "common/tailnet/disco.h"
#include "common/tailnet/stun.h"

struct keys {
    uint8_t a_public[32], b_private[32], a_node[32], shared[32];
};

static struct keys keys_of(const json_t *all)
{
    struct keys k;
    uint8_t shared[32];

    unhex(all, "a_disco_public", k.a_public, 32);
    unhex(all, "b_disco_private", k.b_private, 32);
    unhex(all, "a_node_public", k.a_node, 32);
    unhex(all, "box_beforenm_shared_key", shared, 32);
    assert_int_equal(box_shared(k.shared, k.b_private, k.a_public), 0);
    assert_memory_equal(k.shared, shared, 32);
    return k;
}

/* what the vector says about a message, beside its bytes */
static void fields_match(const json_t *fields, const struct disco_message *m, const struct keys *k)
{
    uint8_t bytes[32];
    const json_t *list = json_object_get(fields, "endpoints");

    if (json_object_get(fields, "txid")) {
        unhex(fields, "txid", bytes, 32);
        assert_memory_equal(bytes, m->txid, DISCO_TXID_BYTES);
    }
    assert_int_equal(m->has_node_key, json_object_get(fields, "node_key") != NULL);
    if (m->has_node_key)
        assert_memory_equal(m->node_key, k->a_node, 32);
    if (json_object_get(fields, "src")) {
        struct addrport want = at(json_string_value(json_object_get(fields, "src")));

        assert_true(addrport_equal(&m->source, &want));
    }
    assert_int_equal(m->endpoints_count, json_array_size(list));
    for (size_t i = 0; i < m->endpoints_count; i++) {
        struct addrport want = at(json_string_value(json_array_get(list, i)));

        assert_true(addrport_equal(&m->endpoints[i], &want));
    }
}

static void test_vectors(void **state)
{
    (void)state;
    json_t *all = vectors_load("disco.json");
    struct keys k = keys_of(all);
    size_t i;
    const json_t *one;

    json_array_foreach(json_object_get(all, "messages"), i, one)
    {
        uint8_t packet[2048], nonce[24], again[DISCO_BYTES_MAX];
        size_t len = unhex(one, "packet", packet, sizeof(packet));
        const json_t *fields = json_object_get(one, "fields");
        struct disco_message m;

        unhex(one, "nonce", nonce, 24);
        assert_int_equal(datagram_kind(packet, len), DATAGRAM_DISCO);
        assert_memory_equal(disco_sender(packet), k.a_public, 32);
        assert_true(disco_open(packet, len, k.shared, &m));
        fields_match(fields, &m, &k);
        if (json_object_get(fields, "zero_bytes_at_end"))
            continue; /* we probe no MTU */
        assert_int_equal(disco_seal(again, &m, k.a_public, nonce, k.shared), len);
        assert_memory_equal(again, packet, len);
        for (size_t cut = DISCO_HEADER_BYTES; cut < len; cut++)
            assert_false(disco_open(packet, cut, k.shared, &m));
        packet[len - 1] ^= 1;
        assert_false(disco_open(packet, len, k.shared, &m));
    }
    assert_true(i >= 8);
    json_decref(all);
}

static void test_later_versions(void **state)
{
    (void)state;
    json_t *all = vectors_load("disco.json");
    uint8_t plain[64];
    size_t len = unhex(all, "accepted_plaintext_with_newer_version_and_trailing_bytes", plain, sizeof(plain));
    struct disco_message m;
    struct addrport want = at("192.0.2.33:41641");

    assert_true(disco_parse(plain, len, &m));
    assert_int_equal(m.type, DISCO_PONG);
    assert_true(addrport_equal(&m.source, &want));
    assert_true(disco_parse((const uint8_t[]){7, 0, 1}, 3, &m));
    assert_int_equal(m.type, DISCO_OTHER);
    json_decref(all);
}

static void test_short(void **state)
{
    (void)state;
    struct disco_message m;
    uint8_t plain[2 + 40 * 18] = {DISCO_PING, 0};

    assert_false(disco_parse(plain, 0, &m));
    assert_false(disco_parse(plain, 1, &m));
    assert_false(disco_parse(plain, 13, &m));
    assert_true(disco_parse(plain, 14 + 31, &m));
    assert_false(m.has_node_key);
    plain[0] = DISCO_PONG;
    assert_false(disco_parse(plain, 14 + 17, &m));
    plain[0] = DISCO_CALL_ME_MAYBE;
    assert_true(disco_parse(plain, 2 + 19, &m));
    assert_int_equal(m.endpoints_count, 0); /* not a multiple of 18 */
    assert_true(disco_parse(plain, sizeof(plain), &m));
    assert_int_equal(m.endpoints_count, DISCO_ENDPOINTS_MAX);
    plain[1] = 1;
    assert_true(disco_parse(plain, sizeof(plain), &m));
    assert_int_equal(m.endpoints_count, 0); /* another version */
}

static void test_kinds(void **state)
{
    (void)state;
    uint8_t d[128] = {1};

    assert_int_equal(datagram_kind(d, 0), DATAGRAM_WIREGUARD);
    assert_int_equal(datagram_kind(d, sizeof(d)), DATAGRAM_WIREGUARD);
    stun_request(d, (const uint8_t *)"twelve bytes");
    assert_int_equal(datagram_kind(d, STUN_REQUEST_BYTES), DATAGRAM_STUN);
    assert_int_equal(datagram_kind(d, 19), DATAGRAM_WIREGUARD);
    memcpy(d, (const uint8_t[]){0, 0, 0x7a, 0x12, 1, 2, 3, 0, 4}, 9);
    assert_int_equal(datagram_kind(d, 40), DATAGRAM_RELAY);
    d[3] = 0x11;
    d[1] = 0x80;
    assert_int_equal(datagram_kind(d, 40), DATAGRAM_RELAY);
    d[7] = 1;
    assert_int_equal(datagram_kind(d, 40), DATAGRAM_WIREGUARD);
    memcpy(d, "TS\xf0\x9f\x92\xac", 6);
    assert_int_equal(datagram_kind(d, 61), DATAGRAM_WIREGUARD);
    assert_int_equal(datagram_kind(d, 62), DATAGRAM_DISCO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_later_versions),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_kinds),
    };

    return crypto_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
