/* test_ip.c - packets and TCP headers: what is written is read back, what is not plain is refused by reason, and no
 * length makes the parsers read past the end. */
#include "common/ip/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/rng.h"
#include "common/ip/checksum.h"
#include "common/ip/tcp_header.h"

static struct addr address(const char *text)
{
    struct addr a;

    assert_true(addr_parse(text, strlen(text), &a));
    return a;
}

static void checksum_naive(void **state)
{
    uint8_t bytes[257];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (int round = 0; round < 2000; round++) {
        size_t len = rng_below(&rng, sizeof(bytes)), cut = rng_below(&rng, len / 2 + 1) * 2;
        uint32_t sum = 0;

        rng_fill(&rng, bytes, len);
        if (round % 3 == 0)
            memset(bytes, 0xff, len);
        for (size_t i = 0; i < len; i++)
            sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
        while (sum >> 16)
            sum = (sum >> 16) + (sum & 0xffff);
        assert_int_equal(checksum_fold(checksum_add(0, bytes, len)), (uint16_t)~sum);
        assert_int_equal(checksum_fold(checksum_add(checksum_add(0, bytes, cut), bytes + cut, len - cut)),
                         (uint16_t)~sum);
    }
}

/* the example of RFC 1071 section 3 */
static void checksum_rfc1071(void **state)
{
    const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    (void)state;
    assert_int_equal(checksum_fold(checksum_add(0, bytes, sizeof(bytes))), (uint16_t)~0xddf2);
}

static void round_trip(void **state)
{
    const char *pairs[][2] = {{"100.64.0.1", "100.64.0.2"}, {"fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct addr src = address(pairs[i][0]), dst = address(pairs[i][1]);
        uint8_t buf[128] = {0};
        size_t header = ip_header_write(buf, &src, &dst, IP_PROTOCOL_UDP, 33);
        struct ip_packet p;

        assert_int_equal(header, ip_header_len(&src));
        for (size_t len = 0; len < header + 33; len++)
            assert_int_equal(ip_parse(buf, len, &p), ERR_TRUNCATED);
        assert_int_equal(ip_parse(buf, header + 33 + 11, &p), 0); /* padded: cut */
        assert_int_equal(p.len, header + 33);
        assert_int_equal(p.payload_len, 33);
        assert_ptr_equal(p.payload, buf + header);
        assert_int_equal(p.protocol, IP_PROTOCOL_UDP);
        assert_true(addr_equal(&p.src, &src) && addr_equal(&p.dst, &dst));
    }
}

static void v4_sum(uint8_t *buf)
{
    be16_put(buf + 10, 0);
    be16_put(buf + 10, checksum_fold(checksum_add(0, buf, 20)));
}

static void refused_v4(void **state)
{
    static const struct {
        int at;
        uint8_t value;
        int err;
    } cases[] = {
        {0, 0x46, ERR_INVALID},   /* options */
        {0, 0x44, ERR_INVALID},   /* header too short */
        {0, 0x75, ERR_INVALID},   /* no such version */
        {6, 0x20, ERR_TOO_LARGE}, /* more fragments */
        {7, 0x01, ERR_TOO_LARGE}, /* a fragment's offset */
        {3, 19, ERR_INVALID},     /* total length below the header's */
        {3, 200, ERR_TRUNCATED},
    };
    struct addr src = address("10.0.0.1"), dst = address("10.0.0.2");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[64] = {0};
        struct ip_packet p;

        ip_header_write(buf, &src, &dst, IP_PROTOCOL_TCP, 20);
        buf[cases[i].at] = cases[i].value;
        v4_sum(buf);
        assert_int_equal(ip_parse(buf, 40, &p), cases[i].err);
    }
    uint8_t buf[64] = {0};
    struct ip_packet p;

    ip_header_write(buf, &src, &dst, IP_PROTOCOL_TCP, 20);
    buf[11] ^= 1;
    assert_int_equal(ip_parse(buf, 40, &p), ERR_INVALID);
}

