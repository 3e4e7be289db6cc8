/* Offers as an ingress makes them: two TCP stacks joined by a wire without loss, the node's offers behind one of them,
 * a real listening socket as the local service. The loop is turned until what a test waits for is true. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/net/stream.h"
#include "common/peerapi/peerapi.h"
#include "common/proxy/proxy.h"
#include "node/offers.h"

#define PATIENCE (10 * TS_S)
#define ACCEPTED "HTTP/1.1 101 Switching Protocols\r\nFunnel-Half-Close: propagate\r\n\r\n"

static struct world {
    struct loop loop;
    struct pool pool;
    struct rng rng;
    struct tcp_stack *ingress, *node;
    struct tcp_peer to_node, to_ingress;
    struct tcp_conn *conn; /* the ingress's */
    unsigned flags;
    int error;
    struct resolver *resolver;
    struct setup *setup;
    struct offers offers;
    int listener, service; /* the local service: listening, and the connection it has accepted */
    struct loop_timer tick;
} w;

static const struct addr ingress_addr = {{0xfd, 1, [15] = 1}}, node_addr = {{0xfd, 1, [15] = 2}};

/* ---- the world ---- */

static bool carry(struct tcp_stack *from, struct tcp_stack *to, struct tcp_peer *peer, ts_t now)
{
    uint8_t packet[2048];
    struct tcp_peer *whom;
    size_t len;
    bool any = false;

    while ((len = tcp_stack_output(from, packet, sizeof(packet), &whom, now)) > 0) {
        tcp_stack_input(to, peer, packet, len, now);
        any = true;
    }
    return any;
}

static ts_t flush(void *ctx, ts_t now)
{
    struct tcp_event event;
    bool any;

    (void)ctx;
    tcp_stack_expire(w.ingress, now);
    tcp_stack_expire(w.node, now);
    do {
        any = carry(w.ingress, w.node, &w.to_ingress, now) | carry(w.node, w.ingress, &w.to_node, now);
        for (; tcp_stack_event(w.node, &event); any = true)
            offers_event(&w.offers, &event, now);
        for (; tcp_stack_event(w.ingress, &event); any = true) {
            w.flags |= event.flags;
            w.error = event.error ? event.error : w.error;
        }
    } while (any);
    return ts_min(tcp_stack_deadline(w.ingress), tcp_stack_deadline(w.node));
}

static void on_tick(struct loop_timer *timer, ts_t now)
{
    loop_timer_arm(&w.loop, timer, ts_add(now, TS_MS));
}

#define wait_until(condition)                                                                                          \
    do {                                                                                                               \
        ts_t wait_end_ = ts_add(loop_now(), PATIENCE);                                                                 \
        flush(NULL, loop_now());                                                                                       \
        while (!(condition)) {                                                                                         \
            assert_true(loop_now() < wait_end_);                                                                       \
            uv_run(&w.loop.uv, UV_RUN_ONCE);                                                                           \
        }                                                                                                              \
    } while (0)

static void turn_for(uint64_t ns)
{
    ts_t end = ts_add(loop_now(), ns);

    flush(NULL, loop_now());
    while (loop_now() < end)
        uv_run(&w.loop.uv, UV_RUN_ONCE);
}

/* a port on which nobody listens */
static uint16_t dead_port(void)
{
    struct addrport at = {.addr = {{[10] = 0xff, 0xff, 127, 0, 0, 1}}};
    int fd = stream_listen(&at, 1, false);

    assert_int_equal(stream_local(fd, &at), 0);
    close(fd);
    return at.port;
}

static struct setup *make_setup(uint16_t port)
{
    static const char format[] =
        "key_file: node.key\n"
        "ingresses: [{name: a, public_key: \"Ht4AEuMMTlETxcKSGXpCVUdcAH4DMj+VSE6ROTRvzlQ=\"}]\n"
        "services:\n"
        "  - {name: plain.test, ports: [443], funnel: on, forward: \"127.0.0.1:%u\"}\n"
        "  - {name: v1.test, ports: [443], funnel: on, forward: \"127.0.0.1:%u\", proxy_protocol: v1}\n"
        "  - {name: v2.test, ports: [443], funnel: on, forward: \"127.0.0.1:%u\", proxy_protocol: v2}\n"
        "  - {name: dead.test, ports: [443], funnel: on, forward: \"127.0.0.1:%u\"}\n"
        "  - {name: named.test, ports: [443], funnel: on, forward: \"localhost:%u\"}\n"
        "  - {name: off.test, ports: [443], forward: \"127.0.0.1:%u\"}\n";
    static struct config_errors errors;
    struct setup *s = calloc(1, sizeof(*s));
    char text[2048];
    unsigned p = port;
    int n = snprintf(text, sizeof(text), format, p, p, p, (unsigned)dead_port(), p, p);

