/* test_tailnet_map.c - the map of a tailnet goes to disk and comes back as a first frame; what is cut, or of another server,
 * does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "ingress/tailnet_map.h"

#define KEY(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define URL    "https://control.example.net:8443"

static const char frame[] =
    "{\"Node\":{\"ID\":1,\"Name\":\"us.tail.example.\",\"Key\":\"nodekey:" KEY("aa") "\",\"Addresses\":[\"100.64.0.1/32\",\"fd7a::1/128\"]},"
    "\"DERPMap\":{\"Regions\":{\"5\":{\"RegionCode\":\"x\",\"Nodes\":[{\"Name\":\"5a\",\"HostName\":\"r.example\",\"IPv4\":\"192.0.2.5\","
    "\"IPv6\":\"none\",\"STUNPort\":-1,\"DERPPort\":8443,\"InsecureForTests\":true,\"CertName\":\"c.example\"}]},"
    "\"7\":{\"NoMeasureNoHome\":true,\"Nodes\":[{\"HostName\":\"s\",\"STUNOnly\":true}]}},\"HomeParams\":{\"RegionScore\":{\"5\":0.5}}},"
    "\"Peers\":[{\"ID\":9007199254740993,\"Key\":\"nodekey:" KEY("bb") "\",\"DiscoKey\":\"discokey:" KEY("b1") "\",\"HomeDERP\":5,"
    "\"Endpoints\":[\"192.0.2.9:41641\",\"[2001:db8::9]:41641\"]},{\"ID\":3,\"Key\":\"nodekey:" KEY("cc") "\",\"IsWireGuardOnly\":true},"
    "{\"ID\":4,\"Key\":\"nodekey:" KEY("dd") "\"}]}";

static char dir[] = "/tmp/test_tailnet_map.XXXXXX";
static const struct map_seed seed = {1, 2};

static bool not_four(const struct netmap_node *node, void *ctx)
{
    (void)ctx;
    return node->id != 4;
}

static struct netmap *map_of(const char *text, size_t len)
{
    struct netmap *map = netmap_new(&seed);
    struct netmap_changes changes = {0};
    struct netmap_asides asides;

    assert_int_equal(netmap_apply(map, text, len, true, &changes, &asides), NETMAP_APPLIED);
    assert_int_equal(asides.left_out, 0);
    netmap_changes_deinit(&changes);
    return map;
}

static int keep(const char *state_dir, const struct netmap *map)
{
    static const struct timespec moment = {.tv_nsec = 1000000};
    int rc;
    struct tailnet_map_writer *w = tailnet_map_begin(state_dir, URL, map, not_four, NULL, &rc);

    while (w && tailnet_map_step(w, map, &rc))
        if (tailnet_map_syncing(w))
            nanosleep(&moment, NULL); /* the disk */
    tailnet_map_free(w);
    return rc;
}

static void test_kept(void **state)
{
    struct netmap *map = map_of(frame, strlen(frame));
    size_t len;
    int rc;

    (void)state;
    assert_null(tailnet_map_read(dir, URL, &len, &rc));
    assert_int_equal(rc, 0);
    assert_int_equal(keep(dir, map), 0);
    assert_int_equal(keep(dir, map), 0); /* over the old one */
    netmap_free(map);
    char *text = tailnet_map_read(dir, URL, &len, &rc);

    assert_non_null(text);
    map = map_of(text, len);
    free(text);
    const struct netmap_node *self = netmap_self(map), *peer = netmap_peer(map, 9007199254740993);
    const struct derp_map *derp = netmap_derp(map);

    assert_true(self->id == 1 && self->addresses_count == 2 && self->key[5] == 0xaa && !strcmp(self->name, "us.tail.example"));
    assert_int_equal(netmap_peers_count(map), 2);
    assert_true(peer->endpoints_count == 2 && peer->home_derp == 5 && peer->key[31] == 0xbb && peer->disco[0] == 0xb1);
    assert_true(!peer->wireguard_only && netmap_peer(map, 3)->wireguard_only);
    assert_true(derp->regions_count == 2 && derp->regions[0].id == 5 && derp->regions[0].score_milli == 500 &&
                derp->regions[1].no_home && derp->regions[1].nodes[0].stun_only);
    const struct derp_node *relay = &derp->regions[0].nodes[0];

    assert_true(!strcmp(relay->host, "r.example") && !strcmp(relay->ipv4, "192.0.2.5") && !strcmp(relay->ipv6, "none") &&
                !strcmp(relay->cert_name, "c.example") && !strcmp(relay->name, "5a"));
    assert_true(relay->stun_port == 0 && relay->derp_port == 8443 && relay->insecure);
    netmap_free(map);
}

static void test_not_ours(void **state)
{
    size_t len;
    int rc;

    (void)state;
    assert_null(tailnet_map_read(dir, URL "0", &len, &rc));
    assert_null(tailnet_map_read(dir, "https://control.example.net:844", &len, &rc));
    assert_int_equal(rc, 0);
}

/* a writer that is freed half-way leaves the old file, and nothing beside it */
static void test_given_up(void **state)
{
    char path[256];
    size_t len;
    int rc;
    struct netmap *map = map_of(frame, strlen(frame));

    (void)state;
    tailnet_map_free(tailnet_map_begin(dir, URL, map, not_four, NULL, &rc));
    netmap_free(map);
    snprintf(path, sizeof(path), "%s/tailnet/.map.new", dir);
    assert_int_equal(access(path, F_OK), -1);
    char *text = tailnet_map_read(dir, URL, &len, &rc);

    assert_non_null(text);
    free(text);
}

static void test_nowhere(void **state)
{
    struct netmap *map = map_of(frame, strlen(frame));

    (void)state;
    assert_int_equal(keep("/nonexistent", map), -ENOENT);
    netmap_free(map);
}

static int setup(void **state)
{
    char path[256];

    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/tailnet", dir);
    return mkdir(path, 0700);
}

static int teardown(void **state)
{
    char path[256];

    (void)state;
    snprintf(path, sizeof(path), "%s/tailnet/map", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/tailnet", dir);
    rmdir(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_nowhere),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
