/* derp_map.h - the relays of a tailnet, as the coordination server lists them. */
#ifndef TAILNET_DERP_MAP_H
#define TAILNET_DERP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DERP_MAP_REGIONS_MAX 256
#define DERP_MAP_NODES_MAX   16 /* a region */
#define DERP_MAP_TEXT_MAX    255

struct derp_node {
    char *name;
    char *host;      /* for DNS, SNI and the certificate */
    char *cert_name; /* "": host; "sha256-raw:<hex>" pins the leaf */
    char *ipv4, *ipv6; /* "": ask DNS; "none": don't use that family */
    char *stun_test_ip; /* instead of both, for STUN; "" */
    uint16_t stun_port; /* 0: no STUN here */
    uint16_t derp_port;
    bool stun_only;
    bool insecure; /* certificates are not checked: InsecureForTests */
};

struct derp_region {
    uint16_t id; /* 1 to 65535 */
    char *code;
    bool no_home; /* NoMeasureNoHome, or the older Avoid */
    uint32_t score_milli; /* latencies count times this, in thousandths; 1000 when not said */
    struct derp_node *nodes; /* in order of preference */
    size_t nodes_count;
};

struct derp_map {
    struct derp_region *regions; /* by id, ascending */
    size_t regions_count;
};

/* derp_map_region - NULL: no such region. */
const struct derp_region *derp_map_region(const struct derp_map *map, uint16_t id);

/* derp_node_pin - which certificate it must be, when cert_name pins one (SHA-256 of the whole leaf). */
#define DERP_PIN_BYTES 32
enum derp_pin {
    DERP_PIN_NONE = 0, /* cert_name is a name, or nothing */
    DERP_PIN_SET,
    DERP_PIN_BAD,      /* it should be one, and can't be read: no certificate fits */
};
enum derp_pin derp_node_pin(const struct derp_node *node, uint8_t out[DERP_PIN_BYTES]);
void derp_map_deinit(struct derp_map *map); /* empty afterwards */

#endif
