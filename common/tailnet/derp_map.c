#include "common/tailnet/derp_map.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/key.h"

#define PIN "sha256-raw:"

const struct derp_region *derp_map_region(const struct derp_map *map, uint16_t id)
{
    for (size_t i = 0; i < map->regions_count; i++)
        if (map->regions[i].id == id)
            return &map->regions[i];
    return NULL;
}

enum derp_pin derp_node_pin(const struct derp_node *node, uint8_t out[DERP_PIN_BYTES])
{
    const char *hex = node->cert_name + strlen(PIN);

    if (strncmp(node->cert_name, PIN, strlen(PIN)) != 0)
        return DERP_PIN_NONE;
    return strlen(hex) == 2 * DERP_PIN_BYTES && key_parse(hex, strlen(hex), out) ? DERP_PIN_SET : DERP_PIN_BAD;
}

static void region_deinit(struct derp_region *region)
{
    for (size_t i = 0; i < region->nodes_count; i++) {
        struct derp_node *node = &region->nodes[i];

        free(node->name);
        free(node->host);
        free(node->cert_name);
        free(node->ipv4);
        free(node->ipv6);
        free(node->stun_test_ip);
    }
    free(region->nodes);
    free(region->code);
}

void derp_map_deinit(struct derp_map *map)
{
    for (size_t i = 0; i < map->regions_count; i++)
        region_deinit(&map->regions[i]);
    free(map->regions);
    *map = (struct derp_map){0};
}
