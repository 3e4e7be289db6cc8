/* test_netmap.c - frames of testcontrol and headscale, and each rule of what a frame changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/bug.h"
#include "common/tailnet/netmap.h"

#define KEY(c) "nodekey:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define SELF   "\"Node\":{\"ID\":1,\"Key\":\"" KEY("aa") "\",\"Addresses\":[\"100.64.0.1/32\"]}"

static const struct map_seed seed = {1, 2};

struct world {
    struct netmap *map;
    struct netmap_changes changes;
    struct netmap_asides asides;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    w->map = netmap_new(&seed);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    netmap_free(w->map);
    netmap_changes_deinit(&w->changes);
    free(w);
    return 0;
}

static enum netmap_frame apply(struct world *w, const char *text, bool first)
{
    /* at its exact end, so that reading on is seen */
    size_t len = strlen(text);
    char *copy = malloc(len);

    memcpy(copy, text, len);
    enum netmap_frame result = netmap_apply(w->map, copy, len, first, &w->changes, &w->asides);

    free(copy);
    return result;
}

static void frame(struct world *w, const char *text, bool first)
{
    netmap_changes_clear(&w->changes);
    assert_int_equal(apply(w, text, first), NETMAP_APPLIED);
}

static unsigned noted(const struct world *w, int64_t id)
{
    unsigned n = 0;

    for (size_t i = 0; i < w->changes.count; i++)
        n += w->changes.ids[i] == id;
    return n;
}

static json_t *vector_frames(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, name);
    json_t *all = json_load_file(path, 0, NULL);

    assert_non_null(all);
    json_t *frames = json_incref(json_object_get(all, "frames"));

    json_decref(all);
    return frames;
}

static void feed(struct world *w, const json_t *frames, size_t i, bool first)
{
    char *text = json_dumps(json_object_get(json_array_get(frames, i), "json"), JSON_COMPACT);

    assert_non_null(text);
    frame(w, text, first);
    free(text);
}

static void test_headscale(void **state)
{
    struct world *w = *state;
    json_t *frames = vector_frames("control_map_headscale.json");

    for (size_t i = 0; i < json_array_size(frames); i++)
        feed(w, frames, i, i == 0);
    const struct netmap_node *self = netmap_self(w->map), *peer = netmap_peer(w->map, 1), *gone = netmap_peer(w->map, 2);

    assert_int_equal(self->id, 3);
    assert_string_equal(self->name, "mini-1.hs.example");
    assert_int_equal(self->addresses_count, 2);
    assert_int_equal(netmap_peers_count(w->map), 2);
    assert_string_equal(peer->name, "stock.hs.example");
    assert_string_equal(peer->stable_id, "1");
    assert_int_equal(peer->peerapi4, 45098);
    assert_int_equal(peer->peerapi6, 45098);
    assert_int_equal(peer->home_derp, 1);
    assert_int_equal(peer->endpoints_count, 2);
    assert_true(peer->online);
    assert_false(gone->online);
    assert_int_equal(gone->endpoints_count, 0);
    assert_ptr_equal(netmap_peer_by_key(w->map, peer->key), peer);
    assert_true(*netmap_login(w->map, peer->user));

    const struct derp_region *region = derp_map_region(netmap_derp(w->map), 1);

    assert_non_null(region);
    assert_int_equal(region->nodes_count, 1);
    assert_string_equal(region->nodes[0].host, "127.0.0.1");
    assert_string_equal(region->nodes[0].ipv6, "none");
    assert_true(region->nodes[0].insecure && region->nodes[0].stun_port && region->nodes[0].derp_port);
    json_decref(frames);
}

static void test_testcontrol(void **state)
{
    struct world *w = *state;
    json_t *frames = vector_frames("control_map_responses.json");
    size_t i = 0;

    feed(w, frames, 0, true);
    assert_int_equal(netmap_peers_count(w->map), 1);
    assert_string_equal(netmap_login(w->map, netmap_peer(w->map, 1)->user), "user-1@fake-control.example.net");
    assert_true(w->asides.control_time > 0);
    for (i = 1; i < json_array_size(frames); i++) {
        const json_t *one = json_object_get(json_array_get(frames, i), "json");
        char *text = json_dumps(one, JSON_COMPACT);
        enum netmap_frame result = apply(w, text, false);

        assert_true(result == NETMAP_APPLIED || (result == NETMAP_KEEPALIVE && json_object_get(one, "KeepAlive")));
        free(text);
    }
    assert_true(i > 8);
    json_decref(frames);
}