    config_errors_init(&errors);
    if (node_config_load("test.yaml", text, (size_t)n, &errors, &s->config) != 0)
        fail_msg("%s", errors.line[0]);
    s->references = 1;
    s->addrs_count = 1;
    s->addrs = malloc(sizeof(node_addr));
    s->addrs[0] = node_addr;
    s->tls = calloc(s->config->services_count, sizeof(*s->tls));
    return s;
}

static int setup(void **state)
{
    struct tcp_config config;
    struct addrport at = {.addr = {{[10] = 0xff, 0xff, 127, 0, 0, 1}}};

    (void)state;
    memset(&w, 0, sizeof(w));
    w.service = -1;
    rng_seed(&w.rng, 7);
    pool_init(&w.pool, 16384, 256, 16);
    tcp_config_default(&config);
    config.rng = &w.rng;
    config.pool = &w.pool;
    w.ingress = tcp_stack_new(&config);
    w.node = tcp_stack_new(&config);
    tcp_peer_init(&w.to_node, w.ingress, NULL, 1280);
    tcp_peer_init(&w.to_ingress, w.node, NULL, 1280);
    assert_int_equal(loop_init(&w.loop, flush, NULL), 0);
    loop_timer_init(&w.tick, on_tick);
    loop_timer_arm(&w.loop, &w.tick, loop_now());
    w.listener = stream_listen(&at, 8, false);
    assert_int_equal(stream_local(w.listener, &at), 0);
    w.setup = make_setup(at.port);
    w.resolver = resolver_new(&w.loop);
    assert_non_null(w.resolver);
    assert_int_equal(offers_init(&w.offers, &w.loop, w.node, w.resolver, w.setup), 0);
    return 0;
}

static int teardown(void **state)
{
    ts_t now = loop_now();

    (void)state;
    tcp_abort(w.conn, now);
    if (w.service >= 0)
        close(w.service);
    close(w.listener);
    offers_drain(&w.offers, now);
    offers_stop(&w.offers, now);
    wait_until(w.offers.count == 0);
    offers_deinit(&w.offers);
    resolver_free(w.resolver);
    loop_timer_arm(&w.loop, &w.tick, TS_NEVER);
    loop_deinit(&w.loop);
    tcp_peer_deinit(&w.to_node, now);
    tcp_peer_deinit(&w.to_ingress, now);
    tcp_stack_free(w.ingress);
    tcp_stack_free(w.node);
    assert_int_equal(w.pool.chunks_out, 0);
    pool_deinit(&w.pool);
    setup_put(w.setup);
    return 0;
}

/* ---- steps ---- */

static void dial(void)
{
    struct tcp_dial to = {
        .peer = &w.to_node, .local = ingress_addr, .remote = {node_addr, w.setup->config->peerapi_port}};
    int err;

    w.flags = 0;
    w.conn = tcp_connect(w.ingress, &to, &err, loop_now());
    assert_non_null(w.conn);
    wait_until(w.flags & (TCP_EVENT_CONNECTED | TCP_EVENT_CLOSED));
}

static void say(const char *text)
{
    assert_int_equal(tcp_write(w.conn, text, strlen(text), loop_now()), strlen(text));
}

static void offer(const char *name)
{
    struct addrport visitor;
    char text[PEERAPI_REQUEST_BYTES];

    assert_true(addrport_parse("203.0.113.5:40000", 17, &visitor));
    size_t len = peerapi_request_write(text, sizeof(text), &visitor, name, strlen(name), 443);

    assert_int_equal(tcp_write(w.conn, text, len, loop_now()), len);
}

