/* sim_control.c - our control session against a scripted coordination server, in invented time, one world a seed.
 *
 * The server is played by the other ends of the same libraries (Noise by hand, nghttp2's server side) and keeps a small
 * tailnet that changes all the time: nodes come, go, change everything about them, by every kind of frame. The seed also
 * draws what goes wrong: bytes in odd pieces and late, connections cut at any byte, a server that falls silent, that
 * restarts with another key, that forgets us, says 429 or 500 or that our key has expired, and early payloads. We move
 * to other endpoints meanwhile. Then the server turns good, and within RECOVERY:
 *
 *     our map is the server's, node by node, field by field
 *     the server knows where we are found, from an update, and our present node key
 *     we are online
 * and always: a map that was once there is never empty of nodes because a connection broke.
 *
 * Usage: sim_control [--seed S] [--seeds N]. The failing seed is printed; a seed always gives the same world. */
#include <jansson.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "common/tailnet/control.h"
#include "common/tailnet/ts2021.h"
#include "seeds.h"

#define SEEDS_DEFAULT 60
#define STORM         (900 * TS_S)
#define RECOVERY      (400 * TS_S) /* a silence of 120 s, refusals of 60 s, backoff */
#define NODES_MAX     24
#define WALL_START    1700000000u
#define CHUNK_MAX     65536
#define FLYING_MAX    4096

/* ---- the world ---- */

struct chunk {
    ts_t at;
    uint8_t *bytes;
    size_t len;
};

struct wire {
    struct chunk flying[FLYING_MAX];
    size_t head, count;
};

struct node {
    bool there;
    int64_t id;
    uint8_t key, disco;
    unsigned home, port, peerapi;
    bool online, ingress, expired;
};

struct request {
    int32_t stream; /* 0: free */
    char path[64];
    char *body;
    size_t len;
    /* the answer's body: what is left of it, and whether more may come */
    char *answer;
    size_t answer_len, answer_at;
    bool endless, paused;
};

struct server {
    bool up, silent;
    uint8_t key[32], public_key[32];
    struct ts2021 noise;
    struct ts2021_frames frames;
    enum { HTTP, RECORDS } phase;
    char head[2048];
    size_t head_len;
    uint8_t client_node[32]; /* who registered; zero: nobody */
    nghttp2_session *h2;
    struct request requests[16];
    struct request *stream;  /* the map stream */
    struct control_whereabouts heard; /* by updates */
    unsigned updates;
    bool teasing, ending; /* on this connection: no login is enough; our key has always ended already */
    ts_t since;           /* of the connection */
    unsigned registrations;
};

static struct {
    uint64_t seed;
    struct rng rng;
    ts_t now, calm_at;
    struct control *control;
    struct map_seed map_seed;
    bool connected;
    struct wire up, down; /* to the server, to us */
    struct server server;
    struct node nodes[NODES_MAX];
    struct control_whereabouts ours;
    ts_t mutate_at, move_at, trouble_at, keepalive_at;
    bool had_nodes;
    unsigned connections, frames;
} w;

static bool dice(unsigned of_10000)
{
    return rng_below(&w.rng, 10000) < of_10000;
}

static uint64_t between(uint64_t low, uint64_t high)
{
    return low + rng_below(&w.rng, high - low + 1);
}

static bool calm(void)
{
    return w.now >= w.calm_at;
}

static void expect(bool good, const char *what)
{
    if (good)
        return;
    printf("sim_control: seed %llu: at %.3f s: %s (state %s, %s)\n", (unsigned long long)w.seed,
           (double)w.now / (double)TS_S, what, control_state_name(control_state(w.control)), control_trouble(w.control));
    exit(1);
}

/* ---- wires ---- */

static void wire_clear(struct wire *wire)
{
    while (wire->count) {
        free(wire->flying[wire->head].bytes);
        wire->head = (wire->head + 1) % FLYING_MAX;
        wire->count--;
    }
}

static void wire_send(struct wire *wire, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t n = dice(3000) ? (size_t)between(1, MIN(len, 20)) : MIN(len, 3000);
        ts_t after = wire->count ? wire->flying[(wire->head + wire->count - 1) % FLYING_MAX].at : w.now;
        struct chunk *c = &wire->flying[(wire->head + wire->count) % FLYING_MAX];

        BUG_ON(wire->count == FLYING_MAX);
        wire->count++;
        *c = (struct chunk){.at = ts_max(after, w.now + between(TS_MS, 30 * TS_MS)), .bytes = malloc(n), .len = n};
        memcpy(c->bytes, bytes, n);
        bytes += n;
        len -= n;
    }
}

