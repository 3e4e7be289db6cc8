/* test_stun.c - requests and answers as Tailscale's own code makes them, and answers that are not quite right. */
#include "tests/unit/tailnet/vectors.h"

#include "common/base/bytes.h"
#include "common/tailnet/stun.h"

static void test_vectors(void **state)
{
    (void)state;
    json_t *all = vectors_load("stun.json");
    uint8_t txid[12], want[64], got[STUN_REQUEST_BYTES], seen[12];
    size_t i;
    const json_t *one;

    unhex(all, "txid", txid, 12);
    assert_int_equal(unhex(all, "request", want, sizeof(want)), STUN_REQUEST_BYTES);
    stun_request(got, txid);
    assert_memory_equal(got, want, STUN_REQUEST_BYTES);
    json_array_foreach(json_object_get(all, "responses"), i, one)
    {
        uint8_t answer[128];
        size_t len = unhex(one, "response", answer, sizeof(answer));
        struct addrport mapped, expected = at(json_string_value(json_object_get(one, "mapped")));

        assert_true(stun_looks_like(answer, len));
        assert_true(stun_answer_parse(answer, len, seen, &mapped));
        assert_memory_equal(seen, txid, 12);
        assert_true(addrport_equal(&mapped, &expected));
        for (size_t cut = 0; cut < len; cut++)
            assert_false(stun_answer_parse(answer, cut, seen, &mapped));
    }
    assert_int_equal(i, 2);
    json_decref(all);
}

/* header and attributes; returns the length */
static size_t answer(uint8_t *out, const void *attributes, size_t len)
{
    memset(out, 0, 20);
    be16_put(out, 0x0101);
    be16_put(out + 2, (uint16_t)len);
    be32_put(out + 4, 0x2112a442);
    memcpy(out + 20, attributes, len);
    return 20 + len;
}

static void test_attributes(void **state)
{
    (void)state;
    static const uint8_t plain[] = {0, 1, 0, 8, 0, 1, 0x12, 0x34, 192, 0, 2, 1};
    static const uint8_t both[] = {0x00, 0x20, 0, 8, 0, 1, 0x33, 0x26, 0xe1, 0x12, 0xa6, 0x41, /* 192.0.2.3:4660 */
                                   0,    1,    0, 8, 0, 1, 0x12, 0x34, 10,   0,    0,    1};
    static const uint8_t padded[] = {0x80, 0x22, 0, 5, 'a', 'b', 'c', 'd', 'e', 0, 0, 0,
                                     0x80, 0x20, 0, 8, 0,   1,   0x33, 0x26, 0xe1, 0x12, 0xa6, 0x41};
    static const uint8_t family[] = {0, 0x20, 0, 8, 0, 3, 0x12, 0x34, 192, 0, 2, 1};
    uint8_t d[128], txid[12];
    struct addrport mapped, v1 = at("192.0.2.1:4660"), v3 = at("192.0.2.3:4660");

    assert_true(stun_answer_parse(d, answer(d, plain, sizeof(plain)), txid, &mapped));
    assert_true(addrport_equal(&mapped, &v1));
    assert_true(stun_answer_parse(d, answer(d, both, sizeof(both)), txid, &mapped));
    assert_true(addrport_equal(&mapped, &v3)); /* the xored one wins, wherever it stands */
    assert_true(stun_answer_parse(d, answer(d, padded, sizeof(padded)), txid, &mapped));
    assert_true(addrport_equal(&mapped, &v3));
    assert_false(stun_answer_parse(d, answer(d, family, sizeof(family)), txid, &mapped));
    assert_false(stun_answer_parse(d, answer(d, plain, 0), txid, &mapped));
    size_t len = answer(d, plain, sizeof(plain));

    d[1] = 0x11; /* an error response: a class we never want */
    d[0] = 0x01;
    assert_false(stun_answer_parse(d, len, txid, &mapped));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_attributes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