/* exactly these bytes come next on the inner connection */
static void hear(const char *text)
{
    size_t len = strlen(text), bytes, got = 0;
    char heard[1024];
    struct iovec iov;

    wait_until(tcp_readable(w.conn) >= len);
    while (got < len) {
        assert_int_equal(tcp_read_iov(w.conn, &iov, 1, &bytes), 1);
        size_t part = MIN(iov.iov_len, len - got);

        memcpy(heard + got, iov.iov_base, part);
        tcp_consume(w.conn, part, loop_now());
        got += part;
    }
    heard[len] = 0;
    assert_string_equal(heard, text);
}

static void hear_refusal(enum peerapi_refusal refusal, bool keep_alive)
{
    char text[PEERAPI_REPLY_BYTES + 1];
    size_t len = peerapi_refuse_write(text, PEERAPI_REPLY_BYTES, refusal, keep_alive);

    text[len] = 0;
    hear(text);
}

static bool service_accepts(void)
{
    struct addrport client;

    w.service = stream_accept(w.listener, &client);
    return w.service >= 0;
}

static size_t service_hears(uint8_t *out, size_t cap)
{
    ssize_t n = recv(w.service, out, cap, MSG_DONTWAIT);

    if (n < 0)
        assert_int_equal(errno, EAGAIN);
    return n > 0 ? (size_t)n : 0;
}

static bool service_hears_text(const char *text)
{
    uint8_t got[256];
    size_t len = service_hears(got, sizeof(got));

    if (len == 0)
        return false;
    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, len);
    return true;
}

/* the stream works both ways */
static void talk(void)
{
    say("question");
    wait_until(service_hears_text("question"));
    assert_int_equal(send(w.service, "answer", 6, MSG_NOSIGNAL), 6);
    hear("answer");
}

/* ---- cases ---- */