static void test_first(void **state)
{
    struct world *w = *state;

    assert_int_equal(apply(w, "{\"KeepAlive\":true}", true), NETMAP_KEEPALIVE);
    assert_int_equal(apply(w, "{\"KeepAlive\":true," SELF "}", true), NETMAP_KEEPALIVE);
    assert_null(netmap_self(w->map));
    assert_int_equal(apply(w, "{}", true), NETMAP_NOT_FIRST);
    assert_int_equal(apply(w, "{\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"}]}", true), NETMAP_NOT_FIRST);
    assert_int_equal(netmap_peers_count(w->map), 0);
    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"}]}", true);
    assert_true(w->changes.complete && w->changes.reconnect && w->changes.self);
    assert_int_equal(netmap_self(w->map)->id, 1);
    assert_int_equal(noted(w, 2), 1);
    /* another stream: what it does not name is gone, and is named as changed */
    frame(w, "{" SELF "}", true);
    assert_int_equal(netmap_peers_count(w->map), 0);
    assert_int_equal(noted(w, 2), 1);
    assert_int_equal(netmap_derp(w->map)->regions_count, 0);
}

static void test_peers(void **state)
{
    struct world *w = *state;

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"},{\"ID\":3,\"Key\":\"" KEY("cc") "\"}]}", true);
    /* an empty list says nothing */
    frame(w, "{\"Peers\":[]}", false);
    frame(w, "{\"Peers\":null,\"PeersChanged\":null,\"PeersRemoved\":null}", false);
    assert_int_equal(netmap_peers_count(w->map), 2);
    assert_int_equal(w->changes.count, 0);
    /* removed, then changed: a node that moves to another key under the same id */
    frame(w, "{\"PeersRemoved\":[2,77],\"PeersChanged\":[{\"ID\":2,\"Key\":\"" KEY("dd") "\",\"Name\":\"A.Example.\"}]}", false);
    assert_int_equal(netmap_peers_count(w->map), 2);
    assert_string_equal(netmap_peer(w->map, 2)->name, "a.example");
    assert_int_equal(noted(w, 77), 0);
    assert_false(w->changes.complete);
    /* a complete list: the other fields of that frame are ignored */
    frame(w, "{\"Peers\":[{\"ID\":9,\"Key\":\"" KEY("ee") "\"}],\"PeersRemoved\":[9]}", false);
    assert_int_equal(netmap_peers_count(w->map), 1);
    assert_non_null(netmap_peer(w->map, 9));
    assert_true(w->changes.complete && !w->changes.reconnect && noted(w, 2) && noted(w, 3) && noted(w, 9));
    frame(w, "{\"PeersRemoved\":[9]}", false);
    assert_int_equal(netmap_peers_count(w->map), 0);
}

/* ids above 2^53 are not the same as their neighbours */
static void test_large_ids(void **state)
{
    struct world *w = *state;

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":9007199254740993,\"Key\":\"" KEY("bb") "\"},{\"ID\":9007199254740992,\"Key\":\"" KEY("cc") "\"}]}",
          true);
    assert_int_equal(netmap_peers_count(w->map), 2);
    frame(w, "{\"OnlineChange\":{\"9007199254740993\":false}}", false);
    assert_false(netmap_peer(w->map, 9007199254740993)->online);
    assert_true(netmap_peer(w->map, 9007199254740992)->online);
}

