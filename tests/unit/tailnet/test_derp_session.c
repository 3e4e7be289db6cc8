/* test_derp_session.c - a session against a scripted server whose frames are Tailscale's own, in one piece and byte by
 * byte; limits, rates, and what a bad server may say. */
#include "tests/unit/tailnet/vectors.h"

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/crypto.h"
#include "common/tailnet/derp_session.h"

struct world {
    json_t *all;
    struct derp_session *session;
    struct rng rng;
    uint8_t node_private[32], node[32], server[32], shared[32], peer[32];
    ts_t now;
    uint8_t sent[1 << 18]; /* by the session, so far */
    size_t sent_len;
    struct derp_event events[64];
    size_t events_count;
};

static struct world *open_world(void)
{
    struct world *w = calloc(1, sizeof(*w));

    w->all = vectors_load("derp.json");
    rng_seed(&w->rng, 5);
    unhex(w->all, "client_node_private", w->node_private, 32);
    unhex(w->all, "client_node_public", w->node, 32);
    unhex(w->all, "server_public", w->server, 32);
    unhex(w->all, "peer_node_public", w->peer, 32);
    assert_int_equal(box_shared(w->shared, w->node_private, w->server), 0);
    w->now = TS_S;
    const struct derp_session_config config = {
        .rng = &w->rng, .node_private = w->node_private, .node_public = w->node, .host = "derp.example.com:8443"};

    w->session = derp_session_new(&config, w->now);
    assert_non_null(w->session);
    return w;
}

static void close_world(struct world *w)
{
    derp_session_free(w->session);
    json_decref(w->all);
    free(w);
}

/* what the session wants to send, taken in pieces of at most `piece` */
static void pull(struct world *w, size_t piece)
{
    const uint8_t *bytes;
    size_t len;

    while ((bytes = derp_session_output(w->session, &len))) {
        len = MIN(len, piece);
        assert_true(w->sent_len + len <= sizeof(w->sent));
        memcpy(w->sent + w->sent_len, bytes, len);
        w->sent_len += len;
        derp_session_sent(w->session, len);
    }
}

static void feed(struct world *w, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len > 0) {
        struct derp_event event;
        size_t used = derp_session_input(w->session, at, len, &event, w->now);

        assert_true(used <= len && (used > 0 || event.kind != DERP_EVENT_NONE));
        at += used;
        len -= used;
        if (event.kind != DERP_EVENT_NONE)
            w->events[w->events_count++] = event;
    }
}

static void feed_in(struct world *w, const void *bytes, size_t len, size_t piece)
{
    for (size_t i = 0; i < len; i += piece)
        feed(w, (const uint8_t *)bytes + i, MIN(piece, len - i));
}

static size_t vector_frame(const struct world *w, const char *name, uint8_t *out, size_t cap)
{
    size_t i;
    const json_t *one;

    json_array_foreach(json_object_get(w->all, "frames"), i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
            return unhex(one, "frame", out, cap);
    }
    fail();
    return 0;
}

/* the server's side up to the login */
static size_t greeting(const struct world *w, uint8_t *out, size_t cap, const char *info)
{
    const char *http = json_string_value(json_object_get(w->all, "http_upgrade_response_example"));
    size_t len = strlen(http);

    memcpy(out, http, len);
    len += vector_frame(w, "ServerKey", out + len, cap - len);
    return len + vector_frame(w, info, out + len, cap - len);
}

static void log_in(struct world *w, const char *info)
{
    uint8_t bytes[1024];
    size_t len = greeting(w, bytes, sizeof(bytes), info);

    pull(w, SIZE_MAX);
    feed(w, bytes, len);
    assert_int_equal(w->events_count, 1);
    assert_int_equal(w->events[0].kind, DERP_EVENT_UP);
    pull(w, SIZE_MAX);
    w->events_count = w->sent_len = 0;
}

static void test_login(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 7, 100, 4096};
    static const char upgrade[] = "GET /derp HTTP/1.1\r\nHost: derp.example.com:8443\r\nConnection: Upgrade\r\n"
                                  "Upgrade: DERP\r\n\r\n";

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        struct world *w = open_world();
        uint8_t bytes[1024], json[64];
        size_t len = greeting(w, bytes, sizeof(bytes), "ServerInfo"), wait;

        assert_true(derp_session_send(w->session, w->peer, (const uint8_t *)"early", 5, w->now));
        derp_session_prefer(w->session, true);
        pull(w, 10);
        assert_int_equal(w->sent_len, sizeof(upgrade) - 1); /* and nothing more before we may */
        assert_memory_equal(w->sent, upgrade, sizeof(upgrade) - 1);
        w->sent_len = 0;
        feed_in(w, bytes, len, pieces[i]);
        assert_int_equal(w->events_count, 1);
        assert_int_equal(w->events[0].kind, DERP_EVENT_UP);
        assert_true(derp_session_up(w->session));
        pull(w, 3);
        /* ClientInfo, which the server can open; NotePreferred; the packet that waited */
        assert_int_equal(w->sent[0], DERP_CLIENT_INFO);
        assert_memory_equal(w->sent + 5, w->node, 32);
        wait = be32_get(w->sent + 1) + 5;
        assert_true(box_open(json, w->sent + 61, wait - 61, w->sent + 37, w->shared));
        assert_memory_equal(json, "{\"version\":2", 12);
        assert_memory_equal(w->sent + wait, "\x07\0\0\0\1\1", 6);
        assert_int_equal(w->sent[wait + 6], DERP_SEND_PACKET);
        assert_memory_equal(w->sent + wait + 11, w->peer, 32);
        assert_memory_equal(w->sent + wait + 43, "early", 5);
        assert_int_equal(w->sent_len, wait + 48);
        assert_null(derp_session_output(w->session, &len));
        close_world(w);
    }
}