static ts_t wire_next(const struct wire *wire)
{
    return wire->count ? wire->flying[wire->head].at : TS_NEVER;
}

static void cut(bool tell_client)
{
    struct server *s = &w.server;

    wire_clear(&w.up);
    wire_clear(&w.down);
    nghttp2_session_del(s->h2);
    s->h2 = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(s->requests); i++) {
        free(s->requests[i].body);
        free(s->requests[i].answer);
        s->requests[i] = (struct request){0};
    }
    s->stream = NULL;
    s->phase = HTTP;
    s->head_len = s->frames.len = 0;
    if (w.connected && tell_client)
        control_closed(w.control, "cut", w.now);
    w.connected = false;
}

/* ---- the server's words ---- */

static json_t *key_json(enum tailnet_key_kind kind, uint8_t fill)
{
    uint8_t key[32];
    char text[TAILNET_KEY_STR];

    memset(key, fill, sizeof(key));
    return json_string(tailnet_key_format(kind, key, text));
}

static json_t *node_json(const struct node *n)
{
    json_t *endpoints = json_pack("[s]", "192.0.2.1:1");
    char text[64];

    snprintf(text, sizeof(text), "192.0.2.1:%u", n->port);
    json_array_set_new(endpoints, 0, json_string(text));
    snprintf(text, sizeof(text), "100.64.0.%u/32", (unsigned)(n->id % 200 + 2));
    json_t *all = json_pack("{s:I, s:s, s:o, s:o, s:[s], s:o, s:i, s:b, s:b, s:{s:b, s:[{s:s, s:i}]}}", "ID",
                            (json_int_t)n->id, "Name", "node.tail.example.", "Key", key_json(TAILNET_KEY_NODE, n->key),
                            "DiscoKey", key_json(TAILNET_KEY_DISCO, n->disco), "Addresses", text, "Endpoints", endpoints,
                            "HomeDERP", (int)n->home, "Online", (int)n->online, "Expired", (int)n->expired, "Hostinfo",
                            "IngressEnabled", (int)n->ingress, "Services", "Proto", "peerapi4", "Port", (int)n->peerapi);

    BUG_ON(!all);
    return all;
}

static json_t *peers_json(void)
{
    json_t *list = json_array();

    for (size_t i = 0; i < NODES_MAX; i++)
        if (w.nodes[i].there)
            json_array_append_new(list, node_json(&w.nodes[i]));
    return list;
}

static void say_time(json_t *frame)
{
    time_t t = (time_t)(WALL_START + w.now / TS_S);
    struct tm tm;
    char text[32];

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    json_object_set_new(frame, "ControlTime", json_string(text));
}

static void answer_more(struct request *r, const void *bytes, size_t len)
{
    r->answer = realloc(r->answer, r->answer_len + len + 1);
    BUG_ON(!r->answer);
    memcpy(r->answer + r->answer_len, bytes, len);
    r->answer_len += len;
    if (r->paused)
        nghttp2_session_resume_data(w.server.h2, r->stream);
    r->paused = false;
}

static void frame(json_t *all)
{
    struct request *r = w.server.stream;

    if (r && !w.server.silent) {
        char *text = json_dumps(all, dice(5000) ? JSON_COMPACT : JSON_INDENT(1));
        uint8_t head[4];

        le32_put(head, (uint32_t)strlen(text));
        answer_more(r, head, sizeof(head));
        answer_more(r, text, strlen(text));
        free(text);
        w.frames++;
    }
    json_decref(all);
}

static void first_frame(void)
{
    char key[TAILNET_KEY_STR];
    json_t *all = json_pack("{s:{s:i, s:s, s:s, s:[s], s:b, s:b}, s:o, s:{s:{s:{s:i}}}, s:[{s:i, s:s}]}", "Node", "ID", 1, "Name",
                            "us.tail.example.", "Key", tailnet_key_format(TAILNET_KEY_NODE, w.server.client_node, key),
                            "Addresses", "100.64.0.1/32", "MachineAuthorized", 1, "Expired", (int)(!calm() && w.server.ending), "Peers", peers_json(), "DERPMap",
                            "Regions", "1", "RegionID", 1, "UserProfiles", "ID", 7, "LoginName", "a@b");

    BUG_ON(!all);
    if (dice(3000))
        frame(json_pack("{s:b}", "KeepAlive", 1));
    say_time(all);
    frame(all);
}