static void test_accepted(void **state)
{
    (void)state;
    dial();
    offer("plain.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    talk();
    tcp_shutdown(w.conn, loop_now());
    wait_until(recv(w.service, &(char){0}, 1, MSG_DONTWAIT) == 0);
    assert_int_equal(send(w.service, "last", 4, MSG_NOSIGNAL), 4);
    hear("last");
    close(w.service);
    w.service = -1;
    wait_until(tcp_eof(w.conn));
    wait_until(w.offers.count == 0);
}

static void test_service_by_name(void **state)
{
    (void)state;
    dial();
    offer("named.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    talk();
}

/* the visitor's family has no address of ours: the loopback address stands for it, as with stock nodes */
static void test_proxy_v1(void **state)
{
    char expected[PROXY_V1_BYTES + 1];
    struct addrport at;

    (void)state;
    assert_int_equal(stream_local(w.listener, &at), 0);
    snprintf(expected, sizeof(expected), "PROXY TCP4 203.0.113.5 127.0.0.1 40000 %u\r\n", (unsigned)at.port);
    dial();
    offer("v1.test");
    wait_until(service_accepts());
    wait_until(service_hears_text(expected));
    hear(ACCEPTED);
    talk();
}

static void test_proxy_v2(void **state)
{
    uint8_t got[256];
    size_t len = 0;
    struct proxy_header header;
    char text[ADDRPORT_STR];

    (void)state;
    dial();
    offer("v2.test");
    wait_until(service_accepts());
    wait_until((len = service_hears(got, sizeof(got))) > 0);
    assert_int_equal(proxy_parse(got, len, &header), PROXY_OK);
    assert_int_equal(header.consumed, len);
    assert_string_equal(addrport_format(&header.src, text), "203.0.113.5:40000");
    hear(ACCEPTED);
    talk();
}

static void test_refused_then_accepted(void **state)
{
    (void)state;
    dial();
    offer("unknown.test");
    hear_refusal(PEERAPI_REFUSE_DENIED, true);
    offer("off.test");
    hear_refusal(PEERAPI_REFUSE_DENIED, true);
    offer("dead.test");
    hear_refusal(PEERAPI_REFUSE_BACKEND, true);
    offer("plain.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    talk();
}

static void test_garbage_is_answered_and_ended(void **state)
{
    (void)state;
    dial();
    say("\x16\x03\x01 this is no request\r\n\r\n");
    hear_refusal(PEERAPI_REFUSE_MALFORMED, false);
    wait_until(tcp_eof(w.conn) || (w.flags & TCP_EVENT_CLOSED));
    wait_until(w.offers.count == 0);
}

static void test_request_in_pieces(void **state)
{
    char text[PEERAPI_REQUEST_BYTES];
    struct addrport visitor;

    (void)state;
    assert_true(addrport_parse("[2001:db8::7]:50000", 19, &visitor));
    size_t len = peerapi_request_write(text, sizeof(text), &visitor, "plain.test", 10, 443);

    dial();
    for (size_t i = 0; i < len; i++) {
        tcp_write(w.conn, text + i, 1, loop_now());
        flush(NULL, loop_now());
    }
    wait_until(service_accepts());
    hear(ACCEPTED);
    talk();
}

static void test_early_data_is_dropped(void **state)
{
    (void)state;
    dial();
    offer("plain.test");
    say("too early");
    wait_until(service_accepts());
    hear(ACCEPTED);
    talk();
}

/* what comes after the request and before its answer belongs to it, however late: a refusal is then the last word */
static void test_early_data_is_no_request(void **state)
{
    struct addrport visitor;
    char text[PEERAPI_REQUEST_BYTES + 1];

    (void)state;
    assert_true(addrport_parse("203.0.113.5:40000", 17, &visitor));
    text[peerapi_request_write(text, sizeof(text) - 1, &visitor, "plain.test", 10, 443)] = 0;
    dial();
    offer("dead.test");
    flush(NULL, loop_now()); /* it is being dialled */
    say("early data, and this is of it, too: ");
    flush(NULL, loop_now());
    hear_refusal(PEERAPI_REFUSE_BACKEND, false);
    say(text);
    wait_until(w.offers.count == 0);
    turn_for(20 * TS_MS);
    assert_false(service_accepts());
}

static void test_visitor_gone_before_the_answer(void **state)
{
    (void)state;
    dial();
    offer("plain.test");
    tcp_shutdown(w.conn, loop_now());
    wait_until(w.offers.count == 0);
    turn_for(50 * TS_MS);
}

static void test_reset_reaches_the_service(void **state)
{
    (void)state;
    dial();
    offer("plain.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    tcp_abort(w.conn, loop_now());
    w.conn = NULL;
    wait_until(recv(w.service, &(char){0}, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
}

/* the ingress disappears as a peer, with streams in every state */
static void test_peer_gone(void **state)
{
    struct tcp_conn *silent;

    (void)state;
    dial();
    silent = w.conn;
    dial();
    offer("plain.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    assert_int_equal(w.offers.count, 2);
    tcp_peer_deinit(&w.to_ingress, loop_now());
    wait_until(w.offers.count == 0);
    wait_until(recv(w.service, &(char){0}, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
    tcp_peer_init(&w.to_ingress, w.node, NULL, 1280);
    tcp_abort(silent, loop_now());
}

static void test_reload(void **state)
{
    struct setup *next = make_setup(dead_port());

    (void)state;
    dial();
    offer("plain.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    offers_setup(&w.offers, next);
    setup_put(next);
    talk(); /* the live stream goes on */
    struct tcp_conn *live = w.conn;

    dial();
    offer("plain.test");
    hear_refusal(PEERAPI_REFUSE_BACKEND, true);
    tcp_abort(live, loop_now());
}

static void test_drain(void **state)
{
    (void)state;
    dial();
    struct tcp_conn *waiting = w.conn;

    dial();
    offer("plain.test");
    wait_until(service_accepts());
    hear(ACCEPTED);
    offers_drain(&w.offers, loop_now());
    assert_int_equal(w.offers.count, 1);
    talk();
    struct tcp_conn *live = w.conn;

    dial();
    assert_true(w.flags & TCP_EVENT_CLOSED);
    assert_int_equal(w.error, -ECONNREFUSED);
    tcp_abort(waiting, loop_now());
    tcp_abort(live, loop_now());
    wait_until(w.offers.count == 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_accepted),
        CASE(test_service_by_name),
        CASE(test_proxy_v1),
        CASE(test_proxy_v2),
        CASE(test_refused_then_accepted),
        CASE(test_garbage_is_answered_and_ended),
        CASE(test_request_in_pieces),
        CASE(test_early_data_is_dropped),
        CASE(test_early_data_is_no_request),
        CASE(test_visitor_gone_before_the_answer),
        CASE(test_reset_reaches_the_service),
        CASE(test_peer_gone),
        CASE(test_reload),
        CASE(test_drain),
    };

    return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}
