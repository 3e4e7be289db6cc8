/* fuzz_derp.c - any bytes from a relay: they are used up, events point into what was fed, and once failed is failed.
 * The first byte says in which pieces the rest comes; a login that can't be forged is skipped by a second session whose
 * greeting is the fuzzer's own. */
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/tailnet/derp_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t node_private[32] = {8}, server_private[32] = {16};

static void check(const struct derp_event *event)
{
    switch (event->kind) {
    case DERP_EVENT_PACKET:
        BUG_ON(event->len == 0 || event->len > DERP_PACKET_MAX);
        break;
    case DERP_EVENT_HEALTH:
    case DERP_EVENT_FAILED:
        BUG_ON(!memchr(event->text, 0, sizeof(event->text)));
        break;
    default:
        break;
    }
}

static void feed(struct derp_session *s, const uint8_t *data, size_t size, size_t piece, ts_t now)
{
    struct derp_event event;
    bool failed = false;

    for (size_t at = 0; at < size;) {
        size_t used = derp_session_input(s, data + at, MIN(piece, size - at), &event, now);
        size_t len;

        BUG_ON((used == 0 && event.kind == DERP_EVENT_NONE) || used > size - at);
        BUG_ON(failed && event.kind != DERP_EVENT_NONE);
        failed |= event.kind == DERP_EVENT_FAILED;
        check(&event);
        at += used;
        const uint8_t *out = derp_session_output(s, &len);

        BUG_ON(failed && out);
        if (out)
            derp_session_sent(s, (len + 1) / 2);
    }
}

/* 101, ServerKey, ServerInfo of a server whose key we know */
static size_t greeting(uint8_t *out, const uint8_t node_public[32])
{
    static const char http[] = "HTTP/1.1 101 S\r\n\r\n", magic[] = "DERP\xf0\x9f\x94\x91", json[] = "{\"version\":2}";
    uint8_t shared[32], nonce[24] = {1}, *at = out;

    memcpy(at, http, sizeof(http) - 1);
    at += sizeof(http) - 1;
    derp_frame_header_put(at, DERP_SERVER_KEY, 40);
    memcpy(at + 5, magic, 8);
    BUG_ON(crypto_dh(at + 13, server_private, (const uint8_t[32]){9}) != 0); /* the public key: of the base point */
    at += 45;
    BUG_ON(box_shared(shared, server_private, node_public) != 0);
    derp_frame_header_put(at, DERP_SERVER_INFO, 24 + 16 + sizeof(json) - 1);
    memcpy(at + 5, nonce, 24);
    box_seal(at + 29, (const uint8_t *)json, sizeof(json) - 1, nonce, shared);
    return (size_t)(at + 29 + 16 + sizeof(json) - 1 - out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t node_public[32], hello[256];
    struct rng rng;

    if (size < 2)
        return 0;
    rng_seed(&rng, data[0]);
    BUG_ON(crypto_dh(node_public, node_private, (const uint8_t[32]){9}) != 0);
    for (int logged_in = 0; logged_in < 2; logged_in++) {
        const struct derp_session_config config = {
            .rng = &rng, .node_private = node_private, .node_public = node_public, .host = "derp.example.com"};
        struct derp_session *s = derp_session_new(&config, 0);

        BUG_ON(!s);
        if (logged_in) {
            feed(s, hello, greeting(hello, node_public), 1000, 0);
            BUG_ON(!derp_session_up(s));
        }
        feed(s, data + 1, size - 1, (size_t)data[0] * data[0] + 1, TS_S);
        derp_session_free(s);
    }
    return 0;
}