static void test_frames(void **state)
{
    (void)state;
    struct world *w = open_world();
    uint8_t bytes[4096], packet[64];
    size_t len = 0;
    static const char *const names[] = {"RecvPacket", "KeepAlive", "unknown type: must be skipped", "PeerGone, disconnected",
                                        "PeerGone, not here", "Ping", "Health", "Health cleared",
                                        "Restarting (reconnect in 1000 ms, try for 2000 ms)"};

    log_in(w, "ServerInfo");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        len += vector_frame(w, names[i], bytes + len, sizeof(bytes) - len);
    feed_in(w, bytes, len, 11);
    assert_int_equal(w->events_count, 6);
    assert_int_equal(w->events[0].kind, DERP_EVENT_PACKET);
    assert_int_equal(w->events[0].len, 41);
    assert_int_equal(w->events[1].kind, DERP_EVENT_PEER_GONE);
    assert_false(w->events[1].not_here);
    assert_true(w->events[2].not_here);
    assert_int_equal(w->events[3].kind, DERP_EVENT_HEALTH);
    assert_string_equal(w->events[3].text, "text of the problem");
    assert_string_equal(w->events[4].text, "");
    assert_int_equal(w->events[5].reconnect_ms, 1000);
    assert_int_equal(w->events[5].try_ms, 2000);
    pull(w, SIZE_MAX);
    assert_int_equal(w->sent_len, vector_frame(w, "Pong", packet, sizeof(packet)));
    assert_memory_equal(w->sent, packet, w->sent_len);
    close_world(w);
}

static void test_watchdog(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct derp_event event;
    uint8_t frame[16];

    assert_int_equal(derp_session_deadline(w->session), w->now + DERP_LOGIN_NS);
    log_in(w, "ServerInfo");
    w->now += 100 * TS_S;
    feed(w, frame, vector_frame(w, "KeepAlive", frame, sizeof(frame)));
    assert_int_equal(derp_session_deadline(w->session), w->now + DERP_SILENCE_NS);
    derp_session_expire(w->session, &event, w->now + DERP_SILENCE_NS - 1);
    assert_int_equal(event.kind, DERP_EVENT_NONE);
    derp_session_expire(w->session, &event, w->now + DERP_SILENCE_NS);
    assert_int_equal(event.kind, DERP_EVENT_FAILED);
    assert_int_equal(derp_session_deadline(w->session), TS_NEVER);
    assert_false(derp_session_send(w->session, w->peer, frame, 5, w->now));
    close_world(w);
}

static void test_rate(void **state)
{
    (void)state;
    struct world *w = open_world();
    uint8_t packet[1000 - DERP_SEND_HEADER] = {0};
    size_t taken = 0;

    log_in(w, "ServerInfo with a rate"); /* 100,000 bytes a second, 200,000 at once */
    for (int i = 0; i < 500; i++) {
        taken += derp_session_send(w->session, w->peer, packet, sizeof(packet), w->now);
        pull(w, SIZE_MAX);
        w->sent_len = 0;
    }
    assert_int_equal(taken, 200);
    w->now += TS_S;
    for (int i = 0; i < 500; i++) {
        taken += derp_session_send(w->session, w->peer, packet, sizeof(packet), w->now);
        pull(w, SIZE_MAX);
        w->sent_len = 0;
    }
    assert_int_equal(taken, 300);
    close_world(w);
}

static void test_bounds(void **state)
{
    (void)state;
    struct world *w = open_world();
    static uint8_t packet[DERP_PACKET_MAX + 1];
    uint8_t ping[13] = {DERP_PING, 0, 0, 0, 8};

    log_in(w, "ServerInfo");
    assert_false(derp_session_send(w->session, w->peer, packet, DERP_PACKET_MAX + 1, w->now));
    size_t taken = 0;

    for (int i = 0; i < 1000; i++)
        taken += derp_session_send(w->session, w->peer, packet, 1312, w->now);
    assert_int_equal(taken, DERP_QUEUE_MAX / (1312 + DERP_SEND_HEADER)); /* a reader that stopped holds no more */
    for (int i = 0; i < 1000; i++)
        feed(w, ping, sizeof(ping)); /* nor does a server that pings and does not read */
    pull(w, 777);
    assert_true(w->sent_len <= DERP_QUEUE_MAX + 4096);
    close_world(w);
}

static void test_bad_servers(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno\n", "SSH-2.0-x\r\n",
                                          "HTTP/1.1 101 S\r\n\r\n\x01\0\0\0\x28" "DERX01234567890123456789012345678901234567890123",
                                          "HTTP/1.1 101 S\r\n\r\n\x01\x7f\0\0\x28"};
    static const size_t lens[] = {0, 0, 18 + 5 + 40, 18 + 5};

    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct world *w = open_world();

        feed(w, answers[i], lens[i] ? lens[i] : strlen(answers[i]));
        assert_int_equal(w->events_count, 1);
        assert_int_equal(w->events[0].kind, DERP_EVENT_FAILED);
        close_world(w);
    }
    struct world *w = open_world();
    uint8_t bytes[1024];
    size_t len = greeting(w, bytes, sizeof(bytes), "ServerInfo");

    bytes[len - 1] ^= 1; /* somebody in between */
    feed(w, bytes, len);
    assert_int_equal(w->events_count, 1);
    assert_int_equal(w->events[0].kind, DERP_EVENT_FAILED);
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login), cmocka_unit_test(test_frames), cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_rate),  cmocka_unit_test(test_bounds), cmocka_unit_test(test_bad_servers),
    };

    return crypto_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
