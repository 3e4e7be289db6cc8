/* test_feed_disk.c - rows go to disk and come back; every cut and every changed bit is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/feed/feed_disk.h"
#include "ingress/route/route_diff.h"

static const struct feed_disk_info info = {.point = {7, 9}, .wall_ns = 1234567890};
static uint8_t file[4096];
static size_t file_len;
static const struct route_node *rows[2];

static void make(void)
{
    static const struct addr addresses[] = {{{[0] = 0xfd, [15] = 1}}};
    static const struct addrport endpoints[] = {{{{[0] = 0x20, [15] = 9}}, 41641}};
    static const uint16_t ports[] = {443, 8443};
    static const uint8_t secret[ROUTE_KEY_BYTES] = {9};
    static const struct route_name names[] = {{.name = "*.a.test", .target = "b.test", .target_port = 1},
                                              {.name = "c.test"}};
    const struct route_node full = {.id = "full", .tailnet = "net", .key = {1}, .preshared_key = secret,
                                    .addresses = addresses, .addresses_count = 1, .endpoints = endpoints,
                                    .endpoints_count = 1, .ports = ports, .ports_count = 2, .names = names,
                                    .names_count = 2, .peerapi6 = 2, .mtu = 1400, .admin = true, .keepalive = true,
                                    .consent = ROUTE_CONSENT_ASK, .transport = ROUTE_TCP,
                                    .proxy_protocol = ROUTE_PROXY_V2, .half_close = ROUTE_HALF_CLOSE_PROPAGATE,
                                    .connections_max = 5, .expires = 1ull << 40};
    const struct route_node least = {.id = "least", .tailnet = "", .key = {2}, .mtu = ROUTE_MTU_MIN};
    struct feed_disk disk;

    rows[0] = route_row_new(&full);
    rows[1] = route_row_new(&least);
    feed_disk_init(&disk);
    file_len = feed_disk_write_header(&disk, &info, file, sizeof(file));
    for (size_t i = 0; i < 2; i++) {
        size_t need = feed_disk_write_row(&disk, rows[i], file + file_len, sizeof(file) - file_len);

        assert_true(need > 0);
        file_len += need;
    }
    assert_int_equal(feed_disk_write_end(&disk, file, 3), 0); /* no room: nothing happened */
    file_len += feed_disk_write_end(&disk, file + file_len, sizeof(file) - file_len);
}

/* reads the file through to its end; what went well is the same as what was written */
static enum feed_disk_verdict read_all(const uint8_t *bytes, size_t len)
{
    struct feed_disk_row *row = malloc(sizeof(*row));
    enum feed_disk_verdict verdict;
    struct feed_disk_info got;
    struct feed_disk disk;
    size_t at = 0, used, count = 0;

    assert_non_null(row);
    feed_disk_init(&disk);
    do {
        verdict = feed_disk_read(&disk, bytes + at, len - at, &used, &got, row);
        at += used;
        if (verdict == FEED_DISK_HEADER) {
            assert_int_equal(got.point.revision, info.point.revision);
            assert_int_equal(got.point.origin, info.point.origin);
            assert_int_equal(got.wall_ns, info.wall_ns);
        }
        if (verdict == FEED_DISK_ROW) {
            assert_string_equal(row->node.id, rows[count]->id);
            assert_int_equal(route_node_changed(&row->node, rows[count++]), 0);
        }
    } while (verdict == FEED_DISK_HEADER || verdict == FEED_DISK_ROW);
    if (verdict == FEED_DISK_END)
        assert_int_equal(count, 2);
    free(row);
    return verdict;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    assert_int_equal(read_all(file, file_len), FEED_DISK_END);
}

static void a_cut_file_does_not_end(void **state)
{
    (void)state;
    for (size_t len = 0; len < file_len; len++) {
        uint8_t *exact = malloc(len + 1); /* so that a read beyond it is noticed */

        memcpy(exact, file, len);
        assert_int_equal(read_all(exact, len), FEED_DISK_NEED_MORE);
        free(exact);
    }
}

static void a_changed_bit_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_len; i++) {
        uint8_t copy[sizeof(file)];

        memcpy(copy, file, file_len);
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_int_not_equal(read_all(copy, file_len), FEED_DISK_END);
    }
}

static int set_up(void **state)
{
    (void)state;
    make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    route_node_put(rows[0]);
    route_node_put(rows[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_cut_file_does_not_end),
        cmocka_unit_test(a_changed_bit_is_noticed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