static void refused_v6(void **state)
{
    static const uint8_t extensions[] = {0, 43, 50, 51, 59, 60, 135, 139, 140};
    struct addr src = address("fd00::1"), dst = address("fd00::2");
    uint8_t buf[64] = {0};
    struct ip_packet p;

    (void)state;
    ip_header_write(buf, &src, &dst, IP_PROTOCOL_TCP, 20);
    for (size_t i = 0; i < sizeof(extensions); i++) {
        buf[6] = extensions[i];
        assert_int_equal(ip_parse(buf, 60, &p), ERR_INVALID);
    }
    buf[6] = 44;
    assert_int_equal(ip_parse(buf, 60, &p), ERR_TOO_LARGE);
    buf[6] = IP_PROTOCOL_TCP;
    memset(buf + 8, 0, 10); /* ::ffff:a.b.c.d as an IPv6 address */
    memset(buf + 18, 0xff, 2);
    assert_int_equal(ip_parse(buf, 60, &p), ERR_INVALID);
}

static void headers_round_trip(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 2);
    for (int round = 0; round < 2000; round++) {
        struct tcp_header h = {
            .src_port = (uint16_t)rng_u32(&rng),
            .dst_port = (uint16_t)rng_u32(&rng),
            .seq = rng_u32(&rng),
            .ack = rng_u32(&rng),
            .flags = (uint8_t)rng_u32(&rng),
            .window = (uint16_t)rng_u32(&rng),
        };
        bool syn = rng_below(&rng, 2);

        if (syn && rng_below(&rng, 2))
            h.mss = (uint16_t)(1 + rng_below(&rng, 65535));
        if (syn && rng_below(&rng, 2)) {
            h.has_window_shift = true;
            h.window_shift = (uint8_t)rng_below(&rng, 15);
        }
        h.sack_permitted = syn && rng_below(&rng, 2);
        if (rng_below(&rng, 2)) {
            h.has_timestamp = true;
            h.ts_value = rng_u32(&rng);
            h.ts_echo = rng_u32(&rng);
        }
        if (!syn)
            h.sack_count = (uint8_t)rng_below(&rng, h.has_timestamp ? 4 : 5);
        for (int i = 0; i < h.sack_count; i++) {
            h.sack[i].start = rng_u32(&rng);
            h.sack[i].end = rng_u32(&rng);
        }
        uint8_t buf[TCP_HEADER_MAX + 5] = {0};
        struct tcp_header back;
        const uint8_t *payload;
        size_t payload_len, len = tcp_header_write(&h, buf);

        assert_int_equal(tcp_header_parse(buf, len + 5, &back, &payload, &payload_len), 0);
        assert_int_equal(payload_len, 5);
        assert_ptr_equal(payload, buf + len);
        assert_memory_equal(&h, &back, sizeof(h));
    }
}

static void options_bad(void **state)
{
    static const struct {
        uint8_t options[8];
        int err;
    } cases[] = {
        {{2, 4, 5, 0xb4, 1, 1, 1, 1}, 0},
        {{0, 9, 9, 9, 9, 9, 9, 9}, 0},            /* nothing after the end counts */
        {{2, 0, 1, 1, 1, 1, 1, 1}, ERR_INVALID},  /* length that stands still */
        {{2, 1, 1, 1, 1, 1, 1, 1}, ERR_INVALID},
        {{1, 1, 1, 1, 1, 1, 1, 2}, ERR_INVALID},  /* a kind without a length */
        {{8, 10, 1, 1, 1, 1, 1, 1}, ERR_INVALID}, /* longer than the header */
        {{254, 8, 1, 1, 1, 1, 1, 1}, 0},          /* unknown */
        {{3, 4, 7, 7, 1, 1, 1, 1}, 0},            /* known, but of the wrong length: ignored */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *buf = calloc(1, 28);
        struct tcp_header h;
        const uint8_t *payload;
        size_t len;

        buf[12] = 7 << 4;
        memcpy(buf + 20, cases[i].options, 8);
        assert_int_equal(tcp_header_parse(buf, 28, &h, &payload, &len), cases[i].err);
        if (i == 0)
            assert_int_equal(h.mss, 1460);
        if (i == 7)
            assert_false(h.has_window_shift);
        assert_int_equal(tcp_header_parse(buf, 27, &h, &payload, &len), ERR_TRUNCATED);
        buf[12] = 4 << 4;
        assert_int_equal(tcp_header_parse(buf, 28, &h, &payload, &len), ERR_INVALID);
        free(buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_naive),     cmocka_unit_test(checksum_rfc1071), cmocka_unit_test(round_trip),
        cmocka_unit_test(refused_v4),         cmocka_unit_test(refused_v6),       cmocka_unit_test(headers_round_trip),
        cmocka_unit_test(options_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