/* ---- the server's tailnet changes ---- */

/* that no other node has */
static uint8_t fresh_key(void)
{
    bool taken;
    uint8_t key;

    do {
        key = (uint8_t)between(1, 250);
        taken = false;
        for (size_t i = 0; i < NODES_MAX; i++)
            taken |= w.nodes[i].there && w.nodes[i].key == key;
    } while (taken);
    return key;
}

static void randomize(struct node *n)
{
    n->key = fresh_key();
    n->disco = (uint8_t)between(0, 250);
    n->home = (unsigned)between(0, 3);
    n->port = (unsigned)between(1, 65535);
    n->peerapi = (unsigned)between(1, 65535);
    n->online = dice(5000);
    n->ingress = dice(5000);
    n->expired = dice(500);
}

static void patch(struct node *n)
{
    json_t *change = json_pack("{s:I}", "NodeID", (json_int_t)n->id);
    char text[64];

    if (dice(5000)) {
        n->home = (unsigned)between(1, 3);
        json_object_set_new(change, "DERPRegion", json_integer(n->home));
    }
    if (dice(5000)) {
        n->port = (unsigned)between(1, 65535);
        snprintf(text, sizeof(text), "192.0.2.1:%u", n->port);
        json_object_set_new(change, "Endpoints", json_pack("[s]", text));
    }
    if (dice(2000)) {
        n->key = fresh_key();
        json_object_set_new(change, "Key", key_json(TAILNET_KEY_NODE, n->key));
    }
    if (dice(3000)) {
        n->disco = (uint8_t)between(1, 250);
        json_object_set_new(change, "DiscoKey", key_json(TAILNET_KEY_DISCO, n->disco));
    }
    if (dice(5000)) {
        n->online = !n->online;
        json_object_set_new(change, "Online", json_boolean(n->online));
    }
    frame(json_pack("{s:[{s:i},o]}", "PeersChangedPatch", "NodeID", 987654, change));
}

static void mutate(void)
{
    struct node *n = &w.nodes[between(0, NODES_MAX - 1)];
    char id[32];
    size_t there = 0;

    for (size_t i = 0; i < NODES_MAX; i++)
        there += w.nodes[i].there;
    snprintf(id, sizeof(id), "%lld", (long long)n->id);
    if (!n->there) {
        n->there = true;
        randomize(n);
        frame(json_pack("{s:[o]}", "PeersChanged", node_json(n)));
        return;
    }
    switch (between(0, 5)) {
    case 0:
        if (there > 1) { /* an empty list would say nothing */
            n->there = false;
            frame(json_pack("{s:[I,i]}", "PeersRemoved", (json_int_t)n->id, 987654));
        }
        break;
    case 1:
        randomize(n);
        frame(json_pack("{s:[o], s:[]}", "PeersChanged", node_json(n), "Peers"));
        break;
    case 2:
        randomize(n);
        frame(json_pack("{s:o, s:[I]}", "Peers", peers_json(), "PeersRemoved", (json_int_t)n->id));
        break;
    case 3:
        n->online = !n->online;
        frame(json_pack("{s:{s:b, s:b}}", "OnlineChange", id, (int)n->online, "987654", 1));
        break;
    default:
        patch(n);
        break;
    }
}

/* ---- the server's requests ---- */

static struct request *request_at(int32_t stream)
{
    for (size_t i = 0; i < ARRAY_SIZE(w.server.requests); i++)
        if (w.server.requests[i].stream == stream)
            return &w.server.requests[i];
    return NULL;
}

