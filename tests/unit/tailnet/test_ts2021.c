/* test_ts2021.c - handshakes and records of Tailscale's own code, byte for byte, and every single-bit forgery of a
 * response. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/rng.h"
#include "common/crypto/crypto.h"
#include "common/tailnet/ts2021.h"

static size_t unhex(const json_t *object, const char *name, uint8_t *out, size_t cap)
{
    const char *hex = json_string_value(json_object_get(object, name));

    assert_non_null(hex);
    size_t len = strlen(hex) / 2;

    assert_true(len <= cap);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return len;
}

static void begin(const json_t *c, struct ts2021 *t, uint8_t initiation[TS2021_INITIATION_BYTES])
{
    uint8_t machine[32], server[32], ephemeral[32];

    unhex(c, "client_machine_private", machine, 32);
    unhex(c, "server_static_public", server, 32);
    unhex(c, "client_ephemeral_private", ephemeral, 32);
    assert_int_equal(ts2021_start(t, machine, server, ephemeral,
                                  (uint16_t)json_integer_value(json_object_get(c, "protocol_version")), initiation),
                     0);
}

static void check_records(const json_t *c, struct ts2021 *t)
{
    static uint8_t plain[TS2021_FRAME_MAX], wanted[TS2021_FRAME_MAX], made[TS2021_FRAME_MAX];
    size_t i;
    json_t *record;

    json_array_foreach(json_object_get(c, "records"), i, record)
    {
        bool ours = strcmp(json_string_value(json_object_get(record, "direction")), "client_to_server") == 0;
        uint64_t counter = (uint64_t)json_integer_value(json_object_get(record, "counter"));
        size_t len = unhex(record, "plaintext", plain, sizeof(plain));
        size_t frame = unhex(record, "frame", wanted, sizeof(wanted));

        *(ours ? &t->sent : &t->received) = counter;
        if (ours) {
            assert_int_equal(ts2021_seal(t, made, plain, len), frame);
            assert_memory_equal(made, wanted, frame);
            assert_int_equal(t->sent, counter + 1);
        } else {
            const uint8_t *opened;

            assert_int_equal(ts2021_open(t, wanted, frame, &opened), len);
            assert_memory_equal(opened, plain, len);
            assert_int_equal(ts2021_open(t, wanted, frame, &opened), ERR_CRYPTO); /* twice is a forgery */
        }
    }
    assert_true(i > 0);
}

static void check_case(const json_t *c)
{
    uint8_t initiation[TS2021_INITIATION_BYTES], wanted[TS2021_INITIATION_BYTES], response[TS2021_RESPONSE_BYTES];
    struct ts2021 t;

    begin(c, &t, initiation);
    assert_int_equal(unhex(c, "initiation", wanted, sizeof(wanted)), sizeof(initiation));
    assert_memory_equal(initiation, wanted, sizeof(initiation));
    assert_int_equal(unhex(c, "response", response, sizeof(response)), sizeof(response));
    for (size_t bit = 0; bit < 8 * sizeof(response); bit++) {
        struct ts2021 other = t;

        response[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* the top bit of an X25519 key counts for nothing in the product, but does in the hash */
        assert_int_equal(ts2021_finish(&other, response), ERR_CRYPTO);
        response[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(ts2021_finish(&t, response), 0);
    unhex(c, "handshake_hash", wanted, sizeof(wanted));
    assert_memory_equal(t.hash, wanted, 32);
    unhex(c, "key_client_to_server", wanted, sizeof(wanted));
    assert_memory_equal(t.send_key, wanted, 32);
    unhex(c, "key_server_to_client", wanted, sizeof(wanted));
    assert_memory_equal(t.receive_key, wanted, 32);
    assert_true(crypto_is_zero(t.machine, sizeof(t.machine)));
    check_records(c, &t);
}

static void test_vectors(void **state)
{
    char path[512];
    size_t i;
    json_t *c;

    (void)state;
    snprintf(path, sizeof(path), "%s/ts2021_noise.json", TEST_VECTORS);
    json_t *all = json_load_file(path, 0, NULL);

    assert_non_null(all);
    json_array_foreach(json_object_get(all, "cases"), i, c) check_case(c);
    assert_true(i >= 2);
    json_decref(all);
}

/* a server's key of low order gives everyone the same secrets */
static void test_low_order(void **state)
{
    uint8_t zero[32] = {0}, private_key[32] = {8, [31] = 64}, initiation[TS2021_INITIATION_BYTES];
    struct ts2021 t;

    (void)state;
    assert_int_equal(ts2021_start(&t, private_key, zero, private_key, 113, initiation), ERR_CRYPTO);
}

/* frames come out whole whatever the pieces, and one that can't fit is told at its head */
static void test_frames(void **state)
{
    static uint8_t stream[3 * TS2021_FRAME_MAX];
    static struct ts2021_frames frames;
    const size_t sizes[] = {0, 1, 16, TS2021_FRAME_MAX - TS2021_HEAD_BYTES, 77};
    struct rng rng;
    size_t end = 0;

    (void)state;
    rng_seed(&rng, 4);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        stream[end] = (uint8_t)(i + 1);
        stream[end + 1] = (uint8_t)(sizes[i] >> 8);
        stream[end + 2] = (uint8_t)sizes[i];
        memset(stream + end + 3, (int)i, sizes[i]);
        end += 3 + sizes[i];
    }
    for (unsigned round = 0; round < 200; round++) {
        size_t at = 0, found = 0;

        while (at < end) {
            size_t piece = 1 + (size_t)rng_below(&rng, round % 2 ? 7 : 3000), used;
            int got = ts2021_frames_feed(&frames, stream + at, MIN(piece, end - at), &used);

            at += used;
            if (got == 0)
                continue;
            assert_int_equal(got, 3 + sizes[found]);
            assert_int_equal(frames.bytes[0], ++found);
        }
        assert_int_equal(found, ARRAY_SIZE(sizes));
    }
    size_t used;

    assert_int_equal(ts2021_frames_feed(&frames, (const uint8_t *)"\4\x0f\xfe", 3, &used), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_low_order),
                                       cmocka_unit_test(test_frames)};

    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