static void test_patch(void **state)
{
    struct world *w = *state;
    uint8_t old[TAILNET_KEY_BYTES];

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\",\"DiscoKey\":\"discokey:" "0101010101010101010101010101010101010101010101010101010101010101"
             "\",\"Endpoints\":[\"192.0.2.1:1\"],\"HomeDERP\":3}]}", true);
    memcpy(old, netmap_peer(w->map, 2)->key, sizeof(old));
    frame(w, "{\"PeersChangedPatch\":[{\"NodeID\":5,\"DERPRegion\":9},{\"NodeID\":2,\"DERPRegion\":4,\"Online\":false}]}", false);
    const struct netmap_node *peer = netmap_peer(w->map, 2);

    assert_int_equal(peer->home_derp, 4);
    assert_int_equal(peer->endpoints_count, 1);
    assert_false(peer->online);
    assert_int_equal(noted(w, 2), 1);
    frame(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Key\":\"" KEY("dd") "\",\"Endpoints\":[],\"KeyExpiry\":\"2030-01-01T00:00:00Z\"}]}", false);
    assert_int_equal(peer->endpoints_count, 0);
    assert_int_equal(peer->disco[0], 1);
    assert_int_equal(peer->key_expiry, 1893456000);
    assert_null(netmap_peer_by_key(w->map, old));
    assert_ptr_equal(netmap_peer_by_key(w->map, peer->key), peer);
    assert_false(netmap_node_gone(peer, 1893455999));
    assert_true(netmap_node_gone(peer, 1893456000));
    assert_false(netmap_node_gone(peer, 0)); /* no clock, no verdict */
}

static void test_node(void **state)
{
    struct world *w = *state;

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"StableID\":\"n2\",\"Key\":\"" KEY("bb") "\",\"DERP\":\"127.3.3.40:17\",\"Tags\":[\"tag:a\",5,\"tag:b\"],"
             "\"Addresses\":[\"100.64.0.9/32\",\"10.0.0.0/8\",\"fd7a::9/128\",\"x\"],\"KeyExpiry\":\"0001-01-01T00:00:00Z\","
             "\"Endpoints\":[\"192.0.2.1:1\",\"192.0.2.1:1\",\"[2001:db8::1]:2\",\"192.0.2.1:0\",\"host:1\"],\"IsWireGuardOnly\":true,"
             "\"Hostinfo\":{\"IngressEnabled\":true,\"Services\":[{\"Proto\":\"peerapi6\",\"Port\":70000},{\"Proto\":\"peerapi4\",\"Port\":1}]},"
             "\"SelfNodeV4MasqAddrForThisPeer\":\"100.64.9.9\",\"Expired\":true},"
             "{\"ID\":0,\"Key\":\"" KEY("cc") "\"},{\"ID\":4,\"Key\":\"nonsense\"}]}", true);
    const struct netmap_node *peer = netmap_peer(w->map, 2);

    assert_int_equal(netmap_peers_count(w->map), 1);
    assert_int_equal(peer->home_derp, 17);
    assert_int_equal(peer->tags_count, 2);
    assert_string_equal(peer->tags[1], "tag:b");
    assert_int_equal(peer->addresses_count, 2);
    assert_int_equal(peer->endpoints_count, 2);
    assert_int_equal(peer->peerapi4, 1);
    assert_int_equal(peer->peerapi6, 0);
    assert_int_equal(peer->key_expiry, 0);
    assert_true(peer->ingress_enabled && peer->wireguard_only && peer->online && netmap_node_gone(peer, 5));
    assert_true(addr_is_v4(&peer->masquerade4) && addr_is_none(&peer->masquerade6));
    assert_int_equal(w->asides.left_out, 7);
}

static void test_derp(void **state)
{
    struct world *w = *state;
    const struct derp_map *derp;

    frame(w, "{" SELF ",\"DERPMap\":{\"Regions\":{\"9\":{\"RegionID\":9,\"Nodes\":[{\"HostName\":\"b.example\",\"STUNPort\":-1,\"DERPPort\":8443},"
             "{\"HostName\":\"c.example\",\"STUNOnly\":true}]},\"2\":{\"RegionID\":2,\"RegionCode\":\"eu\",\"NoMeasureNoHome\":true},\"5\":null,"
             "\"x\":{}},\"HomeParams\":{\"RegionScore\":{\"9\":0.5}}}}", true);
    derp = netmap_derp(w->map);
    assert_int_equal(derp->regions_count, 2);
    assert_int_equal(derp->regions[0].id, 2);
    assert_true(derp->regions[0].no_home && !derp->regions[1].no_home);
    assert_int_equal(derp->regions[1].score_milli, 500);
    assert_int_equal(derp->regions[1].nodes[0].stun_port, 0);
    assert_int_equal(derp->regions[1].nodes[0].derp_port, 8443);
    assert_int_equal(derp->regions[1].nodes[1].stun_port, 3478);
    assert_true(derp->regions[1].nodes[1].stun_only);
    /* parts that are absent stay */
    frame(w, "{\"DERPMap\":{\"Regions\":null,\"HomeParams\":{\"RegionScore\":{\"2\":2}}}}", false);
    assert_int_equal(derp->regions[0].score_milli, 2000);
    assert_int_equal(derp->regions[1].score_milli, 1000);
    assert_true(w->changes.derp);
    frame(w, "{\"DERPMap\":{\"Regions\":{\"2\":{\"RegionID\":2}}}}", false);
    assert_int_equal(derp->regions_count, 1);
    assert_int_equal(derp->regions[0].score_milli, 2000);
}