static ssize_t give(nghttp2_session *session, int32_t stream, uint8_t *out, size_t cap, uint32_t *flags,
                    nghttp2_data_source *source, void *ctx)
{
    struct request *r = request_at(stream);

    (void)session;
    (void)source;
    (void)ctx;
    if (!r)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t left = r->answer_len - r->answer_at, n = MIN(MIN(left, cap), (size_t)between(1, 5000));

    if (left == 0 && r->endless) {
        r->paused = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0)
        memcpy(out, r->answer + r->answer_at, n);
    r->answer_at += n;
    if (n == left && !r->endless)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void answer(struct request *r, const char *status, const char *retry_after, const char *body, bool endless)
{
    nghttp2_nv head[2] = {{.name = (uint8_t *)":status", .value = (uint8_t *)status, .namelen = 7, .valuelen = 3},
                          {.name = (uint8_t *)"retry-after", .value = (uint8_t *)retry_after, .namelen = 11,
                           .valuelen = retry_after ? strlen(retry_after) : 0}};
    nghttp2_data_provider source = {.read_callback = give};

    r->endless = endless;
    answer_more(r, body, strlen(body));
    BUG_ON(nghttp2_submit_response(w.server.h2, r->stream, head, retry_after ? 2 : 1, &source) != 0);
}

static bool key_in(const json_t *body, const char *name, enum tailnet_key_kind kind, uint8_t out[32])
{
    const json_t *value = json_object_get(body, name);

    return json_is_string(value) && tailnet_key_parse(kind, json_string_value(value), json_string_length(value), out);
}

static void on_register(struct request *r, const json_t *body)
{
    struct server *s = &w.server;
    uint8_t old[32];

    /* whatever it says: no more than a few at once on one connection, then one each five seconds */
    s->registrations++;
    expect(s->registrations <= 6 + ts_since(w.now, s->since) / (5 * TS_S), "a circle of registrations");
    if (!calm() && dice(800)) {
        answer(r, "429", dice(5000) ? "3" : NULL, "slow down", false);
    } else if (!calm() && dice(800)) {
        answer(r, "500", NULL, "oops", false);
    } else if (!calm() && dice(500)) {
        answer(r, "200", NULL, "{\"Error\":\"not today\"}", false);
    } else if (!calm() && dice(1000)) {
        answer(r, "200", NULL, "{\"NodeKeyExpired\":true}", false);
    } else if (!calm() && dice(1000) && !json_object_get(body, "Followup")) {
        answer(r, "200", NULL, "{\"AuthURL\":\"https://c.example/login\"}", false);
    } else if (!calm() && w.server.teasing) { /* another URL whenever it is asked */
        char text[100];

        snprintf(text, sizeof(text), "{\"AuthURL\":\"https://c.example/login/%llu\"}", (unsigned long long)w.now);
        answer(r, "200", NULL, text, false);
    } else {
        expect(key_in(body, "NodeKey", TAILNET_KEY_NODE, s->client_node), "a registration without a node key");
        expect(!key_in(body, "OldNodeKey", TAILNET_KEY_NODE, old) || memcmp(old, s->client_node, 32) != 0,
               "a key exchanged for itself");
        answer(r, "200", NULL, "{\"MachineAuthorized\":true}", false);
    }
}

static void hear(const json_t *body)
{
    struct control_whereabouts *h = &w.server.heard;
    const json_t *list = json_object_get(body, "Endpoints"), *types = json_object_get(body, "EndpointTypes");

    *h = (struct control_whereabouts){0};
    key_in(body, "DiscoKey", TAILNET_KEY_DISCO, h->disco);
    h->home_derp = (uint16_t)json_integer_value(
        json_object_get(json_object_get(json_object_get(body, "Hostinfo"), "NetInfo"), "PreferredDERP"));
    expect(json_array_size(list) == json_array_size(types) && json_array_size(list) <= CONTROL_ENDPOINTS_MAX, "endpoints");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *text = json_array_get(list, i);

        expect(addrport_parse(json_string_value(text), json_string_length(text), &h->endpoints[i].at), "an endpoint");
        h->endpoints[i].kind = (enum control_endpoint_kind)json_integer_value(json_array_get(types, i));
    }
    h->endpoints_count = json_array_size(list);
    w.server.updates++;
}

