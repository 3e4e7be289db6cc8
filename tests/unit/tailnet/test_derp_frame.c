/* test_derp_frame.c - frames as Tailscale's own client and server make them. */
#include "tests/unit/tailnet/vectors.h"

#include "common/crypto/crypto.h"
#include "common/tailnet/derp_frame.h"

static const json_t *frame_named(const json_t *all, const char *name)
{
    size_t i;
    const json_t *one;

    json_array_foreach(json_object_get(all, "frames"), i, one) if (strcmp(
        json_string_value(json_object_get(one, "name")), name) == 0) return one;
    fail_msg("no frame %s", name);
    return NULL;
}

struct frame {
    uint8_t bytes[512];
    size_t len; /* of the whole */
    uint8_t type;
    size_t body_len;
};

static struct frame frame_of(const json_t *all, const char *name)
{
    struct frame f;

    f.len = unhex(frame_named(all, name), "frame", f.bytes, sizeof(f.bytes));
    assert_true(derp_frame_header_get(f.bytes, &f.type, &f.body_len));
    assert_int_equal(f.body_len, f.len - DERP_FRAME_HEADER);
    return f;
}

static void test_login(void **state)
{
    (void)state;
    json_t *all = vectors_load("derp.json");
    uint8_t node_private[32], node[32], server[32], want[32], shared[32], nonce[24], made[DERP_CLIENT_INFO_MAX];
    struct frame key = frame_of(all, "ServerKey"), info = frame_of(all, "ClientInfo"),
                 answer = frame_of(all, "ServerInfo"), rate = frame_of(all, "ServerInfo with a rate");
    struct derp_server_info got;

    unhex(all, "client_node_private", node_private, 32);
    unhex(all, "client_node_public", node, 32);
    unhex(all, "server_public", want, 32);
    assert_true(derp_server_key_parse(key.bytes + DERP_FRAME_HEADER, key.body_len, server));
    assert_memory_equal(server, want, 32);
    assert_false(derp_server_key_parse(key.bytes + DERP_FRAME_HEADER, key.body_len - 1, server));
    key.bytes[DERP_FRAME_HEADER + 7] ^= 1;
    assert_false(derp_server_key_parse(key.bytes + DERP_FRAME_HEADER, key.body_len, server));

    assert_int_equal(box_shared(shared, node_private, want), 0);
    unhex(frame_named(all, "ClientInfo"), "nonce", nonce, 24);
    assert_int_equal(derp_client_info_make(made, node, nonce, shared), info.len);
    assert_memory_equal(made, info.bytes, info.len);

    assert_true(derp_server_info_parse(answer.bytes + DERP_FRAME_HEADER, answer.body_len, shared, &got));
    assert_int_equal(got.bytes_per_s, 0);
    assert_true(derp_server_info_parse(rate.bytes + DERP_FRAME_HEADER, rate.body_len, shared, &got));
    assert_int_equal(got.bytes_per_s, 100000);
    assert_int_equal(got.bytes_burst, 200000);
    for (size_t len = 0; len < rate.body_len; len++)
        assert_false(derp_server_info_parse(rate.bytes + DERP_FRAME_HEADER, len, shared, &got));
    json_decref(all);
}

/* numbers that nobody means are cut to what can be reckoned with */
static void test_huge_rate(void **state)
{
    static const char json[] = "{\"TokenBucketBytesPerSecond\":18446744073709551615,\"TokenBucketBytesBurst\":99999999999999999999}";
    uint8_t body[BOX_NONCE_BYTES + BOX_TAG_BYTES + sizeof(json)] = {0}, shared[BOX_KEY_BYTES] = {1};
    struct derp_server_info got;

    (void)state;
    box_seal(body + BOX_NONCE_BYTES, (const uint8_t *)json, sizeof(json) - 1, body, shared);
    assert_true(derp_server_info_parse(body, sizeof(body) - 1, shared, &got));
    assert_int_equal(got.bytes_per_s, UINT32_MAX);
    assert_int_equal(got.bytes_burst, UINT32_MAX);
}

static void test_packets(void **state)
{
    (void)state;
    json_t *all = vectors_load("derp.json");
    struct frame send = frame_of(all, "SendPacket"), recv = frame_of(all, "RecvPacket");
    uint8_t head[DERP_SEND_HEADER], peer[32];

    unhex(all, "peer_node_public", peer, 32);
    derp_send_header_put(head, peer, send.body_len - DERP_KEY_BYTES);
    assert_memory_equal(head, send.bytes, sizeof(head));
    assert_int_equal(recv.type, DERP_RECV_PACKET);
    assert_memory_equal(recv.bytes + DERP_FRAME_HEADER, peer, 32);
    assert_int_equal(frame_of(all, "KeepAlive").type, DERP_KEEP_ALIVE);
    assert_int_equal(frame_of(all, "PeerGone, not here").type, DERP_PEER_GONE);
    assert_int_equal(frame_of(all, "Ping").type, DERP_PING);
    assert_int_equal(frame_of(all, "Pong").type, DERP_PONG);
    assert_int_equal(frame_of(all, "Health").type, DERP_HEALTH);
    assert_int_equal(frame_of(all, "NotePreferred true").type, DERP_NOTE_PREFERRED);
    assert_int_equal(frame_of(all, "Restarting (reconnect in 1000 ms, try for 2000 ms)").type, DERP_RESTARTING);
    json_decref(all);
}

static void test_too_long(void **state)
{
    (void)state;
    uint8_t type;
    size_t len;

    assert_true(derp_frame_header_get((const uint8_t[]){5, 0, 0x10, 0, 0}, &type, &len));
    assert_false(derp_frame_header_get((const uint8_t[]){5, 0, 0x10, 0, 1}, &type, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login), cmocka_unit_test(test_huge_rate),
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_too_long),
    };

    return crypto_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