static void test_asides(void **state)
{
    struct world *w = *state;

    frame(w, "{" SELF ",\"ControlTime\":\"2030-01-01T00:00:00.5Z\"}", true);
    assert_int_equal(w->asides.control_time, 1893456000);
    assert_int_equal(apply(w, "{\"KeepAlive\":true,\"ControlTime\":\"2030-01-01T00:00:01Z\"}", false), NETMAP_KEEPALIVE);
    assert_int_equal(w->asides.control_time, 1893456001);
}

static void test_pin(void **state)
{
    static const struct {
        const char *name;
        enum derp_pin is;
    } pins[] = {
        {"", DERP_PIN_NONE},
        {"relay.example", DERP_PIN_NONE},
        {"sha256-raw:", DERP_PIN_BAD},
        {"sha256-raw:00112233445566778899aabbccddeeff00112233445566778899aabbccddeef", DERP_PIN_BAD},
        {"sha256-raw:00112233445566778899aabbccddeeff00112233445566778899aabbccddeefff", DERP_PIN_BAD},
        {"sha256-raw: 0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", DERP_PIN_BAD},
        {"sha256-raw:0x112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", DERP_PIN_BAD},
        {"sha256-raw:00112233445566778899AABBccddeeff00112233445566778899aabbccddeeff", DERP_PIN_SET},
    };
    uint8_t out[DERP_PIN_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
        char *name = strdup(pins[i].name); /* at its exact end */
        const struct derp_node node = {.cert_name = name};

        assert_int_equal(derp_node_pin(&node, out), pins[i].is);
        free(name);
    }
    assert_true(out[0] == 0 && out[1] == 0x11 && out[10] == 0xaa && out[31] == 0xff);
}

/* what is no frame changes nothing */
static void test_bad(void **state)
{
    static const char *const bad[] = {"", "[]", "{", "{\"Peers\":[{]}", "{\"Peers\":{}}", "{\"PeersRemoved\":{}}", "{\"PeersRemoved\":[1 2]}", "{\"OnlineChange\":[]}", "{\"OnlineChange\":{\"1\"}}", "{\"Peers\":[1,]}", "{\"PeersChanged\":5}",
                                      "{\"Node\":{\"ID\":0}}", "{\"Node\":{\"ID\":1,}}", "{\"Node\":[]}"};
    struct world *w = *state;

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"}]}", true);
    netmap_changes_clear(&w->changes);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(apply(w, bad[i], false), NETMAP_BAD);
        assert_int_equal(w->changes.count, 0);
        assert_int_equal(netmap_peers_count(w->map), 1);
    }
}

/* a key names one node: whoever is said to have it now */
static void test_one_key(void **state)
{
    struct world *w = *state;
    uint8_t key[TAILNET_KEY_BYTES];

    memset(key, 0xbb, sizeof(key));
    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"},{\"ID\":3,\"Key\":\"" KEY("cc") "\"}]}", true);
    frame(w, "{\"PeersChanged\":[{\"ID\":4,\"Key\":\"" KEY("bb") "\"}]}", false);
    assert_int_equal(netmap_peers_count(w->map), 2);
    assert_null(netmap_peer(w->map, 2));
    assert_int_equal(netmap_peer_by_key(w->map, key)->id, 4);
    assert_true(noted(w, 2) && noted(w, 4));
    frame(w, "{\"PeersChangedPatch\":[{\"NodeID\":3,\"Key\":\"" KEY("bb") "\"}]}", false);
    assert_int_equal(netmap_peers_count(w->map), 1);
    assert_int_equal(netmap_peer_by_key(w->map, key)->id, 3);
    assert_true(noted(w, 3) && noted(w, 4));
}