static void on_map(struct request *r, const json_t *body)
{
    struct server *s = &w.server;
    uint8_t key[32];

    expect(key_in(body, "NodeKey", TAILNET_KEY_NODE, key), "a map request without a node key");
    if (memcmp(key, s->client_node, 32) != 0) {
        answer(r, "404", NULL, "node not found", false);
    } else if (!calm() && dice(300)) {
        answer(r, dice(5000) ? "500" : "429", NULL, "oops", false);
    } else if (json_is_true(json_object_get(body, "Stream"))) {
        if (s->stream) { /* a second one ends the first */
            s->stream->endless = false;
            answer_more(s->stream, "", 0);
        }
        s->stream = r;
        answer(r, "200", NULL, "", true);
        first_frame();
    } else {
        expect(json_is_true(json_object_get(body, "OmitPeers")), "a map request that is neither");
        hear(body);
        answer(r, "200", NULL, "", false);
    }
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct request *r = request_at(0);

    (void)session;
    (void)ctx;
    BUG_ON(!r);
    *r = (struct request){.stream = f->hd.stream_id};
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t len, uint8_t flags, void *ctx)
{
    struct request *r = request_at(f->hd.stream_id);

    (void)session;
    (void)flags;
    (void)ctx;
    if (r && name_len == 5 && memcmp(name, ":path", 5) == 0)
        snprintf(r->path, sizeof(r->path), "%.*s", (int)len, value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len, void *ctx)
{
    struct request *r = request_at(stream);

    (void)session;
    (void)flags;
    (void)ctx;
    if (r) {
        r->body = realloc(r->body, r->len + len);
        memcpy(r->body + r->len, data, len);
        r->len += len;
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct request *r = f->hd.stream_id ? request_at(f->hd.stream_id) : NULL;

    (void)session;
    (void)ctx;
    if (!r || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) || (f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS))
        return 0;
    json_t *body = json_loadb(r->body ? r->body : "", r->len, 0, NULL);

    expect(json_is_object(body), "a body that is no JSON");
    expect(json_integer_value(json_object_get(body, "Version")) == CONTROL_VERSION, "a request without a version");
    if (strcmp(r->path, "/machine/register") == 0)
        on_register(r, body);
    else if (strcmp(r->path, "/machine/map") == 0)
        on_map(r, body);
    else
        expect(false, "a request for nothing we know");
    json_decref(body);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *ctx)
{
    struct request *r = request_at(stream);

    (void)session;
    (void)error;
    (void)ctx;
    if (r) {
        if (w.server.stream == r)
            w.server.stream = NULL;
        free(r->body);
        free(r->answer);
        *r = (struct request){0};
    }
    return 0;
}

static void open_h2(void)
{
    nghttp2_session_callbacks *c;

    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_server_new(&w.server.h2, c, NULL);
    nghttp2_session_callbacks_del(c);
    nghttp2_submit_settings(w.server.h2, NGHTTP2_FLAG_NONE, NULL, 0);
}

/* ---- the server's Noise: the responder's side, token by token ---- */

static void mix(uint8_t hash[32], const void *data, size_t len)
{
    blake2s_hash(hash, hash, 32, data, len);
}

static bool dh(uint8_t ck[32], uint8_t key[32], const uint8_t *private_key, const uint8_t *public_key)
{
    uint8_t shared[32];

    if (crypto_dh(shared, private_key, public_key) != 0)
        return false;
    blake2s_kdf(ck, key, NULL, ck, shared, sizeof(shared));
    return true;
}

/* respond - false: not meant for our key */
static bool respond(const uint8_t m[TS2021_INITIATION_BYTES], uint8_t out[TS2021_RESPONSE_BYTES])
{
    static const char name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
    uint8_t hash[32], ck[32], key[32], machine[32], ephemeral[32], nothing[1];
    char prologue[64];
    struct server *s = &w.server;

    blake2s_hash(hash, name, sizeof(name) - 1, NULL, 0);
    memcpy(ck, hash, 32);
    mix(hash, prologue, (size_t)snprintf(prologue, sizeof(prologue), "Tailscale Control Protocol v%u", be16_get(m)));
    mix(hash, s->public_key, 32);
    mix(hash, m + 5, 32);                                                       /* e */
    if (!dh(ck, key, s->key, m + 5) ||                                          /* es */
        !aead_open(machine, m + 37, 48, hash, 32, 0, key))                      /* s */
        return false;
    mix(hash, m + 37, 48);
    if (!dh(ck, key, s->key, machine) || !aead_open(nothing, m + 85, 16, hash, 32, 0, key)) /* ss */
        return false;
    mix(hash, m + 85, 16);
    key_generate(&w.rng, ephemeral);
    out[0] = TS2021_RESPONSE;
    be16_put(out + 1, 48);
    BUG_ON(key_public(ephemeral, out + 3) != 0);
    mix(hash, out + 3, 32);                                                     /* e */
    BUG_ON(!dh(ck, key, ephemeral, m + 5) || !dh(ck, key, ephemeral, machine)); /* ee, se */
    aead_seal(out + 35, nothing, 0, hash, 32, 0, key);
    s->noise = (struct ts2021){0};
    blake2s_kdf(s->noise.receive_key, s->noise.send_key, NULL, ck, NULL, 0);
    return true;
}

static void record(const void *bytes, size_t len)
{
    uint8_t out[TS2021_FRAME_MAX];

    wire_send(&w.down, out, ts2021_seal(&w.server.noise, out, bytes, len));
}

static void early_payload(void)
{
    static const uint8_t early[] = "\xff\xff\xffTS\0\0\0\x0b{\"a\":\"bcd\"}";

    if (dice(5000))
        return;
    if (dice(5000)) {
        record(early, 5);
        record(early + 5, 4);
        record(early + 9, 11);
    } else {
        record(early, 20);
    }
}

static void flush_h2(void)
{
    struct server *s = &w.server;
    const uint8_t *bytes;
    ssize_t n;

    while (s->h2 && !s->silent && (n = nghttp2_session_mem_send(s->h2, &bytes)) > 0)
        while (n > 0) {
            size_t piece = MIN((size_t)n, (size_t)between(1, TS2021_PLAIN_MAX));

            record(bytes, piece);
            bytes += piece;
            n -= (ssize_t)piece;
        }
}

static size_t from64(const char *text, size_t len, uint8_t *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    size_t n = 0, have = 0;

    for (size_t i = 0; i < len && text[i] != '='; i++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, text[i]) - digits);
        have += 6;
        if (have >= 8)
            out[n++] = (uint8_t)(bits >> (have -= 8));
    }
    return n;
}

