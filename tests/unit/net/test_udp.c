/* test_udp - what is sent in batches arrives whole, once, and in order at each place it goes to: with GSO and without,
 * around a datagram that the kernel refuses, and beyond what one batch holds. Over loopback. */
#include "common/net/udp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"

#define PLACES 3
#define LEN_MAX 1500

static struct {
    int from, at[PLACES];
    struct endpoint to[PLACES];
    struct udp_sender sender;
    struct udp_receiver receiver;
    unsigned committed[PLACES], arrived[PLACES];
    size_t lens[PLACES][1000];
    int place; /* whose datagrams are read */
} t;

static int open_local(struct addrport *at)
{
    assert_true(addrport_parse("127.0.0.1:0", 11, at));
    int fd = udp_open(at, false);

    assert_true(fd >= 0);
    assert_int_equal(udp_local(fd, at), 0);
    return fd;
}

static int begin(void **state)
{
    struct addrport at;

    (void)state;
    memset(&t, 0, sizeof(t));
    t.from = open_local(&at);
    for (int i = 0; i < PLACES; i++) {
        t.to[i].kind = ENDPOINT_UDP;
        t.at[i] = open_local(&t.to[i].remote);
    }
    assert_int_equal(udp_sender_init(&t.sender, t.from, -1), 0);
    assert_int_equal(udp_receiver_init(&t.receiver), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    udp_sender_deinit(&t.sender);
    udp_receiver_deinit(&t.receiver);
    for (int i = 0; i < PLACES; i++)
        close(t.at[i]);
    close(t.from);
    return 0;
}

/* its bytes say which one it is */
static void commit(int place, size_t len)
{
    uint8_t *room = udp_sender_room(&t.sender, LEN_MAX);

    assert_non_null(room);
    memset(room, (int)t.committed[place], len);
    t.lens[place][t.committed[place]++] = len;
    udp_sender_commit(&t.sender, len, &t.to[place]);
}

static void on_datagram(void *ctx, uint8_t *datagram, size_t len, const struct endpoint *from)
{
    unsigned number = t.arrived[t.place]++;

    (void)ctx;
    (void)from;
    assert_true(number < t.committed[t.place]);
    assert_int_equal(len, t.lens[t.place][number]);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(datagram[i], number & 0xff);
}

static void all_arrived(void)
{
    assert_true(udp_sender_flush(&t.sender));
    for (t.place = 0; t.place < PLACES; t.place++) {
        assert_int_equal(udp_receive(&t.receiver, t.at[t.place], 1000, on_datagram, NULL), 0);
        assert_int_equal(t.arrived[t.place], t.committed[t.place]);
    }
}

/* trains to one place and to others, each ended by what is longer, by a shorter one, or by another place */
static void several(void)
{
    static const struct {
        int place;
        size_t len;
    } sent[] = {{0, 300}, {0, 300}, {0, 100}, {0, 100}, {0, 700}, {1, 50}, {2, 50}, {2, 50}, {0, 50}, {1, 1200}, {1, 1200}};

    for (size_t i = 0; i < ARRAY_SIZE(sent); i++)
        commit(sent[i].place, sent[i].len);
    all_arrived();
    assert_int_equal(t.sender.sent, ARRAY_SIZE(sent));
    assert_int_equal(t.sender.failed, 0);
    assert_int_equal(t.sender.send_calls, 1);
}

static void in_one_call(void **state)
{
    (void)state;
    several();
}

static void without_gso(void **state)
{
    (void)state;
    t.sender.gso4 = false;
    several();
}

/* the kernel refuses port 0, and an address of a family without a socket never gets to it */
static void refused(void **state)
{
    struct endpoint nowhere = t.to[0], no_socket = t.to[0];

    (void)state;
    nowhere.remote.port = 0;
    assert_true(addrport_parse("[::1]:9", 7, &no_socket.remote));
    for (int gso = 0; gso < 2; gso++) {
        t.sender.gso4 = gso;
        commit(0, 100);
        for (int i = 0; i < 2; i++) {
            memset(udp_sender_room(&t.sender, LEN_MAX), 0, 100);
            udp_sender_commit(&t.sender, 100, &nowhere);
        }
        commit(1, 100);
        memset(udp_sender_room(&t.sender, LEN_MAX), 0, 100);
        udp_sender_commit(&t.sender, 100, &no_socket);
        commit(2, 100);
        all_arrived();
    }
    assert_int_equal(t.sender.failed, 6);
    assert_int_equal(t.sender.sent, 6);
}

static void a_way_without_gso_is_one_way(void **state)
{
    struct endpoint nowhere = t.to[0];

    (void)state;
    assert_true(addrport_parse("127.0.0.9:0", 11, &nowhere.remote));
    for (int i = 0; i < 2; i++) {
        memset(udp_sender_room(&t.sender, LEN_MAX), 0, 100);
        udp_sender_commit(&t.sender, 100, &nowhere);
    }
    assert_true(udp_sender_flush(&t.sender));
    assert_int_equal(t.sender.send_calls, 3); /* the train, and each of them */
    for (int i = 0; i < 2 * UDP_TRAIN_MAX; i++)
        commit(0, 20);
    all_arrived();
    assert_int_equal(t.sender.send_calls, 4);
    for (int i = 0; i < 2; i++) {
        memset(udp_sender_room(&t.sender, LEN_MAX), 0, 100);
        udp_sender_commit(&t.sender, 100, &nowhere);
    }
    assert_true(udp_sender_flush(&t.sender));
    assert_int_equal(t.sender.send_calls, 6); /* no train is tried again */
    assert_int_equal(t.sender.failed, 4);
}

static void more_than_a_batch(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * UDP_TRAINS_MAX; i++)
        commit(i % PLACES, 10);
    all_arrived();
    for (int i = 0; i < 200; i++) /* bytes, and segments of a train */
        commit(0, 1280);
    all_arrived();
    for (int i = 0; i < 200; i++)
        commit(0, 20);
    all_arrived();
    for (int i = 0; i < 120; i++) /* long trains, each on its own */
        commit(i / 20 % 2, 1400);
    all_arrived();
    assert_int_equal(t.sender.sent, 3 * UDP_TRAINS_MAX + 520);
    assert_in_range(t.sender.send_calls, 3 + 4 + 1 + 6, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_one_call, begin, end),
        cmocka_unit_test_setup_teardown(without_gso, begin, end),
        cmocka_unit_test_setup_teardown(refused, begin, end),
        cmocka_unit_test_setup_teardown(a_way_without_gso_is_one_way, begin, end),
        cmocka_unit_test_setup_teardown(more_than_a_batch, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