/* many nodes with one key would be one chain, walked for each */
static void test_all_one_key(void **state)
{
    struct world *w = *state;
    char *text = malloc(20000 * 100), *at = text;

    at += sprintf(at, "{%s,\"Peers\":[", SELF);
    for (int i = 2; i < 20000; i++)
        at += sprintf(at, "%s{\"ID\":%d,\"Key\":\"%s\"}", i > 2 ? "," : "", i, KEY("bb"));
    strcpy(at, "]}");
    frame(w, text, true);
    assert_int_equal(netmap_peers_count(w->map), 1);
    frame(w, text, false);
    assert_int_equal(netmap_peers_count(w->map), 1);
    free(text);
}

/* users beyond the bound are left out, and what else the frame says counts */
static void test_too_many_users(void **state)
{
    enum { MORE = NETMAP_USERS_MAX + 2, ROOM = 64 };
    struct world *w = *state;
    char *text = malloc((size_t)MORE * ROOM + 1000), *at = text;

    at += sprintf(at, "{" SELF ",\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"u1\"}");
    for (int i = 2; i <= MORE; i++)
        at += sprintf(at, ",{\"ID\":%d,\"LoginName\":\"u%d\"}", i, i);
    sprintf(at, "],\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"}]}");
    frame(w, text, true);
    free(text);
    assert_int_equal(w->asides.left_out, 2);
    assert_int_equal(netmap_peers_count(w->map), 1);
    assert_string_equal(netmap_login(w->map, NETMAP_USERS_MAX), "u200000");
    assert_string_equal(netmap_login(w->map, MORE), "");
    frame(w, "{\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"other\"}]}", false); /* who is known still changes */
    assert_string_equal(netmap_login(w->map, 1), "other");
}

/* a value that is large by itself is not made a tree of */
static void test_large_values(void **state)
{
    struct world *w = *state;
    size_t room = (2 << 20) + 1000;
    char *text = malloc(room), *at = text;

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"}]}", true);
    at += sprintf(at, "{\"PeersChanged\":[{\"ID\":3,\"Key\":\"%s\",\"Endpoints\":[1", KEY("cc"));
    for (size_t i = 0; i < 1 << 19; i++)
        at += sprintf(at, ",1");
    sprintf(at, "]}]}");
    frame(w, text, false);
    assert_null(netmap_peer(w->map, 3));
    assert_int_equal(w->asides.left_out, 1);
    /* lists of numbers go by one by one */
    at = text + sprintf(text, "{\"PeersRemoved\":[1");
    for (size_t i = 0; i < 1 << 19; i++)
        at += sprintf(at, ",1");
    sprintf(at, ",2,\"2\",null,2.5,{}]}");
    frame(w, text, false);
    assert_int_equal(netmap_peers_count(w->map), 0);
    free(text);
}

/* what a map of another node leaves behind: nothing, and the next one is a first one */
static void test_empty(void **state)
{
    struct world *w = *state;

    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\",\"User\":7}],\"UserProfiles\":[{\"ID\":7,"
             "\"LoginName\":\"a@b\"}],\"DERPMap\":{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":\"derp.test\"}]}}}}", true);
    assert_non_null(netmap_derp(w->map)->regions);
    for (int i = 0; i < 2; i++) {
        netmap_empty(w->map);
        assert_null(netmap_self(w->map));
        assert_null(netmap_peer(w->map, 2));
        assert_int_equal(netmap_peers_count(w->map), 0);
        assert_string_equal(netmap_login(w->map, 7), "");
        assert_int_equal(netmap_derp(w->map)->regions_count, 0);
    }
    frame(w, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("bb") "\"}]}", true);
    assert_int_equal(netmap_peers_count(w->map), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headscale, setup, teardown),
        cmocka_unit_test_setup_teardown(test_testcontrol, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_one_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_users, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asides, setup, teardown),
        cmocka_unit_test(test_pin),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