static void on_key(void)
{
    char body[256], text[TAILNET_KEY_STR], all[512];
    int len = snprintf(body, sizeof(body), "{\"legacyPublicKey\":\"mkey:%064d\",\"publicKey\":\"%s\"}", 0,
                       tailnet_key_format(TAILNET_KEY_MACHINE, w.server.public_key, text));
    bool last = dice(3000);

    wire_send(&w.down, (const uint8_t *)all,
              (size_t)snprintf(all, sizeof(all), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len,
                               last ? "Connection: close\r\n" : "", body));
}

static void on_upgrade(const char *head)
{
    static const char yes[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n";
    const char *at = strstr(head, "X-Tailscale-Handshake: ");
    uint8_t initiation[256], response[TS2021_RESPONSE_BYTES];

    expect(at != NULL, "an upgrade without a handshake");
    at += strlen("X-Tailscale-Handshake: ");
    expect(from64(at, strcspn(at, "\r"), initiation) == TS2021_INITIATION_BYTES, "an initiation of another size");
    wire_send(&w.down, (const uint8_t *)yes, sizeof(yes) - 1);
    if (!respond(initiation, response)) {
        static const uint8_t no[] = "\3\0\2no";

        wire_send(&w.down, no, 5);
        return;
    }
    wire_send(&w.down, response, sizeof(response));
    w.server.phase = RECORDS;
    early_payload();
    open_h2();
}

static void server_input(uint8_t *bytes, size_t len)
{
    struct server *s = &w.server;

    while (len > 0 && s->up && s->phase == HTTP) {
        BUG_ON(s->head_len + 1 >= sizeof(s->head));
        s->head[s->head_len++] = (char)*bytes++;
        s->head[s->head_len] = 0;
        len--;
        if (s->head_len < 4 || strcmp(s->head + s->head_len - 4, "\r\n\r\n") != 0)
            continue;
        s->head_len = 0;
        if (strncmp(s->head, "GET /key?v=", 11) == 0)
            on_key();
        else
            on_upgrade(s->head);
    }
    while (len > 0 && s->h2) {
        const uint8_t *plain;
        size_t used;
        int got = ts2021_frames_feed(&s->frames, bytes, len, &used), n = 0;

        expect(got >= 0, "a record that is too long");
        bytes += used;
        len -= used;
        if (got > 0)
            n = ts2021_open(&s->noise, s->frames.bytes, (size_t)got, &plain);
        expect(n >= 0, "a record that does not open");
        if (n > 0)
            expect(nghttp2_session_mem_recv(s->h2, plain, (size_t)n) == n, "what is not HTTP/2");
    }
}

/* ---- our side ---- */

static void move(void)
{
    struct control_whereabouts *o = &w.ours;

    *o = (struct control_whereabouts){.home_derp = (uint16_t)between(1, 3), .working_udp = true,
                                      .endpoints_count = (size_t)between(0, 4)};
    memset(o->disco, (int)between(1, 250), sizeof(o->disco));
    for (size_t i = 0; i < o->endpoints_count; i++) {
        uint8_t v4[4] = {192, 0, 2, (uint8_t)between(1, 250)};

        o->endpoints[i] = (struct control_endpoint){{addr_v4(v4), (uint16_t)between(1, 65535)}, CONTROL_ENDPOINT_STUN};
    }
    control_whereabouts_set(w.control, o, w.now);
}

static void client_turn(void)
{
    uint8_t out[5000];
    unsigned flags;
    size_t n;

    do {
        flags = control_take(w.control);
        if (flags & CONTROL_CLOSE)
            cut(false);
        if (flags & CONTROL_MAP) {
            netmap_changes_clear(control_changes(w.control));
            w.had_nodes = true;
        }
        if (flags & CONTROL_CONNECT) {
            if (w.server.up) {
                cut(false);
                w.connected = true;
                w.connections++;
                w.server.teasing = dice(1000);
                w.server.ending = dice(1000);
                w.server.since = w.now;
                w.server.registrations = 0;
                control_connected(w.control, w.now);
            } else {
                control_closed(w.control, "refused", w.now);
            }
        }
        while (w.connected && (n = control_output(w.control, out, sizeof(out), w.now)) > 0)
            wire_send(&w.up, out, n);
    } while (flags);
    if (w.had_nodes && !calm()) /* there is always one; our map lags, but it is never empty */
        expect(netmap_peers_count(control_netmap(w.control)) > 0, "a map without nodes");
}

/* ---- trouble ---- */

static void server_key_new(void)
{
    key_generate(&w.rng, w.server.key);
    BUG_ON(key_public(w.server.key, w.server.public_key) != 0);
}

static void trouble(void)
{
    switch (between(0, 5)) {
    case 0:
        cut(true);
        break;
    case 1: /* away for a while */
        cut(true);
        w.server.up = false;
        break;
    case 2:
        w.server.up = true;
        w.server.silent = false;
        break;
    case 3: /* restarted, with another key or without memory */
        cut(true);
        if (dice(5000))
            server_key_new();
        else
            memset(w.server.client_node, 0, 32);
        break;
    case 4:
        w.server.silent = true;
        break;
    default:
        w.server.up = true;
        break;
    }
}

static void turn_good(void)
{
    w.server.up = true;
    w.server.silent = false;
    w.trouble_at = w.mutate_at = w.move_at = TS_NEVER;
    cut(true);
}

static void run_until(ts_t end)
{
    for (;;) {
        client_turn();
        flush_h2();
        ts_t next = ts_min(ts_min(wire_next(&w.up), wire_next(&w.down)), control_deadline(w.control));

        next = ts_min(next, ts_min(ts_min(w.mutate_at, w.move_at), ts_min(w.trouble_at, w.keepalive_at)));
        if (next > end)
            break;
        w.now = ts_max(w.now, next);
        if (control_deadline(w.control) <= w.now) {
            control_expire(w.control, w.now);
            client_turn();
        }
        struct wire *wire = wire_next(&w.up) <= w.now ? &w.up : wire_next(&w.down) <= w.now ? &w.down : NULL;

        if (wire) {
            struct chunk c = wire->flying[wire->head];

            wire->head = (wire->head + 1) % FLYING_MAX;
            wire->count--;
            if (wire == &w.up)
                server_input(c.bytes, c.len);
            else
                control_input(w.control, c.bytes, c.len, w.now);
            free(c.bytes);
        }
        if (w.mutate_at <= w.now) {
            mutate();
            w.mutate_at = w.now + between(TS_MS, 20 * TS_S);
        }
        if (w.move_at <= w.now) {
            move();
            w.move_at = w.now + between(TS_MS, 100 * TS_S);
        }
        if (w.keepalive_at <= w.now) {
            frame(json_pack("{s:b}", "KeepAlive", 1));
            w.keepalive_at = w.now + 55 * TS_S;
        }
        if (w.trouble_at <= w.now) {
            trouble();
            w.trouble_at = w.now + between(TS_MS, 90 * TS_S);
        }
    }
    w.now = end;
}

/* ---- the end: everything is as it should be ---- */

static void check_node(const struct node *n)
{
    const struct netmap_node *is = netmap_peer(control_netmap(w.control), n->id);
    uint8_t key[32], disco[32];

    if (!n->there) {
        expect(!is, "a node that is gone");
        return;
    }
    expect(is != NULL, "a node is missing");
    memset(key, n->key, 32);
    memset(disco, n->disco, 32);
    expect(memcmp(is->key, key, 32) == 0 && memcmp(is->disco, disco, 32) == 0, "another key");
    expect(is->home_derp == n->home && is->peerapi4 == n->peerapi, "another home or port");
    expect(is->endpoints_count == 1 && is->endpoints[0].port == n->port, "another endpoint");
    expect(is->online == n->online && is->ingress_enabled == n->ingress && is->expired == n->expired, "another state");
    expect(is->addresses_count == 1, "another address");
}

static void check_end(void)
{
    const struct control_whereabouts *h = &w.server.heard, *o = &w.ours;
    uint8_t node[32];

    expect(control_state(w.control) == CONTROL_ONLINE, "not online");
    for (size_t i = 0; i < NODES_MAX; i++)
        check_node(&w.nodes[i]);
    expect(key_public(control_keys(w.control)->node, node) == 0 && memcmp(node, w.server.client_node, 32) == 0,
           "the server knows another key");
    expect(memcmp(h->disco, o->disco, 32) == 0 && h->home_derp == o->home_derp &&
               h->endpoints_count == o->endpoints_count, "the server thinks we are elsewhere");
    for (size_t i = 0; i < o->endpoints_count; i++)
        expect(addrport_equal(&h->endpoints[i].at, &o->endpoints[i].at) && h->endpoints[i].kind == o->endpoints[i].kind,
               "the server has another endpoint of ours");
}

static void run(uint64_t seed)
{
    struct control_keys keys = {0};

    memset(&w, 0, sizeof(w));
    w.seed = seed;
    rng_seed(&w.rng, seed);
    w.now = 1000 * TS_S;
    w.calm_at = w.now + STORM;
    w.server.up = true;
    server_key_new();
    for (size_t i = 0; i < NODES_MAX; i++) {
        w.nodes[i].id = (int64_t)(((uint64_t)1 << 53) + i); /* as doubles some of these would be the same */
        w.nodes[i].there = i == 0 || dice(5000);
        randomize(&w.nodes[i]);
    }
    key_generate(&w.rng, keys.machine);
    const struct control_config config = {.rng = &w.rng, .seed = &w.map_seed, .host = "control.example:8443",
                                          .hostname = "funnel-ingress", .auth_key = dice(5000) ? "key-1" : ""};

    w.control = control_new(&config, &keys, w.now);
    BUG_ON(!w.control);
    w.mutate_at = w.move_at = w.now;
    w.keepalive_at = w.now + 50 * TS_S;
    w.trouble_at = w.now + between(TS_MS, 200 * TS_S);
    run_until(w.calm_at);
    turn_good();
    run_until(w.now + RECOVERY);
    check_end();
    control_log_out(w.control, w.now);
    client_turn();
    cut(false);
    control_free(w.control);
    expect(true, "");
}

int main(int argc, char **argv)
{
    struct seeds seeds;
    unsigned connections = 0, frames = 0;

    if (!seeds_read(&seeds, SEEDS_DEFAULT, argc, argv) || crypto_init() != 0)
        return 2;
    json_object_seed(1);
    for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; seed++) {
        run(seed);
        connections += w.connections;
        frames += w.frames;
    }
    printf("sim_control: %llu seeds, %u connections, %u frames\n", (unsigned long long)seeds.count, connections, frames);
    return 0;
}
